"""What the database itself refuses, in the words of tickets. Owns the codes that its triggers raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import peewee

from dispatchlog.systems.tickets.inputs import TicketError

# What may still come after Python has looked: somebody else was quicker, or a rule is kept by the database alone.
_REFUSALS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "DL001": ("MOVE_NOT_ALLOWED", "the ticket has moved meanwhile, and not to where this is possible; look again"),
        "DL002": ("TICKET_ALREADY_SENT", "the ticket was sent meanwhile, so its receiver stays"),
        "DL003": ("THREAD_CLOSED", "the ticket was cancelled, so nothing more is written to it"),
        "DL004": ("TIMELINE_NOT_FOUND", "this entry is not in the ticket's timeline"),
        "DL005": ("RECEIVER_NOT_FOUND", "the patient or the receiver is of another kind; check their ids"),
        "42501": ("TICKET_NOT_FOUND", "there is no such ticket"),
    }
)


def sqlstate(error: peewee.DatabaseError) -> str:
    """PostgreSQL's code of the error, or "". Of those that miss a right only what row-level security refused has one: any
    other right that is missing is a fault of the installation.
    """
    state = getattr(_cause(error), "pgcode", None) or ""
    return "" if state == "42501" and "row-level security" not in str(error) else state


def constraint(error: peewee.DatabaseError) -> str:
    """The name of the constraint that was violated, or ""."""
    return getattr(getattr(_cause(error), "diag", None), "constraint_name", None) or ""


@contextmanager
def refusals() -> Iterator[None]:
    """Around a whole transaction: what its triggers and policies refuse comes out as a TicketError."""
    try:
        yield
    except peewee.DatabaseError as error:
        if sqlstate(error) not in _REFUSALS:
            raise
        code, message = _REFUSALS[sqlstate(error)]
        raise TicketError(message, code=code) from error


def _cause(error: peewee.DatabaseError) -> object:
    """The driver's own error, which Peewee wraps."""
    return getattr(error, "orig", None)
