"""Tickets over the API: the way of doctor, pharmacy and patient, messages once each, and nothing for strangers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from dashboard.api import ROUTES
from dashboard.person_tokens import issue_person_token
from dispatchlog.engine.database import connected, execute, fetch_one
from dispatchlog.settings import Settings, get_settings
from tests.alteration import altered
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.ticket_calls import MEDICINE, TicketApi, running_ticket_api
from tests.engine.lane import owner
from tests.systems.ticket_samples import make_care, new_person, seen

CANARY = "CANARY7391"


@pytest.fixture
def desk(settings_env: Settings) -> Iterator[TicketApi]:
    with running_ticket_api(settings_env) as running:
        yield running


def test_a_prescription_goes_from_the_doctors_choice_to_the_handing_over(desk: TicketApi) -> None:
    doctor, pharmacy, patient = desk.care.doctor, desk.care.pharmacy, desk.care.patient
    choice = desk.choice()
    first = desk.ask(doctor, "POST", "/tickets", json=choice)
    again = desk.ask(doctor, "POST", "/tickets", json=choice)
    ticket = first.get_json()["ticket"]
    path = f"/tickets/{ticket['ticketId']}"
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json()["ticket"]["ticketId"] == ticket["ticketId"]
    assert re.fullmatch(r"TKT-\d{8}-[A-HJ-KM-NP-Z2-9]{5}", ticket["ticketNumber"])
    assert (ticket["status"], ticket["side"], ticket["prescription"]) == ("created", "primary", None)
    swapped = desk.done(
        doctor, "POST", "/tickets", json={**choice, "secondaryProviderId": str(desk.care.pharmacy2.party_id)}
    )
    assert swapped["ticket"]["secondaryProvider"]["name"] == "Harbour Pharmacy"
    desk.done(doctor, "POST", "/tickets", json=choice)
    desk.done(doctor, "PUT", f"{path}/prescription-draft", json={"draft": {"items": [{"name": "Amox"}]}})
    assert desk.done(doctor, "GET", f"{path}/prescription-draft")["draft"] == {"items": [{"name": "Amox"}]}
    sent = desk.done(doctor, "PUT", f"{path}/prescription", json={"items": [MEDICINE], "notes": "With food."})
    assert (sent["ticket"]["status"], sent["ticket"]["prescription"]["items"][0]["name"]) == ("sent", "Amoxicillin")
    assert desk.ask(pharmacy, "GET", path).get_json()["ticket"]["status"] == "sent", "looking changes nothing"
    opened = desk.done(pharmacy, "POST", f"{path}/open")
    assert (opened["changed"], opened["ticket"]["status"]) == (True, "received")
    assert desk.done(desk.care.colleague, "POST", f"{path}/open")["changed"] is False
    for status in ("ready", "completed"):
        assert desk.done(pharmacy, "POST", f"{path}/status", json={"status": status})["ticket"]["status"] == status
    assert desk.done(pharmacy, "POST", f"{path}/status", json={"status": "completed"})["changed"] is False
    entries = desk.done(patient, "GET", f"{path}/timeline")["timeline"]
    moves = [(entry["fromStatus"], entry["toStatus"]) for entry in entries if entry["kind"] == "status"]
    assert moves == [("created", "sent"), ("sent", "received"), ("received", "ready"), ("ready", "completed")]
    assert [entry["kind"] for entry in entries].count("receiver_changed") == 2
    refused = desk.ask(
        doctor, "POST", "/tickets", json={**choice, "secondaryProviderId": str(desk.care.pharmacy2.party_id)}
    )
    assert desk.api.error(refused)[:2] == (409, "TICKET_ALREADY_SENT")


def test_a_message_that_is_sent_again_is_the_same_message(desk: TicketApi) -> None:
    ticket = desk.new_ticket(sent=True)
    path = f"/threads/{ticket['thread']['threadId']}/messages"
    document = {"clientMessageId": str(uuid4()), "body": "Is the generic all right?"}
    with ThreadPoolExecutor(4) as clients:
        answers = [*clients.map(lambda _: desk.ask(desk.care.pharmacy, "POST", path, json=document), range(4))]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert {answer.get_json()["message"]["number"] for answer in answers} == {1}
    other = desk.ask(desk.care.pharmacy, "POST", path, json={**document, "body": "Another text"})
    assert desk.api.error(other)[:2] == (409, "MESSAGE_ID_REUSED")
    reply = desk.write(desk.care.doctor, ticket, "Yes.\nAny maker's.")
    assert (reply["message"]["number"], reply["stored"]) == (2, True)
    page = desk.done(desk.care.patient, "GET", path)
    assert [(m["number"], m["partyKind"], m["own"]) for m in page["messages"]] == [
        (1, "pharmacy", False),
        (2, "doctor", False),
    ]
    assert desk.done(desk.care.patient, "GET", f"{path}?before=2")["messages"][0]["number"] == 1
    assert [m["number"] for m in desk.done(desk.care.patient, "GET", f"{path}?after=1")["messages"]] == [2]


def test_what_a_party_has_read_is_told_to_the_others(desk: TicketApi) -> None:
    ticket = desk.new_ticket(sent=True)
    desk.write(desk.care.doctor, ticket, "One")
    desk.write(desk.care.doctor, ticket, "Two")
    assert desk.done(desk.care.pharmacy, "GET", "/tickets/counts")["unread"] == 1
    [listed] = desk.done(desk.care.pharmacy, "GET", "/tickets?unread=true")["tickets"]
    assert (listed["ticketId"], listed["unread"]) == (ticket["ticketId"], 2)
    path = f"/threads/{ticket['thread']['threadId']}/read"
    assert desk.done(desk.care.colleague, "POST", path, json={"number": 2})["hasUnread"] is False
    assert desk.done(desk.care.pharmacy, "GET", "/tickets/counts")["unread"] == 0
    seen_by_doctor = desk.done(desk.care.doctor, "GET", f"/tickets/{ticket['ticketId']}")["ticket"]["thread"]
    assert {r["kind"]: r["readNumber"] for r in seen_by_doctor["reading"]}["pharmacy"] == 2
    beyond = desk.ask(desk.care.pharmacy, "POST", path, json={"number": 3})
    assert desk.api.error(beyond)[:2] == (404, "MESSAGE_NOT_FOUND")


def test_whoever_names_another_sender_is_told_so_and_nothing_is_stored(desk: TicketApi) -> None:
    ticket = desk.new_ticket(sent=True)
    path = f"/threads/{ticket['thread']['threadId']}/messages"
    document = {"clientMessageId": str(uuid4()), "body": "Mine", "senderId": str(desk.care.doctor.person_id)}
    assert desk.api.error(desk.ask(desk.care.pharmacy, "POST", path, json=document))[:2] == (403, "SENDER_MISMATCH")
    assert desk.done(desk.care.doctor, "GET", path)["messages"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": "a\u0000b"}, "CONTROL_CHARACTER"),
        ({"body": "", "attachments": []}, "MESSAGE_EMPTY"),
        ({"body": "x" * 8_001}, "TOO_LONG"),
        ({"timelineId": 1}, "TIMELINE_NOT_FOUND"),
        (
            {"attachments": [{"name": "a.pdf", "mediaType": "application/pdf", "sizeBytes": 1, "url": "javascript:x"}]},
            "ATTACHMENT_INVALID",
        ),
        ({"clientMessageId": "1"}, "INVALID_UUID"),
    ],
)
def test_a_message_that_cannot_be_taken_is_refused_and_not_stored(
    desk: TicketApi, change: dict[str, Any], code: str
) -> None:
    other = desk.new_ticket()
    assert other["ticketNumber"]
    ticket = desk.new_ticket(sent=True)
    path = f"/threads/{ticket['thread']['threadId']}/messages"
    document = {"clientMessageId": str(uuid4()), "body": "text", **change}
    assert desk.api.error(desk.ask(desk.care.pharmacy, "POST", path, json=document))[1] == code
    assert desk.done(desk.care.doctor, "GET", path)["messages"] == []


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"items": []}, "INVALID_VALUE"),
        ({"items": [{"name": "Amoxicillin"}]}, "ITEM_INVALID"),
        ({"items": [{**MEDICINE, "refills": 100}]}, "INVALID_VALUE"),
        ({"items": [{**MEDICINE, "instructions": "a\u0007"}]}, "CONTROL_CHARACTER"),
    ],
)
def test_a_prescription_that_cannot_be_taken_sends_nothing(
    desk: TicketApi, document: dict[str, Any], code: str
) -> None:
    ticket = desk.new_ticket()
    path = f"/tickets/{ticket['ticketId']}/prescription"
    status, found, _ = desk.api.error(desk.ask(desk.care.doctor, "PUT", path, json=document))
    assert (status, found) == (400, code)
    assert desk.done(desk.care.doctor, "GET", f"/tickets/{ticket['ticketId']}")["ticket"]["status"] == "created"
    assert seen(desk.care.doctor, "SELECT 1 FROM prescriptions") == []


# --- who may not

PERSON_ROUTES = [route for route in ROUTES if not route.scope]
STRANGERS = ("doctor2", "pharmacy2", "patient2", "laboratory")
BODIES: dict[str, dict[str, Any]] = {
    "moveTicket": {"status": "cancelled", "reason": "not wanted"},
    "putPrescriptionDraft": {"draft": {}},
    "savePrescription": {"items": [MEDICINE]},
    "sendMessage": {"clientMessageId": str(uuid4()), "body": "hello"},
    "markThreadRead": {"number": 0},
}


def answers_to(desk: TicketApi, who: Any, ticket_id: str, thread_id: str, order_id: str) -> dict[str, Any]:
    """What every route answers this person about this ticket, without what differs between any two answers."""
    found = {}
    for route in PERSON_ROUTES:
        if route.name in ("findParties", "chooseReceiver"):
            continue
        path = route.rule.removeprefix("/api/v1").replace("<ticket_id>", ticket_id).replace("<thread_id>", thread_id)
        queries = [""]
        if route.name == "findThread":
            queries = [f"?ticketId={ticket_id}", f"?orderId={order_id}"]
        if route.name == "findTickets":
            queries = ["", "?q=TKT-", "?unread=true", "?status=created,sent,received"]
        for query in queries:
            body = {"json": BODIES.get(route.name, {})} if route.method != "GET" else {}
            answer = desk.ask(who, route.method, f"{path}{query}", **body)
            text = re.sub(r'"traceId":"[^"]+"', "", answer.get_data(as_text=True).replace(" ", ""))
            for asked in (ticket_id, thread_id, order_id):
                text = text.replace(asked, "ID")
            asked = query.replace(ticket_id, "ID").replace(order_id, "ID")
            found[f"{route.name}{asked}"] = (answer.status_code, text)
    return found


@pytest.mark.parametrize("sent", [False, True], ids=["before it is sent", "after it was sent"])
def test_for_a_stranger_a_ticket_is_as_one_that_does_not_exist(desk: TicketApi, sent: bool) -> None:
    """Every route that a person may call, with the ids known: neither a word nor a count nor another status tells it."""
    ticket = desk.new_ticket()
    desk.write(desk.care.doctor, ticket, f"{CANARY} message")
    draft = {"draft": {"notes": CANARY}}
    desk.done(desk.care.doctor, "PUT", f"/tickets/{ticket['ticketId']}/prescription-draft", json=draft)
    if sent:
        document = {"items": [{**MEDICINE, "name": CANARY}], "notes": CANARY}
        desk.done(desk.care.doctor, "PUT", f"/tickets/{ticket['ticketId']}/prescription", json=document)
    strangers = [getattr(desk.care, name) for name in STRANGERS]
    if not sent:
        strangers += [desk.care.pharmacy, desk.care.colleague]
    for stranger in strangers:
        about = answers_to(
            desk, stranger, ticket["ticketId"], ticket["thread"]["threadId"], str(ticket["appointmentId"])
        )
        nothing = answers_to(desk, stranger, str(uuid4()), str(uuid4()), str(uuid4()))
        assert about == nothing, stranger.party_name
        assert CANARY not in str([*about.values()])
    after = desk.done(desk.care.doctor, "GET", f"/tickets/{ticket['ticketId']}")["ticket"]
    assert (after["status"], after["thread"]["lastNumber"]) == ("sent" if sent else "created", 1)


def test_a_patient_and_a_pharmacy_cannot_do_what_is_the_doctors(desk: TicketApi) -> None:
    ticket = desk.new_ticket(sent=True)
    path = f"/tickets/{ticket['ticketId']}"
    for who in (desk.care.pharmacy, desk.care.patient):
        refused = desk.ask(who, "PUT", f"{path}/prescription", json={"items": [{**MEDICINE, "name": "Other"}]})
        assert desk.api.error(refused)[:2] == (403, "NOT_YOUR_TICKET")
        assert desk.api.error(desk.ask(who, "POST", "/tickets", json=desk.choice()))[:2] == (403, "NOT_A_DOCTOR")
    for status in ("received", "ready", "completed", "cancelled"):
        refused = desk.ask(desk.care.patient, "POST", f"{path}/status", json={"status": status, "reason": "because"})
        assert desk.api.error(refused)[:2] == (409, "MOVE_NOT_ALLOWED")
    other = desk.ask(desk.care.doctor, "PUT", f"{path}/prescription", json={"items": [{**MEDICINE, "name": "Other"}]})
    assert desk.api.error(other)[:2] == (409, "PRESCRIPTION_FIXED")


def test_only_a_persons_own_valid_token_lets_them_in(desk: TicketApi) -> None:
    settings, who = get_settings(), desk.care.doctor
    good = issue_person_token(who.person_id, settings=settings).text
    over = issue_person_token(who.person_id, settings=settings, seconds=-1).text
    unknown = issue_person_token(uuid4(), settings=settings).text

    def code(token: str) -> tuple[int, str]:
        return desk.api.error(desk.api.call("GET", "/tickets", token=token))[:2]

    assert desk.api.call("GET", "/tickets", token=good).status_code == 200
    content, _, signature = good.rpartition(".")
    forged = f"{content}.{altered(signature)}"
    assert code(over) == code(forged) == (401, "UNAUTHENTICATED")
    assert code(unknown) == (403, "PERSON_UNKNOWN")
    assert code(desk.api.token) == (403, "FORBIDDEN_SCOPE")
    with owner(settings.database_url) as cursor:
        cursor.execute("UPDATE care_people SET active = false WHERE id = %s", (who.person_id,))
    assert code(good) == (403, "PERSON_INACTIVE")


def test_a_service_reports_people_and_lets_them_in(desk: TicketApi) -> None:
    person = uuid4()
    document = {"kind": "doctor", "name": "Dr New", "email": "new@example.org"}
    assert desk.api.call("PUT", f"/parties/{person}", json=document).status_code == 200
    assert desk.api.call("PUT", f"/people/{person}", json={"name": "Dr New"}).get_json()["partyId"] == str(person)
    token = desk.api.call("POST", f"/people/{person}/access-token").get_json()["token"]
    assert desk.api.call("GET", "/tickets", token=token).get_json()["tickets"] == []
    names = [party["name"] for party in desk.api.call("GET", "/parties?name=LINDEN", token=token).get_json()["parties"]]
    assert names == ["Linden Pharmacy"]
    refusals = {
        "UNKNOWN_KIND": desk.api.call("PUT", f"/parties/{uuid4()}", json={**document, "kind": "vet"}),
        "INVALID_EMAIL": desk.api.call("PUT", f"/parties/{uuid4()}", json={**document, "email": "no address"}),
        "PARTY_KIND_FIXED": desk.api.call("PUT", f"/parties/{person}", json={**document, "kind": "patient"}),
        "PARTY_NOT_FOUND": desk.api.call("PUT", f"/people/{uuid4()}", json={"name": "Nobody's"}),
        "PERSON_PARTY_FIXED": desk.api.call(
            "PUT", f"/people/{person}", json={"name": "Dr New", "partyId": str(desk.care.doctor.party_id)}
        ),
        "PERSON_NOT_FOUND": desk.api.call("POST", f"/people/{uuid4()}/access-token"),
    }
    assert {code: desk.api.error(answer)[1] for code, answer in refusals.items()} == {code: code for code in refusals}


def test_an_old_thread_is_found_by_its_order_and_written_in_by_its_members_alone(desk: TicketApi) -> None:
    order, thread = uuid4(), uuid4()
    with owner(get_settings().database_url) as cursor:
        cursor.execute("INSERT INTO chat_threads (id, order_id, is_legacy) VALUES (%s, %s, true)", (thread, order))
        for member in (desk.care.doctor.party_id, desk.care.pharmacy.person_id):
            cursor.execute("INSERT INTO chat_thread_members (thread_id, party_id) VALUES (%s, %s)", (thread, member))
    document = {"clientMessageId": str(uuid4()), "body": "An old thread"}
    for who in (desk.care.doctor, desk.care.pharmacy):
        found = desk.done(who, "GET", f"/threads?orderId={order}")
        assert (UUID(found["threadId"]), found["ticketId"], found["isLegacy"]) == (thread, None, True)
    assert desk.done(desk.care.pharmacy, "POST", f"/threads/{thread}/messages", json=document)["stored"]
    assert desk.done(desk.care.doctor, "GET", f"/threads/{thread}/messages")["messages"][0]["body"] == "An old thread"
    for who in (desk.care.doctor2, desk.care.patient, desk.care.pharmacy2):
        assert desk.ask(who, "GET", f"/threads?orderId={order}").status_code == 404
        assert desk.ask(who, "POST", f"/threads/{thread}/messages", json=document).status_code == 404


def test_lists_are_paged_without_gap_or_double(desk: TicketApi) -> None:
    made = {desk.new_ticket()["ticketId"] for _ in range(5)}
    found, cursor = [], ""
    while True:
        page = desk.done(desk.care.doctor, "GET", f"/tickets?limit=2{cursor}")
        found += [ticket["ticketId"] for ticket in page["tickets"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert (len(found), set(found)) == (5, made)
    for bad in ("x", "WzEsMl0", "eyJ9"):
        answer = desk.ask(desk.care.doctor, "GET", f"/tickets?cursor={bad}")
        assert desk.api.error(answer)[:2] == (400, "INVALID_CURSOR")


def test_a_database_that_is_asked_by_nobody_shows_nothing(desk: TicketApi) -> None:
    desk.new_ticket(sent=True)
    tables = ("healthcare_tickets", "prescriptions", "prescription_items", "chat_threads", "chat_messages")
    with connected():
        counts = [execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    assert counts == [0] * len(tables)


def test_an_account_that_is_linked_asks_with_its_session_and_the_pages_token(dash: Dashboard) -> None:
    care = make_care()
    pharmacist = dash.as_("pharmacist")
    headers = {"X-CSRFToken": pharmacist.token}

    def code(visitor: Visitor, **more: Any) -> tuple[int, str]:
        answer = visitor.client.get("/api/v1/tickets", **more)
        return answer.status_code, (answer.get_json().get("error") or {"code": ""})["code"]

    assert code(pharmacist, headers=headers) == (403, "PERSON_UNKNOWN")
    with connected():
        account = fetch_one("SELECT id FROM staff_users WHERE email = 'pharmacist@example.org'")[0]
    new_person(care.pharmacy.party_id, "Pharmacist with an account", user_id=account)
    assert code(pharmacist, headers=headers) == (200, "")
    assert code(pharmacist) == (400, "CSRF")
    support = dash.as_("support")
    assert code(support, headers={"X-CSRFToken": support.token}) == (403, "FORBIDDEN_ROLE")
    assert code(dash.visitor()) == (401, "UNAUTHENTICATED")
