"""The process that `dispatchlog sockets` runs: one event loop with the server and what tells. Owns its start and end."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

import socketio
import structlog
import uvicorn

from dashboard.sockets.changes import STATEMENT_TIMEOUT_MS
from dashboard.sockets.clients import Clients
from dashboard.sockets.order_topic import OrderTopic
from dashboard.sockets.server import MOST_MESSAGE_BYTES, THREADS, SocketServer
from dashboard.sockets.telling import Teller
from dashboard.sockets.ticket_topic import TicketTopic
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.logs import configure_logs
from dispatchlog.settings import Settings

log = structlog.get_logger(__name__)

# Clients and whoever has not said yet who they are.
MOST_SOCKETS = 4_000
GRACE_SECONDS = 5

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class CannotListen(DispatchlogError):
    """The port is taken, or the address is not this machine's."""

    code = "CANNOT_LISTEN"


class SocketApp:
    """The ASGI application: Socket.IO, `/healthz`, and a limit to what is read before anybody is known."""

    def __init__(self, settings: Settings) -> None:
        self._clients = Clients()
        topics = (OrderTopic(), TicketTopic())
        self._server = SocketServer(settings, self._clients, topics)
        self._teller = Teller(settings, self._clients, self._server, topics)
        self._server.tell = self._teller.tell
        self._inner = socketio.ASGIApp(
            self._server.sio, other_asgi_app=self._other, on_startup=self._begin, on_shutdown=self._end
        )
        self._telling: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _body_bytes(scope) > MOST_MESSAGE_BYTES:
            await _answer(send, 413, {"code": "TOO_LARGE"})
            return
        if scope["type"] == "websocket":
            for session in parse_qs(scope["query_string"].decode("latin-1")).get("sid", []):
                self._server.upgraded[session] = send
        await self._inner(scope, receive, send)

    async def _begin(self) -> None:
        self._telling = asyncio.create_task(self._teller.run())

    async def _end(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError):
                await self._telling
        await self._teller.close()
        self._server.close()
        await self._server.sio.shutdown()

    async def _other(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["path"] == "/healthz":
            body = {"status": "ok", "clients": len(self._clients), "database": self._teller.has_database}
            await _answer(send, 200, body)
        else:
            await _answer(send, 404, {"code": "NOT_FOUND"})


class _Server(uvicorn.Server):
    """Ends with code 0 when it is asked to; uvicorn itself would end by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; clients are told to come back and find another process, or the next one.

    Raises:
        CannotListen: the port is taken.
    """
    configure_logs(settings.log_level)
    listener = _listen(settings)
    configure(
        settings.database_url,
        role=settings.application_role,
        name="dispatchlog sockets",
        max_connections=THREADS + 1,
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
    )
    config = uvicorn.Config(
        SocketApp(settings),
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_ping_interval=None,  # Engine.IO has its own
        limit_concurrency=MOST_SOCKETS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    log.info("SOCKETS_STARTED", port=settings.socket_port)
    _Server(config).run(sockets=[listener])
    database.close_all()
    log.info("SOCKETS_STOPPED")


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.bind_host, settings.socket_port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"another program listens on {host}:{port}; set DISPATCHLOG_SOCKET_PORT to another port",
                code="PORT_TAKEN",
            ) from None
        raise CannotListen(f"cannot listen on {host}:{port} ({error.strerror}); check DISPATCHLOG_BIND_HOST") from None


def _body_bytes(scope: Scope) -> float:
    """How much the request says it brings; without end where it does not say it."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if length.isdigit():
        return int(length)
    return float("inf") if b"transfer-encoding" in headers else 0


async def _answer(send: Send, status: int, body: Mapping[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
