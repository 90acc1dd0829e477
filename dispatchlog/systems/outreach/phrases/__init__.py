"""How people answer, in every language that is read: words and patterns as data. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from dispatchlog.systems.outreach.phrases import (
    arabic,
    english,
    french,
    hindi,
    meanings_arabic,
    meanings_english,
    meanings_french,
    meanings_hindi,
    meanings_portuguese,
    meanings_spanish,
    meanings_yoruba,
    portuguese,
    spanish,
    yoruba,
)
from dispatchlog.systems.outreach.phrases.language import Language
from dispatchlog.systems.outreach.phrases.sense import Sense

LANGUAGES: tuple[Language, ...] = (
    english.LANGUAGE,
    spanish.LANGUAGE,
    french.LANGUAGE,
    arabic.LANGUAGE,
    portuguese.LANGUAGE,
    hindi.LANGUAGE,
    yoruba.LANGUAGE,
)
MEANINGS: Mapping[str, Mapping[Sense, str]] = {
    "en": meanings_english.MEANINGS,
    "es": meanings_spanish.MEANINGS,
    "fr": meanings_french.MEANINGS,
    "ar": meanings_arabic.MEANINGS,
    "pt": meanings_portuguese.MEANINGS,
    "hi": meanings_hindi.MEANINGS,
    "yo": meanings_yoruba.MEANINGS,
}
