"""A doctor's choice of a receiver: one ticket, thread and members per appointment, however often and by whomever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

import pytest

from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.handling import move_ticket
from dispatchlog.systems.tickets.inputs import PartyInput
from dispatchlog.systems.tickets.opening import choose_receiver, new_ticket_number
from dispatchlog.systems.tickets.parties import put_party
from dispatchlog.systems.tickets.prescribing import save_prescription
from dispatchlog.systems.tickets.reading import find_thread
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from tests.systems.ticket_samples import Care, care_database
from tests.systems.ticket_steps import MEDICINES, at_once, choice, outcome, refused, stored, timeline_of


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def members(settings: Settings, ticket_id: UUID) -> set[UUID]:
    rows = stored(
        settings,
        "SELECT m.party_id::text FROM chat_thread_members m JOIN chat_threads t ON t.id = m.thread_id"
        " WHERE t.ticket_id = %s",
        ticket_id,
    )
    return {UUID(row[0]) for row in rows}


def how_many(settings: Settings) -> list[int]:
    """Tickets, threads, members, timeline entries."""
    tables = ("healthcare_tickets", "chat_threads", "chat_thread_members", "ticket_timeline")
    return [stored(settings, f"SELECT count(*) FROM {table}")[0][0] for table in tables]


def test_a_choice_makes_ticket_thread_and_members_together(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    ticket, made = choose_receiver(care.doctor, given, trace_id="trace-7")
    assert made
    assert (ticket["status"], ticket["version"], ticket["trace_id"]) == ("created", 1, "trace-7")
    assert (ticket["appointment_id"], ticket["prescription_id"]) == (given.appointment_id, None)
    thread = find_thread(care.doctor, ticket_id=ticket["id"])
    assert thread["id"] == ticket["thread_id"]
    assert (thread["order_id"], thread["order_type"]) == (given.appointment_id, "prescription")
    assert members(settings_env, ticket["id"]) == {
        care.doctor.party_id,
        care.pharmacy.party_id,
        care.patient.party_id,
    }
    assert timeline_of(settings_env, ticket["id"]) == [("created", None, "created")]


def test_the_same_choice_again_is_the_same_ticket(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    ticket = choose_receiver(care.doctor, given)[0]
    assert choose_receiver(care.doctor, given) == (ticket, False)
    sent = save_prescription(care.doctor, ticket["id"], MEDICINES)
    assert choose_receiver(care.doctor, given) == (sent, False)
    assert how_many(settings_env)[:3] == [1, 1, 3]


def test_the_same_choice_at_once_is_one_ticket(care: Care, settings_env: Settings) -> None:
    for count in range(1, 16):
        ask = partial(choose_receiver, care.doctor, choice(care))
        chosen = at_once(ask, ask, ask)
        assert sorted(made for _, made in chosen) == [False, False, True]
        assert len({row["id"] for row, _ in chosen}) == 1
        assert how_many(settings_env) == [count, count, 3 * count, count]


def test_two_doctors_at_once_leave_the_appointment_to_one(care: Care, settings_env: Settings) -> None:
    for count in range(1, 11):
        given = choice(care)
        asked = [partial(choose_receiver, who, given) for who in (care.doctor, care.doctor2)]
        answers = at_once(*[partial(outcome, ask) for ask in asked])
        assert answers.count("TICKET_OF_ANOTHER") == 1
        assert how_many(settings_env)[0] == count


def test_another_receiver_before_it_is_sent_swaps_the_member(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    ticket = choose_receiver(care.doctor, given)[0]
    other = replace(given, receiver_id=care.pharmacy2.party_id)
    changed, made = choose_receiver(care.doctor, other)
    assert not made
    assert (changed["id"], changed["thread_id"]) == (ticket["id"], ticket["thread_id"])
    assert changed["secondary_provider_id"] == care.pharmacy2.party_id
    expected = {care.doctor.party_id, care.pharmacy2.party_id, care.patient.party_id}
    assert members(settings_env, ticket["id"]) == expected
    assert timeline_of(settings_env, ticket["id"]) == [("created", None, "created"), ("receiver_changed", None, None)]


def test_the_receiver_stays_once_it_is_sent(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    ticket = choose_receiver(care.doctor, given)[0]
    save_prescription(care.doctor, ticket["id"], MEDICINES)
    other = replace(given, receiver_id=care.pharmacy2.party_id)
    assert refused(choose_receiver, care.doctor, other) == ("TICKET_ALREADY_SENT", "receiver_id")
    assert care.pharmacy2.party_id not in members(settings_env, ticket["id"])


def test_a_saving_and_another_choice_at_once_end_with_one_receiver(care: Care, settings_env: Settings) -> None:
    for _ in range(15):
        given = choice(care)
        ticket = choose_receiver(care.doctor, given)[0]
        other = replace(given, receiver_id=care.pharmacy2.party_id)
        saved, chosen = at_once(
            partial(save_prescription, care.doctor, ticket["id"], MEDICINES),
            partial(outcome, partial(choose_receiver, care.doctor, other)),
        )
        kept = saved["secondary_provider_id"]
        assert kept == (care.pharmacy if chosen == "TICKET_ALREADY_SENT" else care.pharmacy2).party_id
        agreed = stored(
            settings_env,
            "SELECT k.secondary_provider_id = %s AND p.pharmacy_id = %s AND n.party_id = %s FROM healthcare_tickets k"
            " JOIN prescriptions p ON p.id = k.prescription_id JOIN ticket_notifications n ON n.ticket_id = k.id"
            " WHERE k.id = %s",
            kept,
            kept,
            kept,
            ticket["id"],
        )
        assert agreed == [(True,)]
        assert kept in members(settings_env, ticket["id"])


def test_the_appointment_of_another_is_refused(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    choose_receiver(care.doctor, given)
    expected = ("TICKET_OF_ANOTHER", "appointment_id")
    assert refused(choose_receiver, care.doctor2, given) == expected
    assert refused(choose_receiver, care.doctor, replace(given, patient_id=care.patient2.party_id)) == expected
    assert how_many(settings_env)[0] == 1


def test_after_a_cancellation_the_appointment_gets_a_new_ticket(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    first = choose_receiver(care.doctor, given)[0]
    move_ticket(care.doctor, first["id"], TicketStatus.CANCELLED, reason="wrong pharmacy")
    second, made = choose_receiver(care.doctor, given)
    assert made
    assert second["id"] != first["id"]
    assert second["ticket_number"] != first["ticket_number"]
    assert how_many(settings_env)[:3] == [2, 2, 6]


def test_an_appointment_may_have_a_ticket_of_each_type(care: Care) -> None:
    given = choice(care)
    request = replace(given, ticket_type=TicketType.LAB_REQUEST, receiver_id=care.laboratory.party_id)
    referral = replace(given, ticket_type=TicketType.REFERRAL, receiver_id=care.doctor2.party_id)
    made = [choose_receiver(care.doctor, one) for one in (given, request, referral)]
    assert [new for _, new in made] == [True, True, True]
    assert len({row["thread_id"] for row, _ in made}) == 3


def test_only_a_doctor_opens_a_ticket(care: Care, settings_env: Settings) -> None:
    for who in (care.pharmacy, care.patient, care.laboratory):
        assert refused(choose_receiver, who, choice(care)) == ("NOT_A_DOCTOR", "")
    assert how_many(settings_env) == [0, 0, 0, 0]


def test_patient_and_receiver_are_there_and_of_their_kind(care: Care, settings_env: Settings) -> None:
    given = choice(care)
    nobody = ("PATIENT_NOT_FOUND", "patient_id")
    for patient_id in (uuid4(), care.doctor2.party_id, care.patient.person_id):
        assert refused(choose_receiver, care.doctor, replace(given, patient_id=patient_id)) == nobody
    nowhere = ("RECEIVER_NOT_FOUND", "receiver_id")
    for receiver_id in (uuid4(), care.laboratory.party_id, care.pharmacy.person_id, care.patient2.party_id):
        assert refused(choose_receiver, care.doctor, replace(given, receiver_id=receiver_id)) == nowhere
    to_oneself = replace(given, ticket_type=TicketType.REFERRAL, receiver_id=care.doctor.party_id)
    assert refused(choose_receiver, care.doctor, to_oneself) == nowhere
    put_party(PartyInput(care.pharmacy.party_id, "pharmacy", "Linden Pharmacy", active=False), source="test")
    assert refused(choose_receiver, care.doctor, given) == nowhere
    assert how_many(settings_env) == [0, 0, 0, 0]


def test_a_number_that_is_taken_is_replaced_by_another(
    care: Care, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(["TKT-20260129-AAAAA", "TKT-20260129-AAAAA", "TKT-20260129-BBBBB"])
    monkeypatch.setattr("dispatchlog.systems.tickets.opening.new_ticket_number", lambda: next(numbers))
    made = [choose_receiver(care.doctor, choice(care))[0]["ticket_number"] for _ in range(2)]
    assert made == ["TKT-20260129-AAAAA", "TKT-20260129-BBBBB"]
    assert how_many(settings_env) == [2, 2, 6, 2]


def test_numbers_avoid_what_looks_alike() -> None:
    numbers = {new_ticket_number() for _ in range(2_000)}
    assert len(numbers) > 1_990
    assert all(re.fullmatch(r"TKT-\d{8}-[A-HJKMNP-Z2-9]{5}", number) for number in numbers)
