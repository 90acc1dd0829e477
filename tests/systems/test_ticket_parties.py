"""Parties and people are reported once and keep who they are; whoever looks them up finds no more than they may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest

from dispatchlog import people
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.identity import identity_of_account, identity_of_person
from dispatchlog.systems.tickets.inputs import PartyInput, PersonInput
from dispatchlog.systems.tickets.parties import (
    find_patient,
    find_receivers,
    parties_to_choose,
    party_of_account,
    put_party,
    put_person,
    unlink_account,
)
from dispatchlog.systems.tickets.states import PartyKind
from tests.systems.ticket_samples import Care, care_database, new_party
from tests.systems.ticket_steps import refused, stored


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def test_a_party_is_what_was_said_of_it_last(care: Care) -> None:
    given = PartyInput(uuid4(), "pharmacy", " Cedar Pharmacy ", email=" cedar@example.org ")
    stored_party = put_party(given, source="test")
    assert (stored_party["name"], stored_party["email"]) == ("Cedar Pharmacy", "cedar@example.org")
    changed = put_party(replace(given, name="Oak Pharmacy", email="", active=False), source="test")
    assert (changed["name"], changed["email"], changed["active"]) == ("Oak Pharmacy", None, False)


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"kind": "nurse"}, "UNKNOWN_KIND", "kind"),
        ({"name": " "}, "INVALID_TEXT", "name"),
        ({"name": "x" * 256}, "INVALID_TEXT", "name"),
        ({"name": "two\nlines"}, "INVALID_TEXT", "name"),
        ({"email": "nobody"}, "INVALID_EMAIL", "email"),
        ({"email": f"a@{'x' * 60}.{'y' * 320}.example"}, "INVALID_EMAIL", "email"),
    ],
    ids=str,
)
def test_a_party_that_cannot_be_is_refused(care: Care, changed: dict[str, str], code: str, field: str) -> None:
    given = replace(PartyInput(care.pharmacy.party_id, "pharmacy", "Linden Pharmacy"), **changed)  # type: ignore[arg-type]
    assert refused(put_party, given, source="test") == (code, field)


def test_ids_keep_their_kind_and_their_party(care: Care) -> None:
    other_kind = PartyInput(care.pharmacy.party_id, "doctor", "Linden Pharmacy")
    assert refused(put_party, other_kind, source="test") == ("PARTY_KIND_FIXED", "kind")
    other_party = PersonInput(care.doctor.person_id, care.doctor2.party_id, "Dr Sample North")
    assert refused(put_person, other_party, source="test") == ("PERSON_PARTY_FIXED", "party_id")
    assert identity_of_person(care.doctor.person_id) == care.doctor


def test_a_person_has_a_party_and_at_most_one_account(care: Care) -> None:
    user_id, _ = people.create_user("north@example.org", roles=["doctor"])
    given = PersonInput(care.doctor.person_id, care.doctor.party_id, "Dr Sample North", user_id=user_id)
    assert put_person(given, source="test")["user_id"] == user_id
    assert identity_of_account(user_id).person_id == care.doctor.person_id
    assert identity_of_account(user_id).actor == "north@example.org"
    again = put_person(replace(given, user_id=None, name="Dr North"), source="test")
    assert (again["user_id"], again["name"]) == (user_id, "Dr North")
    put = partial(put_person, source="test")
    other = PersonInput(uuid4(), care.doctor2.party_id, "Dr Other")
    assert refused(put, replace(other, user_id=user_id)) == ("ACCOUNT_LINKED", "user_id")
    assert refused(put, replace(other, user_id=999_999)) == ("ACCOUNT_NOT_FOUND", "user_id")
    assert refused(put, replace(other, party_id=uuid4())) == ("PARTY_NOT_FOUND", "party_id")
    assert refused(put, replace(other, name="")) == ("INVALID_TEXT", "name")


def test_an_account_that_is_unlinked_may_act_for_somebody_else(care: Care, settings_env: Settings) -> None:
    user_id, _ = people.create_user("north@example.org", roles=["doctor"])
    person = PersonInput(care.doctor.person_id, care.doctor.party_id, "Dr Sample North", user_id=user_id)
    put_person(person, source="test")
    unlink = partial(unlink_account, care.doctor.person_id, actor="admin@example.org", reason="left the practice")
    assert [unlink(), unlink(), unlink_account(uuid4(), actor="a", reason="b")] == [True, False, False]
    assert refused(identity_of_account, user_id) == ("PERSON_UNKNOWN", "")
    assert refused(identity_of_person, care.doctor.person_id) == ("PERSON_INACTIVE", "")
    actions = stored(settings_env, "SELECT actor, reason FROM operator_actions WHERE action = 'person_unlinked'")
    assert actions == [("admin@example.org", "left the practice")]
    put_person(PersonInput(uuid4(), care.doctor2.party_id, "Dr Sample North", user_id=user_id), source="test")
    assert identity_of_account(user_id).party_id == care.doctor2.party_id


def test_receivers_are_found_by_part_of_their_name_and_patients_never(care: Care) -> None:
    found = [row["name"] for row in find_receivers(care.doctor, kind=PartyKind.PHARMACY)]
    assert found == ["Harbour Pharmacy", "Linden Pharmacy"]
    assert [row["name"] for row in find_receivers(care.doctor, kind=PartyKind.PHARMACY, text=" LIND")] == found[1:]
    assert find_receivers(care.doctor, kind=PartyKind.PHARMACY, text="%") == []
    assert len(find_receivers(care.doctor, kind=PartyKind.PHARMACY, limit=1)) == 1
    assert find_receivers(care.doctor, kind=PartyKind.PATIENT) == []
    put_party(PartyInput(care.pharmacy.party_id, "pharmacy", "Linden Pharmacy", active=False), source="test")
    assert find_receivers(care.doctor, kind=PartyKind.PHARMACY, text="linden") == []


def test_a_doctor_finds_a_patient_by_what_the_patient_gave_them(care: Care) -> None:
    expected = {"id": care.patient.party_id, "name": "Sample Patient"}
    for named in (str(care.patient.party_id), " Sample.Patient@EXAMPLE.org "):
        assert find_patient(care.doctor, named) == expected
        for other in (care.pharmacy, care.patient2, care.laboratory):
            assert find_patient(other, named) is None
    for named in ("", "Sample Patient", "sample", "@", str(uuid4()), str(care.doctor2.party_id), "a\x00@example.org"):
        assert find_patient(care.doctor, named) is None
    new_party("patient", "Twin Patient", email="sample.patient@example.org")
    assert find_patient(care.doctor, "sample.patient@example.org") is None


def test_only_an_administrator_looks_at_whom_accounts_act_for(care: Care) -> None:
    user_id, _ = people.create_user("north@example.org", roles=["doctor"])
    put_person(PersonInput(uuid4(), care.doctor.party_id, "Dr North", user_id=user_id), source="test")
    admin, _ = people.create_user("admin@example.org", roles=["admin"])
    support, _ = people.create_user("support@example.org", roles=["support"])
    found = party_of_account(user_id, asked_by=admin, actor="admin@example.org")
    assert found is not None
    assert (found["party_id"], found["person_name"]) == (care.doctor.party_id, "Dr North")
    choose = partial(parties_to_choose, actor="x", kind=PartyKind.DOCTOR)
    assert [row["party_name"] for row in choose(asked_by=admin)] == ["Dr Sample North", "Dr Sample South"]
    for other in (support, user_id):
        assert party_of_account(user_id, asked_by=other, actor="x") is None
        assert choose(asked_by=other) == []
