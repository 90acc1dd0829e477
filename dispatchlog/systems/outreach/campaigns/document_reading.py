"""Reading single values of a campaign's JSON documents, strictly: what is of another type is refused at its place. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from dispatchlog.systems.outreach.inputs import OutreachError


def refused(message: str, code: str, place: str) -> OutreachError:
    """The refusal of what stands at `place`."""
    return OutreachError(message, code=code, field=place)


def mapping(value: object, place: str) -> Mapping[str, Any]:
    """An object. Raises OutreachError: WRONG_TYPE."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise refused("it is an object", "WRONG_TYPE", place)
    return value


def sequence(value: object, place: str) -> list[Any]:
    """A list. Raises OutreachError: WRONG_TYPE."""
    if not isinstance(value, list | tuple):
        raise refused("it is a list", "WRONG_TYPE", place)
    return [*value]


def text(value: object, place: str, *, most: int) -> str:
    """A text without control characters. Raises OutreachError: WRONG_TYPE, UNKNOWN_VALUE."""
    if not isinstance(value, str):
        raise refused("it is a text", "WRONG_TYPE", place)
    if len(value) > most or any(map(_is_unkept, value)):
        raise refused(f"it has at most {most} characters, and no control characters", "UNKNOWN_VALUE", place)
    return value


def _is_unkept(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\r\n\t"


def whole(value: object, place: str, *, least: int, most: int) -> int:
    """A whole number between the two. Raises OutreachError: WRONG_TYPE, UNKNOWN_VALUE."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise refused("it is a whole number", "WRONG_TYPE", place)
    if not least <= value <= most:
        raise refused(f"it is a whole number from {least} to {most}", "UNKNOWN_VALUE", place)
    return value


def word(value: object, place: str, words: Collection[str]) -> str:
    """One of these words. Raises OutreachError: WRONG_TYPE, UNKNOWN_VALUE."""
    if not isinstance(value, str):
        raise refused("it is a text", "WRONG_TYPE", place)
    if value not in words:
        raise refused(f"it is one of {', '.join(words)}", "UNKNOWN_VALUE", place)
    return value


def known(document: Mapping[str, Any], names: Collection[str], place: str, *, code: str) -> None:
    """Refuse what the document has and should not. Raises OutreachError with `code`."""
    for name in document:
        if name not in names:
            # Whoever looks for the place needs the name; it is cut, for it may be anything.
            raise refused("there is no such field", code, f"{place}.{name[:64]}" if place else name[:64])
