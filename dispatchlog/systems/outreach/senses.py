"""Which senses the words of an answer have, language by language. Finds words; decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dispatchlog.systems.outreach.folding import fold
from dispatchlog.systems.outreach.phrases import LANGUAGES, MEANINGS
from dispatchlog.systems.outreach.phrases.sense import Sense
from dispatchlog.systems.outreach.vocabulary import words_of

_LONGEST_PHRASE = 6
_SHORTEST_TYPO = 6
_LONGEST_WORD = 24
BREAK = frozenset[Sense]()
_ENGLISH = "en"
# Arabic writes "and", "by", "to" and "the" together with the word that follows.
_JOINED = re.compile("(?:[وفبل]?ال|لل|[وفبل])(?=[\u0621-\u064a]{3})")
# The lists of phrases add to the senses what these have not named. One word alone may mean too much for the latter three.
_LISTS = (
    (Sense.YES, ("yes_words", "confirm_words"), 1),
    (Sense.DOUBT, ("doubts",), 1),
    (Sense.FILLER, ("polite", "beside_yes"), 1),
    (Sense.UNSUBSCRIBE, ("stop_words",), 2),
    (Sense.CANCEL, ("cancel_words",), 2),
    (Sense.HELP, ("help_words",), 2),
)


@dataclass(frozen=True)
class Sensed:
    """An answer as one language has it: the senses of each group of words, `BREAK` between clauses, how many words
    are known (those of English beside another language count a little less), and how many are not."""

    code: str
    groups: tuple[frozenset[Sense], ...]
    known: float
    unknown: int

    @property
    def fit(self) -> tuple[float, int]:
        """Among languages that know as many words, that fits which has them in longer phrases."""
        return self.known, -len(self.groups)

    def has(self, *senses: Sense) -> bool:
        return any(sense in group for group in self.groups for sense in senses)

    def before(self, first: Sense, then: Sense, *, within: int) -> bool:
        """Whether `first` stands at most `within` groups before `then` in one clause."""
        left = 0
        for group in self.groups:
            if group is BREAK:
                left = 0
            elif left and then in group and first not in group:
                return True
            left = within if first in group else max(0, left - 1)
        return False


@dataclass(frozen=True)
class _Lexicon:
    phrases: Mapping[str, frozenset[Sense]]
    stems: Mapping[str, frozenset[Sense]]
    misspelt: Mapping[str, frozenset[Sense]]

    def find(self, tokens: Sequence[str], start: int) -> tuple[int, frozenset[Sense]]:
        """How many tokens from `start` are one group, and its senses."""
        for length in range(min(_LONGEST_PHRASE, len(tokens) - start), 0, -1):
            if found := self.phrases.get(" ".join(tokens[start : start + length])):
                return length, found
        word = tokens[start][:_LONGEST_WORD]
        for length in range(len(word), 2, -1):
            if found := self.stems.get(word[:length]):
                return 1, found
        if (joined := _JOINED.match(word)) and (found := self.phrases.get(word[joined.end() :])):
            return 1, found
        if len(word) >= _SHORTEST_TYPO:
            for spelling in _spellings(word):
                if found := self.misspelt.get(spelling):
                    return 1, found
        return 0, BREAK


def sensed(clauses: Sequence[str], first: str) -> tuple[Sensed, ...]:
    """The answer as the languages have it that know most of its words, `first` among equals."""
    all_of_it = [_sensed(code, clauses) for code in MEANINGS]
    most = max(each.fit for each in all_of_it)
    best = [each for each in all_of_it if each.fit == most]
    return tuple(sorted(best, key=lambda each: each.code != first))


def _sensed(code: str, clauses: Sequence[str]) -> Sensed:
    groups: list[frozenset[Sense]] = []
    known, unknown = 0.0, 0
    for clause in clauses:
        tokens = clause.split()
        at = 0
        while at < len(tokens):
            length, senses = _lexicon(code).find(tokens, at)
            worth = 1.0
            if not length and code != _ENGLISH:
                length, senses = _lexicon(_ENGLISH).find(tokens, at)
                worth = 0.9
            if tokens[at].isdigit() and not length:
                length, senses = 1, frozenset({Sense.FILLER})
            known += length * worth
            unknown += not length
            groups.append(senses or frozenset({Sense.FILLER}))
            at += length or 1
        groups.append(BREAK)
    return Sensed(code, tuple(groups), known, unknown)


@cache
def _lexicon(code: str) -> _Lexicon:
    phrases: dict[str, frozenset[Sense]] = {}
    stems: dict[str, frozenset[Sense]] = {}
    for sense, words in MEANINGS[code].items():
        for entry in words.split(","):
            into = stems if entry.strip().endswith("*") else phrases
            folded = fold(entry)
            if folded:
                into[folded] = into.get(folded, frozenset()) | {sense}
    language = next(each for each in LANGUAGES if each.code == code)
    for sense, names, words_at_least in _LISTS:
        for entry in frozenset[str]().union(*(words_of(getattr(language, name)) for name in names)):
            if len(entry) > 1 and len(entry.split()) >= words_at_least:
                phrases.setdefault(entry, frozenset({sense}))
    misspelt = {
        spelling: senses
        for word, senses in phrases.items()
        if len(word) >= _SHORTEST_TYPO and " " not in word
        for spelling in _spellings(word)
    }
    return _Lexicon(phrases, stems, misspelt)


def _spellings(word: str) -> Iterator[str]:
    """The word and what is left of it without one letter: two words that are one slip apart share one of these."""
    yield word
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
