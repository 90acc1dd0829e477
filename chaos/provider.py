"""The fake provider with an index over its ledger, for a million acceptances; it accepts and answers nothing differently.

`python -m chaos.provider --http-port P --smtp-port S --ledger FILE` serves until it is killed. Started again with the same
file it knows everything that it ever accepted.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from chaos.places import HOST
from dispatchlog.gateways.fake_ledger import Entry, Ledger, Script
from dispatchlog.gateways.fake_provider import SmtpSide
from dispatchlog.gateways.fake_provider_http import HttpSide


@dataclass(slots=True)
class IndexedLedger(Ledger):
    """A ledger that finds a key without reading all of it."""

    _first: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Ledger.__post_init__(self)
        for entry in self.entries:
            self._first.setdefault((entry.channel, entry.key), entry)

    def first(self, channel: str, key: str) -> Entry | None:
        return self._first.get((channel, key))

    def accept(self, channel: str, **what: Any) -> Entry:
        entry = Ledger.accept(self, channel, **what)
        self._first.setdefault((channel, entry.key), entry)
        return entry


async def serve(options: argparse.Namespace) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    ledger, script = IndexedLedger(options.ledger), Script()
    http_side = HttpSide(ledger, script, indexing_delay_seconds=options.indexing_delay_seconds)
    smtp_side = SmtpSide(ledger, script)
    smtp = await loop.create_server(
        lambda: SMTP(smtp_side, hostname="chaos-provider", loop=loop), options.host, options.smtp_port
    )
    http = await asyncio.start_server(http_side.serve, options.host, options.http_port)
    async with http, smtp:
        await http.serve_forever()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="The fake provider of a run of faults.")
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--indexing-delay-seconds", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
