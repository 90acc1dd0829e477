"""The JSON documents in which any provider's news of messages and answers may be told. Owns their shape; never stores.

Names and forms are those of the outreach specification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from dispatchlog.comm_documents import SnakeDocument
from dispatchlog.order_documents import ONE_LINE, Instant
from dispatchlog.systems.outreach.events import Report
from dispatchlog.systems.outreach.inbound import LONGEST_BODY, Message
from dispatchlog.systems.outreach.provider_words import SENDGRID, TWILIO, WHATSAPP, heard_of, job_named, kept, text
from dispatchlog.systems.outreach.sendgrid_webhooks import code_of, message_id
from dispatchlog.systems.outreach.states import Channel, Heard

_WHATSAPP_ADDRESS = "whatsapp:"


def _one_of(*known: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError("UNKNOWN_VALUE", f"is one of {', '.join(known)}")
        return value

    return check


def _without_nul(value: str) -> str:
    if "\x00" in value:
        raise PydanticCustomError("CONTROL_CHARACTER", "must not hold NUL")
    return value


MessageId = Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
Number = Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]


class StatusDocument(SnakeDocument):
    """What a provider tells of a message, in its own word. `event_data` is what else it says; our job's id may stand there
    as `job_id`, and why it did not arrive under the provider's own names."""

    provider: Annotated[str, Field(max_length=16), AfterValidator(_one_of(SENDGRID, TWILIO, WHATSAPP))]
    message_id: MessageId
    status: Annotated[str, Field(min_length=1, max_length=64), ONE_LINE]
    timestamp: Instant
    event_data: Annotated[dict[str, Any], Field(default_factory=dict)]

    def to_report(self) -> Report:
        """Known once by message, status and instant."""
        word, said = self.status.lower(), self.event_data
        heard = heard_of(self.provider, word)
        if heard is Heard.OPENED and said.get("sg_machine_open"):
            heard = None
        message = message_id(self.message_id) if self.provider == SENDGRID else self.message_id
        return Report(
            provider=self.provider,
            event_key=f"{message}:{word}:{self.timestamp.timestamp():.6f}",
            raw_status=word,
            heard=heard,
            provider_message_id=message,
            job_id=job_named(said.get("job_id") or said.get("job") or said.get("biz_opaque_callback_data")),
            code=self._code(word),
            occurred_at=self.timestamp,
            body=kept(self.provider, said),
        )

    def _code(self, word: str) -> str:
        said = self.event_data
        if self.provider == SENDGRID:
            return code_of(word, said)
        if self.provider == TWILIO:
            return text(said, "ErrorCode") or text(said, "error_code")
        errors = said.get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else said
        return text(first, "code") or text(said, "error_code")


class InboundDocument(SnakeDocument):
    """What somebody wrote to us by a provider of texts."""

    provider: Annotated[str, Field(max_length=16), AfterValidator(_one_of(TWILIO, WHATSAPP))]
    sender: Annotated[Number, Field(alias="from")]
    to: Number
    body: Annotated[str, Field(max_length=LONGEST_BODY), AfterValidator(_without_nul)]
    timestamp: Instant
    message_id: MessageId

    def to_message(self) -> Message:
        """Known once by the provider's id of it."""
        by_whatsapp = self.provider == WHATSAPP or self.sender.startswith(_WHATSAPP_ADDRESS)
        return Message(
            provider=self.provider,
            event_key=self.message_id,
            channel=Channel.WHATSAPP if by_whatsapp else Channel.SMS,
            from_address=self.sender.removeprefix(_WHATSAPP_ADDRESS),
            to_address=self.to.removeprefix(_WHATSAPP_ADDRESS),
            body=self.body,
            provider_message_id=self.message_id,
            sent_at=self.timestamp,
        )
