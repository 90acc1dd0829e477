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
