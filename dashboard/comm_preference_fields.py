"""The form's fields of what may be said at every level about reaching patients: read, compared, shown. Stores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from types import MappingProxyType
from typing import Any

from werkzeug.datastructures import MultiDict

from dashboard.comm_words import FIELDS
from dashboard.preferences import zone_names

TIMES = ("quiet_start", "quiet_end", "work_start", "work_end")
SWITCHES = ("allow_email", "allow_sms", "allow_whatsapp")
CHOICES = ("timezone", "language", *TIMES, "best_hour", *SWITCHES)
_SWITCHED = MappingProxyType({"": None, "on": True, "off": False})
_WRONG = MappingProxyType(
    {
        "timezone": "Write it like Europe/Berlin.",
        "language": "Write the code of a language, such as en or pt-BR.",
        "best_hour": "An hour from 0 to 23, or nothing.",
    }
)


@dataclass
class Wanted:
    """What a form asks for: `values` that differ from what is said, and what is wrong by field."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def read(form: MultiDict[str, str], said: Mapping[str, Any]) -> Wanted:
    """What the form changes of what is said at its level; an empty field takes a value back."""
    wanted = Wanted()
    for name in CHOICES:
        if name not in form:
            continue
        try:
            value = _value(name, form[name].strip())
        except ValueError:
            wanted.problems[name] = _WRONG.get(name, "Write it like 22:00.")
            continue
        if value != _plain(said.get(name)):
            wanted.values[name] = value
    return wanted


def shown(said: Mapping[str, Any]) -> dict[str, str]:
    """What is said at one level, as a form shows it."""
    return {name: _text(said.get(name)) for name in CHOICES}


def problem_of(code_field: str, message: str) -> dict[str, str]:
    """What the system refused, at its field; what names none stands above all."""
    return {code_field if code_field in FIELDS else "": f"{message[:1].upper()}{message[1:].rstrip('.')}."}


def _value(name: str, text: str) -> Any:
    if name in SWITCHES:
        return _SWITCHED[text] if text in _SWITCHED else _fail()
    if not text:
        return None
    if name in TIMES:
        return time.fromisoformat(text).replace(second=0, microsecond=0, tzinfo=None)
    if name == "best_hour":
        return int(text) if text.isascii() and text.isdigit() and int(text) < 24 else _fail()
    if name == "timezone":
        return text if text in zone_names() else _fail()
    return text if text.isascii() and len(text) <= 10 else _fail()


def _fail() -> Any:
    raise ValueError


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[2:3] == ":" and value[:2].isdigit():
        value = time.fromisoformat(value)
    return value.replace(second=0, microsecond=0) if isinstance(value, time) else value


def _text(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    return "" if value is None else str(value)
