"""Orders and dispatches put straight into the tables, many at once, and what a courier says. Tests nothing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError
from dispatchlog.gateways.courier import Report, WebhookRefused

COURIER = "tester"
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
KEPT = (
    "status raw_status tracking_url driver_name driver_phone eta_at booked_at assigned_at picked_up_at in_transit_at"
    " ended_at failure_code failure_reason confirmed_by"
)


@dataclass(frozen=True, slots=True)
class Made:
    """One order with its newest dispatch and the reference its courier knows it by."""

    order: UUID
    dispatch: UUID
    reference: str


def orders(count: int, *, status: str = "BOOKED", attempt: int = 1, poll_due: bool = False) -> list[Made]:
    """So many orders in three statements, each with one dispatch at `status`."""
    made = [Made(uuid4(), uuid4(), f"J-{uuid4()}") for _ in range(count)]
    with transaction("test"):
        execute(
            "INSERT INTO pharmacies (id, code, name, phone, address, latitude, longitude)"
            " VALUES (%s, 'P-1', 'P', '+2341', 'here', 6.5, 3.4) ON CONFLICT DO NOTHING",
            (uuid4(),),
        )
        execute(
            "INSERT INTO pharmacy_orders (id, order_number, pharmacy_id, patient_name, patient_phone, patient_email,"
            " address, latitude, longitude, currency, total_minor, payment_status, paid_at, is_ready_for_dispatch,"
            " ready_at, document_sha256, source, trace_id, dispatch_id, dispatch_status)"
            " SELECT o.id, 'N-' || o.id, (SELECT id FROM pharmacies LIMIT 1), 'Ada Patient', '+2348012345678',"
            " 'ada@example.org', 'there', 6.6, 3.5, 'NGN', 100, 'Paid', now(), true, now(), '', 'test',"
            " 'trace-' || o.id, o.dispatch, %s FROM unnest(%s::uuid[], %s::uuid[]) AS o (id, dispatch)",
            (status, [each.order for each in made], [each.dispatch for each in made]),
        )
        _dispatches(made, status=status, attempt=attempt, poll_due=poll_due)
    return made


def order(*, status: str = "BOOKED", poll_due: bool = False) -> Made:
    return orders(1, status=status, poll_due=poll_due)[0]


def next_attempt(made: Made, *, status: str = "BOOKED", attempt: int = 2) -> Made:
    """A newer dispatch of the same order."""
    newer = replace(made, dispatch=uuid4(), reference=f"J-{uuid4()}")
    with transaction("test"):
        _dispatches([newer], status=status, attempt=attempt, poll_due=False)
        execute(
            "UPDATE pharmacy_orders SET dispatch_id = %s, dispatch_status = %s WHERE id = %s",
            (newer.dispatch, status, made.order),
        )
    return newer


def _dispatches(made: Sequence[Made], *, status: str, attempt: int, poll_due: bool) -> None:
    ended = status in ("DELIVERED", "FAILED", "CANCELED")
    execute(
        "INSERT INTO courier_dispatches (id, order_id, attempt, courier, courier_reference, status, ended_at,"
        " confirmed_by, poll_at, trace_id)"
        " SELECT d.id, d.order_id, %s, %s, CASE WHEN %s THEN NULL ELSE d.reference END, %s, %s, %s,"
        " CASE WHEN %s THEN now() - interval '1 s' END, 'trace-' || d.order_id"
        " FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS d (id, order_id, reference)",
        (
            attempt,
            COURIER,
            status == "REQUESTED",
            status,
            NOON if ended else None,
            "courier" if status == "DELIVERED" else None,
            poll_due,
            [each.dispatch for each in made],
            [each.order for each in made],
            [each.reference for each in made],
        ),
    )


def brought(made: Made) -> None:
    """A booking tells the reference."""
    with connected():
        execute("UPDATE courier_dispatches SET courier_reference = %s WHERE id = %s", (made.reference, made.dispatch))


def report(made: Made, event_id: str, status: str | None, *, minutes: int = 0, **said: Any) -> Report:
    """What the courier says of a job, so many minutes after noon."""
    return Report(
        event_id=f"{made.reference}:{event_id}",
        courier_reference=made.reference,
        raw_status=said.pop("raw_status", f"raw-{status}"),
        status=status,
        occurred_at=NOON + timedelta(minutes=minutes),
        **said,
    )


def state(made: Made) -> dict[str, Any]:
    """What must not depend on the order of arrival."""
    return states([made])[0]


def states(made: Sequence[Made]) -> list[dict[str, Any]]:
    with connected():
        rows = fetch_dicts(
            f"SELECT id, {', '.join(KEPT.split())} FROM courier_dispatches WHERE id = ANY (%s::uuid[])",
            ([each.dispatch for each in made],),
        )
    found = {row.pop("id"): row for row in rows}
    return [found[each.dispatch] for each in made]


def dispatch(made: Made) -> dict[str, Any]:
    with connected():
        return fetch_dicts("SELECT * FROM courier_dispatches WHERE id = %s", (made.dispatch,))[0]


def effects(made: Made) -> list[tuple[str, str | None]]:
    """Each event's status and effect, as stored."""
    with connected():
        return [
            (status, effect)
            for status, effect in fetch_all(
                "SELECT coalesce(status, raw_status), effect FROM courier_events WHERE courier_reference = %s"
                " OR dispatch_id = %s ORDER BY id",
                (made.reference, made.dispatch),
            )
        ]


@dataclass
class SomeCourier:
    """A courier that answers what it is told to. Its webhook is JSON of reports, signed by the word `signed`."""

    answers: dict[str, Report | GatewayError] = field(default_factory=dict)
    name: str = COURIER
    title: str = "Some courier"
    tells: bool = True
    poll_seconds: float = 60.0
    booking: Any = None
    cancellation: Any = None
    asked: list[str] = field(default_factory=list)

    def ask(self, courier_reference: str, job_references: Mapping[str, Any], *, deadline: Deadline) -> Report:
        self.asked.append(courier_reference)
        answer = self.answers[courier_reference]
        if isinstance(answer, GatewayError):
            raise answer
        return answer

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[Report]:
        if headers.get("X-Signature") != "signed":
            raise WebhookRefused("not signed", code="WEBHOOK_SIGNATURE_INVALID")
        try:
            return [
                Report(**{**said, "occurred_at": datetime.fromisoformat(said["occurred_at"])})
                for said in json.loads(body)
            ]
        except (ValueError, TypeError, KeyError):
            raise WebhookRefused("not readable") from None

    def close(self) -> None:
        """Nothing is open."""
