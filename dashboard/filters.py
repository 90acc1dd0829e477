"""What a list shows: the filter in its address, parsed and written again. Reads no row.

What cannot be read is named in `problems` and left out, so that a mistyped address still shows something.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dashboard.days import BetweenDays, instant_of, microseconds_of, parse_day
from dashboard.wording import IN_DOUBT, STATES
from dispatchlog.engine.lanes import Lane

LEAST_SEARCH_CHARACTERS = 2
MOST_SEARCH_CHARACTERS = 200
MOST_NAMED = 20
_CAUSE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

# By last change, by what is left of the time in which it is of use, or by how long it has been waiting.
CHANGED, LEFT, WAITING = "changed", "left", "waiting"
SORTS = MappingProxyType({CHANGED: "Last change", LEFT: "Time left", WAITING: "Waiting longest"})
SPANS = MappingProxyType(
    {
        "15m": ("15 minutes", timedelta(minutes=15)),
        "1h": ("1 hour", timedelta(hours=1)),
        "4h": ("4 hours", timedelta(hours=4)),
        "1d": ("1 day", timedelta(days=1)),
        "3d": ("3 days", timedelta(days=3)),
        "7d": ("7 days", timedelta(days=7)),
        "30d": ("30 days", timedelta(days=30)),
    }
)
OPEN_STATES = frozenset({"PENDING", "QUEUED", "FAILED", IN_DOUBT})
# What has no time left, or never had a deadline, stands apart from what can still be in time.
OVER, NO_DEADLINE = "over", "none"
TIMES_LEFT = MappingProxyType(
    {
        **{key: f"Less than {words}" for key, (words, _) in SPANS.items()},
        OVER: "Past its deadline",
        NO_DEADLINE: "Without a deadline",
    }
)
PERIODS = MappingProxyType({key: f"In the last {words}" for key, (words, _) in SPANS.items()})
AGES = MappingProxyType({key: f"Longer than {words}" for key, (words, _) in SPANS.items()})
# What carries a filter from the form to the address, besides the search and the lane.
FIELDS = ("status", "from", "to", "within", "cause", "gateway", "age", "left", "sort")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of a list begins: the row it continues from, and in which direction."""

    at: datetime
    id: UUID
    newer: bool = False

    def __str__(self) -> str:
        return f"{'newer' if self.newer else 'older'}.{microseconds_of(self.at)}.{self.id.hex}"


@dataclass(frozen=True, slots=True)
class ListFilter(BetweenDays):
    """One list: lane (None: all), states (empty: all), days by last change (UTC, both included) and search text.

    `cause` is an error's code, `gateway` the provider's name, `within`, `age` and `left` keys of PERIODS, AGES and
    TIMES_LEFT. `sort` is the
    order asked for, "" for the one that suits the filter.
    """

    lane: Lane | None = None
    states: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    within: str = ""
    text: str = ""
    found: str = ""
    cause: str = ""
    gateway: str = ""
    age: str = ""
    left: str = ""
    sort: str = ""
    position: Position | None = None
    problems: tuple[str, ...] = ()

    @property
    def order(self) -> str:
        """The order of the list: a filter by time shows first what it is about. What has ended has only its last change."""
        ended = bool(self.states) and not set(self.states) & OPEN_STATES
        if ended or self.sort == CHANGED:
            return CHANGED
        if self.left != NO_DEADLINE and (self.sort == LEFT or (self.left and not self.sort)):
            return LEFT
        return WAITING if self.sort == WAITING or self.age else CHANGED

    @property
    def shown_states(self) -> tuple[str, ...]:
        """The states whose rows can stand in this list: what has ended neither waits nor has time left."""
        asked = self.states or tuple(STATES)
        if self.order == CHANGED and not self.age and not self.left:
            return asked
        return tuple(state for state in asked if state in OPEN_STATES)

    @property
    def is_narrowed(self) -> bool:
        return bool(
            self.states
            or self.since
            or self.until
            or self.within
            or self.text
            or self.cause
            or self.gateway
            or self.age
            or self.left
        )

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The filter as query arguments, with some of its fields replaced."""
        wanted = replace(self, **{"position": None, **changes})
        arguments: dict[str, Any] = {
            "status": list(wanted.states),
            "from": wanted.since and wanted.since.isoformat(),
            "to": wanted.until and wanted.until.isoformat(),
            "within": wanted.within,
            "cause": wanted.cause,
            "gateway": wanted.gateway,
            "age": wanted.age,
            "left": wanted.left,
            # A search for a person is kept in the session: no address of theirs in a URL, a log or a history.
            "q": None if wanted.found else wanted.text or None,
            "found": wanted.found or None,
            "sort": wanted.sort,
            "at": str(wanted.position) if wanted.position else None,
        }
        return {name: value for name, value in arguments.items() if value}


def parse_filter(
    arguments: MultiDict[str, str],
    *,
    lane: Lane | None,
    searches: Mapping[str, str] | None = None,
    gateways: Collection[str] = (),
) -> ListFilter:
    """The filter that the address asks for; what cannot be read is named and left out."""
    problems: list[str] = []
    found = arguments.get("found", "")
    text = (searches or {}).get(found, "") if found else arguments.get("q", "").strip()
    if found and not text:
        problems.append("That search has ended with its session; search again.")
    return ListFilter(
        lane=lane,
        states=_states(arguments.getlist("status"), problems),
        since=parse_day("From", arguments.get("from", ""), problems),
        until=parse_day("To", arguments.get("to", ""), problems),
        within=_one_of("Changed within", arguments.get("within", ""), PERIODS, problems),
        text=_search(text, problems),
        found=found if text else "",
        cause=_cause(arguments.get("cause", "").strip(), problems),
        gateway=_one_of("Provider", arguments.get("gateway", ""), gateways, problems),
        age=_one_of("Waiting longer than", arguments.get("age", ""), AGES, problems),
        left=_one_of("Time left", arguments.get("left", ""), TIMES_LEFT, problems),
        sort=_one_of("Order", arguments.get("sort", ""), SORTS, problems),
        position=parse_position(arguments.get("at", ""), problems),
        problems=tuple(problems),
    )


def _states(values: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    known = []
    for value in values:
        if value.upper() in STATES:
            known.append(value.upper())
        elif value:
            problems.append(f"Status “{value[:40]}” is not known; it is one of {', '.join(STATES)}.")
    return tuple(dict.fromkeys(known))


def _one_of(label: str, value: str, known: Collection[str], problems: list[str]) -> str:
    if value and value not in known:
        named = sorted(known)
        more = ", and more" if len(named) > MOST_NAMED else ""
        problems.append(f"{label} “{value[:40]}” is not known; it is one of {', '.join(named[:MOST_NAMED])}{more}.")
        return ""
    return value


def _cause(value: str, problems: list[str]) -> str:
    if value and not _CAUSE.fullmatch(value):
        problems.append(f"Cause “{value[:40]}” is not a code such as SMTP_550.")
        return ""
    return value


def _search(text: str, problems: list[str]) -> str:
    if text and len(text) < LEAST_SEARCH_CHARACTERS:
        problems.append(f"Search for at least {LEAST_SEARCH_CHARACTERS} characters.")
        return ""
    return text[:MOST_SEARCH_CHARACTERS].replace("\x00", "")


def parse_position(value: str, problems: list[str]) -> Position | None:
    """Where a page begins, as `Position` writes itself; None at the beginning, and where it cannot be read."""
    if not value:
        return None
    try:
        direction, microseconds, identity = value.split(".")
        return Position(instant_of(microseconds), UUID(hex=identity), newer={"newer": True, "older": False}[direction])
    except (ValueError, KeyError, OverflowError):
        problems.append("The place in the list could not be read; showing its beginning.")
        return None
