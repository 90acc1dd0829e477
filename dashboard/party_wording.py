"""Plain words of tickets, as each kind of party reads them: statuses, tabs, how long one waits. Reads no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from dashboard.wording import State
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.states import ENDED, OPEN, PartyKind, Side, TicketStatus, TicketType

CREATED, SENT, RECEIVED, READY, COMPLETED, CANCELLED = TicketStatus

# What a completed prescription is called.
_HANDED_OVER: Final = "Handed over"
# What receives a ticket of each type, as a sentence names it.
RECEIVER_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        TicketType.PRESCRIPTION: "pharmacy",
        TicketType.LAB_REQUEST: "laboratory",
        TicketType.REFERRAL: "doctor",
    }
)


def _states(*states: State) -> Mapping[str, State]:
    return MappingProxyType({state.key: state for state in states})


_RECEIVER: Final = _states(
    State(SENT, "New", "bell", "wait", "Nobody here has opened it yet."),
    State(RECEIVED, "Received", "store", "busy", "It was opened here and is being seen to."),
    State(READY, "Ready", "box", "good", "It is ready, and the patient was told."),
    State(COMPLETED, "Completed", "check", "good", "It is done. Final."),
    State(CANCELLED, "Cancelled", "ban", "off", "It was cancelled. Final."),
)
_DOCTOR: Final = _states(
    State(CREATED, "Being written", "edit", "wait", "You write it. It is sent once you save it."),
    State(SENT, "Sent", "send", "busy", "It was sent, and not opened there yet."),
    State(RECEIVED, "Received", "store", "busy", "It was opened there and is being seen to."),
    State(READY, "Ready", "box", "good", "It is ready, and the patient was told."),
    State(COMPLETED, "Completed", "check", "good", "It is done. Final."),
    State(CANCELLED, "Cancelled", "ban", "off", "It was cancelled. Final."),
)
_PATIENT: Final = _states(
    State(CREATED, "Being written", "edit", "wait", "Your doctor is still writing it."),
    State(SENT, "Sent", "send", "busy", "It was sent, and not opened there yet."),
    State(RECEIVED, "Being prepared", "store", "busy", "It was received and is being prepared."),
    State(READY, "Ready", "box", "good", "It is ready for you."),
    State(COMPLETED, "Done", "check", "good", "Nothing is left to do."),
    State(CANCELLED, "Cancelled", "ban", "off", "It was cancelled. Ask your doctor if you do not know why."),
)
_SENTENCES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        (TicketType.PRESCRIPTION, SENT): "It is with the pharmacy, which has not opened it yet.",
        (TicketType.PRESCRIPTION, RECEIVED): "The pharmacy is preparing it.",
        (TicketType.PRESCRIPTION, READY): "You can collect it at the pharmacy.",
        (TicketType.PRESCRIPTION, COMPLETED): "You have it.",
        (TicketType.LAB_REQUEST, SENT): "It is with the laboratory, which has not opened it yet.",
        (TicketType.LAB_REQUEST, RECEIVED): "The laboratory is seeing to it.",
        (TicketType.LAB_REQUEST, READY): "The laboratory is done. Ask your doctor what it means.",
        (TicketType.REFERRAL, SENT): "It is with the other doctor, who has not opened it yet.",
        (TicketType.REFERRAL, RECEIVED): "The other doctor is seeing to it.",
        (TicketType.REFERRAL, READY): "The other doctor is ready for you.",
    }
)


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of the list: its key in addresses, its words, and the statuses it shows (none: all)."""

    key: str
    label: str
    statuses: tuple[TicketStatus, ...] = ()
    icon: str = ""
    tone: str = ""


def _tabs(states: Mapping[str, State], first: Sequence[Tab], last: Sequence[Tab]) -> tuple[Tab, ...]:
    each = [Tab(key, state.label, (TicketStatus(key),), state.icon, state.tone) for key, state in states.items()]
    return (*first, *each, *last)


_ALL: Final = Tab("all", "All")
_RECEIVER_TABS: Final = _tabs(_RECEIVER, [Tab("", "To do", (SENT, RECEIVED))], [_ALL])
_PHARMACY_TABS: Final = tuple(
    replace(tab, label=_HANDED_OVER) if tab.key == COMPLETED else tab for tab in _RECEIVER_TABS
)
_DOCTOR_TABS: Final = _tabs(_DOCTOR, [Tab("", "Open", OPEN)], [_ALL])
_PATIENT_TABS: Final = (Tab("", "All"), Tab("open", "Current", OPEN), Tab("ended", "Earlier", tuple(sorted(ENDED))))


_TABS: Final[Mapping[PartyKind, tuple[Tab, ...]]] = MappingProxyType(
    {
        PartyKind.DOCTOR: _DOCTOR_TABS,
        PartyKind.PATIENT: _PATIENT_TABS,
        PartyKind.PHARMACY: _PHARMACY_TABS,
        PartyKind.LABORATORY: _RECEIVER_TABS,
    }
)


def tabs_of(kind: PartyKind) -> tuple[Tab, ...]:
    """The parts of the list, the first being what it opens with."""
    return _TABS[kind]


def ticket_status(kind: PartyKind, row: Row) -> State:
    """How the status of a ticket is shown to a party of this kind."""
    if kind is PartyKind.PATIENT:
        return _PATIENT[row["status"]]
    state = (_RECEIVER if row["side"] == Side.SECONDARY else _DOCTOR)[row["status"]]
    if (row["status"], row["ticket_type"]) == (COMPLETED, TicketType.PRESCRIPTION):
        return replace(state, label=_HANDED_OVER)
    return state


def patient_sentence(row: Row) -> str:
    """Where the ticket is, as a sentence to its patient."""
    return _SENTENCES.get((row["ticket_type"], row["status"])) or _PATIENT[row["status"]].meaning


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a ticket has waited for its receiver: words, icon and tone."""

    words: str
    icon: str
    tone: str


_SOON: Final = timedelta(minutes=30)
_LATE: Final = timedelta(hours=2)


def wait_of(row: Row, now: datetime) -> Wait | None:
    """The mark of a ticket that was sent and is not ready; None for any other."""
    if row["sent_at"] is None or row["status"] not in (SENT, RECEIVED):
        return None
    waited = now - row["sent_at"]
    if waited < _SOON:
        return Wait("Under 30 min", "check", "good")
    return Wait("Under 2 h", "clock", "wait") if waited < _LATE else Wait("Over 2 h", "alert", "bad")
