"""What was stored of a letter, and how: sealed as a whole, or in plain columns. Owns the form; touches no table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from dispatchlog.engine.errors import CannotOpen

if TYPE_CHECKING:
    from dispatchlog.engine.lanes import Letter

# A letter is stored in these; all are null, or say nothing, where another one holds it.
COLUMNS = "recipient, headers, body, sealed"


class Seal(Protocol):
    """Keeps content from whoever has a copy of the database; what is sealed opens for its owner only."""

    def check(self) -> None:
        """Return if this process has the keys. Raises DispatchlogError where it can neither seal nor open."""
        ...

    def seal(self, content: bytes, owner: UUID) -> bytes | None:
        """The content as it may be stored; None where it is to be stored as it is."""
        ...

    def open(self, sealed: bytes | memoryview, owner: UUID) -> bytes:
        """What was sealed. Raises DispatchlogError where it does not open."""
        ...


class RowSeal(Protocol):
    """Keeps some columns of a lane's rows as one sealed value."""

    def check(self) -> None:
        """As a `Seal` has it."""
        ...

    def sealing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row about to be written, with its id; what is to be sealed is."""
        ...

    def opened(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row as it was read, with what its sealed value says in the columns. Raises DispatchlogError."""
        ...

    def changed(self, row: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns to write where some values of a stored row become others."""
        ...

    def search_key(self, text: str) -> str:
        """What stands among the search keys of a row instead of an address."""
        ...


def pack(letter: Letter) -> bytes:
    """Recipient, headers and bytes as one: a line of JSON, and then the bytes as they are."""
    return json.dumps({"recipient": letter.recipient, "headers": dict(letter.headers)}).encode() + b"\n" + letter.body


def unpack(packed: bytes) -> tuple[str, dict[str, str], bytes]:
    """Recipient, headers and bytes of what `pack` made."""
    head, _, body = packed.partition(b"\n")
    said = json.loads(head)
    return said["recipient"], said["headers"], body


def opened(row: Mapping[str, Any], seal: Seal | None) -> tuple[str, dict[str, str], bytes] | None:
    """Recipient, headers and bytes of a stored row with `dispatch_id` and `COLUMNS`; None where they were deleted.

    Raises:
        CannotOpen: it is sealed, and nobody gave a seal.
        DispatchlogError: as the seal has it.
    """
    if row["sealed"] is None:
        return None if row["body"] is None else (row["recipient"], row["headers"], bytes(row["body"]))
    if seal is None:
        raise CannotOpen(f"what is stored of dispatch {row['dispatch_id']} is sealed, and its lane has no seal")
    return unpack(seal.open(row["sealed"], row["dispatch_id"]))
