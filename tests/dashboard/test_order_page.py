"""One pharmacy order: where it is and what it waits for in words, what may be done by whom, and all that happened."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from dashboard.courier_wording import ORDER_STATES
from dispatchlog.engine.database import connected, execute, fetch_dicts
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.courier import cancelling, codes, events, orders
from dispatchlog.systems.courier.code_rules import code_of
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.orders import ReadyResult, Waiting
from dispatchlog.systems.courier.states import DispatchStatus
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.order_samples import SECRETS, attempt, event, one_of_each, order, the_order


def page(row: Any, name: str = "") -> str:
    return f"/orders/{row['id']}" + (f"/{name}" if name else "")


def plain(text: str) -> str:
    """What the page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def buttons(text: str) -> set[str]:
    """The actions that the page offers, by the last part of their address."""
    return {name for name in re.findall(r'(?:action|href)="/orders/[0-9a-f-]+/([a-z-]+)', text) if name != "reveal"}


def dispatch_of(row: Any) -> dict[str, Any]:
    with connected():
        return fetch_dicts("SELECT * FROM courier_dispatches WHERE id = %s", (row["dispatch_id"],))[0]


def test_every_state_has_its_page_and_shows_where_the_order_is(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    for key, row in one_of_each().items():
        text = visitor.get(page(row)).text
        assert f"{ORDER_STATES[key].label}</span>" in text, key
        assert row["order_number"] in text
        assert f'data-socket-room="order:{row["id"]}"' in text
        assert row["trace_id"] in text
        assert not [secret for secret in SECRETS if secret in text], key


def test_what_the_gate_waits_for_is_said_in_words(dash: Dashboard) -> None:
    text = plain(dash.as_("viewer").get(page(order(paid=False))).text)
    assert "It waits for the payment. PAYMENT_NOT_CAPTURED" in text
    assert "It waits until somebody marks it ready. NOT_MARKED_READY" in text
    assert "It waits for a courier: none is set up. NO_COURIER" in text


@pytest.mark.parametrize(
    ("status", "staff"),
    [
        (None, {"mark-ready"}),
        ("REQUESTED", {"cancel"}),
        ("BOOKED", {"cancel"}),
        ("ASSIGNED", {"cancel"}),
        ("PICKED_UP", set()),
        ("IN_TRANSIT", {"deliver", "resend", "deliver-without-code"}),
        ("DELIVERED", set()),
        ("FAILED", {"redispatch"}),
        ("CANCELED", {"redispatch"}),
    ],
)
def test_only_what_the_status_and_the_role_allow_is_offered(
    dash: Dashboard, status: str | None, staff: set[str]
) -> None:
    row = order(status)
    by_hand = {"status"} if status not in (None, "REQUESTED") else set()
    assert buttons(dash.as_("viewer").get(page(row)).text) == set()
    assert buttons(dash.as_("pharmacist").get(page(row)).text) == staff
    assert buttons(dash.as_("admin").get(page(row)).text) == staff | by_hand


def test_a_failed_booking_can_be_tried_again_and_one_in_doubt_leads_to_the_desk(dash: Dashboard) -> None:
    failed, doubtful = order("REQUESTED", booking="FAILED"), order("REQUESTED", booking="IN_DOUBT")
    visitor = dash.as_("pharmacist")
    text = visitor.get(page(failed)).text
    assert "DISPATCH_CREATION_FAILED" in text
    assert "No vehicle in this zone" in text
    assert "mark-ready" in buttons(text)
    assert "/dispatches/courier_booking/" in text
    text = visitor.get(page(doubtful)).text
    assert "mark-ready" not in buttons(text)
    assert 'href="/in-doubt"' in text


def test_a_canceling_that_is_under_way_is_said_and_not_asked_for_again(dash: Dashboard) -> None:
    row = order("BOOKED", dispatch={"cancel_requested_at": datetime.now(UTC)})
    text = dash.as_("pharmacist").get(page(row)).text
    assert "cancel" not in buttons(text)
    assert "It is being canceled" in text
    refused = order("ASSIGNED", dispatch={"cancel_requested_at": datetime.now(UTC), "cancel_refused": "driver is near"})
    assert "The courier did not cancel it driver is near" in plain(dash.as_("pharmacist").get(page(refused)).text)


def test_the_track_shows_each_step_with_its_instant_and_where_it_is(dash: Dashboard) -> None:
    text = dash.as_("viewer").get(page(order("PICKED_UP"))).text
    steps = re.findall(r'<li class="step-(\w+)[^>]*>.*?<strong>([^<]+)</strong>', text, re.S)
    assert steps == [
        ("done", "Ordered"),
        ("done", "Paid"),
        ("done", "Marked ready"),
        ("done", "Booked"),
        ("done", "Driver assigned"),
        ("now", "Picked up"),
        ("ahead", "On the way"),
        ("ahead", "Delivered"),
    ]
    failed = dash.as_("viewer").get(page(order("FAILED", dispatch={"picked_up_at": None}))).text
    steps = re.findall(r'<li class="step-(\w+)[^>]*>.*?<strong>([^<]+)</strong>', failed, re.S)
    assert [steps[5], steps[7]] == [("missed", "Picked up"), ("now", "Delivery failed")]
    never = {"assigned_at": None, "picked_up_at": None, "in_transit_at": None}
    canceled = dash.as_("viewer").get(page(order("CANCELED", dispatch=never))).text
    steps = re.findall(r'<li class="step-(\w+)[^>]*>.*?<strong>([^<]+)</strong>', canceled, re.S)
    assert steps[4:] == [
        ("never", "Driver assigned"),
        ("never", "Picked up"),
        ("never", "On the way"),
        ("now", "Canceled"),
    ]
    assert "not told" not in canceled


def test_a_tracking_link_is_followed_only_over_https_and_tells_the_courier_nothing(dash: Dashboard) -> None:
    good = order("IN_TRANSIT", dispatch={"tracking_url": "https://track.example/1?a=1&b=2", "driver_name": "Musa"})
    text = dash.as_("viewer").get(page(good)).text
    assert re.search(r'href="https://track.example/1\?a=1&amp;b=2" target="_blank" rel="noopener noreferrer"', text)
    assert "Musa" in text
    for address in ("http://track.example/1", "javascript:alert(1)", "//track.example", "https://"):
        row = order("IN_TRANSIT", dispatch={"tracking_url": address})
        assert address not in dash.as_("viewer").get(page(row)).text


def test_patient_and_address_are_shown_for_a_minute_with_a_reason_that_is_kept(dash: Dashboard) -> None:
    row = order("BOOKED")
    visitor = dash.as_("support")
    visitor.get(page(row))
    assert "Say why you need to see it" in visitor.post(page(row, "reveal"), follow=True).text
    text = visitor.post(page(row, "reveal"), reason="the driver is lost", follow=True).text
    for secret in ("Adaeze Obiorah", "+2348031234567", "14 Adeola Odeku Street"):
        assert secret in text
    with connected():
        kept = fetch_dicts("SELECT actor, reason, detail FROM operator_actions WHERE action = 'reveal_patient'")
    assert [(entry["actor"], entry["reason"], entry["detail"]["order_id"]) for entry in kept] == [
        ("support@example.org", "the driver is lost", str(row["id"]))
    ]
    assert "Looked at the patient" in text
    other = dash.as_("viewer")
    other.get(page(row))
    assert other.post(page(row, "reveal"), reason="curious").status_code == 403
    assert "Obiorah" not in other.get(page(row)).text


def test_what_was_ordered_is_shown_to_who_prepares_it_and_counted_for_others(dash: Dashboard) -> None:
    row = order()
    assert "2 \N{MULTIPLICATION SIGN} Amoxicillin 500 mg" in dash.as_("pharmacist").get(page(row)).text
    text = dash.as_("viewer").get(page(row)).text
    assert "Amoxicillin" not in text
    assert "2 in 1 line" in plain(text)


def test_the_history_tells_unknown_words_late_ones_and_webhooks_that_never_came(dash: Dashboard) -> None:
    row = order("IN_TRANSIT", dispatch={"disagreement": "asked, it says FAILED; its webhooks say IN_TRANSIT"})
    first = row["dispatch_id"]
    event(first, "BOOKED", source="booking")
    event(first, "ASSIGNED", raw_status="STARTED")
    event(first, "PICKED_UP", source="poll")
    event(first, None, raw_status="REROUTED via +2348031234567")
    event(first, "ASSIGNED", effect="BEHIND")
    event(first, "IN_TRANSIT", source="staff", actor="admin@example.org", reason="driver rang")
    text = plain(dash.as_("viewer").get(page(row)).text)
    assert "Picked up No webhook told of it; found by asking" in text
    assert text.count("No webhook told of it") == 1
    assert "The courier's word: STARTED." in text
    assert "Unknown status “REROUTED via •••67”" in text
    assert "This word of the courier is not known here" in text
    assert "It came late: the order was further along already." in text
    assert "“driver rang” admin@example.org" in text
    assert "The courier says two things asked, it says FAILED" in text


def test_after_a_status_was_set_by_hand_the_reason_stands_in_place_of_the_couriers_word(dash: Dashboard) -> None:
    row = order("FAILED", dispatch={"raw_status": "ARRIVED"})
    event(row["dispatch_id"], "IN_TRANSIT", raw_status="ARRIVED")
    assert "own word: ARRIVED" in plain(dash.as_("viewer").get(page(row)).text)
    arrived = order("IN_TRANSIT", dispatch={"raw_status": "ARRIVED", "eta_at": datetime.now(UTC)})
    at_the_door = plain(dash.as_("viewer").get(page(arrived)).text)
    assert "The driver is at the patient" in at_the_door
    assert "Arrival" not in at_the_door
    by_hand = {"source": "staff", "actor": "admin@example.org", "reason": "the driver rang"}
    event(row["dispatch_id"], "FAILED", event_id=f"hand:{row['dispatch_id']}:1", **by_hand)
    text = plain(dash.as_("viewer").get(page(row)).text)
    assert "Set by hand: “the driver rang”" in text
    assert "own word" not in text


def test_every_attempt_and_what_people_did_stands_in_the_history(dash: Dashboard) -> None:
    row = order("FAILED", dispatch={"failure_reason": "nobody opened", "failure_code": "NO_ANSWER"})
    event(row["dispatch_id"], "FAILED")
    second = attempt(row["id"], "BOOKED", number=2)
    event(second, "FAILED", effect="SUPERSEDED")
    with connected():
        log_action("support@example.org", "redispatch", reason="patient is back", detail={"order_id": row["id"]})
    text = plain(dash.as_("viewer").get(page(row)).text)
    assert "All 2 attempts" in text
    assert "Courier asked for again attempt 2" in text
    assert "Dispatched again “patient is back” support@example.org" in text
    assert "It is about an earlier attempt, so it moved nothing." in text


def test_there_is_no_page_of_an_order_that_is_not_there(dash: Dashboard) -> None:
    visitor = dash.as_("admin")
    visitor.get("/orders")
    gone = {"id": uuid4()}
    assert visitor.get(page(gone)).status_code == 404
    for name in (
        "mark-ready",
        "cancel",
        "redispatch",
        "deliver",
        "resend",
        "unlock",
        "deliver-without-code",
        "status",
        "reveal",
    ):
        answer = visitor.post(page(gone, name), reason="why", status="BOOKED", code="123456")
        assert answer.status_code == 404, name


# --- acting: what the courier system is asked, and how its answer reads


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked of the courier system, which says yes."""
    calls: list[tuple[Any, ...]] = []

    def taking(name: str, answer: Any = None) -> Any:
        def act(*args: Any, **named: Any) -> Any:
            calls.append((name, *args, *named.values()))
            return answer

        return act

    ready = ReadyResult({}, changed=True, waiting_for=(Waiting.PAYMENT_NOT_CAPTURED,))
    monkeypatch.setattr(orders, "mark_ready", taking("ready", ready))
    monkeypatch.setattr(cancelling, "cancel_dispatch", taking("cancel", {"dispatch_status": "BOOKED"}))
    monkeypatch.setattr(cancelling, "redispatch", taking("redispatch"))
    for name in ("verify_code", "resend_code", "unlock_code", "confirm_without_code"):
        monkeypatch.setattr(codes, name, taking(name))
    monkeypatch.setattr(events, "set_by_hand", taking("set_by_hand"))
    return calls


@pytest.mark.parametrize(
    ("status", "name", "fields", "called", "said"),
    [
        (None, "mark-ready", {}, "ready", "It waits for the payment"),
        ("BOOKED", "cancel", {"reason": "wrong one"}, "cancel", "The courier is being told."),
        ("FAILED", "redispatch", {"reason": "back home"}, "redispatch", "A courier is being booked again."),
        ("IN_TRANSIT", "deliver", {"code": " 123 456 "}, "verify_code", "The code was right."),
        ("IN_TRANSIT", "resend", {}, "resend_code", "is being sent to the patient again"),
        ("IN_TRANSIT", "unlock", {"reason": "known"}, "unlock_code", "five more tries"),
        ("IN_TRANSIT", "deliver-without-code", {"reason": "seen"}, "confirm_without_code", "on your word"),
        (
            "BOOKED",
            "status",
            {"reason": "rang", "status": "FAILED"},
            "set_by_hand",
            "Set to “Delivery failed” by hand.",
        ),
    ],
)
def test_each_action_asks_once_with_who_and_why(
    dash: Dashboard,
    asked: list[tuple[Any, ...]],
    status: str | None,
    name: str,
    fields: dict[str, Any],
    called: str,
    said: str,
) -> None:
    row = order(status)
    visitor = dash.as_("admin")
    visitor.get(page(row))
    if "reason" in fields:
        assert "Say why" in visitor.post(page(row, name), **{**fields, "reason": " "}, follow=True).text
    assert said in visitor.post(page(row, name), **fields, follow=True).text
    assert [call[0] for call in asked] == [called]
    assert "admin@example.org" in asked[0]
    assert row["id"] in asked[0] or row["dispatch_id"] in asked[0]
    if "reason" in fields:
        assert fields["reason"] in asked[0]
    if name == "deliver":
        assert asked[0][2] == "123456"
    if name == "status":
        assert DispatchStatus.FAILED in asked[0]


def test_what_was_decided_on_an_older_page_is_not_done(dash: Dashboard, asked: list[tuple[Any, ...]]) -> None:
    row = order("FAILED")
    visitor = dash.as_("admin")
    text = visitor.get(page(row)).text
    shown = re.search(r'name="shown" value="([^"]+)"', text)[1]  # type: ignore[index]
    earlier = row["dispatch_id"]
    attempt(row["id"], "IN_TRANSIT", number=2)
    assert "moved on" in visitor.post(page(row, "redispatch"), reason="x", shown=shown, follow=True).text
    by_hand = {"status": "DELIVERED", "reason": "x"}
    decisions: tuple[tuple[str, dict[str, Any]], ...] = (("deliver", {"code": "123456"}), ("status", by_hand))
    for name, fields in decisions:
        answer = visitor.post(page(row, name), dispatch=str(earlier), follow=True, **fields).text
        assert "It was dispatched again since" in answer
    assert asked == []


def test_a_refusal_is_said_with_what_to_do(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **named: Any) -> Any:
        raise CourierError("no", code="DISPATCH_NOT_CANCELLABLE")

    monkeypatch.setattr(cancelling, "cancel_dispatch", refuse)
    row = order("BOOKED")
    visitor = dash.as_("support")
    visitor.get(page(row))
    text = visitor.post(page(row, "cancel"), reason="wrong", follow=True).text
    assert "Nothing changed. It can no longer be canceled: the driver has it, or it has ended." in text


# --- the delivery code, with the real one


@pytest.fixture
def coded() -> tuple[dict[str, Any], str]:
    """An order on its way, and its code."""
    row = order("IN_TRANSIT")
    with connected():
        execute("UPDATE courier_dispatches SET heard_at = now() WHERE id = %s", (row["dispatch_id"],))
    give_code(row)
    return row, code_of(row["dispatch_id"], dispatch_of(row)["code_counter"])


def give_code(row: dict[str, Any]) -> None:
    from dispatchlog.engine.database import transaction

    with transaction("test"):
        orders.lock_order(row["id"])
        codes.issue_code(dispatch_of(row))


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_a_right_code_delivers_and_a_second_one_says_that_it_is_delivered(
    dash: Dashboard, coded: tuple[dict[str, Any], str]
) -> None:
    row, code = coded
    visitor = dash.as_("pharmacist")
    text = visitor.get(page(row, "deliver")).text
    assert 'inputmode="numeric" pattern="[0-9]{6}"' in text
    assert "5 tries left" in text
    assert "a•••@patients.example" in text
    assert "Delivered. The code was right." in visitor.post(page(row, "deliver"), code=code, follow=True).text
    assert the_order(row["id"])["dispatch_status"] == "DELIVERED"
    assert "It was delivered already." in visitor.post(page(row, "deliver"), code=code, follow=True).text


def test_wrong_codes_are_counted_said_and_lock_it(dash: Dashboard, coded: tuple[dict[str, Any], str]) -> None:
    row, code = coded
    visitor = dash.as_("pharmacist")
    visitor.get(page(row, "deliver"))
    malformed = visitor.post(page(row, "deliver"), code="12ab")
    assert (malformed.status_code, "six digits" in malformed.text, "5 tries left" in malformed.text) == (
        422,
        True,
        True,
    )
    for left in (4, 3, 2, 1):
        wrong = visitor.post(page(row, "deliver"), code=another(code))
        assert (wrong.status_code, f"{left} {'try' if left == 1 else 'tries'} left" in wrong.text) == (422, True)
        assert 'role="alert" id="code-problem"' in wrong.text
    locked = visitor.post(page(row, "deliver"), code=another(code))
    assert "Delivery code locked" in plain(visitor.get(page(row)).text)
    assert locked.text.count('role="alert"') == 1
    assert "locked after 5 wrong tries" in locked.text
    assert re.search(r'href="[^"]*#unlock" data-dialog-leave', locked.text)
    assert visitor.post(page(row, "deliver"), code=code).status_code == 423
    text = visitor.get(page(row)).text
    assert {"unlock", "deliver-without-code"} <= buttons(text)
    assert "deliver" not in buttons(text)
    # Identifiers may hold any six digits.
    assert code not in re.findall(r"(?<![\w.:+-])[0-9]{6}(?![\w.:+-])", plain(text))
    assert f'"{code}"' not in text
    visitor.post(page(row, "unlock"), reason="same voice as before")
    assert "Gave new tries for the delivery code “same voice as before”" in plain(visitor.get(page(row)).text)
    visitor.post(page(row, "deliver"), code=code)
    assert the_order(row["id"])["dispatch_status"] == "DELIVERED"
    assert "Delivered The patient's code was right." in plain(visitor.get(page(row)).text)


def test_sending_it_again_waits_and_says_for_how_long(
    dash: Dashboard, coded: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "RESEND_AFTER", timedelta(hours=1))
    row, _ = coded
    visitor = dash.as_("pharmacist")
    text = visitor.get(page(row, "deliver")).text
    assert re.search(r"It can be sent again in 3\d{3} s\.", text)
    again: dict[str, Any] = {"return": "form"}
    answer = visitor.post(page(row, "resend"), **again)
    assert answer.location.startswith(page(row, "deliver"))
    assert "Wait half a minute" in visitor.get(answer.location).text


def test_the_form_is_only_for_what_is_on_its_way(dash: Dashboard) -> None:
    visitor = dash.as_("pharmacist")
    for status, words in (
        (None, "not on the way"),
        ("PICKED_UP", "not on the way"),
        ("DELIVERED", "delivered already"),
    ):
        assert words in visitor.get(page(order(status), "deliver"), follow_redirects=True).text


# --- from elsewhere


def test_stories_and_dispatches_lead_to_the_order(dash: Dashboard) -> None:
    row = order("BOOKED")
    late = datetime.now(UTC) - timedelta(days=1)
    lonely = order(paid=False, at=late)
    visitor: Visitor = dash.as_("viewer")
    visitor.get("/stories")
    assert visitor.post("/stories", q=lonely["order_number"]).location == page(lonely)
    assert visitor.post("/stories", q=row["order_number"]).location == page(row)
    story = visitor.get(f"/stories/story?subject=pharmacy-order:{row['id']}").text
    assert f'href="{page(row)}"' in story
    with connected():
        booking = fetch_dicts("SELECT id FROM courier_bookings WHERE order_id = %s", (row["id"],))[0]
    text = visitor.get(f"/dispatches/courier_booking/{booking['id']}").text
    assert f'href="{page(row)}?back=' in text
    assert f"/kit-orders/{row['id']}" not in text
