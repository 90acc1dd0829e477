"""Every move of a ticket by every side, legal or not: asked of Python, and of the database itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from uuid import UUID

import psycopg2
import pytest

from dispatchlog.engine.database import connect_arguments
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.tickets.handling import move_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.states import MOVES, Side, TicketStatus
from tests.engine.lane import APPLICATION_ROLE
from tests.servers import Servers, fresh_database
from tests.systems.ticket_samples import Care, care_database
from tests.systems.ticket_steps import outcome, statuses, stored, ticket_at

CREATED, SENT, RECEIVED, READY, COMPLETED, CANCELLED = TicketStatus
DOCTOR, PHARMACY, PATIENT = Side
LEGAL = {
    (CREATED, SENT, DOCTOR),
    (CREATED, CANCELLED, DOCTOR),
    (SENT, RECEIVED, PHARMACY),
    (SENT, CANCELLED, DOCTOR),
    (SENT, CANCELLED, PHARMACY),
    (RECEIVED, READY, PHARMACY),
    (RECEIVED, CANCELLED, DOCTOR),
    (RECEIVED, CANCELLED, PHARMACY),
    (READY, COMPLETED, PHARMACY),
    (READY, CANCELLED, DOCTOR),
    (READY, CANCELLED, PHARMACY),
}
TRIPLES = list(product(TicketStatus, TicketStatus, Side))


@dataclass(frozen=True)
class Home:
    """One database for all these tests, for each makes its own ticket."""

    settings: Settings
    care: Care


@pytest.fixture(scope="module")
def home(servers: Servers) -> Iterator[Home]:
    name = f"test_moves_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch, fresh_database(servers, name, migrated=True) as url:
        patch.setenv("DATABASE_URL", url)
        patch.setenv("REDIS_URL", servers.redis_url(0))
        patch.setenv("DISPATCHLOG_SECRET_KEY", "a secret for tests only")
        get_settings.cache_clear()
        with care_database(get_settings()) as care:
            yield Home(get_settings(), care)
    get_settings.cache_clear()


def somebody(care: Care, side: Side) -> Identity:
    return {DOCTOR: care.doctor, PHARMACY: care.pharmacy, PATIENT: care.patient}[side]


def update(settings: Settings, who: Identity, ticket_id: UUID, to: TicketStatus) -> str:
    """What the database itself says to the move, as the application's role: moved, unseen or the error's code. Nothing of
    it stays.
    """
    arguments = connect_arguments(APPLICATION_ROLE, name="test")
    with closing(psycopg2.connect(settings.database_url, **arguments)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('dispatchlog.person', %s, true)", (str(who.person_id),))
        try:
            cursor.execute("UPDATE healthcare_tickets SET status = %s WHERE id = %s", (to, str(ticket_id)))
        except psycopg2.Error as error:
            return str(error.pgcode)
        return "moved" if cursor.rowcount else "unseen"


def test_the_rules_are_the_same_in_python_in_the_database_and_here(home: Home) -> None:
    assert {(at, to, side) for (at, to), sides in MOVES.items() for side in sides} == LEGAL
    sides = {"primary": {DOCTOR}, "secondary": {PHARMACY}, "both": {DOCTOR, PHARMACY}}
    moves = stored(home.settings, "SELECT from_status, to_status, mover FROM ticket_moves")
    assert {(at, to, side) for at, to, mover in moves for side in sides[mover]} == LEGAL


@pytest.mark.parametrize(("at", "to", "side"), TRIPLES, ids=str)
def test_a_side_moves_a_ticket_only_as_it_may(home: Home, at: TicketStatus, to: TicketStatus, side: Side) -> None:
    who = somebody(home.care, side)
    ticket = ticket_at(home.care, at)
    before = statuses(home.settings, ticket["id"])
    expected, by_itself = expectation(at, to, side)
    assert update(home.settings, who, ticket["id"], to) == by_itself

    def move() -> str:
        moved, changed = move_ticket(who, ticket["id"], to, reason="it has to be")
        assert moved["status"] == to
        return "moved" if changed else "nothing"

    assert outcome(move) == expected
    moved = expected == "moved"
    assert statuses(home.settings, ticket["id"]) == ([*before, (at, to)] if moved else before)
    status = stored(home.settings, "SELECT status FROM healthcare_tickets WHERE id = %s", ticket["id"])
    assert status == [(to if moved else at,)]


def expectation(at: TicketStatus, to: TicketStatus, side: Side) -> tuple[str, str]:
    """What Python answers, and what the database does."""
    if at is CREATED and side is PHARMACY:
        return "TICKET_NOT_FOUND", "unseen"
    if (at, to, side) in LEGAL:
        return ("PRESCRIPTION_MISSING", "23514") if to is SENT else ("moved", "moved")
    if at is to:
        return "nothing", "unseen" if side is PATIENT else "moved"
    return "MOVE_NOT_ALLOWED", "unseen" if side is PATIENT else "DL001"
