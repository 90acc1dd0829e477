"""The list of pharmacy orders: what it shows and lets through, its search, its file, and marking many ready."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dashboard import courier_queries
from dashboard.courier_filter import OrdersFilter, PharmacyName
from dashboard.courier_wording import ORDER_STATES
from dashboard.filters import Position
from dispatchlog.engine.database import connected, execute, fetch_dicts
from dispatchlog.systems.courier import orders
from dispatchlog.systems.courier.orders import ReadyResult, Waiting
from tests.dashboard.browsing import Dashboard
from tests.dashboard.order_samples import EMAIL, PHONE, SECRETS, attempt, event, one_of_each, order, pharmacy

LIST = "/orders"


def numbers(text: str) -> list[str]:
    """The order numbers shown, in their order."""
    return re.findall(r'class="row-link" href="[^"]+">(MS-\d+)<', text)


def test_every_state_is_shown_in_plain_words_and_nobody_is_named(dash: Dashboard) -> None:
    found = one_of_each()
    text = dash.as_("viewer").get(LIST).text
    assert set(numbers(text)) == {row["order_number"] for row in found.values()}
    for state in ORDER_STATES.values():
        assert f"{state.label}</span>" in text, state.key
    assert not [secret for secret in SECRETS if secret in text]
    assert "A••• O•••" in text


def test_each_tab_holds_the_orders_of_its_state_and_their_number(dash: Dashboard) -> None:
    found = one_of_each()
    visitor = dash.as_("viewer")
    for key, row in found.items():
        text = visitor.get(f"{LIST}?status={key}").text
        assert numbers(text) == [row["order_number"]], key
        assert re.search(rf'aria-current="true">.*{ORDER_STATES[key].label} <span class="count">1</span>', text), key


def test_filters_narrow_together_and_stand_in_the_address(dash: Dashboard) -> None:
    pharmacy("PH-02", "Palm Grove Pharmacy")
    here, there = order("BOOKED"), order("BOOKED", code="PH-02")
    old = order("BOOKED", at=datetime.now(UTC) - timedelta(days=3))
    unpaid = order(paid=False, code="PH-02")
    today, before = datetime.now(UTC).date(), datetime.now(UTC).date() - timedelta(days=2)
    for query, expected in (
        ("pharmacy=PH-02", [unpaid, there]),
        ("pharmacy=PH-02&status=BOOKED", [there]),
        ("status=BOOKED&status=UNPAID&pharmacy=PH-02", [unpaid, there]),
        (f"status=BOOKED&to={before}", [old]),
        (f"from={today - timedelta(days=1)}&status=BOOKED&pharmacy=PH-01", [here]),
    ):
        assert numbers(dash.as_("viewer").get(f"{LIST}?{query}").text) == [row["order_number"] for row in expected], (
            query
        )


def test_what_cannot_be_read_of_a_filter_is_named_and_the_rest_shown(dash: Dashboard) -> None:
    booked = order("BOOKED")
    order(paid=False)
    text = dash.as_("viewer").get(f"{LIST}?status=BOOKED&status=LOST&pharmacy=NOWHERE&from=soon&at=x").text
    for problem in ("Status “LOST”", "Pharmacy “NOWHERE”", "From “soon”", "The place in the list"):
        assert problem in text
    assert numbers(text) == [booked["order_number"]]


def test_an_order_is_found_by_what_people_know_of_it(dash: Dashboard) -> None:
    row = order("IN_TRANSIT")
    order("BOOKED", patient_email="other@patients.example", patient_phone="+234 800 000 0000")
    with connected():
        reference = fetch_dicts(
            "SELECT courier_reference AS it FROM courier_dispatches WHERE id = %s", (row["dispatch_id"],)
        )
    visitor = dash.as_("viewer")
    visitor.get(LIST)
    for text in (
        row["order_number"],
        row["order_number"].lower(),
        str(row["id"]),
        str(row["dispatch_id"]),
        reference[0]["it"],
        EMAIL.upper(),
        PHONE,
        "00234 803 123 4567",
    ):
        answer = visitor.post(f"{LIST}/search", q=text)
        assert numbers(visitor.get(answer.location).text) == [row["order_number"]], text


def test_a_search_for_a_patient_leaves_no_trace_in_the_address(dash: Dashboard) -> None:
    row = order("BOOKED")
    visitor = dash.as_("viewer")
    visitor.get(LIST)
    for text in (EMAIL, PHONE):
        location = visitor.post(f"{LIST}/search", q=text, status="BOOKED").location
        assert "found=" in location
        assert "status=BOOKED" in location
        assert not [secret for secret in SECRETS if secret in location]
        page = visitor.get(location).text
        assert numbers(page) == [row["order_number"]]
        # The form gives the search back to whoever typed it; no link of the page holds it.
        assert not [
            link for link in re.findall(r'(?:href|action)="([^"]+)"', page) if "adaeze" in link or "803123" in link
        ]


def test_part_of_an_address_or_a_number_finds_nobody(dash: Dashboard) -> None:
    order("BOOKED")
    visitor = dash.as_("viewer")
    visitor.get(LIST)
    for text in ("adaeze@", "+23480312345", "Adaeze", "%%", "MS_"):
        answer = visitor.post(f"{LIST}/search", q=text)
        assert numbers(visitor.get(answer.location).text) == [], text


def test_pages_follow_each_other_without_a_gap(dash: Dashboard) -> None:
    begin = datetime.now(UTC) - timedelta(hours=5)
    made = [order(paid=number % 2 == 0, at=begin + timedelta(minutes=number))["order_number"] for number in range(53)]
    visitor = dash.as_("viewer")
    for query in ("", "status=UNPAID&status=NOT_READY"):
        first = visitor.get(f"{LIST}?{query}").text
        older = re.search(r'href="([^"]+)" rel="next"', first)
        assert older
        second = visitor.get(older[1].replace("&amp;", "&")).text
        assert numbers(first) + numbers(second) == made[::-1]
        newer = re.search(r'href="([^"]+)" rel="prev"', second)
        assert newer
        assert numbers(visitor.get(newer[1].replace("&amp;", "&")).text) == numbers(first)


def test_what_is_late_and_what_will_be_is_said(dash: Dashboard) -> None:
    now = datetime.now(UTC)
    order("DELIVERED", deliver_by=now - timedelta(minutes=25), at=now - timedelta(minutes=40))
    order("DELIVERED", deliver_by=now + timedelta(minutes=5), at=now - timedelta(minutes=40))
    order("IN_TRANSIT", deliver_by=now - timedelta(minutes=12, seconds=30))
    eta = now + timedelta(minutes=50)
    order("BOOKED", deliver_by=now + timedelta(minutes=20), dispatch={"eta_at": eta})
    order(deliver_by=now + timedelta(minutes=90, seconds=30))
    text = dash.as_("viewer").get(LIST).text
    for words in ("20 min late", "In time", "Late by 12 min", "Expected 30 min late", "1 h 30 min left"):
        assert f"{words}</span>" in text, words
    assert f'<time datetime="{eta.isoformat()}"' in text


def test_the_list_is_told_of_changes_and_offers_boxes_only_to_who_may_act(dash: Dashboard) -> None:
    markable, failed = order(), order("REQUESTED", booking="FAILED")
    order("REQUESTED", booking="IN_DOUBT")
    order("BOOKED")
    text = dash.as_("pharmacist").get(LIST).text
    assert 'data-socket-room="orders"' in text
    assert set(re.findall(r'name="pick" value="([^"]+)"', text)) == {str(markable["id"]), str(failed["id"])}
    assert 'name="pick"' not in dash.as_("viewer").get(LIST).text


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[UUID], str]]:
    """What the pages ask the courier system to mark ready; it takes what is paid, and refuses nobody."""
    asked: list[tuple[Sequence[UUID], str]] = []

    def mark_many_ready(ids: Sequence[UUID], *, actor: str) -> Mapping[UUID, ReadyResult | str]:
        asked.append((ids, actor))
        with connected():
            rows = fetch_dicts("SELECT * FROM pharmacy_orders WHERE id = ANY (%s::uuid[])", (list(ids),))
        known = {row["id"]: row for row in rows}
        results: dict[UUID, ReadyResult | str] = {}
        for identity in ids:
            if identity not in known:
                results[identity] = "ORDER_NOT_FOUND"
                continue
            waiting = () if known[identity]["payment_status"] == "Paid" else (Waiting.PAYMENT_NOT_CAPTURED,)
            results[identity] = ReadyResult(known[identity], changed=True, waiting_for=waiting)
        return results

    monkeypatch.setattr(orders, "mark_many_ready", mark_many_ready)
    return asked


def test_the_ticked_orders_are_marked_ready_and_what_came_of_it_is_said(
    dash: Dashboard, marked: list[tuple[Sequence[UUID], str]]
) -> None:
    paid, unpaid, gone = order(), order(paid=False), uuid4()
    visitor = dash.as_("pharmacist")
    visitor.get(LIST)
    text = visitor.post(
        f"{LIST}/ready", pick=[str(paid["id"]), str(unpaid["id"]), str(paid["id"]), str(gone), "x"], follow=True
    ).text
    assert marked == [([paid["id"], unpaid["id"], gone], "pharmacist@example.org")]
    assert "2 marked ready, 1 being booked, 1 waiting for the payment." in text
    assert "1 not marked: There is no such order any more." in text
    assert "Nothing is selected" in visitor.post(f"{LIST}/ready", follow=True).text


def test_all_of_a_list_is_marked_only_after_it_was_shown(
    dash: Dashboard, marked: list[tuple[Sequence[UUID], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.courier_orders.MOST_AT_ONCE", 3)
    monkeypatch.setattr("dashboard.courier_orders.CONFIRM_ABOVE", 2)
    begin = datetime.now(UTC) - timedelta(hours=1)
    made = [order(paid=number > 1, at=begin + timedelta(minutes=number)) for number in range(5)]
    order("BOOKED")
    visitor = dash.as_("pharmacist")
    text = visitor.get(f"{LIST}/ready?status=UNPAID&status=NOT_READY").text
    assert "Mark 3 orders ready?" in text
    assert "More than 3 match" in text
    assert "Type how many, to confirm: 3" in text
    picks = re.findall(r'name="pick" value="([^"]+)"', text)
    assert picks == [str(row["id"]) for row in made[::-1][:3]]
    refused = visitor.post(f"{LIST}/ready", pick=picks, number="2")
    assert (refused.status_code, "Type 3 to confirm." in refused.text, marked) == (400, True, [])
    visitor.post(f"{LIST}/ready", pick=picks, number="3")
    assert [str(identity) for identity in marked[0][0]] == picks
    assert "nothing to mark ready" in visitor.get(f"{LIST}/ready?status=BOOKED", follow_redirects=True).text


def test_the_file_holds_every_dispatch_masked_and_is_logged(dash: Dashboard) -> None:
    row = order("FAILED", dispatch={"failure_code": "NO_ANSWER", "failure_reason": "=HYPERLINK(1) ring +2348031234567"})
    second = attempt(row["id"], "DELIVERED", number=2)
    event(second, "DELIVERED", source="otp")
    plain = order(paid=False)
    visitor = dash.as_("auditor")
    visitor.get(LIST)
    answer = visitor.post(f"{LIST}/export", format="csv")
    lines = [*csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))]
    assert [(line["order_number"], line["attempt"], line["status"]) for line in lines] == [
        (plain["order_number"], "", ""),
        (row["order_number"], "1", "FAILED"),
        (row["order_number"], "2", "DELIVERED"),
    ]
    assert lines[1]["failure_reason"].startswith("'=HYPERLINK")
    assert (lines[0]["state"], lines[2]["state"]) == ("Waiting for payment", "Delivered")
    records = json.loads(visitor.post(f"{LIST}/export?status=DELIVERED", format="json").text)
    assert [each["attempt"] for each in records[0]["dispatches"]] == [1, 2]
    assert records[0]["dispatches"][1]["events"][0]["source"] == "otp"
    assert len(records) == 1
    assert not [secret for secret in SECRETS if secret in answer.text or secret in json.dumps(records)]
    with connected():
        logged = fetch_dicts("SELECT action, detail FROM operator_actions WHERE action LIKE 'export%%' ORDER BY id")
    assert [(entry["action"], entry["detail"].get("rows")) for entry in logged] == [
        ("export", None),
        ("export_ended", 2),
        ("export", None),
        ("export_ended", 1),
    ]
    assert visitor.post(f"{LIST}/export?status=LOST", format="csv").status_code == 400
    assert visitor.post(f"{LIST}/export", format="xml").status_code == 400


def test_a_long_file_goes_on_from_page_to_page(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.courier_export.PAGE_ORDERS", 2)
    made = [order("BOOKED") for _ in range(5)]
    visitor = dash.as_("auditor")
    visitor.get(LIST)
    records = json.loads(visitor.post(f"{LIST}/export", format="json").text)
    assert sorted(record["order_number"] for record in records) == sorted(row["order_number"] for row in made)


# --- plans

NOW = datetime.now(UTC)


def plan_scans(sql: str, params: list[Any]) -> list[str]:
    """The tables that the plan reads from beginning to end or sorts without an index, where all statistics are known."""
    with connected():
        ((plan,),) = [tuple(row.values()) for row in fetch_dicts(f"EXPLAIN (FORMAT JSON) {sql}", params)]
    found: list[str] = []

    def look(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan":
            found.append(node["Relation Name"])
        for inner in node.get("Plans", ()):
            look(inner)

    look(plan[0]["Plan"])
    return found


def test_no_query_of_the_list_reads_all_orders(dash: Dashboard, database_url: str) -> None:
    from contextlib import closing

    import psycopg2

    crowd_of_orders(database_url, 20_000)
    with connected():
        shop = PharmacyName(*fetch_dicts("SELECT id, code, name FROM pharmacies LIMIT 1")[0].values())
    place = Position(NOW - timedelta(days=3), uuid4())
    filters = [OrdersFilter()]
    filters += [OrdersFilter(states=(state,)) for state in ORDER_STATES]
    filters += [OrdersFilter(states=(state,), pharmacy=shop) for state in ORDER_STATES]
    filters += [OrdersFilter(pharmacy=shop), OrdersFilter(since=NOW.date()), OrdersFilter(position=place)]
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
    for wanted in filters:
        for sql, params in (
            courier_queries.list_query(wanted, None, limit=51),
            courier_queries.markable_query(wanted, None, limit=51),
            courier_queries.count_query(wanted, None),
        ):
            assert plan_scans(sql, params) == [], (wanted, sql)


def crowd_of_orders(url: str, number: int) -> None:
    """Many orders, most of them delivered, over some months."""
    from contextlib import closing

    import psycopg2

    pharmacy()
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(CROWD_ORDERS, (number,))
        cursor.execute(CROWD_DISPATCHES)
        cursor.execute(CROWD_LINKS)
        cursor.execute(CROWD_BOOKINGS)


CROWD_ORDERS = """
INSERT INTO pharmacy_orders (id, order_number, pharmacy_id, patient_name, patient_phone, patient_email, address, latitude,
    longitude, currency, total_minor, payment_status, paid_at, is_ready_for_dispatch, ready_at, document_sha256, source,
    trace_id, created_at, deliver_by)
SELECT gen_random_uuid(), 'CR-' || n, (SELECT min(id::text)::uuid FROM pharmacies), 'N', '+1' || n,
    n || '@x.example', 'A', 1, 1, 'NGN', 100, CASE WHEN n %% 50 = 0 THEN 'Pending' ELSE 'Paid' END,
    CASE WHEN n %% 50 = 0 THEN NULL ELSE now() END,
    n %% 40 <> 0, CASE WHEN n %% 40 <> 0 THEN now() END, '\\x00', 's', 't',
    now() - interval '3 hours' - n * interval '90 seconds',
    now() - interval '2 hours' - n * interval '90 seconds'
FROM generate_series(1, %s) n
"""
CROWD_DISPATCHES = """
INSERT INTO courier_dispatches (id, order_id, attempt, courier, status, courier_reference, requested_at, booked_at,
    assigned_at, picked_up_at, in_transit_at, ended_at, confirmed_by, failure_code, trace_id, created_at)
SELECT gen_random_uuid(), id, 1, 'kwik', status, 'R' || order_number, created_at, created_at + r * interval '1 minute',
    created_at + r * interval '8 minutes', created_at + r * interval '20 minutes', created_at + r * interval '22 minutes',
    CASE WHEN status IN ('DELIVERED', 'FAILED') THEN created_at + r * interval '50 minutes' END,
    CASE status WHEN 'DELIVERED' THEN 'otp' END, CASE status WHEN 'FAILED' THEN 'NO_ANSWER' END, 't', created_at
FROM (SELECT *, 0.5 + random() AS r, CASE WHEN random() < 0.002 THEN 'IN_TRANSIT' WHEN random() < 0.05 THEN 'FAILED'
    ELSE 'DELIVERED' END AS status FROM pharmacy_orders WHERE payment_status = 'Paid' AND is_ready_for_dispatch) o
"""
CROWD_LINKS = """
UPDATE pharmacy_orders o SET dispatch_id = d.id, dispatch_status = d.status FROM courier_dispatches d
WHERE d.order_id = o.id
"""
CROWD_BOOKINGS = """
INSERT INTO courier_bookings (id, order_id, courier_dispatch_id, order_number, attempt, courier)
SELECT gen_random_uuid(), order_id, id, 'CR', 1, 'kwik' FROM courier_dispatches
"""


def test_counting_stops_at_its_limit(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_queries, "COUNT_LIMIT", 1)
    for _ in range(3):
        order("BOOKED")
    with connected():
        execute("SELECT 1")
        assert courier_queries.count_by_state(OrdersFilter())["BOOKED"].number == 2
