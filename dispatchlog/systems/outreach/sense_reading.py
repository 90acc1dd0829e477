"""What an answer comes to by the senses of its words, where no known phrase decided. Says nothing where it is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispatchlog.systems.outreach.phrases.sense import Sense
from dispatchlog.systems.outreach.senses import Sensed, sensed
from dispatchlog.systems.outreach.states import Intent

_MESSAGES = (Sense.MESSAGE, Sense.SEND, Sense.RECEIVE)
_NOT_STANDS_LAST = "hi"
_NO_YES = (
    Sense.NOT,
    Sense.REFUSE,
    Sense.CANT,
    Sense.MOVE,
    Sense.CANCEL,
    Sense.ELSE,
    Sense.BETTER,
    Sense.NEXT,
    Sense.REASON,
    Sense.UNSUBSCRIBE,
    Sense.CEASE,
    Sense.SEND,
    Sense.RECEIVE,
    Sense.ARRIVED,
    Sense.WHO,
    Sense.HELP,
    Sense.REACH,
    Sense.ASK,
    Sense.DOUBT,
    Sense.CARE,
)


@dataclass(frozen=True, slots=True)
class Sensible:
    """What was understood, and in which language."""

    intent: Intent
    language: str


def read_senses(clauses: Sequence[str], *, asked: bool, question: bool, first: str) -> Sensible | None:
    """None where nothing is said that is sure, or where two languages that know the words as well do not agree."""
    readings = [(each, _intent(each, asked=asked, question=question)) for each in sensed(clauses, first)]
    intents = {intent for _, intent in readings}
    if len(intents) != 1:
        return None
    words, intent = readings[0]
    return None if intent is None else Sensible(intent, words.code)


def _intent(said: Sensed, *, asked: bool, question: bool) -> Intent | None:
    if _ends_messages(said):
        return Intent.STOP
    if said.has(Sense.UNSUBSCRIBE) or (said.has(Sense.CEASE) and said.has(Sense.MESSAGE, Sense.SEND)):
        return None
    possible = (
        (Intent.START, not question and _begins_messages(said)),
        (Intent.HELP, _asks_for_help(said, question=question)),
        (Intent.RESCHEDULE, asked and _does_not_come(said, question=question)),
        (Intent.CONFIRM, asked and not question and _comes(said)),
    )
    return next((intent for intent, it_is in possible if it_is), None)


def _ends_messages(said: Sensed) -> bool:
    """A not beside the stopping takes it back, and what is said of care or of a message that came is for a person."""
    if said.has(Sense.CARE, Sense.ARRIVED, Sense.DOUBT) or _is_taken_back(said):
        return False
    if said.has(Sense.UNSUBSCRIBE):
        return said.unknown <= 2
    return _stops_them(said) or _wants_none(said)


def _is_taken_back(said: Sensed) -> bool:
    if said.code == _NOT_STANDS_LAST and said.before(Sense.CEASE, Sense.NOT, within=2):
        return True
    return said.before(Sense.NOT, Sense.UNSUBSCRIBE, within=2) or said.before(Sense.NOT, Sense.CEASE, within=2)


def _stops_them(said: Sensed) -> bool:
    if said.has(Sense.CEASE):
        return said.has(*_MESSAGES)
    return said.has(Sense.CANCEL) and said.has(Sense.MESSAGE, Sense.SEND) and not said.has(Sense.VISIT, Sense.WHEN)


def _wants_none(said: Sensed) -> bool:
    unwanted = said.before(Sense.NOT, Sense.WANT, within=3) or said.before(Sense.WANT, Sense.NOT, within=2)
    if unwanted and said.has(Sense.MESSAGE, Sense.SEND):
        return True
    return said.before(Sense.NOT, Sense.SEND, within=3)


def _begins_messages(said: Sensed) -> bool:
    against = (
        Sense.NOT,
        Sense.CEASE,
        Sense.UNSUBSCRIBE,
        Sense.CARE,
        Sense.ARRIVED,
        Sense.ASK,
        Sense.VISIT,
        Sense.DOUBT,
    )
    if said.has(*against) or said.unknown > 1:
        return False
    return said.has(Sense.BEGIN) and said.has(*_MESSAGES) and said.has(Sense.MESSAGE, Sense.RECEIVE)


def _asks_for_help(said: Sensed, *, question: bool) -> bool:
    if said.unknown > 1 or said.has(Sense.CARE, Sense.MOVE, Sense.CANCEL, Sense.CANT, Sense.CEASE, Sense.REASON):
        return False
    if said.has(Sense.HELP):
        return said.unknown == 0 and not said.has(Sense.COME, Sense.WHEN)
    if said.has(Sense.WHO) and said.has(Sense.SENDER, Sense.SEND, Sense.MESSAGE, Sense.REACH):
        return not said.has(Sense.COME, Sense.WHEN)
    wished = question or said.has(Sense.ASK, Sense.WANT, Sense.WHO, Sense.FREE)
    return wished and said.has(Sense.REACH) and not said.has(Sense.NOT, Sense.COME, Sense.VISIT)


def _does_not_come(said: Sensed, *, question: bool) -> bool:
    if said.has(Sense.CARE, Sense.UNSUBSCRIBE, Sense.HELP, Sense.WHO, Sense.ARRIVED):
        return False
    return _says_no(said) or _wants_another_time(said, question=question) or _is_kept(said, question=question)


def _says_no(said: Sensed) -> bool:
    if said.has(Sense.DOUBT, Sense.YES):
        return False
    if said.code == _NOT_STANDS_LAST and said.before(Sense.ABLE, Sense.NOT, within=2):
        return True
    return said.has(Sense.CANT) or any(said.before(Sense.NOT, each, within=4) for each in (Sense.COME, Sense.ABLE))


def _wants_another_time(said: Sensed, *, question: bool) -> bool:
    time = (Sense.VISIT, Sense.WHEN, Sense.NEXT, Sense.ELSE)
    if said.has(Sense.MOVE, Sense.CANCEL) and not said.has(Sense.NOT, Sense.MESSAGE):
        return said.has(*time) or said.unknown == 0
    if said.has(Sense.BETTER) and said.has(*time):
        return True
    wished = question or said.has(Sense.WANT, Sense.FREE)
    if said.has(Sense.ELSE) and said.has(Sense.VISIT, Sense.WHEN, Sense.NEXT):
        return wished or not said.has(Sense.COME, Sense.YES)
    return said.has(Sense.FREE) and said.has(Sense.WHEN, Sense.NEXT, Sense.ELSE) and not said.has(Sense.YES)


def _is_kept(said: Sensed, *, question: bool) -> bool:
    if question or said.has(Sense.ASK, Sense.DOUBT, Sense.YES, Sense.COME):
        return False
    return said.has(Sense.REASON) and not said.before(Sense.NOT, Sense.REASON, within=3) and said.unknown <= 2


def _comes(said: Sensed) -> bool:
    if said.has(*_NO_YES):
        return False
    return said.has(Sense.YES, Sense.COME) and said.unknown <= (1 if len(said.groups) > 3 else 0)
