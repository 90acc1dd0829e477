"""What messages are worth: missed appointments with and without a reminder, and what comes back for what is spent.

The calculation is plain and shown with its parts: appointments of the span that are over, those that were reminded (a
message of purpose appt_confirm or appt_reminder was sent before they began), the share that was missed of each, with
intervals (Wilson); missed appointments that did not happen = reminded x (baseline - share missed of the reminded), the
baseline being that of the rates, else of the appointments without a reminder; worth = that x value of a visit; cost = what
was sent by channel x its cost. No cause is claimed: who gets no reminder differs from who does, and the page says so.

An appointment is over when it has begun, was not called off, and nobody waits for another time for it; it was missed when
the core platform said so. What is asked for of channel and purpose narrows the reminders and the cost; appointments with
another reminder only are then on neither side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.systems.outreach.states import Purpose
from dispatchlog.systems.outreach.stats import reading
from dispatchlog.systems.outreach.stats.intervals import difference, wilson
from dispatchlog.systems.outreach.stats.rates import Rates, rates, set_rates
from dispatchlog.systems.outreach.stats.reading import Wanted

__all__ = ["REMINDING", "Missed", "Outcomes", "Rates", "outcomes", "rates", "set_rates"]

REMINDING = (Purpose.APPT_CONFIRM, Purpose.APPT_REMINDER)
_WORDS = ", ".join(f"'{purpose}'" for purpose in REMINDING)

_APPOINTMENTS = """
SELECT missed, confirmed, reminded, count(*) AS number FROM (
    SELECT a.status = 'no_show' AS missed, coalesce(a.confirmed_at < a.starts_at, false) AS confirmed,
        (SELECT max(({asked})::integer) FROM comm_jobs j WHERE j.appointment_id = a.id AND j.sent_at < a.starts_at
            AND j.purpose IN ({purposes})) AS reminded
    FROM comm_appointments a{joined}
    WHERE a.starts_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'
        AND a.starts_at < least(now(), (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC')
        AND a.status IN ('scheduled', 'confirmed', 'completed', 'no_show'){only}
) found GROUP BY 1, 2, 3
"""
_OF_PATIENT = " JOIN patients p ON p.id = a.patient_id"
# As a message takes them from its patient and appointment.
_ONLY = {
    "provider_id": " AND coalesce(a.provider_id, p.provider_id) = %(provider_id)s",
    "organization_id": " AND coalesce(p.organization_id, (SELECT v.organization_id FROM comm_providers v"
    " WHERE v.id = p.provider_id)) = %(organization_id)s",
}


@dataclass(frozen=True, slots=True)
class Missed:
    """Of `appointments` that are over, `missed` were; the share with its 95 % interval, None where there are none."""

    appointments: int
    missed: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the pages show. `saved` and what follows from it is None without rates or without a baseline.

    `confirmed` are those of the reminded that the patient confirmed. `baseline_from`: "rates", "not_reminded" or "".
    `saved` has its 95 % interval; it is below 0 where more of the reminded were missed. `roi`: what came back above what
    was spent, for each unit spent.
    """

    reminded: Missed
    confirmed: Missed
    not_reminded: Missed
    baseline: float | None
    baseline_from: str
    saved: float | None
    saved_low: float | None
    saved_high: float | None
    worth: Decimal | None
    cost: Decimal | None
    cost_by_channel: Mapping[str, Decimal]
    roi: float | None
    currency: str


def outcomes(wanted: Wanted) -> Outcomes:
    """Of the appointments that began in those days."""
    found = _appointments(wanted)
    reminded = _missed(row for row in found if row["reminded"] == 1)
    not_reminded = _missed(row for row in found if row["reminded"] is None)
    prices = rates(wanted.organization_id)
    baseline, source = _baseline(prices, not_reminded)
    saved, low, high = _saved(reminded, baseline) if baseline else (None, None, None)
    worth = Decimal(str(round(saved, 6))) * prices.visit_value if prices and saved is not None else None
    cost_by_channel = _cost(wanted, prices) if prices else {}
    cost = sum(cost_by_channel.values(), Decimal(0)) if prices else None
    return Outcomes(
        reminded=reminded,
        confirmed=_missed(row for row in found if row["reminded"] == 1 and row["confirmed"]),
        not_reminded=not_reminded,
        baseline=baseline[0] if baseline else None,
        baseline_from=source,
        saved=saved,
        saved_low=low,
        saved_high=high,
        worth=worth,
        cost=cost,
        cost_by_channel=cost_by_channel,
        roi=float((worth - cost) / cost) if worth is not None and cost else None,
        currency=prices.currency if prices else "",
    )


def _appointments(wanted: Wanted) -> list[dict[str, Any]]:
    """How many there are of each kind; `reminded` is 1 by what is asked for, 0 by something else only, None by nothing."""
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    only = "".join(words for name, words in _ONLY.items() if name in given)
    asked = " AND ".join(f"j.{name} = %({name})s" for name in ("channel", "purpose") if name in given) or "true"
    with connected():
        return fetch_dicts(
            _APPOINTMENTS.format(asked=asked, purposes=_WORDS, joined=_OF_PATIENT if only else "", only=only), given
        )


def _missed(rows: Any) -> Missed:
    counted = [(int(row["number"]), bool(row["missed"])) for row in rows]
    appointments = sum(number for number, _ in counted)
    missed = sum(number for number, was_missed in counted if was_missed)
    if not appointments:
        return Missed(0, 0, None, None, None)
    low, high = wilson(missed, appointments)
    return Missed(appointments, missed, missed / appointments, low, high)


_Share = tuple[float, float, float]


def _baseline(prices: Rates | None, not_reminded: Missed) -> tuple[_Share | None, str]:
    """With its interval; what somebody has said has none."""
    if prices and prices.baseline_no_show is not None:
        said = float(prices.baseline_no_show)
        return (said, said, said), "rates"
    found = _share(not_reminded)
    return found, "not_reminded" if found else ""


def _share(of: Missed) -> _Share | None:
    if of.share is None or of.low is None or of.high is None:
        return None
    return of.share, of.low, of.high


def _saved(reminded: Missed, baseline: _Share) -> tuple[float | None, float | None, float | None]:
    share = _share(reminded)
    if share is None:
        return None, None, None
    low, high = difference(baseline, share)
    of = reminded.appointments
    return of * (baseline[0] - share[0]), of * low, of * high


def _cost(wanted: Wanted, prices: Rates) -> dict[str, Decimal]:
    sent = {str(row["channel"]): int(str(row["sent"])) for row in reading.by(wanted, "channel")}
    return {channel: number * prices.cost_of(channel) for channel, number in sent.items() if number}
