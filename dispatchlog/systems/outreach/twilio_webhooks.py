"""What Twilio's webhooks say, as reports and messages. Pure; whether they are Twilio's was asked before."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from dispatchlog.systems.outreach.events import Report
from dispatchlog.systems.outreach.inbound import Message
from dispatchlog.systems.outreach.provider_words import TWILIO, heard_of, kept, text
from dispatchlog.systems.outreach.states import Channel

_WHATSAPP = "whatsapp:"


def read_status(fields: Mapping[str, str], job_id: UUID | None) -> Report:
    """A status callback. It carries no instant, and never says the same status of a message for two reasons.

    Raises:
        WebhookMalformed: MessageSid or MessageStatus is missing.
    """
    message_id = text(fields, "MessageSid") or text(fields, "SmsSid", needed=True)
    status = text(fields, "MessageStatus") or text(fields, "SmsStatus", needed=True)
    return Report(
        provider=TWILIO,
        event_key=f"{message_id}:{status}",
        raw_status=status,
        heard=heard_of(TWILIO, status.lower()),
        provider_message_id=message_id,
        job_id=job_id,
        code=text(fields, "ErrorCode"),
        body=kept(TWILIO, fields),
    )


def read_inbound(fields: Mapping[str, str]) -> Message:
    """What somebody wrote by SMS or WhatsApp. Media come as a note of their number: nobody looks at them here.

    Raises:
        WebhookMalformed: MessageSid, From or To is missing.
    """
    message_id = text(fields, "MessageSid") or text(fields, "SmsSid", needed=True)
    sender = text(fields, "From", needed=True)
    body = text(fields, "Body")
    media = text(fields, "NumMedia")
    if not body and media not in ("", "0"):
        body = "[media]"
    return Message(
        provider=TWILIO,
        event_key=message_id,
        channel=Channel.WHATSAPP if sender.startswith(_WHATSAPP) else Channel.SMS,
        from_address=sender.removeprefix(_WHATSAPP),
        to_address=text(fields, "To", needed=True).removeprefix(_WHATSAPP),
        body=body,
        provider_message_id=message_id,
        opt_out=text(fields, "OptOutType"),
    )
