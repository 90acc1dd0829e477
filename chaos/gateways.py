"""Owns the two gateways that only a run of faults has: a ledger file in the worker, and a message API that can be asked.

They keep the contract of every gateway; what they accepted is judged elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import classify_send

DEADLINE_SECONDS = 1.5
# What the fake provider takes to show an acceptance to a look-up.
PROVIDER_INDEXING_SECONDS = 1.0
# The gateway's own delay also covers how long a request that was given up may still be on its way.
IN_FLIGHT_SECONDS = 1.5

# Shares of the sends through the ledger file; together below the breaker's 10 %.
_BUSY = 0.015
_REFUSED = 0.002
_LOST_BEFORE = 0.01
_LOST_AFTER = 0.02


class LedgerFileGateway:
    """IDEMPOTENT and cheap: one acceptance is one line appended to this process's file; the reader dedupes by key.

    A line is written with one O_APPEND write, so kill -9 leaves it whole or absent. `healed` ends the faults when the
    file exists.
    """

    name = "chaos-ledger"
    kind = GatewayKind.IDEMPOTENT
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)
    deadline_seconds = DEADLINE_SECONDS

    def __init__(self, path: Path, *, healed: Path, seed: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._healed = healed
        self._random = random.Random(seed)  # noqa: S311  faults must be repeatable, not secret

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:  # noqa: ARG002
        """The key as receipt.

        Raises:
            Transient, Permanent: not written.
            OutcomeUnknown: LOST_BEFORE, not written; LOST_AFTER, written. The caller cannot tell them apart.
        """
        before_write()
        draw = self._random.random()
        if draw < _BUSY + _REFUSED + _LOST_BEFORE + _LOST_AFTER and self._healed.exists():
            draw = 1.0
        if draw < _BUSY:
            raise Transient("The ledger is busy.", code="BUSY")
        if draw < _BUSY + _REFUSED:
            raise Permanent("The ledger refuses it.", code="REFUSED")
        if draw < _BUSY + _REFUSED + _LOST_BEFORE:
            raise OutcomeUnknown("Lost on the way.", code="LOST")
        line = f"{parcel.idempotency_key} {hashlib.sha256(parcel.body).hexdigest()} {parcel.recipient}\n".encode()
        if os.write(self._descriptor, line) != len(line):
            raise OutcomeUnknown("The ledger took half a line.", code="TORN")
        if draw < _BUSY + _REFUSED + _LOST_BEFORE + _LOST_AFTER:
            raise OutcomeUnknown("The answer was lost.", code="LOST")
        return Receipt(parcel.idempotency_key)

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """Not needed: the same key is sent again instead. Always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        os.close(self._descriptor)


class MessageGateway:
    """LOOKUP: `POST /messages` dedupes nothing, `GET /messages?client_ref=` tells what it has."""

    name = "chaos-messages"
    kind = GatewayKind.LOOKUP
    key_retention: timedelta | None = None
    indexing_delay = timedelta(seconds=PROVIDER_INDEXING_SECONDS + IN_FLIGHT_SECONDS)
    deadline_seconds = DEADLINE_SECONDS

    def __init__(self, base_url: str) -> None:
        self._http = HttpClient(base_url, connect_seconds=1.0)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The message's id.

        Raises:
            Transient, Permanent, OutcomeUnknown: as every HTTP gateway.
        """
        reply = self._http.request(
            "POST",
            "/messages",
            headers={"Content-Type": parcel.content_type},
            content=parcel.body,
            deadline=deadline,
            before_write=before_write,
        )
        if reply.status != 201:
            raise classify_send(reply, who="The message provider")
        document = reply.json()
        if not isinstance(document, dict) or not isinstance(document.get("messageId"), str):
            raise OutcomeUnknown("A yes without a messageId.", code="MALFORMED_REPLY")
        return Receipt(document["messageId"], {"status": reply.status})

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """Whether the provider shows a message with the parcel's key as its reference."""
        document = self._http.get_json("/messages", query={"client_ref": parcel.idempotency_key}, deadline=deadline)
        if not isinstance(document, dict) or not isinstance(document.get("messages"), list):
            return LookUp(LookUpAnswer.UNSURE)
        if not document["messages"]:
            return LookUp(LookUpAnswer.ABSENT)
        return LookUp(LookUpAnswer.FOUND, str(document["messages"][0]["messageId"]), {"found": document["messages"]})

    def close(self) -> None:
        self._http.close()
