"""Owns the test exchange's sockets, MLLP and HTTP: a thread for each connection, every misbehaviour of the script."""

from __future__ import annotations

import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from dispatchlog.gateways.hl7_exchange_script import Answer
from dispatchlog.gateways.hl7_framing import BrokenFrameError, FrameReader, frame
from dispatchlog.gateways.hl7_message import MalformedMessageError

if TYPE_CHECKING:
    from dispatchlog.gateways.hl7_exchange import Exchange

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_HANDSHAKE_SECONDS = 5.0
_HUGE = b"MSH|^~\\&|" + b"X" * 1_048_576
_GARBAGE = b"\x16\x03\x01 this is no answer\r\n\r\n"


class _Listener:
    """Accepts connections on one port and serves each on a thread of its own."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.stopped = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept, name="exchange-accept", daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="exchange", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            with suppress(OSError, BrokenFrameError, MalformedMessageError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    connection.settimeout(_HANDSHAKE_SECONDS)
                    plain, connection = connection, self._tls.wrap_socket(connection, server_side=True)
                    self._open.discard(plain)
                    self._open.add(connection)
                    connection.settimeout(None)
                self.talk(connection)
        finally:
            connection.close()
            self._open.discard(connection)
            self._threads.discard(threading.current_thread())

    def talk(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close every connection, as a restart of the exchange would, and go on listening."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        self.hang_up()
        for thread in list(self._threads):
            thread.join(5)

    def deliver(self, connection: socket.socket, answer: Answer, whole: bytes) -> bool:
        """Send an answer's bytes in its way; False when the connection is to be closed."""
        if self.stopped.wait(answer.delay_seconds) if answer.delay_seconds else False:
            return False
        if answer.way == "close":
            return False
        for piece in _pieces(answer, whole):
            connection.sendall(piece)
            pause = answer.interval_seconds if answer.way == "drip" else 0.002 if answer.way == "split" else 0.0
            if pause and self.stopped.wait(pause):
                return False
        if answer.way in ("mute", "half"):
            connection.settimeout(None)
            while connection.recv(65_536):  # until the client has had enough
                pass
        return answer.way not in ("mute", "half", "truncate", "garbage")


def _pieces(answer: Answer, whole: bytes) -> Iterator[bytes]:
    if answer.way in ("half", "truncate"):
        yield whole[: len(whole) // 2]
    elif answer.way == "garbage":
        yield _GARBAGE
    elif answer.way == "drip":
        yield from (whole[index : index + 1] for index in range(len(whole)))
    elif answer.way == "split":  # the end block's two bytes in two pieces
        yield from (whole[index : min(index + 40, len(whole) - 1)] for index in range(0, len(whole) - 1, 40))
        yield whole[-1:]
    elif answer.way != "mute":
        yield whole


class MllpSide(_Listener):
    """Takes messages over MLLP."""

    def __init__(
        self, exchange: Exchange, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ):
        self._exchange = exchange
        super().__init__(host, port, tls)

    def talk(self, connection: socket.socket) -> None:
        frames = FrameReader(_MAX_MESSAGE_BYTES)
        while True:
            while (body := frames.next_message()) is None:
                data = connection.recv(65_536)
                if not data:
                    return
                frames.feed(data)
            answer, acknowledgement = self._exchange.take(body)
            if not self.deliver(connection, answer, _framed(answer, acknowledgement)):
                return


def _framed(answer: Answer, acknowledgement: bytes) -> bytes:
    if answer.way == "twice":
        return frame(acknowledgement) * 2
    return frame(_content(answer, acknowledgement))


def _content(answer: Answer, acknowledgement: bytes) -> bytes:
    if answer.way == "nonsense":
        return b"<html>not HL7</html>"
    return _HUGE if answer.way == "huge" else acknowledgement


class HttpSide(_Listener):
    """Takes messages as HTTP POSTs to any path but `/script`."""

    def __init__(
        self,
        exchange: Exchange,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        api_key: str = "",
    ) -> None:
        self._exchange = exchange
        self._api_key = api_key
        self.content_types: set[str] = set()
        super().__init__(host, port, tls)

    def talk(self, connection: socket.socket) -> None:
        side = self

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                side.post(self, connection)

            def do_GET(self) -> None:
                side.get(self, connection)

            def log_message(self, *_: Any) -> None:
                """It says nothing by itself."""

        Requests(connection, ("", 0), None)  # type: ignore[arg-type]

    def post(self, request: BaseHTTPRequestHandler, connection: socket.socket) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", "0")))
        if request.path == "/script":
            self._load_script(connection, body)
            return
        self.content_types.add(request.headers.get("Content-Type", ""))
        given = request.headers.get("X-API-Key", "")
        if self._api_key and not hmac.compare_digest(given.encode(), self._api_key.encode()):
            connection.sendall(_http(401, b"", {}))
            return
        try:
            answer, acknowledgement = self._exchange.take(body)
        except MalformedMessageError:
            connection.sendall(_http(400, b"", {}))
            return
        content = _content(answer, acknowledgement) if answer.body else b""
        whole = _http(answer.status, content, {"Content-Type": "application/hl7-v2; charset=utf-8", **answer.headers})
        request.close_connection = not self.deliver(connection, answer, whole)

    def _load_script(self, connection: socket.socket, body: bytes) -> None:
        try:
            self._exchange.script.load(json.loads(body))
        except (ValueError, AttributeError, TypeError) as error:
            connection.sendall(_http(400, json.dumps({"message": str(error)}).encode(), {}))
        else:
            connection.sendall(_http(200, b"{}", {}))

    def get(self, request: BaseHTTPRequestHandler, connection: socket.socket) -> None:
        document = {**self._exchange.counts(), "messages": [one.as_json() for one in self._exchange.received]}
        status = 200 if request.path == "/received" else 404
        connection.sendall(_http(status, json.dumps(document if status == 200 else {}).encode(), {}))


def _http(status: int, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
