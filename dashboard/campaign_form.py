"""The form of a campaign: what is stored as fields, what somebody entered as a campaign. Stores nothing.

Fields are named by their path (`steps.1.conditions.0.step`), and a button by what it does to the draft (`up-step.2`), so
the same posts work with and without scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dispatchlog.systems.outreach.campaigns.plans import EXITS, MOST_STEPS
from dispatchlog.systems.outreach.campaigns.store import Campaign

MOST_CONDITIONS = 6
MOST_VARIABLES = 40
MOST_VARIANTS = 12
FREQUENCIES = ("per_day", "per_week", "per_month")
_TEXTS = (
    *("name", "description", "segment_id", "start_date", "end_date", "timezone", "overlap", "control_percent"),
    *("goal", "minimum", "based_on", *FREQUENCIES),
)
_STEP_TEXTS = ("key", "name", "after", "days", "hours", "minutes", "text", "channel")
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class StepFields:
    """One step as the form shows it; `text` is purpose and family, such as "campaign_education:flu-2026"."""

    texts: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    conditions: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Fields:
    """What the form shows."""

    texts: Mapping[str, str]
    steps: Sequence[StepFields]
    shares: Mapping[str, str]
    exits: frozenset[str]
    language_fallback: bool

    @property
    def names(self) -> dict[str, str]:
        """What each step is called, by its key."""
        return {
            step.texts["key"]: step.texts["name"] or f"Step {number}" for number, step in enumerate(self.steps, start=1)
        }


def beginning(*, timezone: str, text: str) -> Fields:
    """An empty form with one step."""
    texts = {**dict.fromkeys(_TEXTS, ""), "timezone": timezone, "overlap": "refuse", "control_percent": "0"}
    texts |= {"goal": "answered", "minimum": "200", "based_on": "0", "per_week": "2"}
    return Fields(texts, [_new_step([], text=text)], {}, frozenset({"opted_out"}), language_fallback=False)


def fields_of(one: Campaign) -> Fields:
    """A stored campaign as the form shows it."""
    variants = one.ab_variants
    texts = {
        "name": one.name,
        "description": one.description,
        "segment_id": str(one.segment_id),
        "start_date": one.start_date.isoformat() if one.start_date else "",
        "end_date": one.end_date.isoformat() if one.end_date else "",
        "timezone": one.timezone,
        "overlap": one.overlap,
        "control_percent": str(one.control_percent),
        "goal": str(variants.get("goal") or "answered"),
        "minimum": str(variants.get("minimum") or 200),
        "based_on": str(one.version),
        **{name: str(one.frequency.get(name) or "") for name in FREQUENCIES},
    }
    shares = {str(each["key"]): str(each["weight"]) for each in variants.get("variants", ())}
    return Fields(
        texts,
        [_stored_step(step) for step in one.steps],
        shares,
        frozenset(one.exit_rules),
        language_fallback=one.language_fallback,
    )


def fields_entered(form: Mapping[str, str]) -> Fields:
    """What somebody entered, to be shown again."""
    texts = {name: _line(form, name) for name in _TEXTS}
    texts["description"] = _NOT_TEXT.sub("", form.get("description", "")).replace("\r\n", "\n").strip()
    steps = [_entered_step(form, f"steps.{at}") for at in range(MOST_STEPS + 1) if f"steps.{at}.key" in form]
    shares = {
        _line(form, f"variants.{at}.key"): _line(form, f"variants.{at}.weight")
        for at in range(MOST_VARIANTS)
        if _line(form, f"variants.{at}.key")
    }
    exits = frozenset(name for name in EXITS if f"exits.{name}" in form)
    return Fields(texts, steps, shares, exits, language_fallback="language_fallback" in form)


def changed(fields: Fields, what: str) -> Fields:
    """The draft after one of its buttons, such as `add-condition.1`; the same where the button is none of it."""
    name, _, place = what.partition(".")
    act = _ACTS.get(name)
    try:
        at = [int(part) for part in place.split(".") if part]
        return fields if act is None else replace(fields, steps=act([*fields.steps], at))
    except (ValueError, IndexError):
        return fields


def documents(fields: Fields) -> dict[str, Any]:
    """Steps, variants, frequency and exit rules as the documents that they are stored as."""
    shares = [{"key": key, "weight": _number(weight)} for key, weight in fields.shares.items() if weight]
    variants = {"variants": shares, "goal": fields.texts["goal"], "minimum": _number(fields.texts["minimum"])}
    return {
        "steps": [_step_document(step) for step in fields.steps],
        "ab_variants": variants if shares else {},
        "frequency": {name: _number(fields.texts[name]) for name in FREQUENCIES if fields.texts[name]},
        "exit_rules": [name for name in EXITS if name in fields.exits],
    }


def _new_step(before: Sequence[StepFields], *, text: str) -> StepFields:
    taken = {step.texts["key"] for step in before}
    key = next(key for number in range(1, MOST_STEPS + 99) if (key := f"step-{number}") not in taken)
    texts = {**dict.fromkeys(_STEP_TEXTS, ""), "key": key, "text": text}
    return StepFields({**texts, "days": "3" if before else "0", "hours": "0", "minutes": "0"})


def _stored_step(step: Mapping[str, Any]) -> StepFields:
    offset = step.get("offset") or {}
    texts = {
        "key": str(step.get("key", "")),
        "name": str(step.get("name", "")),
        "after": str(step.get("after") or ""),
        **{unit: str(offset.get(unit, 0)) for unit in ("days", "hours", "minutes")},
        "text": f"{step.get('purpose', '')}:{step.get('family') or ''}",
        "channel": str(step.get("channel") or ""),
    }
    conditions = [(str(each["step"]), str(each["is"])) for each in step.get("conditions", ())]
    return StepFields(texts, {key: str(value) for key, value in step.get("variables", {}).items()}, conditions)


def _entered_step(form: Mapping[str, str], at: str) -> StepFields:
    variables = {
        _line(form, f"{at}.variables.{row}.name"): _line(form, f"{at}.variables.{row}.value")
        for row in range(MOST_VARIABLES)
        if _line(form, f"{at}.variables.{row}.name")
    }
    conditions = [
        (_line(form, f"{at}.conditions.{row}.step"), _line(form, f"{at}.conditions.{row}.is"))
        for row in range(MOST_CONDITIONS)
        if f"{at}.conditions.{row}.is" in form
    ]
    return StepFields({name: _line(form, f"{at}.{name}") for name in _STEP_TEXTS}, variables, conditions)


def _step_document(step: StepFields) -> dict[str, Any]:
    texts = step.texts
    purpose, _, family = texts["text"].partition(":")
    document = {
        "key": texts["key"],
        "name": texts["name"],
        "offset": {unit: _number(texts[unit] or "0") for unit in ("days", "hours", "minutes")},
        "purpose": purpose,
        "family": family,
        "channel": texts["channel"] or None,
        "variables": {name: value for name, value in step.variables.items() if value},
        "conditions": [{"step": each, "is": holds} for each, holds in step.conditions],
    }
    return {**document, "after": texts["after"]} if texts["after"] else document


def _add_step(steps: list[StepFields], _: list[int]) -> list[StepFields]:
    return (
        [*steps, _new_step(steps, text=steps[-1].texts["text"] if steps else "")] if len(steps) < MOST_STEPS else steps
    )


def _remove_step(steps: list[StepFields], at: list[int]) -> list[StepFields]:
    gone = steps.pop(at[0]).texts["key"]
    return [_without(step, gone) for step in steps]


def _move_up(steps: list[StepFields], at: list[int]) -> list[StepFields]:
    if 0 < at[0] < len(steps):
        steps[at[0] - 1 : at[0] + 1] = [steps[at[0]], steps[at[0] - 1]]
    before: set[str] = set()
    for place, step in enumerate(steps):
        # What now comes later cannot be waited for.
        if step.texts["after"] not in before:
            steps[place] = replace(step, texts={**step.texts, "after": ""})
        before.add(step.texts["key"])
    return steps


def _add_condition(steps: list[StepFields], at: list[int]) -> list[StepFields]:
    step = steps[at[0]]
    if at[0] > 0 and len(step.conditions) < MOST_CONDITIONS:
        new = (steps[at[0] - 1].texts["key"], "not_answered")
        steps[at[0]] = replace(step, conditions=[*step.conditions, new])
    return steps


def _remove_condition(steps: list[StepFields], at: list[int]) -> list[StepFields]:
    conditions = [*steps[at[0]].conditions]
    del conditions[at[1]]
    steps[at[0]] = replace(steps[at[0]], conditions=conditions)
    return steps


def _without(step: StepFields, gone: str) -> StepFields:
    after = "" if step.texts["after"] == gone else step.texts["after"]
    conditions = [each for each in step.conditions if each[0] != gone]
    return replace(step, texts={**step.texts, "after": after}, conditions=conditions)


_ACTS: Mapping[str, Callable[[list[StepFields], list[int]], list[StepFields]]] = {
    "add-step": _add_step,
    "remove-step": _remove_step,
    "up-step": _move_up,
    "add-condition": _add_condition,
    "remove-condition": _remove_condition,
}


def _line(form: Mapping[str, str], name: str) -> str:
    return " ".join(_NOT_TEXT.sub(" ", form.get(name, "")).split())


def _number(text: str) -> int | str:
    """The number; what is none stays as it is, to be refused at its place."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else text
