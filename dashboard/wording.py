"""Plain words for states, causes and terms. Owns the vocabulary of the pages; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from dispatchlog.engine.lanes import Row

IN_DOUBT: Final = "IN_DOUBT"

# Offered wherever somebody says why a dispatch is tried again; own words always do as well.
RETRY_REASONS: Final = ("The cause is mended", "The provider is available again", "Asked for by the recipient")


@dataclass(frozen=True, slots=True)
class Verb:
    """What a lane does with a dispatch: its worker has to `send` it, is `sending` it, and then it was `sent`."""

    base: str
    present: str
    past: str


@dataclass(frozen=True, slots=True)
class State:
    """How one state is shown: its word, its icon, its colour, and what it means."""

    key: str
    label: str
    icon: str
    tone: str
    meaning: str


SEND: Final = Verb("send", "sending", "sent")
# By the lane's name, for lanes that do something else than send.
_VERBS = MappingProxyType(
    {
        "kit_registration": Verb("register", "registering", "registered"),
        "courier_booking": Verb("book", "booking", "booked"),
        "courier_cancellation": Verb("take back", "taking back", "taken back"),
    }
)


def verb_of(lane_name: str) -> Verb:
    """What the lane does, as its pages say it."""
    return _VERBS.get(lane_name, SEND)


# By the lane's name: whose dispatches wait for each other.
_SUBJECTS = MappingProxyType({"hl7": "student"})


def subject_word(lane_name: str) -> str:
    """What the lane's dispatches are kept in order by, in a word."""
    return _SUBJECTS.get(lane_name, "subject")


@lru_cache(maxsize=64)
def _states(verb: Verb) -> Mapping[str, State]:
    done = verb.past
    states = (
        State("PENDING", "Waiting", "clock", "wait", f"It will be {done} by itself once it is due."),
        State(
            "QUEUED", verb.present.capitalize(), "send", "busy", f"A worker has taken it and is {verb.present} it now."
        ),
        State("FAILED", "Failed", "x", "bad", f"It was not {done} and will not be tried again by itself."),
        State(IN_DOUBT, "In doubt", "help", "doubt", f"We may or may not have {done} this. A person has to decide."),
        State("SENT", done.capitalize(), "check", "good", "The provider has it. Final."),
        State("CANCELLED", "Cancelled", "ban", "off", f"It will never be {done}. Final."),
    )
    return MappingProxyType({state.key: state for state in states})


def states_of(lane_name: str) -> Mapping[str, State]:
    """Every state in the lane's own words, by key, in the order in which pages list them."""
    return _states(verb_of(lane_name))


# For what is said of several lanes at once.
STATES = _states(SEND)

GLOSSARY = MappingProxyType(
    {
        "lane": "One kind of outgoing message or booking, such as health-information forms.",
        "dispatch": "One thing to be sent: one form, one registration, one message.",
        "in doubt": "We may or may not have sent this: the connection broke before the provider answered.",
        "attempt": "One try that may have reached the provider.",
        "deadline": "Until when it is of use. After that it is closed with a reason, not sent late.",
        "escalate": "To pass a doubt on, with a note, to whoever can find out what happened.",
        "incident": "What failed at one provider for one cause, shown together.",
        "replay": "Trying what failed in an incident again: one first, then five, then the rest; it halts at a failure.",
        "story": "Everything that happened for one order or one person, in the order of time.",
        "sweep": "The regular run that releases what has become due.",
        "worker": "A program that sends what is due. Without one, everything waits.",
        "provider": "Who delivers for us: the mail server, the kit registry.",
        "pause": "A person stopped this lane or provider for a while. Nothing is lost; it waits.",
        "circuit": "When a provider keeps failing we pause calls to it for a moment. Nothing is lost; it waits.",
        "due": "The earliest moment at which it may be sent.",
        "idempotency key": "A number the provider remembers, so that the same thing cannot take effect twice.",
        "trace": "A number that follows one request through all programs and logs.",
    }
)

# Keyed by stable codes of the engine and the gateways; what is not here is shown as the provider said it.
NEXT_STEPS = MappingProxyType(
    {
        "NO_RECIPIENT": "Enter a recipient: it then leaves at once.",
        "BAD_RECIPIENT": "The address is not one that mail can be sent to. Correct it: it then leaves at once.",
        "BAD_ADDRESS": "The address is not one that mail can be sent to. Correct it: it then leaves at once.",
        "ORDER_CANCELLED": "The order was cancelled, so there is nothing to send. Cancel the dispatch.",
        "ORDER_NOT_FOUND": "Its order is no longer stored. Ask the ordering system to report it again, then retry.",
        "KIT_ID_INVALID": "The kit registry does not know this kit id. Have the order corrected, then retry.",
        "RESTORED": "The log was restored from a backup that was taken before. Compare with the provider's list.",
        "WORKER_DIED_REPEATEDLY": "Workers ended while they held it, several times. Tell the engineers before retrying.",
        "TOO_OLD": "It waited for too long to leave by itself. If it still matters, retry it: it then leaves at any age.",
        "ENDPOINT_REFUSED_CREDENTIALS": "Have an administrator correct the school's API key, then retry.",
        "PAYLOAD_PURGED": "The stored content was deleted on schedule, so the same bytes cannot be sent again.",
    }
)

# The same for what is in doubt.
DOUBTS = MappingProxyType(
    {
        "KEY_EXPIRED": "The provider no longer remembers the earlier try, so it would not recognise another one.",
        "WORKER_DIED_REPEATEDLY": "Workers ended while they held it, several times. Tell the engineers.",
    }
)

# With these the row has no address that could be written to, so trying again as it stands fails again.
NEEDS_RECIPIENT: Final = frozenset({"NO_RECIPIENT", "BAD_RECIPIENT"})

REFUSED_BY_MAIL_SERVER: Final = (
    "The mail server refuses it. If the address is wrong, correct the recipient, else retry once the server takes it."
)


def advice(code: str) -> str | None:
    """What usually puts a failure with this code right; None where nothing is known of it."""
    return NEXT_STEPS.get(code) or (REFUSED_BY_MAIL_SERVER if code.startswith("SMTP_5") else None)


OUTCOMES = MappingProxyType(
    {
        None: ("no answer yet", "send", "busy"),
        "ACCEPTED": ("accepted by the provider", "check", "good"),
        "TRANSIENT": ("not accepted; may pass later", "retry", "wait"),
        "PERMANENT": ("refused for good", "x", "bad"),
        "UNKNOWN": ("no answer known", "help", "doubt"),
        "NOT_SENT": ("stopped before anything left", "pause", "off"),
    }
)

# What gateways note of a try, as a label; what is not here goes by its name.
EVIDENCE = MappingProxyType(
    {
        "stage": "How far it came",
        "bytes_sent": "Bytes handed over",
        "last_reply": "Last reply",
        "reply": "Reply",
        "host": "Server",
        "status": "HTTP status",
        "code": "Reply code",
        "error": "What broke",
        "message": "Its words",
        "look_up": "When asked later",
        "acknowledgement": "Acknowledgement",
    }
)

# What a person did, as a title; {past} is the lane's.
ACTIONS = MappingProxyType(
    {
        "confirm_sent": "Confirmed: it was {past}",
        "confirm_not_sent": "Confirmed: it was not {past}",
        "retry": "Asked to try again",
        "cancel": "Cancelled",
        "correct_recipient": "Corrected the recipient",
        "look_up": "Asked the provider",
        "reveal": "Looked at the recipient",
        "reveal_content": "Looked at the content",
        "reveal_patient": "Looked at the patient",
        "escalate": "Escalated",
        "withdraw_escalation": "Took the escalation back",
        "rewrite": "Wrote it anew",
    }
)

# Who acts, by an actor's name or the part of it before the colon; {} is what follows. People go by their address.
_ACTORS = MappingProxyType(
    {
        "worker": "Worker {}",
        "rescuer": "Worker {}, in place of one that ended",
        "look-up": "Worker {}, by asking the provider",
        "service": "Service {}",
        "service:sweep": "Scheduler",
        "sweep": "Scheduler",
        "scheduler": "Scheduler on {}",
        "replay": "Replay",
        "cli": "Command line",
        "unattributed": "Database user {}, not through the program",
    }
)


def actor(name: str) -> str:
    """Who acted, in words."""
    kind, _, which = name.partition(":")
    words = _ACTORS.get(name) or _ACTORS.get(kind)
    if words is None or ("{}" in words and not which):
        return name
    return words.replace("{}", which)


def state_of(row: Row) -> State:
    """How the state of a row with its `lane` is shown: a FAILED row in doubt is a state of its own to a reader."""
    return states_of(row["lane"])[IN_DOUBT if row["in_doubt"] else str(row["status"])]
