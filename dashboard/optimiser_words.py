"""The optimiser in plain words: what it may decide, its modes, its policies, how its proof stands. Owns the words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dashboard.comm_words import channel_words
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach.optimiser.choosing import CHANNEL, EXPLORE, HOLDOUT, HOUR


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of decision: what it is called, what is decided, and among what."""

    title: str
    what: str
    among: str


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode: its badge, what it means, what is said when it begins."""

    title: str
    icon: str
    tone: str
    meaning: str
    done: str


KIND_WORDS = MappingProxyType(
    {
        "hour": Kind(
            "The hour",
            "At which hour of its day a message leaves.",
            "Among the hours of two that quiet hours, the law and limits leave open on the day on which it would leave.",
        ),
        "channel": Kind(
            "The channel",
            "By which channel a message leaves.",
            "Among the channels that the patient may be reached by for it on that day.",
        ),
        "content": Kind(
            "The text",
            "Which of the variants of a text is sent.",
            "Among the variants of the text, where no campaign tests them itself.",
        ),
    }
)
MODE_WORDS = MappingProxyType(
    {
        "off": Mode(
            "Off", "ban", "off", "It decides nothing, for nobody, and keeps nothing.", "it is off. It decides nothing."
        ),
        "learning": Mode(
            "Learning",
            "eye",
            "wait",
            "Messages go as usual, but for a few that try something else, to learn what patients answer to.",
            "it learns now. Messages go as usual, but for a few.",
        ),
        "on": Mode(
            "On",
            "check",
            "good",
            "It decides by what patients answered to, and goes on trying something else now and then.",
            "it is on, and goes on being judged every hour.",
        ),
    }
)


def arm_words(kind: str, arm: str) -> str:
    """What was chosen, as a person calls it."""
    if kind == HOUR:
        begins, ends = arm.split("-")
        return f"{begins}:00 to {ends}:00"
    if kind == CHANNEL:
        words = channel_words(arm)
        return words[:1].upper() + words[1:]
    return arm


def policy_words(row: Row) -> tuple[str, str]:
    """How it was chosen, and why so."""
    if row["policy"] == HOLDOUT:
        return "At random", "for comparison"
    if row["policy"] == EXPLORE:
        return ("As usual" if row["propensity"] > 0.5 else "A try"), "while it learns"
    return "As learned", "by the optimiser"


def outcome(row: Row) -> tuple[str, str, str]:
    """What became of it: words, icon, tone."""
    if row["void"]:
        return "Does not count", "ban", "off"
    if row["reward"] is None:
        return "Not known yet", "clock", "wait"
    return ("Answered", "check", "good") if row["reward"] else ("No answer", "x", "off")


def proof_state(evidence: Mapping[str, Any]) -> tuple[str, str, str]:
    """Whether the proof holds: words, icon, tone."""
    if not evidence or evidence["win"] is None:
        return "Too little is known", "clock", "wait"
    return ("It helps", "check", "good") if evidence["holds"] else ("Not proven", "x", "doubt")
