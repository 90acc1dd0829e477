"""How people answer, in every language that is read: words and patterns as data. Decides nothing."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases import arabic, english, french, hindi, portuguese, spanish, yoruba
from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGES: tuple[Language, ...] = (
    english.LANGUAGE,
    spanish.LANGUAGE,
    french.LANGUAGE,
    arabic.LANGUAGE,
    portuguese.LANGUAGE,
    hindi.LANGUAGE,
    yoruba.LANGUAGE,
)
