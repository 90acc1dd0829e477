"""The history of a school's endpoint in words: who changed what, from what to what; of secrets, that they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.hl7_endpoint_form import LABELS, PARTS
from dashboard.wording import actor
from dispatchlog.systems.hl7.school_settings import write
from dispatchlog.systems.hl7.schools import UNTOLD

_CHOICES = {field.name: dict(field.choices) for part in PARTS for field in part.fields if field.choices}


@dataclass(frozen=True, slots=True)
class Step:
    """One setting: what it was and what it became, or `before` None where only that it changed is known."""

    label: str
    before: str | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did to the endpoint at once."""

    id: int
    at: datetime
    who: str
    title: str
    reason: str
    steps: Sequence[Step]


def changes_of(rows: Sequence[Mapping[str, Any]]) -> list[Change]:
    """The entries of the record as the page shows them."""
    return [
        Change(row["id"], row["at"], actor(row["actor"]), _title(row), row["reason"] or "", _steps(row["detail"]))
        for row in rows
    ]


def _title(row: Mapping[str, Any]) -> str:
    if row["action"] == "school_add":
        return "Added, switched off"
    version = row["detail"].get("version")
    return f"Version {version}" if version else "Changed"


def _steps(detail: Mapping[str, Any]) -> list[Step]:
    told = detail.get("changes")
    if told is None:  # an entry from before values were kept
        return [Step(LABELS.get(name, name)) for name in detail.get("settings", ())]
    return [_step(name, values) for name, values in told.items()]


def _step(name: str, values: Mapping[str, Any]) -> Step:
    label = LABELS.get(name, name)
    if name in UNTOLD or "to" not in values:
        return Step(label)
    return Step(label, _words(name, values["from"]), _words(name, values["to"]))


def _words(name: str, value: Any) -> str:
    written = write(name, value)
    return _CHOICES.get(name, {}).get(written, written).replace("\n", ", ") or "empty"
