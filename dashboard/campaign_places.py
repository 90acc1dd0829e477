"""Where a refusal belongs in a campaign's form: from its path, such as `steps[1].conditions[0].step`, to a field's id and
its words. Pure."""

from __future__ import annotations

import re
from types import MappingProxyType

_PARTS = re.compile(r"[^.\[\]]+")
_TOP = MappingProxyType(
    {
        "ab_variants": "variants",
        "exit_rules": "exits",
        "frequency": "per_day",
        "organization_id": "segment_id",
        "variant": "variants",
    }
)
_OF_STEP = MappingProxyType({"purpose": "text", "family": "text", "template": "text", "offset": "days"})
_WORDS = MappingProxyType(
    {
        "name": "Name",
        "description": "What it is for",
        "segment_id": "Whom",
        "steps": "Steps",
        "variants": "Test",
        "goal": "Goal of the test",
        "minimum": "Least number of patients",
        "start_date": "First day",
        "end_date": "Last day",
        "timezone": "Time zone",
        "overlap": "Other campaigns",
        "control_percent": "Control group",
        "language_fallback": "Languages",
        "exits": "When a patient leaves",
        "per_day": "Most a day",
        "per_week": "Most a week",
        "per_month": "Most in 30 days",
        "after": "After",
        "days": "Days",
        "hours": "Hours",
        "minutes": "Minutes",
        "text": "Text",
        "channel": "Channel",
        "variables": "Values",
        "conditions": "Conditions",
        "key": "Name",
        "step": "Which message",
        "is": "What must hold",
    }
)


def id_of(path: str) -> str:
    """The id of the field, or of the part of the form that holds it."""
    parts = _PARTS.findall(path)
    if not parts:
        return ""
    if parts[0] == "steps":
        return "-".join(("steps", *_in_step(parts[1:])))
    if parts[0] == "ab_variants" and parts[1:2] in (["goal"], ["minimum"]):
        return parts[1]
    if parts[0] == "frequency" and len(parts) > 1:
        return parts[1]
    return _TOP.get(parts[0], parts[0])


def words_of(path: str) -> str:
    """The same as somebody calls it: `Step 2, condition 1`."""
    parts = id_of(path).split("-")
    if parts[0] != "steps" or len(parts) == 1:
        return _WORDS.get(parts[0], "Campaign")
    said = f"Step {int(parts[1]) + 1}"
    if len(parts) > 2:
        said += f", {_WORDS.get(parts[2], parts[2]).lower()}"
    if len(parts) > 3:
        said += f" {int(parts[3]) + 1}" if parts[3].isdecimal() else f" {parts[3]}"
    return said


def _in_step(parts: list[str]) -> list[str]:
    if not parts or not parts[0].isdecimal():
        return []
    at, rest = parts[0], parts[1:]
    if not rest or rest[0] == "key":
        return [at] if not rest else [at, "name"]
    if rest[0] == "offset" and rest[1:2] and rest[1] in ("days", "hours", "minutes"):
        return [at, rest[1]]
    return [at, *([_OF_STEP[rest[0]]] if rest[0] in _OF_STEP else rest)]
