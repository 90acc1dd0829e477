"""How HL7 v2 writes a value: separators, escapes and timestamps (v2.5.1, chapter 2, section 2.5.4 and 2.7). No meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

SEGMENT_END = "\r"
ENCODING_CHARACTERS = "^~\\&"
LINE_BREAK = "\\.br\\"
# One look at each character, so that the backslash of an escape is never escaped again.
ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})
MUST_ESCAPE = re.compile(r"[\\|^&~]")
NEW_LINE = re.compile(r"\r\n|\r|\n")
# What a value may not hold: C0 and C1 controls, other ends of line, halves of a pair, and what is no character.
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
ESCAPE_SEQUENCE = re.compile(r"\\([^\\\r\n]{0,200})\\")


def text(value: str) -> str:
    """The value with its delimiters escaped (2.7.1); the caller has refused control characters."""
    return value.translate(ESCAPES) if MUST_ESCAPE.search(value) else value


def formatted_text(value: str) -> str:
    """The same for text of several lines (data types FT and TX): each end of line becomes .br (2.7.6)."""
    return LINE_BREAK.join(text(line) for line in NEW_LINE.split(value))


def components(*values: str) -> str:
    """Components of one field, each already encoded; empty ones at the end are left out (2.6)."""
    return "^".join(values).rstrip("^")


def repetitions(values: Iterable[str]) -> str:
    """Repetitions of one field, each already encoded, the empty ones left out."""
    return "~".join(value for value in values if value)


def segment(code: str, *fields: str) -> str:
    """One segment without its end; fields are encoded, the first is number 1, empty ones at the end are left out."""
    return "|".join((code, *fields)).rstrip("|")


def timestamp(at: datetime) -> str:
    """TS to the second with the offset that the instant was given with (2.A.77), never another one.

    An offset of the days before time zones, with seconds in it, cannot be written and becomes UTC. A naive instant is
    refused with ValueError.
    """
    offset = at.utcoffset()
    if offset is None:
        raise ValueError("an HL7 timestamp needs a time zone")
    if offset % timedelta(minutes=1):
        at, offset = at.astimezone(UTC), timedelta()
    minutes = offset // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return (
        f"{at.year:04d}{at.month:02d}{at.day:02d}{at.hour:02d}{at.minute:02d}{at.second:02d}{sign}{hours:02d}{rest:02d}"
    )


def day(value: date) -> str:
    """A date without a time (2.A.21)."""
    return f"{value.year:04d}{value.month:02d}{value.day:02d}"


def number(value: Decimal) -> str:
    """NM: digits and a decimal point, never an exponent (2.A.47)."""
    return format(value, "f")


def unescape(value: str) -> str:
    """The text of an encoded value; .br becomes an end of line, what is not known stays as it came. Never raises."""
    return ESCAPE_SEQUENCE.sub(_meaning, value) if "\\" in value else value


MEANINGS = {"E": "\\", "F": "|", "S": "^", "T": "&", "R": "~", ".br": "\n", ".sp": "\n", "H": "", "N": ""}
HEXADECIMAL = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")


def _meaning(match: re.Match[str]) -> str:
    name = match[1]
    if name in MEANINGS:
        return MEANINGS[name]
    if found := HEXADECIMAL.fullmatch(name):
        return bytes.fromhex(found[1]).decode("utf-8", "replace")
    return match[0]
