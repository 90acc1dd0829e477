"""The API's routes about figures of messages to patients. Owns their URLs and answers."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from dashboard.api.comm_calls import on_one_connection
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.growth_parts import OutcomesAnswer, StatsAnswer
from dashboard.api.routes import Call, Route, path_uuid
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.stats import outcomes, reading

GROUPS = ("date", "organization_id", "provider_id", "channel", "purpose")
LONGEST = timedelta(days=400)
_WANTED = {
    "first": "first day, such as 2026-03-01 (UTC)",
    "last": "last day, at most 400 days later",
    "organization_id": "only this organisation's",
    "provider_id": "only this provider's",
    "channel": ", ".join(Channel),
    "purpose": ", ".join(Purpose),
}


@on_one_connection
def get_stats(call: Call) -> StatsAnswer:
    """Figures by what was asked for."""
    names = [name for name in call.parameters.get("by", "").split(",") if name]
    if unknown := [name for name in names if name not in GROUPS]:
        raise ApiError("UNKNOWN_VALUE", f"by is of {', '.join(GROUPS)}, not {unknown[0][:32]!r}", field="by")
    wanted = _wanted(call)
    return StatsAnswer.of([*reading.by(wanted, *dict.fromkeys(names))] if names else [reading.totals(wanted)])


@on_one_connection
def get_outcomes(call: Call) -> OutcomesAnswer:
    """What messages were worth."""
    return OutcomesAnswer.of(outcomes.outcomes(_wanted(call)))


def _wanted(call: Call) -> reading.Wanted:
    first, last = _day(call, "first"), _day(call, "last")
    if last < first:
        raise ApiError("END_BEFORE_START", "last is before first", field="last")
    if last - first > LONGEST:
        raise ApiError("INVALID_RANGE", f"at most {LONGEST.days} days", field="last")
    return reading.Wanted(
        first,
        last,
        organization_id=_id(call, "organization_id"),
        provider_id=_id(call, "provider_id"),
        channel=_word(call, "channel", [*map(str, Channel)]),
        purpose=_word(call, "purpose", [*map(str, Purpose)]),
    )


def _day(call: Call, name: str) -> date:
    text = call.parameters.get(name, "")
    if not text:
        raise ApiError("MISSING_FIELD", "is required", field=name)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ApiError("INVALID_DATE", f"{name} is a day such as 2026-03-01", field=name) from error


def _id(call: Call, name: str) -> UUID | None:
    text = call.parameters.get(name, "")
    return path_uuid(text, name) if text else None


def _word(call: Call, name: str, known: list[str]) -> str | None:
    text = call.parameters.get(name) or None
    if text not in (None, *known):
        raise ApiError("UNKNOWN_VALUE", f"{name} is one of {', '.join(known)}", field=name)
    return text


_CODES = ("MISSING_FIELD", "INVALID_DATE", "END_BEFORE_START", "INVALID_RANGE", "INVALID_UUID", "UNKNOWN_VALUE")
ROUTES = (
    Route(
        "GET",
        f"{PREFIX}/comm/stats",
        "getCommunicationStats",
        "How many messages were sent, delivered, opened, clicked, answered, bounced and unsubscribed from; a message "
        "counts on the day on which it was sent.",
        "comm:read",
        get_stats,
        StatsAnswer,
        required=("first", "last"),
        parameters={**_WANTED, "by": f"for each of, with commas between: {', '.join(GROUPS)}; one row unless told"},
        codes=_CODES,
    ),
    Route(
        "GET",
        f"{PREFIX}/comm/outcomes",
        "getCommunicationOutcomes",
        "Missed appointments with and without a reminder, and what came back for what was spent.",
        "comm:read",
        get_outcomes,
        OutcomesAnswer,
        required=("first", "last"),
        parameters=_WANTED,
        codes=_CODES,
    ),
)
