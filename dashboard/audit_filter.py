"""What the list of actions shows: the filter in its address, parsed and written again. Reads no row.

What cannot be read is named in `problems` and left out. No person's address stands in a URL: whoever acted goes by a short
hash, and a search is for business keys only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from dashboard.audit_wording import KINDS
from dashboard.days import BetweenDays, instant_of, microseconds_of, parse_day

LEAST_KEY_CHARACTERS = 2
MOST_KEY_CHARACTERS = 200
_KINDS = {kind.key: kind for kind in KINDS}
NO_ADDRESS = "Search by order number, kit or dispatch id here, not by the address of a person."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the list begins: the entry it continues from, and in which direction."""

    at: datetime
    id: int
    newer: bool = False

    def __str__(self) -> str:
        return f"{'newer' if self.newer else 'older'}.{microseconds_of(self.at)}.{self.id}"


@dataclass(frozen=True, slots=True)
class AuditFilter(BetweenDays):
    """Which actions: by whom (as `name_of_actor` calls them), of which kind, to which dispatch, on which days (UTC)."""

    by: str = ""
    action: str = ""
    key: str = ""
    since: date | None = None
    until: date | None = None
    place: Place | None = None
    problems: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions asked for; empty: all."""
        if kind := _KINDS.get(self.action):
            return kind.actions
        return (self.action,) if self.action else ()

    @property
    def is_narrowed(self) -> bool:
        return bool(self.by or self.action or self.key or self.since or self.until)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The filter as query arguments, with some of its fields replaced."""
        wanted = replace(self, **{"place": None, **changes})
        arguments = {
            "by": wanted.by,
            "action": wanted.action,
            "q": wanted.key,
            "from": wanted.since and wanted.since.isoformat(),
            "to": wanted.until and wanted.until.isoformat(),
            "at": str(wanted.place) if wanted.place else None,
        }
        return {name: value for name, value in arguments.items() if value}


def name_of_actor(actor: str) -> str:
    """What stands for whoever acted in an address of ours."""
    return hashlib.sha256(actor.encode()).hexdigest()[:16]


def parse_audit_filter(arguments: Mapping[str, str]) -> AuditFilter:
    """The filter that the address, or a form of the same fields, asks for."""
    problems: list[str] = []
    return AuditFilter(
        by=_actor(arguments.get("by", ""), problems),
        action=_action(arguments.get("action", ""), problems),
        key=_key(arguments.get("q", ""), problems),
        since=parse_day("From", arguments.get("from", ""), problems),
        until=parse_day("To", arguments.get("to", ""), problems),
        place=_place(arguments.get("at", ""), problems),
        problems=tuple(problems),
    )


def _actor(value: str, problems: list[str]) -> str:
    if value and not re.fullmatch(r"[0-9a-f]{16}", value):
        problems.append("Who did it could not be read; showing everybody.")
        return ""
    return value


def _action(value: str, problems: list[str]) -> str:
    if value and not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", value):
        problems.append("What was done could not be read; showing everything.")
        return ""
    return value


def _key(value: str, problems: list[str]) -> str:
    value = value.replace("\x00", "").strip()[:MOST_KEY_CHARACTERS]
    if "@" in value or value.startswith("+"):
        problems.append(NO_ADDRESS)
        return ""
    if value and len(value) < LEAST_KEY_CHARACTERS:
        problems.append(f"Search for at least {LEAST_KEY_CHARACTERS} characters.")
        return ""
    return value


def _place(value: str, problems: list[str]) -> Place | None:
    if not value:
        return None
    try:
        direction, microseconds, identity = value.split(".")
        place = Place(instant_of(microseconds), int(identity), newer={"newer": True, "older": False}[direction])
        if not 0 < place.id < 2**63:
            raise ValueError
    except (ValueError, KeyError, OverflowError):
        problems.append("The place in the list could not be read; showing its beginning.")
        return None
    return place
