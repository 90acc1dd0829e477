"""The values that a caller gives for a template's variables: read by their kind, and cleaned. Pure functions."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.template_syntax import Moment
from dispatchlog.systems.outreach.template_values import Variable

KINDS = {
    "text": "text",
    "name": "a name",
    "number": "a number",
    "url": "an address that begins with https://",
    "date": "a date such as 2026-03-03",
    "time": "an hour such as 10:30",
    "datetime": "an instant with its zone, such as 2026-03-03T10:30:00+00:00",
}
_EXAMPLES = {
    "text": "example",
    "name": "Alex Example",
    "number": "2",
    "url": "https://example.org/more",
    "date": "2026-03-03",
    "time": "10:30",
    "datetime": "2026-03-03T10:30:00+00:00",
}
_LONGEST = {"text": 1_000, "name": 255, "url": 500}
_URL = re.compile(r"https?://[^\s<>\"'{}]+", re.IGNORECASE)
# Overrides of direction change how a text reads without changing what it says.
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def read(variables: Sequence[Variable], given: Mapping[str, Any], *, zone: str, language: str) -> dict[str, Any]:
    """A value for every declared variable; "" for one that is not required and not given. Instants are shown in `zone`.

    Raises:
        OutreachError: UNKNOWN_VARIABLE, MISSING_VARIABLE, INVALID_VARIABLE, with the field `variables.<name>`; values are
            not repeated.
    """
    declared = {each.name: each for each in variables}
    for name in given:
        if name not in declared:
            raise _error("the template has no such variable", "UNKNOWN_VARIABLE", str(name)[:64])
    return {name: _value(each, given.get(name), zone=zone, language=language) for name, each in declared.items()}


def example_of(variable: Variable) -> str:
    """What a preview shows for it."""
    return variable.example or _EXAMPLES[variable.kind]


def cleaned(text: str) -> str:
    """Without control characters but line breaks, characters of private use, and overrides of direction."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(each for each in text if each == "\n" or _may_stand(each)).strip()


def _may_stand(character: str) -> bool:
    return character not in _OVERRIDES and unicodedata.category(character) not in ("Cc", "Co", "Cs", "Cn", "Zl", "Zp")


def _value(variable: Variable, given: Any, *, zone: str, language: str) -> str | Moment:
    if given is None or (isinstance(given, str) and not cleaned(given)):
        if variable.required:
            raise _error("the template needs this variable", "MISSING_VARIABLE", variable.name)
        return ""
    try:
        if variable.kind in ("date", "time", "datetime"):
            return _moment(variable.kind, given, ZoneInfo(zone), language)
        return _text(variable.kind, given)
    except (ValueError, TypeError, OverflowError) as error:
        raise _error(f"it takes {KINDS[variable.kind]}", "INVALID_VARIABLE", variable.name) from error


def _text(kind: str, given: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise TypeError
    text = cleaned(str(given))
    if len(text) > _LONGEST.get(kind, 64):
        raise ValueError
    if kind == "number" and not math.isfinite(float(text)):
        raise ValueError
    if kind == "url" and not _URL.fullmatch(text):
        raise ValueError
    return " ".join(text.split()) if kind == "name" else text


def _moment(kind: str, given: Any, zone: ZoneInfo, language: str) -> Moment:
    value = _parsed(kind, given) if isinstance(given, str) else given
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError
        value = value.astimezone(zone)
        at = None if kind == "date" else value.time()
        return Moment(None if kind == "time" else value.date(), at, language)
    if kind == "date" and isinstance(value, date):
        return Moment(value, None, language)
    if kind == "time" and isinstance(value, time):
        return Moment(None, value, language)
    raise ValueError


def _parsed(kind: str, text: str) -> date | time | datetime:
    text = text.strip()
    if kind == "time" and len(text) <= 8:
        return time.fromisoformat(text)
    if kind == "date" and len(text) <= 10:
        return date.fromisoformat(text)
    return datetime.fromisoformat(text)


def _error(message: str, code: str, name: str) -> OutreachError:
    return OutreachError(message, code=code, field=f"variables.{name}")
