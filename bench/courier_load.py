"""Sends webhooks to one address, as a process of its own: so many a second whatever answers take, or as fast as they come.

Owns the connections and the clock. A webhook's time runs from the instant at which it was to be sent, so one that had to
wait for another's answer counts with that wait. The only line of output is one JSON object: milliseconds, by answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dispatchlog.gateways.courier_signature import HEADER, sign

STATUSES = ("ASSIGNED", "PICKED_UP", "IN_TRANSIT", "DELIVERED")


def request(number: int, *, path: str, host: str, secret: str, jobs: int, run: str) -> bytes:
    """One webhook, signed now: the jobs take turns, and each goes its way through the statuses."""
    said = {
        "eventId": f"{run}-{number}",
        "jobId": f"J-{number % jobs}",
        "status": STATUSES[number // jobs % len(STATUSES)],
        "occurredAt": "2026-05-04T12:00:00Z",
        "driver": {"name": "Bola Driver", "phone": "+2348012345678"},
        "etaAt": "2026-05-04T13:00:00Z",
    }
    body = json.dumps(said).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{HEADER}: {sign([secret], body, at=int(time.time()))}\r\n\r\n"
    )
    return head.encode() + body


class Connections:
    """Open connections, of which each webhook takes one until its answer came."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._idle: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()

    async def open(self, count: int) -> None:
        for _ in range(count):
            self._idle.put_nowait(await asyncio.open_connection(*self._address))

    async def post(self, message: bytes) -> int:
        """The answer's status; a connection that the server closed while it idled is replaced, as any client does."""
        reader, writer = await self._idle.get()
        try:
            status = await _answer(reader, writer, message)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()
            reader, writer = await asyncio.open_connection(*self._address)
            status = await _answer(reader, writer, message)
        self._idle.put_nowait((reader, writer))
        return status


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> int:
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])


async def at_rate(connections: Connections, messages: Sequence[bytes], rate: float) -> list[tuple[int, float]]:
    """Each answer's status and milliseconds."""
    found: list[tuple[int, float]] = []
    began = time.perf_counter() + 0.05

    async def send(number: int, message: bytes) -> None:
        due = began + number / rate
        status = await connections.post(message)
        found.append((status, (time.perf_counter() - due) * 1000))

    async with asyncio.TaskGroup() as group:
        for number, message in enumerate(messages):
            if (early := began + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            group.create_task(send(number, message))
    return found


async def at_once(connections: Connections, messages: Sequence[bytes], clients: int) -> list[tuple[int, float]]:
    """The same, by so many clients of which each sends its next when it has its answer."""
    found: list[tuple[int, float]] = []
    left = iter(messages)

    async def client() -> None:
        for message in left:
            began = time.perf_counter()
            status = await connections.post(message)
            found.append((status, (time.perf_counter() - began) * 1000))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return found


async def run(options: argparse.Namespace) -> dict[str, object]:
    secret = Path(options.secret_file).read_text()
    messages = [
        request(number, path=options.path, host=options.at, secret=secret, jobs=options.jobs, run=options.run)
        for number in range(options.count)
    ]
    return await sent(messages, options)


async def sent(messages: Sequence[bytes], options: argparse.Namespace) -> dict[str, object]:
    """Send them as `at`, `connections` and `rate` say; seconds in all, and milliseconds and answers of each."""
    host, _, port = options.at.partition(":")
    connections = Connections(host, int(port))
    await connections.open(options.connections)
    began = time.perf_counter()
    if options.rate:
        found = await at_rate(connections, messages, options.rate)
    else:
        found = await at_once(connections, messages, options.connections)
    return {
        "seconds": time.perf_counter() - began,
        "answers": Counter(str(status) for status, _ in found),
        "milliseconds": sorted(taken for _, taken in found),
    }


def options_of(parser: argparse.ArgumentParser, *, connections: int) -> None:
    """What every load is told."""
    parser.add_argument("--at", required=True, help="host:port")
    parser.add_argument("--path", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0, help="a second; 0: as fast as answers come")
    parser.add_argument("--connections", type=int, default=connections)
    parser.add_argument("--run", default="run", help="tells the requests of one run from another's")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.courier_load", description=__doc__)
    options_of(parser, connections=32)
    parser.add_argument("--secret-file", required=True)
    parser.add_argument("--jobs", type=int, default=1000)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
