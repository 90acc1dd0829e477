"""Kwik: its login and envelope, the calls of a booking, the two legs, the history, and cancelling, against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.courier import WebhookRefused
from dispatchlog.gateways.courier_sandbox import Sandbox
from dispatchlog.gateways.courier_sandbox_jobs import Stage
from dispatchlog.gateways.kwik import KwikCourier, KwikTerms
from dispatchlog.gateways.kwik_api import KwikAccount
from dispatchlog.gateways.kwik_history import MOST_PAGES, search
from dispatchlog.gateways.kwik_legs import normalised

from .courier_servers import sandbox
from .rigs import SECRET, booking
from .servers import LOOPBACK

EMAIL = "sandbox@dispatchlog.localhost"


@pytest.fixture
def running() -> Iterator[Sandbox]:
    with sandbox(kwik_password=SECRET, history_page=4) as started:
        yield started


@pytest.fixture
def kwik(running: Sandbox) -> Iterator[KwikCourier]:
    made = courier(running)
    yield made
    made.close()


def courier(running: Sandbox, password: str = SECRET, **terms: Any) -> KwikCourier:
    account = KwikAccount("sandbox", EMAIL, password)
    return KwikCourier(f"http://{LOOPBACK}:{running.port}/kwik", account, terms=KwikTerms(**terms))


def book(kwik: KwikCourier, parcel: Parcel | None = None, asked: list[int] | None = None) -> Receipt:
    return kwik.booking.send(
        parcel or booking(uuid4()), deadline=Deadline(10), before_write=lambda: (asked or []).append(1)
    )


def fail(kwik: KwikCourier, parcel: Parcel | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        book(kwik, parcel)
    return failed.value


def cancel(kwik: KwikCourier, order_id: str, references: Any = None) -> Receipt:
    body = json.dumps({"courierReference": order_id, "jobReferences": references or {}, "reason": ""}).encode()
    return kwik.cancellation.send(
        Parcel(uuid4(), f"cancel-{uuid4()}", order_id, body), deadline=Deadline(10), before_write=lambda: None
    )


def look_up(kwik: KwikCourier, parcel: Parcel, ago: timedelta = timedelta(minutes=10)) -> LookUp:
    return kwik.booking.look_up(parcel, since=datetime.now(UTC) - ago, deadline=Deadline(10))


def play(running: Sandbox, **plays: dict[str, Any]) -> None:
    running.script.load({"plays": {operation: [each] for operation, each in plays.items()}})


# --- booking


def test_a_booking_brings_order_legs_and_tracking_and_keeps_no_code_of_the_couriers(
    kwik: KwikCourier, running: Sandbox
) -> None:
    parcel = booking(uuid4(), order_number="RX-7")
    receipt = book(kwik, parcel)
    [job] = running.world.jobs()
    assert receipt.provider_message_id == job.job_id
    assert receipt.evidence == {
        "courierReference": job.job_id,
        "trackingUrl": f"https://tracking.dispatchlog.localhost/{job.job_id}",
        "jobReferences": {"pickup": str(job.leg_ids[0]), "delivery": str(job.leg_ids[1])},
    }
    assert job.booking.note == f"Order RX-7. Ref {parcel.dispatch_id}."


def test_a_token_that_has_expired_is_replaced_once_wherever_it_is_refused(kwik: KwikCourier, running: Sandbox) -> None:
    book(kwik)
    running.kwik.forget_tokens()
    asked: list[int] = []
    book(kwik, asked=asked)
    play(running, book={"do": "envelope", "status": 101})
    book(kwik)
    assert len(running.world.jobs()) == 3
    running.script.load({"standing": {"quote": {"do": "envelope", "status": 101}}})
    refused = fail(kwik)
    assert (type(refused), refused.code) == (Transient, "UNAUTHORISED")


def test_the_fence_is_asked_before_each_create_call_and_before_no_other(kwik: KwikCourier, running: Sandbox) -> None:
    asked: list[int] = []

    def look() -> None:
        asked.append(len(running.world.jobs()))

    play(running, book={"do": "envelope", "status": 101})
    kwik.booking.send(booking(uuid4()), deadline=Deadline(10), before_write=look)
    assert asked == [0, 0]
    play(running, bill={"do": "envelope", "status": 404})
    fail(kwik)
    assert len(running.world.jobs()) == 1


def test_a_wrong_password_is_a_setting_to_correct_and_is_never_repeated(running: Sandbox) -> None:
    kwik = courier(running, password="a wrong password")
    play(running, login={"do": "envelope", "status": 404, "body": {}})
    refused = fail(kwik)
    assert (type(refused), refused.code) == (Transient, "UNAUTHORISED")
    again = fail(kwik)
    for error in (refused, again):
        assert not any(word in f"{error} {error.evidence}" for word in ("a wrong password", EMAIL))
    kwik.close()


@pytest.mark.parametrize(
    ("operation", "scripted", "kind", "code"),
    [
        ("login", {"do": "status", "status": 503}, Transient, "HTTP_503"),
        ("login", {"do": "reset"}, Transient, "CONNECTION_LOST"),
        ("login", {"do": "envelope", "status": 200}, Transient, "MALFORMED_REPLY"),
        ("quote", {"do": "envelope", "status": 100}, Permanent, "PARAMETER_MISSING"),
        ("quote", {"do": "envelope", "status": 404}, Transient, "KWIK_404"),
        ("quote", {"do": "envelope", "status": 200}, Transient, "MALFORMED_REPLY"),
        ("quote", {"do": "reset"}, Transient, "CONNECTION_LOST"),
        ("quote", {"do": "status", "status": 200, "body": "<html>"}, Transient, "MALFORMED_REPLY"),
        ("bill", {"do": "status", "status": 502, "body": "<html>"}, Transient, "HTTP_502"),
        ("book", {"do": "envelope", "status": 100}, Permanent, "PARAMETER_MISSING"),
        ("book", {"do": "envelope", "status": 404}, OutcomeUnknown, "KWIK_404"),
        ("book", {"do": "envelope", "status": 777}, OutcomeUnknown, "KWIK_777"),
        ("book", {"do": "envelope", "status": 200}, OutcomeUnknown, "MALFORMED_REPLY"),
        ("book", {"do": "status", "status": 200, "body": "<html>"}, OutcomeUnknown, "MALFORMED_REPLY"),
        ("book", {"do": "status", "status": 503, "body": "<html>"}, OutcomeUnknown, "HTTP_503"),
        (
            "book",
            {"do": "status", "status": 500, "body": {"status": 100, "message": ""}},
            Permanent,
            "PARAMETER_MISSING",
        ),
        ("book", {"do": "status", "status": 429}, Transient, "HTTP_429"),
        ("book", {"do": "status", "status": 413, "body": "<html>"}, Permanent, "HTTP_413"),
        ("book", {"do": "close", "accept": True}, OutcomeUnknown, "CONNECTION_LOST"),
    ],
)
def test_each_answer_means_one_error_and_only_the_create_call_leaves_a_doubt(
    kwik: KwikCourier, running: Sandbox, operation: str, scripted: dict[str, Any], kind: type[GatewayError], code: str
) -> None:
    play(running, **{operation: scripted})
    error = fail(kwik)
    assert (type(error), error.code) == (kind, code)
    assert len(running.world.jobs()) == scripted.get("accept", False)


def test_the_envelope_counts_whatever_http_says(kwik: KwikCourier, running: Sandbox) -> None:
    whole = {"status": 200, "message": "", "data": {"unique_order_id": 4711}}
    play(running, book={"do": "status", "status": 500, "body": whole})
    assert book(kwik).provider_message_id == "4711"


def test_what_kwik_repeats_of_the_patient_or_the_token_stays_out_of_the_evidence(
    kwik: KwikCourier, running: Sandbox
) -> None:
    message = {"status": 100, "message": "+2348000000002 is no phone of Sample Alfa"}
    play(running, book={"do": "status", "status": 200, "body": message})
    assert fail(kwik).evidence["message"] == "… is no phone of …"


@pytest.mark.parametrize(
    "where",
    [{"latitude": None}, {"latitude": 0, "longitude": 0}, {"longitude": 181}, {"latitude": "6.4"}, {"latitude": True}],
)
def test_a_place_without_coordinates_is_refused_before_anything_is_asked(
    kwik: KwikCourier, running: Sandbox, where: dict[str, Any]
) -> None:
    error = fail(kwik, booking(uuid4(), **where))
    assert (type(error), error.code) == (Permanent, "COORDINATES_MISSING")
    assert running.world.jobs() == []


@pytest.mark.parametrize("sign", [1, -1])
def test_times_are_kwiks_local_ones_and_the_sign_of_its_zone_is_a_setting(running: Sandbox, sign: int) -> None:
    kwik = courier(running, utc_offset_minutes=60, timezone_sign=sign)
    assert book(kwik).provider_message_id
    kwik.close()


def test_the_total_deadline_covers_all_calls_of_a_booking(kwik: KwikCourier, running: Sandbox) -> None:
    book(kwik)
    slow = {"delay_seconds": 0.4}
    running.script.load({"standing": {"quote": slow, "bill": slow, "book": slow}})
    asked: list[int] = []
    with pytest.raises(Transient):
        kwik.booking.send(booking(uuid4()), deadline=Deadline(0.6), before_write=lambda: asked.append(1))
    assert (asked, len(running.world.jobs())) == ([], 1)


# --- asking

WORDS = {
    "6|8,*": "BOOKED",
    "0|7|1|4,6|0|7": "ASSIGNED",
    "2,6|0|7": "PICKED_UP",
    "2,1|4": "IN_TRANSIT",
    "2,2": "DELIVERED",
    "3,*": "FAILED",
    "2,3": "FAILED",
    "9|10,*": "CANCELED",
    "*,9|10": "CANCELED",
}
KNOWN = ["0", "1", "2", "3", "4", "6", "7", "8", "9", "10"]
# Two lines of the table fit: the leg that is over decides. Done without its pickup contradicts itself.
DECIDED = {
    **{(pickup, delivery): "CANCELED" for pickup in (6, 8) for delivery in (9, 10)},
    **{(3, delivery): "FAILED" for delivery in (9, 10)},
    **{(pickup, 2): None for pickup in (0, 1, 3, 4, 6, 7, 8, 9, 10)},
}


def in_words(pickup: str, delivery: str) -> str | None:
    for line, ours in WORDS.items():
        one, two = line.split(",")
        if (one == "*" or pickup in one.split("|")) and (two == "*" or delivery in two.split("|")):
            return ours
    return None


@pytest.mark.parametrize(("pickup", "delivery"), list(product([*KNOWN, "5", "11"], repeat=2)))
def test_each_pair_of_legs_is_what_the_table_says(pickup: str, delivery: str) -> None:
    pair = int(pickup), int(delivery)
    strange = not {pickup, delivery} <= set(KNOWN)
    expected = None if strange else DECIDED.get(pair, in_words(pickup, delivery))
    assert normalised(*pair) == expected


@pytest.mark.parametrize(
    ("stage", "status", "raw"),
    [
        (Stage.BOOKED, "BOOKED", "pickup unassigned, delivery unassigned"),
        (Stage.DECLINED, "BOOKED", "pickup declined, delivery unassigned"),
        (Stage.ASSIGNED, "ASSIGNED", "pickup accepted, delivery accepted"),
        (Stage.PICKED_UP, "PICKED_UP", "pickup done, delivery accepted"),
        (Stage.IN_TRANSIT, "IN_TRANSIT", "pickup done, delivery started"),
        (Stage.ARRIVED, "IN_TRANSIT", "pickup done, delivery arrived"),
        (Stage.DELIVERED, "DELIVERED", "pickup done, delivery done"),
        (Stage.FAILED, "FAILED", "pickup failed, delivery unassigned"),
        (Stage.CANCELED, "CANCELED", "pickup cancelled, delivery cancelled"),
    ],
)
def test_asking_twice_tells_the_same_news_under_the_same_id(
    kwik: KwikCourier, running: Sandbox, stage: Stage, status: str, raw: str
) -> None:
    receipt = book(kwik)
    order_id = str(receipt.provider_message_id)
    before = kwik.ask(order_id, receipt.evidence["jobReferences"], deadline=Deadline(10))
    running.world.move(order_id, stage)
    report = kwik.ask(order_id, receipt.evidence["jobReferences"], deadline=Deadline(10))
    assert (report.status, report.raw_status) == (status, raw)
    assert report == kwik.ask(order_id, {}, deadline=Deadline(10))
    assert (report.event_id == before.event_id) == (stage is Stage.BOOKED)


def test_a_combination_nobody_knows_is_kept_raw(kwik: KwikCourier, running: Sandbox) -> None:
    legs = [{"job_id": 1, "job_type": 0, "job_status": "12"}, {"job_id": 2, "job_type": "1", "job_status": None}]
    play(running, ask={"do": "envelope", "status": 200, "body": {"orders": legs}})
    report = kwik.ask("SB-1", {}, deadline=Deadline(10))
    assert (report.status, report.raw_status) == (None, "pickup 12, delivery unknown")


@pytest.mark.parametrize(
    "scripted",
    [
        {"do": "envelope", "status": 200},
        {"do": "envelope", "status": 200, "body": {"orders": [7]}},
        {"do": "envelope", "status": 404},
        {"do": "reset"},
    ],
)
def test_what_could_not_be_learnt_is_transient(kwik: KwikCourier, running: Sandbox, scripted: dict[str, Any]) -> None:
    play(running, ask=scripted)
    with pytest.raises(Transient):
        kwik.ask("SB-1", {}, deadline=Deadline(10))


def test_kwik_pushes_nothing_that_could_be_proved(kwik: KwikCourier) -> None:
    with pytest.raises(WebhookRefused) as refused:
        kwik.read_webhook({}, b"{}")
    assert refused.value.code == "WEBHOOK_SIGNATURE_INVALID"
    assert kwik.tells is False


# --- cancelling


@pytest.mark.parametrize("known", [True, False])
def test_cancelling_takes_both_legs_back_and_twice_is_as_good_as_once(
    kwik: KwikCourier, running: Sandbox, known: bool
) -> None:
    receipt = book(kwik)
    order_id, references = str(receipt.provider_message_id), receipt.evidence["jobReferences"] if known else {}
    assert cancel(kwik, order_id, references) == cancel(kwik, order_id, references)
    [job] = running.world.jobs()
    assert [event.stage for event in job.events] == [Stage.BOOKED, Stage.CANCELED]


@pytest.mark.parametrize(
    ("stage", "code"),
    [(Stage.PICKED_UP, "ALREADY_PICKED_UP"), (Stage.ARRIVED, "ALREADY_PICKED_UP"), (Stage.FAILED, "ALREADY_ENDED")],
)
def test_what_the_driver_has_stays_booked(kwik: KwikCourier, running: Sandbox, stage: Stage, code: str) -> None:
    order_id = str(book(kwik).provider_message_id)
    running.world.move(order_id, stage)
    with pytest.raises(Permanent) as refused:
        cancel(kwik, order_id)
    assert refused.value.code == code


def test_a_cancellation_that_meets_an_error_is_judged_by_where_the_task_is_then(
    kwik: KwikCourier, running: Sandbox
) -> None:
    order_id = str(book(kwik).provider_message_id)
    play(running, cancel={"do": "envelope", "status": 404})
    with pytest.raises(Transient) as refused:
        cancel(kwik, order_id)
    assert refused.value.code == "KWIK_404"
    play(running, cancel={"do": "envelope", "status": 404, "accept": True})
    assert cancel(kwik, order_id).provider_message_id == order_id
    again = str(book(kwik).provider_message_id)
    play(running, cancel={"do": "reset"})
    with pytest.raises(OutcomeUnknown):
        cancel(kwik, again)


# --- looking up


def test_a_booking_whose_answer_was_lost_is_found_pages_back_with_its_legs(kwik: KwikCourier, running: Sandbox) -> None:
    lost = booking(uuid4())
    play(running, book={"do": "close", "accept": True})
    assert isinstance(fail(kwik, lost), OutcomeUnknown)
    [job] = running.world.jobs()
    for _ in range(6):
        book(kwik)
    found = look_up(kwik, lost)
    assert (found.answer, found.provider_message_id) == (LookUpAnswer.FOUND, job.job_id)
    legs = {"pickup": str(job.leg_ids[0]), "delivery": str(job.leg_ids[1])}
    assert (found.evidence["jobReferences"], found.evidence["courierReference"]) == (legs, job.job_id)


def test_what_was_never_booked_is_absent_where_every_booking_names_another_of_ours(kwik: KwikCourier) -> None:
    for _ in range(5):
        book(kwik)
    found = look_up(kwik, booking(uuid4()))
    assert (found.answer, found.evidence) == (LookUpAnswer.ABSENT, {"rowsSeen": 10})


def test_a_history_that_tells_no_references_proves_nothing_but_its_emptiness(
    kwik: KwikCourier, running: Sandbox
) -> None:
    running.kwik.names_reference = False
    assert look_up(kwik, booking(uuid4())).answer is LookUpAnswer.ABSENT
    mine = booking(uuid4())
    book(kwik, mine)
    assert look_up(kwik, mine).answer is LookUpAnswer.UNSURE
    assert look_up(kwik, mine, ago=timedelta(minutes=-10)).answer is LookUpAnswer.ABSENT


MARK = "Ref 11111111-1111-4111-8111-111111111111"
OTHER = "Ref 22222222-2222-4222-8222-222222222222"
SINCE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def row(number: int, minutes: float, note: str = OTHER, **more: Any) -> dict[str, Any]:
    """One leg, made so many minutes after `SINCE`."""
    made = (SINCE + timedelta(minutes=minutes)).isoformat()
    return {"job_id": number, "unique_order_id": f"K{number}", "creation_datetime": made, "note": note} | more


def answer(rows: list[Any], mark: str = MARK) -> tuple[bool, bool]:
    """Whether it was found, and whether its absence was proved, in a history that gives two rows at once."""
    found = search(lambda _, skip: rows[skip : skip + 2], mark, since=SINCE, offset_minutes=60)
    assert not (found.rows and found.absent)
    return bool(found.rows), found.absent


NEWEST_FIRST = [row(9 - index, 50 - 10 * index) for index in range(9)]


def test_paging_stops_at_the_first_row_from_before_and_no_sooner() -> None:
    asked: list[int] = []

    def page(_: int, skip: int) -> list[Any]:
        asked.append(skip)
        return NEWEST_FIRST[skip : skip + 2]

    assert search(page, MARK, since=SINCE, offset_minutes=60).absent
    assert asked == list(range(6))
    assert answer([*NEWEST_FIRST[:5], row(100, 1, MARK), *NEWEST_FIRST[5:]]) == (True, False)


@pytest.mark.parametrize(
    ("rows", "absent"),
    [
        ([], True),
        (NEWEST_FIRST, True),
        ([row(1, 5, "booked by hand"), row(2, -5)], False),
        ([row(1, 5), row(2, -5, "booked by hand")], True),
        ([row(1, 5, "no note", unique_order_id="K2"), row(2, 4), row(3, -5)], True),  # the other leg names it
        ([row(1, -5), row(2, 5), row(3, 4, "by hand"), row(4, -6)], False),  # the order proves nothing
        ([row(1, -5, "by hand"), row(2, 5), row(3, 4), row(4, -6)], True),
        ([row(1, 5, creation_datetime="yesterday"), row(2, -5)], True),
        ([row(1, 5, "by hand", creation_datetime=7), row(2, -5)], False),
        ([row(1, 5), row(2, 0, "by hand", creation_datetime="2026-03-02T08:59:00"), row(3, -5)], True),
        ([row(1, 5), row(2, 0, "by hand", creation_datetime="2026-03-02T09:01:00"), row(3, -5)], False),
    ],
)
def test_absence_is_proved_only_where_nothing_could_be_hidden(rows: list[Any], absent: bool) -> None:
    assert answer(rows) == (False, absent)


@pytest.mark.parametrize("page", [None, "html", {"a": [], "b": []}, {"count": 3}, [1, 2], {"jobs": ["x"]}])
def test_a_history_that_cannot_be_read_proves_nothing(page: Any) -> None:
    found = search(lambda *_: page, MARK, since=SINCE, offset_minutes=60)
    assert (found.rows, found.absent) == ([], False)


def test_rows_that_move_up_while_they_are_read_prove_nothing_and_rows_that_come_new_do_no_harm() -> None:
    history = [row(9 - index, 90 - 10 * index) for index in range(12)]

    def moving(change: Any) -> Any:
        rows = list(history)

        def page(_: int, skip: int) -> list[Any]:
            found = rows[skip : skip + 8]
            change(rows)
            return found

        return search(page, MARK, since=SINCE, offset_minutes=60)

    assert moving(lambda rows: rows.__delitem__(slice(0, 4))).absent is False
    assert moving(lambda rows: rows.insert(0, row(len(rows) + 100, 100))).absent is True


def test_an_endless_history_ends_the_search_unsure() -> None:
    asked: list[int] = []

    def page(_: int, skip: int) -> list[Any]:
        asked.append(skip)
        return [row(1_000_000 - number, 1_000_000 - number) for number in range(skip, skip + 5)]

    assert search(page, MARK, since=SINCE, offset_minutes=60).absent is False
    assert len(asked) == MOST_PAGES


def test_a_dispatch_that_was_booked_twice_is_told_as_such_and_the_older_booking_counts(kwik: KwikCourier) -> None:
    twice = booking(uuid4())
    first, second = book(kwik, twice), book(kwik, twice)
    found = look_up(kwik, twice)
    assert found.provider_message_id == first.provider_message_id
    assert found.evidence["alsoBookedAs"] == [second.provider_message_id]
