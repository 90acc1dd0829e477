"""The language of templates: text with `{{ variable }}` and a few filters, and nothing else. Knows no table.

Whatever else Jinja can do is refused when a template is written, and the text is made in its sandbox all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.local_words import date_words, day_words, moment_words, time_words

FILTERS = {
    "day": "the weekday with the day, such as Tuesday 3 March",
    "date": "the date with its year, such as 3 March 2026",
    "time": "the hour, such as 10:30",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One variable as a text uses it; `filter` is "" where there is none."""

    name: str
    filter: str
    line: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A value of time as a text shows it in its language; one without a day or an hour has None there."""

    day: date | None
    at: time | None
    language: str

    def __str__(self) -> str:
        if self.day is not None and self.at is not None:
            return moment_words(self.day, self.at, self.language)
        return date_words(self.day, self.language) if self.day is not None else self.hour()

    def hour(self) -> str:
        return time_words(self.at, self.language) if self.at is not None else ""


def _day(value: object) -> str:
    return day_words(value.day, value.language) if isinstance(value, Moment) and value.day else str(value)


def _date(value: object) -> str:
    return date_words(value.day, value.language) if isinstance(value, Moment) and value.day else str(value)


def _time(value: object) -> str:
    return value.hour() if isinstance(value, Moment) and value.at else str(value)


def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    made.globals.clear()
    made.tests.clear()
    made.filters = {"day": _day, "date": _date, "time": _time}
    return made


_ENVIRONMENT = _environment()


@lru_cache(maxsize=2_000)
def pieces(text: str, *, field: str = "body") -> tuple[Piece, ...]:
    """The variables that a text uses, in its order.

    Raises:
        OutreachError: INVALID_TEMPLATE with the line, where it has anything but {{ variable }} and the filters.
    """
    for sign, what in (("{#", "a comment"), ("{%", "a block")):
        if sign in text:
            raise _refused(what, text[: text.index(sign)].count("\n") + 1, field)
    try:
        tree = _ENVIRONMENT.parse(text)
    except jinja2.TemplateSyntaxError as error:
        reason = f"line {error.lineno} cannot be read ({error.message})"
        raise OutreachError(reason, code="INVALID_TEMPLATE", field=field) from error
    found: list[Piece] = []
    for statement in tree.body:
        if not isinstance(statement, nodes.Output):
            raise _refused("a block", statement.lineno, field)
        found += [_piece(each, field) for each in statement.nodes if not isinstance(each, nodes.TemplateData)]
    return tuple(found)


def names(text: str, *, field: str = "body") -> frozenset[str]:
    """The names of the variables that a text uses."""
    return frozenset(piece.name for piece in pieces(text, field=field))


def fixed_text(text: str) -> str:
    """What of a text is the same in every message; a gap of one line where variables stand."""
    tree = _ENVIRONMENT.parse(text)
    parts = (each for statement in tree.body if isinstance(statement, nodes.Output) for each in statement.nodes)
    return "".join(part.data if isinstance(part, nodes.TemplateData) else "\n" for part in parts)


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with its values; every variable has one."""
    return _compiled(text).render(values)


@lru_cache(maxsize=2_000)
def _compiled(text: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(text)


def _piece(node: nodes.Expr, field: str) -> Piece:
    if isinstance(node, nodes.Name):
        return Piece(node.name, "", node.lineno)
    if isinstance(node, nodes.Filter) and isinstance(node.node, nodes.Name):
        if node.name not in FILTERS:
            raise _refused(f"the filter “{node.name}”", node.lineno, field)
        if not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs):
            return Piece(node.node.name, node.name, node.lineno)
    raise _refused("an expression", node.lineno, field)


def _refused(what: str, line: int, field: str) -> OutreachError:
    return OutreachError(
        f"line {line} has {what}; only {{{{ variable }}}} is possible, with the filters {', '.join(sorted(FILTERS))}",
        code="INVALID_TEMPLATE",
        field=field,
    )
