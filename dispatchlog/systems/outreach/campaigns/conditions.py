"""Whether a patient goes on in a campaign, and whether a step is for them: by what became of earlier ones. Pure functions.

What was never sent has not been opened, answered or anything: `not_...` holds of it and nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dispatchlog.systems.outreach.campaigns.plans import EXITS, Condition

_NOT = "not_"


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one step's messages to a patient, by any channel. `waits_until`: one of them has not left yet."""

    sent: bool = False
    delivered: bool = False
    opened: bool = False
    clicked: bool = False
    answered: bool = False
    confirmed: bool = False
    unsubscribed: bool = False
    waits_until: datetime | None = None


NOTHING = Heard()


def hold(conditions: Sequence[Condition], heard: Mapping[str, Heard]) -> bool:
    """Whether all of them do, of what was heard by step."""
    return all(_holds(condition, heard.get(condition.step, NOTHING)) for condition in conditions)


def exit_of(rules: frozenset[str], fulfilled: Mapping[str, bool]) -> str:
    """The first of the exit rules that is fulfilled, "" where none is."""
    return next((rule for rule in EXITS if rule in rules and fulfilled[rule]), "")


def _holds(condition: Condition, heard: Heard) -> bool:
    negated = condition.holds.startswith(_NOT)
    return bool(getattr(heard, condition.holds.removeprefix(_NOT))) is not negated
