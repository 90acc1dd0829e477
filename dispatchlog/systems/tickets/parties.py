"""Parties and the people who act for them, as services and administrators report them. Owns their writing and look-up."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import PartyInput, PersonInput
from dispatchlog.systems.tickets.states import PartyKind


def put_party(given: PartyInput, *, source: str) -> Row:
    """Create or change a party; its row comes back. A pharmacy that orders are collected from has a party already.

    Raises:
        TicketError: UNKNOWN_KIND, INVALID_TEXT (name), INVALID_EMAIL, PARTY_KIND_FIXED.
    """
    raise NotImplementedError


def put_person(given: PersonInput, *, source: str) -> Row:
    """Create or change a person of a party, in one way for accounts of the dashboard and upstream's people.

    Raises:
        TicketError: PARTY_NOT_FOUND, INVALID_TEXT (name), PERSON_PARTY_FIXED, ACCOUNT_LINKED (the account acts for another
            person already), ACCOUNT_NOT_FOUND.
    """
    raise NotImplementedError


def find_receivers(who: Identity, *, kind: PartyKind, text: str = "", limit: int = 50) -> Sequence[Row]:
    """Active parties of the kind by name (id, name), those whose name holds `text`; never patients."""
    raise NotImplementedError


def find_patient(who: Identity, named: str) -> Row | None:
    """The patient of this id or e-mail address (id, name), for doctors only; None: none, or more than one."""
    raise NotImplementedError


def party_of_account(user_id: int, *, asked_by: int, actor: str) -> Row | None:
    """The line of `care_overview` of an account, for an administrator (`asked_by` is their account's id)."""
    raise NotImplementedError


def parties_to_choose(*, asked_by: int, actor: str, kind: PartyKind, limit: int = 200) -> Sequence[Row]:
    """Parties of a kind for an administrator who links an account."""
    raise NotImplementedError


def unlink_account(person_id: UUID, *, actor: str, reason: str) -> bool:
    """The person is not active any more; their messages stay. False: they were not."""
    raise NotImplementedError
