"""Messages to patients in plain words: how one stands, why it goes as it goes, who said what. Owns the words; no SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.wording import State
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS, Channel, Purpose

LEVELS = MappingProxyType(
    {
        "patient": "said by the patient",
        "core": "from the core platform",
        "provider": "said for this provider",
        "organization": "said by the clinic",
        "global": "as for everybody",
    }
)
# Who gave or took a consent, and how.
SOURCES = MappingProxyType(
    {
        "reply": "by an answer",
        "carrier": "told by the carrier",
        "unsubscribe": "by one click in an e-mail",
        "preference_page": "on the preference page",
        "patient": "on the preference page",
        "staff": "recorded by staff",
        "spam_report": "reported as spam",
        "service": "told by a service",
    }
)
APPOINTMENTS = MappingProxyType(
    {
        "scheduled": ("Not confirmed yet", "clock", "wait"),
        "confirmed": ("Confirmed", "check", "good"),
        "reschedule_requested": ("Another time is wanted", "retry", "doubt"),
        "cancelled": ("Cancelled", "ban", "off"),
        "completed": ("Took place", "check", "off"),
        "no_show": ("Missed", "x", "bad"),
    }
)
INTENTS = MappingProxyType(
    {
        "confirm": "Confirms",
        "reschedule": "Wants another time",
        "stop": "Wants no more messages",
        "start": "Wants messages again",
        "help": "Asks for help",
        "other": "Something else",
    }
)
FIELDS = MappingProxyType(
    {
        "timezone": "time zone",
        "language": "language",
        "quiet_start": "beginning of the quiet hours",
        "quiet_end": "end of the quiet hours",
        "work_start": "beginning of the working hours",
        "work_end": "end of the working hours",
        "best_hour": "best hour",
        "allow_email": "e-mail",
        "allow_sms": "SMS",
        "allow_whatsapp": "WhatsApp",
        "marketing_opt_in_email": "health education by e-mail",
        "marketing_opt_in_sms": "health education by SMS",
        "marketing_opt_in_whatsapp": "health education by WhatsApp",
        "email_address": "e-mail address",
        "sms_number": "number for SMS",
        "whatsapp_number": "number for WhatsApp",
    }
)
AUDIT = MappingProxyType(
    {
        "send": ("A message was asked for", "send", "off"),
        "receive": ("An answer came in", "mail", "off"),
        "opt_out": ("No more messages", "ban", "bad"),
        "opt_in": ("Messages are wanted", "check", "good"),
        "preference_change": ("Preferences changed", "edit", "off"),
        "access": ("Looked at this", "eye", "off"),
    }
)
ANSWER_TO = "Answer to"
_ANSWERS = MappingProxyType(
    {
        "stop": "This confirms that no more messages follow.",
        "start": "This confirms that messages follow again.",
        "help": "This says whom to call.",
    }
)
_HEARD = (
    ("sent_at", "Sent"),
    ("delivered_at", "Delivered"),
    ("opened_at", "Opened"),
    ("clicked_at", "Link opened"),
    ("replied_at", "Answered"),
    ("bounced_at", "Came back"),
    ("unsubscribed_at", "Unsubscribed"),
)
# The furthest first, as the API has its one word.
_FURTHEST = (
    ("replied_at", State("replied", "Answered", "mail", "good", "The patient has answered.")),
    ("clicked_at", State("clicked", "Link opened", "check", "good", "The patient opened a link in it.")),
    ("opened_at", State("opened", "Opened", "eye", "good", "The patient has opened it.")),
    ("bounced_at", State("bounced", "Came back", "x", "bad", "The provider could not deliver it.")),
    ("delivered_at", State("delivered", "Delivered", "check", "good", "It has arrived.")),
)
_WAITING = MappingProxyType(
    {
        "PENDING": State("queued", "Planned", "clock", "wait", "It leaves by itself when its time has come."),
        "QUEUED": State("processing", "Sending", "send", "busy", "A worker has taken it and is sending it now."),
        "CANCELLED": State("cancelled", "Not sent", "ban", "off", "It will never be sent."),
        "FAILED": State("failed", "Failed", "x", "bad", "It was not sent and will not be tried again by itself."),
        "SENT": State("sent", "Sent", "check", "busy", "The provider has it; nothing was heard of it since."),
    }
)
_DOUBT = State("in_doubt", "In doubt", "help", "doubt", "It may or may not have been sent. A person has to decide.")


# A time of day is stored with seconds that nobody chose.
_SECONDS = re.compile(r"(?<=^\d\d:\d\d):00$")


@dataclass(frozen=True, slots=True)
class Told:
    """A stored decision in sentences: what was decided, then why, then why nothing else."""

    decided: str
    because: Sequence[str] = ()
    instead_of: Sequence[str] = ()


def message_state(row: Row) -> State:
    """How a message stands: its sending, and once it is sent the furthest that was heard of it."""
    if row["status"] == "FAILED" and row["in_doubt"]:
        return _DOUBT
    if row["status"] != "SENT":
        return _WAITING[row["status"]]
    return next((state for column, state in _FURTHEST if row[column] is not None), _WAITING["SENT"])


def heard(row: Row) -> list[tuple[str, datetime]]:
    """What was heard of a message, in the order of time."""
    known = [(words, row[column]) for column, words in _HEARD if row[column] is not None]
    return sorted(known, key=lambda one: one[1])


def purpose_words(purpose: str) -> str:
    """Why a patient is written to, as a title."""
    return _sentence(PURPOSE_WORDS[Purpose(purpose)])


def channel_words(channel: str) -> str:
    """By what a patient is reached."""
    return CHANNEL_WORDS[Channel(channel)]


def message_title(row: Row) -> str:
    """What a message is called: `Appointment reminder by SMS`, `Answer to STOP by SMS`."""
    answers = row["decision"].get("answers")
    what = f"{ANSWER_TO} {answers.upper()}" if answers else purpose_words(row["purpose"])
    return f"{what} by {channel_words(row['channel'])}"


def told(decision: Mapping[str, Any]) -> Told | None:
    """The decision that is stored with a message; None where none is."""
    if answers := decision.get("answers"):
        return Told(
            f"The patient wrote {answers.upper()}. {_ANSWERS[answers]} It is sent by itself, once and at any hour."
        )
    considered = (decision.get("channel") or {}).get("considered") or []
    when = decision.get("time") or {}
    refused = decision.get("refused")
    chosen = [one["words"] for one in considered if one.get("chosen")]
    others = [one["words"] for one in considered if not one.get("chosen")]
    if not considered and not when and not refused:
        return None
    if refused:
        return Told(_sentence(refused["words"]), others)
    reasons = [reason["words"] for reason in when.get("reasons") or ()]
    reasons += [f"{one['words']} Its chance was {one['propensity']:.0%}." for one in decision.get("optimiser") or ()]
    return Told(" ".join([*chosen, _planned(when)]).strip(), reasons, others)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _planned(when: Mapping[str, Any]) -> str:
    if not when.get("local"):
        return ""
    at = datetime.fromisoformat(when["local"])
    return f"At {at:%H:%M} on {at.day} {at:%b %Y} in {when.get('zone') or 'UTC'}."


def why_not(row: Row) -> str:
    """Why a message was not sent, where it was decided after it was planned."""
    if row["status"] not in ("CANCELLED", "FAILED") or (row["decision"].get("refused") or {}):
        return ""
    return _sentence(row["last_error"] or "")


def clock(at: time) -> str:
    """`8 am`, `10:30 pm`."""
    words = f"{at.hour % 12 or 12}{f':{at.minute:02}' if at.minute else ''}"
    return f"{words} {'pm' if at.hour >= 12 else 'am'}"


def clock_there(zone: str, now: datetime) -> str:
    """What a clock on the patient's wall shows."""
    return f"{now.astimezone(ZoneInfo(zone)):%H:%M, %a}"


def field_words(names: Sequence[str]) -> str:
    """Columns of preferences, as a person calls them."""
    return ", ".join(FIELDS.get(name, name.replace("_", " ")) for name in names)


def change_words(name: str, change: Mapping[str, Any]) -> str:
    """What somebody chose, before and after; addresses are kept without their values."""
    words = field_words([name])
    if "to" not in change:
        return f"{words} changed"
    return f"{words}: {_chosen(change['from'])} → {_chosen(change['to'])}"


def _chosen(value: Any) -> str:
    if value is None:
        return "as inherited"
    if isinstance(value, bool):
        return "on" if value else "off"
    return _SECONDS.sub("", str(value))
