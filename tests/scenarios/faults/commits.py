"""Owns a bad way to PostgreSQL: a TCP proxy that loses the commits of a worker's steps, each once before and once after.

The client sees the same reset both times. The simple query protocol sends SQL as text with its values in it, so a step is
known by its words; nothing else of the protocol is read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from chaos.proxy import HOST, end
from dispatchlog.local.directory import choose_port
from tests.scenarios.faults.background import Background
from tests.scenarios.faults.lanes import KINDS

# One step per transaction of the send path, by words that only this step has.
STEPS = {
    "claim": b"SET status = 'QUEUED', claim_token",
    "compose": b"INSERT INTO dispatch_payloads",
    "mark": b"SET sending_at = clock_timestamp()",
    "record": b"INSERT INTO dispatch_attempts AS a",
}
COMMIT, ROLLBACK = b"COMMIT\0", b"ROLLBACK\0"
Step = tuple[str, str]


class LosingCommits(Background):
    """Of each step the first commit reaches the server and its reply is lost, the second is lost itself; `lost` counts."""

    def __init__(self, directory: Path, database_url: str) -> None:
        super().__init__("losing-commits")
        self.lost: Counter[Step] = Counter()
        self._server = urlsplit(database_url)
        self._port = choose_port(directory / "losing-commits.port")

    @property
    def url(self) -> str:
        """Where the database is for whoever takes this way."""
        account = self._server.netloc.rpartition("@")[0]
        return urlunsplit(self._server._replace(netloc=f"{account}@{HOST}:{self._port}"))

    def listen(self) -> None:
        self.serve(self._port, self._serve_one)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection(self._server.hostname, self._server.port)
        replies = asyncio.create_task(_copy(server[0], writer))
        try:
            commit = await self._requests(reader, server[1])
            replies.cancel()
            await asyncio.wait({replies})
            if commit:
                server[1].write(commit)
                await server[0].read(1)  # it has been committed
        except asyncio.CancelledError:
            pass  # the scenario is over
        finally:
            end(writer, reset=True)
            end(server[1], reset=False)

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> bytes:
        """Until the client is gone or a step's commit is to be lost; it comes back if the server is still to get it."""
        begun: set[Step] = set()
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                begun |= _steps(piece)
                if piece.endswith((COMMIT, ROLLBACK)):
                    self.lost.update(losing := {step for step in begun if self.lost[step] < 2})
                    if losing:
                        return piece if any(self.lost[step] == 1 for step in losing) else b""
                    begun = set()
                server.write(piece)
                await server.drain()
        return b""


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
    end(writer, reset=False)


def _steps(sql: bytes) -> set[Step]:
    return {
        (kind.name, step)
        for kind in KINDS.values()
        for step, words in STEPS.items()
        if words in sql and kind.name.encode() in sql
    }
