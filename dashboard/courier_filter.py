"""Which pharmacy orders an address asks for, and back: states, pharmacy, days, search. Reads no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dashboard.courier_wording import ORDER_STATES
from dashboard.days import BetweenDays, parse_day
from dashboard.filters import LEAST_SEARCH_CHARACTERS, MOST_SEARCH_CHARACTERS, Position, parse_position

# What carries a filter from the form to the address, besides the search.
FIELDS = ("status", "pharmacy", "from", "to")


@dataclass(frozen=True, slots=True)
class PharmacyName:
    """A pharmacy as filters know it."""

    id: UUID
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class OrdersFilter(BetweenDays):
    """One list of orders: their states (none: all), pharmacy (None: all), days they were made on (UTC), search text.

    `found` names a search that is kept in the session: a person's address stands in no URL, log or history.
    """

    states: tuple[str, ...] = ()
    pharmacy: PharmacyName | None = None
    since: date | None = None
    until: date | None = None
    text: str = ""
    found: str = ""
    position: Position | None = None
    problems: tuple[str, ...] = ()

    @property
    def is_narrowed(self) -> bool:
        return bool(self.states or self.pharmacy or self.since or self.until or self.text)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The filter as query arguments, with some of its fields replaced; its place only where it is given."""
        wanted = replace(self, **{"position": None, **changes})
        arguments: dict[str, Any] = {
            "status": list(wanted.states),
            "pharmacy": wanted.pharmacy and wanted.pharmacy.code,
            "from": wanted.since and wanted.since.isoformat(),
            "to": wanted.until and wanted.until.isoformat(),
            "q": None if wanted.found else wanted.text or None,
            "found": wanted.found or None,
            "at": str(wanted.position) if wanted.position else None,
        }
        return {name: value for name, value in arguments.items() if value}

    def in_words(self) -> str:
        """What it lets through, without what was searched for."""
        parts = [ORDER_STATES[state].label for state in self.states]
        parts += [self.pharmacy.name] if self.pharmacy else []
        parts += [f"from {self.since}"] if self.since else []
        parts += [f"to {self.until}"] if self.until else []
        parts += ["a search"] if self.text else []
        return ", ".join(parts) or "Every order"


def parse_orders_filter(
    arguments: MultiDict[str, str], pharmacies: Sequence[PharmacyName], searches: Mapping[str, str] | None = None
) -> OrdersFilter:
    """The filter that the address asks for; what cannot be read is named and left out."""
    problems: list[str] = []
    found = arguments.get("found", "")
    text = (searches or {}).get(found, "") if found else arguments.get("q", "").strip()
    if found and not text:
        problems.append("That search has ended with its session; search again.")
    return OrdersFilter(
        states=_states(arguments.getlist("status"), problems),
        pharmacy=_pharmacy(arguments.get("pharmacy", ""), pharmacies, problems),
        since=parse_day("From", arguments.get("from", ""), problems),
        until=parse_day("To", arguments.get("to", ""), problems),
        text=_search(text, problems),
        found=found if text else "",
        position=parse_position(arguments.get("at", ""), problems),
        problems=tuple(problems),
    )


def _states(values: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    known = []
    for value in values:
        if value.upper() in ORDER_STATES:
            known.append(value.upper())
        elif value:
            problems.append(f"Status “{value[:40]}” is not known; it is one of {', '.join(ORDER_STATES)}.")
    return tuple(dict.fromkeys(known))


def _pharmacy(code: str, pharmacies: Sequence[PharmacyName], problems: list[str]) -> PharmacyName | None:
    found = next((pharmacy for pharmacy in pharmacies if pharmacy.code == code), None)
    if code and found is None:
        problems.append(f"Pharmacy “{code[:40]}” is not known; showing all of them.")
    return found


def _search(text: str, problems: list[str]) -> str:
    if text and len(text) < LEAST_SEARCH_CHARACTERS:
        problems.append(f"Search for at least {LEAST_SEARCH_CHARACTERS} characters.")
        return ""
    return text[:MOST_SEARCH_CHARACTERS].replace("\x00", "")
