"""A preview says to whom, by what, when and at which cost, and everything that speaks against beginning."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import consents
from dispatchlog.systems.outreach.campaigns import lifecycle, preview, store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.campaigns.preview import Day, Preview
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.stats import outcomes
from tests.outreach import builders, campaign_rows

pytestmark = pytest.mark.usefixtures("application")

STEP = campaign_rows.STEP


@pytest.fixture(autouse=True)
def every_channel(application: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A provider for each channel."""
    for channel, provider in (("EMAIL", "smtp"), ("SMS", "twilio"), ("WHATSAPP", "cloud")):
        monkeypatch.setenv(f"DISPATCHLOG_OUTREACH_{channel}", provider)
    given = {"TWILIO_ACCOUNT_SID": "AC", "TWILIO_AUTH_TOKEN": "t", "TWILIO_FROM": "+12025550100", "WHATSAPP_TOKEN": "t"}
    for name, value in (given | {"WHATSAPP_PHONE_NUMBER_ID": "1"}).items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def look(wanted: CampaignInput, **values: Any) -> Preview:
    with connected():
        return preview.preview(wanted, **values)


def codes(found: Preview) -> list[tuple[str, str]]:
    return [(each["code"], each["field"]) for each in found.problems]


def test_who_can_be_reached_by_what_and_who_reads_which_language() -> None:
    campaign_rows.text()
    campaign_rows.text(Channel.SMS)
    for language in ("en", "en", "es"):
        campaign_rows.reader(language=language, phone=None)
    by_both = campaign_rows.reader(email="both@example.org", phone="+12025550131")
    builders.says(by_both, marketing_opt_in_sms=True)
    campaign_rows.reader(email="no@example.org", agrees=False, phone=None)
    campaign_rows.reader(email=None, phone="+12025550132")
    off = campaign_rows.reader(email="off@example.org", phone=None)
    builders.says(off, allow_email=False)
    stopped = campaign_rows.reader(email="stopped@example.org", phone=None)
    with connected():
        consents.stop(Channel.EMAIL, "stopped@example.org", source="reply", asker=builders.PATIENT)
    builders.says(stopped, marketing_opt_in_email=True)
    found = look(campaign_rows.wanted(language_fallback=True))
    assert (found.audience, found.problems) == (8, [])
    assert found.reachable == {"email": 4, "none": 4, "sms": 1}
    assert found.languages == {"en": 7, "es": 1}
    assert len(found.sample) == 5
    care = look(campaign_rows.wanted(steps=[{"key": "a", "purpose": "rx_refill"}]))
    assert codes(care) == [("UNKNOWN_TEMPLATE", "steps[0].family")]


def test_what_is_chosen_for_many_counts_as_for_one() -> None:
    organization_id = builders.organization()
    provider_id = builders.provider(organization_id)
    campaign_rows.text()
    campaign_rows.reader(provider_id=provider_id)
    campaign_rows.reader()
    with connected():
        execute(
            "INSERT INTO comm_pref_defaults (id, level, owner_id, language, allow_email)"
            " VALUES (gen_random_uuid(), 'organization', %s, 'fr', false)",
            (organization_id,),
        )
    found = look(campaign_rows.wanted())
    assert found.languages == {"fr": 1, "en": 1}
    assert found.reachable == {"email": 1, "none": 1}
    builders.says(campaign_rows.reader(provider_id=provider_id), language="en", allow_email=True)
    assert look(campaign_rows.wanted()).reachable == {"email": 2, "none": 1}


def test_each_step_has_its_day_by_the_campaigns_clock() -> None:
    campaign_rows.text()
    for _ in range(10):
        campaign_rows.reader()
    wanted = campaign_rows.wanted(
        steps=[
            {**STEP, "name": "First", "offset": {"hours": 9}},
            {**STEP, "key": "b", "name": "Second", "offset": {"days": 2}},
            {**STEP, "key": "c", "name": "Third", "after": "intro", "offset": {"hours": 14}},
            {**STEP, "key": "d", "name": "Fourth", "offset": {"days": 30}},
        ],
        control_percent=20,
        start_date=date(2030, 3, 9),  # the clocks go forward on the 10th
        end_date=date(2030, 3, 31),
        timezone="America/New_York",
    )
    found = look(wanted)
    assert (found.control, found.messages) == (2, 32)
    assert found.calendar == [
        Day(date(2030, 3, 9), "intro", 8),
        Day(date(2030, 3, 11), "b", 8),
        Day(date(2030, 3, 9), "c", 8),
        Day(date(2030, 4, 8), "d", 8),
    ]
    assert found.notes == [
        "Third is due at 23:00, when most patients are not to be disturbed: it leaves in the morning.",
        "Fourth is due on 08 April 2030, after the last day: it is never sent.",
    ]


def test_one_without_a_day_would_begin_now() -> None:
    campaign_rows.text()
    campaign_rows.reader()
    wanted = campaign_rows.wanted()
    assert [day.date for day in look(wanted).calendar] == [datetime.now(ZoneInfo(wanted.timezone)).date()]


def test_the_cost_is_that_of_the_dearest_way_to_each() -> None:
    campaign_rows.text()
    campaign_rows.text(Channel.SMS)
    for number in range(10):
        patient_id = campaign_rows.reader(email=f"{number}@example.org", phone=f"+1202555014{number}")
        builders.says(patient_id, marketing_opt_in_sms=number < 4)
    campaign_rows.reader(agrees=False)
    wanted = campaign_rows.wanted(steps=[STEP, {**STEP, "key": "b", "channel": "email"}], control_percent=50)
    assert (look(wanted).cost, look(wanted).currency) == (None, "")
    rates = outcomes.Rates(
        organization_id=None,
        currency="USD",
        visit_value=Decimal(100),
        email_cost=Decimal("0.10"),
        sms_cost=Decimal("1.00"),
        whatsapp_cost=Decimal("9.00"),
        baseline_no_show=None,
        version=0,
    )
    with connected():
        outcomes.set_rates(rates, asker=builders.STAFF)
    # Ten by the first step, four of them by SMS, and ten letters; half of it, for the others are the control group.
    assert (look(wanted).cost, look(wanted).currency) == (Decimal("2.80"), "USD")


def test_all_problems_are_told_and_the_beginning_refuses_the_first() -> None:
    campaign_rows.text(variables=["link"])
    campaign_rows.text(Channel.SMS)
    campaign_rows.reader(language="es")
    campaign_rows.begun(segment_id=campaign_rows.segment(), overlap="allow")
    one = campaign_rows.draft(
        ab_variants={"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}]},
        start_date=date(2026, 1, 1),
        end_date=date(2026, 1, 1),
    )
    found = look(store.input_of(one), campaign_id=one.id)
    # A campaign of one day that is long over meets none that began today.
    assert codes(found) == [
        ("END_DATE_PASSED", "end_date"),
        ("MISSING_LANGUAGE", "steps[0].family"),
        ("MISSING_VARIANT", "steps[0].family"),
        ("MISSING_VARIANT", "steps[0].family"),
        ("MISSING_VARIABLE", "steps[0].variables.link"),
    ]
    with pytest.raises(OutreachError) as error, connected():
        lifecycle.start(one.id, based_on=one.version, asker=builders.STAFF)
    assert error.value.code == "END_DATE_PASSED"
    meets = look(replace(store.input_of(one), start_date=None, end_date=None), campaign_id=one.id)
    assert (meets.overlapping, codes(meets)[0]) == (1, ("CAMPAIGN_OVERLAP", "overlap"))


def test_patients_of_another_campaign_are_left_out_where_the_plan_says_so() -> None:
    campaign_rows.text()
    campaign_rows.reader(tags=["flu", "walk"])
    campaign_rows.reader()
    campaign_rows.begun(segment_id=campaign_rows.segment("walk"))
    found = look(campaign_rows.wanted(overlap="exclude"))
    assert (found.audience, found.overlapping, found.problems) == (1, 1, [])
    assert look(campaign_rows.wanted(overlap="allow")).audience == 2


def test_a_campaign_does_not_overlap_with_itself() -> None:
    campaign_rows.reader()
    one = campaign_rows.begun("paused")
    assert look(store.input_of(one), campaign_id=one.id).overlapping == 0
    assert look(store.input_of(one)).overlapping == 1


def test_a_preview_writes_nothing_and_refuses_what_cannot_be_read() -> None:
    campaign_rows.reader()
    wanted = campaign_rows.wanted(start_date=date.today() + timedelta(days=2))  # noqa: DTZ011  (any day ahead)
    look(wanted)
    assert builders.rows("SELECT FROM comm_campaigns") == []
    with pytest.raises(OutreachError) as error:
        look(replace(wanted, steps=[]))
    assert (error.value.code, error.value.field) == ("INVALID_STEPS", "steps")
