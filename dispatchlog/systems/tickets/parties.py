"""Parties and the people who act for them, as services and administrators report them. Owns their writing and look-up."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import peewee

from dispatchlog.engine.database import fetch_dicts, fetch_one, transaction
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.mail import recipient_address
from dispatchlog.systems.tickets.identity import Identity, acting_as, overseeing
from dispatchlog.systems.tickets.inputs import PartyInput, PersonInput, TicketError
from dispatchlog.systems.tickets.refusals import constraint, sqlstate
from dispatchlog.systems.tickets.states import PartyKind
from dispatchlog.systems.tickets.texts import MOST_NAME, one_line

_MOST_EMAIL = 320
_MOST_FOUND = 200
_PUT_PARTY = "SELECT *, updated_at >= now() AS changed FROM care_put_party(%s, %s, %s, %s, %s)"
_PUT_PERSON = "SELECT *, updated_at >= now() AS changed FROM care_put_person(%s, %s, %s, %s, %s)"
_RECEIVERS = """
SELECT id, name FROM care_parties
WHERE kind = %(kind)s AND active AND (%(text)s = '' OR strpos(lower(name), lower(%(text)s)) > 0)
ORDER BY name, id LIMIT %(limit)s
"""
# By constraint: the code, the sentence and the culprit.
_PERSON_REFUSALS = {
    "care_people_party_id_fkey": ("PARTY_NOT_FOUND", "there is no such party; report it first", "party_id"),
    "care_people_user_id_fkey": ("ACCOUNT_NOT_FOUND", "there is no such account", "user_id"),
    "care_people_user_id_key": ("ACCOUNT_LINKED", "this account acts for somebody else already", "user_id"),
}


def put_party(given: PartyInput, *, source: str) -> Row:
    """Create or change a party; its row comes back. A pharmacy that orders are collected from has a party already.

    Raises:
        TicketError: UNKNOWN_KIND, INVALID_TEXT (name), INVALID_EMAIL, PARTY_KIND_FIXED.
    """
    if given.kind not in tuple(PartyKind):
        message = f"a party is one of {', '.join(PartyKind)}"
        raise TicketError(message, code="UNKNOWN_KIND", field="kind")
    name = one_line(given.name, "name", most=MOST_NAME, needed=True)
    values = (given.party_id, given.kind, name, _email(given.email), given.active)
    try:
        with transaction(f"service:{source}"):
            party = fetch_dicts(_PUT_PARTY, values)[0]
            if party["changed"]:
                log_action(f"service:{source}", "put_party", detail={"party": party["id"], "kind": party["kind"]})
            return party
    except peewee.DatabaseError as error:
        if sqlstate(error) != "DL005":
            raise
        message = f"party {given.party_id} is of another kind, which never changes; use another id"
        raise TicketError(message, code="PARTY_KIND_FIXED", field="kind") from error


def put_person(given: PersonInput, *, source: str) -> Row:
    """Create or change a person of a party, in one way for accounts of the dashboard and upstream's people.

    Raises:
        TicketError: PARTY_NOT_FOUND, INVALID_TEXT (name), PERSON_PARTY_FIXED, ACCOUNT_LINKED (the account acts for another
            person already), ACCOUNT_NOT_FOUND.
    """
    name = one_line(given.name, "name", most=MOST_NAME, needed=True)
    values = (given.person_id, given.party_id, name, given.user_id, given.active)
    try:
        with transaction(f"service:{source}"):
            person = fetch_dicts(_PUT_PERSON, values)[0]
            if person["changed"]:
                detail = {"person": person["id"], "party": person["party_id"], "active": person["active"]}
                log_action(f"service:{source}", "put_person", detail=detail)
            return person
    except peewee.DatabaseError as error:
        if sqlstate(error) == "DL005":
            message = f"person {given.person_id} acts for another party, which never changes; use another id"
            raise TicketError(message, code="PERSON_PARTY_FIXED", field="party_id") from error
        if constraint(error) not in _PERSON_REFUSALS:
            raise
        code, message, field = _PERSON_REFUSALS[constraint(error)]
        raise TicketError(message, code=code, field=field) from error


def find_receivers(who: Identity, *, kind: PartyKind, text: str = "", limit: int = 50) -> Sequence[Row]:
    """Active parties of the kind by name (id, name), those whose name holds `text`; never patients."""
    if kind is PartyKind.PATIENT:
        return []
    values = {"kind": kind, "text": text.strip().replace("\x00", ""), "limit": min(max(limit, 1), _MOST_FOUND)}
    with acting_as(who):
        return fetch_dicts(_RECEIVERS, values)


def find_patient(who: Identity, named: str) -> Row | None:
    """The patient of this id or e-mail address (id, name), for doctors only; None: none, or more than one."""
    text = named.strip()
    patient_id = _uuid(text)
    address = text if patient_id is None and "@" in text and text.isprintable() else ""
    if patient_id is None and not address:
        return None
    with acting_as(who):
        rows = fetch_dicts("SELECT * FROM care_find_patient(%s, %s)", (patient_id, address))
    return rows[0] if len(rows) == 1 else None


def party_of_account(user_id: int, *, asked_by: int, actor: str) -> Row | None:
    """The line of `care_overview` of an account, for an administrator (`asked_by` is their account's id)."""
    with overseeing(asked_by, actor):
        rows = fetch_dicts("SELECT * FROM care_overview WHERE user_id = %s", (user_id,))
    return rows[0] if rows else None


def parties_to_choose(*, asked_by: int, actor: str, kind: PartyKind, limit: int = 200) -> Sequence[Row]:
    """Parties of a kind (party_id, kind, party_name, email, party_active) by name, for an administrator who links an
    account.
    """
    with overseeing(asked_by, actor):
        return fetch_dicts(
            "SELECT DISTINCT party_name, party_id, kind, email, party_active FROM care_overview WHERE kind = %s"
            " ORDER BY party_name, party_id LIMIT %s",
            (kind, limit),
        )


def unlink_account(person_id: UUID, *, actor: str, reason: str) -> bool:
    """The person is not active any more, and has no account; what they wrote stays. False: it was so already."""
    with transaction(actor, reason):
        known = fetch_dicts("SELECT user_id FROM care_identity(%s, NULL)", (person_id,))
        changed: bool = fetch_one("SELECT care_unlink_person(%s)", (person_id,))[0]
        if changed:
            detail = {"person": person_id, "user_id": known[0]["user_id"]}
            log_action(actor, "person_unlinked", reason=reason, detail=detail)
    return changed


def _email(given: str | None) -> str | None:
    address = (given or "").strip()
    if not address:
        return None
    try:
        recipient_address(address)
    except CannotCompose as error:
        raise TicketError("this is not an e-mail address", code="INVALID_EMAIL", field="email") from error
    if len(address) > _MOST_EMAIL:
        raise TicketError("this is not an e-mail address", code="INVALID_EMAIL", field="email")
    return address


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
