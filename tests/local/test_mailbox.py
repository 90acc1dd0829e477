"""The mailbox keeps what a real SMTP client sends, lists it quickly and gives it back whole."""

from __future__ import annotations

import smtplib
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import Envelope

from dispatchlog.local.mailbox import MailboxHandler, UnknownMailError, list_messages, read_message


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def smtp(directory: Path) -> Iterator[smtplib.SMTP]:
    """A client of the real program, started as an operator would."""
    command = [sys.executable, "-m", "dispatchlog.local.mailbox", "--port", "0", "--dir", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        port = int(process.stdout.readline().split(",")[0].rpartition(":")[2])
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
                yield client
        finally:
            process.terminate()
            assert process.wait(timeout=120) == 0


def letter(subject: str = "Votre formulaire · 問診票") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Dispatch Desk <forms@dispatchlog.localhost>"
    mail["To"] = "Ana <ana@example.org>, ben@example.org"
    mail["Subject"] = subject
    mail["Message-ID"] = "<1@dispatchlog.localhost>"
    mail["X-Dispatch-Id"] = "81"
    mail.set_content("Plain text, naïve\n.starts with a dot\n")
    mail.add_alternative("<p>Rich text</p>", subtype="html")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="form.pdf")
    return mail


def keep(directory: Path, raw: bytes) -> None:
    envelope = Envelope()
    envelope.mail_from, envelope.rcpt_tos, envelope.content = "a@example.org", ["b@example.org"], raw
    MailboxHandler(directory).keep(envelope)


def test_a_mail_is_stored_then_listed_then_read(smtp: smtplib.SMTP, directory: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    smtp.send_message(letter(), from_addr="bounces@example.org", to_addrs=["ana@example.org", "hidden@example.org"])

    [summary] = list_messages(directory, limit=10)

    assert before < summary.received_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert summary.subject == "Votre formulaire · 問診票"
    assert summary.from_ == "Dispatch Desk <forms@dispatchlog.localhost>"
    assert summary.to == ("ana@example.org", "ben@example.org")
    assert summary.message_id == "<1@dispatchlog.localhost>"
    assert summary.envelope_from == "bounces@example.org"
    assert summary.envelope_to == ("ana@example.org", "hidden@example.org")
    assert summary.trace == {"X-Dispatch-Id": "81"}

    mail = read_message(directory, summary.key)
    assert mail.summary == summary
    assert mail.text == "Plain text, naïve\n.starts with a dot\n"
    assert mail.html.strip() == "<p>Rich text</p>"
    assert mail.attachments == ("form.pdf",)
    assert ("X-Envelope-To", "hidden@example.org") in mail.headers
    assert mail.size_bytes == next((directory / "new").iterdir()).stat().st_size


def test_a_mail_is_on_disk_when_the_server_says_so(smtp: smtplib.SMTP, directory: Path) -> None:
    for number in range(5):
        smtp.send_message(letter(f"number {number}"))
        assert len(list((directory / "new").iterdir())) == number + 1
        assert list((directory / "tmp").iterdir()) == []


def test_the_mailbox_is_closed_to_other_users(smtp: smtplib.SMTP, directory: Path) -> None:
    smtp.send_message(letter())
    assert directory.stat().st_mode & 0o077 == 0
    assert next((directory / "new").iterdir()).stat().st_mode & 0o077 == 0


def test_a_mail_that_cannot_be_kept_is_refused_for_now(smtp: smtplib.SMTP, directory: Path) -> None:
    (directory / "tmp").rmdir()
    with pytest.raises(smtplib.SMTPDataError) as refused:
        smtp.send_message(letter())
    assert refused.value.smtp_code == 451


def test_pages_are_newest_first_and_follow_each_other(directory: Path) -> None:
    for number in range(7):
        keep(directory, f"Subject: {number}\n\nbody\n".encode())
    first = list_messages(directory, limit=3)
    second = list_messages(directory, limit=3, before=first[-1].key)
    third = list_messages(directory, limit=3, before=second[-1].key)
    assert [mail.subject for mail in first + second + third] == ["6", "5", "4", "3", "2", "1", "0"]


def test_a_mailbox_that_does_not_exist_yet_is_empty(directory: Path) -> None:
    assert list_messages(directory, limit=10) == []


def test_listing_does_not_read_bodies(directory: Path) -> None:
    keep(directory, b"Subject: s\n\n")
    with next((directory / "new").iterdir()).open("r+b") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    try:
        assert [mail.subject for mail in list_messages(directory, limit=10)] == ["s"]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_page_of_two_thousand_mails_is_listed_within_a_second(directory: Path) -> None:
    (directory / "new").mkdir(parents=True)
    for number in range(2_000):
        name = f"{1_700_000_000 + number}.M{number}P1Q{number}.localhost"
        (directory / "new" / name).write_bytes(b"Subject: s\n\n" + b"x" * 10_000)
    began = time.process_time()  # what it computes: on a busy machine it waits besides
    assert len(list_messages(directory, limit=50)) == 50
    assert len(list_messages(directory, limit=2_000)) == 2_000
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", "../outside", "new/1.M1P1Q1.host", "/etc/passwd", "1.M1P1Q1.host/../../outside", "1.M1P1Q1..",
     "1.M1P1Q1.host\n", "1.M1P1Q1.host\0", "1.M1P1Q1.absent"],
)  # fmt: skip
def test_a_key_that_is_no_key_or_no_mail_is_refused(directory: Path, key: str) -> None:
    keep(directory, b"Subject: s\n\nbody\n")
    (directory.parent / "outside").write_text("secret")
    with pytest.raises(UnknownMailError):
        read_message(directory, key)


def test_an_envelope_header_written_by_the_sender_is_not_believed(directory: Path) -> None:
    keep(directory, b"Subject: s\nX-Envelope-To: forged@example.org\n\nbody\n")
    [summary] = list_messages(directory, limit=1)
    assert summary.envelope_to == ("b@example.org",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"Subject: \xff\xfe\n\n\xff",
        b"Subject: =?utf-9?b?!!!?=\nContent-Type: text/plain; charset=klingon\n\nbody",
        b'Content-Type: multipart/mixed; boundary=""\n\nbody',
        b"Content-Type: ;;;=\nFrom: <<>>@@\nTo: :;\nMessage-ID: <\n\nbody",
        b"To: " + b"<" * 5_000 + b"\n\nbody",
        b"From: =?utf-8?q?=00?= <@>\nContent-Transfer-Encoding: base64\n\n%%%",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%fe\n\nbody",
    ],
)
def test_a_malformed_mail_is_listed_and_read_all_the_same(directory: Path, raw: bytes) -> None:
    keep(directory, raw)
    [summary] = list_messages(directory, limit=1)
    mail = read_message(directory, summary.key)
    assert mail.summary == summary
    repr(mail).encode()


def test_a_taken_port_is_reported_in_one_line(smtp: smtplib.SMTP, directory: Path) -> None:
    assert smtp.sock is not None
    port = smtp.sock.getpeername()[1]
    command = [sys.executable, "-m", "dispatchlog.local.mailbox", "--port", str(port), "--dir", str(directory)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith(f"mailbox: cannot receive on 127.0.0.1:{port}")
    assert len(second.stderr.splitlines()) == 1
