"""For whom an account of the dashboard acts in tickets: linking it to a party and unlinking it, kept with who and why.

Owns that step alone: accounts are `dispatchlog.people`'s, parties and people `systems.tickets.parties`'s. Nobody links
their own account.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from dispatchlog import people
from dispatchlog.engine.database import connected, fetch_all, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.tickets import parties
from dispatchlog.systems.tickets.identity import Identity, identity_of_account
from dispatchlog.systems.tickets.inputs import PartyInput, PersonInput, TicketError
from dispatchlog.systems.tickets.states import PartyKind

# A pharmacy is added on its own page, with what a courier needs to know of it.
CAN_BE_NEW = (PartyKind.DOCTOR, PartyKind.PATIENT, PartyKind.LABORATORY)


def link_account(
    email: str, *, name: str, kind: PartyKind | None, party_id: UUID | None = None, actor: str, reason: str = ""
) -> Identity:
    """Let the account act for the party of this id, or for a new one of the kind, with the account's address.

    `name` is the person's, and a new party's. With both, the party has to be of the kind.

    Raises:
        PersonError: UNKNOWN_USER, OWN_ACCOUNT.
        TicketError: PARTY_NOT_FOUND, PARTY_OF_OTHER_KIND, NOT_NEW (a kind that is not made here), ACCOUNT_LINKED,
            PERSON_INACTIVE (the party or the account is), and what `parties` says of a name that cannot be.
    """
    with transaction(actor, reason or "account linked"):
        account = people.lock_account(email)
        people.refuse_own(account, actor=actor)
        party = party_id or _new_party(kind, name, account.email, source=actor)
        parties.put_person(PersonInput(uuid4(), party, name, account.id), source=actor)
        linked = identity_of_account(account.id)
        if kind is not None and linked.kind is not kind:
            message = f"{linked.party_name} is a {linked.kind}, not a {kind}"
            raise TicketError(message, code="PARTY_OF_OTHER_KIND", field="party_id")
        detail = {"user_id": account.id, "kind": linked.kind, "party": linked.party_id}
        log_action(actor, "link_account", reason=reason, detail=detail)
    return linked


def unlink_account(email: str, *, actor: str, reason: str) -> bool:
    """Let the account act for nobody; what was written stays. False: it did already.

    Raises:
        PersonError: UNKNOWN_USER, OWN_ACCOUNT.
    """
    with transaction(actor, reason):
        account = people.lock_account(email)
        people.refuse_own(account, actor=actor)
        found = fetch_all("SELECT person_id FROM care_identity(NULL, %s)", (account.id,))
        return bool(found) and parties.unlink_account(found[0][0], actor=actor, reason=reason)


def find_party(named: str) -> UUID:
    """The id of a party by that id, or by the code of a pharmacy.

    Raises:
        TicketError: PARTY_NOT_FOUND: it is neither; whether there is a party of an id is seen when it is used.
    """
    with connected():
        found = fetch_all("SELECT id FROM pharmacies WHERE code = %s", (named,))
    if found:
        return UUID(str(found[0][0]))
    try:
        return UUID(named)
    except ValueError:
        message = f"{named[:64]!r} is neither the id of a party nor the code of a pharmacy"
        raise TicketError(message, code="PARTY_NOT_FOUND", field="party_id") from None


def _new_party(kind: PartyKind | None, name: str, email: str, *, source: str) -> UUID:
    if kind is None or kind not in CAN_BE_NEW:
        message = "choose which one: a pharmacy is added on the page Pharmacies, and then named by its code or id"
        raise TicketError(message, code="NOT_NEW", field="party_id")
    given = PartyInput(uuid4(), kind, name, email)
    parties.put_party(given, source=source)
    return given.party_id
