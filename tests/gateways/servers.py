"""Owns the servers the gateway tests talk to over real sockets: the fake provider's process and raw TCP servers."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port

__all__ = ["free_port"]  # for those who ask for one here

LOOPBACK = "127.0.0.1"


class Provider:
    """The fake provider as a child process."""

    def __init__(self, ledger: Path, *options: str) -> None:
        self.ledger_path = ledger
        command = [sys.executable, "-m", "dispatchlog.gateways.fake_provider", "--ledger", str(ledger), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ports = json.loads(self.process.stdout.readline())
        self.http_url = f"http://{LOOPBACK}:{ports['http_port']}"
        self.smtp_url = f"smtp://{LOOPBACK}:{ports['smtp_port']}?tls=none"

    def script(self, channel: str, *plays: dict[str, Any]) -> None:
        """What the channel's next requests get, instead of what was scripted before."""
        order = json.dumps({"channel": channel, "clear": True, "plays": plays}).encode()
        with urllib.request.urlopen(f"{self.http_url}/script", data=order) as reply:  # noqa: S310  (our own child)
            assert reply.status == 200

    def ledger(self, key: str) -> list[dict[str, Any]]:
        """What was accepted under a key, read from the file as a test of a killed provider would."""
        entries = [json.loads(line) for line in self.ledger_path.read_text().splitlines()]
        return [entry for entry in entries if entry["key"] == key]

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def close(self) -> None:
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


class RawServer:
    """A TCP server that runs `talk(connection, server)` per connection on a thread and keeps what was `taken`.

    `ended` counts the connections that it has closed.
    """

    def __init__(self, talk: Callable[[socket.socket, RawServer], None], tls: ssl.SSLContext | None = None) -> None:
        self.taken = bytearray()
        self.connections = 0
        self.ended = 0
        self._talk = talk
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.stopped = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.append(connection)
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._talk(connection, self)
        connection.close()
        self.ended += 1

    def take(self, connection: socket.socket, until: bytes) -> bytes:
        """Read until the bytes end with `until`, or the client closes."""
        data = b""
        while not data.endswith(until):
            piece = connection.recv(65_536)
            if not piece:
                raise ConnectionResetError
            data += piece
            self.taken += piece
        return data

    def close(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)


@contextlib.contextmanager
def raw_server(
    talk: Callable[[socket.socket, RawServer], None], tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    server = RawServer(talk, tls)
    try:
        yield server
    finally:
        server.close()


def reset(connection: socket.socket) -> None:
    """Close with RST: the peer gets ECONNRESET instead of an end of file."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


def drip(connection: socket.socket, data: bytes, server: RawServer, *, interval_seconds: float = 0.1) -> None:
    """Send one byte at a time, for as long as anybody listens."""
    for byte in data:
        connection.sendall(bytes([byte]))
        if server.stopped.wait(interval_seconds):
            return


@dataclass(frozen=True)
class Certificate:
    """A self-made authority that is its own server certificate, for localhost and 127.0.0.1."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {made.key} -out {made.certificate}".split(),
        check=True,
        capture_output=True,
    )
    return made
