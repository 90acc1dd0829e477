"""One ticket for its parties: what they see, receiving, reading, writing each message once, and moving it on."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from dispatchlog.engine.database import execute
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.handling import move_ticket
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import AttachmentInput
from dispatchlog.systems.tickets.messages import mark_read, message_page
from dispatchlog.systems.tickets.reading import ticket_state, ticket_timeline
from dispatchlog.systems.tickets.states import TicketStatus
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.ticket_samples import Parties, link_parties, new_ticket, received_ticket, say, sent_ticket


@pytest.fixture
def parties(dash: Dashboard) -> Parties:
    return link_parties()


def status_of(who: Identity, ticket: Row) -> str:
    return str(ticket_state(who, ticket["id"]).ticket["status"])


def bodies(who: Identity, ticket: Row) -> list[str]:
    thread = ticket_state(who, ticket["id"]).thread["id"]
    return [message["body"] for message in message_page(who, thread).messages]


def statuses(who: Identity, ticket: Row) -> list[str]:
    return [entry["to_status"] for entry in ticket_timeline(who, ticket["id"]) if entry["kind"] == "status"]


def form_id(page: str) -> str:
    found = re.search(r'name="message_id" value="([^"]+)"', page)
    assert found
    return found.group(1)


def opened(dash: Dashboard, role: str, ticket: Row) -> tuple[Visitor, str]:
    visitor = dash.as_(role)
    answer = visitor.get(f"/tickets/{ticket['id']}")
    assert answer.status_code == 200
    return visitor, answer.text


@pytest.mark.parametrize("role", ["doctor", "pharmacist", "patient"])
def test_each_party_sees_prescription_messages_and_timeline(dash: Dashboard, parties: Parties, role: str) -> None:
    ticket = received_ticket(parties)
    say(parties.doctor, ticket, "Please check the dose.")
    _, page = opened(dash, role, ticket)
    for words in (ticket["ticket_number"], "Amoxicillin", "500 mg", "three times a day", "Allergic to penicillin?",
                  "Please check the dose.", "Dr Sample North", "Linden Pharmacy", "Sample Patient",
                  "The pharmacy has it and prepares it."):  # fmt: skip
        assert words in page
    assert page.count('class="event tone-') == 4


def test_nobody_else_learns_that_there_is_a_ticket(dash: Dashboard, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    stranger = dash.visitor()
    stranger.sign_in("doctor2@example.org")
    address = f"/tickets/{ticket['id']}"
    nowhere = f"/tickets/{uuid4()}"
    for path in ("", "/since?number=0"):
        assert stranger.get(address + path).status_code == stranger.get(nowhere + path).status_code == 404
    for path, fields in (
        ("/open", {}),
        ("/read", {"number": "1"}),
        ("/messages", {"message_id": str(uuid4()), "body": "x"}),
        ("/move", {"status": "ready"}),
        ("/move", {"status": "cancelled", "reason": "x", "confirm": "yes"}),
    ):
        assert stranger.post(address + path, **fields).status_code == 404
    assert dash.as_("support").get(address).status_code == 403
    assert status_of(parties.doctor, ticket) == "sent"


def test_the_pharmacy_sees_nothing_before_it_is_sent(dash: Dashboard, parties: Parties) -> None:
    ticket = new_ticket(parties)
    assert dash.as_("pharmacist").get(f"/tickets/{ticket['id']}").status_code == 404
    assert "The doctor is still writing it." in opened(dash, "patient", ticket)[1]


def test_a_look_receives_nothing_and_the_post_receives_once(dash: Dashboard, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    pharmacist, page = opened(dash, "pharmacist", ticket)
    assert "data-receive" in page
    assert statuses(parties.doctor, ticket) == ["sent"]
    answer = pharmacist.post(f"/tickets/{ticket['id']}/open", follow=True)
    assert "Received. The doctor sees that you have it." in answer.text
    assert "data-receive" not in answer.text
    pharmacist.post(f"/tickets/{ticket['id']}/open")
    assert statuses(parties.doctor, ticket) == ["sent", "received"]


def test_whoever_else_opens_it_receives_nothing(dash: Dashboard, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    doctor, page = opened(dash, "doctor", ticket)
    assert "data-receive" not in page
    assert doctor.post(f"/tickets/{ticket['id']}/open").status_code == 303
    assert statuses(parties.doctor, ticket) == ["sent"]


def test_the_same_form_sent_twice_is_one_message(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    doctor, page = opened(dash, "doctor", ticket)
    fields = {"message_id": form_id(page), "body": "Please call me.\r\nToday."}
    first = doctor.post(f"/tickets/{ticket['id']}/messages", **fields)
    again = doctor.post(f"/tickets/{ticket['id']}/messages", **fields)
    assert first.location == again.location == f"/tickets/{ticket['id']}#message-1"
    assert bodies(parties.doctor, ticket) == ["Please call me.\nToday."]


def test_a_form_that_was_used_keeps_the_text_and_gets_a_new_id(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    doctor, page = opened(dash, "doctor", ticket)
    address, used = f"/tickets/{ticket['id']}/messages", form_id(page)
    doctor.post(address, message_id=used, body="One")
    refused = doctor.post(address, message_id=used, body="Another")
    assert refused.status_code == 409
    assert ">\nAnother</textarea>" in refused.text
    assert form_id(refused.text) != used
    doctor.post(address, message_id=form_id(refused.text), body="Another")
    assert bodies(parties.doctor, ticket) == ["One", "Another"]


def test_what_cannot_be_sent_stays_in_the_form_with_its_id(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    doctor, page = opened(dash, "doctor", ticket)
    address, message_id = f"/tickets/{ticket['id']}/messages", form_id(page)
    empty = doctor.post(address, message_id=message_id, body="  \r\n")
    assert (empty.status_code, form_id(empty.text)) == (422, message_id)
    assert "Write something first." in empty.text
    long = doctor.post(address, message_id=message_id, body="x" * 8001)
    assert long.status_code == 422
    assert "x" * 8001 in long.text
    wrong = doctor.post(address, message_id=message_id, body="About what?", timeline_id="999999")
    assert wrong.status_code == 422
    assert doctor.post(address, message_id="none", body="x").status_code == 400
    assert bodies(parties.doctor, ticket) == []


def test_after_it_was_cancelled_nothing_is_written_and_the_text_is_not_lost(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    doctor, page = opened(dash, "doctor", ticket)
    move_ticket(parties.pharmacy, ticket["id"], TicketStatus.CANCELLED, reason="out of stock")
    refused = doctor.post(f"/tickets/{ticket['id']}/messages", message_id=form_id(page), body="Please wait")
    assert refused.status_code == 409
    assert "Please wait" in refused.text
    assert "data-compose" not in refused.text
    assert "out of stock" in refused.text


def test_a_message_shows_the_status_that_it_speaks_of(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    entry = ticket_timeline(parties.doctor, ticket["id"])[-1]
    pharmacist, page = opened(dash, "pharmacist", ticket)
    fields = {"message_id": form_id(page), "body": "It is here.", "timeline_id": str(entry["id"])}
    pharmacist.post(f"/tickets/{ticket['id']}/messages", **fields)
    _, shown = opened(dash, "patient", ticket)
    assert f'<a href="#entry-{entry["id"]}">Received</a>' in shown
    assert f'id="entry-{entry["id"]}"' in shown


def test_the_newest_fifty_come_first_and_the_older_ones_by_a_link(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    for number in range(1, 54):
        say(parties.doctor, ticket, f"Message {number} of many")
    patient, page = opened(dash, "patient", ticket)
    assert ("Message 3 of many" in page, "Message 4 of many" in page, "Message 53 of many" in page) == (
        False,
        True,
        True,
    )
    assert f'href="/tickets/{ticket["id"]}?before=4#messages"' in page
    assert "data-follows" in page
    older = patient.get(f"/tickets/{ticket['id']}?before=4").text
    assert ("Message 3 of many" in older, "Message 4 of many" in older) == (True, False)
    assert "Newest messages" in older
    assert "data-follows" not in older
    for damaged in ("x", "-1", "0", "9" * 40, "²"):
        assert patient.get(f"/tickets/{ticket['id']}?before={damaged}").status_code == 200


def test_the_news_of_a_page_are_what_came_after_a_number(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    for number in (1, 2, 3):
        say(parties.doctor, ticket, f"Word {number}")
    patient = dash.as_("patient")
    news = patient.get(f"/tickets/{ticket['id']}/since?number=2").text
    assert ("Word 2" in news, "Word 3" in news) == (False, True)
    assert "3 unread" in news
    for part in ("standing", "asked", "unread", "timeline"):
        assert f'data-part="{part}"' in news
    assert "<html" not in news


def test_reading_is_told_and_the_others_see_how_far(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    for body in ("One", "Two"):
        say(parties.doctor, ticket, body)
    thread = ticket_state(parties.doctor, ticket["id"]).thread["id"]
    mark_read(parties.pharmacy, thread, 1)
    _, page = opened(dash, "doctor", ticket)
    assert page.index("One</p>") < page.index("Linden Pharmacy has read up to here") < page.index("Two</p>")
    patient, unread = opened(dash, "patient", ticket)
    assert "2 unread" in unread
    assert patient.post(f"/tickets/{ticket['id']}/read", number="9").status_code == 303
    assert patient.post(f"/tickets/{ticket['id']}/read", number="2").status_code == 303
    assert "unread" not in opened(dash, "patient", ticket)[1].replace('data-part="unread"', "")
    assert patient.post(f"/tickets/{ticket['id']}/read", number="x").status_code == 400


def test_the_pharmacy_prepares_it_and_hands_it_over(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    pharmacist, page = opened(dash, "pharmacist", ticket)
    address = f"/tickets/{ticket['id']}/move"
    assert "Mark ready" in page
    assert "Ready. Everybody concerned sees it." in pharmacist.post(address, status="ready", follow=True).text
    assert "Ready before; nothing changed." in pharmacist.post(address, status="ready", follow=True).text
    assert "Hand over" in pharmacist.get(f"/tickets/{ticket['id']}").text
    pharmacist.post(address, status="completed")
    refused = pharmacist.post(address, status="ready", follow=True).text
    assert "Nothing changed: the ticket moved on meanwhile." in refused
    assert statuses(parties.doctor, ticket) == ["sent", "received", "ready", "completed"]
    assert pharmacist.post(address, status="flying").status_code == 400


def test_a_patient_moves_nothing(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    patient, page = opened(dash, "patient", ticket)
    assert f"/tickets/{ticket['id']}/move" not in page
    for status in ("ready", "completed", "sent", "cancelled"):
        patient.post(f"/tickets/{ticket['id']}/move", status=status, reason="no need any more", confirm="yes")
    assert status_of(parties.doctor, ticket) == "received"


def test_it_is_cancelled_with_a_reason_a_tick_and_as_it_was_seen(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    doctor, _ = opened(dash, "doctor", ticket)
    address = f"/tickets/{ticket['id']}/move"
    told = {"status": "cancelled", "shown": "received"}
    assert "Say why" in doctor.post(address, **told, confirm="yes", follow=True).text
    assert "Tick that you want it cancelled" in doctor.post(address, **told, reason="a mistake", follow=True).text
    stale = doctor.post(address, status="cancelled", shown="sent", reason="a mistake", confirm="yes", follow=True).text
    assert "The ticket moved on after this page was opened" in stale
    assert status_of(parties.doctor, ticket) == "received"
    done = doctor.post(address, **told, reason="a mistake", confirm="yes", follow=True).text
    assert "Cancelled. Everybody concerned sees it." in done
    assert "“a mistake”" in done
    assert status_of(parties.doctor, ticket) == "cancelled"


def test_only_https_addresses_of_attachments_are_links(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    file = AttachmentInput("result.pdf", "application/pdf", 120_400, url="https://files.example.org/result.pdf")
    message = say(parties.doctor, ticket, "", attachments=[file])
    put = "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body, attachments)"
    wicked = (
        '[{"name": "a.html", "media_type": "text/html", "size_bytes": 7, "sha256": "", "url": "javascript:alert(1)"}]'
    )
    with acting_as(parties.doctor):
        values = (uuid4(), message["thread_id"], parties.doctor.person_id, uuid4(), wicked)
        execute(f"{put} VALUES (%s, %s, %s, %s, '', %s::jsonb)", values)
    _, page = opened(dash, "patient", ticket)
    assert re.search(r'<a href="https://files\.example\.org/result\.pdf"[^>]* rel="noopener noreferrer"', page)
    assert "application/pdf, 120 KB" in page
    assert "a.html" in page
    assert "javascript:" not in page


def test_a_ticket_that_is_written_leads_its_doctor_to_what_is_next(dash: Dashboard, parties: Parties) -> None:
    ticket = new_ticket(parties)
    _, page = opened(dash, "doctor", ticket)
    assert "Nothing is sent yet." in page
    assert "Being written" in page
    assert ("Write and send it" in page) == ("prescription_form.write" in dash.app.view_functions)


def test_an_account_that_acts_for_nobody_is_told_what_to_do(dash: Dashboard) -> None:
    answer = dash.as_("doctor").get(f"/tickets/{uuid4()}")
    assert answer.status_code == 403
    assert "Your account acts for nobody yet" in answer.text


def test_programs_get_codes(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    doctor, page = opened(dash, "doctor", ticket)
    please = {"Accept": "application/json"}
    fields = {"csrf_token": doctor.token, "message_id": form_id(page), "body": "Hello"}
    address = f"/tickets/{ticket['id']}"
    sent = doctor.client.post(f"{address}/messages", data=fields, headers=please)
    assert sent.json["number"] == 1
    assert sent.json["next_message_id"] != fields["message_id"]
    used = doctor.client.post(f"{address}/messages", data={**fields, "body": "Other"}, headers=please)
    assert (used.status_code, used.json["code"]) == (409, "MESSAGE_ID_REUSED")
    token = {"csrf_token": doctor.token}
    assert doctor.client.post(f"{address}/open", data=token, headers=please).json == {"received": False}
    assert doctor.client.post(f"{address}/read", data={**token, "number": "1"}, headers=please).json == {
        "read_number": 1
    }
    assert bodies(parties.doctor, ticket) == ["Hello"]
