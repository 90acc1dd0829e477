"""What a provider's own log calls a dispatch, so that support can search there. Reads it from the stored bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from types import MappingProxyType

# The names stand at the beginning; a body may be long.
LONGEST_HEAD = 8_192


@dataclass(frozen=True, slots=True)
class Reference:
    """One name, and what its kind of name is called there."""

    label: str
    value: str


def reference_of(content_type: str, head: bytes) -> Reference | None:
    """The reference inside a content's first LONGEST_HEAD bytes; None where its kind has none."""
    read = _READERS.get(content_type)
    return read(head) if read else None


def _message_id(head: bytes) -> Reference | None:
    """RFC 5322 section 3.6.4, without the angle brackets: mail servers log it with and without."""
    found = str(BytesHeaderParser().parsebytes(head)["Message-ID"] or "").strip().strip("<>")
    return Reference("Message-ID", found) if found else None


_READERS: MappingProxyType[str, Callable[[bytes], Reference | None]] = MappingProxyType({"message/rfc822": _message_id})
