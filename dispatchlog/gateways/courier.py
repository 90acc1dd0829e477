"""What every courier's client offers, and the shapes they share. Owns the contract; sends nothing itself.

The body of a booking is our own JSON, the same for every courier, so what is stored before the first send says what was
asked for; each client puts it into its courier's words:

    {"dispatchId", "orderNumber", "attempt",
     "pickup": {"name", "phone", "address", "city", "latitude", "longitude", "note"},
     "delivery": {"name", "phone", "address", "city", "latitude", "longitude", "note"},
     "items": 3, "deliverBy": "...Z" or null}

A courier is told how many things there are, never which. The body of a cancellation is
`{"courierReference", "jobReferences", "reason"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Report:
    """What a courier says of one job, by webhook or when asked.

    `event_id` is the courier's own id of the event, or follows from what it says where it has none, so that the same news
    has the same id. `status` is a normalised status's name, None where the courier's word is not known. `body` is what was
    said, for the event's record: without anything secret, and without the courier's own delivery code.
    """

    event_id: str
    courier_reference: str
    raw_status: str
    status: str | None
    occurred_at: datetime | None = None
    tracking_url: str | None = None
    driver_name: str | None = None
    driver_phone: str | None = None
    eta_at: datetime | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


class WebhookRefused(DispatchlogError):
    """The webhook is not taken: WEBHOOK_SIGNATURE_INVALID, WEBHOOK_STALE, WEBHOOK_MALFORMED. Nothing was stored."""

    code = "WEBHOOK_MALFORMED"


class Courier(Protocol):
    """One courier. Thread-safe.

    Attributes:
        name: stable, in rows, addresses and the log.
        title: the same for people.
        booking: books; a Receipt's `provider_message_id` is the courier's reference, its evidence holds `trackingUrl`,
            `etaAt` and `jobReferences` where the courier says them. Evidence of a look-up that found it holds the same.
        cancellation: takes a booking back; its recipient is the courier's reference.
        tells: whether it sends webhooks; otherwise asking is the primary source.
        poll_seconds: how often it may be asked about one job.
    """

    name: str
    title: str
    booking: Gateway
    cancellation: Gateway
    tells: bool
    poll_seconds: float

    def ask(self, courier_reference: str, job_references: Mapping[str, Any], *, deadline: Deadline) -> Report:
        """Where the job is now.

        Raises:
            Transient, Permanent (the courier does not know the job), OutcomeUnknown: it could not be learnt.
        """

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[Report]:
        """What a webhook says, after its signature over the raw body was checked.

        Raises:
            WebhookRefused: it is not this courier's, is too old, or cannot be read.
        """

    def close(self) -> None: ...
