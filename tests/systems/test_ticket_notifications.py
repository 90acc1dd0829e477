"""Mails about tickets: each leaves once through a real mail server, and says nothing of what is in the ticket."""

from __future__ import annotations

import email
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import AttachmentInput, MessageInput
from dispatchlog.systems.tickets.messages import mark_read, send_message
from dispatchlog.systems.tickets.notifications import LANE, enqueue_notification, notify_unread
from tests.systems.conftest import Desk
from tests.systems.ticket_rows import Placed, created_ticket, move, send, sent_ticket
from tests.systems.ticket_samples import Care, make_care

MEDICINE = "Canarymycin"
WORDS = "canary words about a rash"
FILE = "canary-scan.pdf"


@pytest.fixture
def care(desk: Desk) -> Care:
    return make_care()


def ticket_of(placed: Placed, who: Identity) -> dict[str, Any]:
    with acting_as(who):
        return fetch_dicts("SELECT * FROM healthcare_tickets WHERE id = %s", (placed.ticket_id,))[0]


def tell(placed: Placed, who: Identity, kind: str, to: Identity) -> None:
    with acting_as(who):
        enqueue_notification(ticket_of(placed, who), kind=kind, party_id=to.party_id, about=kind.lower())


def mails(desk: Desk) -> list[EmailMessage]:
    """What the lane has sent, in the order of its rows."""
    desk.drain(LANE)
    box: dict[str, EmailMessage] = {}
    for path in (desk.mail / "new").iterdir():
        message = email.message_from_bytes(path.read_bytes(), policy=default)
        number = str(message["Message-ID"]).strip("<>")
        assert number not in box, "a mail left twice"
        box[number] = message
    return [box[str(row["provider_message_id"])] for row in desk.rows(LANE) if row["status"] == "SENT"]


def texts(message: EmailMessage) -> str:
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    return "\n".join([str(message["Subject"]), *(part.get_content() for part in parts if part is not None)])


def test_what_is_told_of_a_ticket_leaves_once(desk: Desk, care: Care) -> None:
    placed = sent_ticket(care)
    for _ in range(3):
        tell(placed, care.doctor, "SENT", care.pharmacy)
    [message] = mails(desk)
    assert message["To"] == "linden.pharmacy@example.org"
    assert message["Subject"] == f"Prescription {placed.number}: sent to you"
    assert f"/tickets/{placed.ticket_id}" in texts(message)
    assert len(mails(desk)) == 1
