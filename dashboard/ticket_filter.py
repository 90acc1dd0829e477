"""Which of one's own tickets an address asks for, and back: part, type, days, unread, search, order. Reads no row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from werkzeug.datastructures import MultiDict

from dashboard.days import BetweenDays, parse_day
from dashboard.filters import LEAST_SEARCH_CHARACTERS, MOST_SEARCH_CHARACTERS, parse_position
from dashboard.filters import Position as ListPosition
from dashboard.party_wording import Tab, tabs_of
from dispatchlog.systems.tickets.reading import Position, TicketQuery
from dispatchlog.systems.tickets.states import TYPE_WORDS, PartyKind, TicketType

# What carries a filter from the form to the address, besides the search.
FIELDS = ("status", "type", "from", "to", "unread", "sort")
OLDEST, NEWEST = "oldest", "newest"
SORTS = {OLDEST: "Waiting longest", NEWEST: "Newest"}
# Only the number of a ticket may stand in an address; whatever else is searched for may be somebody's name.
_NUMBER = re.compile(r"TKT-?[0-9]{0,8}-?[A-Z0-9]{0,5}", re.IGNORECASE)


def is_number(text: str) -> bool:
    """Whether the text is the number of a ticket, or the beginning of one."""
    return _NUMBER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class TicketsFilter(BetweenDays):
    """One list of a party's tickets. `found` names a search that is kept in the session; `sort` is "" for the usual order:
    a receiver's work by how long it waits, everything else newest first.
    """

    kind: PartyKind
    tab: Tab
    ticket_type: TicketType | None = None
    since: date | None = None
    until: date | None = None
    unread: bool = False
    sort: str = ""
    text: str = ""
    found: str = ""
    position: Position | None = None
    problems: tuple[str, ...] = ()

    @property
    def order(self) -> str:
        """The order that the list is shown in."""
        if self.sort:
            return self.sort
        is_work = self.kind in (PartyKind.PHARMACY, PartyKind.LABORATORY) and self.tab.key in ("", "sent", "received")
        return OLDEST if is_work else NEWEST

    @property
    def is_narrowed(self) -> bool:
        """Whether more than a part of the list was chosen."""
        return bool(self.ticket_type or self.since or self.until or self.unread or self.text)

    def query(self, *, limit: int) -> TicketQuery:
        """What it asks of the system of tickets."""
        return TicketQuery(
            statuses=self.tab.statuses,
            ticket_type=self.ticket_type,
            text=self.text,
            unread=self.unread,
            since=self.from_at,
            until=self.before_at,
            oldest_first=self.order == OLDEST,
            after=self.position,
            limit=limit,
        )

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The filter as query arguments, with some of its fields replaced; its place only where it is given."""
        wanted = replace(self, **{"position": None, **changes})
        place = wanted.position
        arguments = {
            "status": wanted.tab.key,
            "type": wanted.ticket_type,
            "from": wanted.since and wanted.since.isoformat(),
            "to": wanted.until and wanted.until.isoformat(),
            "unread": "1" if wanted.unread else None,
            "sort": wanted.sort,
            "q": None if wanted.found else wanted.text,
            "found": wanted.found,
            "at": str(ListPosition(place.at, place.ticket_id)) if place else None,
        }
        return {name: str(value) for name, value in arguments.items() if value}

    def in_words(self) -> str:
        """What it lets through, without what was searched for."""
        parts = [self.tab.label]
        parts += [TYPE_WORDS[self.ticket_type]] if self.ticket_type else []
        parts += [f"from {self.since}"] if self.since else []
        parts += [f"to {self.until}"] if self.until else []
        parts += ["unread"] if self.unread else []
        parts += ["a search"] if self.text else []
        return ", ".join(parts)


def parse_tickets_filter(
    arguments: MultiDict[str, str], kind: PartyKind, searches: Mapping[str, str] | None = None
) -> TicketsFilter:
    """The filter that the address asks for; what cannot be read is named and left out."""
    problems: list[str] = []
    found = arguments.get("found", "")
    text = (searches or {}).get(found, "") if found else arguments.get("q", "").strip()
    if found and not text:
        problems.append("That search has ended with its session; search again.")
    elif not found and text and not is_number(text):
        problems.append("An address holds numbers of tickets only; search for anything else in the field.")
        text = ""
    place = parse_position(arguments.get("at", ""), problems)
    return TicketsFilter(
        kind=kind,
        tab=_tab(arguments.get("status", ""), kind, problems),
        ticket_type=_type(arguments.get("type", ""), problems),
        since=parse_day("From", arguments.get("from", ""), problems),
        until=parse_day("To", arguments.get("to", ""), problems),
        unread=arguments.get("unread", "") == "1",
        sort=sort if (sort := arguments.get("sort", "")) in SORTS else "",
        text=_search(text, problems),
        found=found if text else "",
        position=Position(place.at, place.id) if place else None,
        problems=tuple(problems),
    )


def _tab(key: str, kind: PartyKind, problems: list[str]) -> Tab:
    tabs = tabs_of(kind)
    for tab in tabs:
        if tab.key == key:
            return tab
    known = ", ".join(tab.key for tab in tabs if tab.key)
    problems.append(f"Status “{key[:40]}” is not known; it is one of {known}.")
    return tabs[0]


def _type(value: str, problems: list[str]) -> TicketType | None:
    if value and value not in TYPE_WORDS:
        problems.append(f"Type “{value[:40]}” is not known; it is one of {', '.join(TYPE_WORDS)}.")
    return TicketType(value) if value in TYPE_WORDS else None


def _search(text: str, problems: list[str]) -> str:
    if text and len(text) < LEAST_SEARCH_CHARACTERS:
        problems.append(f"Search for at least {LEAST_SEARCH_CHARACTERS} characters.")
        return ""
    return text[:MOST_SEARCH_CHARACTERS].replace("\x00", "")
