"""What became of a patient's message, in plain words. Owns the words; no SQL."""

from __future__ import annotations

import re
from types import MappingProxyType

from dashboard.masking import mask
from dispatchlog.systems.outreach import inbound_actions as actions

# Why a message waits: a title and what to look at.
WAITS = MappingProxyType(
    {
        actions.UNSURE: ("What it means is not certain", "Read it, and say what it means."),
        actions.TOO_LATE: (
            "The appointment is over or cancelled",
            "Nothing can be confirmed or moved any more. Call back.",
        ),
        actions.WHO: (
            "Two patients share this address",
            "Both were asked. Find out who answers, then choose the appointment.",
        ),
        actions.NOTHING_ASKED: ("Nothing was asked", "No appointment ahead was asked about at this address."),
        actions.NOT_STOPPED: ("Nothing was stopped here", "It asks for messages, and they were never ended."),
        actions.HELPED_BEFORE: (
            "Asks for help again",
            "The answer was sent already. It may be a machine that answers every text; else call back.",
        ),
        actions.UNKNOWN_SENDER: ("Nobody is known at this address", "No patient is reached there."),
    }
)
# What was done: words, icon, tone.
DONE = MappingProxyType(
    {
        actions.CONFIRMED: ("Appointment confirmed", "check", "good"),
        actions.CONFIRMED_BEFORE: ("Was confirmed before", "check", "off"),
        actions.RESCHEDULE: ("Another time is wanted", "retry", "doubt"),
        actions.STOPPED: ("No more messages", "ban", "bad"),
        actions.STOPPED_BEFORE: ("Had ended messages before", "ban", "off"),
        actions.STOPPED_SINCE: ("Has ended messages since", "ban", "off"),
        actions.STARTED: ("Messages again", "check", "good"),
        actions.HELPED: ("Told how to reach the clinic", "help", "off"),
        actions.NOT_STOPPED: ("Messages were not stopped", "check", "off"),
        "helped_by_person": ("Helped by staff", "help", "good"),
        "nothing_follows": ("Nothing follows", "check", "off"),
    }
)
# What a person may settle a message as at once: intent, button, icon. A stop is asked about once more.
SETTLEMENTS = (
    ("confirm", "Confirm the appointment", "check"),
    ("reschedule", "Another time is wanted", "retry"),
    ("help", "I have helped", "help"),
    ("nothing", "Nothing follows", "x"),
)
ABOUT_APPOINTMENT = frozenset({"confirm", "reschedule"})
_LANGUAGES = MappingProxyType(
    {
        "en": "English",
        "es": "Spanish",
        "fr": "French",
        "ar": "Arabic",
        "pt": "Portuguese",
        "hi": "Hindi",
        "yo": "Yoruba",
    }
)
_DIGITS = re.compile(r"\d{5,}")


def language_words(code: str | None) -> str:
    """A language's name; "" where it is not known."""
    return _LANGUAGES.get(code or "", "")


def mask_sender(address: str) -> str:
    """An address as lists show it, also one that is no telephone number: a provider's user id names somebody too."""
    masked = mask(address)
    return masked if masked != address else f"•••{address[-2:]}"


def mask_long_numbers(text: str) -> str:
    """A text without the numbers by which somebody could be called or found."""
    return _DIGITS.sub(lambda found: f"•••{found[0][-2:]}", text)
