"""Whether single values that others say may be stored, made uniform where they may. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from dispatchlog.systems.outreach.inputs import OutreachError

_COUNTRY = re.compile(r"[A-Z]{2}")
_REGION = re.compile(r"[A-Z0-9]{1,3}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,6})?")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:00)?")
_TAG = re.compile(r"[a-z0-9_.:-]{1,64}")
FIRST_BIRTH = date(1900, 1, 1)
GENDERS = ("", "male", "female", "other", "unknown")
MOST_TAGS = 50
_WORD = re.compile(r"[^\W_]+")


def text(value: str, *, field: str, most: int, needed: bool = True) -> str:
    """One line without control characters.

    Raises:
        OutreachError: INVALID_TEXT.
    """
    line = " ".join(value.split())
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in line):
        raise OutreachError("it holds control characters", code="INVALID_TEXT", field=field)
    if (needed and not line) or len(line) > most:
        raise OutreachError(f"it needs 1 to {most} characters", code="INVALID_TEXT", field=field)
    return line


def country(value: str, *, field: str = "country") -> str:
    """Two capital letters, or "".

    Raises:
        OutreachError: INVALID_COUNTRY.
    """
    code = value.strip().upper()
    if code and not _COUNTRY.fullmatch(code):
        raise OutreachError("a country has two letters, such as US", code="INVALID_COUNTRY", field=field)
    return code


def region(value: str, *, field: str = "region") -> str:
    """A state or province without its country, or "".

    Raises:
        OutreachError: INVALID_TEXT.
    """
    code = value.strip().upper()
    if code and not _REGION.fullmatch(code):
        raise OutreachError("a region has one to three letters, such as FL", code="INVALID_TEXT", field=field)
    return code


def birth_date(value: date | None, *, field: str = "birth_date") -> date | None:
    """A day from 1900 until today, or None.

    Raises:
        OutreachError: INVALID_DATE.
    """
    # Somewhere it is tomorrow already.
    if value is not None and not FIRST_BIRTH <= value <= (datetime.now(UTC) + timedelta(hours=14)).date():
        raise OutreachError("nobody was born before 1900 or after today", code="INVALID_DATE", field=field)
    return value


def gender(value: str, *, field: str = "gender") -> str:
    """One of FHIR's words, or "".

    Raises:
        OutreachError: UNKNOWN_VALUE.
    """
    if value not in GENDERS:
        raise OutreachError(f"a gender is {', '.join(GENDERS[1:])}", code="UNKNOWN_VALUE", field=field)
    return value


def tags(values: Sequence[str], *, field: str = "tags") -> list[str]:
    """Words, each once, in order.

    Raises:
        OutreachError: INVALID_TEXT, TOO_LONG.
    """
    if not all(_TAG.fullmatch(each) for each in values):
        raise OutreachError("a tag has 1 to 64 of a-z, 0-9, _ . : and -", code="INVALID_TEXT", field=field)
    found = sorted(set(values))
    if len(found) > MOST_TAGS:
        raise OutreachError(f"at most {MOST_TAGS} tags", code="TOO_LONG", field=field)
    return found


def language(value: str, *, field: str = "language") -> str:
    """A language such as "pt" or "pt-BR".

    Raises:
        OutreachError: INVALID_LANGUAGE.
    """
    if not _LANGUAGE.fullmatch(value.strip().lower()):
        raise OutreachError("a language is written as en or pt-BR", code="INVALID_LANGUAGE", field=field)
    main, dash, place = value.strip().partition("-")
    return f"{main.lower()}{dash}{place.upper() if len(place) == 2 else place.title()}"


def clock(value: str | time, *, field: str) -> time:
    """A time of day in whole minutes, as such or as "22:00".

    Raises:
        OutreachError: INVALID_TIME.
    """
    if isinstance(value, str) and _CLOCK.fullmatch(value):
        value = time.fromisoformat(value)
    if not isinstance(value, time) or value.tzinfo is not None or value.second or value.microsecond:
        raise OutreachError("a time of day is written as 22:00", code="INVALID_TIME", field=field)
    return value


def hour(value: object, *, field: str) -> int:
    """An hour of the day.

    Raises:
        OutreachError: INVALID_HOUR.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 23:
        raise OutreachError("an hour is a whole number from 0 to 23", code="INVALID_HOUR", field=field)
    return value


def words_of(name: str) -> list[str]:
    """The words of a name as they are looked for: without case and accents, each once."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return list(dict.fromkeys(_WORD.findall(plain)))
