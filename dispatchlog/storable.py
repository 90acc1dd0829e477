"""What others say, as PostgreSQL can hold it. Pure; knows no table."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

LONGEST_KEY = 128


def storable(value: Any) -> Any:
    """Without what PostgreSQL takes in no text or JSON: NUL, halves of characters, and what is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    return value


def line(value: str, *, most: int) -> str:
    """A text of at most so many characters."""
    return str(storable(value))[:most]


def key(given: str) -> str:
    """An id by which something is known once; a longer one than fits by its hash: cut off, two could be the same."""
    text = str(storable(given))
    return text if len(text) <= LONGEST_KEY else hashed(text)


def hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
