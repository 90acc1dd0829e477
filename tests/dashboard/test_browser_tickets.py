"""The ticket pages in a real Chromium: readable in every theme and width, alive, and never losing or doubling a message."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import AttachmentInput
from dispatchlog.systems.tickets.messages import mark_read, message_page
from dispatchlog.systems.tickets.reading import ticket_state, ticket_timeline
from dispatchlog.systems.tickets.states import TicketStatus
from tests.dashboard.browsing import PASSWORD
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.ticket_samples import Parties, link_parties, new_ticket, received_ticket, say, sent_ticket
from tests.engine.processes import until

__all__ = ["chromium", "site"]  # fixtures


@pytest.fixture
def parties(site: Site) -> Parties:
    return link_parties()


def at(site: Site, who: str, path: str, *, scheme: str = "light", width: int = 1280, scripts: bool = True) -> Page:
    """The page as somebody who has just signed in for it."""
    page = site.visitor(scheme=scheme, width=width, scripts=scripts)
    page.goto(f"{site.url}/sign-in?next={path}")
    page.get_by_label("E-mail address").fill(f"{who}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{path}")
    page.wait_for_load_state()
    return page


def bodies(who: Identity, ticket: Row) -> list[str]:
    thread = ticket_state(who, ticket["id"]).thread["id"]
    return [message["body"] for message in message_page(who, thread).messages]


def status_of(who: Identity, ticket: Row) -> str:
    return str(ticket_state(who, ticket["id"]).ticket["status"])


def tell(page: Page, ticket: Row) -> None:
    """What the connection does when it hears of a change."""
    detail = {"ticketId": str(ticket["id"]), "what": "message"}
    page.evaluate("detail => document.dispatchEvent(new CustomEvent('dispatchlog:ticket', { detail }))", detail)


def wider_than_the_screen(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_axe_finds_nothing_wrong_with_any_page(site: Site, parties: Parties, scheme: str, width: int) -> None:
    ticket = received_ticket(parties)
    entry = ticket_timeline(parties.doctor, ticket["id"])[-1]["id"]
    files = [
        AttachmentInput("result.pdf", "application/pdf", 7, url="https://files.example.org/a"),
        AttachmentInput(
            "scan-with-a-name-that-is-as-long-as-names-of-files-can-be-and-has-no-blank.png", "image/png", 9
        ),
    ]
    say(parties.doctor, ticket, "Please check the dose.", attachments=files)
    say(parties.pharmacy, ticket, "It is here.", timeline_id=entry)
    mark_read(parties.pharmacy, ticket_state(parties.pharmacy, ticket["id"]).thread["id"], 2)
    cancelled = received_ticket(parties)
    move_ticket(parties.pharmacy, cancelled["id"], TicketStatus.CANCELLED, reason="out of stock")
    written = new_ticket(parties)
    found = {}
    page = at(site, "doctor", f"/tickets/{ticket['id']}", scheme=scheme, width=width)
    for path in (f"/tickets/{ticket['id']}", f"/tickets/{cancelled['id']}", f"/tickets/{written['id']}"):
        page.goto(f"{site.url}{path}")
        expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
        found[path] = violations(page) + (["wider than the screen"] if wider_than_the_screen(page) else [])
    page.goto(f"{site.url}/tickets/{ticket['id']}")
    page.locator("#cancel summary").click()
    expect(page.get_by_label("Why?")).to_be_visible()
    found["cancelling"] = violations(page)
    page = at(site, "support", "/ticket-overview", scheme=scheme, width=width)
    for path in ("/ticket-overview", "/ticket-overview?status=ready", f"/ticket-overview/{ticket['id']}"):
        page.goto(f"{site.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        found[path] = violations(page) + (["wider than the screen"] if wider_than_the_screen(page) else [])
    page.get_by_label("Why must you look inside?").fill("The doctor cannot be reached")
    page.get_by_label("number to confirm").fill(ticket["ticket_number"])
    page.get_by_role("button", name="Open for 15 minutes").click()
    expect(page.get_by_text("Emergency access until")).to_be_visible()
    found["content"] = violations(page) + (["wider than the screen"] if wider_than_the_screen(page) else [])
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_the_receiver_s_page_receives_by_itself_and_once(site: Site, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    page = at(site, "pharmacist", f"/tickets/{ticket['id']}")
    expect(page.get_by_role("button", name="Mark ready")).to_be_visible()
    expect(page.get_by_role("button", name="Receive")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Mark ready")).to_be_visible()
    kinds = [entry["to_status"] for entry in ticket_timeline(parties.doctor, ticket["id"]) if entry["kind"] == "status"]
    assert kinds == ["sent", "received"]


def test_the_whole_way_works_without_scripts(site: Site, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    say(parties.doctor, ticket, "Please check the dose.")
    page = at(site, "pharmacist", f"/tickets/{ticket['id']}", scripts=False)
    assert status_of(parties.doctor, ticket) == "sent"
    page.get_by_role("button", name="Receive").click()
    expect(page.get_by_text("The pharmacy has it and prepares it.")).to_be_visible()
    page.get_by_role("button", name="Mark as read").click()
    expect(page.get_by_role("button", name="Mark as read")).to_have_count(0)
    page.get_by_label("Write a message").fill("It is checked.")
    page.get_by_label("About").select_option(index=1)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".message.is-own")).to_contain_text("It is checked.")
    expect(page.locator(".message.is-own")).to_contain_text("About Received")
    page.get_by_role("button", name="Mark ready").click()
    expect(page.get_by_text("It is prepared and waits for the patient.")).to_be_visible()
    page.get_by_role("button", name="Hand over").click()
    expect(page.get_by_label("How it stands").get_by_text("Handed over")).to_be_visible()
    assert status_of(parties.patient, ticket) == "completed"


def test_new_messages_and_statuses_appear_while_somebody_writes(site: Site, parties: Parties) -> None:
    ticket = sent_ticket(parties)
    page = at(site, "doctor", f"/tickets/{ticket['id']}")
    box = page.get_by_label("Write a message")
    box.fill("I am still writing th")
    say(parties.pharmacy, ticket, "Shall we substitute it?")
    open_ticket(parties.pharmacy, ticket["id"])
    tell(page, ticket)
    expect(page.locator("#message-1")).to_contain_text("Shall we substitute it?")
    expect(page.get_by_text("The pharmacy has it and prepares it.")).to_be_visible()
    expect(page.locator("#timeline").get_by_text("Received")).to_be_visible()
    expect(box).to_have_value("I am still writing th")
    expect(box).to_be_focused()
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    # It was seen, so it is read, and whoever wrote it sees that.
    until(lambda: not ticket_state(parties.doctor, ticket["id"]).thread["has_unread"], what="the reading")
    pharmacist = at(site, "pharmacist", f"/tickets/{ticket['id']}")
    expect(pharmacist.get_by_text("Dr Sample North has read up to here")).to_be_visible()


def test_a_page_that_was_away_gets_everything_in_its_order(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "patient", f"/tickets/{ticket['id']}")
    for number in range(1, 206):
        say(parties.doctor, ticket, f"Word {number}")
    tell(page, ticket)
    expect(page.locator("#message-205")).to_be_attached()
    assert page.locator(".message-body").all_inner_texts() == [f"Word {number}" for number in range(1, 206)]


def test_a_double_click_sends_one_message(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "doctor", f"/tickets/{ticket['id']}")
    for body in ("Only once.", "And another."):
        page.get_by_label("Write a message").fill(body)
        page.get_by_role("button", name="Send").dblclick()
        expect(page.locator(".message.is-own").last).to_contain_text(body)
        expect(page.get_by_label("Write a message")).to_have_value("")
    assert bodies(parties.doctor, ticket) == ["Only once.", "And another."]


def test_after_a_lost_reply_the_text_stays_and_goes_once(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "doctor", f"/tickets/{ticket['id']}")

    def lose_the_reply(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/messages", lose_the_reply, times=1)
    box = page.get_by_label("Write a message")
    box.fill("Did this arrive?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#body-fault")).to_contain_text("Your text is still here")
    expect(box).to_have_value("Did this arrive?")
    assert bodies(parties.doctor, ticket) == ["Did this arrive?"]
    page.get_by_role("button", name="Send").click()
    expect(box).to_have_value("")
    expect(page.locator(".message.is-own")).to_have_count(1)
    assert bodies(parties.doctor, ticket) == ["Did this arrive?"]


def test_an_empty_or_too_long_message_is_refused_beside_the_field(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "doctor", f"/tickets/{ticket['id']}")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#body-fault")).to_have_text("Write something first.")
    box = page.get_by_label("Write a message")
    box.fill("x" * 8001)
    box.press("Control+Enter")
    expect(page.locator("#body-fault")).to_contain_text("at most 8,000 characters")
    expect(box).to_have_value("x" * 8001)
    expect(box).to_have_attribute("aria-invalid", "true")
    assert bodies(parties.doctor, ticket) == []


def test_whoever_was_signed_out_meanwhile_keeps_what_they_wrote(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "doctor", f"/tickets/{ticket['id']}")
    page.get_by_label("Write a message").fill("A long letter")
    page.context.clear_cookies()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#body-fault")).to_contain_text("You are not signed in any more.")
    expect(page.get_by_label("Write a message")).to_have_value("A long letter")


def test_it_is_cancelled_with_a_reason_and_a_tick(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "doctor", f"/tickets/{ticket['id']}", width=390)
    page.get_by_text("Cancel it…").click()
    page.get_by_label("Why?").fill("the patient is allergic")
    page.get_by_role("button", name="Cancel the ticket").click()
    assert status_of(parties.doctor, ticket) == "received"  # the tick is missing
    page.get_by_label(f"Yes, cancel {ticket['ticket_number']}").check()
    page.get_by_role("button", name="Cancel the ticket").click()
    expect(page.get_by_text("The ticket was cancelled; nothing more can be written.")).to_be_visible()
    expect(page.locator("#timeline")).to_contain_text("the patient is allergic")


def test_the_parts_of_a_narrow_page_are_a_link_away(site: Site, parties: Parties) -> None:
    ticket = received_ticket(parties)
    page = at(site, "patient", f"/tickets/{ticket['id']}", width=390)
    page.get_by_label("On this page").get_by_role("link", name="Timeline").click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_in_viewport()
    wide = at(site, "patient", f"/tickets/{ticket['id']}", width=1280)
    expect(wide.get_by_label("On this page")).to_be_hidden()
    tops = [wide.locator(part).bounding_box() for part in ("#asked", "#messages", "#timeline")]
    assert len({round(top["y"]) for top in tops if top}) == 1
