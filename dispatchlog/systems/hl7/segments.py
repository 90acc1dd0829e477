"""The segments of who and where: MSH, EVN, PID, NK1, PV1, and people and numbers as fields. Takes checked visits only.

Section numbers are those of HL7 v2.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from dispatchlog.systems.hl7 import codes, emirates_id
from dispatchlog.systems.hl7.encoding import (
    ENCODING_CHARACTERS,
    components,
    day,
    repetitions,
    segment,
    text,
    timestamp,
)
from dispatchlog.systems.hl7.identity import Authority, Identity
from dispatchlog.systems.hl7.message_types import MessageType
from dispatchlog.systems.hl7.records import Address, Provider, Student, Visit

VERSION = "2.5.1"
CHARACTER_SET = "UNICODE UTF-8"  # table 0211


def msh(message: MessageType, identity: Identity, control_id: str, created_at: datetime) -> str:
    """2.15.9. No accept acknowledgement is asked for (MSH-15, 16 empty), so the receiver answers in original mode."""
    name = (message.code, message.event, message.structure)
    return segment(
        "MSH",
        ENCODING_CHARACTERS,
        identity.sending_application.field,
        identity.sending_facility.field,
        identity.receiving_application.field,
        identity.receiving_facility.field,
        timestamp(created_at),
        "",
        components(*(name if identity.message_type_form == "FULL" else name[:2])),
        control_id,
        identity.processing_id,
        VERSION,
        *[""] * 5,
        CHARACTER_SET,
    )


def evn(message: MessageType, identity: Identity, visit: Visit, created_at: datetime) -> str:
    """3.4.1: when it was recorded (EVN-2) and when it happened (EVN-6)."""
    facility = identity.sending_facility.field
    return segment("EVN", message.event, timestamp(created_at), "", "", "", timestamp(visit.visited_at), facility)


def pid(visit: Visit, identity: Identity) -> str:
    """3.4.2. The Arabic name is a second repetition of PID-5; nationality also stands in PID-26, which took its place."""
    student = visit.student
    nation = coded(student.nationality, "", "ISO3166") if student.nationality else ""
    address = [_address(student.address)] if student.address else []
    return segment(
        "PID",
        "1",
        "",
        _identifiers(student, identity),
        "",
        _names(student),
        "",
        day(student.birth_date),
        student.sex,
        *["", ""],
        repetitions(address),
        "",
        reach(student.phone, student.email),
        *[""] * 12,
        nation,
        "",
        nation,
    )


def nk1(visit: Visit) -> list[str]:
    """3.4.5, if a guardian is known."""
    guardian = visit.student.guardian
    if guardian is None:
        return []
    name = components(text(guardian.family_name), text(guardian.given_name), "", "", "", "", "L")
    relationship = from_table(guardian.relationship, codes.RELATIONSHIP, "0063")
    return [segment("NK1", "1", name, relationship, "", reach(guardian.phone, guardian.email))]


def pv1(visit: Visit, identity: Identity) -> str:
    """3.4.3."""
    facility = text(identity.sending_facility.namespace)
    return segment(
        "PV1",
        "1",
        visit.patient_class,
        components("", "", "", facility),
        *["", "", ""],
        person(visit.provider),
        *[""] * 11,
        numbered(visit.number, identity.visit_authority, "VN"),
        *[""] * 24,
        timestamp(visit.visited_at),
    )


def person(provider: Provider | None) -> str:
    """XCN (2.A.86)."""
    if provider is None:
        return ""
    return components(text(provider.id), text(provider.family_name), text(provider.given_name))


def numbered(value: str, authority: Authority, kind: str) -> str:
    """CX (2.A.14): a number, whose it is, and what kind (table 0203)."""
    return components(text(value), "", "", authority.component, kind)


def coded(code: str, words: str, system: str) -> str:
    """CE (2.A.10)."""
    return components(text(code), text(words), system)


def from_table(code: str, table: Mapping[str, str], number: str) -> str:
    """CE of a value of an HL7 table."""
    return components(code, text(table[code]), f"HL7{number}")


def reach(phone: str, email: str) -> str:
    """XTN (2.A.89), one repetition each for telephone and e-mail."""
    return repetitions(
        (
            components(text(phone), "PRN", "PH") if phone else "",
            components("", "NET", "Internet", text(email)) if email else "",
        )
    )


def _identifiers(student: Student, identity: Identity) -> str:
    own = numbered(student.id, identity.patient_authority, "MR")
    if not student.emirates_id:
        return own
    national = numbered(emirates_id.written(student.emirates_id), identity.national_authority, "NI")
    return repetitions((own, national))


def _names(student: Student) -> str:
    """XPN (2.A.88), both of them legal names (L)."""
    latin = components(text(student.family_name), text(student.given_name), text(student.middle_name), "", "", "", "L")
    if not (student.family_name_ar or student.given_name_ar):
        return latin
    arabic = components(text(student.family_name_ar), text(student.given_name_ar), "", "", "", "", "L")
    return repetitions((latin, arabic))


def _address(address: Address) -> str:
    """XAD (2.A.85), where somebody lives (H)."""
    lines = (address.street, "", address.city, address.state, address.postal_code, address.country)
    return components(*map(text, lines), "H") if any(lines) else ""
