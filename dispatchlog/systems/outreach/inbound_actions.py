"""What is done about a patient's message once it is understood, by a rule or by a person. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_all
from dispatchlog.row_content import as_stored
from dispatchlog.systems.outreach import appointments, consents
from dispatchlog.systems.outreach.contacts import address_hash
from dispatchlog.systems.outreach.folding import fold
from dispatchlog.systems.outreach.inbound_context import Context
from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.reply_texts import answer
from dispatchlog.systems.outreach.states import Channel, Intent

# What came of a message. Those of WAITS are for a person.
CONFIRMED, CONFIRMED_BEFORE, RESCHEDULE = "confirmed", "confirmed_before", "reschedule_requested"
STOPPED, STOPPED_BEFORE, STARTED, HELPED = "stopped", "stopped_before", "started", "helped"
UNSURE, TOO_LATE, WHO, NOTHING_ASKED, NOT_STOPPED = (
    "unsure",
    "too_late",
    "several_patients",
    "nothing_asked",
    "not_stopped",
)
UNKNOWN_SENDER = "unknown_sender"
# Whoever asked for messages has ended them since.
STOPPED_SINCE = "stopped_since"
# Whoever asks for help again after it was told may be a machine that answers every text.
HELPED_BEFORE = "helped_before"
HELP_AGAIN_AFTER = timedelta(hours=12)
WAITS = frozenset({HELPED_BEFORE, UNSURE, TOO_LATE, WHO, NOTHING_ASKED, NOT_STOPPED, UNKNOWN_SENDER})

# Twilio answers these by itself, where they are the whole text (its page on default opt-out keywords).
_ANSWERED_BY_TWILIO = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"}
    | {"start", "yes", "unstop", "help", "info"}
)
_ANSWERED = """
UPDATE comm_jobs SET answered_at = coalesce(answered_at, now()), replied_at = coalesce(replied_at, now())
WHERE id = %s OR (appointment_id = %s AND channel = %s
    AND recipient_hash = (SELECT recipient_hash FROM comm_jobs WHERE id = %s)
    AND asks = 'confirmation' AND answered_at IS NULL AND sent_at IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Received:
    """A stored message, as acting on it needs it; `address` is normalised, `provider_opt_out` the provider's own word."""

    id: UUID
    channel: Channel
    address: str
    body: str
    provider: str
    provider_opt_out: str
    trace_id: str
    created_at: datetime


def received(row: Mapping[str, Any], *, provider_opt_out: str) -> Received:
    """A row of `comm_inbound`."""
    return Received(
        row["id"],
        Channel(row["channel"]),
        row["from_address"],
        row["body"],
        row["provider"],
        provider_opt_out,
        row["trace_id"],
        row["created_at"],
    )


def act(intent: Intent, message: Received, context: Context, *, language: str, asker: Asker) -> str:
    """Do what follows from an intent that is certain; what came of it. Nothing is done where the answer is one of WAITS."""
    if intent in _ABOUT_MESSAGES:
        return _ABOUT_MESSAGES[intent](message, context, language=language, asker=asker)
    if intent is Intent.OTHER:
        return UNSURE
    if context.asked is None:
        return WHO if context.asking else NOTHING_ASKED
    return about_appointment(intent, message.id, context.asked, asker=asker)


def about_appointment(intent: Intent, inbound_id: UUID, job: Mapping[str, Any], *, asker: Asker) -> str:
    """Confirm the appointment that a message asked about, or open a request for another time."""
    appointment_id = job["appointment_id"]
    # Who reports the appointment and who answers about it take turns, and it may have begun, or been moved, while this one
    # waited.
    now = appointments.locked(appointment_id)
    if now["status"] not in appointments.AHEAD or appointments.was_moved(job, now):
        return TOO_LATE
    if intent is Intent.RESCHEDULE:
        appointments.ask_for_another_time(appointment_id, inbound_id=inbound_id, asker=asker)
        done = RESCHEDULE
    elif appointments.confirm(appointment_id, asker=asker):
        done = CONFIRMED
    elif now["status"] == appointments.CONFIRMED:
        done = CONFIRMED_BEFORE
    else:
        return TOO_LATE
    execute(_ANSWERED, (job["id"], appointment_id, job["channel"], job["id"]))
    return done


def _stop(message: Received, context: Context, *, language: str, asker: Asker) -> str:
    new = consents.stop(
        message.channel,
        message.address,
        source="carrier" if message.provider_opt_out == "STOP" else "reply",
        asker=asker,
        patient_id=context.patient_id,
        evidence={"inbound": str(message.id), "language": language},
        said_at=message.created_at,
    )
    if not new:
        return STOPPED_BEFORE
    _answer(Intent.STOP, message, context, language=language, asker=asker)
    return STOPPED


def _start(message: Received, context: Context, *, language: str, asker: Asker) -> str:
    lifted = consents.start(
        message.channel,
        message.address,
        source="reply",
        asker=asker,
        patient_id=context.patient_id,
        evidence={"inbound": str(message.id), "language": language},
        said_at=message.created_at,
    )
    if not lifted:
        stopped = consents.is_stopped(message.channel, address_hash(message.channel, message.address))
        return STOPPED_SINCE if stopped else NOT_STOPPED
    _answer(Intent.START, message, context, language=language, asker=asker)
    return STARTED


def _help(message: Received, context: Context, *, language: str, asker: Asker) -> str:
    if not context.patients:
        return UNKNOWN_SENDER
    if _was_helped(message):
        return HELPED_BEFORE
    _answer(Intent.HELP, message, context, language=language, asker=asker)
    return HELPED


def _was_helped(message: Received) -> bool:
    return bool(
        fetch_all(
            "SELECT FROM comm_inbound WHERE channel = %s AND from_address = ANY (%s) AND created_at > now() - %s"
            " AND action = %s AND id <> %s LIMIT 1",
            (str(message.channel), as_stored(message.address), HELP_AGAIN_AFTER, HELPED, message.id),
        )
    )


def _answer(intent: Intent, message: Received, context: Context, *, language: str, asker: Asker) -> None:
    """One text in answer, unless the provider has sent its own."""
    patient_id = context.patient_id or next(iter(context.patients), None)
    if patient_id is None or is_answered_by_provider(message):
        return
    answer(
        intent,
        message.channel,
        message.address,
        patient_id=patient_id,
        inbound_id=message.id,
        language=language or (context.newest["language"] if context.newest else ""),
        asker=asker,
        trace_id=message.trace_id,
    )


def is_answered_by_provider(message: Received) -> bool:
    """Whether the provider answers this by itself: Twilio does, to its words as a whole text message."""
    if message.provider_opt_out:
        return True
    return (
        message.provider == "twilio"
        and message.channel is Channel.SMS
        and fold(message.body).replace(" ", "") in _ANSWERED_BY_TWILIO
    )


_ABOUT_MESSAGES: Mapping[Intent, Callable[..., str]] = MappingProxyType(
    {Intent.STOP: _stop, Intent.START: _start, Intent.HELP: _help}
)
