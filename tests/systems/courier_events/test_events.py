"""Storing and applying: once per event, nothing lost between the two, one dispatch's events never another's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest
from structlog.testing import capture_logs

from dispatchlog.engine.database import connected, database, execute, fetch_all, fetch_one, transaction
from dispatchlog.gateways.courier import Report
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import applying, events, orders
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.states import DispatchStatus
from tests.systems.courier_events import samples
from tests.systems.courier_events.conftest import Asked
from tests.systems.courier_events.samples import (
    COURIER,
    NOON,
    brought,
    dispatch,
    effects,
    next_attempt,
    order,
    report,
    state,
)


def tell(*reports: Report, source: str = "webhook") -> int:
    return events.store_reports(COURIER, source, reports, trace_id="trace-of-the-webhook")


def apply() -> int:
    return events.apply_open()


def changes(made: samples.Made) -> list[str]:
    with connected():
        return [
            what
            for (what,) in fetch_all("SELECT what FROM order_changes WHERE order_id = %s ORDER BY id", (made.order,))
        ]


# --- storing


def test_an_event_is_stored_once_however_often_and_by_however_many_it_is_told(asked: Asked) -> None:
    made = order()
    one, other = report(made, "1", "ASSIGNED"), report(made, "2", "PICKED_UP")
    assert tell(one, one, other) == 2
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: tell(other, one), range(8))) == 0
    assert (apply(), apply()) == (2, 0)
    assert effects(made) == [("ASSIGNED", "MOVED"), ("PICKED_UP", "MOVED")]


def test_what_postgresql_takes_in_no_text_is_replaced_and_what_is_too_long_is_cut(asked: Asked) -> None:
    made = order()
    odd = replace(
        report(made, "x" * 300, "ASSIGNED"),
        raw_status="\x00" + "long " * 100,
        driver_name="D\ud800" + "o" * 400,
        body={"\x00": ["\ud800", float("nan"), {"deep": "\x00"}]},
    )
    longer = replace(odd, event_id=odd.event_id + "y")
    assert tell(odd, longer) == 2
    assert apply() == 2
    assert state(made)["driver_name"].startswith("D?oo")
    assert (len(state(made)["raw_status"]), len(state(made)["driver_name"])) == (255, 255)


def test_a_status_nobody_knows_is_kept_and_shown_and_moves_nothing(asked: Asked) -> None:
    made = order()
    tell(
        report(made, "1", None, raw_status="RIDER_AT_LUNCH"), report(made, "2", "REQUESTED"), report(made, "3", "Lost")
    )
    assert apply() == 3
    assert [effect for _, effect in effects(made)] == ["UNKNOWN"] * 3
    assert state(made)["status"] == "BOOKED"
    assert asked.updates == []
    tell(report(made, "4", None, raw_status="RIDER_BACK", minutes=1))
    apply()
    assert state(made)["raw_status"] == "RIDER_BACK"


def test_what_is_not_this_couriers_is_kept_and_moves_nobody(asked: Asked) -> None:
    made = order()
    assert events.store_reports("another", "webhook", [report(made, "1", "DELIVERED")], trace_id="t") == 1
    tell(replace(report(made, "2", "DELIVERED"), courier_reference="J-of-nobody"))
    assert apply() == 2
    assert state(made)["status"] == "BOOKED"
    with connected():
        assert fetch_all("SELECT DISTINCT effect FROM courier_events") == [("UNMATCHED",)]


# --- applying


def test_a_move_gives_a_code_in_transit_tells_people_and_pages_and_says_so_in_the_log(asked: Asked) -> None:
    made = order()
    tell(report(made, "1", "ASSIGNED", driver_name="Bola"))
    with capture_logs() as logs:
        apply()
        tell(report(made, "2", "IN_TRANSIT"), report(made, "3", "ASSIGNED", driver_phone="+2341"))
        apply()
        tell(report(made, "4", "IN_TRANSIT", eta_at=NOON))
        apply()
        tell(report(made, "5", "IN_TRANSIT", minutes=1))
        apply()
    assert asked.codes == [made.dispatch]
    assert asked.updates == [(made.dispatch, "ASSIGNED"), (made.dispatch, "IN_TRANSIT")]
    assert changes(made) == ["status", "status", "tracking"]
    assert [effect for _, effect in effects(made)] == ["MOVED", "MOVED", "BEHIND", "NOTED", "NOTED"]
    said = [line for line in logs if line["event"] == "DISPATCH_UPDATED"]
    assert [line["status"] for line in said] == ["ASSIGNED", "IN_TRANSIT"]
    assert {line["trace_id"] for line in said} == {f"trace-{made.order}"}
    assert "Bola" not in str(logs)
    assert "+2341" not in str(logs)


def test_a_late_delivery_of_a_first_attempt_is_an_alert_and_moves_nothing(asked: Asked) -> None:
    first = order(status="FAILED")
    second = next_attempt(first)
    tell(report(first, "1", "IN_TRANSIT"))
    apply()
    assert dispatch(first)["disagreement"] is None
    tell(report(first, "2", "DELIVERED"))
    apply()
    assert effects(first) == [("IN_TRANSIT", "SUPERSEDED"), ("DELIVERED", "SUPERSEDED")]
    assert (state(first)["status"], state(second)["status"]) == ("FAILED", "BOOKED")
    assert "attempt 1 was delivered" in dispatch(first)["disagreement"]
    assert asked.updates == []


def test_an_event_before_its_booking_waits_for_it_and_is_then_applied(asked: Asked) -> None:
    made = order(status="REQUESTED")
    tell(report(made, "1", "ASSIGNED", minutes=1))
    assert apply() == 1
    assert effects(made) == [("ASSIGNED", "UNMATCHED")]
    brought(made)
    tell(report(made, "booked", "BOOKED"), source="booking")
    assert apply() == 2
    assert effects(made) == [("ASSIGNED", "BEHIND"), ("BOOKED", "MOVED")] or effects(made) == [
        ("ASSIGNED", "MOVED"),
        ("BOOKED", "BEHIND"),
    ]
    assert state(made)["status"] == "ASSIGNED"


def book(made: samples.Made) -> None:
    with transaction("booking"):
        orders.lock_order(made.order)
        execute("UPDATE courier_dispatches SET courier_reference = %s WHERE id = %s", (made.reference, made.dispatch))
        events.note_own(
            dispatch(made), DispatchStatus.BOOKED, source="booking", event_id="booking:1", actor="service:test"
        )


def test_a_booking_waits_for_whoever_is_just_saying_that_nobody_has_its_reference(
    asked: Asked, events_database: Settings
) -> None:
    """He looked before the booking was committed and has not committed himself: each would miss what the other writes."""
    made = order(status="REQUESTED")
    tell(report(made, "1", "ASSIGNED"))
    with connected():
        ids = [event_id for (event_id,) in fetch_all("SELECT id FROM courier_events")]
    with (
        closing(psycopg2.connect(events_database.database_url)) as other,
        other.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute(applying._TAKE_TURNS, (COURIER, made.reference))
        cursor.execute(applying._NOBODY_S, (ids,))
        assert cursor.rowcount == 1
        booked = pool.submit(book, made)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        with closing(psycopg2.connect(events_database.database_url)) as watcher, watcher.cursor() as seen:
            watcher.autocommit = True
            seen.execute(waits)
            while seen.fetchone() == (0,):
                assert not booked.done()
                seen.execute(waits)
        other.commit()
        booked.result(timeout=30)
    assert state(made)["status"] == "ASSIGNED"
    assert [effect for _, effect in effects(made)].count("UNMATCHED") == 0


def test_many_threads_apply_each_event_once_and_end_where_one_would(asked: Asked) -> None:
    made = samples.orders(40)
    told = [
        report(each, status, status, minutes=number)
        for each in made
        for number, status in enumerate(["ASSIGNED", "PICKED_UP", "IN_TRANSIT", "DELIVERED"])
    ]
    begin = threading.Barrier(5)

    def storing() -> int:
        begin.wait()
        return sum(tell(*told[start::16]) for start in range(16))

    def applying() -> int:
        begin.wait()
        done = sum(apply() for _ in range(10))
        database.close()
        return done

    with ThreadPoolExecutor(5) as pool:
        stored = pool.submit(storing)
        applied = [pool.submit(applying) for _ in range(4)]
        assert stored.result(timeout=60) == 160
        done = sum(each.result(timeout=60) for each in applied)
    assert done + apply() == 160
    assert {each["status"] for each in samples.states(made)} == {"DELIVERED"}
    assert sorted(asked.updates) == sorted(set(asked.updates))
    with connected():
        told_of = fetch_one("SELECT count(*) FROM order_changes WHERE what = 'status'")[0]
    assert told_of == len(asked.updates)


def test_what_somebody_else_holds_is_waited_for_and_not_left(asked: Asked, settings_env: Settings) -> None:
    made, other = order(), order()
    tell(report(made, "1", "ASSIGNED"), report(other, "1", "ASSIGNED"))
    with closing(psycopg2.connect(settings_env.database_url)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM pharmacy_orders WHERE id = %s FOR UPDATE", (str(made.order),))
        with ThreadPoolExecutor(1) as pool:
            applied = pool.submit(apply)
            while state(other)["status"] != "ASSIGNED":
                assert not applied.done()
            holder.rollback()
            assert applied.result(timeout=30) == 2
    assert state(made)["status"] == "ASSIGNED"


def test_what_cannot_be_applied_stays_open_is_said_and_holds_up_nobody(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = order(), order()
    note = orders.note_change

    def refuse(order_id: object, *arguments: object, **columns: object) -> object:
        if order_id == made.order:
            raise ValueError("broken")
        return note(order_id, *arguments, **columns)  # type: ignore[arg-type]

    tell(report(made, "1", "ASSIGNED"), report(other, "1", "ASSIGNED"))
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(orders, "note_change", refuse)
        assert events.apply_open(limit=1) == 1
    assert [(line["event"], line["order_id"]) for line in logs if line["log_level"] == "error"] == [
        ("EVENT_NOT_APPLIED", str(made.order))
    ]
    assert (effects(made), effects(other)) == ([("ASSIGNED", None)], [("ASSIGNED", "MOVED")])
    assert apply() == 1
    assert state(made)["status"] == "ASSIGNED"


# --- what happened on our side


def test_a_right_code_delivers_and_the_couriers_own_word_changes_nothing_about_who_confirmed_it(asked: Asked) -> None:
    made = order(status="IN_TRANSIT")
    with transaction("ada"):
        for _ in range(2):
            found = events.note_own(
                dispatch(made), DispatchStatus.DELIVERED, source="otp", event_id="otp:1", actor="ada"
            )
    assert found["dispatch_status"] == "DELIVERED"
    tell(report(made, "1", "DELIVERED"))
    apply()
    assert state(made)["confirmed_by"] == "otp"
    assert effects(made) == [("DELIVERED", "MOVED"), ("DELIVERED", "NOTED")]
    assert asked.updates == [(made.dispatch, "DELIVERED")]


def test_what_is_noted_in_a_transaction_that_fails_never_happened(asked: Asked) -> None:
    made = order(status="IN_TRANSIT")

    def fail_after_noting() -> None:
        with transaction("ada"):
            events.note_own(dispatch(made), DispatchStatus.DELIVERED, source="otp", event_id="otp:1", actor="ada")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_noting()
    assert (state(made)["status"], effects(made)) == ("IN_TRANSIT", [])


# --- by hand


def test_a_person_sets_a_status_forward_and_back_and_what_is_heard_later_goes_on_from_there(asked: Asked) -> None:
    made = order()
    tell(report(made, "1", "DELIVERED"))
    found = events.set_by_hand(made.dispatch, DispatchStatus.ASSIGNED, actor="root@example.org", reason="wrong parcel")
    assert (found["dispatch_status"], state(made)["status"]) == ("ASSIGNED", "ASSIGNED")
    assert (state(made)["ended_at"], state(made)["confirmed_by"]) == (None, None)
    assert dispatch(made)["poll_at"] is not None
    tell(report(made, "1", "DELIVERED"))
    assert apply() == 0
    tell(report(made, "2", "IN_TRANSIT"))
    apply()
    assert state(made)["status"] == "IN_TRANSIT"
    events.set_by_hand(made.dispatch, DispatchStatus.DELIVERED, actor="root@example.org", reason="telephoned")
    assert (state(made)["confirmed_by"], dispatch(made)["poll_at"]) == ("staff", None)
    with connected():
        kept = fetch_all("SELECT actor, reason, detail->>'from', detail->>'to' FROM operator_actions ORDER BY id")
    assert kept == [
        ("root@example.org", "wrong parcel", "DELIVERED", "ASSIGNED"),
        ("root@example.org", "telephoned", "IN_TRANSIT", "DELIVERED"),
    ]


@pytest.mark.parametrize(
    ("present", "status", "reason", "code"),
    [
        ("BOOKED", "BOOKED", "because", "STATUS_NOT_ALLOWED"),
        ("BOOKED", "REQUESTED", "because", "STATUS_NOT_ALLOWED"),
        ("REQUESTED", "BOOKED", "because", "STATUS_NOT_ALLOWED"),
        ("BOOKED", "FAILED", "  ", "REASON_REQUIRED"),
    ],
)
def test_what_may_not_be_set_by_hand_is_refused_and_nothing_is_kept(
    asked: Asked, present: str, status: str, reason: str, code: str
) -> None:
    made = order(status=present)
    with pytest.raises(CourierError) as refused:
        events.set_by_hand(made.dispatch, DispatchStatus(status), actor="root", reason=reason)
    assert refused.value.code == code
    assert (effects(made), changes(made)) == ([], [])
    with connected():
        assert fetch_all("SELECT * FROM operator_actions") == []


def test_an_older_attempt_and_one_that_is_not_there_cannot_be_set_by_hand(asked: Asked) -> None:
    first = order(status="FAILED")
    next_attempt(first)
    with pytest.raises(CourierError) as older:
        events.set_by_hand(first.dispatch, DispatchStatus.DELIVERED, actor="root", reason="x")
    with pytest.raises(CourierError) as missing:
        events.set_by_hand(first.order, DispatchStatus.DELIVERED, actor="root", reason="x")
    assert (older.value.code, missing.value.code) == ("DISPATCH_SUPERSEDED", "DISPATCH_NOT_FOUND")
