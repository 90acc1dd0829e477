"""The API's routes about who takes part in tickets. Owns their URLs and answers; the rules are `parties`'."""

from __future__ import annotations

from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.routes import Call, Route, path_uuid
from dashboard.api.ticket_parts import PartyAnswer, PartyListAnswer, PartyPart, PersonAnswer, PersonTokenAnswer
from dashboard.api.tickets import PERSON
from dashboard.person_tokens import issue_person_token
from dispatchlog.engine.database import transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.pharmacy_documents import NothingDocument
from dispatchlog.settings import get_settings
from dispatchlog.systems.tickets import parties
from dispatchlog.systems.tickets.identity import identity_of_person
from dispatchlog.systems.tickets.inputs import PersonInput, TicketError
from dispatchlog.systems.tickets.states import PartyKind
from dispatchlog.ticket_documents import PartyDocument, PersonDocument

_RECEIVERS = tuple(kind.value for kind in PartyKind if kind is not PartyKind.PATIENT)


def put_party(call: Call, party_id: str) -> PartyAnswer:
    """Create or change a party."""
    document: PartyDocument = call.document
    row = parties.put_party(document.to_input(path_uuid(party_id, "partyId")), source=call.source)
    return PartyAnswer(**{**row, "party_id": row["id"]})


def put_person(call: Call, person_id: str) -> PersonAnswer:
    """Create or change a person."""
    document: PersonDocument = call.document
    known = path_uuid(person_id, "personId")
    given = PersonInput(known, document.party_id or known, document.name, active=document.active)
    row = parties.put_person(given, source=call.source)
    return PersonAnswer(**{**row, "person_id": row["id"]})


def issue_token(call: Call, person_id: str) -> PersonTokenAnswer:
    """Let a person in whom the calling service has signed in."""
    wanted = path_uuid(person_id, "personId")
    try:
        who = identity_of_person(wanted)
    except TicketError as error:
        if error.code != "PERSON_UNKNOWN":
            raise
        raise ApiError(
            "PERSON_NOT_FOUND", f"there is no person {wanted}; report them first", field="personId"
        ) from error
    with transaction(call.actor):
        log_action(call.actor, "person_token", detail={"person": who.person_id, "party": who.party_id})
    token = issue_person_token(who.person_id, settings=get_settings())
    return PersonTokenAnswer(token=token.text, expires_at=token.expires_at)


def find_parties(call: Call) -> PartyListAnswer:
    """Whom a ticket can be sent to."""
    kind = call.parameters.get("kind", PartyKind.PHARMACY)
    if kind not in _RECEIVERS:
        raise TicketError(f"kind is one of {', '.join(_RECEIVERS)}", code="UNKNOWN_KIND", field="kind")
    found = parties.find_receivers(call.who, kind=PartyKind(kind), text=call.parameters.get("name", "")[:255])
    return PartyListAnswer(parties=[PartyPart(party_id=row["id"], kind=kind, name=row["name"]) for row in found])


ROUTES = (
    Route(
        "PUT",
        f"{PREFIX}/parties/<party_id>",
        "putParty",
        "Create or change who takes part in tickets: a doctor, pharmacy, laboratory or patient.",
        "tickets:people",
        put_party,
        PartyAnswer,
        document=PartyDocument,
        codes=("UNKNOWN_KIND", "INVALID_TEXT", "INVALID_EMAIL", "PARTY_KIND_FIXED"),
    ),
    Route(
        "PUT",
        f"{PREFIX}/people/<person_id>",
        "putPerson",
        "Create or change somebody who acts for a party; their id is the one that your own sign-in gives them.",
        "tickets:people",
        put_person,
        PersonAnswer,
        document=PersonDocument,
        codes=("PARTY_NOT_FOUND", "INVALID_TEXT", "PERSON_PARTY_FIXED"),
    ),
    Route(
        "POST",
        f"{PREFIX}/people/<person_id>/access-token",
        "issuePersonToken",
        "A token for somebody whom your service has signed in; with it they ask as themselves for a quarter of an hour.",
        "tickets:people",
        issue_token,
        PersonTokenAnswer,
        document=NothingDocument,
        body_optional=True,
        codes=("PERSON_NOT_FOUND", "PERSON_INACTIVE"),
    ),
    Route(
        "GET",
        f"{PREFIX}/parties",
        "findParties",
        "Pharmacies, laboratories or doctors by name, to send a ticket to; never patients.",
        "",
        find_parties,
        PartyListAnswer,
        parameters={"kind": "pharmacy (unless told), laboratory or doctor", "name": "a part of the name"},
        codes=(*PERSON, "UNKNOWN_KIND"),
    ),
)
