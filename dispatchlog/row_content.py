"""What rows say of patients, sealed as it lies in the database. Owns the list of sealed columns and how they open; reads no
table.

A copy of the database gives nobody's name, address or message: what a row holds of them is one sealed value, bound to the
row's id and to its table, and people and addresses are found by keyed hashes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatchlog.sealing import check_keys, find_key, seal_bytes, unseal_bytes
from dispatchlog.settings import get_settings

_HASHED_FOR = "patient look-up"
HASHED = "h:"
# What stands in the place of a name once its patient was erased. It says nothing, so it is not sealed.
ERASED = "erased"
# As many as fit where a telephone number stood; 120 bits.
_HASH_DIGITS = 30


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

    def check(self) -> None:
        """Return if this process has the keys in force; while nothing is to be sealed it needs none.

        Raises:
            CannotUnsealError: it has not.
        """
        if get_settings().seal_content:
            check_keys()

    def seal(self, content: bytes, owner: UUID | str) -> bytes | None:
        """The content as it may be stored; it opens for this owner only. None while nothing is to be sealed."""
        return self.seal_anyway(content, owner) if get_settings().seal_content else None

    def seal_anyway(self, content: bytes, owner: UUID | str) -> bytes:
        """As `seal`, whatever the settings say."""
        return seal_bytes(content, purpose=self.purpose, owner=str(owner))

    def open(self, sealed: bytes | memoryview, owner: UUID | str) -> bytes:
        """What `seal` sealed.

        Raises:
            CannotUnsealError: it was sealed for another row, or under another secret key.
        """
        return unseal_bytes(bytes(sealed), purpose=self.purpose, owner=str(owner))


@dataclass(frozen=True, slots=True)
class SealedRow(SealedColumn):
    """Some columns of a row as one sealed value.

    Attributes:
        fields: these columns, each with what it holds where it is sealed; b"" says that it holds bytes.
        json: those of them that hold JSON, which may be written as text.
        lane: the lane whose rows these are where addresses stand among their search keys; else "".
        found_by: those of them that hold `hashed` instead, so that a row is found by them; of what, it says each.
    """

    fields: Mapping[str, str | bytes | float | None] = field(default_factory=dict)
    json: tuple[str, ...] = ()
    found_by: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    lane: str = ""

    def sealing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row about to be written: its content sealed, and in each of its columns what says nothing."""
        if not get_settings().seal_content:
            return dict(row)
        said = {name: row[name] for name in self.fields if name in row}
        nothing = {name: self.nothing_of(name, value) for name, value in said.items()}
        return {**row, **nothing, self.column: self.seal_fields(said, row[self.owner])}

    def changed(self, row: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """What to write of a stored row some of whose values become these: sealed where it is sealed, else as they are."""
        if row[self.column] is None:
            return dict(values)
        opened = self.opened(row)
        said = {name: opened[name] for name in self.fields} | dict(values)
        nothing = {name: self.nothing_of(name, value) for name, value in values.items()}
        return {**nothing, self.column: self.seal_fields(said, row[self.owner])}

    def nothing_of(self, name: str, value: Any) -> str | bytes | float | None:
        """What a column holds whose value is sealed."""
        finding = self.found_by.get(name)
        return self.fields[name] if finding is None or not value else hashed(finding(value))

    def search_key(self, text: str) -> str:
        """What stands among the search keys of a row instead of an address."""
        return hashed(text) if get_settings().seal_content else text.lower()

    def seal_fields(self, said: Mapping[str, Any], owner: UUID | str) -> bytes:
        """Values of these columns as one."""
        told = {name: self._told(name, value) for name, value in said.items()}
        return self.seal_anyway(json.dumps(told, ensure_ascii=False, default=str).encode(), owner)

    def _told(self, name: str, value: Any) -> Any:
        if name in self.json and isinstance(value, str):
            return json.loads(value)
        return bytes(value).decode("latin-1") if isinstance(self.fields[name], bytes) else value

    def opened(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row as it was before it was sealed, without the sealed value; one that never was comes back as it is.

        Raises:
            CannotUnsealError: as `open` does.
        """
        sealed = row.get(self.column)
        if sealed is None:
            return row
        told: dict[str, Any] = json.loads(self.open(sealed, row[self.owner]))
        said = {name: value.encode("latin-1") if self.fields[name] == b"" else value for name, value in told.items()}
        return {**{name: value for name, value in row.items() if name != self.column}, **said}


def literal(nothing: str | bytes | float | None) -> str:
    """As SQL, what says nothing."""
    if nothing is None:
        return "NULL"
    return "''" if isinstance(nothing, bytes) else f"'{nothing}'"


def digits_of(number: str) -> str:
    """A telephone number however it is written."""
    return re.sub(r"[^0-9+]", "", number)


PAYLOADS = SealedColumn("dispatch_payloads", "sealed", ("dispatch_id", "generation"), "dispatch_id", "dispatch payload")

COMM_JOBS = SealedRow(
    "comm_jobs",
    "sealed",
    ("id",),
    "id",
    "message to patient",
    {
        "recipient": "",
        "subject": None,
        "body": "",
        "provider_template": "{}",
        "variables": "{}",
        "preferences_link": "",
    },
    json=("provider_template", "variables"),
)

COMM_INBOUND = SealedRow(
    "comm_inbound",
    "sealed",
    ("id",),
    "id",
    "message from patient",
    {"from_address": "", "body": ""},
    found_by={"from_address": str},
)
HL7_MESSAGES = SealedRow(
    "hl7_messages",
    "sealed",
    ("id",),
    "id",
    "HL7 message",
    {"body": b"", "student_name": "", "record": None},
    json=("record",),
)
VISITS = SealedRow(
    "visits", "sealed", ("id",), "id", "clinic's visit", {"student_name": "", "record": "{}"}, json=("record",)
)
PHARMACY_ORDERS = SealedRow(
    "pharmacy_orders",
    "sealed",
    ("id",),
    "id",
    "pharmacy order",
    {
        "patient_name": "",
        "patient_phone": "",
        "patient_email": "",
        "address": "",
        "address_note": "",
        "latitude": 0.0,
        "longitude": 0.0,
    },
    found_by={"patient_phone": digits_of, "patient_email": str},
)
COURIER_MESSAGES = SealedRow(
    "courier_messages",
    "sealed",
    ("id",),
    "id",
    "delivery message",
    {"recipient_email": None},
    lane="courier_message",
)
TICKET_NOTIFICATIONS = SealedRow(
    "ticket_notifications",
    "sealed",
    ("id",),
    "id",
    "ticket notification",
    {"recipient_email": None},
    lane="ticket_notification",
)
# An event gets its number from the database, so it is bound to the courier's name for it.
COURIER_EVENTS = SealedRow(
    "courier_events", "sealed", ("id",), "event_id", "courier's event", {"body": "{}"}, json=("body",)
)

SEALED: tuple[SealedColumn, ...] = (
    PAYLOADS,
    COMM_JOBS,
    COMM_INBOUND,
    HL7_MESSAGES,
    VISITS,
    PHARMACY_ORDERS,
    COURIER_MESSAGES,
    TICKET_NOTIFICATIONS,
    COURIER_EVENTS,
)


def hashed(text: str) -> str:
    """What an address or a name is found by where it may not stand itself: the same for every case and border of spaces."""
    word = f"search:{text.strip().casefold()}".encode()
    return HASHED + hmac.new(find_key(_HASHED_FOR), word, hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def as_stored(text: str) -> list[str]:
    """How a column that is searched may hold this: hashed, or as older releases wrote it."""
    return [hashed(text), text]
