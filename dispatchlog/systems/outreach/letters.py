"""A stored text as its provider takes it: the same bytes each time, with the way out that the law asks for."""

from __future__ import annotations

from email.message import EmailMessage

from dispatchlog.engine.database import fetch_one
from dispatchlog.engine.lanes import Letter, Row
from dispatchlog.gateways.outreach_letters import Parts, compose_sendgrid, compose_twilio, compose_whatsapp
from dispatchlog.row_content import as_stored
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.mail import compose_mail, envelope_address, recipient_address, render_mail

_TEMPLATE = "patient_message"
_RIGHT_TO_LEFT = frozenset({"ar"})
_WAY_OUT = {
    "en": "Unsubscribe, or choose how we reach you",
    "es": "Darse de baja o elegir cómo le contactamos",
    "fr": "Se désabonner ou choisir comment nous vous joignons",
    "ar": "إلغاء الاشتراك أو اختيار طريقة التواصل معك",
    "pt": "Cancelar a inscrição ou escolher como falamos com você",
    "hi": "सदस्यता समाप्त करें या चुनें कि हम आपसे कैसे संपर्क करें",
    "yo": "Fagi lé ìfiránṣẹ́ yìí, tàbí yan bí a ṣe ń kàn sí ọ",
}
# Free text may go to whoever wrote within 24 hours (business messaging policy of WhatsApp); this much before they end.
_CONVERSATION = """
SELECT EXISTS (SELECT FROM comm_inbound WHERE patient_id = %s AND channel = 'whatsapp' AND from_address = ANY (%s)
    AND coalesce(sent_at, created_at) > now() - interval '23 hours 50 minutes')
"""


def smtp_letter(row: Row) -> Letter:
    """The mail as SMTP takes it: text and HTML, and the one-click way out of RFC 8058 in its headers.

    Raises:
        CannotCompose: NO_RECIPIENT, BAD_RECIPIENT, BAD_SENDER, BAD_HEADER, BAD_TEMPLATE.
    """
    settings = get_settings()
    sender = _sender(settings)
    address, envelope_from = recipient_address(row["recipient"]), envelope_address(sender)
    body = compose_mail(
        _TEMPLATE,
        _context(row),
        recipient=address,
        sender=sender,
        reply_to=settings.mail_reply_to,
        message_id=f"{row['idempotency_key']}@{envelope_from.rpartition('@')[2]}",
        date=row["claimed_at"],
        template_dir=settings.template_dir,
        trace_id=row["trace_id"],
        headers=_one_click(row["preferences_link"]),
    )
    return Letter(address, body, "message/rfc822", {"envelope_from": envelope_from})


def sendgrid_letter(row: Row) -> Letter:
    """The same mail as SendGrid takes it. Raises CannotCompose: as `compose_sendgrid`, BAD_TEMPLATE."""
    settings = get_settings()
    text = render_mail(_TEMPLATE, {**_context(row), "contact_address": ""}, settings.template_dir)
    return _letter(
        compose_sendgrid(
            {**row, "body": text.plain},
            sender=_sender(settings),
            html=text.html,
            headers=_one_click(row["preferences_link"]),
            reply_to=settings.mail_reply_to,
        )
    )


def twilio_letter(row: Row) -> Letter:
    """An SMS, or a WhatsApp message by Twilio. Raises CannotCompose: as `compose_twilio`."""
    settings = get_settings()
    whatsapp = row["channel"] == "whatsapp"
    return _letter(
        compose_twilio(
            row,
            sender=settings.twilio_whatsapp_from if whatsapp else settings.twilio_from,
            status_url=settings.effective_webhook_url,
            in_conversation=whatsapp and _in_conversation(row),
        )
    )


def whatsapp_letter(row: Row) -> Letter:
    """A message of the Cloud API. Raises CannotCompose: as `compose_whatsapp`."""
    return _letter(compose_whatsapp(row, in_conversation=_in_conversation(row)))


def readable_letter(row: Row) -> Letter:
    """The stored text as people read it, whatever form its provider takes: a mail, or its words alone."""
    if row["channel"] != "email":
        return Letter(row["recipient"], str(row["body"]).encode(), "text/plain")
    mail = EmailMessage()
    mail["Subject"] = " ".join((row["subject"] or "").split())
    mail.set_content(str(row["body"]))
    return Letter(row["recipient"], mail.as_bytes(), "message/rfc822")


def _letter(parts: Parts) -> Letter:
    return Letter(parts.recipient, parts.body, parts.content_type, parts.headers)


def _sender(settings: Settings) -> str:
    return settings.outreach_mail_from or settings.mail_from


def _context(row: Row) -> dict[str, str]:
    main = str(row["language"]).partition("-")[0]
    return {
        "subject": row["subject"] or "",
        "body": row["body"],
        "language": row["language"],
        "direction": "rtl" if main in _RIGHT_TO_LEFT else "ltr",
        "preferences_link": row["preferences_link"],
        "way_out": _WAY_OUT.get(main, _WAY_OUT["en"]),
    }


def _one_click(preferences_link: str) -> dict[str, str]:
    """The two headers of RFC 8058 sections 3.1 and 8; none where there is no link."""
    if not preferences_link:
        return {}
    return {
        "List-Unsubscribe": f"<{preferences_link}/one-click>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def _in_conversation(row: Row) -> bool:
    return bool(fetch_one(_CONVERSATION, (row["patient_id"], as_stored(row["recipient"])))[0])
