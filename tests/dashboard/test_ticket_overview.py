"""Tickets as staff see them: masked, without a word of what was written, and the logged emergency access to that."""

from __future__ import annotations

from uuid import uuid4

import pytest

from dashboard.ticket_overview_queries import access_until
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one
from dispatchlog.systems.tickets.handling import move_ticket
from dispatchlog.systems.tickets.identity import overseeing
from dispatchlog.systems.tickets.overview import Overseer
from dispatchlog.systems.tickets.reading import ticket_timeline
from dispatchlog.systems.tickets.states import TicketStatus
from tests.dashboard.browsing import Dashboard
from tests.dashboard.ticket_samples import Parties, account, link_parties, new_ticket, received_ticket, say, sent_ticket
from tests.engine.processes import until

REASON = "The patient collapsed; the doctor cannot be reached"


@pytest.fixture
def parties(dash: Dashboard) -> Parties:
    return link_parties()


def actions() -> list[str]:
    with connected():
        return [row[0] for row in fetch_all("SELECT action FROM operator_actions ORDER BY id")]


@pytest.mark.parametrize("role", ["viewer", "support", "auditor", "admin"])
def test_staff_see_who_when_and_how_far_and_nothing_that_was_written(
    dash: Dashboard, parties: Parties, role: str
) -> None:
    ticket = received_ticket(parties)
    say(parties.doctor, ticket, "A canary about the dose")
    move_ticket(parties.doctor, ticket["id"], TicketStatus.CANCELLED, reason="a canary of a reason")
    staff = dash.as_(role)
    pages = [staff.get("/ticket-overview").text, staff.get(f"/ticket-overview/{ticket['id']}").text]
    for page in pages:
        assert ticket["ticket_number"] in page
        assert "S••• P•••" in page
        for hidden in ("Sample Patient", "canary", "Amoxicillin", "penicillin", "p@example.org"):
            assert hidden not in page, hidden
    assert "23 characters" in pages[1]
    assert "p•••@example.org" in pages[1]
    assert ("Why must you look inside?" in pages[1]) == (role in ("support", "admin"))


def test_the_list_is_narrowed_by_status_type_and_number(dash: Dashboard, parties: Parties) -> None:
    written, sent = new_ticket(parties), sent_ticket(parties)
    staff = dash.as_("viewer")
    for query, found in (
        ("?status=created", [True, False]),
        ("?status=sent", [False, True]),
        ("?type=referral", [False, False]),
        (f"?q={sent['ticket_number']}", [False, True]),
        (f"?q={sent['ticket_number'][:12]}", [True, True]),
        (f"?q={written['id']}", [True, False]),
        (f"?q={written['appointment_id']}", [True, False]),
        (f"?q={uuid4()}", [False, False]),
        ("?status=none&type=none&at=none", [True, True]),
    ):
        page = staff.get(f"/ticket-overview{query}").text.replace(f'value="{sent["ticket_number"]}"', "")
        assert [each["ticket_number"] in page for each in (written, sent)] == found, query


def test_what_is_searched_for_stands_in_the_address_only_if_it_names_nobody(dash: Dashboard, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    staff = dash.as_("support")
    staff.get("/ticket-overview")
    number = ticket["ticket_number"]
    assert staff.post("/ticket-overview", q=number.lower(), status="sent").location == (
        f"/ticket-overview?status=sent&q={number}"
    )
    assert staff.post("/ticket-overview", q=str(ticket["id"])).location == f"/ticket-overview?q={ticket['id']}"
    answer = staff.post("/ticket-overview", q="Sample Patient")
    assert answer.location == "/ticket-overview"
    assert "Search for a ticket number" in staff.get("/ticket-overview").text
    assert "Search for a ticket number" in staff.get("/ticket-overview?q=Sample").text


def test_the_list_goes_on_by_key(dash: Dashboard, parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.ticket_overview.PAGE_TICKETS", 2)
    numbers = [new_ticket(parties)["ticket_number"] for _ in range(5)][::-1]
    staff = dash.as_("viewer")
    address, seen = "/ticket-overview", []
    while address:
        page = staff.get(address).text
        seen += [number for number in numbers if number in page]
        following = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
        address = following.replace("&amp;", "&") if 'rel="next"' in page else ""
    assert seen == numbers


def test_no_such_ticket_is_not_found(dash: Dashboard) -> None:
    staff = dash.as_("support")
    for path in ("", "/content"):
        assert staff.get(f"/ticket-overview/{uuid4()}{path}").status_code == 404
    assert staff.post(f"/ticket-overview/{uuid4()}/emergency", reason=REASON, number="x").status_code == 404


def test_the_mails_about_it_lead_to_their_pages_and_back(dash: Dashboard, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    staff = dash.as_("support")
    with connected():
        ((mail,),) = fetch_all("SELECT id FROM ticket_notifications WHERE ticket_id = %s", (ticket["id"],))
    address = f"/dispatches/ticket_notification/{mail}"
    assert address in staff.get(f"/ticket-overview/{ticket['id']}").text
    for page in (staff.get(address), staff.get(f"/stories/story?subject=ticket:{ticket['id']}")):
        assert page.status_code == 200
        assert f'href="/ticket-overview/{ticket["id"]}' in page.text


@pytest.mark.parametrize(("reason", "typed"), [("too short", None), (REASON, "TKT-20260101-AAAAA"), ("", None)])
def test_an_emergency_needs_a_reason_and_the_number(
    dash: Dashboard, parties: Parties, reason: str, typed: str | None
) -> None:
    ticket = received_ticket(parties)
    staff = dash.as_("support")
    staff.get(f"/ticket-overview/{ticket['id']}")
    fields = {"reason": reason, "number": typed or ticket["ticket_number"]}
    answer = staff.post(f"/ticket-overview/{ticket['id']}/emergency", **fields)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert f'value="{reason}"' in answer.text
    assert staff.get(f"/ticket-overview/{ticket['id']}/content").location == f"/ticket-overview/{ticket['id']}"
    with connected():
        assert fetch_one("SELECT count(*) FROM emergency_accesses") == (0,)


def test_an_emergency_opens_the_content_to_read_and_everybody_concerned_sees_it(
    dash: Dashboard, parties: Parties
) -> None:
    ticket = received_ticket(parties)
    say(parties.doctor, ticket, "Please check the dose.")
    staff = dash.as_("support")
    staff.get(f"/ticket-overview/{ticket['id']}")
    answer = staff.post(
        f"/ticket-overview/{ticket['id']}/emergency", reason=REASON, number=f" {ticket['ticket_number'].lower()} "
    )
    assert answer.location == f"/ticket-overview/{ticket['id']}/content"
    page = staff.get(answer.location).text
    for words in ("Emergency access until", "Amoxicillin", "Please check the dose.", "Sample Patient"):
        assert words in page
    assert "<form" not in page.partition("<main")[2].partition("</main>")[0]
    before = len(actions())
    staff.get(f"{answer.location}?before=1")
    assert actions()[before:] == ["emergency_read"]
    with connected():
        (kept,) = fetch_one("SELECT reason FROM operator_actions WHERE action = 'emergency_access'")
    assert kept == REASON
    for party in ("doctor", "pharmacist", "patient"):
        shown = dash.as_(party).get(f"/tickets/{ticket['id']}").text
        assert "emergency access" in shown
        assert REASON in shown
    # It is one person's access, not the role's.
    assert dash.as_("admin").get(answer.location).status_code == 303
    assert dash.as_("auditor").get(answer.location).status_code == 403
    assert "Looked inside a ticket by emergency access" in dash.as_("auditor").get("/audit").text


def test_an_emergency_ends(dash: Dashboard, parties: Parties) -> None:
    ticket = received_ticket(parties)
    who = Overseer(account("support"), "support@example.org")
    with overseeing(who.user_id, who.actor):
        execute(
            "INSERT INTO emergency_accesses (id, ticket_id, user_id, reason, expires_at)"
            " VALUES (%s, %s, %s, %s, clock_timestamp() + interval '1 second')",
            (uuid4(), ticket["id"], who.user_id, REASON),
        )
    until(lambda: access_until(who, ticket["id"]) is None, what="the end of the access")
    assert len(ticket_timeline(parties.patient, ticket["id"])) == 5
    staff = dash.as_("support")
    answer = staff.get(f"/ticket-overview/{ticket['id']}/content")
    assert answer.location == f"/ticket-overview/{ticket['id']}"
    page = staff.get(answer.location).text
    assert "Your access to what is in this ticket is over." in page
    assert "Amoxicillin" not in page
    assert "emergency_read" not in actions()


def test_the_menu_shows_tickets_to_whoever_may_oversee_them(dash: Dashboard) -> None:
    assert 'href="/ticket-overview"' in dash.as_("auditor").get("/help").text
    assert 'href="/ticket-overview"' not in dash.as_("pharmacist").get("/help").text
