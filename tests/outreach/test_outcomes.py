"""What reminders are worth: who is compared with whom, the intervals, the sum, and the rates it counts with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import execute, transaction
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.stats.intervals import difference, wilson
from dispatchlog.systems.outreach.stats.outcomes import Rates, outcomes, rates, set_rates
from dispatchlog.systems.outreach.stats.reading import Wanted
from tests.outreach import builders
from tests.outreach.conftest import Desk

DAY = date(2026, 3, 4)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
OF_DAY = Wanted(DAY, DAY)
RATES = Rates(None, "USD", Decimal("120"), Decimal("0.01"), Decimal("0.05"), Decimal("0.08"), None, 0)

pytestmark = pytest.mark.usefixtures("application")


@pytest.fixture
def appointment(desk: Desk) -> Callable[..., UUID]:
    """An appointment of DAY that took place, with the reminders that are named: (purpose, channel, hours before)."""
    somebody = builders.patient()

    def make(
        *reminders: tuple[Purpose, Channel, float],
        patient: UUID | None = None,
        starts_at: datetime = NOON,
        **columns: Any,
    ) -> UUID:
        of = patient or somebody
        made = builders.appointment(of, starts_at=starts_at, **{"status": "completed", **columns})
        for purpose, channel, hours in reminders:
            job = builders.job(desk.lane, of, channel, purpose=purpose, appointment_id=made)
            with transaction("test"):
                execute(
                    "UPDATE comm_jobs SET status = 'SENT', sent_at = %s WHERE id = %s",
                    (starts_at - timedelta(hours=hours), job),
                )
        return made

    return make


REMINDER = (Purpose.APPT_REMINDER, Channel.SMS, 24)
REQUEST = (Purpose.APPT_CONFIRM, Channel.EMAIL, 48)


def numbers(wanted: Wanted = OF_DAY) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    found = outcomes(wanted)
    return tuple((each.appointments, each.missed) for each in (found.reminded, found.confirmed, found.not_reminded))  # type: ignore[return-value]


def test_appointments_are_compared_by_whether_a_reminder_was_sent_before_they_began(
    appointment: Callable[..., UUID],
) -> None:
    appointment(REMINDER, REQUEST)
    appointment(REQUEST, status="no_show")
    appointment(REMINDER, status="confirmed", confirmed_at=NOON - timedelta(hours=3), confirmed_by="patient")
    appointment((Purpose.APPT_REMINDER, Channel.SMS, -1), status="no_show")
    appointment((Purpose.NO_SHOW, Channel.SMS, 1), status="no_show")
    appointment()
    assert numbers() == ((3, 1), (1, 0), (3, 2))


@pytest.mark.parametrize("status", ["cancelled", "reschedule_requested"])
def test_what_was_called_off_or_waits_for_another_time_was_neither_kept_nor_missed(
    appointment: Callable[..., UUID], status: str
) -> None:
    appointment(REMINDER, status=status)
    assert numbers() == ((0, 0), (0, 0), (0, 0))


def test_what_has_not_begun_does_not_count_yet(appointment: Callable[..., UUID]) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    appointment(starts_at=later, status="scheduled")
    assert numbers(Wanted(later.date() - timedelta(days=1), later.date() + timedelta(days=1))) == (
        (0, 0),
        (0, 0),
        (0, 0),
    )


def test_days_are_those_on_which_appointments_began(appointment: Callable[..., UUID]) -> None:
    appointment(starts_at=datetime(2026, 3, 4, tzinfo=UTC))
    appointment(starts_at=datetime(2026, 3, 4, 23, 59, tzinfo=UTC))
    appointment(starts_at=datetime(2026, 3, 5, tzinfo=UTC))
    appointment(starts_at=datetime(2026, 3, 3, 23, 59, tzinfo=UTC))
    assert numbers()[2] == (2, 0)


def test_with_a_channel_or_purpose_asked_for_other_reminders_are_on_neither_side(
    appointment: Callable[..., UUID],
) -> None:
    appointment(REMINDER)
    appointment(REQUEST)
    appointment()
    assert numbers(replace(OF_DAY, channel="sms")) == ((1, 0), (0, 0), (1, 0))
    assert numbers(replace(OF_DAY, purpose="appt_confirm")) == ((1, 0), (0, 0), (1, 0))


def test_appointments_are_of_the_clinic_and_provider_that_messages_take_from_them(
    appointment: Callable[..., UUID],
) -> None:
    clinic = builders.organization()
    doctor, other = builders.provider(clinic), builders.provider()
    of_clinic = builders.patient(organization_id=clinic)
    by_provider = builders.patient(provider_id=doctor)
    appointment(patient=of_clinic, provider_id=other)
    appointment(patient=by_provider)
    appointment()
    assert numbers(replace(OF_DAY, organization_id=clinic))[2] == (2, 0)
    assert numbers(replace(OF_DAY, provider_id=doctor))[2] == (1, 0)
    assert numbers(replace(OF_DAY, provider_id=other))[2] == (1, 0)


# --- the sum


def test_the_sum_is_made_of_its_parts(appointment: Callable[..., UUID]) -> None:
    set_rates(RATES, asker=builders.STAFF)
    for number in range(10):
        appointment(REMINDER, status="no_show" if number < 1 else "completed")
        appointment(status="no_show" if number < 3 else "completed")
    found = outcomes(Wanted(DAY - timedelta(days=1), DAY))
    assert (found.baseline, found.baseline_from) == (0.3, "not_reminded")
    assert found.saved == pytest.approx(10 * (0.3 - 0.1))
    assert found.saved_low is not None
    assert found.saved_high is not None
    assert found.saved_low < 0
    assert found.saved_high > 2
    assert found.worth == 2 * 120
    assert (found.cost_by_channel, found.cost) == ({"sms": Decimal("0.50")}, Decimal("0.50"))
    assert found.roi == pytest.approx((240 - 0.5) / 0.5)
    assert found.currency == "USD"


def test_a_baseline_that_somebody_wrote_down_goes_before_the_comparison(appointment: Callable[..., UUID]) -> None:
    set_rates(replace(RATES, baseline_no_show=Decimal("0.2")), asker=builders.STAFF)
    appointment(REMINDER)
    appointment(status="no_show")
    found = outcomes(OF_DAY)
    assert (found.baseline, found.baseline_from) == (0.2, "rates")
    assert found.saved == pytest.approx(0.2)


def test_without_rates_the_sum_stops_before_money_and_without_a_baseline_before_it_begins(
    appointment: Callable[..., UUID],
) -> None:
    appointment(REMINDER)
    nothing = outcomes(OF_DAY)
    assert (nothing.saved, nothing.worth, nothing.cost, nothing.roi, nothing.currency) == (None, None, None, None, "")
    appointment()
    assert (outcomes(OF_DAY).saved, outcomes(OF_DAY).worth) == (0.0, None)


def test_nothing_is_divided_by_nothing() -> None:
    set_rates(RATES, asker=builders.STAFF)
    found = outcomes(OF_DAY)
    assert (found.reminded.share, found.baseline, found.saved, found.roi) == (None, None, None, None)
    assert found.cost == 0


# Wilson 1927 as computed by R's prop.test(correct = FALSE), and Newcombe 1998, table II, examples (a) and (e), method 10.
@pytest.mark.parametrize(
    ("number", "of", "low", "high"), [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)]
)
def test_a_shares_interval_is_wilsons(number: int, of: int, low: float, high: float) -> None:
    assert wilson(number, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"), [((56, 70), (48, 80), 0.0524, 0.3339), ((5, 56), (0, 29), -0.0381, 0.1926)]
)
def test_a_differences_interval_is_newcombes(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    shares = [(number / of, *wilson(number, of)) for number, of in (first, second)]
    assert difference(shares[0], shares[1]) == pytest.approx((low, high), abs=5e-5)


# --- rates


def test_an_organisations_rates_go_before_everybodys() -> None:
    clinic = builders.organization()
    assert rates(clinic) is None
    for_all = set_rates(RATES, asker=builders.STAFF)
    assert rates(clinic) == for_all == replace(RATES, version=1)
    own = set_rates(replace(RATES, organization_id=clinic, currency="EUR"), asker=builders.STAFF)
    assert rates(clinic) == own
    assert rates(None) == for_all


def test_rates_change_only_on_the_version_they_are_based_on_and_it_is_kept_who_did() -> None:
    first = set_rates(RATES, asker=builders.STAFF)
    second = set_rates(replace(first, sms_cost=Decimal("0.06")), asker=builders.STAFF)
    assert (second.version, rates(None)) == (2, second)
    for old in (RATES, first):
        with pytest.raises(OutreachError) as refused:
            set_rates(old, asker=builders.STAFF)
        assert refused.value.code == "VERSION_CONFLICT"
    kept = builders.rows("SELECT actor, action, detail FROM operator_actions ORDER BY id")
    assert [(line["actor"], line["action"], line["detail"]["version"]) for line in kept] == [
        ("staff@example.org", "set_rates", 1),
        ("staff@example.org", "set_rates", 2),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("currency", "usd"),
        ("currency", "US"),
        ("visit_value", Decimal("-1")),
        ("visit_value", Decimal("NaN")),
        ("visit_value", Decimal("1E9")),
        ("visit_value", Decimal("1.005")),
        ("sms_cost", Decimal("Infinity")),
        ("email_cost", Decimal("0.000001")),
        ("whatsapp_cost", None),
        ("baseline_no_show", Decimal("1.01")),
    ],
)
def test_what_is_no_rate_is_refused_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(OutreachError) as refused:
        set_rates(replace(RATES, **{field: value}), asker=builders.STAFF)
    assert (refused.value.code, refused.value.field) == ("INVALID_RATES", field)
    assert rates(None) is None


def test_rates_are_of_an_organisation_that_there_is() -> None:
    with pytest.raises(OutreachError) as refused:
        set_rates(replace(RATES, organization_id=uuid4()), asker=builders.STAFF)
    assert refused.value.code == "ORGANIZATION_NOT_FOUND"
