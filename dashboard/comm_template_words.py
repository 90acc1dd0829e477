"""Templates in plain words: levels, fields, what a preview found. Owns the words; reads nothing."""

from __future__ import annotations

from types import MappingProxyType

from dispatchlog.systems.outreach.gsm import Segments
from dispatchlog.systems.outreach.local_words import LANGUAGES
from dispatchlog.systems.outreach.phi import FINDING_WORDS
from dispatchlog.systems.outreach.rendering import MOST_SEGMENTS, Rendered

LANGUAGE_WORDS = MappingProxyType({code: words.name for code, words in LANGUAGES.items()})
KIND_WORDS = MappingProxyType(
    {
        "text": "Text",
        "name": "Name",
        "number": "Number",
        "url": "Web address",
        "date": "Date",
        "time": "Time of day",
        "datetime": "Date and time",
    }
)
STANDING_WORDS = MappingProxyType(
    {
        "patient_first_name": "the first name of the patient",
        "organization_name": "the name of the clinic",
        "provider_name": "who treats the patient",
        "organization_phone": "the telephone of the clinic",
        "opt_out_hint": "how to end text messages",
    }
)
_FEW = 4
_FIELDS = {
    "name": "Name",
    "language": "Language",
    "family": "Family",
    "subject": "Subject",
    "body": "Text",
    "variants": "Variants",
    "provider_template": "Template at the provider",
    "organization_id": "For whom",
    "provider_id": "For whom",
    "based_on": "Version",
}


def language_word(code: str) -> str:
    """Such as "Portuguese (pt-BR)"."""
    word = LANGUAGE_WORDS.get(code.partition("-")[0])
    return code if word is None else word if code in LANGUAGE_WORDS else f"{word} ({code})"


def field_word(field: str) -> str:
    """A refused field as the form calls it."""
    head, _, rest = field.partition(".")
    if head == "variables":
        return f"Variable {rest}"
    if head == "variants" and rest:
        name, _, part = rest.rpartition(".")
        return f"Variant {name}, {_FIELDS.get(part, part).lower()}"
    return _FIELDS.get(head, "Template")


def finding_words(codes: tuple[str, ...]) -> str:
    """What was found, as a list in one sentence."""
    return "; ".join(FINDING_WORDS.get(code, code) for code in codes)


def segment_words(found: Segments) -> str:
    """How long a text message is."""
    number = f"{found.number} {'segment' if found.number == 1 else 'segments'} of at most {MOST_SEGMENTS}"
    words = f"{number}: {found.characters} characters, {found.room} fit in {'it' if found.number == 1 else 'each'}."
    if 0 < len(found.unusual) <= _FEW:  # of more it is the language that has them, and nobody can do without
        words += f" A text with {' '.join(found.unusual)} takes more room than one of plain letters."
    return words


def withheld_words(rendered: Rendered) -> str:
    """Why the patient gets a link in place of the text."""
    if rendered.withheld:
        return f"{', '.join(rendered.withheld)} says something about health, so the text waits behind a link that ends."
    return f"The text has {finding_words(rendered.found)}, so it waits behind a link that ends."
