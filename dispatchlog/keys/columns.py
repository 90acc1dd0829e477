"""The one list of sealed columns: rotation and status go by it. Owns no row; knows no key.

A further sealed column is one line here, and an UPDATE grant on it in its migration. What rows say of patients opens by
`dispatchlog.row_content`, whose list a test compares with this one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A bytea column whose values are sealed for `purpose`; `owner` is the SQL expression of whom each is bound to."""

    table: str
    column: str
    owner: str
    purpose: str

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"


SECOND_FACTORS = "second factor: secrets"
API_KEYS, CLIENT_KEYS = "hl7 api key", "hl7 client key"
CONTACTS = "patient contact"
PORTAL_TEXTS = "portal message"

SEALED_COLUMNS: tuple[SealedColumn, ...] = (
    SealedColumn("staff_second_factors", "secret", "user_id", SECOND_FACTORS),
    SealedColumn("hl7_endpoints", "api_key_sealed", "school_id", API_KEYS),
    SealedColumn("hl7_endpoints", "client_key_sealed", "school_id", CLIENT_KEYS),
    SealedColumn("patients", "name_sealed", "id", CONTACTS),
    SealedColumn("patients", "email_sealed", "id", CONTACTS),
    SealedColumn("patients", "phone_sealed", "id", CONTACTS),
    SealedColumn("patient_comm_prefs", "email_address", "patient_id", CONTACTS),
    SealedColumn("patient_comm_prefs", "sms_number", "patient_id", CONTACTS),
    SealedColumn("patient_comm_prefs", "whatsapp_number", "patient_id", CONTACTS),
    SealedColumn("comm_portal_tokens", "content_sealed", "id", PORTAL_TEXTS),
    SealedColumn("dispatch_payloads", "sealed", "dispatch_id", "dispatch payload"),
    SealedColumn("comm_jobs", "sealed", "id", "message to patient"),
    SealedColumn("comm_inbound", "sealed", "id", "message from patient"),
    SealedColumn("hl7_messages", "sealed", "id", "HL7 message"),
    SealedColumn("visits", "sealed", "id", "clinic's visit"),
    SealedColumn("pharmacy_orders", "sealed", "id", "pharmacy order"),
    SealedColumn("courier_messages", "sealed", "id", "delivery message"),
    SealedColumn("ticket_notifications", "sealed", "id", "ticket notification"),
    SealedColumn("courier_events", "sealed", "event_id", "courier's event"),
)

# Keyed hashes, by which things are found again or codes recognised: they hold for ever under the key of 'find'.
HASHED_COLUMNS: tuple[tuple[str, str], ...] = (
    ("comm_stops", "address_hash"),
    ("comm_addresses", "address_hash"),
    ("patient_names", "word_hash"),
    ("comm_consents", "address_hash"),
    ("comm_jobs", "recipient_hash"),
    ("staff_recovery_codes", "code_hash"),
    ("courier_dispatches", "code_hash"),
    ("audit_seals", "chained"),
)


def by_table(columns: Iterable[SealedColumn] = SEALED_COLUMNS) -> dict[str, tuple[SealedColumn, ...]]:
    """The sealed columns of each table that has some."""
    ordered = sorted(columns, key=lambda each: each.table)
    return {table: tuple(found) for table, found in groupby(ordered, key=lambda each: each.table)}
