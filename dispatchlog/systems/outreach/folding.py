"""Making what people type uniform, so that words are found however they are written. Knows no word."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile("['’‘ʼʹ`´]")
_DOUBLED = re.compile(r"([^\W\d_])\1+")
_KEPT_MARKS = re.compile(r"[\u0900-\u0903\u093a\u093b\u093e-\u094f\u0955-\u0957]")
_LETTERS = str.maketrans({"ى": "ي", "ة": "ه", "ـ": "", "ٱ": "ا", "ک": "ك", "ی": "ي", "\u0901": "\u0902", "ı": "i"})


def fold(text: str) -> str:
    """Words of small letters and digits with one blank between them: no accents where people leave them out, no
    punctuation, digits of every script as ASCII, letters that are held down counted once."""
    plain = fold_letters(unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(_word_character(character) for character in plain).split())


def fold_letters(text: str) -> str:
    """The same of letters alone, for patterns: everything else stays."""
    decomposed = unicodedata.normalize("NFD", _APOSTROPHES.sub("", text)).translate(_LETTERS)
    kept = "".join(each for each in decomposed if not _is_dropped(each))
    return _DOUBLED.sub(r"\1", kept)


def _is_dropped(character: str) -> bool:
    category = unicodedata.category(character)
    return category == "Cf" or (category in ("Mn", "Me") and not _KEPT_MARKS.match(character))


def _word_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return character if category[0] in "LMN" else " "
