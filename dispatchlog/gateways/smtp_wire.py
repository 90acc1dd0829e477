"""Owns one SMTP connection: commands, replies, STARTTLS and AUTH under a deadline; never judges what a reply means.

Ours instead of smtplib because smtplib's time-out bounds one `recv`, its DATA offers no place for a last word before
the content, and it writes content and final dot in one call, which hides on which side of the dot a failure fell.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatchlog.engine.deadline import Deadline
from dispatchlog.gateways import wire

_REPLY_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?")
_MAX_LINE = 4096  # RFC 5321 section 4.5.3.1.5 allows 512; real servers are chattier
_MAX_LINES = 100


class BrokenReplyError(Exception):
    """What came is not an SMTP reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code and its text, lines joined by a blank."""

    code: int
    text: str
    lines: tuple[str, ...] = ()


class SmtpConnection:
    """One connection to one server. Not thread-safe; one send at a time uses it.

    Methods raise OSError (TimeoutError at the deadline, ConnectionError when the peer closed) or BrokenReplyError.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""
        self.offers: Mapping[str, str] = {}

    @property
    def gone(self) -> bool:
        """Whether the idle connection was closed, or the server said something unasked (421, it is about to close)."""
        return bool(self._unread) or wire.has_news(self._socket)

    def command(self, line: str, *, deadline: Deadline) -> Reply:
        """Send one command line and return its reply."""
        self.write(line.encode("utf-8") + b"\r\n", deadline=deadline)
        return self.reply(deadline=deadline)

    def write(self, data: bytes, *, deadline: Deadline) -> None:
        wire.write_all(self._socket, data, deadline=deadline)

    def reply(self, *, deadline: Deadline) -> Reply:
        """The next reply, all its lines (RFC 5321 section 4.2.1)."""
        lines: list[str] = []
        code = b""
        while len(lines) < _MAX_LINES:
            match = _REPLY_LINE.fullmatch(self._line(deadline))
            if match is None or (lines and match[1] != code):
                raise BrokenReplyError("not an SMTP reply")
            code = match[1]
            lines.append((match[3] or b"").decode("utf-8", "replace").strip())
            if match[2] != b"-":
                return Reply(int(code), " ".join(lines), tuple(lines))
        raise BrokenReplyError("an endless SMTP reply")

    def _line(self, deadline: Deadline) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > _MAX_LINE:
                raise BrokenReplyError("an endless SMTP reply line")
            data = wire.read_some(self._socket, _MAX_LINE, deadline=deadline)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.removesuffix(b"\r")

    def hello(self, name: str, *, deadline: Deadline) -> Reply:
        """EHLO, or HELO for a server that knows no extensions; fills `offers` (names in upper case)."""
        name = name or self._address_literal()
        reply = self.command(f"EHLO {name}", deadline=deadline)
        if reply.code == 250:
            pairs = (line.partition(" ") for line in reply.lines[1:])
            self.offers = {keyword.upper(): value for keyword, _, value in pairs}
            return reply
        self.offers = {}
        if reply.code in (500, 501, 502, 504, 550):  # RFC 5321 section 4.1.1.1: fall back to HELO
            return self.command(f"HELO {name}", deadline=deadline)
        return reply

    def _address_literal(self) -> str:
        """RFC 5321 section 4.1.4: a client without a meaningful name gives its address (looking a name up may hang)."""
        address = self._socket.getsockname()[0].partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def start_tls(self, context: ssl.SSLContext, host: str, *, deadline: Deadline) -> None:
        """Switch to TLS.

        Raises:
            BrokenReplyError: the server sent more than its 220 in clear text; whoever added it could speak inside our
                TLS session (RFC 3207 section 5, CVE-2011-0411).
        """
        if self._unread:
            raise BrokenReplyError("clear text after STARTTLS")
        self._socket = wire.start_tls(self._socket, context, host=host, deadline=deadline)

    def authenticate(self, user: str, password: str, *, deadline: Deadline) -> Reply:
        """AUTH PLAIN (RFC 4616), or LOGIN where only that is offered; the last reply, 235 when we are in."""
        mechanisms = self.offers.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            return self.command(f"AUTH PLAIN {_encode(f'{chr(0)}{user}{chr(0)}{password}')}", deadline=deadline)
        if "LOGIN" not in mechanisms:
            return Reply(504, "the server offers neither AUTH PLAIN nor AUTH LOGIN")
        reply = self.command("AUTH LOGIN", deadline=deadline)
        for secret in (user, password):
            if reply.code != 334:
                return reply
            reply = self.command(_encode(secret), deadline=deadline)
        return reply

    def peer_certificate(self) -> dict[str, Any]:
        """What the server's certificate says; nothing without TLS."""
        return (self._socket.getpeercert() or {}) if isinstance(self._socket, ssl.SSLSocket) else {}

    def abort(self) -> None:
        """Close without a word. In the middle of DATA this is what makes the server forget the message."""
        self._socket.close()

    def quit(self) -> None:
        """Say goodbye without waiting for the answer."""
        try:
            self.write(b"QUIT\r\n", deadline=Deadline(0.5))
        except OSError:
            pass  # it was closed already, which is what we want
        finally:
            self._socket.close()


def _encode(secret: str) -> str:
    return base64.b64encode(secret.encode("utf-8")).decode("ascii")
