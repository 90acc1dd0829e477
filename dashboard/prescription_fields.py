"""The form of a prescription, lab request or referral: fields, reading, and what is wrong. Stores nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dispatchlog.systems.tickets.inputs import MOST_ITEMS, Draft, ItemInput, PrescriptionInput, TicketError
from dispatchlog.systems.tickets.states import TicketType

MOST_LINES: Final = 4_000
MOST_REFILLS: Final = 99
# More than any field may hold, so that what is too long is said instead of cut off.
_MOST_READ: Final = 20_000
_INDEX: Final = re.compile(r"items-([0-9]{1,4})-name")
_ERROR_FIELD: Final = re.compile(r"items\[([0-9]{1,4})\]\.([a-z]+)")
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an item. `size` is how many of six columns it takes; `kind` is text, lines or number."""

    name: str
    label: str
    most: int = 255
    size: int = 2
    kind: str = "text"
    hint: str = ""
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """How the form speaks of one type of ticket."""

    title: str
    item: str
    items: str
    fields: tuple[Field, ...]
    notes: str


_EVERY_FIELD: Final = (
    Field("name", "Medicine", size=6, needed=True),
    Field("strength", "Strength", most=64, hint="Such as 500 mg"),
    Field("form", "Form", most=64, hint="Such as tablet"),
    Field("quantity", "Quantity", most=64, hint="Such as 20 tablets"),
    Field("dosage", "Dosage", hint="Such as 1 tablet"),
    Field("frequency", "How often", hint="Such as twice a day"),
    Field("duration", "For how long", hint="Such as 10 days"),
    Field("refills", "Refills", size=2, kind="number", most=2),
    Field("instructions", "Instructions", most=MOST_LINES, size=6, kind="lines"),
)
FORMS: Final[Mapping[TicketType, Words]] = MappingProxyType(
    {
        TicketType.PRESCRIPTION: Words(
            "Prescription", "Medicine", "Medicines", _EVERY_FIELD, "Notes to the pharmacy and the patient"
        ),
        TicketType.LAB_REQUEST: Words(
            "Lab request",
            "Test",
            "Tests",
            (
                Field("name", "Test", size=6, needed=True),
                Field("form", "Specimen", most=64, size=3, hint="Such as venous blood"),
                Field("frequency", "When", size=3, hint="Such as once, fasting"),
                Field("instructions", "What to look for", most=MOST_LINES, size=6, kind="lines"),
            ),
            "Notes to the laboratory and the patient",
        ),
        TicketType.REFERRAL: Words(
            "Referral",
            "Question",
            "Questions",
            (
                Field("name", "Question", size=6, needed=True, hint="What the other doctor is asked"),
                Field("instructions", "What is known", most=MOST_LINES, size=6, kind="lines"),
            ),
            "Notes to the other doctor and the patient",
        ),
    }
)


def fields_of(ticket_type: TicketType, item: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of the type, and any other that the item holds all the same: nothing is sent unseen."""
    usual = FORMS[ticket_type].fields
    names = {field.name for field in usual}
    return usual + tuple(field for field in _EVERY_FIELD if field.name not in names and text_of(item, field.name))


def text_of(item: Mapping[str, Any], name: str) -> str:
    """What an item of a draft holds, as text; no refills are nothing."""
    value = item.get(name)
    return "" if value is None or (name == "refills" and value in (0, "0")) else str(value)


def read_form(form: MultiDict[str, str]) -> Draft:
    """What the form holds, in the order of its rows, unchecked."""
    numbers = sorted({int(found[1]) for name in form if (found := _INDEX.fullmatch(name))})
    items = [
        {field.name: _read(form, f"items-{number}-{field.name}", field.kind) for field in _EVERY_FIELD}
        for number in numbers
    ]
    return {
        "items": [{name: value for name, value in item.items() if value} for item in items],
        "notes": _lines(form.get("notes", "")),
    }


def rows_of(draft: Draft | None) -> list[Mapping[str, Any]]:
    """The items of a draft, whoever wrote it."""
    items = (draft or {}).get("items")
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, Sequence) else []


def notes_of(draft: Draft | None) -> str:
    """The notes of a draft."""
    return str((draft or {}).get("notes") or "")


def without_empty_rows(draft: Draft) -> Draft:
    """The draft as it would be sent."""
    return {**draft, "items": [item for item in rows_of(draft) if any(text_of(item, name) for name in item)]}


def faults_of(draft: Draft, ticket_type: TicketType) -> dict[str, str]:
    """What is wrong with it, by the form's field; "" where it is about the whole."""
    words, items = FORMS[ticket_type], rows_of(draft)
    faults: dict[str, str] = {}
    if not items:
        faults[""] = f"Write at least one {words.item.lower()}."
    if len(items) > MOST_ITEMS:
        faults[""] = f"There are {len(items)}; at most {MOST_ITEMS} can be sent at once."
    for number, item in enumerate(items):
        for field in fields_of(ticket_type, item):
            if fault := _fault(field, text_of(item, field.name)):
                faults[f"items-{number}-{field.name}"] = fault
        if ticket_type is TicketType.PRESCRIPTION and not (text_of(item, "dosage") or text_of(item, "quantity")):
            faults[f"items-{number}-dosage"] = "Say how much to take, or fill in the quantity."
    if len(notes_of(draft)) > MOST_LINES:
        faults["notes"] = f"At most {MOST_LINES:,} characters; these are {len(notes_of(draft)):,}."
    return faults


def fault_told(error: TicketError) -> dict[str, str]:
    """A refusal of the system of tickets, by the form's field."""
    found = _ERROR_FIELD.fullmatch(error.field)
    sentence = f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}."
    return {f"items-{found[1]}-{found[2]}" if found else "notes" if error.field == "notes" else "": sentence}


def to_input(draft: Draft) -> PrescriptionInput:
    """A draft without faults, as it is saved."""
    items = [
        ItemInput(
            **{field.name: text_of(item, field.name) for field in _EVERY_FIELD if field.name != "refills"},
            refills=int(text_of(item, "refills") or 0),
        )
        for item in rows_of(draft)
    ]
    return PrescriptionInput(items=tuple(items), notes=notes_of(draft))


def fingerprint(draft: Draft, receiver_id: UUID) -> str:
    """What stands for exactly this draft to exactly this receiver."""
    told = json.dumps([rows_of(draft), notes_of(draft), str(receiver_id)], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def _fault(field: Field, text: str) -> str:
    if field.needed and not text:
        return "This is needed."
    if field.kind == "number":
        fits = not text or (
            text.isascii() and text.isdigit() and int(text[:4]) <= MOST_REFILLS and len(text) <= field.most
        )
        return "" if fits else f"A whole number up to {MOST_REFILLS}."
    return f"At most {field.most:,} characters; these are {len(text):,}." if len(text) > field.most else ""


def _read(form: MultiDict[str, str], name: str, kind: str) -> str:
    text = form.get(name, "")[:_MOST_READ]
    return _lines(text) if kind == "lines" else " ".join(_CONTROL.sub(" ", text).split())


def _lines(text: str) -> str:
    """Several lines of plain text."""
    text = text[:_MOST_READ].replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return _CONTROL.sub("", text).strip()
