"""What a list shows: the filter in its address, parsed and written again. Reads no row.

What cannot be read is named in `problems` and left out, so that a mistyped address still shows something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dashboard.wording import STATES
from dispatchlog.engine.lanes import Lane

LEAST_SEARCH_CHARACTERS = 2
MOST_SEARCH_CHARACTERS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of a list begins: the row it continues from, and in which direction."""

    at: datetime
    id: UUID
    newer: bool = False

    def __str__(self) -> str:
        microseconds = (self.at - _EPOCH) // timedelta(microseconds=1)
        return f"{'newer' if self.newer else 'older'}.{microseconds}.{self.id.hex}"


@dataclass(frozen=True, slots=True)
class ListFilter:
    """One list: lane (None: all), states (empty: all), days by last change (UTC, both included) and search text."""

    lane: Lane | None = None
    states: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    text: str = ""
    found: str = ""
    position: Position | None = None
    problems: tuple[str, ...] = ()

    @property
    def from_at(self) -> datetime | None:
        return datetime(self.since.year, self.since.month, self.since.day, tzinfo=UTC) if self.since else None

    @property
    def before_at(self) -> datetime | None:
        if self.until is None:
            return None
        return datetime(self.until.year, self.until.month, self.until.day, tzinfo=UTC) + timedelta(days=1)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.states or self.since or self.until or self.text)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The filter as query arguments, with some of its fields replaced."""
        wanted = replace(self, **{"position": None, **changes})
        arguments: dict[str, Any] = {
            "status": list(wanted.states),
            "from": wanted.since and wanted.since.isoformat(),
            "to": wanted.until and wanted.until.isoformat(),
            # A search for a person is kept in the session: no address of theirs in a URL, a log or a history.
            "q": None if wanted.found else wanted.text or None,
            "found": wanted.found or None,
            "at": str(wanted.position) if wanted.position else None,
        }
        return {name: value for name, value in arguments.items() if value}


def parse_filter(
    arguments: MultiDict[str, str], *, lane: Lane | None, searches: Mapping[str, str] | None = None
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
        since=_day("From", arguments.get("from", ""), problems),
        until=_day("To", arguments.get("to", ""), problems),
        text=_search(text, problems),
        found=found if text else "",
        position=_position(arguments.get("at", ""), problems),
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


def _day(label: str, value: str, problems: list[str]) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        problems.append(f"{label} “{value[:40]}” is not a date; write it like 2026-03-31.")
        return None


def _search(text: str, problems: list[str]) -> str:
    if text and len(text) < LEAST_SEARCH_CHARACTERS:
        problems.append(f"Search for at least {LEAST_SEARCH_CHARACTERS} characters.")
        return ""
    return text[:MOST_SEARCH_CHARACTERS].replace("\x00", "")


def _position(value: str, problems: list[str]) -> Position | None:
    if not value:
        return None
    try:
        direction, microseconds, identity = value.split(".")
        at = _EPOCH + timedelta(microseconds=int(microseconds))
        return Position(at, UUID(hex=identity), newer={"newer": True, "older": False}[direction])
    except (ValueError, KeyError, OverflowError):
        problems.append("The place in the list could not be read; showing its beginning.")
        return None
