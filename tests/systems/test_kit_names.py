"""One kit is one kit however its id is spelt: in a report, in our tables, in an upstream service's, and in the mail."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import peewee
import pytest

from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.systems.kit_names import kit_name, name_of
from dispatchlog.systems.kit_orders import KitInput, OrderError, ShipmentInput, order_state, put_order, report_shipment
from dispatchlog.systems.kit_registering import register_missing, register_order
from tests.systems.conftest import Desk
from tests.systems.test_kits import PRACTITIONER, an_order, mails_to

# Letters whose lower case is another one, more than one or an ASCII one in some locale or library.
SPELLINGS = [
    "KIT-1",
    "  kit-1\t\r\n",
    "k\u0131t",
    "K\u0130T",
    "\u1e9e\u00df",
    "\u212aIT",
    "\xc4",
    "\u03a3",
    "\xa0K",
    "",
    " ",
]
TABLES = ("order_kits", "kit_registrations", "health_information_dispatch_logs")


def test_python_and_postgresql_give_every_spelling_the_same_name(desk: Desk) -> None:
    with connected():
        rows = fetch_all(f"SELECT s, {name_of('s')} FROM unnest(%s::text[]) s", (SPELLINGS,))
    assert dict(rows) == {spelling: kit_name(spelling) for spelling in SPELLINGS}
    assert kit_name("  KIT-1\t\r\n") == "kit-1"


@pytest.mark.parametrize("table", TABLES)
def test_a_kit_is_found_by_name_through_an_index(desk: Desk, table: str) -> None:
    with transaction("test"):
        execute("SET LOCAL enable_seqscan = off")
        plan = fetch_all(
            f"EXPLAIN SELECT id FROM {table} WHERE order_id = %s AND {name_of('kit_id')} = 'kit-1'", (uuid4(),)
        )
    text = "\n".join(line for (line,) in plan)
    assert re.search(rf"using dispatchlog_{table}_name .*Index Cond: .*lower\(\(btrim\(.*= 'kit-1'", text, re.DOTALL)


@pytest.mark.parametrize("table", TABLES)
def test_postgresql_refuses_a_second_spelling_of_a_kit_in_every_table(desk: Desk, table: str) -> None:
    put_order(an_order(status="shipped", kits=(KitInput("KIT-1"),)), source="vitract-orders")
    desk.register()
    columns = {
        "order_kits": "id, order_id",
        "kit_registrations": "id, order_id, order_number, practitioner_id",
        "health_information_dispatch_logs": "id, order_id, order_number, practitioner_id, registered_at",
    }[table]
    values = columns.replace("id", "gen_random_uuid()", 1)
    with pytest.raises(peewee.IntegrityError, match=f"dispatchlog_{table}_name"), transaction("test"):
        execute(f"INSERT INTO {table} ({columns}, kit_id) SELECT {values}, ' kit-1' FROM {table}")


def test_two_spellings_in_one_report_are_one_kit_twice(desk: Desk) -> None:
    with pytest.raises(OrderError) as refused:
        put_order(an_order(kits=(KitInput("KIT-1"), KitInput("KIT-2"), KitInput("kit-1"))), source="vitract-orders")
    assert (refused.value.code, refused.value.field) == ("DUPLICATE_KIT", "kits[2].kitId")


def test_a_kit_reported_by_two_services_in_two_spellings_gets_one_registration_and_one_mail(desk: Desk) -> None:
    first, second = (f"{uuid4().hex[:12]}@example.com" for _ in range(2))
    order = an_order(status="shipped", kits=(KitInput("KIT-1", first),))
    put_order(order, source="vitract-orders")
    put_order(replace(order, kits=(KitInput("kit-1"),)), source="vitract-kit-api-v1")
    desk.register()
    put_order(replace(order, kits=(KitInput("Kit-1", second),)), source="vitract-kit-api-v1")
    desk.register()
    desk.sweep()
    for lane in ("kit_registration", "health_information"):
        assert [(row["kit_id"], row["status"]) for row in desk.rows(lane)] == [("KIT-1", "SENT")]
    assert (len(mails_to(desk, first)), len(mails_to(desk, second))) == (0, 1)
    state = order_state(order.order_id)
    [kit] = state.kits
    assert (kit["kit_id"], kit["recipient_email"], kit["form_status"]) == ("KIT-1", second, "SENT")
    assert kit["registration_id"]
    assert state.registration is not None
    assert (state.registration["state"], state.registration["kits"]) == ("REGISTERED", 1)


def test_services_that_report_at_once_in_every_spelling_make_one_row_per_kit(desk: Desk) -> None:
    order = an_order(status="shipped")

    def report(number: int) -> None:
        kits = tuple(KitInput(("KIT-{}", "kit-{}", "Kit-{}")[number % 3].format(kit)) for kit in range(5))
        put_order(replace(order, kits=kits), source=("vitract-orders", "vitract-kit-api-v1")[number % 2])

    with ThreadPoolExecutor(12) as services:
        list(services.map(report, range(24)))
    assert len(desk.rows("kit_registration")) == 5
    assert len(order_state(order.order_id).kits) == 5


# --- where the order's kits are an upstream service's, in whatever form it keeps them


def upstream_kits(order_id: UUID, *kits: tuple[str | None, str | None]) -> None:
    """What the upstream service writes; its table has no key of ours."""
    with transaction("upstream"):
        for kit_id, email in kits:
            execute(
                "INSERT INTO order_kits (id, order_id, kit_id, recipient_email) VALUES (gen_random_uuid(), %s, %s, %s)",
                (order_id, kit_id, email),
            )


@pytest.fixture
def theirs(desk: Desk, database_url: str) -> Desk:
    owner = peewee.PostgresqlDatabase(database_url)
    with owner.connection_context():
        owner.execute_sql(
            "DROP INDEX dispatchlog_order_kits_name; ALTER TABLE order_kits DROP CONSTRAINT order_kits_order_id_kit_id_key,"
            " ALTER kit_id DROP NOT NULL, ALTER kit_id TYPE text"
        )
    return desk


def test_two_spellings_in_an_upstream_table_are_one_kit(theirs: Desk) -> None:
    order = an_order(kits=())
    put_order(order, source="vitract-orders")
    recipient = f"{uuid4().hex[:12]}@example.com"
    upstream_kits(order.order_id, ("KIT-1", " "), (" kit-1 ", f" {recipient} "), ("KIT-1", None))
    report_shipment(order.order_id, ShipmentInput(status="shipped"), source="vitract-orders")
    theirs.register()
    theirs.sweep()
    assert register_missing() == 0
    assert register_order(order.order_id, source="queue").kits == 1
    for lane in ("kit_registration", "health_information"):
        assert [row["status"] for row in theirs.rows(lane)] == ["SENT"]
    assert len(mails_to(theirs, recipient)) == 1
    [kit] = order_state(order.order_id).kits
    assert kit["recipient_email"] == recipient
    with connected():
        assert fetch_all("SELECT count(*) FROM order_kits WHERE registered_at IS NOT NULL") == [(3,)]


def test_a_report_of_a_kit_that_an_upstream_table_spells_in_another_way_adds_none(theirs: Desk) -> None:
    order = an_order(status="shipped", kits=(KitInput("kit-1", "new@example.com"),))
    put_order(replace(order, kits=()), source="vitract-orders")
    upstream_kits(order.order_id, ("KIT-1", None))
    put_order(order, source="vitract-orders")
    with connected():
        assert fetch_all("SELECT kit_id, recipient_email FROM order_kits") == [("KIT-1", "new@example.com")]


def test_a_line_of_an_upstream_order_that_has_no_kit_yet_waits_for_it(theirs: Desk) -> None:
    order = an_order(status="shipped", kits=())
    put_order(order, source="vitract-orders")
    upstream_kits(order.order_id, (None, None), (" ", None))
    assert register_missing() == 0
    assert register_order(order.order_id, source="queue").code == "NO_KITS"
    upstream_kits(order.order_id, ("KIT-1", None))
    assert register_missing() == 1
    assert [row["kit_id"] for row in theirs.rows("kit_registration")] == ["KIT-1"]


def test_a_kit_whose_letters_have_no_plain_lower_case_is_never_registered_and_says_so(theirs: Desk) -> None:
    order = an_order(status="shipped", kits=(), practitioner=PRACTITIONER)
    put_order(order, source="vitract-orders")
    upstream_kits(order.order_id, ("KÄT", None), ("kät", None))
    register_order(order.order_id, source="queue")
    theirs.register()
    assert {(row["status"], row["last_error_code"]) for row in theirs.rows("kit_registration")} == {
        ("FAILED", "KIT_ID_INVALID")
    }
    with connected():
        assert fetch_all("SELECT count(*) FROM dispatch_payloads") == [(0,)], "handed to the registry"
