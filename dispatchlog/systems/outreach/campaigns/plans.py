"""What a campaign is to do, read from its JSON into checked values. Reads no table.

A step: {"key": "intro", "name": "First letter", "after": null | "<key>", "offset": {"days": 0, "hours": 0, "minutes": 0},
"purpose": "campaign_education", "family": "flu-2026" | "", "channel": null | "sms", "variables": {...},
"conditions": [{"step": "intro", "is": "not_opened"}, ...]}. Only `key` has to be there; the purpose is campaign_education
unless told. The first step has no `after`; the others name one that stands before them (left out or null: the step just
before). `offset` counts from the day the campaign begins for the patient, or from when `after` was planned to leave. All
conditions must hold when the step is due, or it is skipped and what comes after it goes on.

Variants: {"variants": [{"key": "A", "weight": 50}, ...], "goal": "answered" | "clicked" | "confirmed", "minimum": 200}: two
to ten, each key the name of a variant that every text of the campaign has (`Template.variants`); {}: none.
Frequency: {"per_day": 1, "per_week": 2, "per_month": 4}: at most so many campaigns' messages to one patient, from all
campaigns together. Exit rules: a list of "answered", "confirmed", "clicked", "opted_out", "left_segment", "booked"
(an appointment made after the patient came in).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from dispatchlog.systems.outreach.campaigns.document_reading import known, mapping, refused, sequence, text, whole, word
from dispatchlog.systems.outreach.campaigns.plan_values import (
    CONDITIONS,
    EXITS,
    GOALS,
    MOST_STEPS,
    OVERLAPS,
    CampaignInput,
    Condition,
    Plan,
    Step,
    Variants,
)
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.times import zone

__all__ = [
    "CONDITIONS",
    "EXITS",
    "GOALS",
    "MOST_STEPS",
    "OVERLAPS",
    "CampaignInput",
    "Condition",
    "Plan",
    "Step",
    "Variants",
    "plan_of",
]

MOST_OFFSET = timedelta(days=366)
MOST_CONDITIONS = 12
MOST_VARIABLES = 30
FEWEST_VARIANTS, MOST_VARIANTS = 2, 10
_USUAL = str(Purpose.CAMPAIGN_EDUCATION)
PURPOSES = tuple(str(each) for each in Purpose if each is not Purpose.URGENT)
CHANNELS = tuple(map(str, Channel))

_KEY = re.compile(r"[a-z0-9_-]{1,64}")
_FAMILY = re.compile(r"[a-z0-9-]{0,64}")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_STEP_FIELDS = ("key", "name", "after", "offset", "purpose", "family", "channel", "variables", "conditions")
_PARTS_OF_OFFSET = ("days", "hours", "minutes")
_SPANS = ("per_day", "per_week", "per_month")
_LONGEST_NAME = 255
_LONGEST_DESCRIPTION = 5_000
_LONGEST_VALUE = 1_000
_MOST_MINUTES = 366 * 24 * 60


def plan_of(wanted: CampaignInput) -> Plan:
    """The plan that the documents mean.

    Raises:
        OutreachError: INVALID_STEPS (none, too many, a key twice or of another form, an unknown field of a step),
            STEP_CYCLE (a step that waits for itself or for a later one), UNKNOWN_STEP, UNKNOWN_VALUE, WRONG_TYPE,
            INVALID_VARIANTS, END_BEFORE_START, INVALID_NAME, INVALID_TIMEZONE; `field` is the place, such as
            "steps[1].conditions[0].step".
    """
    _check_columns(wanted)
    frequency = _frequency(wanted.frequency)
    return Plan(
        steps=_steps(wanted.steps),
        variants=_variants(wanted.ab_variants),
        per_day=frequency.get("per_day"),
        per_week=frequency.get("per_week"),
        per_month=frequency.get("per_month"),
        exits=frozenset(
            word(each, f"exit_rules[{n}]", EXITS) for n, each in enumerate(sequence(wanted.exit_rules, "exit_rules"))
        ),
    )


def _check_columns(wanted: CampaignInput) -> None:
    name = wanted.name
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME or not name.isprintable():
        raise refused("a name of 1 to 255 characters is needed", "INVALID_NAME", "name")
    text(wanted.description, "description", most=_LONGEST_DESCRIPTION)
    word(wanted.overlap, "overlap", OVERLAPS)
    if not isinstance(wanted.language_fallback, bool):
        raise refused("it is true or false", "WRONG_TYPE", "language_fallback")
    whole(wanted.control_percent, "control_percent", least=0, most=50)
    zone(text(wanted.timezone, "timezone", most=50))
    for place, day in (("start_date", wanted.start_date), ("end_date", wanted.end_date)):
        if day is not None and (not isinstance(day, date) or isinstance(day, datetime)):
            raise refused("it is a day, such as 2026-10-01", "WRONG_TYPE", place)
    if wanted.start_date and wanted.end_date and wanted.end_date < wanted.start_date:
        raise refused("it ends before it begins", "END_BEFORE_START", "end_date")


def _steps(documents: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    listed = [mapping(each, f"steps[{n}]") for n, each in enumerate(sequence(documents, "steps"))]
    if not 1 <= len(listed) <= MOST_STEPS:
        raise refused(f"a campaign has 1 to {MOST_STEPS} steps", "INVALID_STEPS", "steps")
    keys = [_key(each, f"steps[{n}]") for n, each in enumerate(listed)]
    for n, key in enumerate(keys):
        if key in keys[:n]:
            raise refused("another step has this key", "INVALID_STEPS", f"steps[{n}].key")
    return tuple(_step(each, n, keys) for n, each in enumerate(listed))


def _key(document: Mapping[str, Any], place: str) -> str:
    known(document, _STEP_FIELDS, place, code="INVALID_STEPS")
    if "key" not in document:
        raise refused("a step needs a key", "INVALID_STEPS", f"{place}.key")
    key = text(document["key"], f"{place}.key", most=_LONGEST_NAME)
    if not _KEY.fullmatch(key):
        raise refused("a key has 1 to 64 small letters, digits, _ and -", "INVALID_STEPS", f"{place}.key")
    return key


def _step(document: Mapping[str, Any], number: int, keys: Sequence[str]) -> Step:
    place = f"steps[{number}]"
    channel = document.get("channel")
    family = text(document.get("family", ""), f"{place}.family", most=_LONGEST_NAME)
    if not _FAMILY.fullmatch(family):
        raise refused("a family has up to 64 small letters, digits and -", "UNKNOWN_VALUE", f"{place}.family")
    return Step(
        key=keys[number],
        name=text(document.get("name", ""), f"{place}.name", most=_LONGEST_NAME).strip() or keys[number],
        after=_after(document.get("after"), number, keys),
        offset=_offset(document.get("offset", {}), f"{place}.offset"),
        purpose=Purpose(word(document.get("purpose", _USUAL), f"{place}.purpose", PURPOSES)),
        family=family,
        channel=None if channel is None else Channel(word(channel, f"{place}.channel", CHANNELS)),
        variables=_values(document.get("variables", {}), f"{place}.variables"),
        conditions=_conditions(document.get("conditions", ()), number, keys),
    )


def _after(given: object, number: int, keys: Sequence[str]) -> str | None:
    if given is not None:
        return _earlier(given, f"steps[{number}].after", number, keys)
    return keys[number - 1] if number else None


def _earlier(given: object, place: str, number: int, keys: Sequence[str]) -> str:
    key = text(given, place, most=_LONGEST_NAME)
    if key not in keys:
        raise refused("there is no such step", "UNKNOWN_STEP", place)
    if keys.index(key) >= number:
        raise refused("a step waits for steps that stand before it, not for itself or a later one", "STEP_CYCLE", place)
    return key


def _offset(document: object, place: str) -> timedelta:
    parts = mapping(document, place)
    known(parts, _PARTS_OF_OFFSET, place, code="INVALID_STEPS")
    offset = timedelta(
        **{name: whole(value, f"{place}.{name}", least=0, most=_MOST_MINUTES) for name, value in parts.items()}
    )
    if offset > MOST_OFFSET:
        raise refused(f"it is at most {MOST_OFFSET.days} days", "UNKNOWN_VALUE", place)
    return offset


def _values(document: object, place: str) -> Mapping[str, Any]:
    values = mapping(document, place)
    if len(values) > MOST_VARIABLES:
        raise refused(f"there are at most {MOST_VARIABLES}", "UNKNOWN_VALUE", place)
    for name, value in values.items():
        if not _VARIABLE.fullmatch(name):
            raise refused("no variable has such a name", "UNKNOWN_VALUE", place)
        if isinstance(value, str):
            text(value, f"{place}.{name}", most=_LONGEST_VALUE)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise refused("it is a text or a number", "WRONG_TYPE", f"{place}.{name}")
    return dict(values)


def _conditions(documents: object, number: int, keys: Sequence[str]) -> tuple[Condition, ...]:
    place = f"steps[{number}].conditions"
    listed = sequence(documents, place)
    if len(listed) > MOST_CONDITIONS:
        raise refused(f"a step has at most {MOST_CONDITIONS} conditions", "INVALID_STEPS", place)
    return tuple(_condition(each, f"{place}[{n}]", number, keys) for n, each in enumerate(listed))


def _condition(document: object, place: str, number: int, keys: Sequence[str]) -> Condition:
    said = mapping(document, place)
    known(said, ("step", "is"), place, code="INVALID_STEPS")
    for name in ("step", "is"):
        if name not in said:
            raise refused(f"a condition needs {name}", "INVALID_STEPS", f"{place}.{name}")
    return Condition(_earlier(said["step"], f"{place}.step", number, keys), word(said["is"], f"{place}.is", CONDITIONS))


def _variants(document: object) -> Variants:
    said = mapping(document, "ab_variants")
    known(said, ("variants", "goal", "minimum"), "ab_variants", code="INVALID_VARIANTS")
    shares = tuple(
        _share(each, f"ab_variants.variants[{n}]")
        for n, each in enumerate(sequence(said.get("variants", ()), "ab_variants.variants"))
    )
    if shares and not FEWEST_VARIANTS <= len(shares) <= MOST_VARIANTS:
        raise refused("two to ten texts are tried side by side", "INVALID_VARIANTS", "ab_variants.variants")
    named = [key.casefold() for key, _ in shares]
    for n, key in enumerate(named):
        if key in named[:n]:
            raise refused("another variant has this name", "INVALID_VARIANTS", f"ab_variants.variants[{n}].key")
    return Variants(
        shares,
        word(said.get("goal", "answered"), "ab_variants.goal", GOALS),
        whole(said.get("minimum", 200), "ab_variants.minimum", least=1, most=10_000_000),
    )


def _share(document: object, place: str) -> tuple[str, int]:
    said = mapping(document, place)
    known(said, ("key", "weight"), place, code="INVALID_VARIANTS")
    try:
        key = text(said.get("key"), f"{place}.key", most=50)
        weight = whole(said.get("weight"), f"{place}.weight", least=1, most=1_000)
    except OutreachError as error:
        raise refused(error.message, "INVALID_VARIANTS", error.field) from error
    if not key or key != key.strip() or not key.isprintable():
        raise refused("a variant has a name of 1 to 50 characters", "INVALID_VARIANTS", f"{place}.key")
    return key, weight


def _frequency(document: object) -> Mapping[str, int]:
    said = mapping(document, "frequency")
    known(said, _SPANS, "frequency", code="UNKNOWN_VALUE")
    return {name: whole(value, f"frequency.{name}", least=1, most=1_000) for name, value in said.items()}
