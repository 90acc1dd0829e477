"""Hiding who a dispatch goes to. Owns the rule; whoever may look asks for it on the dispatch's page, and that is logged."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import escape

from dashboard.hl7_layout import HIDDEN, mask_acknowledgement

_ADDRESS = re.compile(r"[A-Za-z0-9._%+'/=?^`{|}~!#$&*-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_NUMBER = re.compile(r"\+\d[\d ().-]{6,18}\d")
# A key of ours (a dispatch's id and generation) before an @ is a Message-ID, not somebody's address.
_OUR_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+", re.IGNORECASE)
# A name's parts; what stands between them may be blanks, line breaks or a format's separators.
_WORD = re.compile(r"[^\W_]+")
_SPACES = r"(?:\s|[\^~&,])+"


def mask(recipient: str | None) -> str:
    """Enough to recognise a recipient one knows, too little to learn one: `a•••@example.org`, `+•••12`."""
    if not recipient:
        return ""
    local, at, domain = recipient.rpartition("@")
    if at:
        return f"{local[:1]}{HIDDEN}@{domain}"
    if re.fullmatch(r"[+\d][\d ().-]+", recipient):
        return f"{HIDDEN}{recipient[-2:]}"
    return recipient


def mask_name(name: str) -> str:
    """The first letter of each word: `A••• M•••` is recognised by who knows it, and tells nobody else."""
    return " ".join(f"{word[:1]}{HIDDEN}" for word in name.replace(",", " ").split())


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
        if isinstance(value.get("acknowledgement"), str):
            value = mask_acknowledgement(value)
        return {str(name): mask_values(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [mask_values(inner) for inner in value]
    return value


def names_masker(names: Iterable[str]) -> Callable[[str], str]:
    """A function that hides these names and texts: each as a whole however it is spaced, and each of its words where it is
    written the same or in capitals. It finds them in plain text, in HTML and in JSON.
    """
    texts = {" ".join(_plain(name).split()) for name in names} - {""}
    words = {word for text in texts for word in (*_WORD.findall(text), *text.split()) if len(word) > 1 or word == text}
    whole = [text for text in texts if not _WORD.fullmatch(text)]
    patterns = [f"(?i:{_SPACES.join(map(_written, text.split()))})" for text in sorted(whole, key=len, reverse=True)]
    patterns += [_written(form) for word in sorted(words, key=len, reverse=True) for form in {word, word.upper()}]
    if not patterns:
        return lambda text: text
    found = re.compile(rf"(?<![^\W_])(?:{'|'.join(patterns)})(?![^\W_])")
    return lambda text: found.sub(HIDDEN, _plain(text))


def _written(text: str) -> str:
    """The text as a pattern: as it is, and as HTML and JSON write it."""
    forms = {
        text,
        str(escape(text)),
        html.escape(text),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
    }
    return f"(?:{'|'.join(re.escape(form) for form in sorted(forms, key=len, reverse=True))})"


def _plain(text: str) -> str:
    """One way of writing a letter with its accent."""
    return unicodedata.normalize("NFC", text)
