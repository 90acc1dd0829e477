"""Owns the network side of the HTTP client: every byte under the request's total deadline; never parses HTTP.

httpcore takes a `NetworkBackend` and keeps its streams alive between requests, so a stream cannot hold a request's
deadline. It looks the current exchange up in a thread-local instead: httpcore's synchronous pool connects, writes and
reads on the thread that makes the request.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import OutcomeUnknown, Transient
from dispatchlog.gateways import wire
from dispatchlog.reach import OutOfReach, Reach


@dataclass(slots=True)
class Exchange:
    """One request under way: its deadline, its last word before the first byte, and how far it got."""

    deadline: Deadline
    before_write: Callable[[], None]
    wrote: bool = False
    peer_closed: bool = False


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens streams that obey the exchange bound to the calling thread."""

    def __init__(self, *, settle_seconds: float = 0.0, reach: Reach | None = None) -> None:
        self.settle_seconds = settle_seconds
        self._reach = reach
        self._bound = threading.local()

    @contextmanager
    def bound(self, exchange: Exchange) -> Iterator[None]:
        """Everything this thread does on this backend's streams belongs to `exchange`."""
        self._bound.exchange = exchange
        try:
            yield
        finally:
            self._bound.exchange = None

    def current(self) -> Exchange:
        exchange: Exchange = self._bound.exchange
        return exchange

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  (httpcore's signature)
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002  (httpcore's signature)
    ) -> httpcore.NetworkStream:
        """Connect within the deadline. Raises Transient CONNECT_FAILED or DESTINATION_REFUSED: nothing has been sent."""
        deadline = self.current().deadline
        try:
            sock = wire.open_socket(host, port, deadline=deadline, limit_seconds=timeout, reach=self._reach)
        except OutOfReach as error:
            raise Transient(
                f"{host}:{port} is in a network that may not be reached; nothing was sent.",
                code="DESTINATION_REFUSED",
                evidence={"host": host, "port": port},
            ) from error
        except OSError as error:
            raise Transient(
                f"Cannot connect to {host}:{port} ({_name(error)}); nothing was sent.",
                code="CONNECT_FAILED",
                evidence={"host": host, "port": port, "error": _name(error)},
            ) from error
        return DeadlineStream(sock, self)


class DeadlineStream(httpcore.NetworkStream):
    """One connection; before the first byte of each exchange it asks `before_write`."""

    def __init__(self, sock: socket.socket, backend: DeadlineBackend) -> None:
        self._socket = sock
        self._backend = backend
        self._used = False

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """TLS within the deadline. Raises Transient TLS_CERTIFICATE or TLS_FAILED: nothing has been sent."""
        host = server_hostname or ""
        deadline = self._backend.current().deadline
        try:
            sock = wire.start_tls(
                self._socket,
                ssl_context,
                host=host,
                deadline=deadline,
                limit_seconds=timeout,
                settle_seconds=self._backend.settle_seconds,
            )
        except ssl.SSLCertVerificationError as error:
            raise Transient(
                f"{host} shows a certificate that cannot be trusted ({error.verify_message}); nothing was sent.",
                code="TLS_CERTIFICATE",
                evidence={"host": host, "error": error.verify_message},
            ) from error
        except OSError as error:
            raise Transient(
                f"TLS with {host} failed ({_name(error)}); nothing was sent.",
                code="TLS_FAILED",
                evidence={"host": host, "error": _name(error)},
            ) from error
        return DeadlineStream(sock, self._backend)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`.

        Raises:
            OutcomeUnknown: the deadline passed; part of it may have left.
            httpcore.WriteError: the peer closed; httpcore then looks whether it left an answer.
        """
        if not buffer:
            return
        exchange = self._backend.current()
        if not exchange.wrote:
            self._first_word(exchange)
        try:
            wire.write_all(self._socket, buffer, deadline=exchange.deadline, limit_seconds=timeout)
        except TimeoutError as error:
            raise OutcomeUnknown("The request was not written in time.", code="TIMEOUT") from error
        except OSError as error:
            raise httpcore.WriteError(_name(error)) from error

    def _first_word(self, exchange: Exchange) -> None:
        exchange.before_write()
        if exchange.deadline.passed:
            raise Transient("The deadline passed before the first byte; nothing was sent.", code="TIMEOUT")
        # A kept-alive connection may have been closed while `before_write` took its time. Seen here, it is a definite
        # no; seen after the write, nobody can tell. A fresh one is not asked: TLS 1.3 tickets make it readable.
        if self._used and wire.has_news(self._socket):
            raise Transient("The server closed the idle connection; nothing was sent.", code="CONNECTION_STALE")
        exchange.wrote = True
        self._used = True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is. Raises OutcomeUnknown: TIMEOUT or CONNECTION_LOST."""
        exchange = self._backend.current()
        try:
            data = wire.read_some(self._socket, max_bytes, deadline=exchange.deadline, limit_seconds=timeout)
        except TimeoutError as error:
            raise OutcomeUnknown("No complete answer came in time.", code="TIMEOUT") from error
        except OSError as error:
            raise OutcomeUnknown(
                f"The connection broke before an answer came ({_name(error)}).", code="CONNECTION_LOST"
            ) from error
        exchange.peer_closed = not data
        return data

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a stream: whether an idle connection became readable, and the negotiated TLS."""
        if info == "is_readable":
            return wire.has_news(self._socket)
        if info == "socket":
            return self._socket
        return None


def _name(error: OSError) -> str:
    return error.strerror or type(error).__name__
