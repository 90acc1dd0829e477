"""Lane `courier_message`: the delivery code to the patient, and updates to patient and pharmacy, by e-mail.

The stored bytes of a code's message hold a blank of six characters; the code is filled in as they leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.gateway import Gateway, Parcel
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.filled import FillingGateway
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.row_content import COURIER_MESSAGES, PAYLOADS, PHARMACY_ORDERS
from dispatchlog.settings import get_settings
from dispatchlog.systems.courier.changes import subject_of
from dispatchlog.systems.courier.code_rules import code_of
from dispatchlog.systems.courier.states import ENDED, DispatchStatus
from dispatchlog.systems.mail_letter import mail_letter
from models import CourierMessage

LANE = "courier_message"
# As long as a code, so that filling it in changes no line's length.
BLANK = b"{code}"
PATIENT, PHARMACY = "PATIENT", "PHARMACY"
UPDATE_USEFUL = timedelta(days=1)

# Who is told of a status. The patient hears that the order is on its way with the code, and nothing of a cancellation: the
# pharmacy calls, or books another courier.
_TOLD: Mapping[DispatchStatus, tuple[str, ...]] = {
    DispatchStatus.DELIVERED: (PATIENT, PHARMACY),
    DispatchStatus.FAILED: (PATIENT, PHARMACY),
    DispatchStatus.CANCELED: (PHARMACY,),
}
_HEADLINE = {
    DispatchStatus.DELIVERED: "delivered",
    DispatchStatus.FAILED: "could not be delivered",
    DispatchStatus.CANCELED: "courier cancelled",
}
_SENTENCE = {
    (DispatchStatus.DELIVERED, PATIENT): "Your order was handed over. If you do not have it, please tell the pharmacy.",
    (
        DispatchStatus.FAILED,
        PATIENT,
    ): "The driver could not hand over your order. The pharmacy will arrange another delivery.",
    (DispatchStatus.DELIVERED, PHARMACY): "The courier's delivery has ended: the order was handed over.",
    (DispatchStatus.FAILED, PHARMACY): "The courier could not deliver it. Open the order to book another courier.",
    (DispatchStatus.CANCELED, PHARMACY): "The courier's job was cancelled. Open the order to book another courier.",
}

_SUBJECT = """
SELECT d.id, d.order_id, d.status, d.code_counter, d.code_expires_at, d.tracking_url, o.order_number, o.patient_email,
    o.sealed, o.trace_id, p.name AS pharmacy_name, p.phone AS pharmacy_phone, p.email AS pharmacy_email
FROM courier_dispatches d JOIN pharmacy_orders o ON o.id = d.order_id JOIN pharmacies p ON p.id = o.pharmacy_id
WHERE d.id = %s
"""


def courier_message_lane() -> Lane:
    """The lane: SMTP, so BLIND. What it stores of a code's message has a blank for the code."""
    return Lane(
        name=LANE,
        title="Delivery messages",
        model=CourierMessage,
        seal=PAYLOADS,
        row_seal=COURIER_MESSAGES,
        build_gateway=_build_mail,
        compose=_compose,
        retry=RetryPolicy(max_attempts=6, first_delay_seconds=10, longest_delay_seconds=300),
        batch=20,
        slots=3,
        recipient_column="recipient_email",
        caution=_caution,
        persons=_nobody_named,
    )


def enqueue_code(dispatch: Mapping[str, Any], *, about: str) -> None:
    """The message with the dispatch's present code, to the patient only, useless once the code has expired.

    `about` makes it unique: the code's counter, and the number of the resend.
    """
    subject = _subject(dispatch["id"])
    _enqueue(subject, kind="CODE", about=about, role=PATIENT, expires_at=subject["code_expires_at"], priority=1)


def enqueue_updates(dispatch: Mapping[str, Any], status: DispatchStatus) -> None:
    """Tell patient and pharmacy what they want to know of this status, each once; in the caller's transaction.

    A dispatch that has ended needs its code no more, so what of it has not left is cancelled.
    """
    if status in ENDED:
        ledger.cancel_waiting(courier_message_lane(), courier_dispatch_id=dispatch["id"], kind="CODE")
    told = _TOLD.get(status, ())
    if not told:
        return
    subject = _subject(dispatch["id"])
    expires_at = datetime.now(UTC) + UPDATE_USEFUL
    for role in told:
        _enqueue(subject, kind="UPDATE", about=status, role=role, expires_at=expires_at)


def _enqueue(subject: Row, *, kind: str, about: str, role: str, expires_at: datetime, priority: int = 0) -> None:
    recipient = subject["patient_email"] if role == PATIENT else subject["pharmacy_email"]
    if not recipient:
        return
    lane = courier_message_lane()
    inserted = ledger.enqueue(
        lane,
        [
            {
                "order_id": subject["order_id"],
                "courier_dispatch_id": subject["id"],
                "order_number": subject["order_number"],
                "kind": kind,
                "about": about,
                "recipient_role": role,
                "recipient_email": recipient,
                "expires_at": expires_at,
                "priority": priority,
                "subject_id": subject_of(subject["order_id"]),
                "search_keys": [
                    subject["order_number"],
                    str(subject["order_id"]),
                    str(subject["id"]),
                    lane.search_key(recipient),
                ],
                "trace_id": subject["trace_id"],
            }
        ],
    )
    if inserted:
        get_waker().after_commit(lane)


def _subject(dispatch_id: UUID) -> Row:
    with connected():
        rows = fetch_dicts(_SUBJECT, (dispatch_id,))
    if not rows:
        raise CannotCompose("the courier's dispatch is no longer there", code="DISPATCH_NOT_FOUND")
    order = {name: rows[0][name] for name in ("patient_email", "sealed")}
    return {**rows[0], **PHARMACY_ORDERS.opened({"id": rows[0]["order_id"], **order}), "id": rows[0]["id"]}


def _compose(row: Row) -> Letter:
    subject = _subject(row["courier_dispatch_id"])
    recipient = row["recipient_email"]
    context = {name: subject[name] for name in ("order_number", "pharmacy_name", "pharmacy_phone")}
    if row["kind"] == "UPDATE":
        return mail_letter("delivery_update", {**context, **_update(row, subject)}, row, recipient=recipient)
    counter = _counter(row["about"])
    if counter != subject["code_counter"]:
        raise CannotCompose("the dispatch has a newer code; this one is of no use", code="CODE_REPLACED")
    headers = {"code_of": str(subject["id"]), "code_counter": str(counter)}
    tracking = subject["tracking_url"] or ""
    more = {
        "expires_at": f"{subject['code_expires_at'].astimezone(UTC):%d.%m.%Y %H:%M} UTC",
        # A link that held the blank would take the code to the courier. Encoded it leads where it did (RFC 3986, 2.1).
        "tracking_url": _braceless(tracking, "%7B", "%7D") if tracking.startswith("https://") else "",
    }
    told = {name: _braceless(value, "(", ")") for name, value in {**context, **more}.items()}
    return mail_letter("delivery_code", told, row, recipient=recipient, headers=headers)


def _braceless(text: str, opening: str, closing: str) -> str:
    """No blank for the code in what others wrote."""
    return text.replace("{", opening).replace("}", closing)


def _update(row: Row, subject: Row) -> dict[str, str]:
    status, role = DispatchStatus(row["about"]), row["recipient_role"]
    headline = _HEADLINE[status]
    link = f"{get_settings().effective_public_url}/orders/{subject['order_id']}" if role == PHARMACY else ""
    heading = f"Your order was {headline}" if status is DispatchStatus.DELIVERED else f"Your order {headline}"
    if role == PHARMACY:
        heading = f"Order {subject['order_number']}: {headline}"
    return {"headline": headline, "heading": heading, "sentence": _SENTENCE[status, role], "link": link}


def _counter(about: str) -> int:
    """The counter of the code that a message tells: "3" and "3.2" (its second resend) tell the third."""
    return int(about.partition(".")[0])


def _build_mail() -> Gateway:
    settings = get_settings()
    mail = SmtpGateway(settings.smtp_url, deadline_seconds=settings.mail_deadline_seconds)
    return FillingGateway(mail, blank=BLANK, secret_of=_code_in)


def _code_in(parcel: Parcel) -> bytes | None:
    if "code_of" not in parcel.headers:
        return None
    return code_of(UUID(parcel.headers["code_of"]), int(parcel.headers["code_counter"])).encode()


def _caution(row: Row) -> str:
    subject = _subject(row["courier_dispatch_id"])
    if row["kind"] == "CODE" and subject["status"] != DispatchStatus.IN_TRANSIT:
        return "The delivery is not under way, so the code is of no use."
    return ""


def _nobody_named(_row: Row, _body: bytes) -> tuple[str, ...]:
    """The messages name the pharmacy and the order, and no person."""
    return ()
