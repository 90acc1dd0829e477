"""Our own courier protocol (docs/courier.md) as the sandbox courier speaks it. Owns what is answered, not its way."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from dispatchlog.gateways.courier_sandbox_jobs import Booking, CancelRefusedError, Event, Job, Place, Stage, World
from dispatchlog.gateways.courier_sandbox_script import Operation

PROTOCOL = "generic"
Answer = tuple[int, Any]
# Nobody has taken it yet: for us that is still booked.
_WORDS = {Stage.DECLINED: "BOOKED"}


class GenericSide:
    """`token` is what it wants as a Bearer token; "" lets everybody in."""

    def __init__(self, world: World, *, token: str = "", tracking_url: str = "") -> None:
        self._world = world
        self._token = token
        self._tracking_url = tracking_url

    def operation(self, method: str, path: str) -> Operation | None:
        """What is asked for; None: there is no such thing."""
        parts = path.strip("/").split("/")
        if parts[0] != "jobs":
            return None
        if method == "POST":
            return "book" if len(parts) == 1 else "cancel" if len(parts) == 3 and parts[2] == "cancel" else None
        return "ask" if method == "GET" and len(parts) == 2 else None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Do what is asked for."""
        operation = self.operation(method, path)
        said = headers.get("authorization", "")
        if self._token and not hmac.compare_digest(said.encode(), f"Bearer {self._token}".encode()):
            return 401, {"code": "UNAUTHORISED", "message": "The token is not known."}
        if operation == "book":
            return self._book(headers.get("idempotency-key", ""), body)
        job_id = unquote(path.strip("/").split("/")[1])
        return self._cancel(job_id, headers.get("idempotency-key", "")) if operation == "cancel" else self._ask(job_id)

    def _book(self, key: str, body: bytes) -> Answer:
        sha256 = hashlib.sha256(body).hexdigest()
        booking = _booking(key, sha256, body)
        if booking is None:
            return 422, {"code": "BOOKING_INVALID", "message": "A booking has a key, an order number and two places."}
        job, new = self._world.book(booking)
        if job.booking.sha256 != sha256:
            return 422, {"code": "KEY_REUSED", "message": "This key came with another body before."}
        return (201 if new else 200), self.document(job, job.events[0])

    def _ask(self, job_id: str) -> Answer:
        job = self._world.job(job_id)
        return (404, {"code": "JOB_UNKNOWN"}) if job is None else (200, self.document(job, job.event))

    def _cancel(self, job_id: str, key: str) -> Answer:
        try:
            job = self._world.cancel(job_id, key=key)
        except CancelRefusedError as error:
            return 409, {"code": error.code, "message": "It cannot be cancelled any more."}
        return (404, {"code": "JOB_UNKNOWN"}) if job is None else (200, self.document(job, job.event))

    def document(self, job: Job, event: Event) -> dict[str, Any]:
        """A job as it was at this event: the body of a webhook, and of every answer."""
        eta, position = self._world.eta_at(job), self._world.position(job)
        failed = event.stage is Stage.FAILED
        at_pickup = failed and not job.was_picked_up
        found = {
            "eventId": event.event_id,
            "jobId": job.job_id,
            "status": _WORDS.get(event.stage, event.stage.value),
            "occurredAt": event.at.isoformat(),
            "etaAt": eta.isoformat() if eta else None,
            "trackingUrl": f"{self._tracking_url}/{job.job_id}" if self._tracking_url else None,
            "driver": job.driver,
            "position": {"latitude": position[0], "longitude": position[1]} if position else None,
            "failure": _failure(at_pickup=at_pickup) if failed else None,
        }
        return {name: value for name, value in found.items() if value is not None}


def _failure(*, at_pickup: bool) -> dict[str, str]:
    if at_pickup:
        return {"code": "PICKUP_FAILED", "reason": "The pharmacy was closed."}
    return {"code": "NOBODY_THERE", "reason": "Nobody opened the door."}


def _booking(key: str, sha256: str, body: bytes) -> Booking | None:
    try:
        document = json.loads(body)
        pickup, delivery = _place(document["pickup"]), _place(document["delivery"])
        number = document["orderNumber"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not key or not isinstance(number, str) or not number:
        return None
    return Booking(PROTOCOL, key, sha256, number, pickup, delivery)


def _place(document: Mapping[str, Any]) -> Place:
    """Raises KeyError, TypeError, ValueError: it is none."""
    if not all(isinstance(document[name], str) and document[name] for name in ("name", "phone", "address")):
        raise ValueError("a place has a name, a phone and an address")
    return float(document["latitude"]), float(document["longitude"])
