"""Owns one HTTP server's client: a keep-alive pool, a total deadline, three errors; never retries, never redirects.

A failure before the first byte of the request is Transient. After it, only a whole answer proves anything: everything
else is OutcomeUnknown, also on a kept-alive connection that the server closed at the wrong moment (RFC 9110 section
9.2.2 lets a client resend only idempotent methods by itself, and sending twice is the engine's decision, not ours).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpcore

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.http_replies import HttpReply, classify_read
from dispatchlog.gateways.http_wire import DeadlineBackend, Exchange
from dispatchlog.reach import Reach

MAX_REPLY_BYTES = 1024 * 1024
_JSON_ACCEPT = {"Accept": "application/json"}


def _nothing() -> None:
    """The last word before the first byte of a request that changes nothing."""


@dataclass(frozen=True, slots=True)
class _Base:
    """Where the server is; `path` has no trailing slash."""

    scheme: str
    host: str
    port: int | None
    path: str
    host_header: str = field(default="")

    @classmethod
    def parse(cls, base_url: str) -> _Base:
        """Raises ValueError: not a plain http(s) URL. The URL is not repeated, it may hold a secret."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not base_url.isascii():
            raise ValueError("a base URL must look like https://host/path")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("a base URL holds no credentials, query or fragment")
        return cls(parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/"), parts.netloc)

    def url(self, target: str) -> httpcore.URL:
        return httpcore.URL(scheme=self.scheme, host=self.host, port=self.port, target=self.path + target)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Everything TLS needs.

    Attributes:
        context: whom we trust, and a client's certificate where one is asked for.
        server_name: the name the server's certificate bears, where that is not the host's.
        settle_seconds: how long to wait for the server's word on our certificate (`wire.start_tls`).
    """

    context: ssl.SSLContext
    server_name: str = ""
    settle_seconds: float = 0.0


class HttpClient:
    """A client of one base URL. Thread-safe; connections are kept and shared between threads.

    Args:
        base_url: http or https; paths are appended to it.
        ca_file: PEM file of the only authorities to trust (default: the machine's).
        connect_seconds: the most one connect or TLS handshake may take, within the deadline.
        keepalive_seconds: how long an idle connection is kept.
        tls: for https, instead of `ca_file`.
        reach: which addresses may be connected to (default: all).
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca_file: Path | None = None,
        connect_seconds: float = 5.0,
        keepalive_seconds: float = 20.0,
        max_connections: int = 64,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        tls: ClientTls | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._base = _Base.parse(base_url)
        self._connect_seconds = connect_seconds
        self._max_reply_bytes = max_reply_bytes
        if tls is None and self._base.scheme == "https":
            tls = ClientTls(ssl.create_default_context(cafile=ca_file))
        self._extensions = {"sni_hostname": tls.server_name} if tls and tls.server_name else {}
        self._backend = DeadlineBackend(settle_seconds=tls.settle_seconds if tls else 0.0, reach=reach)
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls.context if tls else None,
            max_connections=max_connections,
            keepalive_expiry=keepalive_seconds,
            network_backend=self._backend,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline: Deadline,
        before_write: Callable[[], None] = _nothing,
    ) -> HttpReply:
        """The whole answer, whatever its status. `before_write` is called once, just before the first byte leaves.

        Raises:
            Transient: nothing has been sent (CONNECT_FAILED, DESTINATION_REFUSED, TLS_FAILED, TLS_CERTIFICATE,
                CONNECTION_STALE, POOL_TIMEOUT, TIMEOUT).
            Permanent: BAD_REQUEST, the request cannot be written as HTTP; nothing has been sent.
            OutcomeUnknown: TIMEOUT, CONNECTION_LOST, MALFORMED_REPLY, REPLY_TOO_LARGE.
            Exception: what `before_write` raised, unchanged; nothing has been sent.
        """
        headers = headers or {}
        if not all(text.isascii() for text in (path, *headers, *headers.values())):
            raise Permanent("The request's path or a header is not ASCII.", code="BAD_REQUEST")
        exchange = Exchange(deadline, before_write)
        with self._backend.bound(exchange):
            try:
                return self._exchange(method, path, headers, content, deadline)
            except GatewayError:
                raise
            except httpcore.PoolTimeout as error:
                message = "No connection became free in time; nothing was sent."
                raise Transient(message, code="POOL_TIMEOUT", health=Health.BUSY) from error
            except httpcore.LocalProtocolError as error:
                raise Permanent(f"The request is not valid HTTP ({error}).", code="BAD_REQUEST") from error
            except httpcore.RemoteProtocolError as error:
                code = "CONNECTION_LOST" if exchange.peer_closed else "MALFORMED_REPLY"
                raise OutcomeUnknown(f"The server's answer makes no sense ({error}).", code=code) from error

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None, deadline: Deadline
    ) -> HttpReply:
        timeout = {"pool": deadline.remaining_seconds(), "connect": self._connect_seconds}
        with self._pool.stream(
            method,
            self._base.url(path),
            headers=[("Host", self._base.host_header), ("User-Agent", "dispatchlog"), *headers.items()],
            content=content,
            extensions={"timeout": timeout, **self._extensions},
        ) as response:
            body = _read_capped(response.iter_stream(), self._max_reply_bytes)
        return HttpReply(
            response.status,
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers},
            body,
        )

    def get_json(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: Deadline,
    ) -> Any | None:
        """The JSON document at `path`, None when there is none (404). Reading changes nothing, so no doubt remains.

        Raises:
            Transient: unreachable, too slow, unauthorised, busy or not JSON; `code` says which.
            Permanent: the server refuses the question (another 4xx).
        """
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            reply = self.request("GET", target, headers={**_JSON_ACCEPT, **(headers or {})}, deadline=deadline)
        except OutcomeUnknown as error:
            raise Transient(error.message, code=error.code, evidence=error.evidence) from error
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise classify_read(reply)
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise Transient("The answer is not JSON.", code="MALFORMED_REPLY", evidence={"status": 200}) from error

    def close(self) -> None:
        """Close every idle connection."""
        self._pool.close()


def _read_capped(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise OutcomeUnknown(f"The answer is longer than {max_bytes} bytes.", code="REPLY_TOO_LARGE")
    return bytes(body)
