"""A courier that speaks our own protocol: JSON over HTTPS, an Idempotency-Key, signed webhooks (docs/courier.md).

It is IDEMPOTENT: after a crash in mid-send the same bytes leave again under the same key, and the courier answers with the
same job. Sends nothing but what is stored, unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways import courier_signature
from dispatchlog.gateways.courier import Report, WebhookRefused
from dispatchlog.gateways.courier_words import (
    fingerprint,
    instant,
    part,
    personal,
    reference,
    stored,
    text,
    web_address,
    without,
    written,
)
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import HttpReply, classify_send
from dispatchlog.gateways.trace_headers import trace_headers

WHO = "The courier"
# The courier's words and ours; any other is kept and shown, and moves nothing.
STATUSES: Mapping[str, str] = {
    **{name: name for name in ("BOOKED", "ASSIGNED", "PICKED_UP", "IN_TRANSIT", "DELIVERED", "FAILED", "CANCELED")},
    "ARRIVED": "IN_TRANSIT",  # at the door: delivered is what our own code confirms
    "CANCELLED": "CANCELED",
}
REFUSED_CANCELS = ("ALREADY_PICKED_UP", "ALREADY_ENDED")
MOST_EVENTS = 100
_MOST_EVENT_ID = 128


@dataclass(frozen=True, slots=True)
class GenericTimes:
    """What is agreed in seconds.

    Attributes:
        poll_seconds, watch_seconds: how often it is asked about a job where it tells nothing, and where it does.
        key_retention_seconds: for how long it promises to recognise a key.
        deadline_seconds: in total, for one booking or cancellation.
    """

    poll_seconds: float = 20.0
    watch_seconds: float = 120.0
    key_retention_seconds: float = 86_400.0
    deadline_seconds: float = 10.0


class _Sending:
    """What both gateways share: one POST under the parcel's key."""

    kind = GatewayKind.IDEMPOTENT
    indexing_delay = timedelta(0)
    name = ""

    def __init__(self, http: HttpClient, authorization: Mapping[str, str], times: GenericTimes) -> None:
        self._http = http
        self._authorization = authorization
        self.key_retention: timedelta | None = timedelta(seconds=times.key_retention_seconds)
        self.deadline_seconds = times.deadline_seconds

    def _post(self, path: str, parcel: Parcel, deadline: Deadline, before_write: Callable[[], None]) -> HttpReply:
        headers = {
            **self._authorization,
            "Content-Type": parcel.content_type,
            "Accept": "application/json",
            "Idempotency-Key": parcel.idempotency_key,
            **trace_headers(parcel.trace_id),
        }
        return self._http.request(
            "POST", path, headers=headers, content=parcel.body, deadline=deadline, before_write=before_write
        )

    def _refusal(self, reply: HttpReply, words: Sequence[str]) -> GatewayError:
        """What the answer means, without what it repeats of a person or of our token."""
        tokens = [each.partition(" ")[2] for each in self._authorization.values()]
        return without(classify_send(reply, who=WHO), [*words, *tokens])

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """Not needed: the same key is sent again instead. Always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        self._http.close()


class GenericBooking(_Sending):
    """`POST {base}/jobs` with the stored booking."""

    name = "courier-generic"

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The courier's job. Under the same key it answers with the same job.

        Raises:
            Transient: not booked, may pass: unreachable, 429 and 503 (with Retry-After), UNAUTHORISED.
            Permanent: refused (400, 404, 422, ...); `code` is the courier's own.
            OutcomeUnknown: 409 (this key is in progress), another 5xx, no or a malformed answer.
        """
        reply = self._post("/jobs", parcel, deadline, before_write)
        if reply.status not in (200, 201):
            raise self._refusal(reply, personal(stored(parcel.body)))
        job = part({"": reply.json()}, "")
        job_id = reference(job.get("jobId"))
        if job_id is None:
            raise OutcomeUnknown(
                f"{WHO} said yes without a jobId.", code="MALFORMED_REPLY", evidence={"status": reply.status}
            )
        return Receipt(job_id, {"status": reply.status, "courierReference": job_id, **_particulars(job)})


class GenericCancellation(_Sending):
    """`POST {base}/jobs/{jobId}/cancel` with the stored wish."""

    name = "courier-generic-cancel"

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The job is cancelled, by this or by an earlier try.

        Raises:
            Transient: not cancelled, may pass: as with a booking.
            Permanent: refused: ALREADY_PICKED_UP, ALREADY_ENDED, or the courier's own code.
            OutcomeUnknown: as with a booking.
        """
        reply = self._post(f"/jobs/{quote(parcel.recipient, safe='')}/cancel", parcel, deadline, before_write)
        document = reply.json()
        if reply.status == 200 and isinstance(document, dict):
            return Receipt(parcel.recipient, {"status": 200, "courierReference": parcel.recipient})
        code = document.get("code") if isinstance(document, dict) else None
        if 400 <= reply.status < 500 and code in REFUSED_CANCELS:
            raise Permanent(f"{WHO} does not cancel it ({code}).", code=code, evidence={"status": reply.status})
        if 200 <= reply.status < 300:
            raise OutcomeUnknown(
                f"{WHO} answered the cancellation with nothing that can be read.",
                code="MALFORMED_REPLY",
                evidence={"status": reply.status},
            )
        raise self._refusal(reply, ())


class GenericCourier:
    """A courier that speaks our protocol. Thread-safe.

    Args:
        base_url: https (http for a sandbox on this machine); paths are appended to it.
        token: goes along as a Bearer token.
        webhook_secrets: those in force, several while one replaces another; without any it is only asked.
        clock: Unix seconds now.
    """

    name = "generic"
    title = "Courier by webhook"

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        webhook_secrets: Sequence[str] = (),
        times: GenericTimes | None = None,
        ca_file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = HttpClient(base_url, ca_file=ca_file)
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self._secrets = tuple(webhook_secrets)
        self._clock = clock
        times = times or GenericTimes()
        self.tells = bool(self._secrets)
        self.poll_seconds = times.watch_seconds if self.tells else times.poll_seconds
        self.booking: Gateway = GenericBooking(self._http, self._authorization, times)
        self.cancellation: Gateway = GenericCancellation(self._http, self._authorization, times)

    def ask(
        self,
        courier_reference: str,
        job_references: Mapping[str, Any],  # noqa: ARG002  (contract)
        *,
        deadline: Deadline,
    ) -> Report:
        """`GET {base}/jobs/{jobId}`: where the job is now.

        Raises:
            Transient: it could not be learnt; MALFORMED_REPLY where the answer makes no sense.
            Permanent: JOB_UNKNOWN, or the question is refused.
        """
        path = f"/jobs/{quote(courier_reference, safe='')}"
        job = self._http.get_json(path, headers=self._authorization, deadline=deadline)
        if job is None:
            raise Permanent(f"{WHO} does not know job {courier_reference}.", code="JOB_UNKNOWN")
        try:
            report = _report({"jobId": courier_reference, **job} if isinstance(job, dict) else job)
        except WebhookRefused as error:
            raise Transient(f"{WHO}'s answer makes no sense: {error.message}", code="MALFORMED_REPLY") from error
        if report.courier_reference != courier_reference:
            # Taken for what was asked it would be wrong, and taken as it is it would move another order.
            raise Transient(f"{WHO} was asked about one job and answered with another.", code="MALFORMED_REPLY")
        return report

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[Report]:
        """What it says: one event, or several under `events`.

        Raises:
            WebhookRefused: WEBHOOK_SIGNATURE_INVALID, WEBHOOK_STALE, WEBHOOK_MALFORMED.
        """
        courier_signature.check(headers, body, self._secrets, now=self._clock())
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise WebhookRefused("The body is not JSON.") from None
        events = document.get("events", [document]) if isinstance(document, dict) else None
        if not isinstance(events, list) or not 1 <= len(events) <= MOST_EVENTS:
            raise WebhookRefused(f"The body is no event, and has no list `events` of 1 to {MOST_EVENTS}.")
        return [_report(event, event_id=_event_id(event)) for event in events]

    def close(self) -> None:
        self._http.close()


def _event_id(event: Any) -> str:
    found = reference(event.get("eventId")) if isinstance(event, dict) else None
    if found is None or len(found) > _MOST_EVENT_ID:
        raise WebhookRefused(f"An event has no eventId of 1 to {_MOST_EVENT_ID} characters.")
    return found


def _report(said: Any, *, event_id: str | None = None) -> Report:
    """What an event, or a job that was asked about, says. Raises WebhookRefused: jobId or status are missing."""
    job_id = reference(said.get("jobId")) if isinstance(said, dict) else None
    word = text(said.get("status")) if isinstance(said, dict) else None
    if job_id is None or word is None:
        raise WebhookRefused("An event has no jobId or no status.")
    particulars = _particulars(said)
    driver, failure = part(said, "driver"), part(said, "failure")
    known = {
        "driver_name": text(driver.get("name")),
        "driver_phone": text(driver.get("phone"), 32),
        "failure_code": text(failure.get("code"), 64),
        "failure_reason": text(failure.get("reason"), 1_000),
    }
    occurred_at = instant(said.get("occurredAt"))
    if event_id is None:
        event_id = reference(said.get("eventId"))
        if event_id is None or len(event_id) > _MOST_EVENT_ID:
            event_id = fingerprint(job_id, word, occurred_at, particulars, known)
    body = {"eventId": event_id, "jobId": job_id, "status": word, "occurredAt": written(occurred_at), **particulars}
    return Report(
        event_id=event_id,
        courier_reference=job_id,
        raw_status=word,
        status=STATUSES.get(word.upper()),
        occurred_at=occurred_at,
        tracking_url=particulars.get("trackingUrl"),
        eta_at=instant(said.get("etaAt")),
        body={name: value for name, value in body.items() if value is not None},
        **known,
    )


def _particulars(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of everything else that was said, what we keep."""
    found = {"trackingUrl": web_address(said.get("trackingUrl")), "etaAt": written(instant(said.get("etaAt")))}
    return {name: value for name, value in found.items() if value is not None}
