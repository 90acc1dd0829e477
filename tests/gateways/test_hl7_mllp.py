"""MLLP: every fault of an exchange, the kept connection, and never another message's acknowledgement."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_exchange_script import Answer
from dispatchlog.gateways.hl7_framing import frame

from .hl7_rigs import Hl7Rig, mllp_endpoint, mllp_rig
from .rigs import control_id, sha256, visit
from .servers import RawServer, raw_server


@pytest.fixture
def rig() -> Iterator[Hl7Rig]:
    with mllp_rig() as opened:
        yield opened


def test_messages_arrive_whole_in_order_over_one_connection(rig: Hl7Rig) -> None:
    parcels = [visit(uuid4(), size=size) for size in (0, 100, 300_000, 0)]
    for parcel in parcels:
        assert rig.send(parcel).provider_message_id == control_id(parcel)
    assert [one.body for one in rig.exchange.received] == [parcel.body for parcel in parcels]
    assert rig.side.connections == 1


def test_a_receipt_keeps_the_acknowledgement(rig: Hl7Rig) -> None:
    parcel = visit(uuid4())
    evidence = rig.send(parcel).evidence
    assert evidence["code"] == "AA"
    assert f"MSA|AA|{control_id(parcel)}\r" in evidence["acknowledgement"]


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (Answer("mute"), OutcomeUnknown, "TIMEOUT"),
        (Answer("half"), OutcomeUnknown, "TIMEOUT"),
        (Answer("drip"), OutcomeUnknown, "TIMEOUT"),
        (Answer(delay_seconds=3), OutcomeUnknown, "TIMEOUT"),
        (Answer("wrong_id"), OutcomeUnknown, "ACKNOWLEDGEMENT_MISMATCH"),
        (Answer("close"), OutcomeUnknown, "CONNECTION_LOST"),
        (Answer("close", accept=False), OutcomeUnknown, "CONNECTION_LOST"),
        (Answer("truncate"), OutcomeUnknown, "CONNECTION_LOST"),
        (Answer("garbage"), OutcomeUnknown, "MALFORMED_REPLY"),
        (Answer("nonsense"), OutcomeUnknown, "MALFORMED_REPLY"),
        (Answer("huge"), OutcomeUnknown, "REPLY_TOO_LARGE"),
    ],
    ids=lambda value: f"{value.way}-{value.accept}" if isinstance(value, Answer) else None,
)
def test_what_proves_nothing_is_unknown_and_ends_the_connection(
    rig: Hl7Rig, answer: Answer, error: type[OutcomeUnknown], code: str
) -> None:
    rig.send(visit(uuid4()))
    rig.arm(answer)
    parcel = visit(uuid4())
    with pytest.raises(error) as unknown:
        rig.send(parcel, seconds=0.7 if code == "TIMEOUT" else 30)
    assert unknown.value.code == code
    assert rig.send(parcel).provider_message_id == control_id(parcel)
    assert rig.side.connections == 2
    assert rig.exchange.effects_of(control_id(parcel)) == [sha256(parcel)]


@pytest.mark.parametrize("answer", [Answer("split"), Answer(delay_seconds=0.3)], ids=["split", "late"])
def test_a_split_or_late_acknowledgement_within_the_deadline_is_read_whole(rig: Hl7Rig, answer: Answer) -> None:
    rig.arm(answer)
    assert rig.send(visit(uuid4())).evidence["code"] == "AA"
    rig.send(visit(uuid4()))
    assert rig.side.connections == 1


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (Answer(code="AE", error="101", accept=False), Permanent, "ACK_AE_101"),
        (Answer(code="AE", accept=False), Permanent, "ACK_AE"),
        (Answer(code="AE", error="206", accept=False), Transient, "ACK_AE_206"),
        (Answer(code="AR", accept=False), Transient, "ACK_AR"),
        (Answer(code="AR", error="203", accept=False), Permanent, "ACK_AR_203"),
    ],
    ids=lambda value: f"{value.code}-{value.error}" if isinstance(value, Answer) else None,
)
def test_a_definite_no_keeps_the_connection_and_the_acknowledgement(
    rig: Hl7Rig, answer: Answer, error: type[Transient | Permanent], code: str
) -> None:
    rig.arm(answer)
    with pytest.raises(error) as no:
        rig.send(visit(uuid4()))
    assert no.value.code == code
    assert no.value.health is (Health.WELL if error is Permanent else Health.BUSY)
    assert "MSA|" in no.value.evidence["acknowledgement"]
    rig.send(visit(uuid4()))
    assert rig.side.connections == 1


def test_an_acknowledgement_nobody_asked_for_is_never_the_next_messages(rig: Hl7Rig) -> None:
    rig.arm(Answer("twice"), Answer(code="AE", accept=False))
    rig.send(visit(uuid4()))
    with pytest.raises(Permanent):
        rig.send(visit(uuid4()))
    assert rig.side.connections == 2


def test_an_acknowledgement_that_comes_while_leave_is_asked_for_stops_the_send() -> None:
    asked, said = threading.Event(), threading.Event()

    def talk(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"\x1c\r")
        connection.sendall(frame(_acknowledgement(first)))
        asked.wait(60)
        connection.sendall(frame(_acknowledgement(second)))
        said.set()
        server.stopped.wait(60)

    first, second = visit(uuid4()), visit(uuid4())
    with raw_server(talk) as server:
        gateway = open_gateway(mllp_endpoint(server.port))
        gateway.send(first, deadline=Deadline(30), before_write=lambda: None)

        def leave() -> None:
            asked.set()
            assert said.wait(60)

        with pytest.raises(Transient) as stale:
            gateway.send(second, deadline=Deadline(30), before_write=leave)
        gateway.close()
        assert stale.value.code == "CONNECTION_STALE"
        assert bytes(server.taken) == frame(first.body)


def _acknowledgement(parcel: Parcel) -> bytes:
    return f"MSH|^~\\&|EXCHANGE||||20260302||ACK|A1|P|2.5.1\rMSA|AA|{control_id(parcel)}\r".encode()


@pytest.mark.parametrize("stray", [b"\r", b"\n", b"\r\n"])
def test_line_ends_between_frames_are_skipped(stray: bytes) -> None:
    def talk(connection: socket.socket, server: RawServer) -> None:
        for parcel in parcels:
            server.take(connection, b"\x1c\r")
            connection.sendall(stray + frame(_acknowledgement(parcel)) + stray)
            connection.sendall(stray)

    parcels = [visit(uuid4()) for _ in range(3)]
    with raw_server(talk) as server:
        gateway = open_gateway(mllp_endpoint(server.port))
        for parcel in parcels:
            gateway.send(parcel, deadline=Deadline(30), before_write=lambda: None)
        gateway.close()
        assert server.connections == 1


def test_a_restarted_exchange_costs_no_attempt(rig: Hl7Rig) -> None:
    rig.send(visit(uuid4()))
    rig.side.hang_up()
    _until(lambda: not rig.side._open)
    rig.send(visit(uuid4()))
    assert rig.side.connections == 2


def test_an_unused_connection_is_closed_after_a_while() -> None:
    with mllp_rig(idle_seconds=3) as rig:
        rig.send(visit(uuid4()))
        rig.send(visit(uuid4()))
        assert rig.side.connections == 1
        _until(lambda: not rig.side._open)
        rig.send(visit(uuid4()))
        assert rig.side.connections == 2


def test_an_endpoint_may_want_a_connection_for_each_message() -> None:
    with mllp_rig(idle_seconds=0) as rig:
        for _ in range(3):
            rig.send(visit(uuid4()))
        assert rig.side.connections == 3


def test_two_threads_take_turns_and_each_gets_its_own_acknowledgement(rig: Hl7Rig) -> None:
    rig.exchange.script.set(standing=Answer("split"))
    got: list[tuple[str, str | None]] = []

    def send_some() -> None:
        for _ in range(10):
            parcel = visit(uuid4())
            got.append((control_id(parcel), rig.send(parcel).provider_message_id))

    threads = [threading.Thread(target=send_some) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 20
    assert all(ours == theirs for ours, theirs in got)
    assert rig.side.connections == 1


def test_who_waits_too_long_for_his_turn_has_sent_nothing(rig: Hl7Rig) -> None:
    rig.arm(Answer("mute"))
    started = threading.Event()

    def hog() -> None:
        with pytest.raises(OutcomeUnknown):
            rig.gateway.send(visit(uuid4()), deadline=Deadline(60), before_write=started.set)

    thread = threading.Thread(target=hog)
    thread.start()
    assert started.wait(60)
    parcel = visit(uuid4())
    with pytest.raises(Transient) as busy:
        rig.send(parcel, seconds=0.2)
    rig.side.hang_up()
    thread.join()
    assert busy.value.code == "ENDPOINT_BUSY"
    assert rig.exchange.effects_of(control_id(parcel)) == []


def test_nothing_that_is_no_message_goes_on_the_wire(rig: Hl7Rig) -> None:
    good = visit(uuid4())
    bodies = [b"", b"PID|1", b"MSH|^~\\&|A", good.body + b"\x0b", good.body + b"NTE|\x1c\r"]
    for body in bodies:
        with pytest.raises(Permanent) as bad:
            rig.send(replace(good, body=body))
        assert bad.value.code == "BAD_MESSAGE"
    with pytest.raises(Permanent):
        rig.send(replace(good, headers={"control_id": "another"}))
    assert rig.side.connections == 0


def test_evidence_fits_a_json_column() -> None:
    def talk(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"\x1c\r")
        connection.sendall(frame(b"\x00\xff" * 20_000))

    with raw_server(talk) as server:
        gateway = open_gateway(mllp_endpoint(server.port))
        with pytest.raises(OutcomeUnknown) as unknown:
            gateway.send(visit(uuid4()), deadline=Deadline(30), before_write=lambda: None)
        gateway.close()
    kept = unknown.value.evidence["acknowledgement"]
    assert len(kept) == 4096
    assert "\\u0000" not in json.dumps(dict(unknown.value.evidence))


def _until(condition: Callable[[], bool]) -> None:
    deadline = Deadline(60)
    while not condition():
        assert not deadline.passed
        time.sleep(0.01)
