"""A prescription as its people meet it: doctor, pharmacy and patient, each in a browser of their own, on real processes.

Worker, clock, sockets and mailbox run beside the dashboard; the worker is killed while the pharmacy is being told.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard import create_app, live_hub
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import connected, database, fetch_all
from dispatchlog.local.mailbox import list_messages
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import PASSWORD, make_people, served
from tests.dashboard.test_browser import Site
from tests.dashboard.ticket_accounts import link_accounts
from tests.ports import free_port
from tests.scenarios.processes import mailbox, running, wait_for
from tests.sockets.samples import kill, start_sockets
from tests.systems.ticket_samples import Care

# What a busy machine may need; without its socket a page asks every 60 s.
SOON_MS, ASKED_MS = 60_000, 120_000
PHARMACY, PATIENT = "linden.pharmacy@example.org", "sample.patient@example.org"
WRITTEN = ("Amoxicillin", "with food", "generic", "Sample Patient")


@dataclass
class Practice:
    """Everything that runs, and who takes part."""

    site: Site
    care: Care
    mail: Path
    log: Path
    stack: ExitStack
    socket_port: int

    def start_worker(self) -> psutil.Process:
        started = self.stack.enter_context(running("-m", "dispatchlog.cli", "worker", env={}, log=self.log))
        return psutil.Process(started.pid)

    def page_of(self, role: str, path: str = "/tickets") -> Page:
        page = self.site.visitor()
        page.goto(f"{self.site.url}/sign-in?next={path}")
        page.get_by_label("E-mail address").fill(f"{role}@example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("html")).to_have_attribute("data-socket", "on", timeout=SOON_MS)
        return page

    def mails(self) -> Counter[tuple[str, str]]:
        """How many of each subject to each address."""
        return Counter((mail.to[0], mail.subject) for mail in list_messages(self.mail, limit=1_000))


@pytest.fixture
def practice(
    settings_env: Settings,
    monkeypatch: pytest.MonkeyPatch,
    one_chromium: Browser,
    cheap_passwords: None,
    tmp_path: Path,
) -> Iterator[Practice]:
    forget_process_state()
    socket_port = free_port()
    with ExitStack() as stack:
        log = tmp_path / "log"
        smtp = stack.enter_context(mailbox(tmp_path / "box", env={}, log=log))
        monkeypatch.setenv("DISPATCHLOG_SMTP_URL", f"smtp://127.0.0.1:{smtp}?tls=none")
        monkeypatch.setenv("DISPATCHLOG_SOCKET_PORT", str(socket_port))
        _forget()
        site = Site(stack.enter_context(served(create_app(get_settings()))), one_chromium)
        stack.callback(live_hub.close_all)
        stack.callback(lambda: [context.close() for context in one_chromium.contexts])
        make_people()
        care = link_accounts()
        stack.enter_context(running("-m", "dispatchlog.cli", "scheduler", env={}, log=log))
        sockets = start_sockets(socket_port, PORT=site.url.rpartition(":")[2])
        stack.callback(kill, sockets)
        yield Practice(site, care, tmp_path / "box", log, stack, socket_port)
    _forget()
    database.close_all()


def _forget() -> None:
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()


def test_from_the_doctors_choice_to_the_patients_thanks(practice: Practice) -> None:
    """Nobody loads a page anew to hear of another's doing, and every mail leaves once."""
    practice.start_worker()
    inbox = practice.page_of("pharmacist")
    doctor = practice.page_of("doctor")
    ticket_id = prescribed(practice, doctor)
    with connected():
        number = fetch_all("SELECT payload ->> 'ticketNumber' FROM ticket_changes WHERE ticket_id = %s", (ticket_id,))[
            0
        ][0]
    listed = inbox.get_by_role("link", name=number)
    expect(listed).to_be_visible(timeout=SOON_MS)
    patient = practice.page_of("patient", f"/tickets/{ticket_id}")
    patient.evaluate("() => { window.untouched = true; }")
    listed.click()
    expect(inbox.get_by_text("The pharmacy has it and prepares it.")).to_be_visible(timeout=SOON_MS)
    for page in (doctor, patient):
        expect(page.locator("#timeline").get_by_text("Received")).to_be_visible(timeout=SOON_MS)
    inbox.get_by_label("Write a message").fill("Is the generic all right?")
    inbox.get_by_role("button", name="Send").click()
    for page in (doctor, patient):
        expect(page.get_by_role("log")).to_contain_text("Is the generic all right?", timeout=SOON_MS)
    inbox.get_by_role("button", name="Mark ready").click()
    expect(patient.locator("#timeline").get_by_text("Ready")).to_be_visible(timeout=SOON_MS)
    patient.get_by_label("Write a message").fill("Thank you.")
    patient.get_by_role("button", name="Send").click()
    expect(inbox.get_by_role("log")).to_contain_text("Thank you.", timeout=SOON_MS)
    assert patient.evaluate("() => window.untouched") is True
    wait_for(lambda: sum(practice.mails().values()) == 2)
    assert sorted(to for to, _ in practice.mails()) == [PHARMACY, PATIENT]
    assert set(practice.mails().values()) == {1}
    for path in (practice.mail / "new").iterdir():
        text = path.read_text(errors="replace").replace("=\n", "")
        assert number in text
        assert not [word for word in WRITTEN if word in text]
    assert practice.log.stat().st_size > 0
    assert not [word for word in WRITTEN if word in practice.log.read_text()]


def test_a_worker_that_is_killed_while_the_pharmacy_is_told_tells_it_once(practice: Practice) -> None:
    first = practice.start_worker()
    doctor = practice.page_of("doctor")
    prescribed(practice, doctor)
    for process in [*first.children(recursive=True), first]:
        process.send_signal(signal.SIGKILL)
    practice.start_worker()
    wait_for(lambda: told() in ([("SENT", False)], [("FAILED", True)]))
    # Killed between the last byte and the mail server's answer it is in doubt, and never sent again by itself.
    assert practice.mails()[(PHARMACY, subject(practice))] <= 1
    assert (told() == [("FAILED", True)]) or practice.mails()[(PHARMACY, subject(practice))] == 1


def told() -> list[tuple[str, bool]]:
    with connected():
        return [(row[0], row[1]) for row in fetch_all("SELECT status, in_doubt FROM ticket_notifications")]


def subject(practice: Practice) -> str:
    return next((subject for to, subject in practice.mails() if to == PHARMACY), "")


def prescribed(practice: Practice, page: Page) -> UUID:
    """The doctor chooses the pharmacy, writes and sends; the ticket's id."""
    page.get_by_role("link", name="New ticket").first.click()
    page.get_by_label("Appointment").fill(str(uuid4()))
    page.get_by_label("Patient").fill(PATIENT)
    page.get_by_label("Search by name").fill("linden")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("Linden Pharmacy")).to_be_checked()
    page.get_by_role("button", name="Begin writing").click()
    medicine = page.get_by_role("group", name="Medicine 1")
    medicine.get_by_label("Medicine (needed)").fill("Amoxicillin")
    medicine.get_by_label("Dosage").fill("1 capsule, with food")
    page.get_by_role("button", name="Save and send to Linden Pharmacy…").click()
    page.get_by_role("button", name="Send to Linden Pharmacy").click()
    page.wait_for_url(re.compile(r"/tickets/[0-9a-f-]{36}$"))
    expect(page.locator("html")).to_have_attribute("data-socket", "on", timeout=SOON_MS)
    return UUID(page.url.rpartition("/")[2])
