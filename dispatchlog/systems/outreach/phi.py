"""What says something about a patient's health, and so never stands in an SMS or WhatsApp message. Pure functions.

It withholds rather too much than too little. It is the second lock: the first is that a template declares which variables
say something about health.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from dispatchlog.systems.outreach import phi_words

# Letters of other scripts that look like Latin ones.
_ALIKE = str.maketrans(
    "авекмнорстухіјѕԁԛԝһɡαβεικνορτυχγ" + "ıłøđ",
    "abekmhopctyxijsdqwhgabeiknoptuxy" + "ilod",
)
_UNITS = (
    r"(?:mg/dl|mmol/l|mmol/mol|umol/l|µmol/l|g/dl|g/l|ng/ml|pg/ml|miu/l|iu/l|u/l|mmhg|copies/ml|cells/mm3|cells/ul"
    r"|ml/min|kg/m2|bpm)"
)
_DOSE = re.compile(
    r"\d\s*(?:mg|mcg|µg|μg|ug|ml|iu|ui|units?|unidades|unites|meq|مجم|ملجم|ملغ|مل|मिलीगराम|एमजी|"
    r"tab(?:let)?s?|caps?(?:ule)?s?|pills?|puffs?|drops|injections?|comprimid\w*|compri\w*|capsul\w*|pastillas?|gelules?"
    r"|gouttes|gotas|حبة|حبات|أقراص|गोली|गोलियां)(?![\w])"
)
_RESULT_UNIT = re.compile(r"\d\s*" + _UNITS)
_ICD = re.compile(r"(?<!\w)[a-tv-z]\d[0-9a-b]\.\d{1,4}(?!\w)")
_ICD_SAID = re.compile(
    r"(?<!\w)(?:icd|icd-?10|cie-?10|cim-?10|cid-?10|cid|dx|diagnos\w*|code)[\s:#-]{0,3}[a-tv-z]\d\d(?!\w)"
)
_DIAGNOSED = re.compile(r"(?<!\w)(?:diagnos|diagnost|sintoma|symptom|symptome|تشخيص|निदान)")
_PRESSURE = re.compile(r"(?<!\d)\d{2,3}\s*(?:/|over)\s*\d{2,3}(?!\d|/)")
_NUMBERS = (
    re.compile(r"(?<!\d)784[\s.-]?\d{4}[\s.-]?\d{7}[\s.-]?\d(?!\d)"),  # Emirates ID
    re.compile(r"(?<![\d+-])(?<!\+\d )\d{3}-\d{2}-\d{4}(?![\d-])"),  # United States social security
    re.compile(r"(?<!\d)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)"),  # Brazil, CPF
    re.compile(r"(?<![\d+])(?<!\d )\d{4}[ -]\d{4}[ -]\d{4}(?![ -]?\d)"),  # India, Aadhaar
)
_BIRTH = re.compile(
    r"(?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:19\d\d|200\d|201\d)|(?:19\d\d|200\d|201\d)[./-]\d{1,2}[./-]\d{1,2})(?!\d)"
)
_SUFFIXES = re.compile(
    r"(?<!\w)\w{3,}(?:cillin|cilina|cilline|statin|sartan|floxacin|cycline|mycin|prazole|prazol|conazole|gliptin|gliflozin"
    r"|zepam|zolam|oxetine|triptyline|tegravir|ciclovir|buvir|navir|zumab|ximab|tinib|olol|lukast|parin|xaban)(?!\w)"
)
_NEAR = 60
_SHORT = 3


def findings(text: str, *, secrets: Iterable[str] = ()) -> Sequence[str]:
    """What in the text must not leave by a text channel, as codes (DIAGNOSIS, MEDICINE, RESULT, IDENTIFIER, BIRTH_DATE,
    SECRET...): empty where nothing does. `secrets` are the values of variables that are PHI; they count however they are
    written."""
    found: set[str] = set()
    for reading in _readings(text):
        found.update(_rules(reading))
    if any(_is_in(secret, text) for secret in secrets):
        found.add("SECRET")
    return tuple(sorted(found))


FINDING_WORDS = {
    "DIAGNOSIS": "an illness, its treatment or a code for one",
    "MEDICINE": "a medicine or a dose",
    "RESULT": "a result",
    "IDENTIFIER": "a number that names a patient",
    "BIRTH_DATE": "a date of birth",
    "SECRET": "the value of a variable that says something about health",
}


def _rules(text: str) -> Iterable[str]:
    if _begins("DIAGNOSES", text) or _ICD.search(text) or _ICD_SAID.search(text) or _DIAGNOSED.search(text):
        yield "DIAGNOSIS"
    if _begins("MEDICINES", text) or _DOSE.search(text) or _SUFFIXES.search(text):
        yield "MEDICINE"
    if _RESULT_UNIT.search(text) or _near("MEASURES", r"\d", text) or _found_by_test(text):
        yield "RESULT"
    if any(each.search(text) for each in _NUMBERS) or _near("IDENTIFIED", r"\d{3}|\d[\d .-]{4}", text):
        yield "IDENTIFIER"
    if _BIRTH.search(text) or _near("BORN", r"\d", text):
        yield "BIRTH_DATE"


def _found_by_test(text: str) -> bool:
    words = _pattern("FOUND").pattern
    return (
        _near("TESTS", words, text)
        or _near("MEASURES", words, text)
        or bool(_pattern("MEASURES").search(text) and _PRESSURE.search(text))
    )


def _begins(name: str, text: str) -> bool:
    return _pattern(name).search(text) is not None


def _near(name: str, what: str, text: str) -> bool:
    """Whether it stands within some letters of one of the words, behind or before."""
    for match in _pattern(name).finditer(text):
        around = text[max(0, match.start() - _NEAR) : match.start()] + "\n" + text[match.end() : match.end() + _NEAR]
        if re.search(what, around):
            return True
    return False


@lru_cache(maxsize=16)
def _pattern(name: str) -> re.Pattern[str]:
    parts = []
    for word in getattr(phi_words, name).split():
        pieces = [_plain(piece.removesuffix("$")) for piece in word.split("-")]
        gaps = r"[\W_]{1,3}".join(re.escape(piece) for piece in pieces)
        parts.append(gaps + (r"(?![\w])" if word.endswith("$") else ""))
    return re.compile(r"(?<![\w])(?:" + "|".join(sorted(set(parts), key=len, reverse=True)) + ")")


def _readings(text: str) -> list[str]:
    """The text as it may be read: plainly, with the signs inside words left out, and with spaced letters joined."""
    plain = _plain(text)
    joined = re.sub(r"(?<=[^\W\d_])[-._*'\u2019·|/\\]{1,2}(?=[^\W\d_])", "", plain)
    spelt = re.sub(
        r"(?<!\w)(?:[^\W\d_][\s._*-]{1,3}){2,}[^\W\d_](?!\w)", lambda found: re.sub(r"[\W_]", "", found[0]), plain
    )
    figures = joined.translate(str.maketrans("013457@$", "oieasta" + "s"))
    return list(dict.fromkeys((plain, joined, spelt, _words_only(figures, joined))))


def _words_only(figures: str, text: str) -> str:
    """Figures are letters only within a word that has letters on both sides: d1abetes, not 10:30."""
    return "".join(
        new if new != old and 0 < at < len(text) - 1 and text[at - 1].isalpha() and text[at + 1].isalpha() else old
        for at, (old, new) in enumerate(zip(text, figures, strict=True))
    )


def _plain(text: str) -> str:
    """In small letters and figures of ours, without accents, invisible characters and look-alikes of other scripts."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = (each for each in text if unicodedata.category(each) not in ("Mn", "Me", "Cf", "Cc") or each in "\n\t")
    letters = "".join(_figure(each) for each in kept).translate(_ALIKE)
    return re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFC", letters))


def _figure(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _is_in(secret: str, text: str) -> bool:
    """Whether the text has it, however it is written; a short one counts as a word of its own."""
    sought = _bare(secret)
    if len(sought) < _SHORT:
        return bool(sought) and sought in re.findall(r"\w+", _plain(text))
    return sought in _bare(text)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", _plain(text))
