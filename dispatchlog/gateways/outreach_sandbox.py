"""Owns a process that stands in for Twilio, SendGrid and WhatsApp: it takes messages, tells how they go, and lets patients
answer, all as scripted; nothing leaves this machine, and it never stands in for them in production.

It speaks Twilio's API under `/twilio`, SendGrid's under `/sendgrid`, WhatsApp's under `/whatsapp`; `/messages` shows what
went out and came back.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dispatchlog.gateways.outreach_sandbox_messages import Message, Traffic
from dispatchlog.gateways.outreach_sandbox_page import Page
from dispatchlog.gateways.outreach_sandbox_script import Script
from dispatchlog.gateways.outreach_sandbox_sendgrid import SendGridSide
from dispatchlog.gateways.outreach_sandbox_twilio import TwilioSide
from dispatchlog.gateways.outreach_sandbox_whatsapp import WhatsAppSide
from dispatchlog.gateways.provider_signatures import new_sendgrid_key
from dispatchlog.gateways.sandbox_http import SandboxServer, Side

ACCOUNT_SID = "AC" + "5a" * 16
PHONE_NUMBER_ID = "100000000000001"


@dataclass(frozen=True, slots=True)
class Options:
    """How the sandbox's process runs.

    Attributes:
        port: 0 takes a free one.
        webhook_url: where the product is reached, without a path; "" tells nobody (but Twilio's status callbacks, which go
            where each message says).
        twilio_auth_token, sendgrid_api_key, whatsapp_token: with which each lets in; "" lets everybody in.
        sendgrid_signing_key: PEM; "" makes one.
        whatsapp_app_secret: signs WhatsApp's webhooks.
    """

    host: str = "127.0.0.1"
    port: int = 0
    webhook_url: str = ""
    twilio_account_sid: str = ACCOUNT_SID
    twilio_auth_token: str = field(default="", repr=False)
    sendgrid_api_key: str = field(default="", repr=False)
    sendgrid_signing_key: str = field(default="", repr=False)
    whatsapp_token: str = field(default="", repr=False)
    whatsapp_phone_number_id: str = PHONE_NUMBER_ID
    whatsapp_app_secret: str = field(default="", repr=False)
    script: Path | None = None


class Sandbox:
    """Runs in this process, from construction to `close`.

    Args:
        told: called with each message that is accepted, that moves on, or that comes in.
    """

    def __init__(self, options: Options, *, told: Callable[[Message], None] | None = None) -> None:
        self.script = Script()
        if options.script is not None:
            self.script.load(json.loads(options.script.read_text()))
        self.traffic = Traffic(self.script, happened=told)
        sides: dict[str, Side] = {
            "twilio": TwilioSide(
                self.traffic,
                account_sid=options.twilio_account_sid,
                auth_token=options.twilio_auth_token,
                inbound_url=_below(options.webhook_url, "/webhooks/twilio/inbound"),
            ),
            "sendgrid": SendGridSide(
                self.traffic,
                api_key=options.sendgrid_api_key,
                signing_key=options.sendgrid_signing_key or new_sendgrid_key(),
                events_url=_below(options.webhook_url, "/webhooks/sendgrid/events"),
            ),
            "whatsapp": WhatsAppSide(
                self.traffic,
                token=options.whatsapp_token,
                phone_number_id=options.whatsapp_phone_number_id,
                app_secret=options.whatsapp_app_secret,
                webhook_url=_below(options.webhook_url, "/webhooks/whatsapp"),
            ),
        }
        self._server = SandboxServer(self.script, sides, Page(self.traffic), options.host, options.port)
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()
        self.traffic.close()


def _below(url: str, path: str) -> str:
    return url.rstrip("/") + path if url else ""


def run(options: Options, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `say` hears the port, then one line for each event, without a person's data.

    Raises:
        OSError: the port is taken, or a file cannot be read.
        ValueError: the script cannot be read.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(options, told=lambda message: say(_line(message)))
    say(json.dumps({"port": sandbox.port}))
    stop.wait()
    sandbox.close()


def _line(message: Message) -> str:
    way = "received" if message.inbound else message.status
    return f"{message.provider}  {message.channel}  {message.reference or message.message_id}  {way}"
