"""Owns the SMTP URL and the way to a ready connection (TCP, TLS, EHLO, AUTH); never sends a message."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from dispatchlog.engine.deadline import Deadline, boottime
from dispatchlog.engine.errors import Health, Transient
from dispatchlog.gateways import wire
from dispatchlog.gateways.smtp_wire import BrokenReplyError, Reply, SmtpConnection


class Tls(StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"  # RFC 3207; required, never silently left out
    IMPLICIT = "implicit"  # RFC 8314 section 3: TLS from the first byte
    NONE = "none"


_PORTS = {Tls.STARTTLS: 587, Tls.IMPLICIT: 465, Tls.NONE: 25}


@dataclass(frozen=True, slots=True)
class SmtpEndpoint:
    """A parsed `smtp://user:password@host:port?tls=starttls|implicit|none&helo=name`; its repr shows no credentials."""

    host: str
    port: int
    tls: Tls
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    helo: str = ""

    @classmethod
    def parse(cls, url: str) -> SmtpEndpoint:
        """User and password are percent-decoded; without `tls=` it is starttls.

        Raises:
            ValueError: not such a URL. The URL is not repeated in the message, it may hold a password.
        """
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        tls_name = query.pop("tls", [Tls.STARTTLS])[-1]
        helo = query.pop("helo", [""])[-1]
        if parts.scheme != "smtp" or not parts.hostname or parts.path.strip("/") or query:
            raise ValueError("the SMTP URL must look like smtp://user:password@host:587?tls=starttls")
        if tls_name not in list(Tls):
            raise ValueError("the SMTP URL's tls must be starttls, implicit or none")
        if any(character.isspace() for character in helo) or not helo.isascii():
            raise ValueError("the SMTP URL's helo must be a plain host name")
        tls = Tls(tls_name)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, parts.port or _PORTS[tls], tls, user, password, helo)


class SmtpConnector:
    """Opens ready connections to one endpoint. Thread-safe."""

    def __init__(self, endpoint: SmtpEndpoint, *, ca_file: Path | None = None) -> None:
        self._endpoint = endpoint
        self._context = None if endpoint.tls is Tls.NONE else ssl.create_default_context(cafile=ca_file)

    def open(self, *, deadline: Deadline) -> SmtpConnection:
        """A connection that is ready for MAIL.

        Raises:
            Transient: no message was begun (SMTP_CONNECT, SMTP_TIMEOUT, SMTP_TLS, SMTP_CERTIFICATE, SMTP_AUTH,
                SMTP_<code>). A refused greeting or login is a matter of settings, not of this message.
        """
        connection: SmtpConnection | None = None
        try:
            connection = self._connect(deadline)
            self._greet(connection, deadline)
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, OSError | BrokenReplyError):
                raise self.transient(error) from error
            raise
        return connection

    def _connect(self, deadline: Deadline) -> SmtpConnection:
        endpoint = self._endpoint
        sock = wire.open_socket(endpoint.host, endpoint.port, deadline=deadline)
        if endpoint.tls is Tls.IMPLICIT and self._context is not None:
            sock = wire.start_tls(sock, self._context, host=endpoint.host, deadline=deadline)
        return SmtpConnection(sock)

    def _greet(self, connection: SmtpConnection, deadline: Deadline) -> None:
        endpoint = self._endpoint
        self._expect(connection.reply(deadline=deadline), 220)
        self._expect(connection.hello(endpoint.helo, deadline=deadline), 250)
        if endpoint.tls is Tls.STARTTLS and self._context is not None:
            if "STARTTLS" not in connection.offers:
                raise Transient(f"{endpoint.host} offers no STARTTLS; nothing was sent.", code="SMTP_TLS")
            self._expect(connection.command("STARTTLS", deadline=deadline), 220)
            connection.start_tls(self._context, endpoint.host, deadline=deadline)
            self._expect(connection.hello(endpoint.helo, deadline=deadline), 250)
        if endpoint.user:
            reply = connection.authenticate(endpoint.user, endpoint.password, deadline=deadline)
            if reply.code != 235:
                # The reply's text is left out: a server may repeat what it was told.
                raise Transient(
                    f"{endpoint.host} refuses our login (SMTP {reply.code}); correct the SMTP URL.",
                    code="SMTP_AUTH",
                    evidence={"host": endpoint.host, "code": reply.code},
                    health=Health.BUSY,
                )

    def _expect(self, reply: Reply, code: int) -> None:
        if reply.code != code:
            raise Transient(
                f"{self._endpoint.host} is not ready (SMTP {reply.code}); nothing was sent.",
                code=f"SMTP_{reply.code}",
                evidence={"host": self._endpoint.host, "code": reply.code, "reply": reply.text[:300]},
            )

    def transient(self, error: OSError | BrokenReplyError) -> Transient:
        """The error for a connection that failed while no message could have been accepted."""
        code, what = _before_acceptance(error)
        evidence = {"host": self._endpoint.host, "error": type(error).__name__}
        return Transient(f"{self._endpoint.host}: {what}; nothing was accepted.", code=code, evidence=evidence)


def _before_acceptance(error: OSError | BrokenReplyError) -> tuple[str, str]:
    if isinstance(error, TimeoutError):
        return "SMTP_TIMEOUT", "too slow"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "SMTP_CERTIFICATE", f"its certificate cannot be trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return "SMTP_TLS", "TLS failed"
    if isinstance(error, BrokenReplyError):
        return "SMTP_GARBAGE", str(error)
    return "SMTP_CONNECT", f"the connection failed ({error.strerror or error})"


class IdleConnections:
    """Connections waiting for the next message, the youngest first. Thread-safe."""

    def __init__(self, *, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[tuple[float, SmtpConnection]] = []

    def take(self) -> SmtpConnection | None:
        """One that still looks alive, or None; closes those that waited too long."""
        self._close_old()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                _, connection = self._idle.pop()
            if not connection.gone:
                return connection
            connection.abort()

    def put(self, connection: SmtpConnection) -> None:
        """Keep a connection whose last message was answered."""
        with self._lock:
            self._idle.append((boottime(), connection))
        self._close_old()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.quit()

    def _close_old(self) -> None:
        oldest = boottime() - self._idle_seconds
        with self._lock:
            old = [connection for since, connection in self._idle if since < oldest]
            self._idle = [entry for entry in self._idle if entry[0] >= oldest]
        for connection in old:
            connection.quit()
