"""The gateway contract, word for word, against every gateway and its fake, over real sockets where there are any."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import FenceLost, GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUpAnswer, Parcel
from dispatchlog.gateways.fake import NullGateway
from dispatchlog.gateways.kit_registry import LocalKitRegistry
from tests.lateness import within

from .rigs import PURE, RIGS, SECRET, Fault, Rig, open_rig, registration, sha256
from .servers import Provider


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, provider: Provider) -> Iterator[Rig]:
    with open_rig(request.param, provider) as opened:
        yield opened


def nothing() -> None:
    """The fence holds."""


def test_a_send_ends_in_a_receipt_and_the_provider_has_exactly_the_stored_bytes(rig: Rig) -> None:
    parcel = rig.parcel()
    receipt = rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing)
    assert receipt.provider_message_id
    json.dumps(dict(receipt.evidence))
    assert rig.accepted(parcel) == [sha256(parcel)]


def test_a_refused_connection_is_transient_and_before_write_is_never_asked(rig: Rig) -> None:
    parcel, gateway, asked = rig.parcel(), rig.unreachable(), []
    with pytest.raises(Transient) as refused:
        gateway.send(parcel, deadline=Deadline(30), before_write=lambda: asked.append(1))
    gateway.close()
    assert asked == []
    assert rig.accepted(parcel) == []
    assert SECRET not in f"{refused.value} {json.dumps(dict(refused.value.evidence))}"


def test_before_write_is_asked_exactly_once_per_send_while_nothing_is_accepted_yet(rig: Rig) -> None:
    for _ in range(3):  # the second and third reuse the connection
        parcel = rig.parcel()
        seen: list[list[str]] = []
        rig.gateway.send(parcel, deadline=Deadline(30), before_write=partial(_note, rig, parcel, seen))
        assert seen == [[]]


def test_what_before_write_raises_passes_unchanged_and_nothing_is_sent(rig: Rig) -> None:
    parcel, lost = rig.parcel(), FenceLost("The lock is gone.")

    def lose() -> None:
        raise lost

    with pytest.raises(FenceLost) as raised:
        rig.gateway.send(parcel, deadline=Deadline(30), before_write=lose)
    assert raised.value is lost
    time.sleep(0.1)
    assert rig.accepted(parcel) == []


@pytest.mark.parametrize("error", [OSError("ours"), TimeoutError("ours"), KeyboardInterrupt()])
def test_an_error_of_before_write_is_never_taken_for_one_of_the_network(rig: Rig, error: BaseException) -> None:
    parcel = rig.parcel()

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        rig.gateway.send(parcel, deadline=Deadline(30), before_write=fail)
    assert raised.value is error
    assert rig.accepted(parcel) == []


def test_the_gateway_goes_on_after_a_lost_fence(rig: Rig) -> None:
    def lose() -> None:
        raise FenceLost("The lock is gone.")

    with pytest.raises(FenceLost):
        rig.gateway.send(rig.parcel(), deadline=Deadline(30), before_write=lose)
    parcel = rig.parcel()
    rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing)
    assert rig.accepted(parcel) == [sha256(parcel)]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP])
def test_the_total_deadline_holds_against_a_silent_or_dripping_provider(rig: Rig, fault: Fault) -> None:
    rig.arm(fault)
    with within(1.5, least_seconds=0.9), pytest.raises(OutcomeUnknown) as late:
        rig.gateway.send(rig.parcel(), deadline=Deadline(1), before_write=nothing)
    assert "TIMEOUT" in late.value.code


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.TRUNCATED])
def test_a_lost_reply_after_acceptance_is_an_unknown_outcome(rig: Rig, fault: Fault) -> None:
    parcel = rig.parcel()
    rig.arm(fault)
    with pytest.raises(OutcomeUnknown):
        rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing)
    assert rig.accepted(parcel) == [sha256(parcel)]


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.GARBAGE])
def test_a_reset_before_acceptance_looks_the_same_and_is_unknown_too(rig: Rig, fault: Fault) -> None:
    parcel = rig.parcel()
    rig.arm(fault)
    with pytest.raises(OutcomeUnknown):
        rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing)
    assert rig.accepted(parcel) == []


@pytest.mark.parametrize(("fault", "kind_of_error"), [(Fault.REFUSED, Permanent), (Fault.BUSY, Transient)])
def test_a_definite_no_is_permanent_or_transient_and_nothing_is_accepted(
    rig: Rig, fault: Fault, kind_of_error: type[GatewayError]
) -> None:
    parcel = rig.parcel()
    rig.arm(fault)
    with pytest.raises(kind_of_error) as no:
        rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing)
    json.dumps(dict(no.value.evidence))
    assert rig.accepted(parcel) == []


def test_an_idempotent_provider_takes_one_key_once_and_the_others_twice(rig: Rig) -> None:
    parcel = rig.parcel()
    first, second = (rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing) for _ in range(2))
    if rig.gateway.kind is GatewayKind.IDEMPOTENT:
        assert first.provider_message_id == second.provider_message_id
        assert len(rig.accepted(parcel)) == 1
    else:
        assert len(rig.accepted(parcel)) == 2


def test_one_instance_serves_many_threads(rig: Rig) -> None:
    parcels = [rig.parcel() for _ in range(24)]
    failures: list[BaseException] = []

    def send_some(mine: slice) -> None:
        try:
            for parcel in parcels[mine]:
                rig.gateway.send(parcel, deadline=Deadline(60), before_write=nothing)
        except BaseException as error:  # noqa: BLE001  (a thread's failure must reach the test)
            failures.append(error)

    threads = [threading.Thread(target=send_some, args=(slice(index, None, 6),)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [rig.accepted(parcel) for parcel in parcels] == [[sha256(parcel)] for parcel in parcels]


def test_only_a_look_up_gateway_answers_a_look_up(rig: Rig) -> None:
    parcel, since = rig.parcel(), datetime.now(UTC) - timedelta(minutes=1)
    before = rig.gateway.look_up(parcel, since=since, deadline=Deadline(30))
    receipt = rig.gateway.send(parcel, deadline=Deadline(30), before_write=nothing)
    after = rig.gateway.look_up(parcel, since=since, deadline=Deadline(30))
    if rig.gateway.kind is GatewayKind.LOOKUP:
        assert (before.answer, after.answer) == (LookUpAnswer.ABSENT, LookUpAnswer.FOUND)
        assert after.provider_message_id == receipt.provider_message_id
    else:
        assert {before.answer, after.answer} == {LookUpAnswer.UNSURE}


@pytest.mark.parametrize("make", PURE)
def test_a_gateway_without_a_network_keeps_the_contract_too(make: type[LocalKitRegistry | NullGateway]) -> None:
    gateway: Gateway = make()
    parcel, asked = registration(uuid4()), []
    receipts = {
        gateway.send(parcel, deadline=Deadline(1), before_write=lambda: asked.append(1)).provider_message_id
        for _ in range(2)
    }
    assert len(receipts) == 1
    assert asked == [1, 1]
    assert gateway.kind is GatewayKind.IDEMPOTENT
    assert gateway.look_up(parcel, since=datetime.now(UTC), deadline=Deadline(1)).answer is LookUpAnswer.UNSURE
    with pytest.raises(FenceLost):
        gateway.send(parcel, deadline=Deadline(1), before_write=_lose)
    gateway.close()


def _note(rig: Rig, parcel: Parcel, seen: list[list[str]]) -> None:
    seen.append(rig.accepted(parcel))


def _lose() -> None:
    raise FenceLost("The lock is gone.")
