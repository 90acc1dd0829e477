"""What a short answer means: confirm, reschedule, stop, start, help, or something for a person. Pure functions.

The words stand in `phrases`. Opt-outs are looked for first and anywhere; what confirms must be all that was said, or a
plain sentence without a doubt, a question or a not: a wrong yes costs more than a person's look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile

from dispatchlog.systems.outreach.folding import fold
from dispatchlog.systems.outreach.menus import menu_of
from dispatchlog.systems.outreach.sense_reading import read_senses
from dispatchlog.systems.outreach.states import Intent
from dispatchlog.systems.outreach.vocabulary import Vocabulary, covers, polite_words, vocabularies


@dataclass(frozen=True, slots=True)
class Reading:
    """`confidence` from 0 to 1; below `SURE` a person decides. `language` is that of the words that decided, or "".
    `because` is what decided, for pages."""

    intent: Intent
    confidence: float
    language: str
    because: str


SURE = 0.8
WHOLE, WITH_OTHERS, CONTAINED, SENSED, UNSURE = 1.0, 0.95, 0.85, 0.8, 0.5
CONFIRMATION = "confirmation"
DOUBTED, TAKEN_BACK = "with a doubt or a question", "with words that say otherwise"
PERHAPS_STOP = "perhaps it is about ending messages:"
# A message is read as far as this; who writes more has something to say to a person, unless it begins with an opt-out.
_LONGEST = 500

_CLAUSES = re.compile(r"[.,;:!?\n،؛؟।…\u2013\u2014]+")
_QUESTION = re.compile("[?؟¿]")
_YES_SIGNS = "👍👌✅✔☑🆗🙆💯"
_NO_SIGNS = "👎❌❎✖🙅🚫"
_SIGNS = re.compile(f"[{_YES_SIGNS}{_NO_SIGNS}]")
_NUMBER = re.compile(r"(?:(?:option|opcion|opcao|number|no|numero|reply|press) )?(\d)")


def read_reply(
    body: str, *, asks: str = "", language: str = "", provider_opt_out: str = "", offered: str = ""
) -> Reading:
    """What it means. `asks` is "confirmation" where the newest message to this address that is still open asks for one:
    then YES confirms (else it is START where the address is stopped), and CANCEL alone is about the appointment, unless
    other words say that it is about messages. A plain opt-out is STOP whatever was asked. `offered` is the text that was
    answered: its menu ("1 to confirm, 2 to reschedule, 3 to stop") says what a number means.
    """
    said = _Said(body, asked=asks == CONFIRMATION, hint=language, menu=menu_of(offered))
    law = provider_opt_out.strip().upper()
    if law in ("STOP", "HELP"):
        return Reading(Intent(law.lower()), WHOLE, "", f"the provider took it for {law}")
    found = _read(said)
    # YES is a word of opting in to providers, and the answer that was asked for to us.
    if law == "START" and found.intent not in (Intent.CONFIRM, Intent.STOP):
        return Reading(Intent.START, WHOLE, "", "the provider took it for START")
    return found


# One letter of it is a yes.
_LAUGH = re.compile(r"\s*k{3,}\W*", re.IGNORECASE)


class _Said:
    """An answer, made uniform once."""

    def __init__(self, body: str, *, asked: bool, hint: str, menu: Mapping[str, Intent]) -> None:
        self.asked, self.menu = asked, menu
        self.text = fold(body[:_LONGEST])
        self.tokens = tuple(self.text.split())
        self.clauses = tuple(filter(None, map(fold, _CLAUSES.split(body[:_LONGEST]))))
        self.is_long = len(body) > _LONGEST
        self.is_question = bool(_QUESTION.search(body))
        self.is_blank = not self.text
        self.is_laugh = _LAUGH.fullmatch(body) is not None
        signs = set(_SIGNS.findall(body))
        self.yes_sign, self.no_sign = bool(signs & set(_YES_SIGNS)), bool(signs & set(_NO_SIGNS))
        self.first = hint.partition("-")[0].casefold()
        self.languages = vocabularies(self.first)

    @property
    def number(self) -> str:
        words = self.text.removesuffix(" please").removesuffix(" thanks")
        found = _NUMBER.fullmatch(words)
        return found[1] if found else ""


def _read(said: _Said) -> Reading:
    if said.is_laugh:
        return _unknown(said)
    for step in (_number, _stop, _start, _help, _reschedule, _confirm):
        if (found := step(said)) is not None:
            return found if found.confidence >= SURE else _by_senses(said, found)
    return _by_senses(said, _unknown(said))


def _by_senses(said: _Said, unsure: Reading) -> Reading:
    """What the senses of the words say where no phrase was sure; a sign that says no is not outvoted by them."""
    if said.is_blank or said.is_long:
        return unsure
    found = read_senses(said.clauses, asked=said.asked, question=said.is_question, first=said.first)
    if found is None:
        return unsure
    asking = any(_asks_first(said.text, words) for words in said.languages if words.code in ("en", found.language))
    if found.intent is Intent.CONFIRM and (said.no_sign or asking or unsure.because.endswith(DOUBTED)):
        return unsure
    if found.intent is Intent.STOP and unsure.because.endswith(TAKEN_BACK):
        return unsure
    return Reading(found.intent, SENSED, found.language, f"the senses of the words of “{said.text}”")


def _unknown(said: _Said) -> Reading:
    for words in said.languages:
        if word := next((each for each in said.tokens if each in words.stop), ""):
            return Reading(Intent.OTHER, UNSURE, words.code, f"{PERHAPS_STOP} “{word}”")
    return Reading(Intent.OTHER, UNSURE, "", "no words that are known")


def _number(said: _Said) -> Reading | None:
    """A number is an answer only to a menu; every confirmation has 1 and 2 unless its text says otherwise."""
    intent = said.menu.get(said.number)
    if intent is None or not (said.asked or intent is Intent.STOP):
        return None
    return Reading(intent, WHOLE, "", f"number {said.number}")


def _stop(said: _Said) -> Reading | None:
    doubtful = None
    english = next(each for each in said.languages if each.code == "en")
    for words in said.languages:
        stops = words.stop if said.asked else words.stop | words.cancel
        if (found := _whole(said, words, stops, Intent.STOP, besides=words.yes | words.confirm)) is not None:
            return found
        if (clause := next((each for each in said.clauses if _is_stop(each, words)), "")) and len(said.clauses) > 1:
            return Reading(Intent.STOP, CONTAINED + 0.05, words.code, f"“{clause}”")
        match = words.stop_pattern.search(said.text)
        if match is None:
            continue
        rest = english.not_stop_pattern.sub(" ", words.not_stop_pattern.sub(" ", said.text))
        if words.stop_pattern.search(rest) is not None:
            return Reading(Intent.STOP, CONTAINED + 0.05, words.code, f"“{match[0]}”")
        doubtful = Reading(Intent.OTHER, UNSURE, words.code, f"“{match[0]}”, {TAKEN_BACK}")
    return doubtful


def _is_stop(clause: str, words: Vocabulary) -> bool:
    return len(clause) > 2 and covers(clause.split(), words.stop, polite_words())


def _start(said: _Said) -> Reading | None:
    for words in said.languages:
        starts = words.start if said.asked else words.start | words.yes
        if not said.is_question and (found := _whole(said, words, starts, Intent.START)) is not None:
            return found
        match = words.start_pattern.match(said.text) or words.start_pattern.match(_after_polite(said.tokens))
        if match is not None and not said.is_question:
            found = Reading(Intent.START, CONTAINED, words.code, f"“{match[0]}”")
            # A stop is lifted by a plain wish alone: not by one that is denied, conditional or told of.
            rest = match.string[match.end() :]
            return _doubt(found) if words.has_doubts(rest) or words.stop & set(rest.split()) else found
    return None


def _after_polite(tokens: Sequence[str]) -> str:
    return " ".join(dropwhile(lambda token: token in polite_words(), tokens))


def _help(said: _Said) -> Reading | None:
    if said.is_blank and said.is_question and not said.asked:
        return Reading(Intent.HELP, CONTAINED, "", "a question mark alone")
    for words in said.languages:
        if (found := _whole(said, words, words.help, Intent.HELP)) is not None:
            return found
        if (match := words.help_pattern.fullmatch(said.text)) is not None:
            return Reading(Intent.HELP, CONTAINED, words.code, f"“{match[0]}”")
    return None


def _reschedule(said: _Said) -> Reading | None:
    if said.asked and said.is_blank and said.no_sign and not said.yes_sign:
        return Reading(Intent.RESCHEDULE, CONTAINED, "", "a sign that says no")
    for words in said.languages:
        noes = words.reschedule | words.cancel
        found = _whole(said, words, noes, Intent.RESCHEDULE)
        if found is not None:
            return found if said.asked else _unasked(found)
    for words in said.languages:
        if (match := words.reschedule_pattern.search(said.text)) is not None:
            return Reading(Intent.RESCHEDULE, CONTAINED, words.code, f"“{match[0]}”")
    return None


def _confirm(said: _Said) -> Reading | None:
    if said.is_blank or (said.yes_sign and covers(said.tokens, polite_words(), polite_words())):
        return _confirm_by_sign(said)
    for words in said.languages:
        yeses = words.yes | words.confirm | {number for number, each in said.menu.items() if each is Intent.CONFIRM}
        found_words = _whole(said, words, yeses, Intent.CONFIRM)
        if found_words is not None:
            return _certain(said, found_words)
    for words in said.languages:
        among = polite_words() | words.beside_yes
        if not said.is_long and covers(said.tokens, words.yes | words.confirm, among):
            row = Reading(Intent.CONFIRM, CONTAINED, words.code, f"“{said.text}”")
            return _doubt(row) if _asks_first(said.text, words) else _certain(said, row)
        match = words.confirm_pattern.search(said.text)
        if match is not None:
            contained = Reading(Intent.CONFIRM, CONTAINED, words.code, f"“{match[0]}”")
            doubted = words.has_doubts(said.text[: match.start()] + " " + said.text[match.end() :])
            return _doubt(contained) if doubted or said.is_long else _certain(said, contained)
    return None


def _confirm_by_sign(said: _Said) -> Reading | None:
    if not said.yes_sign or said.no_sign or said.is_question:
        return None
    found = Reading(Intent.CONFIRM, WITH_OTHERS, "", "a sign that says yes")
    return found if said.asked else _unasked(found)


def _asks_first(text: str, words: Vocabulary) -> bool:
    """A question without its mark; "am coming" is none."""
    return words.asking.match(text) is not None and not text.startswith("am ")


def _certain(said: _Said, found: Reading) -> Reading:
    if not said.asked:
        return _unasked(found)
    return _doubt(found) if said.is_question or said.no_sign else found


def _unasked(found: Reading) -> Reading:
    return Reading(Intent.OTHER, UNSURE, found.language, f"{found.because}, and nothing was asked")


def _doubt(found: Reading) -> Reading:
    return Reading(Intent.OTHER, UNSURE, found.language, f"{found.because}, {DOUBTED}")


def _whole(
    said: _Said, words: Vocabulary, phrases: frozenset[str], intent: Intent, *, besides: frozenset[str] = frozenset()
) -> Reading | None:
    """The message consists of these phrases and of polite words, in this language or together with English ones."""
    if said.text in phrases:
        return Reading(intent, WHOLE, words.code, f"“{said.text}”")
    if said.is_long or not covers(said.tokens, phrases, polite_words() | besides):
        return None
    return Reading(intent, WITH_OTHERS, words.code, f"“{said.text}”")
