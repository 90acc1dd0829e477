"""The words of `phrases`, made uniform and ready to be looked for. Owns how they are looked for; reads no message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from dispatchlog.systems.outreach.folding import fold, fold_letters
from dispatchlog.systems.outreach.phrases import LANGUAGES
from dispatchlog.systems.outreach.phrases.language import Language

_MOST_TOKENS = 14
_LONGEST_PHRASE = 6


@dataclass(frozen=True)
class Vocabulary:
    """One language, ready; English words count beside those of every other."""

    code: str
    yes: frozenset[str]
    confirm: frozenset[str]
    beside_yes: frozenset[str]
    reschedule: frozenset[str]
    cancel: frozenset[str]
    stop: frozenset[str]
    start: frozenset[str]
    help: frozenset[str]
    confirm_pattern: re.Pattern[str]
    reschedule_pattern: re.Pattern[str]
    stop_pattern: re.Pattern[str]
    not_stop_pattern: re.Pattern[str]
    start_pattern: re.Pattern[str]
    help_pattern: re.Pattern[str]
    doubts: re.Pattern[str]
    asking: re.Pattern[str]

    def has_doubts(self, rest: str) -> bool:
        """Whether what stands beside a yes takes it back, or asks."""
        plain = _POLITE().sub(" ", f" {rest} ").strip()
        return self.doubts.search(plain) is not None or self.asking.match(plain) is not None


@cache
def vocabularies(first: str) -> tuple[Vocabulary, ...]:
    """All languages, `first` (a code such as "fr") before the others."""
    return tuple(sorted((_ready(language) for language in LANGUAGES), key=lambda words: words.code != first))


@cache
def polite_words() -> frozenset[str]:
    """What may stand beside an answer without changing it, in any language: people mix them."""
    return frozenset[str]().union(*(words_of(language.polite) for language in LANGUAGES))


@cache
def alternatives() -> frozenset[str]:
    """The words for "or"."""
    return frozenset[str]().union(*(words_of(language.alternatives) for language in LANGUAGES))


def words_of(text: str) -> frozenset[str]:
    """The phrases of a list as `phrases` writes it, folded."""
    return frozenset(filter(None, (fold(phrase) for line in text.splitlines() for phrase in line.split(","))))


def covers(tokens: Sequence[str], phrases: frozenset[str], besides: frozenset[str]) -> bool:
    """Whether the tokens are a row of `phrases` and of what may stand `besides`, with at least one of the former."""
    if not 0 < len(tokens) <= _MOST_TOKENS:
        return False
    plain = {0}  # where a row of only what may stand besides ends
    telling: set[int] = set()
    for end in range(1, len(tokens) + 1):
        for start in range(max(0, end - _LONGEST_PHRASE), end):
            phrase = " ".join(tokens[start:end])
            if phrase in phrases and (start in plain or start in telling):
                telling.add(end)
            if phrase in besides:
                if start in telling:
                    telling.add(end)
                if start in plain:
                    plain.add(end)
    return len(tokens) in telling


@cache
def _ready(language: Language) -> Vocabulary:
    english = next(each for each in LANGUAGES if each.code == "en")
    both = "\n".join

    def words(name: str) -> frozenset[str]:
        return words_of(both((getattr(language, name), getattr(english, name))))

    return Vocabulary(
        code=language.code,
        yes=words("yes_words"),
        confirm=words("confirm_words"),
        beside_yes=words("beside_yes"),
        reschedule=words("reschedule_words"),
        cancel=words("cancel_words"),
        stop=words("stop_words"),
        start=words("start_words"),
        help=words("help_words"),
        confirm_pattern=_pattern(language.confirm_patterns),
        reschedule_pattern=_pattern(language.reschedule_patterns),
        stop_pattern=_pattern(language.stop_patterns),
        not_stop_pattern=_pattern(language.not_stop_patterns),
        start_pattern=_pattern(language.start_patterns),
        help_pattern=_pattern(language.help_patterns),
        doubts=_any_of(words("doubts")),
        asking=_any_of(words("asking")),
    )


@cache
def _POLITE() -> re.Pattern[str]:  # noqa: N802  (a constant that is made when first needed)
    return _any_of(polite_words())


def _pattern(lines: str) -> re.Pattern[str]:
    parts = [fold_letters(line.strip()) for line in lines.splitlines() if line.strip()]
    return re.compile(rf"(?<!\S)(?:{'|'.join(parts)})(?!\S)")


def _any_of(words: frozenset[str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest_first))})(?!\S)")
