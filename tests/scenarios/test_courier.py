"""The courier system as pharmacy staff meet it: the checklist before going live, on real processes and in a real Chromium.

Worker, clock, sockets, mailbox and a sandbox courier run beside the dashboard; its jobs move when the test says so.
"""

from __future__ import annotations

import email
import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dashboard import create_app, live_hub
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import connected, database, fetch_all
from dispatchlog.gateways.courier_sandbox import Options, Sandbox
from dispatchlog.gateways.courier_sandbox_jobs import Stage
from dispatchlog.service_tokens import SCOPES, create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import couriers
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import make_people, served
from tests.dashboard.test_browser import Site
from tests.ports import free_port
from tests.scenarios.processes import mailbox, running, wait_for
from tests.sockets.samples import kill, start_sockets

SECRET, TOKEN = "a-secret-of-the-webhooks-long-enough", "sandbox"
# What a busy machine may need; without its socket a page asks every 60 s.
SOON_MS, ASKED_MS = 60_000, 100_000
PATIENT = "amina@example.com"


@dataclass
class Pharmacy:
    """Everything that runs, and the pharmacist's browser."""

    site: Site
    sandbox: Sandbox
    socket_port: int
    mail: Path
    token: str
    stack: ExitStack
    folder: Path
    sockets: Any = None
    said: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "X-Trace-Id": "chat-77"}
        answer = httpx.request(method, f"{self.site.url}/api/v1{path}", headers=headers, timeout=60, **request)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def start_sockets(self) -> None:
        self.sockets = start_sockets(self.socket_port, PORT=self.site.url.rpartition(":")[2])
        self.stack.callback(kill, self.sockets)

    def ordered(self, *, paid: bool = True) -> str:
        """The id of an order that a patient made in the chat, and paid."""
        order_id = str(uuid4())
        document = {
            "orderNumber": f"MS-{order_id[:8]}",
            "pharmacy": "AL-NOOR",
            "patient": {"name": "Amina Rivers", "phone": "+971501234567", "email": PATIENT},
            "delivery": {"address": "3 Marina Road", "latitude": 25.08, "longitude": 55.14},
            "items": [{"name": "Amlodipine 5 mg", "quantity": 1}],
            "currency": "AED",
            "totalMinor": 4500,
        }
        self.call("PUT", f"/orders/{order_id}", json=document)
        if paid:
            self.call("PUT", f"/orders/{order_id}/payment", json={"status": "Paid", "reference": "pay-1"})
        return order_id

    def open(self, order_id: str) -> Page:
        page = self.site.signed_in("pharmacist")
        page.on("console", lambda message: self.said.append(message.text))
        page.goto(f"{self.site.url}/orders/{order_id}")
        expect(page.locator("html")).to_have_attribute("data-socket", "on", timeout=SOON_MS)
        return page

    def dispatch(self, order_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/orders/{order_id}")["order"]["dispatch"])

    def move(self, order_id: str, stage: Stage) -> None:
        assert self.sandbox.world.move(self.dispatch(order_id)["courierReference"], stage) is not None

    def code(self) -> str:
        """What the patient reads in the newest mail with a code."""
        found: list[str] = []

        def arrived() -> bool:
            for path in (self.mail / "new").iterdir():
                message = email.message_from_bytes(path.read_bytes(), policy=default)
                body = message.get_body(("plain",))
                if message["To"] == PATIENT and body is not None:
                    found.extend(re.findall(r"^(\d{6})\s*$", str(body.get_content()), re.MULTILINE))
            return bool(found)

        wait_for(arrived)
        return found[-1]

    def told(self, beginning: str = "Order updated via socket: ") -> list[dict[str, Any]]:
        return [json.loads(line.removeprefix(beginning)) for line in self.said if line.startswith(beginning)]


@pytest.fixture
def pharmacy(
    settings_env: Settings,
    monkeypatch: pytest.MonkeyPatch,
    one_chromium: Browser,
    cheap_passwords: None,
    tmp_path: Path,
) -> Iterator[Pharmacy]:
    forget_process_state()
    socket_port, courier_port = free_port(), free_port()
    with ExitStack() as stack:
        log = tmp_path / "log"
        smtp = stack.enter_context(mailbox(tmp_path / "box", env={}, log=log))
        for name, value in {
            "COURIER": "generic",
            "COURIER_URL": f"http://127.0.0.1:{courier_port}/courier",
            "COURIER_TOKEN": TOKEN,
            "COURIER_WEBHOOK_SECRET": SECRET,
            "COURIER_POLL_SECONDS": "2",
            "COURIER_WATCH_SECONDS": "600",
            "SMTP_URL": f"smtp://127.0.0.1:{smtp}?tls=none",
            "SOCKET_PORT": str(socket_port),
        }.items():
            monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
        _forget()
        site = Site(stack.enter_context(served(create_app(get_settings()))), one_chromium)
        stack.callback(live_hub.close_all)
        stack.callback(lambda: [context.close() for context in one_chromium.contexts])
        make_people()
        webhook = f"{site.url}/webhooks/courier/generic"
        options = Options(
            port=courier_port, speed=0.000001, token=TOKEN, webhook_url=webhook, webhook_secrets=(SECRET,)
        )
        sandbox = Sandbox(options)
        stack.callback(sandbox.close)
        for process in ("worker", "scheduler"):
            stack.enter_context(running("-m", "dispatchlog.cli", process, env={}, log=log))
        token = create_token("medsync", list(SCOPES), "tests")
        running_all = Pharmacy(site, sandbox, socket_port, tmp_path / "box", token, stack, tmp_path)
        place = {"address": "1 Harbour Road", "latitude": 25.2, "longitude": 55.27}
        running_all.call(
            "PUT", "/pharmacies/AL-NOOR", json={"name": "Al Noor", "phone": "+97145550100", "place": place}
        )
        running_all.start_sockets()
        yield running_all
    _forget()
    database.close_all()


def _forget() -> None:
    couriers.forget()
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()


def where(page: Page) -> Locator:
    return page.get_by_label("Where it is")


def shows(page: Page, words: str, *, within_ms: int = SOON_MS) -> None:
    """The state is on the page, which was not loaded anew."""
    expect(where(page).locator(".verdict-head")).to_contain_text(words, timeout=within_ms)


def booked(pharmacy: Pharmacy) -> tuple[str, Page]:
    order_id = pharmacy.ordered()
    page = pharmacy.open(order_id)
    page.get_by_role("button", name="Mark ready").click()
    shows(page, "Booked")
    return order_id, page


def test_from_the_chat_to_the_door(pharmacy: Pharmacy) -> None:
    """Checklist 1 to 5: ordered and paid, ready, booked in real time, under way, delivered by the code."""
    order_id, page = booked(pharmacy)
    until_told(pharmacy, page, "BOOKED")
    assert {each["traceId"] for each in pharmacy.told()} == {"chat-77"}
    page.evaluate("() => { window.untouched = true; }")
    for stage, words in (
        (Stage.ASSIGNED, "Driver assigned"),
        (Stage.PICKED_UP, "Picked up"),
        (Stage.IN_TRANSIT, "On the way"),
    ):
        pharmacy.move(order_id, stage)
        shows(page, words)
    assert page.evaluate("() => window.untouched") is True
    page.get_by_role("link", name="Confirm delivery").click()
    entry = page.get_by_label("Delivery code", exact=True)
    entry.fill("12345")
    page.get_by_role("button", name="Confirm delivery").click()
    shows(page, "On the way")
    entry.fill(pharmacy.code())
    page.get_by_role("button", name="Confirm delivery").click()
    shows(page, "Delivered")
    until_told(pharmacy, page, "DELIVERED")
    statuses = [each["dispatchStatus"] for each in pharmacy.told() if each["dispatchStatus"]]
    assert list(dict.fromkeys(statuses)) == ["BOOKED", "ASSIGNED", "PICKED_UP", "IN_TRANSIT", "DELIVERED"]
    said = "\n".join(pharmacy.said)
    assert "Dispatch updated (fallback)" in said
    assert not any(secret in said for secret in ("Amina", "501234567", PATIENT, "Amlodipine", "Marina"))


def test_what_failed_is_dispatched_again_and_booked(pharmacy: Pharmacy) -> None:
    """Checklist 6; the late word of the first attempt moves nothing."""
    order_id, page = booked(pharmacy)
    first = pharmacy.dispatch(order_id)["courierReference"]
    pharmacy.move(order_id, Stage.FAILED)
    shows(page, "Delivery failed")
    again(page, "the driver's car broke down")
    shows(page, "Booked")
    assert pharmacy.dispatch(order_id)["attempt"] == 2
    pharmacy.sandbox.world.move(first, Stage.DELIVERED)
    wait_for(lambda: effect_of(first, "DELIVERED") == "SUPERSEDED")
    assert pharmacy.dispatch(order_id)["status"] == "BOOKED"


def test_what_was_cancelled_can_be_dispatched_again(pharmacy: Pharmacy) -> None:
    """Checklist 7."""
    order_id, page = booked(pharmacy)
    where(page).get_by_text("Cancel the dispatch…").click()
    page.get_by_label("Why?").fill("the patient asked")
    page.get_by_role("button", name="Cancel the dispatch").click()
    shows(page, "Canceled")
    assert [job.stage for job in pharmacy.sandbox.world.jobs()] == [Stage.CANCELED]
    again(page, "the patient wants it after all")
    shows(page, "Booked")
    assert pharmacy.dispatch(order_id)["attempt"] == 2


def test_a_page_without_its_socket_is_fresh_within_a_minute(pharmacy: Pharmacy) -> None:
    """Checklist 8: nothing but the socket tells it, and that is gone."""
    order_id, page = booked(pharmacy)
    pharmacy.sockets.send_signal(signal.SIGKILL)
    pharmacy.sockets.wait(20)
    expect(page.locator("html")).not_to_have_attribute("data-socket", "on", timeout=SOON_MS)
    pharmacy.move(order_id, Stage.ASSIGNED)
    shows(page, "Driver assigned", within_ms=ASKED_MS)
    pharmacy.start_sockets()
    expect(page.locator("html")).to_have_attribute("data-socket", "on", timeout=ASKED_MS)


def test_an_unpaid_order_says_what_it_waits_for_and_is_booked_by_its_payment(pharmacy: Pharmacy) -> None:
    order_id = pharmacy.ordered(paid=False)
    page = pharmacy.open(order_id)
    page.get_by_role("button", name="Mark ready").click()
    expect(where(page)).to_contain_text("PAYMENT_NOT_CAPTURED")
    pharmacy.call("PUT", f"/orders/{order_id}/payment", json={"status": "Paid"})
    shows(page, "Booked")
    assert len(pharmacy.sandbox.world.jobs()) == 1


def until_told(pharmacy: Pharmacy, page: Page, status: str) -> None:
    """Wait in the browser's own loop, which is what calls back: after its answer the page connects anew."""
    for _ in range(SOON_MS // 100):
        if any(each["dispatchStatus"] == status for each in pharmacy.told()):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not told: {status}")


def again(page: Page, reason: str) -> None:
    where(page).get_by_text("Dispatch again…").click()
    page.get_by_label("Why again?").fill(reason)
    page.get_by_role("button", name="Dispatch again", exact=True).click()


def effect_of(reference: str, status: str) -> str | None:
    with connected():
        rows = fetch_all(
            "SELECT effect FROM courier_events WHERE courier_reference = %s AND status = %s", (reference, status)
        )
    return rows[0][0] if rows else None
