"""What a rule's value looks like in a form: which control a field and an operator take, and what was entered in it.

What is no number or date stays as it was written, so that it is shown again beside what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from werkzeug.datastructures import MultiDict

from dispatchlog.systems.outreach.segments import fields
from dispatchlog.systems.outreach.segments.fields import Field

_NO_VALUE = frozenset({"null", "notNull"})
_SPANS = frozenset({"inLast", "notInLast", "olderThan", "inNext", "notInNext"})
_PAIRS = frozenset({"between", "notBetween"})
_LISTS = frozenset({"in", "notIn", "containsAll"})
_NUMBER = re.compile("-?[0-9]{1,15}")
_LONGEST = 500
_MOST_WORDS = 500


class Shape(StrEnum):
    """One kind of control."""

    NONE = "none"
    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    NUMBERS = "numbers"
    DATES = "dates"
    SPAN = "span"
    SWITCH = "switch"
    CHOICE = "choice"
    CHOICES = "choices"
    WORDS = "words"


_OF_KIND: Mapping[str, tuple[Shape, Shape, Shape]] = {
    fields.BOOLEAN: (Shape.SWITCH, Shape.SWITCH, Shape.SWITCH),
    fields.INSTANT: (Shape.DATE, Shape.DATES, Shape.DATES),
    fields.NUMBER: (Shape.NUMBER, Shape.NUMBERS, Shape.NUMBERS),
}
_EMPTY: Mapping[Shape, Any] = {
    Shape.NONE: None,
    Shape.NUMBERS: ["", ""],
    Shape.DATES: ["", ""],
    Shape.SPAN: {"amount": "", "unit": "days"},
    Shape.SWITCH: True,
    Shape.CHOICES: [],
    Shape.WORDS: [],
}


def shape_of(field: Field, operator: str) -> Shape:
    """The control for the value of a rule."""
    if operator in _NO_VALUE:
        return Shape.NONE
    if operator in _SPANS:
        return Shape.SPAN
    one, pair, several = _OF_KIND.get(field.kind, (Shape.TEXT, Shape.TEXT, Shape.WORDS))
    if field.choices or field.kind in fields.IDS:
        one, several = Shape.CHOICE, Shape.CHOICES
    return several if operator in _LISTS else pair if operator in _PAIRS else one


def empty(shape: Shape) -> Any:
    """The value of a rule that nobody has given one."""
    return _EMPTY.get(shape, "")


def entered(form: MultiDict[str, str], place: str, shape: Shape) -> Any:
    """What stands in the control of this shape."""
    at = f"{place}.value"
    readers: Mapping[Shape, Callable[[], Any]] = {
        Shape.NONE: lambda: None,
        Shape.NUMBER: lambda: _number(_one(form, at)),
        Shape.NUMBERS: lambda: [_number(_one(form, f"{at}.{part}")) for part in ("low", "high")],
        Shape.DATES: lambda: [_one(form, f"{at}.{part}") for part in ("low", "high")],
        Shape.SPAN: lambda: {"amount": _number(_one(form, f"{at}.amount")), "unit": _one(form, f"{at}.unit")},
        Shape.SWITCH: lambda: form.get(at) != "false",
        Shape.CHOICES: lambda: [_clean(each) for each in form.getlist(at)[:_MOST_WORDS]],
        Shape.WORDS: lambda: [each for each in map(_clean, form.get(at, "").split(",")[:_MOST_WORDS]) if each],
    }
    return readers[shape]() if shape in readers else _one(form, at)


def reshaped(value: Any, before: Shape, after: Shape) -> Any:
    """A value for another control: what it has in common with the one before stays."""
    kept = {before, after}
    if before == after:
        return value
    if kept in ({Shape.CHOICE, Shape.CHOICES}, {Shape.TEXT, Shape.WORDS}):
        return ([value] if value else []) if isinstance(value, str) else str(value[0]) if value else ""
    if kept in ({Shape.NUMBER, Shape.NUMBERS}, {Shape.DATE, Shape.DATES}):
        return value[0] if isinstance(value, list) else [value, ""]
    return empty(after)


def is_empty(value: Any, shape: Shape) -> bool:
    """Whether a value is still to be given."""
    if shape is Shape.NONE or shape is Shape.SWITCH:
        return False
    if isinstance(value, Mapping):
        return value.get("amount") in ("", None)
    if isinstance(value, list):
        return not value or any(each in ("", None) for each in value)
    return value in ("", None)


def _one(form: MultiDict[str, str], name: str) -> str:
    return _clean(form.get(name, ""))


def _clean(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())[:_LONGEST]


def _number(text: str) -> Any:
    return int(text) if _NUMBER.fullmatch(text) else text
