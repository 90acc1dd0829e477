"""A page in a real Chromium: told by its socket, asking while it has none, and led to the sign-in when that is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, render_template_string
from playwright.sync_api import Browser, Page, expect

from dashboard import create_app, live_hub
from dashboard.access import READ, TICKETS, needs
from dispatchlog.engine.database import database, fetch_all
from dispatchlog.people import sign_out_everywhere
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import make_people, served
from tests.dashboard.test_browser import Site
from tests.gateways.servers import free_port
from tests.sockets.care import WORDS, choose, link, send, write
from tests.sockets.samples import change, kill, place, start_sockets
from tests.systems.ticket_samples import make_care

# What a loaded machine may need for a few requests; a page that had to wait for its next asking would need longer.
SOON_MS = 30_000
PAGE = """{% extends "base.html" %}
{% block head %}<script src="{{ asset('socket-connection.js') }}" defer></script>
<script src="{{ asset('sockets.js') }}" data-socket="{{ socket_address() }}" defer></script>{% endblock %}
{% block main %}<h1>Order</h1><p data-socket-text></p>
<div id="live" data-refresh="3600" data-socket-room="{{ room }}"{{ more }}>{{ status }}</div>{% endblock %}"""
TICKETS_PAGE = """{% extends "base.html" %}{% block head %}{% include "ticket_live.html" %}{% endblock %}
{% block main %}<h1>Ticket</h1><p data-socket-text></p><div data-ticket-live data-ticket-id="{{ ticket_id }}"
data-socket-address="{{ socket_address() }}" data-ticket-poll="{{ poll }}"></div>{% endblock %}"""
LISTEN = """
    window.heard = []; window.intervals = []; window.tickets = [];
    document.addEventListener("dispatchlog:ticket", (event) => tickets.push(event.detail));
    document.addEventListener("dispatchlog:order-updated", (event) => heard.push(event.detail.version));
    const own = window.setInterval;
    window.setInterval = (what, ms) => { intervals.push(ms); return own(what, ms); };
"""


def add_page(app: Flask) -> None:
    """A page of one order, or of all: it shows the newest status and nothing else."""

    @needs(READ)
    def show(room: str, poll: str = "") -> str:
        rows = fetch_all(
            "SELECT coalesce(payload->>'dispatchStatus', 'nothing') FROM order_changes ORDER BY id DESC LIMIT 1"
        )
        return render_template_string(
            PAGE, room=room, status=rows[0][0] if rows else "nothing", more=f" data-socket-poll={poll}" if poll else ""
        )

    @needs(TICKETS)
    def show_tickets(ticket_id: str = "", poll: str = "") -> str:
        return render_template_string(TICKETS_PAGE, ticket_id=ticket_id, poll=poll)

    for number, rule in enumerate(("tickets", "ticket/<ticket_id>", "ticket/<ticket_id>/<poll>")):
        app.add_url_rule(f"/test/{rule}", view_func=show_tickets, endpoint=f"test_tickets_{number}")
    app.add_url_rule("/test/<room>", view_func=show, endpoint="test_page")
    app.add_url_rule("/test/<room>/<poll>", view_func=show, endpoint="test_page_asking")


@dataclass
class Desk:
    """A dashboard with that page, and the sockets process beside it when it runs."""

    site: Site
    port: int
    stack: ExitStack
    said: list[str] = field(default_factory=list)
    process: Any = None

    def start_sockets(self) -> None:
        self.process = start_sockets(self.port, PORT=self.site.url.rpartition(":")[2])
        self.stack.callback(kill, self.process)

    def kill_sockets(self) -> None:
        kill(self.process)

    def page(self, path: str, role: str = "viewer") -> Page:
        page = self.site.signed_in(role)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.add_init_script(LISTEN)
        page.goto(f"{self.site.url}/test/{path}")
        return page


@pytest.fixture
def desk(one_chromium: Browser, settings_env: Settings, cheap_passwords: None) -> Iterator[Desk]:
    forget_process_state()
    port = free_port()
    app = create_app(settings_env.model_copy(update={"socket_port": port, "live_streams": 0}))
    add_page(app)
    make_people()
    with served(app) as url, ExitStack() as stack:
        yield Desk(Site(url, one_chromium), port, stack)
        for context in one_chromium.contexts:
            context.close()
        live_hub.close_all()
    database.close_all()
    forget_process_state()


def is_connected(page: Page, state: str = "on") -> None:
    expect(page.locator("html")).to_have_attribute("data-socket", state, timeout=SOON_MS)


def shows(page: Page, status: str) -> None:
    expect(page.locator("#live")).to_have_text(status, timeout=SOON_MS)


def logged(desk: Desk, beginning: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(beginning)) for line in desk.said if line.startswith(beginning)]


def room(order: UUID) -> str:
    return f"order:{order}"


def test_a_page_shows_a_change_as_soon_as_it_is_told_and_logs_ids_and_statuses(desk: Desk) -> None:
    order = place("RX-1")
    change(order, 1, "BOOKED")
    desk.start_sockets()
    page, everything = desk.page(room(order)), desk.page("orders")
    for each in (page, everything):
        is_connected(each)
        expect(each.locator("[data-socket-text]")).to_have_text("Live")
    change(order, 2, "ASSIGNED")
    for each in (page, everything):
        shows(each, "ASSIGNED")
        each.wait_for_function("heard.length > 0")
        assert each.evaluate("heard") == [2]  # how it stood at the beginning was no news
    updates = logged(desk, "Order updated via socket: ")
    assert {(told["orderId"], told["dispatchStatus"], told["traceId"]) for told in updates if told["version"] == 2} == {
        (str(order), "ASSIGNED", "trace-1")
    }
    assert [told["status"] for told in logged(desk, "Dispatch updated (fallback): ")] == ["ASSIGNED"]
    assert desk.said.count("Socket connected") == 2
    assert not [line for line in desk.said if line.startswith(("error", "Refused"))]


def test_a_page_without_its_socket_asks_every_minute_and_at_once_when_it_has_one_again(desk: Desk) -> None:
    order = place("RX-1")
    change(order, 1, "BOOKED")
    desk.start_sockets()
    page, asking = desk.page(room(order)), desk.page(f"{room(order)}/1")
    for each in (page, asking):
        is_connected(each)
    desk.kill_sockets()
    for each in (page, asking):
        is_connected(each, "off")
    change(order, 2, "ASSIGNED")
    shows(asking, "ASSIGNED")
    assert (60_000 in page.evaluate("intervals"), 1_000 in asking.evaluate("intervals")) == (True, True)
    expect(page.locator("[data-socket-text]")).to_have_text("Not connected; asking every minute")
    shows(page, "BOOKED")
    desk.start_sockets()
    is_connected(page)
    shows(page, "ASSIGNED")
    page.wait_for_function("heard.length > 0")
    assert page.evaluate("heard") == [2]
    change(order, 3, "PICKED_UP")
    shows(page, "PICKED_UP")


def test_a_page_of_somebody_who_is_signed_out_elsewhere_leads_to_the_sign_in(desk: Desk) -> None:
    order = place("RX-1")
    desk.start_sockets()
    page = desk.page(room(order))
    is_connected(page)
    sign_out_everywhere("viewer@example.org")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SOON_MS)


def test_a_hidden_page_closes_its_socket_and_opens_it_when_it_is_looked_at(desk: Desk) -> None:
    order = place("RX-1")
    desk.start_sockets()
    page = desk.page(room(order))
    is_connected(page)
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    page.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')); }", True)
    is_connected(page, "paused")
    change(order, 1, "BOOKED")
    page.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')); }", False)
    is_connected(page)
    shows(page, "BOOKED")


def told(page: Page, what: str, **of: Any) -> None:
    """The page was told this."""
    page.wait_for_function(
        "([what, of]) => tickets.some((each) => each.what === what"
        " && Object.entries(of).every(([name, value]) => each[name] === value))",
        arg=[what, of],
        timeout=SOON_MS,
    )


def test_pages_of_tickets_are_told_of_theirs_and_look_for_themselves_while_they_have_no_socket(desk: Desk) -> None:
    care = make_care()
    link("pharmacist", care.pharmacy.party_id, "Pharmacist Four")
    ticket = choose(care.doctor, care.patient, care.pharmacy)
    send(care.doctor, ticket)
    desk.start_sockets()
    page, asking = (desk.page(f"ticket/{ticket.ticket_id}{poll}", "pharmacist") for poll in ("", "/1"))
    everything = desk.page("tickets", "pharmacist")
    for each in (page, asking, everything):
        is_connected(each)
    told(page, "ticket", ticketId=str(ticket.ticket_id), status="sent", lastNumber=0)
    told(everything, "poll")
    write(care.patient, ticket)
    for each in (page, everything):
        told(each, "message", ticketId=str(ticket.ticket_id), number=1, senderPartyId=str(care.patient.party_id))
    assert not [each for each in page.evaluate("tickets") if each["what"] == "poll"]
    desk.kill_sockets()
    for each in (page, asking):
        is_connected(each, "off")
    told(asking, "poll")
    assert (60_000 in page.evaluate("intervals"), 1_000 in asking.evaluate("intervals")) == (True, True)
    write(care.patient, ticket)
    desk.start_sockets()
    is_connected(page)
    told(page, "ticket", lastNumber=2)
    told(page, "poll")
    said = [line for line in desk.said if line.startswith("Ticket told by socket: message.created")]
    assert said
    assert not [
        line for line in desk.said if WORDS in line or "Sample" in line or line.startswith(("error", "Refused"))
    ]
