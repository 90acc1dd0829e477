"""A sandbox's HTTP server: which side gets a request, and every misbehaviour of the script on the way back.

A side answers below the first part of the path that is its name; everything else is the sandbox's own affair.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from dispatchlog.gateways.sandbox_plays import Play

# Status, document (a text is HTML) and, where there are any, headers.
Answer = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
Own = Callable[[str, str, bytes], Answer]
_MOST_BODY = 1_000_000
_HANDSHAKE_SECONDS = 5.0
_GARBAGE = b"\x16\x03\x01 this is no answer\r\n\r\n"
_RESET = b"\x01\0\0\0\0\0\0\0"


class Side(Protocol):
    """One protocol: what a request asks for, and the answer to it."""

    def operation(self, method: str, path: str) -> str | None: ...

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


class Line(Protocol):
    """What happens to the next request for an operation."""

    def next(self, operation: str) -> Play: ...


class SandboxServer(ThreadingHTTPServer):
    """Serves each connection on a thread of its own, from construction to `close`.

    Args:
        own: answers (method, path, body) of what is no side's.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        script: Line,
        sides: Mapping[str, Side],
        own: Own,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script = script
        self.sides = sides
        self.own = own
        self.stopped = threading.Event()
        self._tls = tls
        super().__init__((host, port), _Requests)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="sandbox", daemon=True)
        self._thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS is spoken on the connection's own thread: a client that is silent holds up nobody."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_HANDSHAKE_SECONDS)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            secured.settimeout(None)
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes in the middle is nothing to tell of."""

    def close(self) -> None:
        self.stopped.set()
        self.shutdown()
        self.server_close()
        self._thread.join(5)


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SandboxServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """It says nothing by itself."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _MOST_BODY:
            self._write(413, {}, b"", Play())
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        name, _, path = self.path.lstrip("/").partition("/")
        side = self.server.sides.get(name)
        if side is None:
            self._say(self.server.own(self.command, self.path, body), Play())
            return
        operation = side.operation(self.command, f"/{path}".partition("?")[0])
        if operation is None:
            self._say((404, {"code": "NO_SUCH_ADDRESS"}), Play())
            return
        play = self.server.script.next(operation)
        answer: Answer = (500, {"code": "SCRIPTED"})
        if play.accept:
            answer = side.answer(self.command, f"/{path}", self._headers(), body)
        self.server.stopped.wait(play.delay_seconds)
        if play.do == "status":
            answer = play.status, play.body if play.body is not None else {"code": "SCRIPTED"}
        if play.do == "envelope":
            answer = 200, {"message": "Scripted", "status": play.status, "data": play.body or {}}
        self._say(answer, play)

    def _headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _say(self, answer: Answer, play: Play) -> None:
        status, document = answer[0], answer[1]
        headers = answer[2] if len(answer) > 2 else {}
        text = isinstance(document, str)
        content = document.encode() if text else json.dumps(document).encode()
        kind = "text/html; charset=utf-8" if text else "application/json"
        self._write(status, {"Content-Type": kind, **headers, **play.headers}, content, play)

    def _write(self, status: int, headers: Mapping[str, str], content: bytes, play: Play) -> None:
        lines = [f"HTTP/1.1 {status} Sandbox", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        whole = "\r\n".join([*lines, "", ""]).encode() + content
        self.close_connection = play.do not in ("answer", "status", "envelope", "drip")
        with suppress(OSError):
            _WAYS.get(play.do, _whole)(self, whole, play)


def _whole(request: _Requests, whole: bytes, _: Play) -> None:
    request.wfile.write(whole)


def _reset(request: _Requests, *_: Any) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    os.close(request.connection.detach())


def _close(*_: Any) -> None:
    """Nothing is said; the connection is closed after it."""


def _mute(request: _Requests, *_: Any) -> None:
    while request.connection.recv(65_536):
        pass


def _half(request: _Requests, whole: bytes, _: Play) -> None:
    request.wfile.write(whole[: len(whole) // 2])


def _drip(request: _Requests, whole: bytes, play: Play) -> None:
    for byte in whole:
        request.wfile.write(bytes([byte]))
        if request.server.stopped.wait(play.interval_seconds):
            return


def _garbage(request: _Requests, *_: Any) -> None:
    request.wfile.write(_GARBAGE)


_WAYS: Mapping[str, Callable[[_Requests, bytes, Play], None]] = {
    "reset": _reset,
    "close": _close,
    "mute": _mute,
    "half": _half,
    "drip": _drip,
    "garbage": _garbage,
}
