"""What people write never runs: every payload in every place of a ticket where somebody writes, shown on every page of it
in a real Chromium, with the policy that would stop most scripts switched off, so that only escaping stands between.
"""

from __future__ import annotations

import json
import mailbox
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request, expect

from dashboard import create_app
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import TICKET_NOTIFICATIONS
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.tickets.handling import move_ticket
from dispatchlog.systems.tickets.identity import acting_as
from dispatchlog.systems.tickets.inputs import ItemInput, TicketInput
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.overview import Overseer, open_emergency_access
from dispatchlog.systems.tickets.prescribing import keep_draft
from dispatchlog.systems.tickets.reading import ticket_state
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import PASSWORD, PATIENCE_MS, make_people, served
from tests.dashboard.script_payloads import ADDRESSES, CANARY, PAYLOADS
from tests.dashboard.test_browser import chromium
from tests.dashboard.ticket_samples import Parties, account, link_parties, new_ticket, say, sent_ticket
from tests.systems.ticket_samples import new_party, new_person

__all__ = ["chromium"]  # a fixture

Served = tuple[str, Path]

# The elements and attributes that no template of these pages has, or not with these contents.
PLANTED = """() => {
  const planted = "script:not([src]), style, object, embed, template:not([data-item-template]), base, math, marquee, video,"
    + " audio, meta[http-equiv], [srcdoc], body img:not([src*='logo.svg'])";
  const found = [...document.querySelectorAll(planted)];
  for (const each of document.querySelectorAll("*")) {
    for (const { name, value } of each.attributes) {
      const leads = ["src", "href", "action", "data"].includes(name);
      const wicked = /^\\s*(java\\s*script|data|vbscript|blob):/i.test(value) || value.includes("CANARY");
      if (/^on/i.test(name) || (leads && wicked)) found.push(each);
    }
  }
  return found.map((each) => each.outerHTML.slice(0, 200));
}""".replace("CANARY", CANARY)


# What was planted would have loaded, failed or begun by then.
SETTLED = "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))"


class Watch:
    """Everything a script could have done on a page."""

    def __init__(self, page: Page) -> None:
        self.seen: list[str] = []
        self.page = page
        page.on("dialog", self._dialog)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.seen.append(f"error {error}"))
        page.on("request", self._request)
        page.on("popup", lambda popup: self.seen.append(f"popup {popup.url}"))

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        # Nobody listens for the sockets of these pages.
        if message.type == "error" and "/socket.io/" not in message.text:
            self.seen.append(f"console {message.text}")

    def _request(self, request: Request) -> None:
        if CANARY in request.url.partition("?")[0]:
            self.seen.append(f"request {request.url}")

    def verdict(self) -> list[str]:
        """What happened, or was put into the page's document, that no page of ours does."""
        for frame in self.page.frames:
            try:
                ran = frame.evaluate("window.wicked") is not None
            except Error:
                if frame.is_detached():  # the page replaced it while it was asked
                    continue
                raise
            if ran:
                self.seen.append(f"ran in {frame.url}")
        return [*self.seen, *self.page.evaluate(PLANTED)]


def spoken(parties: Parties, ticket: Row) -> None:
    """A message for each payload, by somebody of that name; and one whose files have them as names, and addresses that the
    product itself would refuse.
    """
    for payload in PAYLOADS:
        say(new_person(parties.doctor.party_id, payload), ticket, payload)
    thread = ticket_state(parties.doctor, ticket["id"]).thread["id"]
    named = zip(PAYLOADS, [*ADDRESSES, *ADDRESSES, *ADDRESSES, *ADDRESSES], strict=False)
    files = [{"name": name, "media_type": name, "size_bytes": 1, "sha256": "", "url": url} for name, url in named]
    with acting_as(parties.doctor):
        execute(
            "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body, attachments)"
            " VALUES (%s, %s, %s, %s, 'files', %s::jsonb)",
            (uuid4(), thread, parties.doctor.person_id, uuid4(), json.dumps(files)),
        )


def prescribed(parties: Parties) -> Row:
    """A ticket whose prescription holds every payload in every field that takes so much text."""
    items = [
        ItemInput(name=text, strength=text[:64], form=text[:64], dosage=text, frequency=text, duration=text,
                  quantity=text[:64], instructions=text)
        for text in PAYLOADS
    ]  # fmt: skip
    return sent_ticket(parties, items=items, notes="\n".join(PAYLOADS))


def one_for_each(parties: Parties) -> None:
    """For each payload a ticket of a patient and a pharmacy of that name."""
    for payload in PAYLOADS:
        patient, pharmacy = (new_party(kind, payload, email="x@example.org") for kind in ("patient", "pharmacy"))
        choose_receiver(parties.doctor, TicketInput(TicketType.PRESCRIPTION, uuid4(), patient, pharmacy))


def mail_of(ticket: Row, mailbox_dir: Path) -> str:
    """The key of a notification of the ticket in the mailbox."""
    lane = registry.lane("ticket_notification")
    with connected():
        rows = fetch_dicts("SELECT * FROM ticket_notifications WHERE ticket_id = %s LIMIT 1", (ticket["id"],))
    letter = lane.compose({**TICKET_NOTIFICATIONS.opened(rows[0]), "claimed_at": datetime.now(UTC)})
    return mailbox.Maildir(mailbox_dir).add(letter.body)


def named_wickedly() -> Parties:
    """Parties and people whose names are payloads."""
    return link_parties(doctor=PAYLOADS[30], pharmacy=PAYLOADS[4], patient=PAYLOADS[0])


@pytest.fixture
def harmless(chromium: Browser, settings_env: Settings, cheap_passwords: None, tmp_path: Path) -> Iterator[Served]:
    """A served dashboard with a mailbox; pages are opened without its policy, which is another wall."""
    forget_process_state()
    settings = settings_env.model_copy(update={"mailbox_dir": tmp_path / "mail", "environment": "development"})
    app = create_app(settings)
    make_people()
    with served(app) as url:
        yield url, tmp_path / "mail"
        for context in chromium.contexts:
            context.close()
    forget_process_state()


def drafted(parties: Parties) -> Row:
    """A ticket whose unfinished prescription holds every payload."""
    ticket = new_ticket(parties)
    items = [{"name": text, "dosage": text, "instructions": text} for text in PAYLOADS]
    keep_draft(parties.doctor, ticket["id"], {"items": items, "notes": "\n".join(PAYLOADS)})
    return ticket


def opener(chromium: Browser, url: str, role: str) -> Callable[[str], list[str]]:
    """A function that opens a page as this role and tells what ran; `text` is what has to be read on it."""
    return looking(signed_in(chromium, url, role), url)


def signed_in(chromium: Browser, url: str, role: str) -> Page:
    """A page of this role, without the policy."""
    context = chromium.new_context(bypass_csp=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{url}/sign-in?next=/account")
    page.get_by_label("E-mail address").fill(f"{role}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()
    return page


def looking(page: Page, url: str) -> Callable[[str], list[str]]:
    """What `opener` says, on this page."""

    def look(path: str, texts: Sequence[str] = ()) -> list[str]:
        watch = Watch(page)
        answer = page.goto(f"{url}{path}")
        page.evaluate(SETTLED)
        found = watch.verdict()
        if answer is None or answer.status != 200:
            found.append(f"status {answer and answer.status}")
        shown = page.locator("body").inner_text()
        return found + [f"not shown: {text}" for text in texts if " ".join(text.split()) not in " ".join(shown.split())]

    return look


def test_nothing_that_was_written_runs_on_any_page(harmless: Served, chromium: Browser) -> None:
    url, mailbox_dir = harmless
    parties = named_wickedly()
    one_for_each(parties)
    ticket, draft = prescribed(parties), drafted(parties)
    spoken(parties, ticket)
    cancelled = sent_ticket(parties)
    say(parties.patient, cancelled, PAYLOADS[7])
    reason = " ".join(PAYLOADS)[:480]
    support = Overseer(account("support"), "support@example.org")
    for each in (ticket, cancelled):
        open_emergency_access(support, each["id"], reason=reason)
    move_ticket(parties.doctor, cancelled["id"], TicketStatus.CANCELLED, reason=reason)
    page, over = f"/tickets/{ticket['id']}", f"/ticket-overview/{ticket['id']}"
    shown: dict[str, list[str]] = {}
    for role in ("doctor", "pharmacist", "patient"):
        look = opener(chromium, url, role)
        shown[f"{role} ticket"] = look(page, PAYLOADS)
        shown[f"{role} older"] = look(f"{page}?before=20", PAYLOADS[:19])
        shown[f"{role} cancelled"] = look(f"/tickets/{cancelled['id']}", [reason, PAYLOADS[7]])
        shown[f"{role} list"] = look("/tickets")
    look = opener(chromium, url, "doctor")
    shown["new"] = look("/tickets/new", [PAYLOADS[4]])
    for path in ("", "/confirm"):
        shown[f"draft{path}"] = look(f"/tickets/{draft['id']}/prescription{path}")
    look = opener(chromium, url, "support")
    shown["overview"] = look("/ticket-overview", [PAYLOADS[30], *PAYLOADS])
    shown["one"] = look(over, [PAYLOADS[30], PAYLOADS[4], reason])
    shown["content"] = look(f"{over}/content", [*PAYLOADS, PAYLOADS[0]])
    shown["content of the cancelled"] = look(f"/ticket-overview/{cancelled['id']}/content", [PAYLOADS[7]])
    with connected():
        mails = fetch_all("SELECT id FROM ticket_notifications")
    assert len(mails) >= 3
    for (mail,) in mails:
        shown[f"mail {mail}"] = look(f"/dispatches/ticket_notification/{mail}")
    key = mail_of(ticket, mailbox_dir)
    for part in ("html", "text", "headers"):
        shown[f"mailbox {part}"] = look(f"/mailbox/{key}?part={part}")
    shown["story"] = look(f"/stories/story?subject=ticket:{ticket['id']}")
    shown["audit"] = opener(chromium, url, "auditor")("/audit")
    assert {name: found for name, found in shown.items() if found} == {}


def test_what_arrives_while_the_page_is_open_does_not_run_either(harmless: Served, chromium: Browser) -> None:
    url = harmless[0]
    parties = named_wickedly()
    ticket = sent_ticket(parties)
    context = chromium.new_context(bypass_csp=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{url}/sign-in?next=/tickets/{ticket['id']}")
    page.get_by_label("E-mail address").fill("patient@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name=ticket["ticket_number"])).to_be_visible()
    watch = Watch(page)
    spoken(parties, ticket)
    page.evaluate("document.dispatchEvent(new CustomEvent('dispatchlog:ticket', { detail: {} }))")
    expect(page.locator(f"#message-{len(PAYLOADS) + 1}")).to_be_attached()
    assert page.locator(".message-body").all_inner_texts()[: len(PAYLOADS)] == list(PAYLOADS)
    assert watch.verdict() == []


def test_an_attachment_s_address_is_a_link_only_where_it_is_https(harmless: Served, chromium: Browser) -> None:
    url = harmless[0]
    parties = named_wickedly()
    ticket = sent_ticket(parties)
    spoken(parties, ticket)
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{url}/sign-in?next=/tickets/{ticket['id']}")
    page.get_by_label("E-mail address").fill("patient@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".attachments li")).to_have_count(len(PAYLOADS))
    links = page.locator(".attachments a").evaluate_all("all => all.map(each => each.protocol)")
    assert set(links) <= {"https:"}
