"""Making what people type uniform, so that words are found however they are written. Knows no word."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile("['`\u2018\u2019\u02bc\u02b9\u00b4]")
_DOUBLED = re.compile(r"([^\W\d_])\1+")
_KEPT_MARKS = re.compile(r"[\u0900-\u0903\u093a\u093b\u093e-\u094f\u0955-\u0957]")
# Letters that are typed for one another: Arabic yeh, teh marbuta, alef and keheh, its lengthening sign, Hindi's signs for
# a nasal vowel, and i without its dot.
_LETTERS = str.maketrans(
    {
        "\u0649": "\u064a",
        "\u06cc": "\u064a",
        "\u0629": "\u0647",
        "\u0671": "\u0627",
        "\u06a9": "\u0643",
        "\u0640": "",
        "\u0901": "\u0902",
        "\u0131": "i",
    }
)


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
