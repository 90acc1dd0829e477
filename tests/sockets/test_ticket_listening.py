"""Who hears what of tickets: parties what is theirs, staff that something changed, and nobody else anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dashboard.person_tokens import issue_person_token
from dashboard.sockets.changes import MOST_CHANGES
from dashboard.sockets.tickets import issue_ticket
from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.people import disable_user, set_roles, sign_out_everywhere
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import PartyInput, PersonInput
from dispatchlog.systems.tickets.overview import Overseer, open_emergency_access
from dispatchlog.systems.tickets.parties import put_party, put_person, unlink_account
from dispatchlog.systems.tickets.states import TicketStatus
from tests.engine.processes import until
from tests.sockets.care import choose, heard_until, link, read, said_of_people, send, story, token_of, write
from tests.sockets.conftest import Desk
from tests.sockets.official import Listener
from tests.sockets.samples import change, kill, place, sockets, start_sockets
from tests.systems.ticket_rows import Placed
from tests.systems.ticket_samples import Care, make_care

NOT_THERE = {"ok": False, "code": "TICKET_NOT_FOUND"}
NOT_FOR_YOU = {"ok": False, "code": "SOCKET_ROOM_FORBIDDEN"}


@pytest.fixture
def care(quiet_desk: Desk) -> Care:
    """Everybody, in the dashboard's database."""
    return make_care()


@dataclass
class Everybody:
    """One listener of each kind: those who act for a party, staff, and those who may hear of orders alone."""

    people: dict[str, Listener]
    staff: dict[str, Listener]
    others: dict[str, Listener]

    def answers(self, room: str) -> dict[str, dict[str, Any]]:
        """What each is told who wants to join."""
        return {name: listener.join(room) for name, listener in self.all.items()}

    def expected(self, people: Any, staff: Any, others: Any, **but: Any) -> dict[str, Any]:
        found = dict.fromkeys(self.people, people) | dict.fromkeys(self.staff, staff)
        return found | dict.fromkeys(self.others, others) | but

    @property
    def all(self) -> dict[str, Listener]:
        return self.people | self.staff | self.others


def connect_everybody(desk: Desk, care: Care, order: UUID) -> Everybody:
    """Connected, in no room. The receiver is the pharmacy that a ticket goes to in the end."""
    link("doctor", care.doctor2.party_id, "Dr Sample South")
    link("patient", care.patient2.party_id, "Other Patient")
    link("pharmacist", care.pharmacy2.party_id, "Pharmacist Four")
    people = {
        "doctor": desk.client(auth=token_of(care.doctor)),
        "patient": desk.client(auth=token_of(care.patient)),
        "pharmacy": desk.client(auth=token_of(care.pharmacy)),
        "receiver": desk.client(auth=token_of(care.pharmacy2)),
        "colleague": desk.client(headers=desk.cookie("pharmacist")),
        "doctor2": desk.client(headers=desk.cookie("doctor")),
        "patient2": desk.client(headers=desk.cookie("patient")),
    }
    staff = {role: desk.client(headers=desk.cookie(role)) for role in ("support", "auditor")}
    others = {
        "service": desk.client(auth={"token": create_token("shop", ["pharmacy:read"], "test")}),
        "order": desk.client(auth={"ticket": issue_ticket(order, settings=get_settings()).text}),
    }
    everybody = Everybody(people, staff, others)
    for listener in everybody.all.values():
        listener.wait_for("connect")
    return everybody


def test_parties_hear_what_is_theirs_staff_that_something_changed_and_nobody_else_anything(
    quiet_desk: Desk, care: Care, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    quiet_desk.stack.enter_context(sockets(quiet_desk.port, log=str(log)))
    order, appointment = place("RX-1"), uuid4()
    everybody = connect_everybody(quiet_desk, care, order)
    people = everybody.people
    ticket = choose(care.doctor, care.patient, care.pharmacy, appointment)
    room = f"ticket:{ticket.ticket_id}"
    there = {"ok": True, "room": room}
    join_what_they_may(everybody, room)

    write(care.doctor, ticket)
    read(care.patient, ticket, 1)
    choose(care.doctor, care.patient, care.pharmacy2, appointment)
    send(care.doctor, ticket)
    heard_until(people["colleague"], ticket, "sent")
    assert (people["colleague"].join(room), people["pharmacy"].join(room)) == (there, NOT_THERE)
    write(care.doctor, ticket)
    open_ticket(care.pharmacy2, ticket.ticket_id)
    read(care.pharmacy2, ticket, 2)
    look_in_an_emergency(ticket.ticket_id)
    move_ticket(care.pharmacy2, ticket.ticket_id, TicketStatus.READY)
    move_ticket(care.doctor, ticket.ticket_id, TicketStatus.CANCELLED, reason="Not needed any more")
    # What comes last, for those to whom nothing of it came.
    marker = choose(care.doctor2, care.patient2, care.pharmacy)
    send(care.doctor2, marker)
    change(order, 1)

    begun = ["created", "message 1", "read to 1", "created"]
    sent = ["sent", "message 2", "received", "read to 2", "received", "ready", "cancelled"]
    for name in ("doctor", "patient"):
        heard = heard_until(people[name], ticket, "cancelled")
        # How it stood when they joined is told once, or twice to whoever joined before the change itself was told.
        assert heard[heard.index("message 1") - 1 :] == begun + sent, name
    assert heard_until(people["receiver"], ticket, "cancelled") == sent
    assert heard_until(people["colleague"], ticket, "cancelled") == ["sent", *sent]
    for name in ("pharmacy", "doctor2", "patient2"):
        heard_until(people[name], marker, "sent")
        assert story(people[name], ticket) == [], name
    statuses = ["created"] * 3 + ["sent"] * 2 + ["received"] * 3 + ["ready", "cancelled"]
    for listener in everybody.staff.values():
        heard_until(listener, marker, "changed, sent")
        assert story(listener, ticket)[-len(statuses) :] == [f"changed, {status}" for status in statuses]
    for listener in (everybody.others["service"], people["colleague"]):
        assert listener.versions(1) == [1]
    assert [story(other, placed) for other in everybody.others.values() for placed in (ticket, marker)] == [[]] * 4
    assert not people["doctor"].all_of("order.updated")
    no_word_too_many(everybody, ticket, log.read_text())


def join_what_they_may(everybody: Everybody, room: str) -> None:
    """Each tries every kind of room; the ticket is the doctor's and the patient's, and not sent yet."""
    there, lists = {"ok": True, "room": room}, {"ok": True, "room": "tickets"}
    expected = everybody.expected(NOT_THERE, NOT_FOR_YOU, NOT_FOR_YOU, doctor=there, patient=there)
    assert everybody.answers(room) == expected
    assert everybody.people["doctor"].emit("join", {"ticketId": room.removeprefix("ticket:")}) == there
    assert everybody.people["doctor"].join(f"ticket:{uuid4()}") == NOT_THERE
    assert everybody.answers("tickets") == everybody.expected(lists, NOT_FOR_YOU, NOT_FOR_YOU)
    overview = {"ok": True, "room": "ticket-overview"}
    assert everybody.answers("ticket-overview") == everybody.expected(NOT_FOR_YOU, overview, NOT_FOR_YOU)
    # A pharmacist is staff of the orders too.
    orders = {"ok": True, "room": "orders"}
    expected = everybody.expected(NOT_FOR_YOU, orders, orders, colleague=orders, order=NOT_FOR_YOU)
    assert everybody.answers("orders") == expected


def no_word_too_many(everybody: Everybody, ticket: Placed, logged: str) -> None:
    """Events have ids, numbers and statuses, and nothing says a name, a medicine or what was written."""
    state = {"ticketId", "ticketNumber", "status", "version", "traceId", "updatedAt"}
    heard = fields(everybody.people["doctor"])
    # On joining it has two fields more; a change that is quicker takes its place.
    assert frozenset(state) in heard["ticket.updated"]
    assert heard.pop("ticket.updated") <= {frozenset(state), frozenset(state | {"threadId", "lastNumber"})}
    assert heard == {
        "message.created": {frozenset({"ticketId", "threadId", "number", "senderPartyId", "traceId"})},
        "message.read": {frozenset({"ticketId", "threadId", "partyId", "readNumber", "traceId"})},
    }
    assert fields(everybody.staff["support"]) == {"ticket.changed": {frozenset(state)}}
    told = everybody.people["receiver"].all_of("message.created")[0]["data"]
    assert (told["number"], told["threadId"], told["traceId"]) == (2, str(ticket.thread_id), "trace-7")
    assert [said_of_people(listener) for listener in everybody.all.values()] == [[]] * len(everybody.all)
    emitted = [line for line in logged.splitlines() if "SOCKET_EMIT" in line]
    assert [line for line in emitted if "trace-7" in line and str(ticket.ticket_id) in line]
    assert not [word for word in ("canary", "Canary", "Sample", "dlp_", "@example.org") if word in logged]


def fields(listener: Listener) -> dict[str, set[frozenset[str]]]:
    events = {line["event"] for line in listener.heard if line["event"].partition(".")[0] in ("ticket", "message")}
    return {event: {frozenset(line["data"]) for line in listener.all_of(event)} for event in events}


def look_in_an_emergency(ticket_id: UUID) -> None:
    with connected():
        (user_id,) = fetch_one("SELECT id FROM staff_users WHERE email = 'support@example.org'")
    support = Overseer(user_id, "support@example.org")
    open_emergency_access(support, ticket_id, reason="The patient asked for help")


def test_whoever_is_nobody_here_gets_no_connection(desk: Desk, settings_env: Settings) -> None:
    care = make_care()
    put_person(
        PersonInput(care.colleague.person_id, care.colleague.party_id, "Pharmacist Two", active=False), source="x"
    )
    put_party(PartyInput(care.doctor2.party_id, "doctor", "Dr Sample South", active=False), source="x")
    patient = link("patient", care.patient2.party_id, "Other Patient")
    put_person(PersonInput(patient.person_id, patient.party_id, "Other Patient", active=False), source="x")
    valid = token_of(care.doctor)["token"]
    refused = [
        {"auth": token_of(care.doctor, seconds=-1)},
        {"auth": {"token": valid.replace(care.doctor.person_id.hex, care.patient.person_id.hex)}},
        {"auth": {"token": issue_person_token(uuid4(), settings=settings_env).text}},
        {"auth": token_of(care.colleague)},
        {"auth": token_of(care.doctor2)},
        {"headers": desk.cookie("patient")},
        {"headers": desk.cookie("doctor")},  # whose account nobody has linked
        {"auth": {"ticket": valid}},
    ]
    clients = [desk.client(**options) for options in refused]
    errors = [client.wait_for("connect_error")[0]["data"] for client in clients]
    assert [error["code"] for error in errors] == ["SOCKET_AUTH_FAILED"] * len(refused)
    assert "says whom you act for" in errors[6]["message"]
    assert not any(client.all_of("connect") for client in clients)


def test_whoever_acts_for_a_party_no_longer_hears_nothing_of_what_happens_from_then_on(desk: Desk) -> None:
    care = make_care()
    party = care.pharmacy.party_id
    for role in ("pharmacist", "doctor", "patient"):
        link(role, party, f"Works there as {role}")
    as_admin = link("admin", party, "Works there and looks after accounts")
    set_roles("admin@example.org", ["admin", "pharmacist"])
    other_party: Identity = care.patient
    clients = {
        "not active": desk.connected(auth=token_of(care.colleague)),
        "party not active": desk.connected(auth=token_of(other_party)),
        "signed out": desk.connected(headers=desk.cookie("pharmacist")),
        "disabled": desk.connected(headers=desk.cookie("doctor")),
        "without the role": desk.connected(headers=desk.cookie("patient")),
        "unlinked": desk.connected(headers=desk.cookie("admin")),
    }
    stays = desk.connected(auth=token_of(care.pharmacy))
    ticket = choose(care.doctor, care.patient, care.pharmacy)
    send(care.doctor, ticket)
    for client in [*clients.values(), stays]:
        assert client.join(f"ticket:{ticket.ticket_id}")["ok"]
        assert client.join("tickets")["ok"]
    put_person(PersonInput(care.colleague.person_id, party, "Pharmacist Two", active=False), source="x")
    put_party(PartyInput(other_party.party_id, "patient", "Sample Patient", active=False), source="x")
    with connected():
        sign_out_everywhere("pharmacist@example.org")
        disable_user("doctor@example.org")
        set_roles("patient@example.org", ["viewer"])
    unlink_account(as_admin.person_id, actor="test", reason="left")
    write(care.doctor, ticket)
    assert heard_until(stays, ticket, "message 1")[-1] == "message 1"
    for name, client in clients.items():
        assert client.wait_for("disconnect")[0]["reason"] == "io server disconnect", name
        assert "message 1" not in story(client, ticket), name
    assert stays.all_of("disconnect") == []
    # An administrator who acts for nobody any more still hears what staff hear.
    assert desk.connected(headers=desk.cookie("admin")).join("ticket-overview")["ok"]


def test_a_person_whose_server_is_killed_comes_back_and_learns_what_was_missed(
    quiet_desk: Desk, care: Care, settings_env: Settings
) -> None:
    ticket = choose(care.doctor, care.patient, care.pharmacy)
    first = start_sockets(quiet_desk.port)
    quiet_desk.stack.callback(lambda: kill(first))
    page = quiet_desk.connected(auth=token_of(care.patient))
    assert page.join(f"ticket:{ticket.ticket_id}")["ok"]
    write(care.doctor, ticket)
    heard_until(page, ticket, "message 1")
    kill(first)
    page.wait_for("disconnect")
    write(care.doctor, ticket)
    with sockets(quiet_desk.port):
        page.wait_for("connect", 2)
        assert page.join(f"ticket:{ticket.ticket_id}")["ok"]
        assert page.all_of("ticket.updated")[-1]["data"]["lastNumber"] == 2
        write(care.doctor, ticket)
        assert heard_until(page, ticket, "message 3")[-1] == "message 3"
        before = len(page.all_of("tickets.stale"))
        _more_than_can_be_told(settings_env, ticket.ticket_id)
        until(lambda: _is_told_of_a_message(page, care, ticket), seconds=60, what="messages are told one by one again")
        assert len(page.all_of("tickets.stale")) > before
        assert "of another" not in story(page, ticket)


def _is_told_of_a_message(page: Listener, care: Care, ticket: Placed) -> bool:
    """Whether one of those that are written now is told."""
    write(care.doctor, ticket)
    return story(page, ticket)[-1] != "message 3"


def _more_than_can_be_told(settings: Settings, ticket_id: UUID) -> None:
    """Changes that this ticket's parties may hear, all at once."""
    with psycopg2.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ticket_changes (ticket_id, version, what, payload, audience)"
            " SELECT ticket_id, version, 'ticket', payload || '{\"status\": \"of another\"}', audience"
            " FROM (SELECT * FROM ticket_changes WHERE ticket_id = %s ORDER BY id DESC LIMIT 1) c,"
            " generate_series(1, %s)",
            (str(ticket_id), MOST_CHANGES + 1),
        )
    connection.close()
