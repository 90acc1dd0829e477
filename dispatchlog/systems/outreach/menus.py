"""The menu of a text: which number stands for which answer. Reads the text alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache

from dispatchlog.systems.outreach.folding import fold
from dispatchlog.systems.outreach.phrases import LANGUAGES
from dispatchlog.systems.outreach.states import Intent
from dispatchlog.systems.outreach.vocabulary import alternatives, words_of

USUAL: Mapping[str, Intent] = {"1": Intent.CONFIRM, "2": Intent.RESCHEDULE}
_DIGIT = re.compile(r"(?<![\d:.,/])\d(?![\d:/]|[.,]\d)")
_PARTS = re.compile(r"[,;.\n|/()،؛।]+")


@lru_cache(maxsize=1024)
def menu_of(offered: str) -> Mapping[str, Intent]:
    """What numbers mean in answer to this text; where it says nothing, 1 confirms and 2 asks for another time. A number
    that the text gives two meanings has none."""
    found: dict[str, set[Intent]] = {}
    waiting = ""
    for part in _parts(offered):
        digits = _DIGIT.findall(part)
        intent = _meaning(fold(_DIGIT.sub(" ", part)))
        if intent is None:
            waiting = digits[0] if len(digits) == 1 else ""
            continue
        for digit in digits or filter(None, [waiting]):
            found.setdefault(fold(digit), set()).add(intent)
        waiting = ""
    said = {digit: meanings.pop() for digit, meanings in found.items() if len(meanings) == 1}
    taken = set(said.values())
    usual = {digit: intent for digit, intent in USUAL.items() if digit not in found and intent not in taken}
    return {**usual, **said}


def _parts(offered: str) -> Iterator[str]:
    """The text between its commas, ends of sentences and words for "or"."""
    for part in _PARTS.split(offered):
        words: list[str] = []
        for word in part.split():
            if fold(word) in alternatives():
                yield " ".join(words)
                words = []
            else:
                words.append(word)
        yield " ".join(words)


def _meaning(text: str) -> Intent | None:
    """Of one word for it, or of several for the same."""
    intents = {_words()[word] for word in text.split() if word in _words()}
    return intents.pop() if len(intents) == 1 else None


@cache
def _words() -> Mapping[str, Intent]:
    """Single words that name an answer, where all languages agree about it."""
    named: dict[str, set[Intent]] = {}
    for language in LANGUAGES:
        for intent, text in (
            (Intent.CONFIRM, f"{language.yes_words}, {_CONFIRM}"),
            (Intent.RESCHEDULE, f"{language.reschedule_words}, {language.cancel_words}, {_RESCHEDULE}"),
            (Intent.STOP, language.stop_words),
            (Intent.HELP, language.help_words),
        ):
            for phrase in words_of(text):
                if " " not in phrase and len(phrase) > 1:
                    named.setdefault(phrase, set()).add(intent)
    return {word: intents.pop() for word, intents in named.items() if len(intents) == 1 and word not in _NAMES_NOTHING}


_CONFIRM = "confirm, confirmar, confirmer, تأكيد, للتأكيد, पुष्टि, pushti, confirm karne, jeri, jẹ́rìí"
_RESCHEDULE = (
    "reschedule, reprogramar, reagendar, remarcar, reporter, cambiar, changer, تغيير, لتغيير, تأجيل, बदलने, badalne, yi"
)
# Words of answers that also stand in any sentence.
_NAMES_NOTHING = frozenset(
    {"para", "no", "na", "la", "later", "move", "en", "de", "end", "fim", "fin", "pe", "ha", "ah"}
)
