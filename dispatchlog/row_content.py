"""What rows say of patients, sealed as it lies in the database. Owns the list of sealed columns and how they open; reads no
table.

A copy of the database gives nobody's name, address or message: what a row holds of them is one sealed value, bound to the
row's id and to its table, and people and addresses are found by keyed hashes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.sealing import derive_key, seal, unseal
from dispatchlog.settings import get_settings

_HASHED_FOR = "patient look-up"
HASHED = "h:"


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One column of sealed content.

    Attributes:
        table, column: where it is.
        key: the columns of the table's primary key.
        owner: the column whose value it is bound to.
        purpose: what it is sealed for, one per table.
    """

    table: str
    column: str
    key: tuple[str, ...]
    owner: str
    purpose: str

    def seal(self, content: bytes, owner: UUID) -> bytes:
        """The content as it may be stored; it opens for this owner only."""
        # One character per byte: every sequence of bytes is a text, and comes back as it was.
        return seal(content.decode("latin-1"), purpose=self.purpose, owner=str(owner), secret_key=_secret())

    def open(self, sealed: bytes | memoryview, owner: UUID) -> bytes:
        """What `seal` sealed.

        Raises:
            CannotUnsealError: it was sealed for another row, or under another secret key.
        """
        return unseal(bytes(sealed), purpose=self.purpose, owner=str(owner), secret_key=_secret()).encode("latin-1")

    def seal_fields(self, fields: Mapping[str, Any], owner: UUID) -> bytes:
        """Several values of a row as one, as `seal` has it; they have to be JSON."""
        return self.seal(json.dumps(fields, ensure_ascii=False).encode(), owner)

    def open_fields(self, sealed: bytes | memoryview, owner: UUID) -> dict[str, Any]:
        """What `seal_fields` sealed; raises as `open` does."""
        found: dict[str, Any] = json.loads(self.open(sealed, owner))
        return found


PAYLOADS = SealedColumn("dispatch_payloads", "sealed", ("dispatch_id", "generation"), "dispatch_id", "dispatch payload")

SEALED: tuple[SealedColumn, ...] = (PAYLOADS,)


def hashed(text: str) -> str:
    """What an address or a name is found by where it may not stand itself: the same for every case and border of spaces."""
    word = f"search:{text.strip().casefold()}".encode()
    return HASHED + hmac.new(derive_key(_secret(), _HASHED_FOR), word, hashlib.sha256).hexdigest()[:40]


def _secret() -> str:
    return get_settings().secret_key.get_secret_value()
