"""Bytes that are stored sealed: what is resent is what was stored, and what does not open fails alone and unsent."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lanes import Letter, Row
from dispatchlog.engine.lookup import ask
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway, Outcome
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.ring import rings
from dispatchlog.row_content import PAYLOADS
from dispatchlog.settings import get_settings

from .lane import enqueue, make_due, owner, parcel_lane, read


def numbered() -> Callable[[Row], Letter]:
    """Composes different bytes each time it is asked, some of them no text."""
    count = iter(range(100))
    return lambda row: Letter("someone@example.org", b"\x00\xff version %d" % next(count), headers={"x-who": "Jo"})


def stored(dispatch_id: UUID) -> dict[str, object]:
    with connected():
        return fetch_dicts("SELECT * FROM dispatch_payloads WHERE dispatch_id = %s", (dispatch_id,))[0]


@pytest.mark.parametrize("sealed_later", [False, True])
def test_a_resend_sends_the_bytes_that_were_stored_sealed_or_not(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, sealed_later: bool
) -> None:
    gateway = FakeGateway(GatewayKind.IDEMPOTENT)
    lane = parcel_lane(gateway, compose=numbered(), seal=PAYLOADS)
    if sealed_later:
        monkeypatch.setenv("DISPATCHLOG_SEAL_CONTENT", "0")
        get_settings.cache_clear()
    gateway.script(Outcome.TRANSIENT)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    row = stored(dispatch_id)
    assert (row["body"] is None, row["recipient"]) == ((False, "someone@example.org") if sealed_later else (True, ""))
    monkeypatch.setenv("DISPATCHLOG_SEAL_CONTENT", "1")
    get_settings.cache_clear()
    make_due(lane, dispatch_id)
    drain(lane, runtime)
    (acceptance,) = gateway.accepted
    assert (acceptance.body, acceptance.recipient) == (b"\x00\xff version 0", "someone@example.org")


def test_what_does_not_open_fails_alone_and_is_written_anew_for_a_person_s_retry(
    runtime: Runtime, parcels_url: str
) -> None:
    gateway = FakeGateway(GatewayKind.IDEMPOTENT)
    lane = parcel_lane(gateway, compose=numbered(), seal=PAYLOADS)
    gateway.script(Outcome.TRANSIENT, Outcome.TRANSIENT)
    ids = enqueue(lane, 2)
    drain(lane, runtime)
    with owner(parcels_url) as cursor:
        # The other row's letter: it opens for its own row alone.
        cursor.execute(
            "UPDATE dispatch_payloads SET sealed = (SELECT sealed FROM dispatch_payloads WHERE dispatch_id = %s)"
            " WHERE dispatch_id = %s",
            (str(ids[1]), str(ids[0])),
        )
    for dispatch_id in ids:
        make_due(lane, dispatch_id)
    drain(lane, runtime)
    first, second = (read(lane, dispatch_id) for dispatch_id in ids)
    assert (first["status"], first["last_error_code"], second["status"]) == ("FAILED", "CANNOT_UNSEAL", "SENT")
    assert [acceptance.body for acceptance in gateway.accepted] == [b"\x00\xff version 1"]
    with connected():
        assert ask(lane, {**first, "sending_at": first["claimed_at"]}).answer is LookUpAnswer.UNSURE
    assert operator.retry(lane, [ids[0]], actor="ann")[0].changed
    drain(lane, runtime)
    # It certainly has not left, so these are other bytes under another key.
    assert (gateway.accepted[-1].body, gateway.accepted[-1].key) == (b"\x00\xff version 2", f"{ids[0]}-2")


def say_secret(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """Go on as a process that was started with this secret key."""
    monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", secret)
    get_settings.cache_clear()
    rings.forget()


def state_of(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("status", "claims", "attempts", "rescues", "last_error_code"))


def test_a_worker_with_another_secret_key_claims_nothing_that_others_can_send(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = FakeGateway(GatewayKind.IDEMPOTENT)
    lane = parcel_lane(gateway, compose=numbered(), seal=PAYLOADS)
    gateway.script(Outcome.TRANSIENT)
    (tried,) = enqueue(lane)
    drain(lane, runtime)
    (fresh,) = enqueue(lane)
    make_due(lane, tried)
    before = [state_of(read(lane, each)) for each in (tried, fresh)]
    secret = get_settings().secret_key.get_secret_value()

    say_secret(monkeypatch, "mistyped on one machine")
    for _ in range(3):
        assert drain(lane, runtime).claimed == 0
    assert [state_of(read(lane, each)) for each in (tried, fresh)] == before

    say_secret(monkeypatch, secret)
    drain(lane, runtime)
    assert [read(lane, each)["status"] for each in (tried, fresh)] == ["SENT", "SENT"]


class LostMeanwhile:
    """Another data key came into force between the claim and the sealing, and this process cannot open it."""

    def check(self) -> None:
        """It was still there."""

    def seal(self, content: bytes, owner: UUID) -> bytes | None:
        raise CannotUnsealError("data key 3 was wrapped under another secret key")

    def open(self, sealed: bytes | memoryview, owner: UUID) -> bytes:
        raise AssertionError("nothing was stored")


def test_what_cannot_be_sealed_goes_back_as_it_was_and_counts_nowhere(runtime: Runtime) -> None:
    gateway = FakeGateway(GatewayKind.IDEMPOTENT)
    lane = parcel_lane(gateway, seal=LostMeanwhile())
    ids = enqueue(lane, 2)
    assert drain(lane, runtime).claimed == 0
    rows = [read(lane, each) for each in ids]
    assert [(row["status"], row["attempts"], row["rescues"]) for row in rows] == [("PENDING", 0, 0)] * 2
    assert all(row["first_claimed_at"] is None for row in rows)
    assert gateway.accepted == []
