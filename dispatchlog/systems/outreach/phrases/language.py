"""The shape of one language's words for answers. Holds none itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """Words are separated by commas, or by ends of lines; patterns are regular expressions over whole words, one a line.

    Both are written without accents or with them, as is plain: they are folded as answers are. `*_words` count where a
    message consists of them and of `polite` ones; `*_patterns` count wherever they stand. `cancel_words` end an appointment
    where one is asked about, and messages elsewhere. `yes_words` say yes to whatever was asked, also to messages after a stop.
    A yes may stand among words of
    `beside_yes`. With one of `doubts` nothing is confirmed, and with `asking` at the beginning neither.
    """

    code: str
    yes_words: str
    confirm_words: str
    confirm_patterns: str
    reschedule_words: str
    reschedule_patterns: str
    cancel_words: str
    stop_words: str
    stop_patterns: str
    not_stop_patterns: str
    start_words: str
    start_patterns: str
    help_words: str
    help_patterns: str
    polite: str
    beside_yes: str
    doubts: str
    asking: str
    alternatives: str
