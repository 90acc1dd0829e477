"""A doctor chooses who receives a prescription: the ticket, and by it thread and members, in one transaction."""

from __future__ import annotations

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import TicketInput


def choose_receiver(who: Identity, given: TicketInput, *, trace_id: str = "") -> tuple[Row, bool]:
    """The ticket of the appointment (with `thread_id`), and whether it was made now. Said again, it is the same ticket;
    with another receiver before it is sent, the same ticket with that one.

    Raises:
        TicketError: NOT_A_DOCTOR, PATIENT_NOT_FOUND, RECEIVER_NOT_FOUND (none of the kind that this type goes to, or not
            active), TICKET_ALREADY_SENT, TICKET_OF_ANOTHER (the appointment's ticket is another doctor's or patient's).
    """
    raise NotImplementedError


def new_ticket_number() -> str:
    """`TKT-YYYYMMDD-XXXXX`, of today (UTC), without letters and figures that look alike (0 O, 1 I L)."""
    raise NotImplementedError
