"""Owns composing e-mails as fixed, 7-bit clean bytes; it never sends, and writes no health data.

The same input gives the same bytes: date, Message-ID and the MIME boundary follow from the arguments, so what is stored
before the first send can be composed again and compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dispatchlog.engine.errors import CannotCompose, NaiveInstant

TRACE_HEADER = "X-Trace-Id"
_TEMPLATES = Path(__file__).parent / "templates"
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_DEVELOPMENT_DOMAIN = re.compile(r"(^|\.)(?:localhost|test|local)$", re.IGNORECASE)
# strftime("%B") obeys the process's locale, and the bytes must not.
_MONTHS = "January,February,March,April,May,June,July,August,September,October,November,December".split(",")  # noqa: SIM905  (fits one line)


class _Policy(EmailPolicy):
    """Whoever reads List-Unsubscribe looks for `<https://...>`; the library would encode an address longer than a line."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name == "List-Unsubscribe":
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _Policy(linesep="\r\n", cte_type="7bit")


@dataclass(frozen=True, slots=True)
class MailText:
    """The three rendered templates."""

    subject: str
    plain: str
    html: str


def compose_health_information(  # noqa: PLR0913  (a mail has this many parts, all keyword-only)
    *,
    recipient: str,
    sender: str,
    message_id: str,
    date: datetime,
    practitioner_name: str,
    order_number: str,
    form_link: str,
    expires_at: datetime,
    reply_to: str = "",
    kit_id_masked: str = "",
    template_dir: Path | None = None,
    trace_id: str = "",
) -> bytes:
    """The complete RFC 5322 message: multipart/alternative, text and HTML, CRLF, 7-bit clean.

    Args:
        recipient: one bare address.
        sender: `Name <address>` or a bare address; so is `reply_to`, whose owner answers questions.
        message_id: ours, without the angle brackets; the receipt of the send.
        date: the Date header, aware.
        practitioner_name, order_number, kit_id_masked: shown to the recipient; no health data.
        form_link: the signed http(s) link.
        expires_at: when it ends, aware; shown as a UTC date.
        template_dir: templates of the same names here win over the built-in ones.
        trace_id: goes along in a header, for whoever looks for it in the mail server's log.

    Raises:
        CannotCompose: NO_RECIPIENT, BAD_RECIPIENT, BAD_SENDER, BAD_HEADER (a line break or control character where a
            header value belongs), BAD_LINK, BAD_TEMPLATE.
        NaiveInstant: `date` or `expires_at` has no time zone.
    """
    if expires_at.tzinfo is None:
        raise NaiveInstant("A form link's expires_at must be aware.")
    _refuse_control_characters(form_link=form_link)
    context = {
        "practitioner_name": practitioner_name,
        "order_number": order_number,
        "kit_id_masked": kit_id_masked,
        "form_link": _http_link(form_link),
        "expires_on": _day(expires_at),
    }
    return compose_mail(
        "health_information",
        context,
        recipient=recipient,
        sender=sender,
        message_id=message_id,
        date=date,
        reply_to=reply_to,
        template_dir=template_dir,
        trace_id=trace_id,
    )


def compose_mail(  # noqa: PLR0913  (as above)
    name: str,
    context: Mapping[str, str],
    *,
    recipient: str,
    sender: str,
    message_id: str,
    date: datetime,
    reply_to: str = "",
    template_dir: Path | None = None,
    headers: Mapping[str, str] | None = None,
    trace_id: str = "",
) -> bytes:
    """The complete RFC 5322 message of the templates `name`: multipart/alternative, text and HTML, CRLF, 7-bit clean.

    Their texts get `context`, and `contact_address`: the bare address of `reply_to`. `headers` are further ones. Else as
    `compose_health_information`.

    Raises:
        CannotCompose, NaiveInstant: as `compose_health_information`.
    """
    if date.tzinfo is None:
        raise NaiveInstant("A mail's date must be aware.")
    _refuse_control_characters(recipient=recipient, sender=sender, reply_to=reply_to, message_id=message_id)
    _refuse_control_characters(**(headers or {}), trace_id=trace_id)
    if not _MESSAGE_ID.fullmatch(message_id):
        raise CannotCompose("The Message-ID is malformed.", code="BAD_HEADER")
    answer_to = _mailbox(reply_to, what="reply-to") if reply_to else None
    text = render_mail(name, {**context, "contact_address": answer_to.addr_spec if answer_to else ""}, template_dir)
    message = EmailMessage(policy=_POLICY)
    message["From"] = _mailbox(sender, what="sender")
    message["To"] = recipient_address(recipient)
    if answer_to is not None:
        message["Reply-To"] = answer_to
    message["Subject"] = text.subject
    message["Date"] = format_datetime(date.astimezone(UTC))
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: holiday notes must not answer it
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange ([MS-OXCMAIL] section 2.2.3.2.14)
    for header, value in {**(headers or {}), **({TRACE_HEADER: trace_id} if trace_id else {})}.items():
        message[header] = value
    message.set_content(text.plain, cte="quoted-printable")
    message.add_alternative(text.html, subtype="html", cte="quoted-printable")
    message.set_boundary("=_" + hashlib.sha256(message_id.encode()).hexdigest()[:32])
    return message.as_bytes()


def recipient_address(address: str) -> str:
    """The address in ASCII (an international domain in its xn-- form).

    Domains of a development machine (`.test`, `.localhost`) pass; whether a domain exists is for the mail server.

    Raises:
        CannotCompose: NO_RECIPIENT or BAD_RECIPIENT; the address is not repeated.
    """
    if not address.strip():
        raise CannotCompose("There is no recipient address.", code="NO_RECIPIENT")
    return _ascii_address(address, what="recipient")


def envelope_address(mailbox: str) -> str:
    """The bare address of `Name <address>`, for SMTP's MAIL FROM. Raises CannotCompose: BAD_SENDER."""
    return _mailbox(mailbox, what="sender").addr_spec


def mask_kit_id(kit_id: str) -> str:
    """Enough of a kit id to tell two boxes apart, not enough to use it: its last four characters."""
    return f"…{kit_id[-4:]}" if len(kit_id) > 4 else "…"


def _mailbox(mailbox: str, *, what: str) -> Address:
    name, address = parseaddr(mailbox)
    return Address(name, addr_spec=_ascii_address(address, what=what))


def _ascii_address(address: str, *, what: str) -> str:
    code = "BAD_RECIPIENT" if what == "recipient" else "BAD_SENDER"
    local, _, domain = address.rpartition("@")
    # A development machine's domains are no real ones (RFC 6761, RFC 6762), so a real one stands in for the check.
    stand_in = _DEVELOPMENT_DOMAIN.sub(r"\1example.com", domain)
    try:
        found = validate_email(f"{local}@{stand_in}", check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise CannotCompose(f"The {what} address is not valid.", code=code) from error
    return f"{found.local_part}@{found.ascii_domain if stand_in == domain else domain}"


def _http_link(link: str) -> str:
    parts = urlsplit(link)
    if parts.scheme not in ("http", "https") or not parts.hostname or not link.isascii() or " " in link:
        raise CannotCompose("The form link is not an http(s) URL; check DISPATCHLOG_FORM_URL.", code="BAD_LINK")
    return link


def _refuse_control_characters(**values: str) -> None:
    """A line break in a header value would let its author write headers of their own (RFC 5322 section 2.2)."""
    for name, value in values.items():
        if _CONTROL.search(value):
            raise CannotCompose(f"The mail's {name} holds a line break or control character.", code="BAD_HEADER")


def _day(instant: datetime) -> str:
    day = instant.astimezone(UTC)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def render_mail(name: str, context: Mapping[str, str], template_dir: Path | None) -> MailText:
    """The texts of the templates `name`.

    Raises:
        CannotCompose: BAD_TEMPLATE, BAD_HEADER.
    """
    environment = _environment(template_dir)
    try:
        subject, plain, html = (
            environment.get_template(f"{name}.{part}.j2").render(context) for part in ("subject", "txt", "html")
        )
    except (TemplateError, UnicodeDecodeError) as error:
        raise CannotCompose(f"The mail template cannot be rendered: {error}", code="BAD_TEMPLATE") from error
    subject = subject.strip()
    _refuse_control_characters(subject=subject)
    return MailText(subject, plain, html)


@lru_cache(maxsize=8)
def _environment(template_dir: Path | None) -> ImmutableSandboxedEnvironment:
    """Templates come from an operator's folder, so they run in a sandbox and see plain strings only."""
    folders = [_TEMPLATES] if template_dir is None else [template_dir, _TEMPLATES]
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folders),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
