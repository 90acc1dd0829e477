"""Owns the local mailbox: an SMTP server that keeps every mail as one file, and reading them. It never sends one.

A mail is answered with 250 only after its file and the directory entry are on disk, as a real provider would. Files
begin with `X-Envelope-From` and one `X-Envelope-To` per recipient; the rest is what came, with plain line ends.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import mailbox
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import getaddresses
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_ENVELOPE = "X-Envelope-"
_LARGEST_HEADER_BYTES = 256 * 1024
# Maildir names: seconds.M<microseconds>P<pid>Q<count>.<host>; nothing in them can leave the directory.
_KEY = re.compile(r"(?P<seconds>\d{1,12})\.M(?P<microseconds>\d{1,6})P\d+Q(?P<count>\d+)\.[A-Za-z0-9_-][A-Za-z0-9._-]*")


def _unparsed(_name: str, value: str) -> str:
    return str(value)


_LENIENT = policy.EmailPolicy(header_factory=_unparsed, utf8=True)


class UnknownMailError(LookupError):
    """No mail has this key, or it is not a key at all."""


@dataclass(frozen=True)
class MailSummary:
    """What a list shows of one mail. `to` is its To header; `envelope_to` is who really got it."""

    key: str
    received_at: datetime
    subject: str
    from_: str
    to: tuple[str, ...]
    message_id: str
    envelope_from: str
    envelope_to: tuple[str, ...]
    trace: dict[str, str]


@dataclass(frozen=True)
class Mail:
    """One mail, parsed. `text` and `html` are empty when it has no such part."""

    summary: MailSummary
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str
    attachments: tuple[str, ...]
    size_bytes: int


def list_messages(directory: Path, *, limit: int, before: str | None = None) -> list[MailSummary]:
    """The newest mails first, at most `limit`; with `before`, only those older than that key.

    Opens only the files it returns and reads only their headers. A directory that does not exist yet is empty.

    Raises:
        UnknownMailError: `before` is not a key.
    """
    older_than = _order(before) if before is not None else None
    found = {path.name.partition(":")[0]: path for path in _files(directory)}
    keys = sorted((key for key in found if _KEY.fullmatch(key)), key=_order, reverse=True)
    wanted = (key for key in keys if older_than is None or _order(key) < older_than)
    return [_summarise(key, _read_headers(found[key])) for key in itertools.islice(wanted, limit)]


def read_message(directory: Path, key: str) -> Mail:
    """One whole mail.

    Raises:
        UnknownMailError: no mail has this key.
    """
    _order(key)
    path = next((path for path in _files(directory) if path.name.partition(":")[0] == key), None)
    if path is None:
        raise UnknownMailError(f"there is no mail {key}")
    raw = path.read_bytes()
    mail = _parse(raw)
    return Mail(
        summary=_summarise(key, mail),
        headers=tuple((name, _text(value)) for name, value in mail.items()),
        text=_body(mail, "plain"),
        html=_body(mail, "html"),
        attachments=tuple(_text(part.get_filename() or part.get_content_type()) for part in _attachments(mail)),
        size_bytes=len(raw),
    )


def _files(directory: Path) -> Iterable[Path]:
    for folder in ("new", "cur"):
        if (directory / folder).is_dir():
            yield from (directory / folder).iterdir()


def _order(key: str) -> tuple[int, int, int, str]:
    """Where the mail stands in time. Two in one microsecond are told apart by the count, then by the name."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise UnknownMailError("that is not the key of a mail")
    return int(match["seconds"]), int(match["microseconds"]), int(match["count"]), key


def _read_headers(path: Path) -> EmailMessage:
    """Only the part before the first empty line, so that a list does not read attachments."""
    lines: list[bytes] = []
    size = 0
    with path.open("rb") as file:
        for line in file:
            size += len(line)
            if not line.strip() or size > _LARGEST_HEADER_BYTES:
                break
            lines.append(line)
    return _parse(b"".join(lines) + b"\n")


def _parse(raw: bytes) -> EmailMessage:
    """Parse leniently: the strict policy raises while reading some headers that real programs send."""
    try:
        mail = BytesParser(policy=policy.default).parsebytes(raw)
        for _, value in mail.items():
            str(value)
    except Exception:  # noqa: BLE001  the parser's own bugs have no common class; such a mail must still be shown
        return BytesParser(policy=_LENIENT).parsebytes(raw)
    return mail


def _summarise(key: str, mail: EmailMessage) -> MailSummary:
    seconds, microseconds, _, _ = _order(key)
    names_and_values = [(name, _text(value)) for name, value in mail.items()]
    # Only the first block is ours; the sender may have written headers of the same name further down.
    envelope = list(itertools.takewhile(lambda pair: pair[0].startswith(_ENVELOPE), names_and_values))
    trace = {name: value for name, value in names_and_values if _is_trace(name)}
    return MailSummary(
        key=key,
        received_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=microseconds),
        subject=_text(mail["Subject"]),
        from_=_text(mail["From"]),
        to=tuple(address for _, address in getaddresses([_text(value) for value in mail.get_all("To", [])]) if address),
        message_id=_text(mail["Message-ID"]),
        envelope_from=next((value for name, value in envelope if name == _ENVELOPE + "From"), ""),
        envelope_to=tuple(value for name, value in envelope if name == _ENVELOPE + "To"),
        trace=trace,
    )


def _is_trace(name: str) -> bool:
    lower = name.lower()
    return lower in ("traceparent", "idempotency-key") or (lower.startswith("x-") and not name.startswith(_ENVELOPE))


def _text(value: object) -> str:
    """A header as one printable line; bytes that are no text at all become question marks."""
    return "" if value is None else " ".join(str(value).split()).encode("utf-8", "replace").decode()


def _body(mail: EmailMessage, subtype: str) -> str:
    for part in mail.walk():
        if part.get_content_type() == f"text/{subtype}" and part.get_content_disposition() != "attachment":
            return _decode(part)
    return ""


def _decode(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        text = payload.decode(part.get_content_charset("utf-8"), errors="replace")
    except LookupError:
        text = payload.decode("utf-8", errors="replace")
    return text.replace("\r\n", "\n")


def _attachments(mail: EmailMessage) -> list[Message]:
    return [part for part in mail.walk() if part.get_content_disposition() == "attachment"]


class MailboxHandler:
    """Keeps what `aiosmtpd` receives; give it to any of its servers."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        # Maildir makes its subdirectories only when it makes the directory itself.
        for folder in ("tmp", "new", "cur"):
            (directory / folder).mkdir(exist_ok=True, mode=0o700)
        self._maildir = mailbox.Maildir(directory, create=False)
        # Maildir counts its file names without a lock.
        self._lock = threading.Lock()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        """Called once per mail. The disk is waited for in another thread, so that other senders are not."""
        del server, session
        try:
            await asyncio.to_thread(self.keep, envelope)
        except OSError as error:
            return f"451 the mail could not be kept: {error.strerror}"
        return "250 kept"

    def keep(self, envelope: Envelope) -> None:
        """Write the mail; it is on disk when this returns."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        lines = [f"{_ENVELOPE}From: {envelope.mail_from}", *(f"{_ENVELOPE}To: {to}" for to in envelope.rcpt_tos)]
        with self._lock:
            self._maildir.add("".join(f"{line}\n" for line in lines).encode() + raw)
            _sync_directory(self._directory / "new")


def _sync_directory(directory: Path) -> None:
    """Maildir syncs the file but not its name, without which a power failure loses the mail all the same."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def serve(directory: Path, *, host: str, port: int) -> None:
    """Receive mail until SIGINT or SIGTERM. Port 0 takes a free one; the first line printed names it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    handler = MailboxHandler(directory)

    def session() -> SMTP:
        return SMTP(
            handler,
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="dispatchlog mailbox",
            loop=loop,
        )

    server = await loop.create_server(session, host, port)
    taken = server.sockets[0].getsockname()[1]
    print(f"mailbox: receiving on {host}:{taken}, keeping in {directory}", flush=True)
    await stop.wait()
    # Connections still open are dropped: nothing unanswered was promised.
    server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dispatchlog.local.mailbox", description="A local mailbox.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=2525, help="port to listen on (default: %(default)s)")
    parser.add_argument("--dir", type=Path, default=Path("var/mail"), help="where to keep mail (default: %(default)s)")
    options = parser.parse_args(arguments)
    os.umask(0o077)  # mails are about people
    try:
        asyncio.run(serve(options.dir, host=options.host, port=options.port))
    except OSError as error:
        print(f"mailbox: cannot receive on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
