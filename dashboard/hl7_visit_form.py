"""A stored visit as the fields of a form, and back. Owns which of them a message has and what they are called."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from dispatchlog.systems.hl7 import codes, stored_visit
from dispatchlog.systems.hl7.checks import Fault, VisitError
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES
from dispatchlog.systems.hl7.records import Visit

_VITALS = {sign.attribute: sign for sign in codes.VITALS}
_PARTS = {
    "student": "Student",
    "student.guardian": "Guardian",
    "student.address": "Address",
    "provider": "Clinician",
    "vitals": "Vital signs",
    "appointment": "Appointment",
    "immunisations": "Immunisation",
    "problems": "Problem",
    "diagnoses": "Diagnosis",
    "allergies": "Allergy",
    "notes": "Notes",
}
_LABELS = {
    "id": "Number",
    "family_name": "Family name",
    "given_name": "Given name",
    "middle_name": "Middle name",
    "family_name_ar": "Family name in Arabic",
    "given_name_ar": "Given name in Arabic",
    "emirates_id": "Emirates ID",
    "birth_date": "Date of birth",
    "sex": "Sex",
    "nationality": "Nationality, such as ARE",
    "phone": "Telephone",
    "email": "E-mail address",
    "postal_code": "Postal code",
    "country": "Country, such as ARE",
    "relationship": "Relationship",
    "cvx": "CVX code",
    "at": "Given at, with offset",
    "starts_at": "Begins at, with offset",
    "dose_ml": "Dose in mL",
    "duration_minutes": "Minutes",
    "code": "ICD-10 code",
    "lot": "Lot number",
}
_CHOICES: Mapping[str, Mapping[str, str]] = {
    "student.sex": {"F": "Female", "M": "Male", "O": "Other", "U": "Unknown"},
    "student.guardian.relationship": codes.RELATIONSHIP,
    "appointment.status": {status: status for status in codes.NEW_BOOKING},
    "immunisations.route": codes.ROUTE,
    "immunisations.site": {"": "Not said", **codes.SITE},
    "diagnoses.type": {"A": "Admitting", "W": "Working", "F": "Final"},
    "allergies.type": codes.ALLERGY_TYPE,
    "allergies.severity": codes.SEVERITY,
}
_DATES = ("birth_date", "onset", "since")
# Without the first of its fields, an entry of a list is taken out.
_FIRST = {"immunisations": "cvx", "problems": "code", "diagnoses": "code", "allergies": "text"}
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")


@dataclass(frozen=True, slots=True)
class FormField:
    """One field: its name in the form (`student.given_name`, `problems.0.code`), label, kind and value."""

    name: str
    label: str
    value: str
    kind: str = "text"
    choices: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class FormPart:
    """The fields under one heading; `note` says what an empty entry does."""

    title: str
    fields: tuple[FormField, ...]
    note: str = ""


def parts(record: Mapping[str, Any], message_type: str, faults: Mapping[str, str]) -> list[FormPart]:
    """The form for those parts of a stored visit that a message of this type carries."""
    return [
        FormPart(title, tuple(_field(name, value, faults) for name, value in values), note)
        for title, values, note in _parts(record, MESSAGE_TYPES[message_type].carries)
    ]


def edited(
    record: Mapping[str, Any], message_type: str, form: Mapping[str, str], *, whole: bool = False
) -> dict[str, Any]:
    """The record with what the form holds; what the form does not show stays. `whole` keeps the entries that the form
    takes out, for showing the form again.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(record))
    for _, values, _ in _parts(record, MESSAGE_TYPES[message_type].carries):
        for name, old in values:
            if name in form:
                _put(changed, name, _given(form[name], name, old))
    if whole:
        return changed
    for part, first in _FIRST.items():
        if any(entry.get(first) for entry in record.get(part) or ()):
            changed[part] = [entry for entry in changed[part] if entry.get(first)]
    if changed.get("vitals") is not None and not any(value is not None for value in changed["vitals"].values()):
        changed["vitals"] = None
    return changed


def visit_from(record: Mapping[str, Any]) -> Visit:
    """The visit.

    Raises:
        VisitError: a date or a number cannot be read; `faults` names every such field as a report does.
    """
    try:
        return stored_visit.from_json(record)
    except ValidationError as error:
        found = [_fault(each["loc"]) for each in error.errors()]
        first = found[0]
        raise VisitError(first.message, code=first.code, field=first.field, faults=tuple(found)) from error


def faults_by_field(error: VisitError) -> dict[str, str]:
    """What is wrong, by the form's name of each field; the field's own name need not be said beside it."""
    return {_form_name(fault.field): fault.message.removeprefix(f"{fault.field} ") for fault in reversed(error.faults)}


def _parts(record: Mapping[str, Any], carries: frozenset[str]) -> Iterator[tuple[str, list[tuple[str, Any]], str]]:
    yield "Student", list(_leaves("student", record["student"])), ""
    for name in ("guardian", "address"):
        if record["student"].get(name):
            yield _PARTS[f"student.{name}"], list(_leaves(f"student.{name}", record["student"][name])), ""
    if record.get("provider"):
        yield "Clinician", list(_leaves("provider", record["provider"])), ""
    if "vitals" in carries:
        measured = record.get("vitals") or {}
        yield "Vital signs", [(f"vitals.{name}", measured.get(name)) for name in _VITALS], ""
    if "appointment" in carries and record.get("appointment"):
        yield "Appointment", list(_leaves("appointment", record["appointment"])), ""
    for part, first in _FIRST.items():
        for place, entry in enumerate(record.get(part) or () if part in carries else ()):
            title = f"{_PARTS[part]} {place + 1}"
            note = f"Leave “{_label(first)}” empty to take it out of the message."
            yield title, list(_leaves(f"{part}.{place}", entry)), note
    if "notes" in carries:
        yield "Notes", [("notes", record.get("notes", ""))], ""


def _leaves(place: str, record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        # A school's grade is in no message.
        if not isinstance(value, Mapping) and name not in ("guardian", "address", "grade"):
            yield f"{place}.{name}", value


def _field(name: str, value: Any, faults: Mapping[str, str]) -> FormField:
    last = name.rpartition(".")[2]
    choices = _CHOICES.get(_INDEX.sub("", name), {})
    kind = "choice" if choices else "date" if last in _DATES else "notes" if name == "notes" else "text"
    text = "" if value is None else str(value)
    if choices and text not in choices:
        choices = {text: text, **choices}
    return FormField(name, _label(last), text, kind, choices, faults.get(name, ""))


# As clinics write them, where that is not the unit's code; the code's whole name makes a label of two lines.
_UNITS = {"Cel": "°C", "mm[Hg]": "mmHg", "kg/m2": "kg/m²", "/min": "per min"}


def _label(last: str) -> str:
    if sign := _VITALS.get(last):
        return f"{sign.name.split(' [')[0].split(' in Arterial')[0]} ({_UNITS.get(sign.unit, sign.unit)})"
    return _LABELS.get(last, last.replace("_", " ").capitalize())


def _given(text: str, name: str, old: Any) -> Any:
    """As the stored record holds it: nothing for what may be missing, text for all else."""
    value = text.replace("\r\n", "\n").strip()
    last = name.rpartition(".")[2]
    may_miss = last in _VITALS or last in ("onset", "since", "dose_ml")
    if not value and (may_miss or old is None):
        return None
    return int(value) if last == "duration_minutes" and value.isascii() and value.isdigit() else value


def _put(record: dict[str, Any], name: str, value: Any) -> None:
    *way, last = name.split(".")
    holder: Any = record
    for step in way:
        if isinstance(holder, list):
            holder = holder[int(step)]
        else:
            if holder.get(step) is None:
                holder[step] = {}
            holder = holder[step]
    holder[last] = value


def _fault(place: tuple[Any, ...]) -> Fault:
    name = ".".join(str(step) for step in place)
    words = f"{_label(str(place[-1]))} is missing or cannot be read"
    return Fault(name, "INVALID_FORM", words)


def _form_name(reported: str) -> str:
    """`problems[0].code` and `student.birthDate` as the form calls them."""
    for sign in codes.VITALS:
        if reported == f"vitals.{sign.field}":
            return f"vitals.{sign.attribute}"
    dotted = re.sub(r"\[(\d+)\]", r".\1", reported)
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"_{found[1].lower()}", dotted)
