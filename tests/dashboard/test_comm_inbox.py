"""The inbox of patients' answers and their wishes for another time: read, settled once, masked, and never by a glance."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import expect

from dashboard import comm_inbox_queries
from dispatchlog.systems.outreach import appointments, inbound
from dispatchlog.systems.outreach.inbound import Message, process_all, store_messages
from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.dashboard.patient_rows import NOW
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_plans import read_whole, statements
from tests.outreach import builders
from tests.outreach.builders import PHONE, rows

__all__ = ["chromium", "site"]  # fixtures

INBOX = "/outreach/inbox"
REQUESTS = "/outreach/requests"


def asked(patient_id: UUID | None = None) -> tuple[UUID, UUID]:
    """A patient's appointment tomorrow, and the message that asked about it."""
    patient_id = patient_id or builders.patient(organization_id=builders.organization())
    appointment = builders.appointment(patient_id, starts_at=NOW + timedelta(days=1))
    patient_rows.moved(patient_id, "SENT", appointment_id=appointment, asks="confirmation")
    return patient_id, appointment


def hear(*texts: str) -> list[UUID]:
    """Patients write these, and they are read."""
    messages = [Message("twilio", uuid4().hex, Channel.SMS, PHONE, "+12025550100", text) for text in texts]
    store_messages(messages, source="native", trace_id="t")
    process_all()
    found = {row["event_key"]: row["id"] for row in rows("SELECT id, event_key FROM comm_inbound")}
    return [found[message.event_key] for message in messages]


def state(appointment: UUID) -> str:
    return str(rows("SELECT status FROM comm_appointments WHERE id = %s", appointment)[0]["status"])


def message(inbound_id: UUID) -> dict[str, Any]:
    return rows("SELECT * FROM comm_inbound WHERE id = %s", inbound_id)[0]


def test_what_is_not_certain_waits_and_what_was_done_stands_apart(dash: Dashboard) -> None:
    asked()
    hear("maybe, call me at 2025550123", "yes")
    visitor = dash.as_("viewer")
    waiting, dealt = visitor.get(INBOX).text, visitor.get(f"{INBOX}?show=processed").text
    assert "maybe, call me" in waiting
    assert "What it means is not certain" in waiting
    assert "Appointment confirmed" in dealt
    assert "maybe" not in dealt
    assert PHONE not in waiting + dealt
    assert "2025550123" not in waiting
    assert "/settle" not in waiting


def test_who_read_what_a_patient_wrote_is_kept_once_in_a_while(dash: Dashboard) -> None:
    patient_id, _ = asked()
    hear("my knee hurts", "another day please")
    line = {"patient_id": patient_id, "details": {"what": "inbox"}}
    for who, page, said in (("viewer", INBOX, "my knee hurts"), ("support", REQUESTS, "another day please")):
        visitor = dash.as_(who)
        for _ in range(2):
            assert said in visitor.get(page).text
        kept = rows(
            "SELECT patient_id, details FROM comm_audit_log WHERE action = 'access' AND actor = %s",
            f"{who}@example.org",
        )
        assert kept == [line]


def test_settling_does_what_the_message_means_and_only_once(dash: Dashboard) -> None:
    _, appointment = asked()
    (inbound_id,) = hear("hmm let me think")
    visitor = dash.as_("support")
    visitor.get(INBOX)
    done = visitor.post(f"{INBOX}/{inbound_id}/settle", follow=True, intent="confirm", note="She called.")
    assert "Settled: appointment confirmed." in done.text
    assert "Nothing waits for a person" in done.text
    assert state(appointment) == "confirmed"
    assert (message(inbound_id)["processed_by"], message(inbound_id)["note"]) == ("support@example.org", "She called.")
    again = visitor.post(f"{INBOX}/{inbound_id}/settle", follow=True, intent="stop")
    assert "Somebody has settled that message already" in again.text
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 0
    line = rows("SELECT * FROM comm_audit_log WHERE actor = 'support@example.org' AND action = 'receive'")
    assert len(line) == 1
    assert line[0]["ip_address"]


@pytest.mark.parametrize(
    ("intent", "action"), [("stop", "stopped"), ("help", "helped_by_person"), ("nothing", "nothing_follows")]
)
def test_each_button_means_what_it_says(dash: Dashboard, intent: str, action: str) -> None:
    asked()
    (inbound_id,) = hear("hmm")
    visitor = dash.as_("support")
    visitor.get(INBOX)
    visitor.post(f"{INBOX}/{inbound_id}/settle", intent=intent)
    assert message(inbound_id)["action"] == action
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == int(intent == "stop")


def test_what_makes_no_sense_changes_nothing(dash: Dashboard) -> None:
    builders.patient()
    (inbound_id,) = hear("hmm")
    visitor = dash.as_("support")
    visitor.get(INBOX)
    assert "Choose what" in visitor.post(f"{INBOX}/{inbound_id}/settle", follow=True, intent="perhaps").text
    assert "no appointment" in visitor.post(f"{INBOX}/{inbound_id}/settle", follow=True, intent="confirm").text
    assert "not there any more" in visitor.post(f"{INBOX}/{uuid4()}/settle", follow=True, intent="help").text
    assert message(inbound_id)["processed"] is False


def test_of_two_patients_on_one_telephone_somebody_chooses(dash: Dashboard) -> None:
    _, first = asked()
    _, second = asked()
    (inbound_id,) = hear("yes")
    visitor = dash.as_("support")
    page = visitor.get(INBOX).text
    assert "Which appointment?" in page
    assert str(first) in page
    assert "not certain which" in visitor.post(f"{INBOX}/{inbound_id}/settle", follow=True, intent="confirm").text
    visitor.post(f"{INBOX}/{inbound_id}/settle", intent="confirm", appointment=str(second))
    assert (state(first), state(second)) == ("scheduled", "confirmed")


def test_a_possible_opt_out_is_pointed_out(dash: Dashboard) -> None:
    asked()
    hear("stop the bleeding")
    assert "It may ask for no more messages" in dash.as_("support").get(INBOX).text


def test_a_wish_for_another_time_is_closed_with_what_was_arranged(dash: Dashboard) -> None:
    asked()
    hear("I can't come, another day please")
    visitor = dash.as_("support")
    page = visitor.get(REQUESTS).text
    assert "another day please" in page
    (wish,) = rows("SELECT * FROM comm_reschedule_requests")
    assert "Say what was arranged" in visitor.post(f"{REQUESTS}/{wish['id']}/close", follow=True, reason=" ").text
    assert "Closed." in visitor.post(f"{REQUESTS}/{wish['id']}/close", follow=True, reason="Moved to Friday.").text
    (wish,) = rows("SELECT * FROM comm_reschedule_requests")
    assert (wish["status"], wish["note"], wish["handled_by"]) == ("handled", "Moved to Friday.", "support@example.org")
    assert "closed already" in visitor.post(f"{REQUESTS}/{wish['id']}/close", follow=True, reason="Again.").text
    assert "Nobody waits for another time" in visitor.get(REQUESTS).text


def test_the_menu_counts_what_waits(dash: Dashboard) -> None:
    asked()
    hear("hmm", "what?")
    page = dash.as_("viewer").get("/outreach/patients").text
    entry = page[page.index(f'href="{INBOX}"') :]
    assert ">2<" in entry[: entry.index("</a>")]


def test_every_page_walks_indexes(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm_inbox_queries, "PAGE_ROWS", 1)
    for _ in range(2):
        asked()
    hear("hmm", "well", "STOP", "unsubscribe")
    hear("another day please")
    before = f"older.{int((NOW - timedelta(days=1)).timestamp() * 1_000_000)}.{uuid4().hex}"
    visitor = dash.as_("admin")
    bad = []
    for address in (INBOX, f"{INBOX}?at={before}", f"{INBOX}?show=processed", REQUESTS, f"{REQUESTS}?at={before}"):
        with statements() as asked_of:
            assert visitor.get(address).status_code == 200, address
        bad += [(address, table) for statement in asked_of for table in read_whole(*statement)]
    assert bad == []


def test_an_unasked_wish_is_settled_for_an_appointment_ahead(dash: Dashboard) -> None:
    patient_id = builders.patient(organization_id=builders.organization())
    appointment = builders.appointment(patient_id, starts_at=NOW + timedelta(days=2))
    other = builders.appointment(
        builders.patient(email="else@example.org", phone=None), starts_at=NOW + timedelta(days=2)
    )
    (inbound_id,) = hear("can I come another time")
    visitor = dash.as_("support")
    page = visitor.get(INBOX).text
    assert str(appointment) in page
    assert "J••• S•••" in page
    strange = visitor.post(f"{INBOX}/{inbound_id}/settle", follow=True, intent="reschedule", appointment=str(other))
    assert "no appointment" in strange.text
    visitor.post(f"{INBOX}/{inbound_id}/settle", intent="reschedule", appointment=str(appointment))
    assert (state(appointment), state(other)) == ("reschedule_requested", "scheduled")
    assert message(inbound_id)["action"] == "reschedule_requested"


def test_cards_lead_to_the_message_that_asked(dash: Dashboard) -> None:
    asked()
    hear("hmm", "another day please")
    (job,) = rows("SELECT id FROM comm_jobs WHERE asks = 'confirmation'")
    for path in (INBOX, REQUESTS):
        page = dash.as_("support").get(path).text
        assert f"/dispatches/comm_job/{job['id']}" in page, path
        assert "J••• S•••" in page, path


def test_nothing_moves_when_a_colleague_settles_and_a_stop_asks_once_more(site: Site) -> None:
    asked()
    first, second = hear("hmm", "well")
    page = site.signed_in("support")
    page.goto(f"{site.url}{INBOX}")
    cards = page.locator(".inbox-one")
    expect(cards).to_have_count(2)
    place = cards.nth(1).bounding_box()
    inbound.settle(first, intent=None, note="", asker=builders.STAFF)
    hear("what?")
    news = page.get_by_role("status").filter(has_text="more message")
    expect(news).to_have_text("1 more message, 1 settled meanwhile · Show", timeout=60_000)
    expect(cards.nth(0)).to_contain_text("Settled meanwhile")
    expect(cards.nth(0).get_by_role("button", name="Nothing follows")).to_be_hidden()
    assert cards.count() == 2
    assert cards.nth(1).bounding_box() == place
    end = cards.nth(1).get_by_role("button", name="End the messages")
    expect(end).to_be_hidden()
    cards.nth(1).get_by_label("Note").press("Enter")
    cards.nth(1).get_by_text("No more messages…").click()
    expect(cards.nth(1)).to_contain_text("J••• S•••: not even what is urgent")
    end.click()
    expect(page.get_by_text("Settled: no more messages.")).to_be_visible()
    assert message(second)["action"] == "stopped"


def test_a_page_that_only_counts_what_came_is_nobody_reading(dash: Dashboard) -> None:
    asked()
    hear("hmm")
    dash.as_("support").get(INBOX, headers={"X-Background-Refresh": "1"})
    assert rows("SELECT * FROM comm_audit_log WHERE action = 'access'") == []
    dash.as_("support").get(INBOX)
    assert len(rows("SELECT * FROM comm_audit_log WHERE action = 'access'")) == 1


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_wrong_and_one_click_settles(site: Site, scheme: str, width: int) -> None:
    _, appointment = asked()
    hear(
        "stop the bleeding please",
        "¿puedo llevar a mi hijo?",
        "هل يجب أن أصوم؟",
        "I can't come, another day please",
        "yes",
    )
    asked()
    _, other = asked()
    appointments.ask_for_another_time(other, inbound_id=None, asker=builders.STAFF)
    hear("ok, yes")
    hear("another day please")
    page = site.signed_in("support", scheme=scheme, width=width)
    found = {}
    for path in (INBOX, f"{INBOX}?show=processed", REQUESTS):
        page.goto(f"{site.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator(".inbox-one").first).to_be_visible()
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        found[path] = violations(page) + (["it is wider than the screen"] if too_wide else [])
        if pictures := os.environ.get("PICTURES"):
            name = path.rpartition("/")[2].replace("?", "-")
            page.screenshot(path=str(Path(pictures) / f"{name}-{scheme}-{width}.png"), full_page=True)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    page.goto(f"{site.url}{INBOX}")
    waiting = page.locator(".inbox-one")
    number = waiting.count()
    waiting.first.get_by_role("button", name="Nothing follows").click()
    expect(page.get_by_text("Settled: nothing follows.")).to_be_visible()
    expect(page.locator(".inbox-one")).to_have_count(number - 1)
    assert state(appointment) == "confirmed"
