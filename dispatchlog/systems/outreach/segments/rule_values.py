"""A rule's value as its field's kind wants it, and the places of a document. Knows no SQL and no patient."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import fields
from dispatchlog.systems.outreach.segments.fields import Field

MOST_VALUES = 200
LONGEST_TEXT = 255
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ALONE = frozenset({"null", "notNull"})
_SEVERAL = frozenset({"in", "notIn", "containsAll"})
_PAIRS = frozenset({"between", "notBetween"})
_SPANS = frozenset({"inLast", "notInLast", "olderThan", "inNext", "notInNext"})


@dataclass(frozen=True, slots=True)
class Span:
    """So many hours, days, weeks or months (those of the calendar)."""

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a document something stands: as a path, and as numbers of rules."""

    path: str = ""
    numbers: tuple[int, ...] = ()

    def at(self, key: str) -> Place:
        return Place(f"{self.path}.{key}" if self.path else key, self.numbers)

    def rule(self, number: int) -> Place:
        return Place(f"{self.at('rules').path}[{number}]", (*self.numbers, number))

    def named(self, key: object) -> Place:
        """Below what a document itself calls so; shown only where it is a plain name."""
        return self.at(key) if isinstance(key, str) and re.fullmatch(r"[A-Za-z_]{1,32}", key) else self


def refused(message: str, code: str, place: Place, *, known: Iterable[str] = ()) -> OutreachError:
    """The refusal of what stands there."""
    known = list(known)
    present: Mapping[str, Any] = {"place": list(place.numbers), **({"known": known} if known else {})}
    return OutreachError(message, code=code, field=place.path, present=present)


def read(value: Any, place: Place, field: Field, operator: str) -> Any:
    """The checked value.

    Raises:
        OutreachError: WRONG_TYPE, UNKNOWN_VALUE.
    """
    if operator in _ALONE:
        if isinstance(value, list | tuple | Mapping):
            raise refused("it is asked without a value", "WRONG_TYPE", place)
        return None
    if operator in _SPANS:
        return _span(value, place)
    one = _READERS[field.kind]
    if operator in _PAIRS:
        return _pair(value, place, field, one)
    if operator in _SEVERAL:
        return _several(value, place, field, one)
    return one(value, place, field)


def _pair(value: Any, place: Place, field: Field, one: Callable[[Any, Place, Field], Any]) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise refused("two values are needed, the lesser first", "WRONG_TYPE", place)
    first, last = one(value[0], place, field), one(value[1], place, field)
    if first > last:
        raise refused("the first value is above the second", "UNKNOWN_VALUE", place)
    return first, last


def _several(value: Any, place: Place, field: Field, one: Callable[[Any, Place, Field], Any]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise refused("a list of values is needed", "WRONG_TYPE", place)
    if len(value) > MOST_VALUES:
        raise refused(f"at most {MOST_VALUES} values", "UNKNOWN_VALUE", place)
    return tuple(one(each, place, field) for each in value)


def _span(value: Any, place: Place) -> Span:
    if not isinstance(value, Mapping) or set(value) != {"amount", "unit"}:
        raise refused('a time has "amount" and "unit"', "WRONG_TYPE", place)
    amount, unit = value["amount"], value["unit"]
    if not isinstance(unit, str) or unit not in fields.UNITS:
        raise refused("there is no such unit", "UNKNOWN_VALUE", place.at("unit"), known=tuple(fields.UNITS))
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise refused("the amount is a whole number", "WRONG_TYPE", place.at("amount"))
    if not 1 <= amount <= fields.UNITS[unit]:
        raise refused(f"1 to {fields.UNITS[unit]} {unit}", "UNKNOWN_VALUE", place.at("amount"))
    return Span(amount, unit)


def _boolean(value: Any, place: Place, _: Field) -> bool:
    if not isinstance(value, bool):
        raise refused("true or false", "WRONG_TYPE", place)
    return value


def _number(value: Any, place: Place, field: Field) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise refused("a whole number, without quotation marks", "WRONG_TYPE", place)
    if not field.least <= value <= field.most:
        raise refused(f"a number from {field.least} to {field.most}", "UNKNOWN_VALUE", place)
    return value


def _text(value: Any, place: Place, _: Field) -> str:
    if not isinstance(value, str):
        raise refused("a text", "WRONG_TYPE", place)
    if not 1 <= len(value) <= LONGEST_TEXT or any(unicodedata.category(each) in ("Cc", "Cs") for each in value):
        words = f"a text of 1 to {LONGEST_TEXT} characters, without control characters"
        raise refused(words, "UNKNOWN_VALUE", place)
    return value


def _choice(value: Any, place: Place, field: Field) -> str:
    text = _text(value, place, field)
    if text not in field.choices:
        raise refused("there is no such value", "UNKNOWN_VALUE", place, known=field.choices)
    return text


def _id(value: Any, place: Place, field: Field) -> UUID:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise refused(f"the id of a {field.kind}", "WRONG_TYPE", place)
    return UUID(value)


def _day(value: Any, place: Place, _: Field) -> date:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise refused("a day such as 2026-03-31", "WRONG_TYPE", place)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise refused("there is no such day", "UNKNOWN_VALUE", place) from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise refused(f"a day from {_FIRST_DAY} to {_LAST_DAY}", "UNKNOWN_VALUE", place)
    return day


_READERS: Mapping[str, Callable[[Any, Place, Field], Any]] = {
    fields.BOOLEAN: _boolean,
    fields.CHOICE: _choice,
    fields.INSTANT: _day,
    fields.NUMBER: _number,
    fields.SET: _text,
    fields.TEXT: _text,
    **dict.fromkeys(fields.IDS, _id),
}
