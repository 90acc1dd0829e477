"""What a copy of the database says of those for whom orders were delivered and whose visits were reported."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import pytest

from dashboard.courier_queries import find_orders
from dashboard.queries import rows_by_id
from dashboard.search_keys import having_key
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, fetch_all, transaction
from dispatchlog.row_content import as_stored
from dispatchlog.row_sealing import seal_rows, tables_with_plain_rows
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import events, orders
from dispatchlog.systems.courier.states import DispatchStatus
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.rewriting import visit_of
from dispatchlog.systems.hl7.visits import record_visit
from tests.at_rest import columns_with, opened_rows
from tests.keys.owning import rotate
from tests.keys.samples import headers
from tests.systems.conftest import mail_server
from tests.systems.courier_samples import PATIENT, CourierDesk, courier_desk, requested
from tests.systems.hl7.visits import STUDENT, VISIT

__all__ = ["mail_server"]

ORDER = (PATIENT.name, "Rivers", PATIENT.phone, PATIENT.email, "3 Marina Road", "Blue gate")
STUDENT_S = (
    STUDENT.family_name,
    STUDENT.given_name,
    "784-2014-1234567-6",
    "12 Palm Street",
    "+971501234568",
    "Sore throat",
)
TABLES = ("dispatch_payloads", "hl7_messages", "visits", "pharmacy_orders", "courier_messages")
# What still is somebody's, with why.
STILL_PLAIN = MappingProxyType({})


@pytest.fixture
def desk(
    settings_env: Settings, monkeypatch: pytest.MonkeyPatch, mail_server: tuple[int, object]
) -> Iterator[CourierDesk]:
    monkeypatch.setenv("DISPATCHLOG_SMTP_URL", f"smtp://127.0.0.1:{mail_server[0]}?tls=none")
    with courier_desk(settings_env, monkeypatch) as desk:
        yield desk


def on_its_way(desk: CourierDesk) -> None:
    """An order is booked and on its way, and its patient is to be told."""
    requested()
    desk.drain()
    (dispatch,) = desk.dispatches()
    with transaction("test"):
        orders.lock_order(dispatch["order_id"])
        events.note_own(dispatch, DispatchStatus.IN_TRANSIT, source="staff", event_id="t", actor="test")


def delivered_and_visited(desk: CourierDesk) -> None:
    """A patient was told of an order; a visit is reported."""
    on_its_way(desk)
    desk.drain("courier_message")
    assert {row["status"] for row in desk.rows("courier_messages")} == {"SENT"}
    schools.add_school("SCH-01", "First school", actor="test")
    record_visit("SCH-01", VISIT, source="clinic")


def test_a_copy_of_the_database_says_nobody_s_name_or_address(desk: CourierDesk, database_url: str) -> None:
    delivered_and_visited(desk)
    assert columns_with(database_url, (*ORDER, *STUDENT_S)).keys() == STILL_PLAIN.keys()


def test_rows_are_sealed_anew_under_another_key_also_those_that_are_final(desk: CourierDesk) -> None:
    delivered_and_visited(desk)
    before, first = whole(desk), headers()
    assert rotate().unreadable == 0
    assert whole(desk) == before
    assert headers().isdisjoint(first)


@pytest.mark.parametrize("search", [PATIENT.email, PATIENT.email.upper(), PATIENT.phone, "+234 801 555 0123"])
def test_an_order_is_found_by_its_patients_whole_address_or_number(desk: CourierDesk, search: str) -> None:
    order_id = requested()
    with connected():
        assert find_orders(search) == [order_id]
        assert find_orders(search[:-1]) == []


def test_what_was_stored_before_is_sealed_and_still_found(
    desk: CourierDesk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHLOG_SEAL_CONTENT", "0")
    get_settings.cache_clear()
    delivered_and_visited(desk)
    assert set(columns_with(database_url, (*ORDER, *STUDENT_S))) > {"pharmacy_orders.patient_name", "visits.record"}
    before = whole(desk)
    done = seal_rows(database_url, told=lambda *_: None)
    assert {table: done[table] for table in TABLES} == {
        table: desk.listing(f"SELECT count(*) AS number FROM {table}")[0]["number"] for table in TABLES
    }
    assert columns_with(database_url, (*ORDER, *STUDENT_S)).keys() == STILL_PLAIN.keys()
    assert whole(desk) == before
    with connected():
        assert tables_with_plain_rows() == []
        (order,) = fetch_all("SELECT id FROM pharmacy_orders")
        assert find_orders(PATIENT.email) == [order[0]]
        assert find_orders(PATIENT.phone) == [order[0]]
        keys = fetch_all(
            "SELECT key FROM dispatch_search WHERE lane = 'courier_message' AND key = ANY (%s)",
            (as_stored(PATIENT.email),),
        )
        (message_id,) = fetch_all("SELECT id FROM hl7_messages")[0]
    assert {key for (key,) in keys} == {as_stored(PATIENT.email)[0]}
    assert visit_of(message_id) == VISIT


def test_a_corrected_recipient_is_sealed_shown_and_found(desk: CourierDesk, database_url: str) -> None:
    on_its_way(desk)
    lane = registry.lane("courier_message")
    message = desk.rows("courier_messages")[0]
    assert operator.correct_recipient(lane, message["id"], "Else.Where@example.org", actor="ann").changed
    having, key = having_key("else.where@EXAMPLE.org")
    with connected():
        (row,) = rows_by_id(lane, [message["id"]])
        found = fetch_all(f"SELECT dispatch_id FROM dispatch_search WHERE {having}", (key,))
    assert (row["recipient"], found) == ("Else.Where@example.org", [(message["id"],)])
    assert operator.find(lane, message["id"])["recipient_email"] == "Else.Where@example.org"
    assert columns_with(database_url, ("else.where",)) == {}
    desk.drain("courier_message")
    assert {row["status"] for row in desk.rows("courier_messages")} == {"SENT"}


def whole(desk: CourierDesk) -> list[object]:
    """What the application reads of these tables; the keys that are hashed aside."""
    hidden = ("sealed", "search_keys")
    return [
        {
            name: bytes(value) if isinstance(value, memoryview) else value
            for name, value in row.items()
            if name not in hidden
        }
        for table in TABLES[1:]
        for row in opened_rows(table, desk.listing(f"SELECT * FROM {table} ORDER BY id"))
    ]
