"""The list of sealed columns is complete: rotation touches what is on it, and forgets what is not."""

from __future__ import annotations

import pytest

from dispatchlog import row_content
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.keys.columns import HASHED_COLUMNS, SEALED_COLUMNS, by_table
from tests.keys.owning import rotate
from tests.keys.samples import seal_everything

pytestmark = pytest.mark.usefixtures("application")

# Bytes that are neither sealed nor hashed under a key: what they are instead.
NEITHER = {
    "data_keys": "the keys themselves, wrapped",
    "dispatch_payloads.sha256": "a plain hash of what was sent",
    "dispatch_payloads.body": "what was sent, as releases before wrote it",
    "hl7_messages.body": "the message as it was sent",
    "visits.record_sha256": "a plain hash, by which a report is told from another one",
    "pharmacy_orders.document_sha256": "likewise",
    "comm_jobs.request_sha256": "likewise",
    "comm_core_events.document_sha256": "likewise",
    "service_tokens.secret_sha256": "a plain hash of a random token",
    "web_sessions.id_hash": "likewise",
    "comm_portal_tokens.token_hash": "likewise",
    "sign_in_failures.account_hash": "counts for minutes only",
    "audit_seals.digest": "a plain hash, salted, of rows that stand beside it",
    "audit_seals.salt": "its salt",
    "audit_seals.previous": "what the seal before is recognised by, once more",
    "audit_anchors.chained": "likewise",
}


def byte_columns() -> set[str]:
    with connected():
        rows = fetch_all(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'bytea'"
        )
    return {f"{table}.{column}" for table, column in rows if table not in NEITHER}


def test_every_column_of_bytes_is_sealed_hashed_or_known_to_be_neither() -> None:
    sealed = {column.name for column in SEALED_COLUMNS}
    hashed = {f"{table}.{column}" for table, column in HASHED_COLUMNS}
    assert byte_columns() - sealed - hashed - NEITHER.keys() == set()
    assert (sealed | hashed) - byte_columns() == set()


def test_what_rows_say_of_patients_is_on_the_list() -> None:
    rows = {(each.table, each.column, each.owner, each.purpose) for each in row_content.SEALED}
    listed = {(each.table, each.column, each.owner, each.purpose) for each in SEALED_COLUMNS}
    assert rows <= listed


def test_what_the_doors_seal_is_what_the_list_says() -> None:
    sealed = seal_everything()
    said = sealed.read()
    rows = {f"{each.table}.{each.column}" for each in row_content.SEALED}
    assert said.keys() | rows == {column.name for column in SEALED_COLUMNS}
    done = rotate()
    assert (done.resealed, done.unreadable) == (len(said), 0)
    assert sealed.read() == said


def test_the_columns_of_a_table_are_gone_through_together() -> None:
    assert [len(columns) for columns in by_table().values()].count(0) == 0
    assert sum(len(columns) for columns in by_table().values()) == len(SEALED_COLUMNS)
    assert len(by_table()["patients"]) == 3
