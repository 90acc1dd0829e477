"""Which messages the figures are asked of, as an address says it, and back: days, whose, channel, purpose. Owns the query
for the names that it offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dashboard.comm_preference_queries import MOST_OWNERS, owner, owners
from dashboard.days import parse_day
from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.stats.reading import Wanted

USUAL_DAYS = 30
MOST_DAYS = 92
PERIODS = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for, with the names of whose messages, and what could not be read of it."""

    wanted: Wanted
    clinic: Row | None
    provider: Row | None
    problems: tuple[str, ...]

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """As query arguments, with some of them replaced."""
        wanted = self.wanted
        found = {
            "from": wanted.first.isoformat(),
            "to": wanted.last.isoformat(),
            "clinic": wanted.organization_id,
            "provider": wanted.provider_id,
            "channel": wanted.channel,
            "purpose": wanted.purpose,
            **changes,
        }
        return {name: str(value) for name, value in found.items() if value}

    def period(self, days: int) -> dict[str, Any]:
        """The same of the last so many days."""
        return self.arguments(**{"from": (_today() - timedelta(days=days - 1)).isoformat(), "to": ""})

    def is_period(self, days: int) -> bool:
        return self.wanted.last == _today() and self.days == days

    @property
    def days(self) -> int:
        return (self.wanted.last - self.wanted.first).days + 1

    def in_words(self) -> str:
        """Whose messages, of what kind."""
        wanted = self.wanted
        parts = [
            self.clinic and str(self.clinic["name"]),
            self.provider and str(self.provider["name"]),
            wanted.channel and f"by {CHANNEL_WORDS[Channel(wanted.channel)]}",
            wanted.purpose and PURPOSE_WORDS[Purpose(wanted.purpose)],
        ]
        return ", ".join(part for part in parts if part)


def parse_asked(arguments: MultiDict[str, str]) -> Asked:
    """What the address asks for; what cannot be read is named and left out."""
    problems: list[str] = []
    first, last = _days(arguments, problems)
    clinic = _one("organization", "Clinic", arguments.get("clinic", ""), problems)
    provider = _one("provider", "Provider", arguments.get("provider", ""), problems)
    return Asked(
        Wanted(
            first,
            last,
            organization_id=clinic["id"] if clinic else None,
            provider_id=provider["id"] if provider else None,
            channel=_word("Channel", arguments.get("channel", ""), [*Channel], problems),
            purpose=_word("Purpose", arguments.get("purpose", ""), [*Purpose], problems),
        ),
        clinic,
        provider,
        tuple(problems),
    )


def choices(asked: Asked) -> Mapping[str, Sequence[Row]]:
    """The clinics and providers that can be chosen: of a clinic, its own; of very many the first, and the chosen one."""
    of_clinic = _providers_of(asked.clinic["id"]) if asked.clinic else owners("provider")
    return {
        "clinics": _with(owners("organization"), asked.clinic),
        "providers": _with(of_clinic, asked.provider),
    }


def _days(arguments: MultiDict[str, str], problems: list[str]) -> tuple[date, date]:
    last = parse_day("To", arguments.get("to", ""), problems) or _today()
    first = parse_day("From", arguments.get("from", ""), problems) or last - timedelta(days=USUAL_DAYS - 1)
    if first > last:
        problems.append("The first day is after the last one; showing the usual range before the last.")
        first = last - timedelta(days=USUAL_DAYS - 1)
    if (last - first).days >= MOST_DAYS:
        problems.append(f"A range holds {MOST_DAYS} days at the most; showing its last {MOST_DAYS}.")
        first = last - timedelta(days=MOST_DAYS - 1)
    return first, last


def _one(level: str, label: str, text: str, problems: list[str]) -> Row | None:
    if not text:
        return None
    try:
        found = owner(level, UUID(text))
    except ValueError:
        found = None
    if found is None:
        problems.append(f"{label} “{text[:40]}” is not known; showing all of them.")
    return found


def _word(label: str, text: str, known: Sequence[str], problems: list[str]) -> str | None:
    if text and text not in known:
        problems.append(f"{label} “{text[:40]}” is not known; showing all of them.")
        return None
    return text or None


def _providers_of(clinic_id: UUID) -> list[Row]:
    return [
        *fetch_dicts(
            "SELECT id, name FROM comm_providers WHERE organization_id = %s ORDER BY name, id LIMIT %s",
            (clinic_id, MOST_OWNERS),
        )
    ]


def _with(rows: Sequence[Row], chosen: Row | None) -> list[Row]:
    missing = chosen is not None and all(row["id"] != chosen["id"] for row in rows)
    return [*rows, chosen] if missing and chosen is not None else [*rows]


def _today() -> date:
    return datetime.now(UTC).date()
