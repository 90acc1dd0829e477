"""The same rules asked of one patient in memory, without SQL: the second opinion by which the first is judged.

Shares nothing with `compiling` but the tree. Also explains: which of the rules a patient fulfils.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.buckets import bucket
from dispatchlog.systems.outreach.segments.facts import Facts, facts_of
from dispatchlog.systems.outreach.segments.rules import Group, Match, Rule

__all__ = ["Facts", "Told", "explain", "facts_of", "matches"]


@dataclass(frozen=True, slots=True)
class Told:
    """A rule, match or group of the outermost group, and whether the patient fulfils it."""

    rule: Rule | Match | Group
    holds: bool


def matches(group: Group, facts: Facts, *, now: datetime, segments: Mapping[UUID, Group] | None = None) -> bool:
    """Whether the patient fulfils the rules at that instant."""
    return _Matcher(facts, now.astimezone(UTC), segments or {}).group(group, facts)


def explain(
    group: Group, facts: Facts, *, now: datetime, segments: Mapping[UUID, Group] | None = None
) -> Sequence[Told]:
    """Which of the outermost group's rules the patient fulfils, one by one."""
    matcher = _Matcher(facts, now.astimezone(UTC), segments or {})
    return [Told(each, matcher.one(each, facts)) for each in group.rules]


class _Matcher:
    def __init__(self, patient: Facts, now: datetime, segments: Mapping[UUID, Group]) -> None:
        self._patient, self._now, self._segments = patient, now, segments

    def group(self, group: Group, about: Facts) -> bool:
        answers = [self.one(each, about) for each in group.rules]
        holds = not answers or (all(answers) if group.combinator == "and" else any(answers))
        return holds != group.negated

    def one(self, rule: Rule | Match | Group, about: Facts) -> bool:
        if isinstance(rule, Group):
            return self.group(rule, about)
        if isinstance(rule, Match):
            return self._match(rule)
        if about is self._patient and rule.field == "segment":
            return self._segment(rule)
        return self._holds(self._value(rule.field, about), rule.operator, rule.value)

    def _match(self, rule: Match) -> bool:
        things = self._patient[rule.field]
        number = sum(self.group(rule.group, each) for each in things)
        return {
            "some": number > 0,
            "none": number == 0,
            "all": number == len(things),
            "atLeast": number >= rule.threshold,
            "atMost": number <= rule.threshold,
            "exactly": number == rule.threshold,
        }[rule.mode]

    def _segment(self, rule: Rule) -> bool:
        wanted = rule.value if rule.operator in ("in", "notIn") else [rule.value]
        is_in = any(self.group(self._segments[each], self._patient) for each in wanted)
        return is_in == (rule.operator in ("=", "in"))

    def _value(self, name: str, about: Facts) -> Any:
        if about is not self._patient or name not in ("age", "bucket"):
            return about[name]
        if name == "bucket":
            return bucket(about["id"], "segment") // 100
        born: date | None = about["birth_date"]
        if born is None:
            return None
        years = self._now.year - born.year
        return years - 1 if (self._now.month, self._now.day) < (born.month, born.day) else years

    def _holds(self, value: Any, operator: str, wanted: Any) -> bool:
        if operator in _NEGATIVE:
            return not self._holds(value, _NEGATIVE[operator], wanted)
        if value is None or value == ():
            return False
        if operator in _TIMES:
            return _TIMES[operator](value, wanted, self._now)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).date()
        return _TESTS[operator](_folded(value), _folded(wanted))


def _folded(value: Any) -> Any:
    """Texts without the case of A to Z."""
    if isinstance(value, tuple):
        return tuple(_folded(each) for each in value)
    if not isinstance(value, str):
        return value
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in value)


def _shifted(now: datetime, amount: int, unit: str) -> datetime:
    if unit != "months":
        return now + timedelta(hours=amount * {"hours": 1, "days": 24, "weeks": 168}[unit])
    year, month = now.year, now.month + amount
    while month < 1:
        year, month = year - 1, month + 12
    while month > 12:
        year, month = year + 1, month - 12
    return now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))


_NEGATIVE = {
    "!=": "=",
    "notIn": "in",
    "notBetween": "between",
    "doesNotContain": "contains",
    "doesNotBeginWith": "beginsWith",
    "doesNotEndWith": "endsWith",
    "notInLast": "inLast",
    "notInNext": "inNext",
    "null": "notNull",
}
_TIMES: Mapping[str, Callable[[datetime, Any, datetime], bool]] = {
    "inLast": lambda at, span, now: _shifted(now, -span.amount, span.unit) <= at <= now,
    "olderThan": lambda at, span, now: at < _shifted(now, -span.amount, span.unit),
    "inNext": lambda at, span, now: now < at <= _shifted(now, span.amount, span.unit),
}
_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "notNull": lambda _value, _wanted: True,
    "=": lambda value, wanted: bool(value == wanted),
    "<": lambda value, wanted: bool(value < wanted),
    "<=": lambda value, wanted: bool(value <= wanted),
    ">": lambda value, wanted: bool(value > wanted),
    ">=": lambda value, wanted: bool(value >= wanted),
    "between": lambda value, wanted: bool(wanted[0] <= value <= wanted[1]),
    "on": lambda day, wanted: bool(day == wanted),
    "before": lambda day, wanted: bool(day < wanted),
    "after": lambda day, wanted: bool(day > wanted),
    "in": lambda value, wanted: bool(set(value) & set(wanted)) if isinstance(value, tuple) else value in wanted,
    "contains": lambda value, wanted: wanted in value,
    "containsAll": lambda value, wanted: set(wanted) <= set(value),
    "beginsWith": lambda value, wanted: bool(value.startswith(wanted)),
    "endsWith": lambda value, wanted: bool(value.endswith(wanted)),
}
