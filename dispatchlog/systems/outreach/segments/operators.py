"""Each operator as a bound condition about one expression that is null where nothing is known. Knows no table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from dispatchlog.systems.outreach.segments import fields
from dispatchlog.systems.outreach.segments.rule_values import Span


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that is true or false, never null, and what is bound in it."""

    sql: str
    params: tuple[Any, ...] = ()

    def turned(self) -> Condition:
        """Its opposite."""
        return Condition(f"NOT ({self.sql})", self.params)


ALWAYS = Condition("true")
# What is exactly not the other, so true of whoever nothing is known of.
OPPOSITE: Mapping[str, str] = {
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
_COMPARED = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
# The letters A to Z alone, the same in every database.
_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def joined(combinator: str, conditions: Sequence[Condition]) -> Condition:
    """All of them ("and") or any of them ("or"); at least one."""
    if len(conditions) == 1:
        return conditions[0]
    between = " AND " if combinator == "and" else " OR "
    return Condition(f"({between.join(each.sql for each in conditions)})", sum((c.params for c in conditions), ()))


def condition(expression: str, kind: str, operator: str, value: Any, now: datetime) -> Condition:
    """That it holds of the expression; not of one that is null, unless the operator is the opposite of another."""
    if operator in OPPOSITE:
        return condition(expression, kind, OPPOSITE[operator], value, now).turned()
    if operator == "notNull":
        return Condition(f"{expression} <> '{{}}'" if kind == fields.SET else f"{expression} IS NOT NULL")
    found = _OF_KIND.get(kind, _plain)(expression, operator, value, now)
    return found if kind == fields.SET else joined("and", [Condition(f"{expression} IS NOT NULL"), found])


def age(birth_date: str, operator: str, value: Any, now: datetime) -> Condition:
    """About whole years since a day of birth, without computing anything for each row."""
    if operator in OPPOSITE:
        return age(birth_date, OPPOSITE[operator], value, now).turned()
    if operator == "notNull":
        return Condition(f"{birth_date} IS NOT NULL")
    first, last = value if operator == "between" else (value, value)
    least = {">": first + 1, ">=": first, "=": first, "between": first}.get(operator)
    beyond = {"<": last, "<=": last + 1, "=": last + 1, "between": last + 1}.get(operator)
    found = [Condition(f"{birth_date} IS NOT NULL")]
    if least is not None:
        found.append(Condition(f"{birth_date} <= %s", (_years_before(now, least),)))
    if beyond is not None:
        found.append(Condition(f"{birth_date} > %s", (_years_before(now, beyond),)))
    return joined("and", found)


def _years_before(now: datetime, years: int) -> date:
    """The last day of birth of whoever is so many years old; on a 29 February those of the 28th are the last."""
    today = now.astimezone(UTC).date()
    try:
        return today.replace(year=today.year - years)
    except ValueError:
        return today.replace(year=today.year - years, day=28)


def _plain(expression: str, operator: str, value: Any, _: datetime) -> Condition:
    if operator == "in":
        return Condition(f"{expression} = ANY (%s)", (list(value),))
    if operator == "between":
        return Condition(f"{expression} BETWEEN %s AND %s", tuple(value))
    return Condition(f"{expression} {_COMPARED[operator]} %s", (value,))


def _set(expression: str, operator: str, value: Any, _: datetime) -> Condition:
    """Its words are stored in lower case."""
    wanted = [each.translate(_FOLD) for each in (value if isinstance(value, tuple) else (value,))]
    return Condition(f"{expression} {'&&' if operator == 'in' else '@>'} %s", (wanted,))


def _text(expression: str, operator: str, value: Any, _: datetime) -> Condition:
    folded = f'lower({expression} COLLATE "C")'
    if operator == "in":
        return Condition(f"{folded} = ANY (%s)", ([each.translate(_FOLD) for each in value],))
    wanted = value.translate(_FOLD)
    if operator == "contains":
        return Condition(f"strpos({folded}, %s) > 0", (wanted,))
    if operator == "beginsWith":
        return Condition(f"starts_with({folded}, %s)", (wanted,))
    if operator == "endsWith":
        return Condition(f"right({folded}, length(%s)) = %s", (wanted, wanted))
    return Condition(f"{folded} = %s", (wanted,))


def _instant(expression: str, operator: str, value: Any, now: datetime) -> Condition:
    first, last = _bounds(operator, value, now)
    found = []
    if first is not None:
        # What is within the next hours comes after now; what began with a day is of that day.
        found.append(Condition(f"{expression} {'>' if operator == 'inNext' else '>='} %s", (first,)))
    if last is not None:
        found.append(Condition(f"{expression} {'<=' if operator in ('inLast', 'inNext') else '<'} %s", (last,)))
    return joined("and", found)


def _bounds(operator: str, value: Any, now: datetime) -> tuple[datetime | None, datetime | None]:
    if isinstance(value, Span):
        then = _moved(now, value.amount if operator == "inNext" else -value.amount, value.unit)
        return {"inLast": (then, now), "olderThan": (None, then), "inNext": (now, then)}[operator]
    first, last = value if operator == "between" else (value, value)
    begins, ends = _midnight(first), _midnight(last + timedelta(days=1))
    return {"before": (None, begins), "after": (ends, None)}.get(operator, (begins, ends))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _moved(now: datetime, amount: int, unit: str) -> datetime:
    if unit != "months":
        return now + timedelta(**{unit: amount})
    years, month = divmod(now.year * 12 + now.month - 1 + amount, 12)
    for day in range(now.day, 27, -1):
        try:
            return now.replace(year=years, month=month + 1, day=day)
        except ValueError:
            continue
    return now.replace(year=years, month=month + 1)


_OF_KIND: Mapping[str, Callable[[str, str, Any, datetime], Condition]] = {
    fields.INSTANT: _instant,
    fields.SET: _set,
    fields.TEXT: _text,
}
