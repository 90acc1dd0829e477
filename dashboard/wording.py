"""Plain words for states, causes and terms. Owns the vocabulary of the pages; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dispatchlog.engine.lanes import Row

IN_DOUBT: Final = "IN_DOUBT"


@dataclass(frozen=True, slots=True)
class State:
    """How one state is shown: its word, its icon, its colour, and what it means."""

    key: str
    label: str
    icon: str
    tone: str
    meaning: str


STATES = MappingProxyType(
    {
        state.key: state
        for state in (
            State("PENDING", "Waiting", "clock", "wait", "It will be sent by itself once it is due."),
            State("QUEUED", "Sending", "send", "busy", "A worker has taken it and is sending it now."),
            State("FAILED", "Failed", "x", "bad", "It was not sent and will not be tried again by itself."),
            State(IN_DOUBT, "In doubt", "help", "doubt", "We may or may not have sent this. A person has to decide."),
            State("SENT", "Sent", "check", "good", "The provider has accepted it. Final."),
            State("CANCELLED", "Cancelled", "ban", "off", "It will never be sent. Final."),
        )
    }
)

GLOSSARY = MappingProxyType(
    {
        "lane": "One kind of outgoing message or booking, such as health-information forms.",
        "dispatch": "One thing to be sent: one form, one registration, one message.",
        "in doubt": "We may or may not have sent this: the connection broke before the provider answered.",
        "attempt": "One try that may have reached the provider.",
        "sweep": "The regular run that releases what has become due.",
        "worker": "A program that sends what is due. Without one, everything waits.",
        "provider": "Who delivers for us: the mail server, the kit registry.",
        "circuit": "When a provider keeps failing we pause calls to it for a moment. Nothing is lost; it waits.",
        "due": "The earliest moment at which it may be sent.",
        "idempotency key": "A number the provider remembers, so that the same thing cannot take effect twice.",
        "trace": "A number that follows one request through all programs and logs.",
    }
)

# Keyed by stable codes of the engine and the gateways; what is not here is shown as the provider said it.
NEXT_STEPS = MappingProxyType(
    {
        "NO_RECIPIENT": "Nobody is named to get it. Enter a recipient below, then retry.",
        "BAD_ADDRESS": "The address is not one that mail can be sent to. Correct it below, then retry.",
        "BAD_RECIPIENT": "The address is not one that mail can be sent to. Correct it below, then retry.",
        "ORDER_CANCELLED": "The order was cancelled, so there is nothing to send. Cancel the dispatch.",
        "ORDER_NOT_FOUND": "Its order is no longer stored. Ask the ordering system to report it again, then retry.",
        "EXPIRED": "It was no longer of use by the time it could be sent.",
        "KEY_EXPIRED": "The provider no longer remembers the earlier try. Find out whether it arrived.",
        "KIT_ID_INVALID": "The kit registry does not know this kit id. Have the order corrected, then retry.",
        "WORKER_DIED_REPEATEDLY": "Workers ended while they held it, several times. Tell the engineers before retrying.",
        "PAYLOAD_PURGED": "The stored content was deleted on schedule, so the same bytes cannot be sent again.",
    }
)

REFUSED_BY_MAIL_SERVER: Final = (
    "The mail server refuses it. If the address is wrong, correct the recipient; then retry."
)

ORDER_STATES = MappingProxyType(
    {
        "WAITING": ("Waiting", "clock", "wait"),
        "NOT_APPLICABLE": ("Not for us", "ban", "off"),
        "CANCELLED": ("Cancelled", "ban", "off"),
        "REGISTERING": ("Registering", "send", "busy"),
        "REGISTERED": ("Registered", "check", "good"),
    }
)

OUTCOMES = MappingProxyType(
    {
        None: ("No answer recorded yet", "send", "busy"),
        "ACCEPTED": ("Accepted by the provider", "check", "good"),
        "TRANSIENT": ("Not accepted; may pass later", "retry", "wait"),
        "PERMANENT": ("Refused for good", "x", "bad"),
        "UNKNOWN": ("No proof either way", "help", "doubt"),
        "NOT_SENT": ("Stopped before anything was sent", "pause", "off"),
    }
)

ACTIONS = MappingProxyType(
    {
        "reveal": "looked at the recipient",
        "correct_recipient": "corrected the recipient",
        "retry": "asked for a retry",
        "look_up": "asked the provider",
    }
)


def state_of(row: Row) -> State:
    """How a row's state is shown: a FAILED row in doubt is a state of its own to a reader."""
    return STATES[IN_DOUBT if row["in_doubt"] else str(row["status"])]
