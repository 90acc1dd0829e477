"""Owns a sandbox courier in a process of its own: it accepts bookings, sends drivers along straight lines, and fails as
scripted; never a real courier's stand-in in production.

It speaks our own protocol under `/courier` and Kwik's under `/kwik`, over one set of jobs. Each acceptance is in its
journal, on the disk, before it is answered.
"""

from __future__ import annotations

import json
import signal
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dispatchlog.gateways.courier_sandbox_control import Control
from dispatchlog.gateways.courier_sandbox_generic import PROTOCOL, GenericSide
from dispatchlog.gateways.courier_sandbox_jobs import Event, Happened, Job, World
from dispatchlog.gateways.courier_sandbox_kwik import KwikSide
from dispatchlog.gateways.courier_sandbox_script import Script
from dispatchlog.gateways.courier_sandbox_webhooks import Webhooks
from dispatchlog.gateways.sandbox_http import SandboxServer, Side


@dataclass(frozen=True, slots=True)
class Options:
    """How the sandbox's process runs.

    Attributes:
        port: 0 takes a free one.
        speed: simulated seconds per second.
        token: what our own protocol wants as a Bearer token.
        webhook_url: where events go; "" tells nobody.
        webhook_secrets: each signs every webhook.
        kwik_email, kwik_password, kwik_domain_name: with which Kwik's side lets in.
        history_page: the most that Kwik's history gives at once.
    """

    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    token: str = field(default="", repr=False)
    webhook_url: str = ""
    webhook_secrets: Sequence[str] = field(default=(), repr=False)
    kwik_domain_name: str = "sandbox"
    kwik_email: str = "sandbox@dispatchlog.localhost"
    kwik_password: str = field(default="sandbox", repr=False)
    history_page: int = 50
    journal: Path | None = None
    script: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Sandbox:
    """A sandbox courier that runs in this process, from construction to `close`.

    Args:
        told: called with each event, in order; for a line on the terminal.
    """

    def __init__(self, options: Options, *, told: Happened | None = None) -> None:
        self.script = Script()
        if options.script is not None:
            self.script.load(json.loads(options.script.read_text()))
        self._told = told
        self._webhooks = Webhooks(options.webhook_url, options.webhook_secrets) if options.webhook_url else None
        self.world = World(self.script, speed=options.speed, journal=options.journal, happened=self._happened)
        self._generic = GenericSide(self.world, token=options.token)
        tls = None
        if options.certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(options.certificate, options.key)
        self.kwik = KwikSide(self.world, options)
        sides: dict[str, Side] = {"courier": self._generic, "kwik": self.kwik}
        self._server = SandboxServer(self.script, sides, Control(self.world), options.host, options.port, tls=tls)
        self.port = self._server.port
        self._clock = threading.Thread(
            target=self.world.run, args=(self._server.stopped,), name="sandbox-clock", daemon=True
        )
        self._clock.start()

    def _happened(self, job: Job, event: Event) -> None:
        if self._webhooks is not None and job.booking.protocol == PROTOCOL:
            self._webhooks.tell(job.job_id, event.stage, self._generic.document(job, event), job.scenario)
        if self._told is not None:
            self._told(job, event)

    def close(self) -> None:
        self._server.close()
        self._clock.join(5)
        if self._webhooks is not None:
            self._webhooks.close()
        self.world.close()


def run(options: Options, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `say` hears the port, then one line for each event, without a person's data.

    Raises:
        OSError: the port is taken, or a file cannot be read.
        ValueError: the script cannot be read.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(options, told=lambda job, event: say(f"{job.job_id}  {job.booking.order_number}  {event.stage}"))
    say(json.dumps({"port": sandbox.port}))
    stop.wait()
    sandbox.close()
