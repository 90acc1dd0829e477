"""A prescription is stored, linked, sent and told of as one, once, and is what the doctor saved for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import peewee
import psycopg2
import pytest

from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.inputs import ItemInput, PartyInput, PrescriptionInput
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.parties import put_party
from dispatchlog.systems.tickets.prescribing import keep_draft, kept_draft, save_prescription
from dispatchlog.systems.tickets.reading import ticket_state
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from tests.engine.lane import owner
from tests.systems.ticket_samples import Care, care_database, seen
from tests.systems.ticket_steps import (
    MEDICINES,
    at_once,
    choice,
    notified,
    outcome,
    refused,
    stored,
    ticket_at,
    timeline_of,
)

SIMPLE = ItemInput("Sample medicine", dosage="one a day")
DRAFT = {"items": [{"name": "half a wo"}], "notes": ""}
# What of a ticket its parties' sessions could read, table by table.
TABLES = (
    "healthcare_tickets",
    "prescriptions",
    "prescription_items",
    "prescription_drafts",
    "chat_threads",
    "chat_thread_members",
    "chat_messages",
    "ticket_timeline",
    "ticket_changes",
    "emergency_accesses",
    "ticket_overview",
    "ticket_overview_timeline",
    "ticket_overview_messages",
    "ticket_overview_reading",
)


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def nothing_was_sent(settings: Settings) -> bool:
    counts = [
        stored(settings, f"SELECT count(*) FROM {table}")[0][0]
        for table in ("prescriptions", "prescription_items", "ticket_notifications")
    ]
    rows = stored(settings, "SELECT status, prescription_id, sent_at FROM healthcare_tickets")
    return counts == [0, 0, 0] and rows == [("created", None, None)]


def test_saving_stores_links_sends_and_tells(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    keep_draft(care.doctor, ticket["id"], DRAFT)
    sent = save_prescription(care.doctor, ticket["id"], MEDICINES)
    assert (sent["status"], sent["sent_at"] is not None) == ("sent", True)
    assert timeline_of(settings_env, ticket["id"])[1:] == [
        ("prescription_saved", None, None),
        ("status", "created", "sent"),
    ]
    assert notified(settings_env, ticket["id"]) == [("SENT", "sent", care.pharmacy.party_id)]
    assert kept_draft(care.doctor, ticket["id"]) is None
    state = ticket_state(care.pharmacy, ticket["id"])
    assert state.prescription is not None
    assert state.prescription["id"] == sent["prescription_id"]
    assert state.prescription["notes"] == MEDICINES.notes
    assert state.prescription["created_by"] == care.doctor.person_id
    items = [{key: value for key, value in row.items() if key != "prescription_id"} for row in state.items]
    assert items == [{"number": number, **asdict(item)} for number, item in enumerate(MEDICINES.items, start=1)]


@pytest.mark.parametrize("table", ["prescriptions", "prescription_items", "healthcare_tickets", "ticket_notifications"])
def test_a_saving_that_breaks_leaves_nothing_of_itself(care: Care, settings_env: Settings, table: str) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    keep_draft(care.doctor, ticket["id"], DRAFT)
    second = "WHEN (NEW.number = 2)" if table == "prescription_items" else ""
    with owner(settings_env.database_url) as cursor:
        cursor.execute(
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full'"
            " USING ERRCODE = 'disk_full'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER zz_broken AFTER INSERT OR UPDATE ON {table} FOR EACH ROW {second} EXECUTE FUNCTION broken()"
        )
    with pytest.raises((peewee.DatabaseError, psycopg2.DatabaseError), match="the disk is full"):
        save_prescription(care.doctor, ticket["id"], MEDICINES)
    assert nothing_was_sent(settings_env)
    assert kept_draft(care.doctor, ticket["id"]) == DRAFT
    with owner(settings_env.database_url) as cursor:
        cursor.execute("DROP FUNCTION broken CASCADE")
    assert save_prescription(care.doctor, ticket["id"], MEDICINES)["status"] == "sent"


def test_saying_the_same_again_changes_nothing(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    sent = save_prescription(care.doctor, ticket["id"], MEDICINES)
    spaced = [replace(item, name=f"  {item.name} ") for item in MEDICINES.items]
    assert save_prescription(care.doctor, ticket["id"], replace(MEDICINES, items=spaced)) == sent
    received, _ = open_ticket(care.pharmacy, ticket["id"])
    assert save_prescription(care.doctor, ticket["id"], MEDICINES) == received
    assert len(notified(settings_env, ticket["id"])) == 1
    assert stored(settings_env, "SELECT count(*) FROM prescriptions") == [(1,)]


@pytest.mark.parametrize(
    "other",
    [
        replace(MEDICINES, notes="Other notes"),
        replace(MEDICINES, items=MEDICINES.items[:1]),
        replace(MEDICINES, items=MEDICINES.items[::-1]),
        replace(MEDICINES, items=[replace(MEDICINES.items[0], refills=3), MEDICINES.items[1]]),
    ],
    ids=["notes", "fewer items", "another order", "refills"],
)
def test_something_else_is_refused_once_it_is_sent(care: Care, other: PrescriptionInput) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    assert refused(save_prescription, care.doctor, ticket["id"], other) == ("PRESCRIPTION_FIXED", "")
    items = ticket_state(care.doctor, ticket["id"]).items
    assert [row["name"] for row in items] == [item.name for item in MEDICINES.items]


def test_saved_at_once_it_is_stored_once(care: Care, settings_env: Settings) -> None:
    other = replace(MEDICINES, notes="Other notes")
    for count in range(1, 11):
        ticket = ticket_at(care, TicketStatus.CREATED)
        save = partial(save_prescription, care.doctor, ticket["id"])
        answers = at_once(*[partial(outcome, partial(save, given)) for given in (MEDICINES, MEDICINES, other)])
        assert sum(answer == "PRESCRIPTION_FIXED" for answer in answers) in (1, 2)
        assert stored(settings_env, "SELECT count(*) FROM prescriptions") == [(count,)]
        assert len(notified(settings_env, ticket["id"])) == 1


def test_what_was_cancelled_is_not_sent(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    move_ticket(care.doctor, ticket["id"], TicketStatus.CANCELLED, reason="not needed")
    assert refused(save_prescription, care.doctor, ticket["id"], MEDICINES) == ("TICKET_ENDED", "")
    assert refused(keep_draft, care.doctor, ticket["id"], DRAFT) == ("TICKET_ENDED", "")
    done = ticket_at(care, TicketStatus.COMPLETED)
    assert refused(save_prescription, care.doctor, done["id"], replace(MEDICINES, notes="x")) == ("TICKET_ENDED", "")
    assert stored(settings_env, "SELECT count(*) FROM prescriptions") == [(1,)]


def test_only_its_doctor_writes_it(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    for ask in (partial(save_prescription, given=MEDICINES), partial(keep_draft, draft=DRAFT)):
        assert refused(ask, care.patient, ticket["id"]) == ("NOT_YOUR_TICKET", "")
        for stranger in (care.pharmacy, care.doctor2, care.patient2, care.pharmacy2):
            assert refused(ask, stranger, ticket["id"]) == ("TICKET_NOT_FOUND", "")
    assert nothing_was_sent(settings_env)
    sent = ticket_at(care, TicketStatus.SENT)
    assert refused(save_prescription, care.pharmacy, sent["id"], MEDICINES) == ("NOT_YOUR_TICKET", "")


def test_a_receiver_who_has_closed_gets_nothing(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    put_party(PartyInput(care.pharmacy.party_id, "pharmacy", "Linden Pharmacy", active=False), source="test")
    assert refused(save_prescription, care.doctor, ticket["id"], MEDICINES) == ("RECEIVER_NOT_FOUND", "")
    assert nothing_was_sent(settings_env)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "zero\x00"}, "name"),
        ({"strength": "x" * 65}, "strength"),
        ({"form": "x" * 65}, "form"),
        ({"dosage": "x" * 256}, "dosage"),
        ({"dosage": "", "quantity": " "}, "dosage"),
        ({"frequency": "x" * 256}, "frequency"),
        ({"duration": "a\tb"}, "duration"),
        ({"quantity": "x" * 65}, "quantity"),
        ({"refills": -1}, "refills"),
        ({"refills": 100}, "refills"),
        ({"refills": True}, "refills"),
        ({"refills": "2"}, "refills"),
        ({"instructions": "x" * 2_001}, "instructions"),
        ({"instructions": "bell\x07"}, "instructions"),
    ],
    ids=str,
)
def test_an_item_that_cannot_be_is_named(
    care: Care, settings_env: Settings, changed: dict[str, Any], field: str
) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    given = PrescriptionInput([SIMPLE, replace(SIMPLE, **changed)])
    assert refused(save_prescription, care.doctor, ticket["id"], given) == ("ITEM_INVALID", f"items[1].{field}")
    assert nothing_was_sent(settings_env)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        (PrescriptionInput([]), "PRESCRIPTION_EMPTY", "items"),
        (PrescriptionInput([SIMPLE] * 51), "ITEM_INVALID", "items"),
        (PrescriptionInput([SIMPLE], notes="x" * 8_001), "INVALID_TEXT", "notes"),
        (PrescriptionInput([SIMPLE], notes="zero\x00"), "INVALID_TEXT", "notes"),
    ],
    ids=["empty", "too many", "long notes", "notes with a zero"],
)
def test_a_prescription_that_cannot_be_is_refused(
    care: Care, settings_env: Settings, given: PrescriptionInput, code: str, field: str
) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    assert refused(save_prescription, care.doctor, ticket["id"], given) == (code, field)
    assert nothing_was_sent(settings_env)


def test_a_laboratory_request_needs_no_dosage(care: Care, settings_env: Settings) -> None:
    given = replace(choice(care), ticket_type=TicketType.LAB_REQUEST, receiver_id=care.laboratory.party_id)
    ticket = choose_receiver(care.doctor, given)[0]
    assert (
        save_prescription(care.doctor, ticket["id"], PrescriptionInput([ItemInput("Blood count")]))["status"] == "sent"
    )
    assert notified(settings_env, ticket["id"]) == [("SENT", "sent", care.laboratory.party_id)]
    assert open_ticket(care.laboratory, ticket["id"])[1] is True


def test_a_draft_is_kept_for_its_doctor_alone(care: Care) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    assert kept_draft(care.doctor, ticket["id"]) is None
    for draft in (DRAFT, {"items": [], "notes": 'né "quoted" 🩺'}):
        keep_draft(care.doctor, ticket["id"], draft)
        assert kept_draft(care.doctor, ticket["id"]) == draft
    for other, code in (
        (care.patient, "NOT_YOUR_TICKET"),
        (care.pharmacy, "TICKET_NOT_FOUND"),
        (care.doctor2, "TICKET_NOT_FOUND"),
    ):
        assert refused(kept_draft, other, ticket["id"]) == (code, "")
        assert seen(other, "SELECT * FROM prescription_drafts") == []


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        ({"notes": "x" * 65_536}, "DRAFT_TOO_LARGE"),
        ({"notes": "zero\x00"}, "INVALID_TEXT"),
        ({"notes": "half \ud800"}, "INVALID_TEXT"),
        ({"number": float("nan")}, "INVALID_TEXT"),
    ],
    ids=["large", "zero", "half a character", "no number"],
)
def test_a_draft_that_cannot_be_kept_leaves_the_one_before(care: Care, draft: dict[str, Any], code: str) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    keep_draft(care.doctor, ticket["id"], DRAFT)
    assert refused(keep_draft, care.doctor, ticket["id"], draft)[0] == code
    assert kept_draft(care.doctor, ticket["id"]) == DRAFT


def test_a_draft_of_what_was_sent_is_refused(care: Care) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    assert refused(keep_draft, care.doctor, ticket["id"], DRAFT) == ("TICKET_ALREADY_SENT", "")


def test_the_pharmacy_sees_nothing_at_all_before_it_is_sent_and_then_everything(care: Care) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    keep_draft(care.doctor, ticket["id"], DRAFT)
    for table in TABLES:
        assert seen(care.pharmacy, f"SELECT * FROM {table}") == [], table
    assert seen(care.pharmacy, "SELECT * FROM care_parties WHERE kind = 'patient'") == []
    assert seen(care.pharmacy, "SELECT * FROM care_people WHERE party_id = %s", care.patient.party_id) == []
    sent = save_prescription(care.doctor, ticket["id"], MEDICINES)
    for table in TABLES:
        mine = seen(care.pharmacy, f"SELECT * FROM {table}")
        if table != "ticket_changes":
            assert json.dumps(mine, default=str) == json.dumps(seen(care.doctor, f"SELECT * FROM {table}"), default=str)
    assert seen(care.pharmacy, "SELECT status FROM healthcare_tickets") == [{"status": "sent"}]
    assert seen(care.pharmacy, "SELECT count(*) AS items FROM prescription_items") == [{"items": 2}]
    versions = seen(care.pharmacy, "SELECT version FROM ticket_changes")
    assert versions == [{"version": sent["version"]}]
    assert seen(care.pharmacy, "SELECT name FROM care_parties WHERE kind = 'patient'") == [{"name": "Sample Patient"}]


def test_a_prescription_goes_to_whom_it_was_shown_to_go(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.CREATED)
    shown = ticket["secondary_provider_id"]
    choose_receiver(care.doctor, choice(care, receiver=care.pharmacy2, appointment_id=ticket["appointment_id"]))
    given = partial(save_prescription, care.doctor, ticket["id"], MEDICINES)
    assert refused(given, receiver_id=shown) == ("RECEIVER_CHANGED", "")
    assert notified(settings_env, ticket["id"]) == []
    assert given(receiver_id=care.pharmacy2.party_id)["status"] == "sent"
