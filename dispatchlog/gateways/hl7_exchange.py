"""Owns a test exchange that takes HL7 v2 messages and answers as scripted; never a real one's stand-in in production.

`python -m dispatchlog.gateways.hl7_exchange --port 2575` takes MLLP, `--http-port` the same over HTTP; both speak TLS
with `--certificate` and `--key`, and ask for a client certificate with `--client-ca`. It prints its ports as one line of
JSON. The HTTP side also takes `POST /script` (`Script.load`) and answers `GET /received`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dispatchlog.gateways.fake_ledger import Ledger
from dispatchlog.gateways.hl7_exchange_script import Answer, Script
from dispatchlog.gateways.hl7_exchange_servers import HttpSide, MllpSide
from dispatchlog.gateways.hl7_message import Message, field_of

_MAX_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came; `effect` is whether it was taken for a new one."""

    control_id: str
    patient: str
    message_type: str
    sha256: str
    accepted: bool
    effect: bool
    answer: str
    at: datetime
    body: bytes = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """All but the body, which is about a patient."""
        names = ("control_id", "message_type", "sha256", "accepted", "effect", "answer")
        return {name: getattr(self, name) for name in names} | {"at": self.at.isoformat()}


class Exchange:
    """What was received (the newest 20,000 of it), and the next answer. Thread-safe.

    Args:
        dedupes: whether a control id that was accepted before has no second effect.
        ledger_path: where each effect is written and fsynced before it is answered; read again at a restart.
        told: called with each message received.
    """

    def __init__(
        self,
        *,
        dedupes: bool = True,
        ledger_path: Path | None = None,
        told: Callable[[Received], None] | None = None,
    ) -> None:
        self.script = Script()
        self.taken = 0
        self.effects = 0
        self.duplicates = 0
        self.received: deque[Received] = deque(maxlen=_MAX_KEPT)
        self._dedupes = dedupes
        self._ledger = Ledger(ledger_path) if ledger_path else None
        self._accepted_ids = {entry.key for entry in self._ledger.entries} if self._ledger else set()
        self._told = told
        self._lock = threading.Lock()

    def take(self, body: bytes) -> tuple[Answer, bytes]:
        """Take one message as the script wants it; the answer with its acknowledgement. Raises MalformedMessageError."""
        message = Message.parse(body)
        control_id, patient = message.control_id, _patient(message)
        with self._lock:
            answer = self.script.next(control_id, patient)
            known = control_id in self._accepted_ids
            effect = answer.accept and not (known and self._dedupes)
            self.taken += 1
            if answer.accept:
                self.duplicates += known
                self.effects += effect
            if effect:
                self._accepted_ids.add(control_id)
                if self._ledger is not None:
                    self._ledger.accept("hl7", key=control_id, recipient=patient, body=body)
            received = Received(
                control_id,
                patient,
                field_of(message.segments[0], 8),
                hashlib.sha256(body).hexdigest(),
                answer.accept,
                effect,
                f"{answer.code} {answer.error}".strip() if answer.way == "whole" else answer.way,
                datetime.now(UTC),
                body,
            )
            self.received.append(received)
        if self._told is not None:
            self._told(received)
        return answer, acknowledge(message, answer)

    def effects_of(self, control_id: str) -> list[str]:
        """The sha256 of each body that had an effect under this control id."""
        with self._lock:
            return [one.sha256 for one in self.received if one.effect and one.control_id == control_id]

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {"received": self.taken, "effects": self.effects, "duplicates": self.duplicates}

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()


def _patient(message: Message) -> str:
    found = message.named("PID")
    return message.first_component(field_of(found[0], 3)) if found else ""


def acknowledge(message: Message, answer: Answer) -> bytes:
    """The acknowledgement (HL7 v2.5.1 section 2.13) the script asks for."""
    header = message.segments[0]
    control_id = "X-" + message.control_id[:18] if answer.way == "wrong_id" else message.control_id
    sender = [field_of(header, number) for number in (4, 5, 2, 3)]
    at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    event = "".join(field_of(header, 8).split(message.component)[1:2])
    lines = [
        "|".join(["MSH", "^~\\&", *sender, at, "", f"ACK^{event}^ACK", f"A{message.control_id}"[:20], "P", "2.5.1"]),
        f"MSA|{answer.code}|{control_id}",
    ]
    if answer.error or answer.text:
        lines.append(f"ERR||MSH^1|{answer.error}^^HL70357|E||||{answer.text}")
    return ("\r".join(lines) + "\r").encode()


@dataclass(frozen=True, slots=True)
class Options:
    """How the exchange's process runs; a port of None is not opened, 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int | None = 2575
    http_port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    script: Path | None = None
    ledger: Path | None = None
    dedupes: bool = True
    api_key: str = ""


def server_context(certificate: Path, key: Path | None = None, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS for the exchange; with `client_ca`, clients must show a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def run(options: Options, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `say` hears the ports and one line for each message, without patient data."""
    exchange = Exchange(
        dedupes=options.dedupes, ledger_path=options.ledger, told=lambda received: say(json.dumps(received.as_json()))
    )
    if options.script is not None:
        exchange.script.load(json.loads(options.script.read_text()))
    tls = server_context(options.certificate, options.key, options.client_ca) if options.certificate else None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sides: dict[str, MllpSide | HttpSide] = {}
    if options.port is not None:
        sides["port"] = MllpSide(exchange, options.host, options.port, tls=tls)
    if options.http_port is not None:
        sides["http_port"] = HttpSide(exchange, options.host, options.http_port, tls=tls, api_key=options.api_key)
    say(json.dumps({name: side.port for name, side in sides.items()}))
    stop.wait()
    for side in sides.values():
        side.close()
    exchange.close()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="A test exchange for HL7 v2 messages with scriptable answers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="MLLP; 0 takes a free one")
    parser.add_argument("--http-port", type=int, help="HTTP, or HTTPS with a certificate; 0 takes a free one")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--client-ca", type=Path, help="ask for a client certificate of this authority")
    parser.add_argument("--script", type=Path, help="JSON: answers, rules, standing")
    parser.add_argument(
        "--ledger", type=Path, help="append each effect to this file, on the disk before it is answered"
    )
    parser.add_argument("--api-key", default="", help="what the HTTP side wants in X-API-Key")
    parser.add_argument("--no-dedupe", dest="dedupes", action="store_false", help="take a resend for a new message")
    run(Options(**vars(parser.parse_args())), say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
