"""The lists of tickets: each party's own, their filter in shareable addresses, counters, the menu and the file."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest

from dashboard.party_wording import Wait, tabs_of, ticket_status, wait_of
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.states import PartyKind, Side, TicketStatus, TicketType
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.ticket_accounts import link_accounts, new_patient, say, sent_ago, ticket

_NUMBER = re.compile(r"TKT-\d{8}-[A-Z0-9]{5}")


def numbers(visitor: Visitor, path: str = "/tickets") -> list[str]:
    """The numbers of the tickets that the page links to, in its order."""
    answer = visitor.get(path)
    assert answer.status_code == 200, path
    return re.findall(rf'class="row-link" href="[^"]+">({_NUMBER.pattern})<', answer.text)


def test_a_pharmacy_sees_what_was_sent_to_it_what_waits_longest_first(dash: Dashboard, settings_env: Settings) -> None:
    care = link_accounts()
    late, early = ticket(care), ticket(care, TicketStatus.RECEIVED)
    sent_ago(settings_env.database_url, early, 150)
    done = ticket(care, TicketStatus.COMPLETED)
    ticket(care, TicketStatus.CREATED)
    ticket(care, receiver=care.pharmacy2)
    visitor = dash.as_("pharmacist")
    assert numbers(visitor) == [early["ticket_number"], late["ticket_number"]]
    page = unescape(visitor.get("/tickets").text)
    assert "Over 2 h" in page
    assert "Under 30 min" in page
    assert numbers(visitor, "/tickets?sort=newest") == [late["ticket_number"], early["ticket_number"]]
    assert numbers(visitor, "/tickets?status=completed") == [done["ticket_number"]]
    assert numbers(visitor, "/tickets?status=all") == [row["ticket_number"] for row in (done, late, early)]


def test_a_doctor_sees_their_own_and_what_was_referred_to_them(dash: Dashboard) -> None:
    care = link_accounts()
    written = ticket(care, TicketStatus.CREATED)
    sent = ticket(care)
    referred = ticket(care, doctor=care.doctor2, receiver=care.doctor, ticket_type=TicketType.REFERRAL)
    ticket(care, doctor=care.doctor2)
    visitor = dash.as_("doctor")
    assert numbers(visitor) == [row["ticket_number"] for row in (referred, sent, written)]
    page = visitor.get("/tickets").text
    assert "referred to you" in page
    assert f'href="/tickets/{written["id"]}/prescription"' in page
    assert f'href="/tickets/{sent["id"]}"' in page


def test_a_patient_reads_plain_words_about_their_own(dash: Dashboard) -> None:
    care = link_accounts()
    ticket(care, TicketStatus.READY)
    ticket(care, TicketStatus.CANCELLED)
    hers = ticket(care, patient=care.patient2)
    page = dash.as_("patient").get("/tickets").text
    assert "Prescription from Dr Sample North" in page
    assert "You can collect it at the pharmacy." in page
    assert "It was cancelled." in page
    assert hers["ticket_number"] not in page
    assert 'id="q"' not in page
    assert "/tickets/new" not in page


def test_counters_and_the_menu_say_how_many_wait(dash: Dashboard) -> None:
    care = link_accounts()
    say(care.doctor, ticket(care), "please call")
    ticket(care, TicketStatus.READY)
    ticket(care, receiver=care.pharmacy2)
    page = dash.as_("pharmacist").get("/tickets").text
    assert re.search(r'To do <span class="count">1</span>', page)
    assert re.search(r'New <span class="count">1</span>', page)
    assert re.search(r'Ready <span class="count">1</span>', page)
    assert re.search(r'Unread <span class="count">1</span>', page)
    assert re.search(r'<span>Tickets</span> <span class="nav-count">1</span>', page)
    assert "nav-count" not in dash.as_("doctor").get("/tickets").text


def test_unread_type_and_days_narrow_the_list(dash: Dashboard) -> None:
    care = link_accounts()
    unread, other = ticket(care), ticket(care, receiver=care.laboratory, ticket_type=TicketType.LAB_REQUEST)
    say(care.pharmacy, unread, "none in stock")
    visitor = dash.as_("doctor")
    assert numbers(visitor, "/tickets?unread=1") == [unread["ticket_number"]]
    assert numbers(visitor, "/tickets?type=lab_request") == [other["ticket_number"]]
    assert numbers(visitor, "/tickets?to=2020-01-01") == []
    assert len(numbers(visitor, "/tickets?from=2020-01-01")) == 2


def test_what_cannot_be_read_is_said_and_left_out(dash: Dashboard) -> None:
    ticket(link_accounts())
    visitor = dash.as_("pharmacist")
    for arguments in ("status=nonsense", "type=nonsense", "from=nonsense", "at=nonsense", "found=nonsense"):
        page = visitor.get(f"/tickets?{arguments}").text
        assert "Part of the filter was left out" in page, arguments
        assert len(set(_NUMBER.findall(page))) == 1, arguments


def test_a_search_for_a_name_stands_in_no_address(dash: Dashboard) -> None:
    care = link_accounts()
    hers = ticket(care, patient=new_patient("Zora Canary"))
    ticket(care)
    visitor = dash.as_("pharmacist")
    visitor.get("/tickets")
    answer = visitor.post("/tickets/search", q="zora canary", status="all")
    assert "zora" not in answer.location.lower()
    assert numbers(visitor, answer.location) == [hers["ticket_number"]]
    answer = visitor.post("/tickets/search", q=hers["ticket_number"].lower())
    assert answer.location == f"/tickets?q={hers['ticket_number'].lower()}"
    assert numbers(visitor, answer.location) == [hers["ticket_number"]]
    assert "Part of the filter was left out" in visitor.get("/tickets?q=zora").text
    assert numbers(dash.as_("pharmacist"), "/tickets?status=all") != []


def test_a_search_finds_nothing_of_other_parties(dash: Dashboard) -> None:
    care = link_accounts()
    theirs = ticket(care, receiver=care.pharmacy2, patient=new_patient("Zora Canary"))
    unsent = ticket(care, TicketStatus.CREATED, patient=new_patient("Yara Canary"))
    visitor = dash.as_("pharmacist")
    visitor.get("/tickets")
    for text in ("Canary", theirs["ticket_number"], unsent["ticket_number"]):
        found = visitor.get(visitor.post("/tickets/search", q=text, status="all").location).text
        assert "No ticket matches" in found, text
        assert "Zora" not in found
        assert "Yara" not in found


def test_pages_follow_each_other_without_gap_or_double(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.tickets.PAGE_ROWS", 2)
    care = link_accounts()
    every = [ticket(care)["ticket_number"] for _ in range(5)]
    visitor = dash.as_("pharmacist")
    found, path = [], "/tickets"
    while path:
        found += numbers(visitor, path)
        more = re.search(r'href="([^"]+)" rel="next"', visitor.get(path).text)
        path = unescape(more[1]) if more else ""
    assert found == every


def test_the_file_holds_ones_own_list_safe_for_spreadsheets_and_is_logged(dash: Dashboard) -> None:
    care = link_accounts()
    row = ticket(care, patient=new_patient("=1+1 Canary"))
    theirs = ticket(care, receiver=care.pharmacy2)
    ticket(care, TicketStatus.CREATED)
    visitor = dash.as_("pharmacist")
    visitor.get("/tickets")
    answer = visitor.post("/tickets/export?status=all")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [line["ticket_number"] for line in lines] == [row["ticket_number"]]
    assert lines[0]["patient"] == "'=1+1 Canary"
    assert theirs["ticket_number"] not in answer.text
    assert "Amoxicillin" not in answer.text
    with connected():
        logged = fetch_dicts("SELECT * FROM operator_actions WHERE action LIKE 'export%%' ORDER BY id")
    assert [(each["actor"], each["action"]) for each in logged] == [
        ("pharmacist@example.org", "export"),
        ("pharmacist@example.org", "export_ended"),
    ]
    assert "Canary" not in str(logged)
    assert visitor.post("/tickets/export?status=nonsense").status_code == 400


def test_an_account_that_acts_for_nobody_is_told_so_and_keeps_its_other_pages(dash: Dashboard) -> None:
    visitor = dash.as_("pharmacist")
    answer = visitor.get("/tickets")
    assert answer.status_code == 403
    assert "acts for nobody" in answer.text
    home = visitor.get("/")
    assert home.status_code == 200
    assert "nav-count" not in home.text


NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "Under 30 min"), (29, "Under 30 min"), (30, "Under 2 h"), (119, "Under 2 h"), (120, "Over 2 h")],
)
def test_how_long_a_ticket_waits_is_said_in_words(minutes: int, words: str) -> None:
    row = {"sent_at": NOW - timedelta(minutes=minutes), "status": "received"}
    found = wait_of(row, NOW)
    assert isinstance(found, Wait)
    assert found.words == words


@pytest.mark.parametrize("status", ["ready", "completed", "cancelled"])
def test_what_waits_for_nobody_has_no_mark(status: str) -> None:
    assert wait_of({"sent_at": NOW - timedelta(days=1), "status": status}, NOW) is None


@pytest.mark.parametrize("kind", list(PartyKind))
def test_every_status_that_a_party_sees_has_words_and_a_part_of_the_list(kind: PartyKind) -> None:
    side = {PartyKind.DOCTOR: Side.PRIMARY, PartyKind.PATIENT: Side.PATIENT}.get(kind, Side.SECONDARY)
    for status in TicketStatus:
        if status is TicketStatus.CREATED and side is Side.SECONDARY:
            continue
        row = {"id": uuid4(), "status": status, "side": side, "ticket_type": TicketType.PRESCRIPTION}
        assert ticket_status(kind, row).label
        assert any(status in tab.statuses for tab in tabs_of(kind) if tab.key not in ("", "all"))
