"""Hiding who a dispatch goes to. Owns the rule; whoever may look asks for it on the dispatch's page, and that is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_ADDRESS = re.compile(r"[A-Za-z0-9._%+'/=?^`{|}~!#$&*-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_NUMBER = re.compile(r"\+\d[\d ().-]{6,18}\d")
# A key of ours (a dispatch's id and generation) before an @ is a Message-ID, not somebody's address.
_OUR_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+", re.IGNORECASE)
_BULLETS = "•••"


def mask(recipient: str | None) -> str:
    """Enough to recognise a recipient one knows, too little to learn one: `a•••@example.org`, `+•••12`."""
    if not recipient:
        return ""
    local, at, domain = recipient.rpartition("@")
    if at:
        return f"{local[:1]}{_BULLETS}@{domain}"
    if re.fullmatch(r"[+\d][\d ().-]+", recipient):
        return f"{_BULLETS}{recipient[-2:]}"
    return recipient


def mask_text(text: str | None) -> str:
    """The same for addresses and telephone numbers inside what a provider said."""
    masked = _ADDRESS.sub(_mask_address, text or "")
    return _NUMBER.sub(lambda found: mask(found.group()), masked)


def _mask_address(found: re.Match[str]) -> str:
    address = found.group()
    return address if _OUR_KEY.fullmatch(address.partition("@")[0]) else mask(address)


def mask_values(value: Any) -> Any:
    """Evidence with every text masked, whatever its shape."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {str(name): mask_values(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [mask_values(inner) for inner in value]
    return value
