"""Owns handing one message to an SMTP server; never composes it, never resends it.

SMTP takes no key and cannot be asked, so the gateway is BLIND, but its doubt is short: a server that has not seen the
final dot must not deliver (RFC 5321 sections 4.1.1.4 and 4.1.1.10), and its reply to the dot settles the matter
(section 6.1). Everything before the dot is a definite no; only between the dot and a readable reply is the outcome
unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.smtp_endpoint import IdleConnections, SmtpConnector, SmtpEndpoint
from dispatchlog.gateways.smtp_wire import BrokenReplyError, Reply, SmtpConnection

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^<>\s]+)>\s*$", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[^\s<>@\x00-\x1f\x7f]+")
_MAX_LINE = 1_000  # RFC 5321 section 4.5.3.1.6, CRLF included
_MAX_REPLY_TEXT = 300


@dataclass(frozen=True, slots=True)
class _Letter:
    """One message checked for SMTP; `content` ends with CRLF and is dot-stuffed, the final dot is not part of it."""

    sender: str
    recipient: str
    message_id: str
    content: bytes = field(repr=False)
    eight_bit: bool

    @classmethod
    def from_parcel(cls, parcel: Parcel) -> _Letter:
        """Raises Permanent: BAD_ADDRESS or BAD_MESSAGE."""
        sender = parcel.headers.get("envelope_from", "")
        for address in (sender, parcel.recipient):
            if not _ADDRESS.fullmatch(address):
                raise Permanent("An envelope address is not a plain mail address.", code="BAD_ADDRESS")
        body = parcel.body
        if not _has_clean_lines(body):
            raise Permanent("The message has bare line ends or lines over 1,000 bytes.", code="BAD_MESSAGE")
        found = _MESSAGE_ID.search(body.partition(b"\r\n\r\n")[0])
        if found is None:
            raise Permanent("The message has no Message-ID of ours.", code="BAD_MESSAGE")
        content = body if body.endswith(b"\r\n") else body + b"\r\n"
        stuffed = re.sub(rb"^\.", b"..", content, flags=re.MULTILINE)  # RFC 5321 section 4.5.2
        return cls(sender, parcel.recipient, found[1].decode("ascii", "replace"), stuffed, not body.isascii())

    def mail_command(self, connection: SmtpConnection) -> str:
        """MAIL with what this server needs to hear. Raises Permanent: it cannot carry this message."""
        command = f"MAIL FROM:<{self.sender}>"
        if "SIZE" in connection.offers:  # RFC 1870
            command += f" SIZE={len(self.content)}"
        if self.eight_bit:
            if "8BITMIME" not in connection.offers:  # RFC 6152
                raise Permanent("The server takes only 7-bit messages.", code="BAD_MESSAGE")
            command += " BODY=8BITMIME"
        if not (self.sender + self.recipient).isascii():
            if "SMTPUTF8" not in connection.offers:  # RFC 6531
                raise Permanent("The server takes only ASCII addresses.", code="BAD_ADDRESS")
            command += " SMTPUTF8"
        return command


class SmtpGateway:
    """Sends `Parcel.body`, a complete RFC 5322 message, to `Parcel.recipient`; the sender is headers["envelope_from"].

    The composer writes 7-bit clean messages; an 8-bit one is sent only to a server that offers 8BITMIME. Connections
    are kept for `idle_seconds`. One that turns out closed is replaced once, before any message was begun on it.
    """

    name = "smtp"
    kind = GatewayKind.BLIND
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(
        self, url: str, *, deadline_seconds: float = 20.0, ca_file: Path | None = None, idle_seconds: float = 10.0
    ) -> None:
        self.deadline_seconds = deadline_seconds
        endpoint = SmtpEndpoint.parse(url)
        self._host = endpoint.host
        self._connector = SmtpConnector(endpoint, ca_file=ca_file)
        self._idle = IdleConnections(idle_seconds=idle_seconds)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The server's 250 to the final dot; `before_write` is called after its 354, before the content.

        Raises:
            Transient: not accepted, may pass: SMTP_<4xx>, SMTP_CONNECT, SMTP_TIMEOUT, SMTP_TLS, SMTP_CERTIFICATE,
                SMTP_AUTH, SMTP_GARBAGE.
            Permanent: not accepted, will not pass: SMTP_<5xx>, BAD_ADDRESS, BAD_MESSAGE.
            OutcomeUnknown: the final dot left and no readable reply came: SMTP_LOST_REPLY, SMTP_TIMEOUT, SMTP_GARBAGE.
        """
        letter = _Letter.from_parcel(parcel)
        connection = self._begin(letter, deadline)
        try:
            self._ask_for_content(connection, letter, deadline)
            before_write()
            reply = self._hand_over(connection, letter, deadline)
            receipt = self._settle(reply, letter)
        except BaseException:
            connection.abort()  # no QUIT: inside DATA it would be content
            raise
        self._idle.put(connection)
        return receipt

    def _begin(self, letter: _Letter, deadline: Deadline) -> SmtpConnection:
        """A connection that accepted MAIL; a kept one that the server has closed meanwhile is replaced."""
        kept = self._idle.take()
        if kept is not None:
            with self._aborting(kept):
                reply = self._mail(kept, letter, deadline)
                if reply is not None:
                    self._accept(reply, letter)
                    return kept
            kept.abort()
        connection = self._connector.open(deadline=deadline)
        with self._aborting(connection), self._before_the_dot():
            self._accept(connection.command(letter.mail_command(connection), deadline=deadline), letter)
        return connection

    def _mail(self, kept: SmtpConnection, letter: _Letter, deadline: Deadline) -> Reply | None:
        """MAIL on a kept connection; None when it is closed or closing (421), which says nothing of this message."""
        try:
            reply = kept.command(letter.mail_command(kept), deadline=deadline)
        except (OSError, BrokenReplyError):
            return None
        return None if reply.code == 421 else reply

    def _ask_for_content(self, connection: SmtpConnection, letter: _Letter, deadline: Deadline) -> None:
        with self._before_the_dot():
            self._accept(connection.command(f"RCPT TO:<{letter.recipient}>", deadline=deadline), letter)
            reply = connection.command("DATA", deadline=deadline)
            if reply.code != 354:
                raise self._refusal(reply, letter)

    def _hand_over(self, connection: SmtpConnection, letter: _Letter, deadline: Deadline) -> Reply:
        with self._before_the_dot():
            connection.write(letter.content, deadline=deadline)
        # From here on the dot may have left, even if writing it fails.
        try:
            connection.write(b".\r\n", deadline=deadline)
            return connection.reply(deadline=deadline)
        except TimeoutError as error:
            raise self._unknown("SMTP_TIMEOUT") from error
        except BrokenReplyError as error:
            raise self._unknown("SMTP_GARBAGE") from error
        except OSError as error:
            raise self._unknown("SMTP_LOST_REPLY") from error

    def _settle(self, reply: Reply, letter: _Letter) -> Receipt:
        if 200 <= reply.code < 300:
            text = _without(letter.recipient, reply.text)
            return Receipt(letter.message_id, {"code": reply.code, "reply": text, "host": self._host})
        if reply.code < 400:
            raise self._unknown("SMTP_GARBAGE")
        raise self._refusal(reply, letter)

    def _accept(self, reply: Reply, letter: _Letter) -> None:
        if not 200 <= reply.code < 300:
            raise self._refusal(reply, letter)

    def _refusal(self, reply: Reply, letter: _Letter) -> GatewayError:
        """Any reply but the one hoped for; the message was not accepted."""
        text = _without(letter.recipient, reply.text)
        evidence = {"code": reply.code, "reply": text, "host": self._host}
        if reply.code == 530:  # RFC 4954 section 6: authentication required; a setting, not this message
            message = f"{self._host} wants a login (SMTP 530)."
            return Transient(message, code="SMTP_AUTH", evidence=evidence, health=Health.BUSY)
        if reply.code >= 500:
            return Permanent(f"{self._host} refuses: {reply.code} {text}", code=f"SMTP_{reply.code}", evidence=evidence)
        message = f"{self._host} defers: {reply.code} {text}"
        return Transient(message, code=f"SMTP_{reply.code}", evidence=evidence, health=Health.BUSY)

    def _unknown(self, code: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self._host} got the whole message and did not confirm it.", code=code, evidence={"host": self._host}
        )

    @contextmanager
    def _before_the_dot(self) -> Iterator[None]:
        """A connection that fails in here has accepted nothing."""
        try:
            yield
        except (OSError, BrokenReplyError) as error:
            raise self._connector.transient(error) from error

    @contextmanager
    def _aborting(self, connection: SmtpConnection) -> Iterator[None]:
        try:
            yield
        except BaseException:
            connection.abort()
            raise

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """SMTP cannot be asked: always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        """Say goodbye on every kept connection."""
        self._idle.close()


def _has_clean_lines(body: bytes) -> bool:
    """Whether every server sees the same lines.

    A lone CR or LF can end the message for one server and not for the next (SMTP smuggling), so it is refused and not
    repaired: the bytes sent are the bytes stored.
    """
    line_ends = body.count(b"\r\n")
    if not line_ends == body.count(b"\r") == body.count(b"\n") or b"\x00" in body:
        return False
    return max(map(len, body.split(b"\n"))) < _MAX_LINE


def _without(recipient: str, text: str) -> str:
    """Servers repeat the address in their replies; it stays out of errors and evidence."""
    return re.sub(f"<?{re.escape(recipient)}>?", "<recipient>", text, flags=re.IGNORECASE)[:_MAX_REPLY_TEXT]
