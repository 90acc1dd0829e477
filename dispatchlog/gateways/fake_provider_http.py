"""Owns the fake provider's HTTP side; accepts only through the ledger, and does what the script says after that."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11

from dispatchlog.gateways.fake_ledger import Ledger, Play, Script

_Answer = tuple[int, Any]
_FOR_EVER_SECONDS = 3_600


class HttpSide:
    """One instance serves every connection."""

    def __init__(self, ledger: Ledger, script: Script, *, indexing_delay_seconds: float = 0.0) -> None:
        self._ledger = ledger
        self._script = script
        self._indexing_delay = timedelta(seconds=indexing_delay_seconds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection until either side closes it."""
        connection = h11.Connection(h11.SERVER)
        with suppress(ConnectionError, h11.RemoteProtocolError):
            while True:
                request, body = await _read_request(connection, reader)
                if request is None or not await self._answer(connection, writer, request, body):
                    break
                if connection.our_state is h11.MUST_CLOSE:
                    break
                connection.start_next_cycle()
        writer.close()

    async def _answer(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
    ) -> bool:
        """Answer one request; False when the connection is spoilt."""
        method, target = request.method.decode(), urlsplit(request.target.decode())
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        query = parse_qs(target.query)
        if (method, target.path) == ("POST", "/script"):
            self._script.add(json.loads(body))
            return await _write(connection, writer, 200, {"ok": True}, Play())
        if (method, target.path) == ("GET", "/ledger"):
            return await _write(connection, writer, 200, [asdict(entry) for entry in self._ledger.entries], Play())
        channel = target.path.strip("/").partition("/")[0]
        if (method, channel) == ("GET", "messages"):
            channel = "messages.lookup"
        play = self._script.next(channel)
        status, document = 404, {"code": "NOT_FOUND"}
        if play.accept:
            status, document = self._accept(channel, headers, query, body)
        await asyncio.sleep(play.delay_seconds)
        if play.do == "status":
            status, document = play.status, play.body if play.body is not None else {"code": "SCRIPTED"}
        return await _write(connection, writer, status, document, play)

    def _accept(self, channel: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes) -> _Answer:
        if channel == "registrations":
            return self._register(headers.get("idempotency-key", ""), body)
        if channel == "messages":
            return self._message(body)
        if channel == "messages.lookup":
            return self._find(query.get("client_ref", [""])[0])
        return 404, {"code": "NOT_FOUND"}

    def _register(self, key: str, body: bytes) -> _Answer:
        document = _json(body)
        if not key or document is None:
            return 400, {"code": "BAD_REQUEST"}
        entry = self._ledger.first("registrations", key)
        if entry is not None:
            return 200, {"registrationId": entry.message_id}
        entry = self._ledger.accept("registrations", key=key, recipient=str(document.get("kitId", "")), body=body)
        return 201, {"registrationId": entry.message_id}

    def _message(self, body: bytes) -> _Answer:
        document = _json(body)
        if document is None:
            return 400, {"code": "BAD_REQUEST"}
        key, recipient = str(document.get("clientRef", "")), str(document.get("to", ""))
        return 201, {"messageId": self._ledger.accept("messages", key=key, recipient=recipient, body=body).message_id}

    def _find(self, client_ref: str) -> _Answer:
        visible_before = datetime.now(UTC) - self._indexing_delay
        found = [
            {"messageId": entry.message_id, "clientRef": entry.key, "at": entry.at}
            for entry in self._ledger.entries
            if (entry.channel, entry.key) == ("messages", client_ref)
            and datetime.fromisoformat(entry.at) <= visible_before
        ]
        return 200, {"messages": found}


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
    request, body = None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return request, bytes(body)
        else:
            return None, b""


async def _write(
    connection: h11.Connection, writer: asyncio.StreamWriter, status: int, document: Any, play: Play
) -> bool:
    """Write the answer the way `play` wants; True when the connection can go on."""
    if play.do == "drop":
        writer.transport.abort()
        return False
    if play.do == "hang":
        await asyncio.sleep(_FOR_EVER_SECONDS)
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | play.headers
    raw = connection.send(h11.Response(status_code=status, headers=list(headers.items()))) or b""
    raw += (connection.send(h11.Data(data=body)) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    if play.do == "garbage":
        raw = b"\x16\x03\x01 this is not HTTP\r\n\r\n"
    if play.do == "truncate":
        raw = raw[: len(raw) - 2]
    for piece in [raw[i : i + 1] for i in range(len(raw))] if play.do == "drip" else [raw]:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(play.interval_seconds if play.do == "drip" else 0)
    return play.do in ("accept", "status")


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
