"""The whole product as processes of its own, each with its log, before everybody it talks to. Asserts nothing."""

from __future__ import annotations

import json
import re
import secrets
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import configure, connected, database, fetch_all
from dispatchlog.gateways import courier_sandbox, outreach_sandbox
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_servers import MllpSide
from dispatchlog.service_tokens import SCOPES, create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import couriers
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from tests.ports import free_port
from tests.scenarios.processes import running, wait_for
from tests.watching.otlp import Spans

COURIER_SECRET, COURIER_TOKEN = "a-secret-of-the-webhooks-long-enough", "sandbox"
TWILIO_TOKEN = "twilio's token of this test"
SCHOOL = "SCH-01"
CLINIC, DOCTOR = str(uuid4()), str(uuid4())
REFUSED = "refused"
OPERATORS = "operators@example.org"
_GUNICORN = ("-m", "gunicorn", "--config", "python:dashboard.gunicorn_conf", "--workers", "1", "dashboard.wsgi:app")


class MailServer:
    """Takes every mail but to recipients with `REFUSED` in their address, whom it refuses in words that repeat it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Message]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
            self._controller.start()
        self.port = self._controller.port

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if REFUSED in address:
            return f"550 5.1.1 <{address}>: no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802  as above
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken += [(address, message_from_bytes(content)) for address in envelope.rcpt_tos]
        return "250 taken"

    def to(self, address: str) -> list[Message]:
        return [message for recipient, message in self.taken if recipient == address]

    def close(self) -> None:
        self._controller.stop()


@dataclass
class Whole:
    """Everything that runs. `heard` is what HTTP servers outside were asked: path and headers."""

    url: str
    token: str
    folder: Path
    mail: MailServer
    courier: courier_sandbox.Sandbox
    texts: outreach_sandbox.Sandbox
    exchange: Exchange
    heard: list[tuple[str, dict[str, str]]]
    spans: Spans
    answers: list[httpx.Response] = field(default_factory=list)

    def ask(self, method: str, path: str, *, trace_id: str = "", token: str = "", **request: Any) -> httpx.Response:
        """One request to the dashboard; its answer is kept."""
        headers = {"Authorization": f"Bearer {token or self.token}", **request.pop("headers", {})}
        if trace_id:
            headers["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        answer = httpx.request(method, f"{self.url}{path}", headers=headers, timeout=120, **request)
        self.answers.append(answer)
        return answer

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """One that must succeed."""
        answer = self.ask(method, f"/api/v1{path}", **request)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def tell(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        document = {"event_id": str(uuid4()), "kind": kind, "occurred_at": datetime.now(UTC).isoformat(), "data": data}
        return dict(self.call("POST", "/comm/events", json=document)["effect"])

    def log(self, process: str) -> str:
        return (self.folder / f"{process}.log").read_text()

    def lines(self, process: str, trace_id: str) -> list[dict[str, Any]]:
        """What this process logged under a trace id."""
        found = [re.search(r"\{.*\}", line) for line in self.log(process).splitlines() if trace_id in line]
        return [json.loads(each[0]) for each in found if each is not None]

    def events(self, process: str, trace_id: str) -> set[str]:
        return {line["event"] for line in self.lines(process, trace_id)}


@pytest.fixture
def whole(settings_env: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Whole]:
    """Worker, scheduler, dashboard and sockets at log level debug; a mail server, a courier, Twilio and an exchange."""
    heard: list[tuple[str, dict[str, str]]] = []
    _listen(monkeypatch, heard)
    with ExitStack() as stack:
        mail = MailServer()
        stack.callback(mail.close)
        spans = Spans()
        stack.callback(spans.close)
        port, courier_port, socket_port = free_port(), free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        texts = outreach_sandbox.Sandbox(outreach_sandbox.Options(webhook_url=url, twilio_auth_token=TWILIO_TOKEN))
        stack.callback(texts.close)
        for name, value in {
            "PUBLIC_URL": url,
            "LOG_LEVEL": "debug",
            "OTLP_URL": spans.url,
            "SMTP_URL": f"smtp://127.0.0.1:{mail.port}?tls=none",
            "HEALTH_INFORMATION_DELAY_SECONDS": "0",
            "SWEEP_SECONDS": "1",
            "SOCKET_PORT": str(socket_port),
            "COURIER": "generic",
            "COURIER_URL": f"http://127.0.0.1:{courier_port}/courier",
            "COURIER_TOKEN": COURIER_TOKEN,
            "COURIER_WEBHOOK_SECRET": COURIER_SECRET,
            "OUTREACH_SMS": "twilio",
            "TWILIO_URL": f"http://127.0.0.1:{texts.port}/twilio",
            "TWILIO_FROM": "+12025550199",
            "TWILIO_ACCOUNT_SID": outreach_sandbox.ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
            "COMM_WEBHOOK_SECRET": "a secret of whoever stands between",
            "ALERT_MAIL_TO": OPERATORS,
            "ALERT_CHECK_SECONDS": "1",
            "ALERT_FAILURE_LEAST": "1",
        }.items():
            monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
        monkeypatch.setenv("PORT", str(port))
        _forget()
        settings = get_settings()
        configure(settings.database_url, role=settings.application_role, name="test")
        token = create_token("core", [scope for scope in SCOPES if scope != "comm:contact"], "tests")
        ensure_standard_templates()
        exchange = Exchange()
        stack.callback(exchange.close)
        side = MllpSide(exchange)
        stack.callback(side.close)
        schools.add_school(SCHOOL, "First school", actor="test")
        reach = {"enabled": True, "host": "127.0.0.1", "port": side.port, "tls": False, "rate_per_second": 50}
        schools.change_endpoint(SCHOOL, {**reach, "max_retries": 0}, actor="test")
        courier = courier_sandbox.Sandbox(
            courier_sandbox.Options(
                port=courier_port,
                speed=0.000001,
                token=COURIER_TOKEN,
                webhook_url=f"{url}/webhooks/courier/generic",
                webhook_secrets=(COURIER_SECRET,),
            )
        )
        stack.callback(courier.close)
        commands: dict[str, tuple[str, ...]] = {
            "dashboard": _GUNICORN,
            "scheduler": ("-m", "dispatchlog.cli", "scheduler"),
            "sockets": ("-m", "dispatchlog.cli", "sockets"),
            "worker": ("-m", "dispatchlog.cli", "worker", "--processes", "1"),
        }
        for name, command in commands.items():
            stack.enter_context(running(*command, env={}, log=tmp_path / f"{name}.log"))
        here = Whole(url, token, tmp_path, mail, courier, texts, exchange, heard, spans)
        wait_for(lambda: _is_ready(url))
        here.tell("organization.updated", {"id": CLINIC, "name": "Sample Clinic", "phone": "+12025550100"})
        here.tell("provider.updated", {"id": DOCTOR, "name": "Dr Sample", "organization_id": CLINIC})
        place = {"address": "1 Harbour Road", "latitude": 25.2, "longitude": 55.27}
        here.call("PUT", "/pharmacies/AL-NOOR", json={"name": "Al Noor", "phone": "+97145550100", "place": place})
        yield here
    _forget()
    database.close_all()


def command_line(*arguments: str) -> tuple[str, ...]:
    """The command line as a process."""
    return (sys.executable, "-m", "dispatchlog.cli", *arguments)


def statuses(table: str) -> list[str]:
    """Of every row, oldest first."""
    with connected():
        return [row[0] for row in fetch_all(f"SELECT status FROM {table} ORDER BY seq")]


def _listen(monkeypatch: pytest.MonkeyPatch, heard: list[tuple[str, dict[str, str]]]) -> None:
    parse = BaseHTTPRequestHandler.parse_request

    def note(handler: BaseHTTPRequestHandler) -> bool:
        parsed = parse(handler)
        if parsed:
            heard.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        return parsed

    monkeypatch.setattr(BaseHTTPRequestHandler, "parse_request", note)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _forget() -> None:
    couriers.forget()
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()
