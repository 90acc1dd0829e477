"""A visit as JSON, as the log keeps it, and back. Decimals and instants stay as they were said, offset included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from dispatchlog.systems.hl7.records import Visit

_ADAPTER = TypeAdapter(Visit)


def to_json(visit: Visit) -> dict[str, Any]:
    """Plain JSON values by field name."""
    return dict(_ADAPTER.dump_python(visit, mode="json"))


def from_json(record: Mapping[str, Any]) -> Visit:
    """The visit again."""
    return _ADAPTER.validate_python(dict(record))


def fingerprint(record: Mapping[str, Any]) -> bytes:
    """SHA-256 of what was reported: two reports of one visit are the same only if this is."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).digest()
