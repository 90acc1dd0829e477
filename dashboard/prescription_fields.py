"""The form of a prescription, lab request or referral: fields, reading, and what is wrong. Stores nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dispatchlog.systems.tickets.inputs import MOST_ITEMS, Draft, ItemInput, PrescriptionInput, TicketError
from dispatchlog.systems.tickets.items import checked
from dispatchlog.systems.tickets.states import TicketType

# More than any field may hold, so that what is too long is said instead of cut off.
_MOST_READ: Final = 20_000
_INDEX: Final = re.compile(r"items-([0-9]{1,4})-name")
_ERROR_FIELD: Final = re.compile(r"items\[([0-9]{1,4})\]\.([a-z]+)")
_COUNT: Final = re.compile(r"[0-9]{1,4}")
_BLANK: Final = re.compile(r"[^\S\n]")
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an item. `size` is how many of six columns it takes; `kind` is text, lines or number."""

    name: str
    label: str
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
    Field("name", "Medicine", size=4, needed=True),
    Field("strength", "Strength", hint="Such as 500 mg"),
    Field("form", "Form", hint="Such as tablet"),
    Field("dosage", "Dosage", hint="Such as 1 tablet"),
    Field("frequency", "How often", hint="Such as twice a day"),
    Field("duration", "For how long", hint="Such as 10 days"),
    Field("quantity", "Quantity", hint="Such as 20 tablets"),
    Field("refills", "Refills", kind="number", hint="How often it may be repeated"),
    Field("instructions", "Instructions", size=6, kind="lines"),
)
# A value of each field that nothing is wrong with.
_FINE: Final[Mapping[str, Any]] = MappingProxyType({**{field.name: "-" for field in _EVERY_FIELD}, "refills": 0})
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
                Field("form", "Specimen", size=3, hint="Such as venous blood"),
                Field("frequency", "When", size=3, hint="Such as once, fasting"),
                Field("instructions", "What to look for", size=6, kind="lines"),
            ),
            "Notes to the laboratory and the patient",
        ),
        TicketType.REFERRAL: Words(
            "Referral",
            "Question",
            "Questions",
            (
                Field("name", "Question", size=6, needed=True, hint="What the other doctor is asked"),
                Field("instructions", "What is known", size=6, kind="lines"),
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
    """What the system of tickets would refuse in it, by the form's field; "" where it is about the whole."""
    items = rows_of(draft)
    if not items:
        return {"": f"Write at least one {FORMS[ticket_type].item.lower()}."}
    if len(items) > MOST_ITEMS:
        return {"": f"There are {len(items)}; at most {MOST_ITEMS} can be sent at once."}
    faults: dict[str, str] = {}
    for number, item in enumerate(items):
        faults |= _faults_of_item(number, item, ticket_type)
    fine = ItemInput(name="-", dosage="-")
    return faults | _refused(PrescriptionInput(items=(fine,), notes=notes_of(draft)), ticket_type, 0)


def fault_told(error: TicketError, *, of_item: int = 0) -> dict[str, str]:
    """A refusal of the system of tickets, by the form's field; `of_item` is added to the item's number."""
    found = _ERROR_FIELD.fullmatch(error.field)
    sentence = f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}."
    if found:
        return {f"items-{int(found[1]) + of_item}-{found[2]}": sentence}
    return {"notes" if error.field == "notes" else "": sentence}


def to_input(draft: Draft) -> PrescriptionInput:
    """A draft as it is saved."""
    return PrescriptionInput(items=tuple(_item_input(item) for item in rows_of(draft)), notes=notes_of(draft))


def fingerprint(draft: Draft, receiver_id: UUID) -> str:
    """What stands for exactly this draft to exactly this receiver."""
    told = json.dumps([rows_of(draft), notes_of(draft), str(receiver_id)], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def _item_input(item: Mapping[str, Any]) -> ItemInput:
    refills = text_of(item, "refills") or "0"
    texts = {field.name: text_of(item, field.name) for field in _EVERY_FIELD if field.name != "refills"}
    # What is no number is none that may be.
    return ItemInput(**texts, refills=int(refills) if _COUNT.fullmatch(refills) else -1)


def _faults_of_item(number: int, item: Mapping[str, Any], ticket_type: TicketType) -> dict[str, str]:
    """Everything that is wrong with one item: whatever is refused is put right until nothing is."""
    faults: dict[str, str] = {}
    tried = _item_input(item)
    while refused := _refused(PrescriptionInput(items=(tried,)), ticket_type, number):
        field = next(iter(refused)).rpartition("-")[2]
        if field not in _FINE or refused.keys() <= faults.keys():
            return faults | refused
        faults |= refused
        tried = replace(tried, **{field: _FINE[field]})
    return faults


def _refused(given: PrescriptionInput, ticket_type: TicketType, number: int) -> dict[str, str]:
    try:
        checked(given, ticket_type)
    except TicketError as error:
        return fault_told(error, of_item=number)
    return {}


def _read(form: MultiDict[str, str], name: str, kind: str) -> str:
    text = form.get(name, "")[:_MOST_READ]
    return _lines(text) if kind == "lines" else " ".join(_CONTROL.sub(" ", text).split())


def _lines(text: str) -> str:
    """Several lines of plain text."""
    text = _BLANK.sub(" ", text[:_MOST_READ].replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("", text).strip()
