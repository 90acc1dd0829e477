"""A provider in a process of its own: HTTP that answers late, and SMTP. Owns what it accepted and when; keeps no file.

`python -m bench.provider --latency-seconds 0.02` prints its ports as one line of JSON. `POST /registrations` with an
Idempotency-Key is accepted, with its instant on the machine's monotonic clock, when it has been read whole, and is
answered after the latency. `GET /accepted/N` lists the acceptances from the N-th on. It parses no more of HTTP than
the product's own client writes, so that it takes little of the cores it shares with what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import selectors
import signal
import time
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nidempotency-key: *(\S+)", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^message-id: *<([^<>@\s]+)@", re.IGNORECASE | re.MULTILINE)

Acceptances = list[tuple[str, float]]


class HttpSide(asyncio.Protocol):
    """One connection; its requests come one after the other."""

    def __init__(self, accepted: Acceptances, latency_seconds: float) -> None:
        self._accepted = accepted
        self._latency = latency_seconds
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if not found or len(rest) < size:
                return
            self._buffer = rest[size:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        if head.startswith(b"GET /accepted/"):
            since = int(head[len(b"GET /accepted/") :].split(b" ", 1)[0])
            self._answer(200, self._accepted[since:])
            return
        key = _KEY.search(head)
        if key is None:
            self._answer(400, {"code": "NO_KEY"})
            return
        self._accepted.append((key[1].decode("latin-1"), time.monotonic()))
        loop = asyncio.get_running_loop()
        loop.call_later(self._latency, self._answer, 201, {"registrationId": f"R-{len(self._accepted)}"})

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


class SmtpSide:
    """aiosmtpd's handler: accepts every message under the left side of its Message-ID."""

    def __init__(self, accepted: Acceptances) -> None:
        self._accepted = accepted

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """aiosmtpd's signature."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        found = _MESSAGE_ID.search(content.partition(b"\r\n\r\n")[0])
        if found is None:
            return "550 no Message-ID"
        self._accepted.append((found[1].decode("latin-1"), time.monotonic()))
        return "250 2.0.0 accepted"


async def serve(latency_seconds: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    accepted: Acceptances = []
    http = await loop.create_server(lambda: HttpSide(accepted, latency_seconds), "127.0.0.1", 0)
    smtp = await loop.create_server(lambda: SMTP(SmtpSide(accepted), hostname="bench", loop=loop), "127.0.0.1", 0)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ports = {name: server.sockets[0].getsockname()[1] for name, server in (("http", http), ("smtp", smtp))}
    print(json.dumps(ports), flush=True)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.provider", description="A provider that accepts all.")
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    # select keeps microseconds; epoll, which is the default, would round every answer up to the next millisecond.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(parser.parse_args().latency_seconds))


if __name__ == "__main__":
    main()
