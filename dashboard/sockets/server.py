"""The Socket.IO server itself: connecting, joining, leaving, and what is sent. Owns the protocol's side of every client."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refusal

from dashboard.connection import DATABASE_ERRORS
from dashboard.sockets.addresses import allowed_origins
from dashboard.sockets.clients import Client, Clients
from dashboard.sockets.entry import Caller, SocketRefused, asked, identify
from dashboard.sockets.rooms import read_room, subject_of
from dashboard.sockets.topics import RoomRefused, Telling, Topic
from dispatchlog.logs import WithoutRows
from dispatchlog.settings import Settings

log = structlog.get_logger(__name__)

MOST_MESSAGE_BYTES = 16_384
PING_EVERY_SECONDS = 20
PING_PATIENCE_SECONDS = 20
# A connection on which nobody has said who they are, or whose client is over, is closed after so long.
ANONYMOUS_SECONDS = 10.0
# For the database's questions of connecting and joining, beside the thread that reads changes.
THREADS = 4
TRY_AGAIN_LATER = 1013

Send = Callable[[MutableMapping[str, Any]], Any]
Answer = TypeVar("Answer")
Tell = Callable[[Telling], Any]


class SocketServer:
    """One per process. `tell` is what tells a client that has joined a room how things stand there."""

    def __init__(self, settings: Settings, clients: Clients, topics: Sequence[Topic[Any]]) -> None:
        self._settings = settings
        self._clients = clients
        self._topics = {topic.kind: topic for topic in topics}
        self._origins = allowed_origins(settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="asked")
        self._anonymous: dict[str, float] = {}
        # How to close the WebSockets that began as polling; by Engine.IO's session.
        self.upgraded: dict[str, Send] = {}
        self.tell: Tell | None = None
        self.sio = socketio.AsyncServer(
            async_mode="asgi",
            # One message of a client after another: who sends too many waits, and nobody else does.
            async_handlers=False,
            cors_allowed_origins=self._allows,
            max_http_buffer_size=MOST_MESSAGE_BYTES,
            ping_interval=PING_EVERY_SECONDS,
            ping_timeout=PING_PATIENCE_SECONDS,
            logger=_errors_only(),
            engineio_logger=_errors_only(),
        )
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        for prefix in ("", "order:"):
            self.sio.on(f"{prefix}join", self._join)
            self.sio.on(f"{prefix}leave", self._leave)

    # --- what the loop asks for

    async def emit(self, event: str, data: Mapping[str, Any], clients: Collection[Client]) -> None:
        await self.sio.emit(event, data, to=[client.sid for client in clients])

    async def end(self, client: Client) -> None:
        """End a client that may listen no longer. One whose time is over may come back with another token or ticket."""
        log.info("SOCKET_ENDED", kind=client.caller.kind)
        environ = self.sio.get_environ(client.sid)
        if client.caller.is_over and environ:
            await self._close_transport(self.sio.manager.eio_sid_from_sid(client.sid, "/"), environ)
        else:
            await self.sio.disconnect(client.sid)
        self._clients.drop(client.sid)

    async def sweep(self) -> None:
        """Close connections that belong to no client for a while."""
        known = {self.sio.manager.eio_sid_from_sid(client.sid, "/") for client in self._clients}
        now = time.monotonic()
        there = dict(self.sio.environ)
        since = {eio_sid: self._anonymous.get(eio_sid, now) for eio_sid in there if eio_sid not in known}
        self._anonymous = since
        self.upgraded = {eio_sid: send for eio_sid, send in self.upgraded.items() if eio_sid in there}
        for eio_sid, began in since.items():
            if now - began > ANONYMOUS_SECONDS:
                await self._close_transport(eio_sid, there[eio_sid])

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # --- what clients say

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        try:
            caller = await self._ask(lambda: self._identify(environ, auth))
        except SocketRefused as refused:
            log.info("SOCKET_REFUSED", code=refused.code)
            raise _refusal(refused.code, refused.message) from None
        except DATABASE_ERRORS:
            # Whoever is refused stays away, whoever is cut off comes back by itself; but not all of them at once.
            await asyncio.sleep(1 + 2 * random.random())  # noqa: S311  no secret
            eio_sid = self.sio.manager.eio_sid_from_sid(sid, "/")
            await self._close_transport(eio_sid, environ)
            raise _refusal("DATABASE_UNAVAILABLE", "The database does not answer; try again in a moment.") from None
        if self._clients.add(sid, caller) is None:
            log.warning("SOCKET_REFUSED", code="SOCKET_TOO_MANY", kind=caller.kind)
            raise _refusal("SOCKET_TOO_MANY", "There are too many connections already; close some.")

    def _identify(self, environ: Mapping[str, Any], auth: Any) -> Caller:
        return identify(
            self._settings,
            auth=auth,
            cookies=environ.get("HTTP_COOKIE", ""),
            origin=environ.get("HTTP_ORIGIN", ""),
        )

    async def _disconnect(self, sid: str, _reason: Any = None) -> None:
        self._clients.drop(sid)

    async def _join(self, sid: str, asked: Any = None, *_: Any) -> Mapping[str, Any]:
        client, room = self._clients.find(sid), read_room(asked)
        if client is None or room is None:
            return _no("SOCKET_ROOM_UNKNOWN")
        if not client.caller.rights.may_hear(room):
            return _no("SOCKET_ROOM_FORBIDDEN")
        was_there = room in client.rooms
        if not self._clients.join(client, room):
            return _no("SOCKET_TOO_MANY")
        # It is in the room before its subject is read, so that it hears of what happens in between.
        try:
            await self._welcome(client, room)
        except RoomRefused as refused:
            code = refused.code
        except DATABASE_ERRORS:
            code = "DATABASE_UNAVAILABLE"
        else:
            return {"ok": True, "room": room}
        if not was_there:
            self._clients.leave(client, room)
        return _no(code)

    async def _welcome(self, client: Client, room: str) -> None:
        """Tell whoever joined how the room's subject stands, if it is theirs to know."""
        subject = subject_of(room)
        if subject is None:
            return
        kind, subject_id = subject
        topic = self._topics[kind]
        change = await self._ask(lambda: asked(lambda: topic.admit(client.caller.rights, subject_id)))
        if change is None or self.tell is None or room not in client.rooms:
            return
        if telling := topic.welcome(change, client):
            await self.tell(telling)

    async def _leave(self, sid: str, asked: Any = None, *_: Any) -> Mapping[str, Any]:
        client, room = self._clients.find(sid), read_room(asked)
        if client is None or room is None:
            return _no("SOCKET_ROOM_UNKNOWN")
        self._clients.leave(client, room)
        return {"ok": True, "room": room}

    # --- the ways underneath

    def _allows(self, origin: str | None, _environ: Any = None) -> bool:
        if origin is not None and origin not in self._origins:
            log.warning("SOCKET_REFUSED", code="SOCKET_ORIGIN", origin=origin[:100])
            return False
        return origin is not None

    async def _close_transport(self, eio_sid: str, environ: Mapping[str, Any]) -> None:
        """Cut the connection, as a network would; a client then comes back by itself."""
        send = self.upgraded.pop(eio_sid, None)
        if send is None and environ.get("asgi.scope", {}).get("type") == "websocket":
            send = environ["asgi.send"]
        with suppress(Exception):  # it may be closed already, in any of the ways there are
            if send is not None:
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            else:
                await asyncio.wait_for(self.sio.eio.disconnect(eio_sid), timeout=2)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, question)


def _refusal(code: str, message: str) -> Refusal:
    return Refusal(message, {"code": code, "message": message})


def _no(code: str) -> Mapping[str, Any]:
    return {"ok": False, "code": code}


def _errors_only() -> logging.Logger:
    """The libraries tell of every packet below this level."""
    logger = logging.getLogger("dispatchlog.sockets")
    logger.setLevel(logging.ERROR)
    if not logger.filters:
        logger.addFilter(WithoutRows())
        logger.addFilter(_Seldom())
    return logger


class _Seldom(logging.Filter):
    """A client can provoke the libraries' errors as quickly as it can send; a few a minute tell enough."""

    MOST_PER_MINUTE = 10

    def __init__(self) -> None:
        super().__init__()
        self._minute, self._count = 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(record.created // 60)
        self._count = self._count + 1 if minute == self._minute else 1
        self._minute = minute
        return self._count <= self.MOST_PER_MINUTE
