"""Owns the way of a ticket in tests, by the product's own functions, and what tests ask of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.lanes import Row
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import ItemInput, PrescriptionInput, TicketError, TicketInput
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.prescribing import save_prescription
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from tests.engine.lane import owner
from tests.systems.ticket_samples import Care

MEDICINES = PrescriptionInput(
    items=[
        ItemInput(
            "Sample medicine", strength="500 mg", dosage="one a day", refills=2, instructions="With water.\nDaily."
        ),
        ItemInput("Second medicine", quantity="20"),
    ],
    notes="Ask about allergies.",
)


def choice(care: Care, *, receiver: Identity | None = None, appointment_id: UUID | None = None) -> TicketInput:
    """The doctor chooses a pharmacy for the patient's appointment."""
    chosen = receiver or care.pharmacy
    return TicketInput(TicketType.PRESCRIPTION, appointment_id or uuid4(), care.patient.party_id, chosen.party_id)


def ticket_at(care: Care, status: TicketStatus) -> Row:
    """A ticket that has come as far; a cancelled one was sent before."""
    ticket = choose_receiver(care.doctor, choice(care))[0]
    if status is TicketStatus.CREATED:
        return ticket
    ticket = save_prescription(care.doctor, ticket["id"], MEDICINES)
    if status is TicketStatus.CANCELLED:
        return move_ticket(care.doctor, ticket["id"], status, reason="written by mistake")[0]
    if status is not TicketStatus.SENT:
        ticket = open_ticket(care.pharmacy, ticket["id"])[0]
    for later in (TicketStatus.READY, TicketStatus.COMPLETED):
        if status in (later, TicketStatus.COMPLETED):
            ticket = move_ticket(care.pharmacy, ticket["id"], later)[0]
    return ticket


def refused(ask: Callable[..., object], *given: Any, **more: Any) -> tuple[str, str]:
    """The code and the field of the refusal."""
    with pytest.raises(TicketError) as caught:
        ask(*given, **more)
    return caught.value.code, caught.value.field


def outcome(ask: Callable[[], Any]) -> Any:
    """What it gives, or the code with which it is refused."""
    try:
        return ask()
    except TicketError as error:
        return error.code


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """What each job gives, all begun together on connections of their own."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(run, job) for job in jobs]]


def stored(settings: Settings, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
    """What the tables' owner sees, so everything."""
    with owner(settings.database_url) as cursor:
        cursor.execute(sql, [str(value) if isinstance(value, UUID) else value for value in values])
        return list(cursor.fetchall())


def timeline_of(settings: Settings, ticket_id: UUID) -> list[tuple[str, str | None, str | None]]:
    """Each entry's kind and statuses, oldest first."""
    rows = stored(
        settings, "SELECT kind, from_status, to_status FROM ticket_timeline WHERE ticket_id = %s ORDER BY id", ticket_id
    )
    return [(row[0], row[1], row[2]) for row in rows]


def notified(settings: Settings, ticket_id: UUID) -> list[tuple[str, str, UUID]]:
    """Kind, `about` and party of each notification of the ticket."""
    rows = stored(
        settings,
        "SELECT kind, about, party_id::text FROM ticket_notifications WHERE ticket_id = %s ORDER BY seq",
        ticket_id,
    )
    return [(row[0], row[1], UUID(row[2])) for row in rows]


def statuses(settings: Settings, ticket_id: UUID) -> list[tuple[str | None, str | None]]:
    """From which status to which the ticket moved, oldest first."""
    return [(was, to) for kind, was, to in timeline_of(settings, ticket_id) if kind == "status"]
