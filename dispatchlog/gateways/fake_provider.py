"""Owns a fake provider in a process of its own, the oracle of crash tests: what it accepted is in its fsynced ledger.

`python -m dispatchlog.gateways.fake_provider --http-port 0 --smtp-port 0 --ledger FILE` prints its ports as one line of
JSON. It never forgets an acceptance, not even when killed. HTTP: `POST /registrations` takes an Idempotency-Key and
accepts it once; `POST /messages` dedupes nothing and `GET /messages?client_ref=` finds them; `GET /ledger`; `POST
/script` sets behaviours (`fake_ledger.Script.add`) of the channels registrations, messages, messages.lookup, smtp (the
final dot), smtp.mail and smtp.rcpt. The SMTP side takes everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from dispatchlog.gateways.fake_ledger import Ledger, Play, Script
from dispatchlog.gateways.fake_provider_http import HttpSide

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^<>\s]+)>", re.IGNORECASE | re.MULTILINE)
_FOR_EVER_SECONDS = 3_600


class SmtpSide:
    """aiosmtpd's handler: accepts into the ledger under the Message-ID, then does what the script says."""

    def __init__(self, ledger: Ledger, script: Script) -> None:
        self._ledger = ledger
        self._script = script

    async def handle_MAIL(  # noqa: N802  (aiosmtpd's signature)
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._play(server, self._script.next("smtp.mail"))
        if answer.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's signature)
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._play(server, self._script.next("smtp.rcpt"))
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        play = self._script.next("smtp")
        if play.accept:
            body = envelope.content if isinstance(envelope.content, bytes) else b""
            found = _MESSAGE_ID.search(body.partition(b"\r\n\r\n")[0])
            key = found[1].decode("ascii", "replace") if found else ""
            self._ledger.accept("smtp", key=key, recipient=",".join(envelope.rcpt_tos), body=body)
        return await self._play(server, play)

    async def _play(self, server: SMTP, play: Play) -> str:
        await asyncio.sleep(play.delay_seconds)
        if play.do == "accept":
            return "250 2.0.0 accepted"
        if play.do == "status":
            return f"{play.status} {play.body or 'scripted'}"
        await self._misbehave(server.transport, play)
        await asyncio.sleep(_FOR_EVER_SECONDS)  # ends when the client closes: aiosmtpd then cancels its handler
        return "451 4.0.0 nobody waited"

    @staticmethod
    async def _misbehave(transport: Any, play: Play) -> None:
        if play.do == "drop":
            transport.abort()
        elif play.do == "garbage":
            transport.write(b"\x16\x03\x01 garbage\r\n")
        elif play.do == "truncate":
            transport.write(b"250 2.0")
            transport.close()
        elif play.do == "drip":
            for byte in b"250 2.0.0 accepted, slowly\r\n":
                transport.write(bytes([byte]))
                await asyncio.sleep(play.interval_seconds)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ledger, script = Ledger(options.ledger), Script()
    http_side = HttpSide(ledger, script, indexing_delay_seconds=options.indexing_delay_seconds)
    http = await asyncio.start_server(http_side.serve, options.host, options.http_port)
    smtp_side = SmtpSide(ledger, script)
    smtp = await loop.create_server(
        lambda: SMTP(smtp_side, hostname="fake-provider", loop=loop), options.host, options.smtp_port
    )
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    ports = {"http_port": http.sockets[0].getsockname()[1], "smtp_port": smtp.sockets[0].getsockname()[1]}
    print(json.dumps(ports | {"ledger": str(options.ledger)}), flush=True)
    await stop.wait()
    http.close()
    smtp.close()
    ledger.close()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="A fake provider with an fsynced ledger of what it accepted.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--indexing-delay-seconds", type=float, default=0.0)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
