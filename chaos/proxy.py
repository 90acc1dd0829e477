"""Owns the bad network between workers and provider: a TCP proxy whose connections fail as the seed says. Parses nothing.

`python -m chaos.proxy --seed N --route LISTEN:TARGET ...` proxies ports of this machine until SIGTERM. SIGUSR1 heals it: no
new fault begins and connections in one are cut.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
# Each piece the client writes may be the one that fails; an HTTP request is two pieces, a mail five.
FAULTY_PIECES = 0.012
FAULTY_PIECES_IN_STORM = 0.15
# Bounded, so that nothing given up by the client arrives much later (chaos.gateways.IN_FLIGHT_SECONDS).
MOST_LATENCY_SECONDS = 0.5
DRIP_SECONDS = 0.05
CALM_SECONDS = (8.0, 25.0)
STORM_SECONDS = (1.0, 3.0)

ON_REQUEST = ("latency", "reset_before", "cut_request", "hang_before")
ON_REPLY = ("late_reply", "lost_reply", "reset_after", "truncate", "drip", "hang_after")
_RESET = struct.pack("ii", 1, 0)


class CutError(Exception):
    """This connection is over; `reset` with RST instead of FIN."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


@dataclass(slots=True)
class Weather:
    """Which faults happen now, over all connections."""

    random: random.Random
    healed: asyncio.Event = field(default_factory=asyncio.Event)
    storm: bool = False

    def draw(self) -> str:
        """The fault of the next piece, or ""."""
        share = FAULTY_PIECES_IN_STORM if self.storm else FAULTY_PIECES
        if self.healed.is_set() or self.random.random() >= share:
            return ""
        return self.random.choice(ON_REQUEST + ON_REPLY)

    async def hang(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.healed.wait(), seconds)


@dataclass(slots=True)
class Link:
    """One client's connection and the one to the provider behind it."""

    weather: Weather
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    provider: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    reply_fault: str = ""

    async def requests(self) -> None:
        """Client to provider, piece by piece."""
        while piece := await self.client[0].read(65_536):
            fault = self.weather.draw()
            if fault in ON_REPLY:
                self.reply_fault = fault
            elif fault:
                piece = await self._spoil_request(fault, piece)
            self.provider[1].write(piece)
            await self.provider[1].drain()

    async def _spoil_request(self, fault: str, piece: bytes) -> bytes:
        if fault == "latency":
            await asyncio.sleep(self.weather.random.uniform(0.05, MOST_LATENCY_SECONDS))
            return piece
        if fault == "cut_request":
            self.provider[1].write(piece[: len(piece) // 2])
            await self.provider[1].drain()
        if fault == "hang_before":
            await self.weather.hang(20)
        raise CutError(reset=fault == "reset_before")

    async def replies(self) -> None:
        """Provider to client; by now the provider has whatever it answers to."""
        while piece := await self.provider[0].read(65_536):
            fault, self.reply_fault = self.reply_fault, ""
            if fault:
                await self._spoil_reply(fault, piece)
            else:
                self.client[1].write(piece)
                await self.client[1].drain()

    async def _spoil_reply(self, fault: str, piece: bytes) -> None:
        if fault == "late_reply":
            await asyncio.sleep(self.weather.random.uniform(0.05, MOST_LATENCY_SECONDS))
            self.client[1].write(piece)
            return
        if fault == "truncate":
            self.client[1].write(piece[: len(piece) // 2])
            await self.client[1].drain()
        if fault == "hang_after":
            await self.weather.hang(20)
        if fault == "drip":
            for byte in piece:
                self.client[1].write(bytes([byte]))
                await self.client[1].drain()
                await asyncio.sleep(DRIP_SECONDS)
            return
        raise CutError(reset=fault == "reset_after")


async def serve_link(weather: Weather, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection until either side, or a fault, ends it."""
    try:
        provider = await asyncio.open_connection(HOST, target)
    except OSError:
        end(writer, reset=True)
        return
    link = Link(weather, (reader, writer), provider)
    pumps = [asyncio.create_task(link.requests()), asyncio.create_task(link.replies())]
    done, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    cuts = [task.exception() for task in done]
    end(writer, reset=any(isinstance(cut, CutError) and cut.reset for cut in cuts))
    end(provider[1], reset=False)


def end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close with FIN, or with RST and whatever was still to be written thrown away."""
    sock = writer.get_extra_info("socket")
    if reset and sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    else:
        writer.close()


async def change_weather(weather: Weather, routes: list[tuple[int, int]]) -> None:
    """Calm, storm, and now and then a moment in which connections are refused, until healed."""
    servers = await open_routes(weather, routes)
    while not weather.healed.is_set():
        await weather.hang(weather.random.uniform(*CALM_SECONDS))
        if weather.random.random() < 0.5:
            weather.storm = True
            await weather.hang(weather.random.uniform(*STORM_SECONDS))
            weather.storm = False
        else:
            for server in servers:
                server.close()
            await weather.hang(weather.random.uniform(0.2, 1.5))
            servers = await open_routes(weather, routes)
    await asyncio.Event().wait()  # healed: listen until cancelled


async def open_routes(weather: Weather, routes: list[tuple[int, int]]) -> list[asyncio.Server]:
    """Listen on every route."""

    def handler(target: int) -> object:
        return lambda reader, writer: serve_link(weather, target, reader, writer)

    return [await asyncio.start_server(handler(target), HOST, listen) for listen, target in routes]  # type: ignore[arg-type]


async def serve(options: argparse.Namespace) -> None:
    """Proxy until SIGTERM."""
    weather = Weather(random.Random(options.seed))  # noqa: S311  faults must be repeatable, not secret
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, weather.healed.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    routes = [(int(listen), int(target)) for listen, _, target in (route.partition(":") for route in options.route)]
    changing = asyncio.create_task(change_weather(weather, routes))
    await stop.wait()
    changing.cancel()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="A TCP proxy that behaves badly on purpose.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--route", action="append", required=True, help="LISTEN:TARGET, ports of this machine")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
