"""Plain words of a ticket's page: types, statuses, moves, the timeline, refusals. Owns the words; reads no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from dashboard.wording import State
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.inputs import MOST_BODY, TicketError
from dispatchlog.systems.tickets.states import TYPE_WORDS, TicketStatus, TicketType

# Who receives a ticket of each type, in a word.
RECEIVER_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        TicketType.PRESCRIPTION: "pharmacy",
        TicketType.LAB_REQUEST: "laboratory",
        TicketType.REFERRAL: "receiving doctor",
    }
)

TICKET_STATES: Final[Mapping[str, State]] = MappingProxyType(
    {
        state.key: state
        for state in (
            State("created", "Being written", "edit", "wait", "The doctor writes it; the {receiver} sees nothing yet."),
            State("sent", "Sent", "send", "busy", "It waits for the {receiver} to open it."),
            State("received", "Received", "store", "busy", "The {receiver} has it and prepares it."),
            State("ready", "Ready", "box", "good", "It is prepared and waits for the patient."),
            State("completed", "Handed over", "check", "good", "It is done. Messages can still be written."),
            State("cancelled", "Cancelled", "ban", "off", "It will not go on, and nothing more can be written."),
        )
    }
)

# The mails about a ticket, by the kind of their dispatch.
NOTIFICATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"SENT": "It was sent", "READY": "It is ready", "UNREAD": "Messages wait", "CANCELLED": "It was cancelled"}
)

# What else than a status a timeline tells of: title, icon, tone.
_HAPPENED: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "created": ("The {receiver} was chosen", "plus", "wait"),
        "backfilled": ("Brought over from the time before tickets", "stack", "off"),
        "receiver_changed": ("Another {receiver} was chosen", "edit", "wait"),
        "prescription_saved": ("The {type} was saved", "care", "wait"),
        "emergency_access": ("Staff looked inside: emergency access", "eye", "doubt"),
        "changed": ("Changed", "edit", "off"),
    }
)

_REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MOVE_NOT_ALLOWED": "Nothing changed: the ticket moved on meanwhile. This is how it stands now.",
        "PRESCRIPTION_MISSING": "Nothing changed: it is sent by saving what the doctor writes.",
        "REASON_REQUIRED": "Say why: the reason stays with the ticket, for everybody concerned.",
        "MESSAGE_EMPTY": "Write something first.",
        "MESSAGE_TOO_LONG": f"That is too long: a message has at most {MOST_BODY:,} characters.",
        "MESSAGE_ID_REUSED": "This form had sent another message before. Yours is still here: send it once more.",
        "THREAD_CLOSED": "The ticket was cancelled, so nothing more can be written.",
        "TIMELINE_NOT_FOUND": "What the message speaks of is not in this ticket's timeline.",
    }
)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a ticket's timeline. `reason` is what a person wrote; `is_status` where messages may speak of it."""

    id: int
    at: datetime
    title: str
    icon: str
    tone: str
    by: str
    reason: str = ""
    is_status: bool = False


def ticket_state(status: str, ticket_type: str) -> State:
    """A status as it is shown, its meaning naming who receives tickets of the type."""
    state = TICKET_STATES[status]
    label = "Completed" if status == TicketStatus.COMPLETED and ticket_type != TicketType.PRESCRIPTION else state.label
    return State(state.key, label, state.icon, state.tone, state.meaning.format(receiver=RECEIVER_WORDS[ticket_type]))


def move_words(status: TicketStatus, ticket_type: str) -> str:
    """What the button of a move says."""
    if status is TicketStatus.COMPLETED:
        return "Hand over" if ticket_type == TicketType.PRESCRIPTION else "Complete"
    return {TicketStatus.READY: "Mark ready", TicketStatus.RECEIVED: "Receive"}.get(status, str(status).capitalize())


def happenings(entries: Sequence[Row], ticket_type: str) -> list[Happening]:
    """The timeline's entries in words, in their order."""
    return [_happening(entry, ticket_type) for entry in entries]


def _happening(entry: Row, ticket_type: str) -> Happening:
    if entry["kind"] == "status":
        state = ticket_state(entry["to_status"], ticket_type)
        title, icon, tone = state.label, state.icon, state.tone
    else:
        usual = (str(entry["kind"]).replace("_", " ").capitalize(), "info", "off")
        words, icon, tone = _HAPPENED.get(entry["kind"], usual)
        title = words.format(receiver=RECEIVER_WORDS[ticket_type], type=TYPE_WORDS[ticket_type].lower())
    return Happening(
        id=entry["id"],
        at=entry["at"],
        title=title,
        icon=icon,
        tone=tone,
        by=entry["party_name"] or entry["actor"],
        reason=entry["reason"] or "",
        is_status=entry["kind"] == "status",
    )


def spoken_of(message: Row, ticket_type: str) -> str:
    """The timeline's entry that a message speaks of, in words; "" where it speaks of none."""
    if not message.get("timeline_kind"):
        return ""
    entry = {
        "id": message["timeline_id"],
        "kind": message["timeline_kind"],
        "to_status": message["timeline_to"],
        "at": message["timeline_at"],
        "party_name": None,
        "actor": "",
        "reason": None,
    }
    return _happening(entry, ticket_type).title


def refusal(error: TicketError) -> str:
    """What a refusal says, and what to do about it."""
    return _REFUSALS.get(error.code) or f"{error.message[:1].upper()}{error.message[1:]}."


def size_words(size_bytes: int) -> str:
    """`840 bytes`, `12 KB`, `3.4 MB`."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    return f"{size_bytes / 1_000:.0f} KB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"
