"""Finding, reading, retrying and cancelling dispatches over HTTP; recipients stay masked everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import ledger
from dispatchlog.engine.database import execute, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.api_support import Api, order, rows, running_api

LANE = "kit_registration"
FORMS = "health_information"


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def put(api: Api, *, kits: int = 1, number: str = "VT-1001") -> list[str]:
    """A shipped order; the ids of its registrations come back."""
    order_id = uuid4()
    api.call(
        "PUT",
        f"/kit-orders/{order_id}",
        json=order(orderNumber=number, kits=[{"kitId": f"{number}-{n}"} for n in range(kits)]),
    )
    found = rows("SELECT id FROM kit_registrations WHERE order_id = %s ORDER BY seq", order_id)
    return [str(row[0]) for row in found]


def a_form(error: str | None = None) -> str:
    """A form's dispatch; with `error`, a failed one."""
    lane = registry.lane(FORMS)
    with transaction("tests"):
        [dispatch_id] = ledger.enqueue(
            lane,
            [
                {
                    "order_id": uuid4(),
                    "kit_id": "KIT-9",
                    "order_number": "VT-9",
                    "practitioner_id": uuid4(),
                    "recipient_email": "someone@example.org",
                    "registered_at": rows("SELECT now()")[0][0],
                    "search_keys": ["VT-9", "KIT-9", "someone@example.org"],
                }
            ],
        )
        if error:
            ledger.hold(lane, [dispatch_id], code="REFUSED", reason=error)
    return str(dispatch_id)


def test_a_dispatch_shows_its_status_and_history(api: Api) -> None:
    [dispatch_id] = put(api)
    body = api.call("GET", f"/dispatches/{LANE}/{dispatch_id}").get_json()
    assert (body["lane"], body["id"], body["status"], body["attempts"]) == (LANE, dispatch_id, "PENDING", 0)
    [created] = body["timeline"]
    assert (created["kind"], created["fromStatus"], created["toStatus"]) == ("move", None, "PENDING")
    assert created["actor"] == "service:vitract-orders"


def test_the_recipient_is_masked_also_in_what_a_provider_said(api: Api) -> None:
    dispatch_id = a_form(error="550 <someone@example.org> is unknown")
    answer = api.call("GET", f"/dispatches/{FORMS}/{dispatch_id}")
    found = api.call("GET", "/dispatches?key=VT-9")
    assert answer.get_json()["recipient"] == "s•••@example.org"
    assert "unknown" in answer.get_json()["lastError"]
    for text in (answer.get_data(as_text=True), found.get_data(as_text=True)):
        assert "someone" not in text


@pytest.mark.parametrize("tail", ["", "/retry", "/cancel"])
def test_what_does_not_exist_is_not_found(api: Api, tail: str) -> None:
    method = "POST" if tail else "GET"
    body = {"json": {"reason": "a test"}} if tail else {}
    here = api.call(method, f"/dispatches/{LANE}/{uuid4()}{tail}", **body)
    assert api.error(here) == (404, "DISPATCH_NOT_FOUND", "dispatchId")
    nowhere = api.call(method, f"/dispatches/users/{uuid4()}{tail}", **body)
    assert api.error(nowhere) == (404, "UNKNOWN_LANE", "lane")
    malformed = api.call(method, f"/dispatches/{LANE}/7{tail}", **body)
    assert api.error(malformed) == (400, "INVALID_UUID", "dispatchId")


def test_a_business_key_finds_its_dispatches_whatever_the_case(api: Api) -> None:
    ids = put(api, kits=2, number="VT-1001")
    put(api, number="VT-1002")
    body = api.call("GET", "/dispatches?key=vt-1001").get_json()
    assert {entry["id"] for entry in body["dispatches"]} == set(ids)
    assert body["nextCursor"] is None
    [one] = api.call("GET", "/dispatches?key=VT-1001-0").get_json()["dispatches"]
    assert one["id"] == ids[0]
    assert api.call("GET", f"/dispatches?key=VT-1001&lane={FORMS}").get_json()["dispatches"] == []


@pytest.mark.parametrize("query", ["key=VT-1001", f"lane={LANE}", f"lane={LANE}&status=PENDING"])
def test_pages_together_hold_every_dispatch_once(api: Api, query: str) -> None:
    ids = put(api, kits=7)
    seen: list[str] = []
    cursor = ""
    while True:
        body = api.call("GET", f"/dispatches?{query}&limit=3{cursor}").get_json()
        assert len(body["dispatches"]) <= 3
        seen += [entry["id"] for entry in body["dispatches"]]
        if body["nextCursor"] is None:
            break
        cursor = f"&cursor={body['nextCursor']}"
    assert sorted(seen) == sorted(ids)


def test_a_status_filters(api: Api) -> None:
    first, second = put(api, kits=2)
    api.call("POST", f"/dispatches/{LANE}/{first}/cancel", json={"reason": "a test"})
    for query in (f"lane={LANE}", "key=VT-1001"):
        [left] = api.call("GET", f"/dispatches?{query}&status=PENDING").get_json()["dispatches"]
        assert left["id"] == second


@pytest.mark.parametrize(
    ("query", "code", "place"),
    [
        ("", "MISSING_FIELD", "key"),
        ("status=FAILED", "MISSING_FIELD", "key"),
        ("key=someone@example.org", "INVALID_KEY", "key"),
        ("key=%2B15550100", "INVALID_KEY", "key"),
        ("key=a%00b", "INVALID_KEY", "key"),
        (f"lane={LANE}&status=DONE", "UNKNOWN_STATUS", "status"),
        (f"lane={LANE}&limit=0", "INVALID_LIMIT", "limit"),
        (f"lane={LANE}&limit=201", "INVALID_LIMIT", "limit"),
        (f"lane={LANE}&limit=0001000", "INVALID_LIMIT", "limit"),
        (f"lane={LANE}&cursor=x", "INVALID_CURSOR", "cursor"),
        (f"lane={LANE}&cursor=%C3%BC", "INVALID_CURSOR", "cursor"),
        (f"lane={LANE}&status=SENT&cursor=MjAyNi0wMS0wMXxh", "INVALID_CURSOR", "cursor"),
    ],
)
def test_a_malformed_search_is_refused(api: Api, query: str, code: str, place: str) -> None:
    assert api.error(api.call("GET", f"/dispatches?{query}")) == (400, code, place)


def test_a_failed_dispatch_is_retried_under_the_callers_name(api: Api) -> None:
    dispatch_id = a_form(error="no recipient")
    answer = api.call("POST", f"/dispatches/{FORMS}/{dispatch_id}/retry", json={"reason": "address added"})
    body = answer.get_json()
    assert (answer.status_code, body["status"]) == (200, "PENDING")
    last = body["timeline"][-1]
    assert (last["actor"], last["reason"]) == ("service:vitract-orders", "address added")
    assert rows("SELECT actor, action FROM operator_actions WHERE dispatch_id = %s", UUID(dispatch_id)) == [
        ("service:vitract-orders", "retry")
    ]


def test_a_retry_needs_no_body(api: Api) -> None:
    assert api.call("POST", f"/dispatches/{FORMS}/{a_form(error='x')}/retry").status_code == 200


def test_a_waiting_dispatch_is_cancelled_with_its_reason(api: Api) -> None:
    [dispatch_id] = put(api)
    body = api.call("POST", f"/dispatches/{LANE}/{dispatch_id}/cancel", json={"reason": "wrong order"}).get_json()
    assert body["status"] == "CANCELLED"
    assert body["timeline"][-1]["reason"] == "wrong order"


@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        ({}, "MISSING_FIELD", "reason"),
        ({"reason": "  "}, "REASON_REQUIRED", "reason"),
        ({"reason": 1}, "WRONG_TYPE", "reason"),
        ({"reason": "a\x00b"}, "INVALID_VALUE", "reason"),
        ({"reason": "x" * 501}, "TOO_LONG", "reason"),
    ],
)
def test_a_cancellation_needs_a_reason_in_words(api: Api, body: dict[str, Any], code: str, place: str | None) -> None:
    [dispatch_id] = put(api)
    answer = api.call("POST", f"/dispatches/{LANE}/{dispatch_id}/cancel", json=body)
    assert api.error(answer) == (400, code, place)
    assert rows("SELECT status FROM kit_registrations") == [("PENDING",)]


def test_a_final_dispatch_is_neither_cancelled_nor_retried(api: Api) -> None:
    [dispatch_id] = put(api)
    for expected in (200, 409):
        answer = api.call("POST", f"/dispatches/{LANE}/{dispatch_id}/cancel", json={"reason": "a test"})
        assert answer.status_code == expected
    assert api.error(answer)[1] == "ILLEGAL_MOVE"
    assert api.error(api.call("POST", f"/dispatches/{LANE}/{dispatch_id}/retry"))[:2] == (409, "ILLEGAL_MOVE")


def test_a_retry_of_what_is_due_anyway_or_of_no_use_any_more_is_refused_with_its_code(api: Api) -> None:
    [due] = put(api)
    assert api.error(api.call("POST", f"/dispatches/{LANE}/{due}/retry"))[:2] == (409, "ALREADY_DUE")
    expired = a_form(error="no recipient")
    with transaction("tests"):
        execute("UPDATE health_information_dispatch_logs SET expires_at = now()")
    assert api.error(api.call("POST", f"/dispatches/{FORMS}/{expired}/retry"))[:2] == (409, "EXPIRED")


def test_a_dispatch_in_doubt_is_left_to_a_person(api: Api) -> None:
    dispatch_id = a_form(error="the connection broke after the last byte")
    with transaction("tests"):
        execute("UPDATE health_information_dispatch_logs SET in_doubt = true")
    for action in ("retry", "cancel"):
        answer = api.call("POST", f"/dispatches/{FORMS}/{dispatch_id}/{action}", json={"reason": "a test"})
        assert api.error(answer)[:2] == (409, "IN_DOUBT")
