"""Whoever is signed in, as a party of tickets or as staff who oversee them. Owns the step from an account to those."""

from __future__ import annotations

from flask import g
from flask_login import current_user

from dispatchlog.systems.tickets.identity import Identity, identity_of_account
from dispatchlog.systems.tickets.overview import Overseer


def acting_identity() -> Identity:
    """Whom the account that is signed in acts for, asked once per request.

    Raises:
        TicketError: PERSON_UNKNOWN, PERSON_INACTIVE; pages show it with what to do (403).
    """
    known: Identity | None = g.get("acting_identity")
    if known is None:
        known = g.acting_identity = identity_of_account(current_user.id)
    return known


def overseer() -> Overseer:
    """The account that is signed in, as staff."""
    return Overseer(user_id=current_user.id, actor=str(current_user.email))
