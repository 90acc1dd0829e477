"""Whoever is signed in, as a party of tickets or as staff who oversee them. Owns the step from an account to those."""

from __future__ import annotations

from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.overview import Overseer


def acting_identity() -> Identity:
    """Whom the account that is signed in acts for, asked once per request.

    Raises:
        TicketError: PERSON_UNKNOWN, PERSON_INACTIVE; pages show it with what to do (403).
    """
    raise NotImplementedError


def overseer() -> Overseer:
    """The account that is signed in, as staff."""
    raise NotImplementedError
