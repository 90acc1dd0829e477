"""A doctor begins a ticket, writes it, looks it over and sends it, all without scripts; and nobody else does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.systems.tickets.inputs import ItemInput, PrescriptionInput
from dispatchlog.systems.tickets.prescribing import keep_draft, kept_draft, save_prescription
from dispatchlog.systems.tickets.reading import TicketState, ticket_state
from dispatchlog.systems.tickets.states import Side, TicketStatus, TicketType
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.ticket_accounts import link, link_accounts, new_patient, ticket
from tests.systems.ticket_samples import Care, new_party

FIELDS = {
    "items-0-name": "Amoxicillin",
    "items-0-strength": "500 mg",
    "items-0-dosage": "1 capsule",
    "items-0-refills": "2",
    "items-0-instructions": "With water.\r\nFinish all.",
    "items-3-name": "Paracetamol",
    "items-3-quantity": "20 tablets",
    "notes": "Call me.",
}
ITEMS = [
    {
        "name": "Amoxicillin",
        "strength": "500 mg",
        "dosage": "1 capsule",
        "refills": "2",
        "instructions": "With water.\nFinish all.",
    },
    {"name": "Paracetamol", "quantity": "20 tablets"},
]


def address(row: Mapping[str, Any], more: str = "") -> str:
    return f"/tickets/{row['id']}/prescription{more}"


def state(care: Care, row: Mapping[str, Any]) -> TicketState:
    return ticket_state(care.doctor, row["id"])


def written(dash: Dashboard, care: Care) -> tuple[Visitor, Mapping[str, Any]]:
    """The doctor at a ticket that is written and ready to be looked over."""
    row = ticket(care, TicketStatus.CREATED)
    keep_draft(care.doctor, row["id"], {"items": ITEMS, "notes": "Call me."})
    visitor = dash.as_("doctor")
    visitor.get(address(row))
    return visitor, row


def shown_by(visitor: Visitor, row: Mapping[str, Any]) -> str:
    return re.search(r'name="shown" value="([0-9a-f]+)"', visitor.get(address(row, "/confirm")).text)[1]  # type: ignore[index]


def test_beginning_twice_is_one_ticket_and_leads_to_where_it_is_written(dash: Dashboard) -> None:
    care = link_accounts()
    visitor = dash.as_("doctor")
    page = visitor.get("/tickets/new").text
    assert "Linden Pharmacy" in page
    assert "Cedar Laboratory" not in page
    told = {
        "appointment": str(uuid4()),
        "patient": "Sample.Patient@example.org",
        "receiver": str(care.pharmacy.party_id),
    }
    first, again = (visitor.post("/tickets/new", type="prescription", do="begin", **told) for _ in range(2))
    assert first.status_code == 303
    assert re.fullmatch(r"/tickets/[0-9a-f-]{36}/prescription", first.location)
    assert again.location == first.location
    other = visitor.post("/tickets/new", type="prescription", **{**told, "receiver": str(care.pharmacy2.party_id)})
    assert other.location == first.location
    row = ticket_state(care.doctor, UUID(first.location.split("/")[2]))
    assert row.parties[Side.SECONDARY]["name"] == "Harbour Pharmacy"


def test_what_is_missing_of_a_new_ticket_is_said_beside_its_field_and_nothing_is_made(dash: Dashboard) -> None:
    care = link_accounts()
    visitor = dash.as_("doctor")
    visitor.get("/tickets/new")
    answer = visitor.post("/tickets/new", type="prescription", appointment="12", patient="nobody@example.org")
    assert answer.status_code == 400
    page = unescape(answer.text)
    assert "An appointment's id looks like" in page
    assert "There is no patient of exactly this id or address." in page
    assert "Choose the pharmacy who shall receive it." in page
    assert 'value="nobody@example.org"' in page
    answer = visitor.post(
        "/tickets/new",
        type="prescription",
        appointment=str(uuid4()),
        patient=str(care.patient.party_id),
        receiver=str(care.laboratory.party_id),
    )
    assert answer.status_code == 409
    assert "choose another one" in answer.text
    assert "No tickets here" in visitor.get("/tickets?status=all").text


def test_receivers_are_found_by_name_and_a_link_may_name_the_appointment_but_no_address(dash: Dashboard) -> None:
    care = link_accounts()
    new_party("pharmacy", "Harbour Arcade")
    visitor = dash.as_("doctor")
    visitor.get("/tickets/new")
    found = visitor.post("/tickets/new", type="prescription", do="find", find="harb", appointment="kept").text
    assert "Harbour Arcade" in found
    assert "Linden Pharmacy" not in found
    assert 'value="kept"' in found
    assert "Dr Sample South" in visitor.get("/tickets/new?type=referral").text
    appointment = uuid4()
    page = visitor.get(f"/tickets/new?appointment={appointment}&patient=someone@example.org").text
    assert str(appointment) in page
    assert "someone@example.org" not in page
    assert str(care.patient.party_id) in visitor.get(f"/tickets/new?patient={care.patient.party_id}").text


def test_an_appointment_of_another_doctor_or_one_sent_elsewhere_is_refused(dash: Dashboard) -> None:
    care = link_accounts()
    appointment = uuid4()
    ticket(care, doctor=care.doctor2, appointment_id=appointment)
    mine = ticket(care)
    visitor = dash.as_("doctor")
    visitor.get("/tickets/new")
    told = {"patient": str(care.patient.party_id), "receiver": str(care.pharmacy2.party_id)}
    answer = visitor.post("/tickets/new", appointment=str(appointment), **told)
    assert answer.status_code == 409
    assert "another doctor" in answer.text
    answer = visitor.post("/tickets/new", appointment=str(mine["appointment_id"]), **told)
    assert answer.status_code == 409
    assert "was sent to somebody else already" in answer.text
    told["receiver"] = str(care.pharmacy.party_id)
    answer = visitor.post("/tickets/new", appointment=str(mine["appointment_id"]), **told)
    assert (answer.status_code, answer.location) == (303, f"/tickets/{mine['id']}")


def test_a_draft_is_kept_as_it_was_written_with_rows_added_and_removed(dash: Dashboard) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED)
    visitor = dash.as_("doctor")
    assert 'id="items-0-name"' in visitor.get(address(row)).text
    answer = visitor.post(address(row), do="add", **FIELDS)
    assert answer.location == address(row, "#item-3")
    assert kept_draft(care.doctor, row["id"]) == {"items": [*ITEMS, {}], "notes": "Call me."}
    page = visitor.get(address(row)).text
    assert 'value="Paracetamol"' in page
    assert 'id="item-3"' in page
    fields = {"items-0-name": "A", "items-1-name": "B", "items-2-name": "C"}
    visitor.post(address(row), do="remove:1", **fields)
    assert kept_draft(care.doctor, row["id"]) == {"items": [{"name": "A"}, {"name": "C"}], "notes": ""}
    visitor.post(address(row), do="draft", **{"items-0-name": "x", "items-0-refills": "many"})
    assert 'value="many"' in visitor.get(address(row)).text
    assert visitor.post(address(row), do="autosave", **FIELDS).status_code == 204
    assert kept_draft(care.doctor, row["id"]) == {"items": ITEMS, "notes": "Call me."}
    assert state(care, row).ticket["status"] == TicketStatus.CREATED


def test_looking_it_over_shows_exactly_what_is_sent_and_sending_sends_exactly_that(dash: Dashboard) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED, patient=new_patient("Zora <b>Canary</b>"))
    visitor = dash.as_("doctor")
    visitor.get(address(row))
    answer = visitor.post(address(row), do="review", **FIELDS)
    assert answer.location == address(row, "/confirm")
    page = visitor.get(answer.location).text
    for words in (
        "Zora &lt;b&gt;Canary",
        "Linden Pharmacy",
        "Amoxicillin",
        "500 mg",
        "Finish all.",
        "20 tablets",
        "Call me.",
    ):
        assert words in page, words
    assert state(care, row).ticket["status"] == TicketStatus.CREATED
    answer = visitor.post(address(row, "/send"), shown=shown_by(visitor, row))
    assert (answer.status_code, answer.location) == (303, f"/tickets/{row['id']}")
    sent = state(care, row)
    assert sent.ticket["status"] == TicketStatus.SENT
    assert [(item["name"], item["refills"], item["instructions"]) for item in sent.items] == [
        ("Amoxicillin", 2, "With water.\nFinish all."),
        ("Paracetamol", 0, ""),
    ]
    assert sent.prescription is not None
    assert sent.prescription["notes"] == "Call me."


def test_sending_twice_sends_once(dash: Dashboard) -> None:
    visitor, row = written(dash, link_accounts())
    shown = shown_by(visitor, row)
    answers = [visitor.post(address(row, "/send"), shown=shown) for _ in range(2)]
    assert [answer.location for answer in answers] == [f"/tickets/{row['id']}"] * 2
    with connected():
        kinds = fetch_dicts("SELECT kind FROM ticket_notifications WHERE ticket_id = %s", (row["id"],))
    assert [each["kind"] for each in kinds] == ["SENT"]


@pytest.mark.parametrize("what", ["draft", "receiver", "nothing shown"])
def test_what_changed_since_it_was_shown_is_not_sent_but_shown_again(dash: Dashboard, what: str) -> None:
    care = link_accounts()
    visitor, row = written(dash, care)
    shown = shown_by(visitor, row) if what != "nothing shown" else ""
    if what == "draft":
        keep_draft(care.doctor, row["id"], {"items": [*ITEMS, {"name": "Ibuprofen", "dosage": "1"}], "notes": ""})
    elif what == "receiver":
        ticket(care, TicketStatus.CREATED, receiver=care.pharmacy2, appointment_id=row["appointment_id"])
    answer = visitor.post(address(row, "/send"), shown=shown)
    assert answer.location == address(row, "/confirm")
    assert "changed meanwhile" in visitor.get(answer.location).text
    assert state(care, row).ticket["status"] == TicketStatus.CREATED


def test_faults_stand_beside_their_fields_and_what_was_written_is_kept(dash: Dashboard) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED)
    visitor = dash.as_("doctor")
    visitor.get(address(row))
    fields = {
        "items-0-name": "",
        "items-0-strength": "5 mg",
        "items-0-refills": "100",
        "items-1-name": "",
        "items-2-name": "Fine",
        "items-2-quantity": "1",
        "items-3-name": "x" * 256,
        "notes": "n" * 8_001,
    }
    answer = visitor.post(address(row), do="review", **fields)
    assert answer.status_code == 400
    marked = set(re.findall(r'id="([^"]+)-fault"', answer.text))
    assert marked == {"items-0-name", "items-0-dosage", "items-0-refills", "items-2-name", "items-2-dosage", "notes"}
    for name in marked:
        assert re.search(rf'name="{name}"[^>]*aria-describedby="{name}-fault[^>]*aria-invalid="true"', answer.text), (
            name
        )
    assert "A whole number from 0 to 99." in answer.text
    assert len(kept_draft(care.doctor, row["id"])["items"]) == 3  # type: ignore[index]
    assert (
        visitor.post(address(row), do="review", **{"items-0-name": ""}).text.count("Write at least one medicine.") == 1
    )
    assert visitor.get(address(row, "/confirm")).location == address(row)


def test_another_pharmacy_is_chosen_before_sending_and_what_was_written_stays(dash: Dashboard) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED)
    visitor = dash.as_("doctor")
    visitor.get(address(row))
    answer = visitor.post(address(row), do="find", find="harb", **FIELDS)
    assert answer.location == address(row, "?find=harb#receiver")
    page = visitor.get(answer.location).text
    assert str(care.pharmacy2.party_id) in page
    assert 'value="Amoxicillin"' in page
    visitor.post(address(row), do="receiver", receiver=str(care.pharmacy2.party_id), **FIELDS)
    assert state(care, row).parties[Side.SECONDARY]["name"] == "Harbour Pharmacy"
    assert "Save and send to <span data-receiver-name>Harbour Pharmacy" in visitor.get(address(row)).text
    answer = visitor.post(address(row), do="review", receiver=str(care.pharmacy.party_id), **FIELDS)
    assert "Send to Linden Pharmacy?" in visitor.get(answer.location).text
    answer = visitor.post(address(row), do="review", receiver=str(care.laboratory.party_id), **FIELDS)
    assert answer.status_code == 400
    assert state(care, row).parties[Side.SECONDARY]["name"] == "Linden Pharmacy"


@pytest.mark.parametrize("path", ["", "/confirm"])
def test_nobody_but_its_doctor_writes_a_ticket(dash: Dashboard, path: str) -> None:
    care = link_accounts()
    unsent, sent = ticket(care, TicketStatus.CREATED), ticket(care)
    theirs = ticket(care, TicketStatus.CREATED, doctor=care.doctor2)
    doctor = dash.as_("doctor")
    assert doctor.get(address(theirs, path)).status_code == 404
    assert doctor.get(address(sent, path)).location == f"/tickets/{sent['id']}"
    pharmacist = dash.as_("pharmacist")
    assert pharmacist.get(address(unsent, path)).status_code == 404
    assert pharmacist.get(address(sent, path)).location == f"/tickets/{sent['id']}"
    patient = dash.as_("patient")
    assert patient.get(address(unsent, path)).location == f"/tickets/{unsent['id']}"
    for visitor, row in ((doctor, theirs), (doctor, sent), (pharmacist, unsent), (patient, unsent)):
        visitor.get("/account")
        answers = [
            visitor.post(address(row, more), do="draft", shown="x", **FIELDS).status_code for more in ("", "/send")
        ]
        assert set(answers) <= {303, 404}
    assert state(care, unsent).ticket["status"] == TicketStatus.CREATED
    assert kept_draft(care.doctor, unsent["id"]) is None
    assert kept_draft(care.doctor2, theirs["id"]) is None


def test_what_was_sent_meanwhile_is_said(dash: Dashboard) -> None:
    care = link_accounts()
    visitor, row = written(dash, care)
    save_prescription(care.doctor, row["id"], PrescriptionInput(items=(ItemInput(name="Other", dosage="1"),)))
    for path, do in (("", "draft"), ("", "autosave"), ("/send", "")):
        answer = visitor.post(address(row, path), do=do, shown="x", **FIELDS)
        assert (answer.status_code, answer.location) == (303, f"/tickets/{row['id']}"), path
    assert [item["name"] for item in state(care, row).items] == ["Other"]


@pytest.mark.parametrize(
    ("ticket_type", "label", "unseen"),
    [(TicketType.LAB_REQUEST, "Specimen", "Dosage"), (TicketType.REFERRAL, "What is known", "Dosage")],
)
def test_lab_requests_and_referrals_have_fields_of_their_own(
    dash: Dashboard, ticket_type: TicketType, label: str, unseen: str
) -> None:
    care = link_accounts()
    receiver = care.laboratory if ticket_type is TicketType.LAB_REQUEST else care.doctor2
    row = ticket(care, TicketStatus.CREATED, receiver=receiver, ticket_type=ticket_type)
    visitor = dash.as_("doctor")
    page = visitor.get(address(row)).text
    assert label in page
    assert unseen not in page
    visitor.post(address(row), do="review", **{"items-0-name": "Blood count", "items-0-dosage": "unusual"})
    page = visitor.get(address(row, "/confirm")).text
    assert "unusual" in page  # nothing is sent unseen
    visitor.post(address(row, "/send"), shown=shown_by(visitor, row))
    assert state(care, row).ticket["status"] == TicketStatus.SENT


def test_characters_that_cannot_be_kept_are_taken_out_before_they_are_stored(dash: Dashboard) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED)
    visitor = dash.as_("doctor")
    visitor.get(address(row))
    visitor.post(
        address(row), do="draft", **{"items-0-name": "Amoxi\x00cillin\u202e\u00a0 forte", "notes": "a\x00b\tc\u00a0d"}
    )
    assert kept_draft(care.doctor, row["id"]) == {"items": [{"name": "Amoxi cillin forte"}], "notes": "ab c d"}
    answer = visitor.post(address(row), do="draft", **{f"items-{n}-name": "x" * 20_000 for n in range(5)})
    assert answer.status_code == 400
    assert "too long to be kept" in answer.text
    assert "x" * 20_000 in answer.text


def test_only_a_doctor_begins_a_ticket(dash: Dashboard) -> None:
    care = link_accounts()
    link("support@example.org", care.doctor2)
    for role in ("pharmacist", "patient", "support"):
        visitor = dash.as_(role)
        visitor.get("/account")
        assert visitor.get("/tickets/new").status_code == 403, role
        assert visitor.post("/tickets/new", appointment=str(uuid4())).status_code == 403, role
