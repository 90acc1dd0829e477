"""A doctor writes a prescription, keeps what is unfinished, and saves it: then the ticket is sent and its receiver told."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import Draft, PrescriptionInput


def keep_draft(who: Identity, ticket_id: UUID, draft: Draft) -> None:
    """Keep what was written so far, instead of what was kept before. Its shape is the one of a prescription's document,
    whatever of it is there; it is not checked before it is saved.

    Raises:
        TicketError: TICKET_NOT_FOUND, NOT_YOUR_TICKET (not its doctor), TICKET_ALREADY_SENT, TICKET_ENDED,
            DRAFT_TOO_LARGE (64 KiB).
    """
    raise NotImplementedError


def kept_draft(who: Identity, ticket_id: UUID) -> Draft | None:
    """What was kept of it."""
    raise NotImplementedError


def save_prescription(who: Identity, ticket_id: UUID, given: PrescriptionInput) -> Row:
    """Store it, link it, send the ticket and tell its receiver, in one transaction; the ticket's row comes back. Saying the
    same again changes nothing; something else after it was sent is refused.

    Raises:
        TicketError: TICKET_NOT_FOUND, NOT_YOUR_TICKET, PRESCRIPTION_FIXED (sent with other content), TICKET_ENDED,
            PRESCRIPTION_EMPTY, ITEM_INVALID (`field` is items[2].name, ...), RECEIVER_NOT_FOUND (not active any more).
    """
    raise NotImplementedError
