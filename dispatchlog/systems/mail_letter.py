"""A dispatch's mail as it is stored and sent: from the configured sender, its Message-ID the dispatch's key."""

from __future__ import annotations

from collections.abc import Mapping

from dispatchlog.engine.lanes import Letter, Row
from dispatchlog.settings import get_settings
from dispatchlog.systems.mail import compose_mail, envelope_address, recipient_address


def mail_letter(
    template: str,
    context: Mapping[str, str],
    row: Row,
    *,
    recipient: str | None,
    headers: Mapping[str, str] | None = None,
) -> Letter:
    """The letter of a claimed row; `headers` are the gateway's own.

    Raises:
        CannotCompose: as `compose_mail`; NO_RECIPIENT where there is none.
    """
    settings = get_settings()
    address, sender = recipient_address(recipient or ""), envelope_address(settings.mail_from)
    body = compose_mail(
        template,
        context,
        recipient=address,
        sender=settings.mail_from,
        reply_to=settings.mail_reply_to,
        message_id=f"{row['idempotency_key']}@{sender.rpartition('@')[2]}",
        date=row["claimed_at"],
        template_dir=settings.template_dir,
        trace_id=row["trace_id"],
    )
    return Letter(address, body, "message/rfc822", {"envelope_from": sender, **(headers or {})})
