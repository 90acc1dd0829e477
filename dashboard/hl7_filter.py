"""Which HL7 messages an address asks for, and back: state, school, days. Reads no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from werkzeug.datastructures import MultiDict

from dashboard.days import BetweenDays, parse_day
from dashboard.filters import Position, parse_position
from dispatchlog.engine.states import Status
from dispatchlog.systems.hl7.schools import School


@dataclass(frozen=True, slots=True)
class MessageFilter(BetweenDays):
    """One list of messages: of a state ("": all), of a school (None: all), made on these days (UTC, both included)."""

    status: str = ""
    school: School | None = None
    since: date | None = None
    until: date | None = None
    position: Position | None = None
    problems: tuple[str, ...] = ()

    @property
    def is_narrowed(self) -> bool:
        return bool(self.status or self.school or self.since or self.until)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The filter as query arguments, with some of its fields replaced; its place only where it is given."""
        wanted = replace(self, **{"position": None, **changes})
        arguments = {
            "status": wanted.status,
            "school": wanted.school and wanted.school.code,
            "from": wanted.since and wanted.since.isoformat(),
            "to": wanted.until and wanted.until.isoformat(),
            "at": str(wanted.position) if wanted.position else None,
        }
        return {name: value for name, value in arguments.items() if value}


def parse_messages_filter(arguments: MultiDict[str, str], schools: Sequence[School]) -> MessageFilter:
    """The filter that the address asks for; what cannot be read is named and left out."""
    problems: list[str] = []
    return MessageFilter(
        status=_status(arguments.get("status", ""), problems),
        school=_school(arguments.get("school", ""), schools, problems),
        since=parse_day("From", arguments.get("from", ""), problems),
        until=parse_day("To", arguments.get("to", ""), problems),
        position=parse_position(arguments.get("at", ""), problems),
        problems=tuple(problems),
    )


def _status(value: str, problems: list[str]) -> str:
    if value and value.upper() not in list(Status):
        problems.append(f"Status “{value[:40]}” is not known; it is one of {', '.join(Status)}.")
        return ""
    return value.upper()


def _school(code: str, schools: Sequence[School], problems: list[str]) -> School | None:
    found = next((school for school in schools if school.code == code), None)
    if code and found is None:
        problems.append(f"School “{code[:40]}” is not known; showing all of them.")
    return found
