"""What an older version stored of one kit in two spellings survives the new key: no dispatch is lost and none doubled."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg2
import pytest

from dispatchlog.migrate import migrate_down, migrate_up
from dispatchlog.settings import get_settings
from tests.migrations.test_migrations import cursor_of, rows

BEFORE, THIS = "0005_history", "0006_kit_names"
FORMS = "health_information_dispatch_logs"
ORDER = "018f0000-0000-7000-8000-00000000000b"
PARTS = {
    "PENDING": "",
    "PENDING again": ", first_claimed_at = now()",
    "QUEUED": ", claim_token = gen_random_uuid(), claimed_by = 1, claimed_at = now(), first_claimed_at = now()",
    "SENT": ", sent_at = now()",
    "FAILED": "",
    "CANCELLED": "",
    "in doubt": ", in_doubt = true",
}


@pytest.fixture
def old_url(empty_database_url: str) -> str:
    migrate_up(empty_database_url, BEFORE)
    return empty_database_url


def store_form(cursor: Any, number: int, kit_id: str, state: str) -> str:
    """A form of the older version; its id."""
    dispatch_id = str(UUID(int=number))
    cursor.execute(
        f"INSERT INTO {FORMS} (id, order_id, kit_id, order_number, practitioner_id, registered_at)"
        " VALUES (%s, %s, %s, 'N', gen_random_uuid(), now())",
        (dispatch_id, ORDER, kit_id),
    )
    status = {"PENDING again": "PENDING", "in doubt": "FAILED"}.get(state, state)
    for step in ("QUEUED", status) if status == "SENT" else (status,):
        parts = PARTS["QUEUED"] if step == "QUEUED" else PARTS[state]
        cursor.execute(f"UPDATE {FORMS} SET status = %s{parts} WHERE id = %s", (step, dispatch_id))
    return dispatch_id


@pytest.mark.parametrize(
    ("first", "second", "become"),
    [
        ("PENDING", "PENDING", ["PENDING", "CANCELLED"]),
        ("CANCELLED", "PENDING", ["CANCELLED", "PENDING"]),
        ("FAILED", "PENDING", ["CANCELLED", "PENDING"]),
        ("PENDING", "SENT", ["CANCELLED", "SENT"]),
        ("SENT", "SENT", ["SENT", "SENT"]),
        ("SENT", "FAILED", ["SENT", "CANCELLED"]),
        ("SENT", "QUEUED", ["SENT", "in doubt"]),
        ("PENDING again", "QUEUED", ["in doubt", "QUEUED"]),
        ("in doubt", "PENDING", ["in doubt", "CANCELLED"]),
        ("SENT", "in doubt", ["SENT", "in doubt"]),
    ],
)
def test_of_two_spellings_the_dispatch_that_went_furthest_is_the_kits(
    old_url: str, first: str, second: str, become: list[str]
) -> None:
    with cursor_of(old_url) as cursor:
        ids = [store_form(cursor, 1, "KIT-1", first), store_form(cursor, 2, "kit-1", second)]
    assert migrate_up(old_url, THIS) == [THIS]
    found = rows(
        old_url, f"SELECT CASE WHEN in_doubt THEN 'in doubt' ELSE status END, last_error FROM {FORMS} ORDER BY id"
    )
    assert [state for state, _ in found] == become
    for (state, error), before, other in zip(found, (first, second), reversed(ids), strict=True):
        settled = state != before.removesuffix(" again")
        assert (error == f"the same kit in another spelling has the dispatch {other}") == settled
    moved = rows(
        old_url, "SELECT DISTINCT actor FROM dispatch_transitions WHERE to_status = 'CANCELLED' AND reason <> ''"
    )
    assert moved in ([], [("migration:0006",)])


def test_a_third_spelling_is_refused_also_where_two_are_stored(old_url: str) -> None:
    with cursor_of(old_url) as cursor:
        for number, kit_id in enumerate(("KIT-1", "kit-1", "KIT-2"), start=1):
            store_form(cursor, number, kit_id, "SENT")
        migrate_up(old_url, THIS)
        for number, kit_id in enumerate(("Kit-1", "kit-2"), start=4):
            with pytest.raises(psycopg2.errors.UniqueViolation):
                store_form(cursor, number, kit_id, "PENDING")
        assert migrate_down(old_url) == [THIS]
        store_form(cursor, 6, "kit-2", "PENDING")


def test_kits_of_our_own_table_stay_and_get_the_key(old_url: str) -> None:
    insert = "INSERT INTO order_kits (id, order_id, kit_id) VALUES (gen_random_uuid(), %s, %s)"
    with cursor_of(old_url) as cursor:
        for kit_id in ("KIT-1", "kit-1"):
            cursor.execute(insert, (ORDER, kit_id))
        migrate_up(old_url, THIS)
        assert rows(old_url, "SELECT kit_id FROM order_kits ORDER BY kit_id") == [("KIT-1",), ("kit-1",)]
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute(insert, (ORDER, "Kit-1"))


@pytest.mark.parametrize(
    "theirs",
    [
        "ALTER TABLE order_kits ADD COLUMN theirs text",
        "ALTER TABLE order_kits ALTER kit_id TYPE text",
        "ALTER TABLE order_kits DROP CONSTRAINT order_kits_order_id_kit_id_key",
        "CREATE INDEX theirs ON order_kits (registered_at)",
        f"ALTER TABLE order_kits OWNER TO {get_settings().application_role}",
        "ALTER TABLE order_kits RENAME TO kept; CREATE VIEW order_kits AS SELECT * FROM kept",
    ],
    ids=["column", "type", "key", "index", "owner", "view"],
)
def test_kits_that_may_be_an_upstream_services_get_no_key(old_url: str, theirs: str) -> None:
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename IN ('order_kits', 'kept') ORDER BY 1"
    with cursor_of(old_url) as cursor:
        cursor.execute(theirs)
        before = rows(old_url, indexes)
        migrate_up(old_url, THIS)
        assert rows(old_url, indexes) == before
