"""Orders of kits: every one that is stored or was reported is listed, found and explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dashboard import order_queries
from dashboard.order_queries import list_orders
from dispatchlog.engine.database import connected, execute, fetch_one, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.kit_registering import register_order
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.samples import form_in, place_order


def rows(text: str) -> list[tuple[str, str]]:
    """Number and state of the orders shown, in their order."""
    found = re.findall(r'data-label="State".*?</svg>(.*?)</span>.*?class="row-link"[^>]*>([^<]+)</a>', text, re.S)
    return [(number, state) for state, number in found]


def store(number: str, **columns: Any) -> UUID:
    """An order as an upstream service writes it into its own table: nobody has reported it."""
    order = {"id": uuid4(), "order_number": number, "practitioner_id": uuid4(), "status": "paid", **columns}
    with connected():
        execute(
            f"INSERT INTO orders ({', '.join(order)}) VALUES ({', '.join(['%s'] * len(order))})", tuple(order.values())
        )
    identity: UUID = order["id"]
    return identity


def add_kit(order_id: UUID, kit_id: str) -> None:
    with connected():
        execute("INSERT INTO order_kits (id, order_id, kit_id) VALUES (%s, %s, %s)", (uuid4(), order_id, kit_id))


def with_kit(number: str, **columns: Any) -> UUID:
    order_id = store(number, **columns)
    add_kit(order_id, f"KIT-{number}")
    return order_id


@pytest.fixture
def viewer(dash: Dashboard) -> Visitor:
    return dash.as_("viewer")


SHIPPED = {"status": "shipped"}
CASES: list[tuple[Callable[..., UUID], dict[str, Any], str, str]] = [
    (with_kit, {}, "Not shipped yet", "NOT_SHIPPED"),
    (with_kit, {"tracking_number": ""}, "Not shipped yet", "NOT_SHIPPED"),
    (with_kit, {"practitioner_id": None}, "Not for us", "NOT_PRACTITIONER_ORDER"),
    (with_kit, {"practitioner_id": None, **SHIPPED}, "Not for us", "NOT_PRACTITIONER_ORDER"),
    (with_kit, {"status": "cancelled"}, "Cancelled", "ORDER_CANCELLED"),
    (with_kit, {"status": "cancelled", "practitioner_id": None}, "Cancelled", "ORDER_CANCELLED"),
    (store, SHIPPED, "Waiting", "NO_KITS"),
    (store, {"shipping_date": datetime(2026, 3, 1, tzinfo=UTC)}, "Waiting", "NO_KITS"),
]


@pytest.mark.parametrize(("make", "columns", "state", "code"), CASES)
def test_an_order_that_nobody_reported_is_listed_and_explained_as_a_report_would(
    viewer: Visitor, make: Callable[..., UUID], columns: dict[str, Any], state: str, code: str
) -> None:
    order_id = make("VO-7", **columns)
    listed, page = viewer.get("/kit-orders").text, viewer.get(f"/kit-orders/{order_id}").text
    assert rows(listed) == [("VO-7", state)]
    assert "No service yet" in listed
    assert code in page
    assert "not reported by any service yet" in page
    register_order(order_id, source="vitract-kit-api-v1")
    listed, page = viewer.get("/kit-orders").text, viewer.get(f"/kit-orders/{order_id}").text
    assert rows(listed) == [("VO-7", state)]
    assert "vitract-kit-api-v1" in listed
    assert code in page
    assert "reported 1 time by vitract-kit-api-v1" in page


def test_a_shipped_order_that_nobody_reported_says_that_the_sweep_takes_it_up(viewer: Visitor) -> None:
    order_id = with_kit("VO-7", **SHIPPED)
    assert rows(viewer.get("/kit-orders").text) == [("VO-7", "Waiting")]
    assert "the next sweep registers its kits" in viewer.get(f"/kit-orders/{order_id}").text


def test_an_order_that_is_stored_before_it_ships_is_listed(viewer: Visitor) -> None:
    place_order("VO-8", status="paid")
    assert rows(viewer.get("/kit-orders").text) == [("VO-8", "Not shipped yet")]


def test_a_report_that_came_before_its_order_is_listed(viewer: Visitor) -> None:
    order_id = uuid4()
    register_order(order_id, source="vitract-orders")
    assert rows(viewer.get("/kit-orders").text) == [(str(order_id), "Waiting")]
    assert "no such order is stored yet" in viewer.get(f"/kit-orders/{order_id}").text


@pytest.mark.parametrize("query", ["VO-77", "vo-77", "KIT-VO-77", "kit-vo-77", "{id}"])
def test_an_order_that_nobody_reported_is_found_by_number_kit_and_id(viewer: Visitor, query: str) -> None:
    order_id = with_kit("VO-77")
    with_kit("VO-78")
    found = viewer.get("/kit-orders", query_string={"q": query.format(id=order_id)}).text
    assert rows(found) == [("VO-77", "Not shipped yet")]


def test_each_state_shows_its_orders_and_all_of_them_show_every_one(viewer: Visitor) -> None:
    made: dict[str, set[str]] = {}
    for number, (make, columns, state, _) in enumerate(CASES):
        make(f"VO-{number}", **columns)
        made.setdefault(state, set()).add(f"VO-{number}")
    for number, (make, columns, state, _) in enumerate(CASES, start=len(CASES)):
        register_order(make(f"VO-{number}", **columns), source="queue")
        made[state].add(f"VO-{number}")
    form_in("SENT", number="VO-98")
    made["Registered"] = {"VO-98"}
    place_order("VO-99")
    made["Registering"] = {"VO-99"}
    assert {number for number, _ in rows(viewer.get("/kit-orders").text)} == set().union(*made.values())
    page = viewer.get("/kit-orders").text
    keys = dict(re.findall(r'<option value="(\w+)">([^<]+)<', page))
    assert set(keys.values()) == set(made)
    for key, state in keys.items():
        shown = rows(viewer.get(f"/kit-orders?state={key}").text)
        assert {number for number, _ in shown} == made[state], state
        assert {word for _, word in shown} == {state}


@pytest.mark.parametrize("state", ["", "NOT_SHIPPED"])
def test_pages_hold_reported_and_unreported_orders_without_gaps_or_repeats(
    viewer: Visitor, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(order_queries, "PAGE_ROWS", 3)
    for number in range(11):
        order_id = with_kit(f"VO-{number}")
        if number in (0, 1, 4, 5, 6, 9):
            register_order(order_id, source="queue")
    path, seen, pages = f"/kit-orders?state={state}", [], 0
    while path:
        text = viewer.get(path).text
        seen += [number for number, _ in rows(text)]
        found = re.search(r'href="([^"]+)" rel="next"', text)
        path, pages = (found.group(1).replace("&amp;", "&") if found else ""), pages + 1
    assert seen == [f"VO-{number}" for number in range(10, -1, -1)]
    assert pages == 4


def test_a_page_of_reported_orders_does_not_search_all_of_them_for_one_that_is_not(
    dash: Dashboard, settings_env: Settings, database_url: str
) -> None:
    with closing(psycopg2.connect(database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders (id, order_number, practitioner_id, status, updated_at) SELECT gen_random_uuid(),"
            " 'VO-' || n, gen_random_uuid(), 'shipped', now() - n * interval '1 s' FROM generate_series(1, 20000) n;"
            "INSERT INTO order_registrations (order_id, state, updated_at) SELECT id, 'REGISTERED', updated_at FROM orders;"
            "ANALYZE orders, order_registrations"
        )
        owner.commit()
    with transaction("test"):
        found, older = list_orders(states=(), text="", position=None, settings=settings_env)
        read = fetch_one(
            "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables"
            " WHERE relname IN ('orders', 'order_registrations')"
        )[0]
    assert len(found) == order_queries.PAGE_ROWS
    assert older is not None
    assert 2 * order_queries.PAGE_ROWS < read < 20 * order_queries.PAGE_ROWS


def test_one_kit_in_two_spellings_is_one_kit(viewer: Visitor, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("DROP INDEX dispatchlog_order_kits_name")  # an upstream service's table has none
        owner.commit()
    order_id = with_kit("VO-7", **SHIPPED)
    add_kit(order_id, "kit-vo-7")
    register_order(order_id, source="queue")
    page = viewer.get(f"/kit-orders/{order_id}").text
    assert "1 kit<" in page
    assert page.count('class="kit-id"') == 1
