"""Lane `ticket_notification`: a party hears that a ticket was sent, is ready, was cancelled, or has unread messages.

It says which ticket and where to look, and nothing of what is in it: no name of a patient, no medicine, no message.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import fetch_dicts, transaction
from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.row_content import PAYLOADS, TICKET_NOTIFICATIONS
from dispatchlog.settings import get_settings
from dispatchlog.systems.mail_letter import mail_letter
from dispatchlog.systems.tickets.states import TYPE_WORDS
from models import TicketNotification

LANE = "ticket_notification"
SUBJECT = "ticket:"
SENT, READY, CANCELLED, UNREAD = "SENT", "READY", "CANCELLED", "UNREAD"

_UNREAD_USEFUL = timedelta(days=1)
_MOST_UNREAD = 500

_HEADLINES = {SENT: "sent to you", READY: "ready", CANCELLED: "cancelled", UNREAD: "unread messages"}
_SENTENCES = {
    SENT: "It waits for you to open it.",
    READY: "Open it to see how it goes on, or to write a message about it.",
    CANCELLED: "Please do nothing more about it. Open it to read why.",
    UNREAD: "Somebody wrote about it and waits for you to read it.",
}
_WAITING = "SELECT * FROM tickets_unread(make_interval(mins => %s), %s)"


def ticket_notification_lane() -> Lane:
    """The lane: SMTP, so BLIND."""
    return Lane(
        name=LANE,
        title="Ticket notifications",
        model=TicketNotification,
        seal=PAYLOADS,
        row_seal=TICKET_NOTIFICATIONS,
        build_gateway=_build_mail,
        compose=_compose,
        retry=RetryPolicy(max_attempts=6, first_delay_seconds=10, longest_delay_seconds=300),
        batch=20,
        slots=3,
        recipient_column="recipient_email",
        persons=_nobody_named,
        audience="oversee",
    )


def subject_of(ticket_id: UUID) -> str:
    """What every dispatch of this ticket has as its subject."""
    return f"{SUBJECT}{ticket_id}"


def enqueue_notification(ticket: Row, *, kind: str, party_id: UUID, about: str) -> None:
    """One notification of this kind and `about` for this party, in the caller's transaction, once however often asked.

    A party without an address gets a row all the same: it fails with NO_RECIPIENT, where support sees it. Once a ticket is
    cancelled, what of it has not left is cancelled too.
    """
    if kind == CANCELLED:
        ledger.cancel_waiting(ticket_notification_lane(), ticket_id=ticket["id"])
    rows = fetch_dicts("SELECT email FROM care_parties WHERE id = %s", (party_id,))
    _enqueue(ticket, kind=kind, party_id=party_id, about=about, email=rows[0]["email"] if rows else None)


def notify_unread() -> int:
    """One mail per thread and party whose messages have waited for `ticket_unread_minutes` since they were last read; how
    many were enqueued. For the clock.
    """
    with transaction("scheduler"):
        waiting = fetch_dicts(_WAITING, (get_settings().ticket_unread_minutes, _MOST_UNREAD))
        return sum(
            _enqueue(
                {**row, "id": row["ticket_id"]},
                kind=UNREAD,
                party_id=row["party_id"],
                about=row["unread_since"].astimezone(UTC).isoformat(),
                email=row["email"],
                expires_at=datetime.now(UTC) + _UNREAD_USEFUL,
            )
            for row in waiting
        )


def _enqueue(
    ticket: Row, *, kind: str, party_id: UUID, about: str, email: str | None, expires_at: datetime | None = None
) -> bool:
    """Whether it is new."""
    lane = ticket_notification_lane()
    keys = [ticket["ticket_number"], str(ticket["id"]), str(party_id)]
    inserted = ledger.enqueue(
        lane,
        [
            {
                "ticket_id": ticket["id"],
                "ticket_number": ticket["ticket_number"],
                "ticket_type": ticket["ticket_type"],
                "kind": kind,
                "about": about,
                "party_id": party_id,
                "recipient_email": email or None,
                "expires_at": expires_at,
                "subject_id": subject_of(ticket["id"]),
                "search_keys": [*keys, lane.search_key(email)] if email else keys,
                "trace_id": ticket["trace_id"],
            }
        ],
    )
    if inserted:
        get_waker().after_commit(lane)
    return bool(inserted)


def _compose(row: Row) -> Letter:
    context = {
        "what": f"{TYPE_WORDS[row['ticket_type']]} {row['ticket_number']}",
        "headline": _HEADLINES[row["kind"]],
        "sentence": _SENTENCES[row["kind"]],
        "link": f"{get_settings().effective_public_url}/tickets/{row['ticket_id']}",
    }
    return mail_letter("ticket_notification", context, row, recipient=row["recipient_email"])


def _build_mail() -> Gateway:
    settings = get_settings()
    return SmtpGateway(settings.smtp_url, deadline_seconds=settings.mail_deadline_seconds)


def _nobody_named(_row: Row, _body: bytes) -> tuple[str, ...]:
    """The mails name a ticket, and no person."""
    return ()
