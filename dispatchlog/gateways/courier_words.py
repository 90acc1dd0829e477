"""Reads couriers' JSON and our own field by field, so that nothing odd gets into a row. Owns no protocol, sends nothing."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from dispatchlog.engine.errors import GatewayError, Permanent

MOST_REFERENCE = 255
_MOST_URL = 2048
_LEAST_HIDDEN = 4
_HIDDEN = "…"


def stored(body: bytes) -> Mapping[str, Any]:
    """What we stored before the first send.

    Raises:
        Permanent: MALFORMED_BODY, it is not a JSON object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Permanent("What is to be sent is not JSON.", code="MALFORMED_BODY") from error
    if not isinstance(document, dict):
        raise Permanent("What is to be sent is not a JSON object.", code="MALFORMED_BODY")
    return document


def part(document: Any, name: str) -> Mapping[str, Any]:
    """The object under `name`, an empty one where there is none."""
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def text(value: Any, most: int = 255) -> str | None:
    """A text or number as one line of at most `most` characters; None where nothing is left."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    line = "".join(character if character.isprintable() else " " for character in str(value))
    return line.strip()[:most].strip() or None


def reference(value: Any) -> str | None:
    """A courier's number for something: as it is or not at all, for half of it would name something else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    found = str(value)
    return found if 0 < len(found) <= MOST_REFERENCE and found.isprintable() and found == found.strip() else None


def web_address(value: Any) -> str | None:
    """An http(s) address that a page may link to."""
    if not isinstance(value, str) or len(value) > _MOST_URL or not value.isprintable() or " " in value:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and parts.hostname and parts.username is None else None


def instant(value: Any) -> datetime | None:
    """An ISO 8601 instant with its zone, in UTC; None for anything else: a guessed zone would be an hour wrong."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def coordinates(place: Mapping[str, Any]) -> tuple[float, float] | None:
    """Latitude and longitude; None where they are none, or the point where forgotten ones lie."""
    found = place.get("latitude"), place.get("longitude")
    if not all(isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in found):
        return None
    latitude, longitude = float(found[0] or 0), float(found[1] or 0)
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude, longitude) == (0, 0):
        return None
    return latitude, longitude


def written(at: datetime | None) -> str | None:
    """An instant as it stands in evidence."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def fingerprint(*said: Any) -> str:
    """An event's id where the courier gives none: the same news, the same id."""
    told = json.dumps(said, default=str, sort_keys=True, separators=(",", ":"))
    return "said:" + hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:40]


def hidden(said: str, words: Iterable[str]) -> str:
    """`said` without these words, the longest first."""
    for word in sorted((word for word in words if len(word) >= _LEAST_HIDDEN), key=len, reverse=True):
        said = said.replace(word, _HIDDEN)
    return said


def without(error: GatewayError, words: Iterable[str]) -> GatewayError:
    """The same error, its evidence without these words: a courier that refuses likes to repeat what it refuses."""
    known = [word for word in words if word]
    error.evidence = {
        name: hidden(value, known) if isinstance(value, str) else value for name, value in error.evidence.items()
    }
    return error


def personal(booking: Mapping[str, Any]) -> list[str]:
    """The words of a booking that name a person or a place."""
    names = ("name", "phone", "address", "note")
    places = (part(booking, "pickup"), part(booking, "delivery"))
    return [place[name] for place in places for name in names if isinstance(place.get(name), str)]
