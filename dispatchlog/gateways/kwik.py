"""Kwik, a courier in Nigeria that is asked and tells nothing by itself. Owns a booking's calls and what they mean.

Booking: quote, bill, create. Only the create call books, and it takes no key, so the kind is LOOKUP: our dispatch id goes
into the task's instruction, and after a crash the order history is searched for it (`kwik_history`).

Not in Kwik's public documents, so assumed here and to be asked of Kwik (docs/courier.md): whether there are webhooks, and
how they are signed (none is taken); the sign of `timezone` (minutes, east positive, as its WordPress plug-in sends it; a
setting turns it round); whether a `unique_order_id` of ours would be honoured (none is sent); what the history tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.courier import Report, WebhookRefused
from dispatchlog.gateways.courier_words import coordinates, part, personal, reference, stored, text
from dispatchlog.gateways.kwik_api import WHO, KwikAccount, KwikApi, Session
from dispatchlog.gateways.kwik_history import search
from dispatchlog.gateways.kwik_legs import Legs, normalised

FORM_ID = 2
TEMPLATE = "pricing-template"
CANCELLED = 9
# A time that has passed by the time Kwik reads it is refused ("Order has been expired").
PICKUP_AHEAD = timedelta(minutes=15)
DELIVERY_AHEAD = timedelta(minutes=60)
INDEXING_DELAY = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class KwikTerms:
    """What is agreed with Kwik, and how it reads time.

    Attributes:
        utc_offset_minutes: of the local time in which it wants pickup and delivery.
        timezone_sign: 1 sends that offset as it is, -1 turned round.
        vehicle_id: by its list of vehicles; 1 is a motorcycle.
        payment_method: 32 card, 131072 wallet, 524288 a bill at the end of the month.
    """

    utc_offset_minutes: int = 60
    timezone_sign: int = 1
    vehicle_id: int = 1
    payment_method: int = 524_288


class KwikBooking:
    """Books one task with a pickup and a delivery."""

    name = "courier-kwik"
    kind = GatewayKind.LOOKUP
    key_retention: timedelta | None = None
    indexing_delay = INDEXING_DELAY

    def __init__(self, api: KwikApi, terms: KwikTerms, *, deadline_seconds: float) -> None:
        self._api = api
        self._terms = terms
        self.deadline_seconds = deadline_seconds

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The task's unique_order_id. `before_write` is asked before the create call; those before it change nothing.

        Raises:
            Transient: not booked, may pass: unreachable, UNAUTHORISED, an error in quote or bill.
            Permanent: COORDINATES_MISSING, MALFORMED_BODY, PARAMETER_MISSING, or refused over HTTP.
            OutcomeUnknown: the create call met an error, or its answer was lost.
        """
        booking = stored(parcel.body)
        words = personal(booking)
        legs = _legs(booking, self._terms)
        note = _note(booking, parcel)

        def quoted(session: Session) -> Mapping[str, Any]:
            return {**self._task(session), **legs, "delivery_instruction": note, "is_schedule_task": 0}

        quote = self._api.read("POST", "/send_payment_for_task", quoted, deadline=deadline, words=words)
        cost = text(str(quote["per_task_cost"]), 32) if isinstance(quote, dict) and quote.get("per_task_cost") else None
        if cost is None:
            raise Transient(f"{WHO} names no price; nothing was booked.", code="MALFORMED_REPLY")
        passed_on = {
            name: quote.get(name, usual)
            for name, usual in (("insurance_amount", 0), ("total_no_of_tasks", 1), ("total_service_charge", 0))
        }

        def billed(session: Session) -> Mapping[str, Any]:
            task = {**self._task(session), **passed_on, "amount": cost, "pickup_time": legs["pickups"][0]["time"]}
            return task | {"benefit_type": None, "promo_value": None, "credits": 0, "delivery_charge_by_buyer": 2}

        bill = self._api.read("POST", "/get_bill_breakdown", billed, deadline=deadline, words=words)

        def created(session: Session) -> Mapping[str, Any]:
            surge = {"surge_cost": part({"": bill}, "").get("SURGE_PRICING", 0)}
            surge["surge_type"] = part({"": bill}, "").get("SURGE_TYPE", 0)
            return {**quoted(session), **passed_on, **surge, "amount": cost, "is_task_otp_required": 0}

        path = "/v2/create_task_via_vendor"
        data = self._api.change(path, created, deadline=deadline, before_write=before_write, words=words)
        order_id = reference(data.get("unique_order_id")) if isinstance(data, dict) else None
        if order_id is None:
            raise OutcomeUnknown(f"{WHO} said yes without a unique_order_id.", code="MALFORMED_REPLY")
        return Receipt(order_id, _evidence(order_id, Legs.of(_created_legs(data), {})))

    def _task(self, session: Session) -> dict[str, Any]:
        terms = self._terms
        return {
            "vendor_id": session.vendor_id,
            "user_id": session.user_id,
            "form_id": FORM_ID,
            "custom_field_template": TEMPLATE,
            "pickup_custom_field_template": TEMPLATE,
            "timezone": terms.utc_offset_minutes * terms.timezone_sign,
            "is_multiple_tasks": 1,
            "layout_type": 0,
            "has_pickup": 1,
            "has_delivery": 1,
            "pickup_delivery_relationship": 0,
            "auto_assignment": 1,
            "fleet_id": "",
            "team_id": "",
            "vehicle_id": terms.vehicle_id,
            "payment_method": terms.payment_method,
            "is_loader_required": 0,
            "loaders_amount": 0,
            "loaders_count": 0,
            "delivery_images": "",
            "is_cod_job": 0,
            "parcel_amount": 0,
        }

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        """Whether the history has this dispatch; FOUND tells what the receipt would have told.

        Raises:
            Transient, Permanent: the history could not be read.
        """

        def page(limit: int, skip: int) -> Any:
            return self._api.read(
                "GET",
                "/get_order_history_with_pagination",
                lambda _: {"limit": limit, "skip": skip},
                deadline=deadline,
            )

        mark = _mark(stored(parcel.body), parcel)
        found = search(page, mark, since=since, offset_minutes=self._terms.utc_offset_minutes)
        order_id = reference(found.rows[0].get("unique_order_id")) if found.rows else None
        if order_id is not None:
            return LookUp(LookUpAnswer.FOUND, order_id, self._found(order_id, found.rows, deadline))
        if found.absent:
            return LookUp(LookUpAnswer.ABSENT, evidence={"rowsSeen": found.seen})
        why = found.why or "it is there, but its unique_order_id is not told"
        return LookUp(LookUpAnswer.UNSURE, evidence={"rowsSeen": found.seen, "why": why})

    def _found(self, order_id: str, rows: Sequence[Mapping[str, Any]], deadline: Deadline) -> dict[str, Any]:
        mine = [row for row in rows if reference(row.get("unique_order_id")) == order_id]
        legs = Legs.of(mine, {})
        if len(legs.references) < 2:
            with suppress(GatewayError):  # the booking is proved; a cancellation asks for the legs itself
                legs = _view(self._api, order_id, {}, deadline)
        others = {reference(row.get("unique_order_id")) for row in rows} - {order_id, None}
        return _evidence(order_id, legs) | ({"alsoBookedAs": sorted(filter(None, others))} if others else {})

    def close(self) -> None:
        self._api.close()


class KwikCancellation:
    """Takes a task back, both legs at once. Cancelling twice has the effect of one, so it is IDEMPOTENT."""

    name = "courier-kwik-cancel"
    kind = GatewayKind.IDEMPOTENT
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(self, api: KwikApi, *, deadline_seconds: float) -> None:
        self._api = api
        self.deadline_seconds = deadline_seconds

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The task is cancelled, by this or before.

        Raises:
            Transient: not cancelled, may pass. Permanent: ALREADY_PICKED_UP, ALREADY_ENDED, JOB_UNKNOWN.
            OutcomeUnknown: the answer was lost.
        """
        order_id = parcel.recipient
        known = part(stored(parcel.body), "jobReferences")
        legs = _view(self._api, order_id, known, deadline)
        if _is_cancelled(legs):
            return _cancelled(order_id)

        references = {**known, **legs.references}
        if not (references.get("pickup") and references.get("delivery")):
            # One leg alone would leave the other one to a driver.
            raise Transient(
                f"{WHO} does not tell both legs of {order_id}; nothing was cancelled.", code="MALFORMED_REPLY"
            )
        job_ids = f"{references['pickup']},{references['delivery']}"

        def fields(session: Session) -> Mapping[str, Any]:
            return {"vendor_id": session.vendor_id, "job_id": job_ids, "job_status": CANCELLED}

        try:
            self._api.change("/cancel_vendor_task", fields, deadline=deadline, before_write=before_write)
        except OutcomeUnknown as error:
            if not error.code.startswith("KWIK_"):
                raise
            return self._after_error(error, order_id, known, deadline)
        return _cancelled(order_id)

    def _after_error(
        self, error: OutcomeUnknown, order_id: str, known: Mapping[str, Any], deadline: Deadline
    ) -> Receipt:
        """Kwik has answered, with an error that names no reason: where the task is now tells."""
        if _is_cancelled(_view(self._api, order_id, known, deadline)):
            return _cancelled(order_id)
        raise Transient(f"{WHO} did not cancel it; it is tried again.", code=error.code, evidence=error.evidence)

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """Not needed: the same is sent again instead. Always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        self._api.close()


class KwikCourier:
    """Thread-safe. `poll_seconds`: how often it may be asked about one task."""

    name = "kwik"
    title = "Kwik"
    tells = False

    def __init__(
        self,
        base_url: str,
        account: KwikAccount,
        *,
        terms: KwikTerms | None = None,
        poll_seconds: float = 20.0,
        deadline_seconds: float = 20.0,
        ca_file: Path | None = None,
    ) -> None:
        self._api = KwikApi(base_url, account, ca_file=ca_file)
        self.poll_seconds = poll_seconds
        self.booking: Gateway = KwikBooking(self._api, terms or KwikTerms(), deadline_seconds=deadline_seconds)
        self.cancellation: Gateway = KwikCancellation(self._api, deadline_seconds=deadline_seconds)

    def ask(self, courier_reference: str, job_references: Mapping[str, Any], *, deadline: Deadline) -> Report:
        """Where the task is now, by its two legs.

        Raises:
            Transient: it could not be learnt. Permanent: JOB_UNKNOWN, or the question is refused.
        """
        return _view(self._api, courier_reference, job_references, deadline).report(courier_reference)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[Report]:  # noqa: ARG002  (contract)
        """Always refused: nothing is known by which a webhook of Kwik's could be proved.

        Raises:
            WebhookRefused: WEBHOOK_SIGNATURE_INVALID.
        """
        raise WebhookRefused("Kwik signs no webhooks that we know of; it is asked.", code="WEBHOOK_SIGNATURE_INVALID")

    def close(self) -> None:
        self._api.close()


def _legs(booking: Mapping[str, Any], terms: KwikTerms) -> dict[str, list[dict[str, Any]]]:
    local = datetime.now(UTC) + timedelta(minutes=terms.utc_offset_minutes)
    pickup = _leg(part(booking, "pickup"), local + PICKUP_AHEAD)
    delivery = _leg(part(booking, "delivery"), local + DELIVERY_AHEAD)
    delivery |= {"has_return_task": False, "is_package_insured": 0, "is_task_otp_required": 0}
    return {"pickups": [pickup], "deliveries": [delivery]}


def _leg(place: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    found = coordinates(place)
    if found is None:
        raise Permanent(f"{WHO} needs the latitude and longitude of both places.", code="COORDINATES_MISSING")
    address = ", ".join(filter(None, (text(place.get("address"), 500), text(place.get("city")))))
    return {
        "address": address,
        "name": text(place.get("name")) or "",
        "phone": text(place.get("phone"), 32) or "",
        "email": "",
        "latitude": found[0],
        "longitude": found[1],
        "time": at.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _mark(booking: Mapping[str, Any], parcel: Parcel) -> str:
    return f"Ref {booking.get('dispatchId') or parcel.dispatch_id}"


def _note(booking: Mapping[str, Any], parcel: Parcel) -> str:
    """What the driver reads; it names our dispatch, so that the history does."""
    notes = [text(part(booking, name).get("note"), 400) for name in ("pickup", "delivery")]
    order = f"Order {booking.get('orderNumber', '')}. {_mark(booking, parcel)}."
    return " ".join([order, *(note for note in notes if note)])


def _created_legs(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for kind, name in enumerate(("pickups", "deliveries")):
        rows = data.get(name)
        found += [
            {**row, "job_type": kind} for row in (rows if isinstance(rows, list) else []) if isinstance(row, dict)
        ]
    return found


def _evidence(order_id: str, legs: Legs) -> dict[str, Any]:
    found = {"trackingUrl": legs.tracking_url, "jobReferences": legs.references or None}
    return {"courierReference": order_id} | {name: value for name, value in found.items() if value}


def _view(api: KwikApi, order_id: str, known: Mapping[str, Any], deadline: Deadline) -> Legs:
    """The task's legs. Raises Transient, Permanent: JOB_UNKNOWN."""
    path = "/view_task_by_relationship_id"
    data = api.read("GET", path, lambda _: {"unique_order_id": order_id}, deadline=deadline)
    rows = data.get("orders") if isinstance(data, dict) else None
    legs = Legs.of(rows if isinstance(rows, list) else [], known)
    if legs.pickup is None and legs.delivery is None:
        raise Transient(f"{WHO} tells nothing of {order_id}.", code="MALFORMED_REPLY")
    return legs


def _is_cancelled(legs: Legs) -> bool:
    """Whether it is. Raises Permanent where it can never be: ALREADY_PICKED_UP, ALREADY_ENDED."""
    status = normalised(*legs.statuses)
    if status in ("DELIVERED", "FAILED"):
        raise Permanent(f"{WHO} has ended the task already.", code="ALREADY_ENDED")
    if status in ("PICKED_UP", "IN_TRANSIT"):
        raise Permanent(f"{WHO}'s driver has it already.", code="ALREADY_PICKED_UP")
    return status == "CANCELED"


def _cancelled(order_id: str) -> Receipt:
    return Receipt(order_id, {"courierReference": order_id})
