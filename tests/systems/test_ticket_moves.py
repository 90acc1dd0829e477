"""A ticket moves as its statuses and sides allow and no other way, whether Python or the database is asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.states import TicketStatus
from tests.engine.lane import application
from tests.systems.ticket_samples import Care, care_database, seen
from tests.systems.ticket_steps import at_once, notified, refused, statuses, stored, ticket_at

CREATED, SENT, RECEIVED, READY, COMPLETED, CANCELLED = TicketStatus


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def update(settings: Settings, who: Identity, ticket_id: UUID, status: TicketStatus) -> str:
    """What the database itself says to the move, as the application's role: moved, unseen or the error's code."""
    with application(settings.database_url) as cursor:
        cursor.execute("SELECT set_config('dispatchlog.person', %s, false)", (str(who.person_id),))
        try:
            cursor.execute("UPDATE healthcare_tickets SET status = %s WHERE id = %s", (status, str(ticket_id)))
        except psycopg2.Error as error:
            return str(error.pgcode)
        return "moved" if cursor.rowcount else "unseen"


def test_who_has_no_part_in_it_moves_nothing(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, SENT)
    for stranger in (care.doctor2, care.pharmacy2, care.patient2, care.laboratory):
        for status in TicketStatus:
            asked = partial(move_ticket, stranger, ticket["id"], status, reason="it has to be")
            assert refused(asked) == ("TICKET_NOT_FOUND", "")
            assert update(settings_env, stranger, ticket["id"], status) == "unseen"
        assert refused(open_ticket, stranger, ticket["id"]) == ("TICKET_NOT_FOUND", "")
    assert refused(move_ticket, care.doctor, uuid4(), CANCELLED, reason="x") == ("TICKET_NOT_FOUND", "")
    assert statuses(settings_env, ticket["id"]) == [(CREATED, SENT)]


@pytest.mark.parametrize("reason", ["", "  \n "])
def test_a_ticket_is_cancelled_with_a_reason(care: Care, reason: str) -> None:
    ticket = ticket_at(care, SENT)
    assert refused(move_ticket, care.doctor, ticket["id"], CANCELLED, reason=reason) == ("REASON_REQUIRED", "reason")
    move_ticket(care.doctor, ticket["id"], CANCELLED, reason=" Wrong dose \n")
    last = seen(care.patient, "SELECT reason, actor, person_id FROM ticket_timeline ORDER BY id DESC LIMIT 1")
    assert last == [{"reason": "Wrong dose", "actor": care.doctor.actor, "person_id": care.doctor.person_id}]


@pytest.mark.parametrize("reason", ["x" * 501, "zero \x00", "bell \x07"])
def test_a_reason_is_one_that_can_be_read(care: Care, reason: str) -> None:
    ticket = ticket_at(care, SENT)
    assert refused(move_ticket, care.doctor, ticket["id"], CANCELLED, reason=reason) == ("INVALID_TEXT", "reason")


def test_opening_receives_once_and_only_for_the_receiver(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, SENT)
    for reader in (care.doctor, care.patient):
        opened, received = open_ticket(reader, ticket["id"])
        assert (opened["status"], received) == ("sent", False)
    opened, received = open_ticket(care.pharmacy, ticket["id"])
    assert (opened["status"], received) == ("received", True)
    assert opened["received_at"] is not None
    for reader in (care.pharmacy, care.colleague, care.doctor):
        again, received = open_ticket(reader, ticket["id"])
        assert (again, received) == (opened, False)
    assert statuses(settings_env, ticket["id"]) == [(CREATED, SENT), (SENT, RECEIVED)]


def test_two_pharmacists_who_open_at_once_receive_it_once(care: Care, settings_env: Settings) -> None:
    for _ in range(25):
        ticket = ticket_at(care, SENT)
        ask = [partial(open_ticket, who, ticket["id"]) for who in (care.pharmacy, care.colleague)]
        opened = at_once(*ask)
        assert [row["status"] for row, _ in opened] == ["received", "received"]
        assert sorted(received for _, received in opened) == [False, True]
        assert statuses(settings_env, ticket["id"]) == [(CREATED, SENT), (SENT, RECEIVED)]


def test_an_opening_and_a_cancellation_at_once_end_in_one_order(care: Care, settings_env: Settings) -> None:
    for _ in range(15):
        ticket = ticket_at(care, SENT)
        _, (cancelled, moved) = at_once(
            partial(open_ticket, care.pharmacy, ticket["id"]),
            partial(move_ticket, care.doctor, ticket["id"], CANCELLED, reason="too late"),
        )
        assert moved
        assert cancelled["status"] == "cancelled"
        assert statuses(settings_env, ticket["id"])[1:] in (
            [(SENT, CANCELLED)],
            [(SENT, RECEIVED), (RECEIVED, CANCELLED)],
        )


def test_both_sides_cancel_at_once_and_it_is_cancelled_once(care: Care, settings_env: Settings) -> None:
    for _ in range(15):
        ticket = ticket_at(care, RECEIVED)
        ask = [
            partial(move_ticket, who, ticket["id"], CANCELLED, reason="not needed")
            for who in (care.doctor, care.pharmacy)
        ]
        assert sorted(moved for _, moved in at_once(*ask)) == [False, True]
        assert statuses(settings_env, ticket["id"])[-1] == (RECEIVED, CANCELLED)


def test_ready_tells_the_patient_once(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, RECEIVED)
    assert move_ticket(care.pharmacy, ticket["id"], READY)[1] is True
    assert move_ticket(care.colleague, ticket["id"], READY)[1] is False
    sent = ("SENT", "sent", care.pharmacy.party_id)
    assert notified(settings_env, ticket["id"]) == [sent, ("READY", "ready", care.patient.party_id)]


def test_a_cancellation_tells_the_other_provider_once_it_was_sent(care: Care, settings_env: Settings) -> None:
    begun, had, returned = ticket_at(care, CREATED), ticket_at(care, RECEIVED), ticket_at(care, RECEIVED)
    sent = ("SENT", "sent", care.pharmacy.party_id)
    for ticket, who in ((begun, care.doctor), (had, care.doctor), (returned, care.pharmacy)):
        move_ticket(who, ticket["id"], CANCELLED, reason="not needed")
    assert notified(settings_env, begun["id"]) == []
    assert notified(settings_env, had["id"]) == [sent, ("CANCELLED", "cancelled", care.pharmacy.party_id)]
    assert notified(settings_env, returned["id"]) == [sent, ("CANCELLED", "cancelled", care.doctor.party_id)]


def test_each_status_has_its_instant_and_keeps_it(care: Care) -> None:
    done = ticket_at(care, COMPLETED)
    instants = [done[name] for name in ("created_at", "sent_at", "received_at", "ready_at", "ended_at")]
    assert instants == sorted(instants)
    assert done["version"] == 5


def test_what_a_ticket_is_about_never_changes(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, CREATED)
    columns = ("id", "ticket_number", "ticket_type", "appointment_id", "patient_id", "primary_provider_id", "sent_at")
    with application(settings_env.database_url) as cursor:
        cursor.execute("SELECT set_config('dispatchlog.person', %s, false)", (str(care.doctor.person_id),))
        for column in columns:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f"UPDATE healthcare_tickets SET {column} = NULL WHERE id = %s", (str(ticket["id"]),))


def test_what_a_reason_says_stays_with_the_ticket(care: Care, settings_env: Settings) -> None:
    """The log of dispatches is read by staff and services, and has no row-level security."""
    for status in (READY, CANCELLED):
        ticket = ticket_at(care, RECEIVED)
        move_ticket(care.pharmacy, ticket["id"], status, reason="CANARY-REASON: allergic")
    logged = stored(settings_env, "SELECT count(*) FROM dispatch_transitions WHERE reason LIKE '%%CANARY%%'")
    kept = stored(settings_env, "SELECT count(*) FROM ticket_timeline WHERE reason LIKE '%%CANARY%%'")
    assert (logged, kept) == ([(0,)], [(2,)])
