"""Owns the bad network of one scenario: a TCP proxy before the provider that does to each dispatch what its address says.

A dispatch to `reset_after@example.org` meets the fault `reset_after` on its first send and a good network afterwards. What
comes behind a hyphen is a second fault, at another place, or only makes addresses differ. A request is forwarded when it
has come whole, so a fault strikes at one known place: where the provider accepts.

`chaos.proxy` draws its faults for pieces of bytes that it cannot read, so that nobody thinks of a case before; this one
reads HTTP and SMTP, so that each case is met for certain and its ending is known.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from chaos.proxy import HOST, CutError, end
from dispatchlog.local.directory import choose_port
from tests.scenarios.faults.background import Background, Handler

Place = Literal["", "rcpt", "data", "accept", "ask"]
Unit = tuple[Place, str, bytes]

_ADDRESS = re.compile(rb"([a-z0-9_]+(?:-[a-z0-9_]+)?)@example\.org")
_LENGTH = re.compile(rb"^content-length: *(\d+)\r$", re.IGNORECASE | re.MULTILINE)
# How a message names its dispatch, and a look-up the message.
_REFERENCE = re.compile(rb'(?:"clientRef": "|client_ref=)([0-9a-f-]+)')


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request and of its reply.

    Attributes:
        at: where it strikes; SMTP has two places before the final dot, and a look-up is a request of its own.
        wait_seconds: before anything of the request goes on.
        deliver: the part of the request that the provider gets.
        gate: held until `FaultProxy.open_gate`, before the request or before its reply goes on.
        late: pass it on only when the client has given up.
        reply: what the client gets: `pass`, `nothing`, `half`, `drip` byte by byte, or these bytes instead.
        drip_seconds: between two bytes.
        end: how the connection ends after that: not (`keep`), by FIN, by RST, or by silence until the client goes.
        every_time: on each send, not only on the first.
    """

    at: Place = "accept"
    wait_seconds: float = 0.0
    deliver: float = 1.0
    gate: Literal["", "request", "reply"] = ""
    late: bool = False
    reply: Literal["pass", "nothing", "half", "drip"] | bytes = "pass"
    drip_seconds: float = 0.0
    end: Literal["keep", "fin", "rst", "silence"] = "keep"
    every_time: bool = False


def answer(status: int, *headers: str, delivered: bool = False) -> Fault:
    """Somebody before the provider answers with this HTTP status, after or instead of passing the request on."""
    lines = (f"HTTP/1.1 {status} Scripted", "Content-Length: 0", *headers, "", "")
    return Fault(deliver=float(delivered), reply="\r\n".join(lines).encode())


def refuse(line: str, *, at: Place = "accept", end: Literal["keep", "fin"] = "keep") -> Fault:
    """Somebody before the mail server answers with this line instead."""
    return Fault(at=at, deliver=0.0, reply=f"{line}\r\n".encode(), end=end)


ANYWHERE = {
    "good": Fault(),
    "latency": Fault(wait_seconds=0.3),
    "drip_in_time": Fault(reply="drip", drip_seconds=0.002),
    "reset_before": Fault(deliver=0.0, reply="nothing", end="rst"),
    "reset_after": Fault(reply="nothing", end="rst"),
    "closed_before": Fault(deliver=0.0, reply="nothing", end="fin"),
    "lost_reply": Fault(reply="nothing", end="fin"),
    "half_request": Fault(deliver=0.5, reply="nothing", end="fin"),
    "truncated": Fault(reply="half", end="fin"),
    "garbage": Fault(reply=b"\x16\x03\x01 neither HTTP nor SMTP\r\n\r\n", end="fin"),
    "slow_drip": Fault(reply="drip", drip_seconds=0.25),
    "hang_before": Fault(deliver=0.0, reply="nothing", end="silence"),
    "hang_after": Fault(reply="nothing", end="silence"),
    "arrives_late": Fault(late=True, reply="nothing", end="fin"),
    "held_request": Fault(gate="request"),
    "held_reply": Fault(gate="reply"),
    "held_then_lost": Fault(gate="reply", reply="nothing", end="rst"),
    "deadly": Fault(deliver=0.0, reply="nothing", end="silence", every_time=True),
}
HTTP_SENDS = ANYWHERE | {
    "busy_429": answer(429, "Retry-After: 2"),
    "busy_503": answer(503, "Retry-After: 2"),
    "http_500": answer(500),
    "http_502": answer(502, delivered=True),
    "http_504": answer(504, delivered=True),
    "http_409": answer(409),
    "http_408": answer(408),
    "http_401": answer(401),
    "http_422": answer(422),
}
# The same on the way of a question about a message.
ASKED_IN_TIME = ("latency", "drip_in_time")
ASKED_IN_VAIN = (
    *("reset_before", "reset_after", "lost_reply", "truncated", "garbage", "slow_drip", "hang_before", "hang_after"),
    *("http_500", "busy_503", "busy_429", "http_401"),
)
HTTP = HTTP_SENDS | {f"asked_{name}": replace(HTTP_SENDS[name], at="ask") for name in ASKED_IN_TIME + ASKED_IN_VAIN}
SMTP = ANYWHERE | {
    "rcpt_421": refuse("421 4.3.2 shutting down", at="rcpt", end="fin"),
    "rcpt_451": refuse("451 4.7.1 try again later", at="rcpt"),
    "rcpt_452": refuse("452 4.5.3 too many recipients", at="rcpt"),
    "rcpt_550": refuse("550 5.1.1 no such mailbox", at="rcpt"),
    "hang_at_data": Fault(at="data", deliver=0.0, reply="nothing", end="silence"),
    "reset_at_data": Fault(at="data", deliver=0.0, reply="nothing", end="rst"),
    "dot_451": refuse("451 4.3.0 try again later"),
    "dot_554": refuse("554 5.6.0 content refused"),
}
Protocol = Literal["http", "smtp"]
FAULTS = {"http": HTTP, "smtp": SMTP}


class FaultProxy(Background):
    """Listens for HTTP and SMTP on ports of its own, on a thread, from `start` to `stop`.

    Each is by the name before the @: `sends` counts how often a request came whole, `held` are those at the gate, `over`
    counts the faults in which the provider has had its part.
    """

    def __init__(self, directory: Path, targets: dict[Protocol, int]) -> None:
        super().__init__("fault-proxy")
        self.ports = {protocol: choose_port(directory / f"proxied-{protocol}.port") for protocol in targets}
        self.sends: Counter[str] = Counter()
        self.held: set[str] = set()
        self.over: Counter[str] = Counter()
        self.references: dict[bytes, str] = {}
        self._targets = targets
        self._struck: set[tuple[str, Place]] = set()
        self._gate = asyncio.Event()

    def listen(self) -> None:
        """Accept connections; before that they are refused."""
        for protocol, port in self.ports.items():
            self.serve(port, self._handler(protocol))

    def open_gate(self) -> None:
        """Let everything go on that is held, and whatever comes to the gate from now on."""
        self.loop.call_soon_threadsafe(self._gate.set)

    def shut_gate(self) -> None:
        self.loop.call_soon_threadsafe(self._gate.clear)

    def fault(self, protocol: Protocol, place: Place, name: str) -> Fault | None:
        """What strikes this request here, if anything does."""
        if place == "accept":
            self.sends[name] += 1
        known = FAULTS[protocol]
        fault = next((known[part] for part in name.split("-") if part in known and known[part].at == place), None)
        if fault is None or ((name, place) in self._struck and not fault.every_time):
            return None
        self._struck.add((name, place))
        return fault

    async def wait_at_gate(self, name: str) -> None:
        self.held.add(name)
        await self._gate.wait()
        self.held.discard(name)

    def _handler(self, protocol: Protocol) -> Handler:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                provider = await asyncio.open_connection(HOST, self._targets[protocol])
            except OSError:
                end(writer, reset=True)
                return
            await _Link(self, protocol, (reader, writer), provider).serve()

        return serve


@dataclass(slots=True)
class _Link:
    """One client's connection and the one to the provider behind it."""

    proxy: FaultProxy
    protocol: Protocol
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    provider: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    awaited: asyncio.Future[bytes] | None = field(default=None)

    async def serve(self) -> None:
        """Until either side, or a fault, ends it."""
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        cuts: list[BaseException | None] = []
        try:
            done, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            cuts = [task.exception() for task in done]
        except asyncio.CancelledError:
            pass  # the proxy stops
        finally:
            end(self.client[1], reset=any(isinstance(cut, CutError) and cut.reset for cut in cuts))
            end(self.provider[1], reset=False)

    async def _requests(self) -> None:
        reader = self.client[0]
        units = _http_units(reader, self.proxy.references) if self.protocol == "http" else _smtp_units(reader)
        async for place, name, unit in units:
            fault = self.proxy.fault(self.protocol, place, name)
            if fault is None:
                self.provider[1].write(unit)
            else:
                await self._strike(fault, name, unit)

    async def _strike(self, fault: Fault, name: str, unit: bytes) -> None:
        await asyncio.sleep(fault.wait_seconds)
        if fault.gate == "request":
            await self.proxy.wait_at_gate(name)
        if fault.late:
            await self._until_the_client_goes()
        self.awaited = asyncio.get_running_loop().create_future()
        self.provider[1].write(unit[: round(len(unit) * fault.deliver)])
        reply = await self.awaited if fault.deliver == 1.0 else b""
        self.awaited = None
        if fault.gate == "reply":
            await self.proxy.wait_at_gate(name)
        self.proxy.over[name] += 1
        await self._reply(fault, reply)
        if fault.end == "silence":
            await self._until_the_client_goes()
        if fault.end != "keep":
            raise CutError(reset=fault.end == "rst")

    async def _until_the_client_goes(self) -> None:
        with suppress(ConnectionError):
            await self.client[0].read(1)

    async def _reply(self, fault: Fault, reply: bytes) -> None:
        instead = {"pass": reply, "nothing": b"", "half": reply[: len(reply) // 2], "drip": reply}
        reply = fault.reply if isinstance(fault.reply, bytes) else instead[fault.reply]
        pieces = [reply] if fault.reply != "drip" else [bytes([byte]) for byte in reply]
        for piece in pieces:
            self.client[1].write(piece)
            await self.client[1].drain()
            await asyncio.sleep(fault.drip_seconds)

    async def _replies(self) -> None:
        while piece := await self.provider[0].read(65_536):
            if self.awaited is not None and not self.awaited.done():
                self.awaited.set_result(piece)
            else:
                self.client[1].write(piece)


async def _http_units(reader: asyncio.StreamReader, references: dict[bytes, str]) -> AsyncIterator[Unit]:
    """Whole requests. A look-up names no recipient, only what the message before it gave as its reference."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(request)
            if length is not None:
                request += await reader.readexactly(int(length[1]))
            address, reference = _ADDRESS.search(request), _REFERENCE.search(request)
            if address is None:
                yield "ask", references.get(reference[1], "") if reference else "", request
                continue
            name = address[1].decode()
            if reference is not None:
                references[reference[1]] = name
            yield "accept", name, request


async def _smtp_units(reader: asyncio.StreamReader) -> AsyncIterator[Unit]:
    """Commands, and each message's content with its final dot."""
    name = ""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            line = await reader.readuntil(b"\r\n")
            address = _ADDRESS.search(line)
            if line.upper().startswith(b"RCPT TO:") and address:
                name = address[1].decode()
                yield "rcpt", name, line
            elif line.upper() == b"DATA\r\n":
                yield "data", name, line
                yield "accept", name, await reader.readuntil(b"\r\n.\r\n")
            else:
                yield "", "", line
