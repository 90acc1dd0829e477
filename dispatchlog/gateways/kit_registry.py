"""Owns registering a kit (step 1), at a registry over HTTP or by itself on one machine; never decides which kits.

Both take our idempotency key in their own way, so a crash in mid-send is cured by sending the same bytes again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import OutcomeUnknown, Permanent
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import HttpReply, classify_send
from dispatchlog.gateways.trace_headers import trace_headers

KIT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REGISTRATIONS = UUID("6f0d5c0e-4c5b-5b0a-9a53-0d8f7a2c1e42")


class HttpKitRegistry:
    """`POST {base}/registrations` with `Idempotency-Key`; the body is the parcel's, unchanged.

    The key is sent bare, as most APIs that take this header read it, and not as the quoted string of
    draft-ietf-httpapi-idempotency-key-header-07 section 2.1.
    """

    name = "kit-registry"
    kind = GatewayKind.IDEMPOTENT
    indexing_delay = timedelta(0)

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        key_retention_seconds: float,
        deadline_seconds: float = 10.0,
        ca_file: Path | None = None,
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self.key_retention: timedelta | None = timedelta(seconds=key_retention_seconds)
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = HttpClient(base_url, ca_file=ca_file)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The registration's id. Sent again with the same key, the registry answers with the same registration.

        Raises:
            Transient: not registered, may pass: unreachable, 429 and 503 (with Retry-After), UNAUTHORISED.
            Permanent: refused (400, 404, 422, ...); `code` is the registry's own.
            OutcomeUnknown: 409 (this key is in progress), another 5xx, no or a malformed answer.
        """
        reply = self._http.request(
            "POST",
            "/registrations",
            headers={
                **self._authorization,
                "Content-Type": parcel.content_type,
                "Accept": "application/json",
                "Idempotency-Key": parcel.idempotency_key,
                **trace_headers(parcel.trace_id),
            },
            content=parcel.body,
            deadline=deadline,
            before_write=before_write,
        )
        if reply.status in (200, 201):
            return _receipt(reply)
        raise classify_send(reply, who="The kit registry")

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """Not needed: the same key is sent again instead. Always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        self._http.close()


def _receipt(reply: HttpReply) -> Receipt:
    document = reply.json()
    registration_id = document.get("registrationId") if isinstance(document, dict) else None
    if not isinstance(registration_id, str) or not registration_id:
        raise OutcomeUnknown(
            "The kit registry said yes without a registrationId.",
            code="MALFORMED_REPLY",
            evidence={"status": reply.status},
        )
    return Receipt(registration_id, {"status": reply.status, "registrationId": registration_id})


class LocalKitRegistry:
    """The registry of a single machine without another one: the registration's id follows from order and kit.

    It does no I/O and remembers nothing, so it takes the same parcel any number of times with the same answer.
    """

    name = "kit-registry-local"
    kind = GatewayKind.IDEMPOTENT
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(self, *, deadline_seconds: float = 10.0) -> None:
        self.deadline_seconds = deadline_seconds

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:  # noqa: ARG002
        """The registration's id.

        Raises:
            Permanent: MALFORMED_BODY, not a JSON object; KIT_ID_INVALID, its kitId is not 1 to 64 of A-Z a-z 0-9 . _ -
        """
        order_id, kit_id = _order_and_kit(parcel.body)
        before_write()
        registration_id = str(uuid5(_REGISTRATIONS, f"{order_id}/{kit_id}"))
        return Receipt(registration_id, {"registrationId": registration_id, "registry": "local"})

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """Not needed: the same parcel is sent again instead. Always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        """Nothing to close."""


def _order_and_kit(body: bytes) -> tuple[str, str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Permanent("The registration is not JSON.", code="MALFORMED_BODY") from error
    if not isinstance(document, dict):
        raise Permanent("The registration is not a JSON object.", code="MALFORMED_BODY")
    kit_id, order_id = document.get("kitId"), document.get("orderId", "")
    if not isinstance(kit_id, str) or not KIT_ID.fullmatch(kit_id):
        raise Permanent(
            "The kit id must be 1 to 64 letters, digits, dots, underscores or hyphens.", code="KIT_ID_INVALID"
        )
    return str(order_id), kit_id
