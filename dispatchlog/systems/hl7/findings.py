"""The segments of what was found, given and booked: OBR, OBX, DG1, AL1, ORC, RXA, RXR, SCH, RGS, AIS, AIL, AIP, PRB, NTE.

Takes checked visits only. Section numbers are those of HL7 v2.5.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from dispatchlog.systems.hl7 import codes
from dispatchlog.systems.hl7.encoding import components, day, formatted_text, number, segment, text, timestamp
from dispatchlog.systems.hl7.identity import Identity
from dispatchlog.systems.hl7.records import Appointment, Immunisation, Visit
from dispatchlog.systems.hl7.segments import coded, from_table, person

VITALS_PANEL = (
    "85353-1",
    "Vital signs, weight, height, head circumference, oxygen saturation and BMI panel",
    "LN",
)
DIAGNOSIS = components("29308-4", "Diagnosis", "LN")
ALLERGY = components("48765-2", "Allergies and adverse reactions", "LN")
NOTE = components("34109-9", "Note", "LN")
UNMEASURED = "999"  # RXA-6 when the amount is not known (4.14.7.6)
MINUTES = components("min", "minute", "UCUM")
NAMES = {sign.loinc: components(sign.loinc, text(sign.name), "LN") for sign in codes.VITALS}
UNITS = {sign.loinc: components(text(sign.unit), sign.unit_name, "UCUM") for sign in codes.VITALS}


def obr(visit: Visit, identity: Identity) -> str:
    """7.4.1: one report of the visit, final (OBR-25 F), known by the visit's number."""
    at = timestamp(visit.visited_at)
    return segment(
        "OBR",
        "1",
        "",
        _known_by(visit.number, identity),
        components(*map(text, VITALS_PANEL)),
        *["", ""],
        at,
        *[""] * 8,
        person(visit.provider),
        *[""] * 5,
        at,
        *["", ""],
        "F",
    )


def vitals(visit: Visit) -> list[tuple[str, str, str, str]]:
    """Each measurement as a number of its own: type, what it is, value, unit. No pair such as 120/80 is ever a number."""
    measured = visit.vitals
    if measured is None:
        return []
    found = []
    for sign in codes.VITALS:
        value: Decimal | None = getattr(measured, sign.attribute)
        if value is not None:
            found.append(("NM", NAMES[sign.loinc], number(value), UNITS[sign.loinc]))
    return found


def diagnoses(visit: Visit) -> list[tuple[str, str, str, str]]:
    """For messages without DG1."""
    return [("CE", DIAGNOSIS, coded(each.code, each.text, "I10"), "") for each in visit.diagnoses]


def allergies(visit: Visit) -> list[tuple[str, str, str, str]]:
    """For messages without AL1."""
    found = []
    for each in visit.allergies:
        words = f"{codes.ALLERGY_TYPE[each.type]}: {each.text}; severity: {codes.SEVERITY[each.severity]}"
        if each.reaction:
            words += f"; reaction: {each.reaction}"
        found.append(("TX", ALLERGY, text(words), ""))
    return found


def note(visit: Visit) -> list[tuple[str, str, str, str]]:
    """For messages without NTE."""
    return [("TX", NOTE, formatted_text(visit.notes), "")] if visit.notes else []


def obx(visit: Visit, observations: list[tuple[str, str, str, str]]) -> list[str]:
    """7.4.2, all of them final (OBX-11 F) and of the instant of the visit."""
    at = timestamp(visit.visited_at)
    tail = f"|||||F|||{at}"
    return [
        f"OBX|{position}|{kind}|{what}||{value}|{unit}{tail}"
        for position, (kind, what, value, unit) in enumerate(observations, 1)
    ]


def dg1(visit: Visit) -> list[str]:
    """6.5.2."""
    at = timestamp(visit.visited_at)
    return [
        segment("DG1", str(position), "", coded(each.code, each.text, "I10"), "", at, each.type)
        for position, each in enumerate(visit.diagnoses, 1)
    ]


def al1(visit: Visit) -> list[str]:
    """3.4.6."""
    return [
        segment(
            "AL1",
            str(position),
            from_table(each.type, codes.ALLERGY_TYPE, "0127"),
            components("", text(each.text)),
            from_table(each.severity, codes.SEVERITY, "0128"),
            text(each.reaction),
            day(each.since) if each.since else "",
        )
        for position, each in enumerate(visit.allergies, 1)
    ]


def doses(visit: Visit, identity: Identity) -> Iterator[list[str]]:
    """ORC (4.5.1), RXA (4.14.7) and RXR (4.14.2) of each dose; RE: observations to follow, CP: complete."""
    for position, dose in enumerate(visit.immunisations, 1):
        known_by = _known_by(f"{visit.number}-{position}", identity)
        yield [
            segment("ORC", "RE", "", known_by, *[""] * 8, person(visit.provider)),
            _rxa(visit, dose),
            _rxr(dose),
        ]


def _rxa(visit: Visit, dose: Immunisation) -> str:
    at = timestamp(dose.at)
    measured = dose.dose_ml is not None
    maker = dose.manufacturer
    is_code = codes.MVX.fullmatch(maker)
    return segment(
        "RXA",
        "0",
        "1",
        at,
        at,
        coded(dose.cvx, dose.name, "CVX"),
        number(dose.dose_ml) if dose.dose_ml is not None else UNMEASURED,
        components("mL", "milliliter", "UCUM") if measured else "",
        "",
        components("00", "New immunization record", "NIP001"),
        person(visit.provider),
        *[""] * 4,
        text(dose.lot),
        "",
        (coded(maker, "", "MVX") if is_code else components("", text(maker))),
        *["", ""],
        "CP",
        "A",
    )


def _rxr(dose: Immunisation) -> str:
    site = from_table(dose.site, codes.SITE, "0163") if dose.site else ""
    return segment("RXR", from_table(dose.route, codes.ROUTE, "0162"), site)


def sch(visit: Visit, appointment: Appointment, identity: Identity) -> str:
    """10.6.1. SCH-11 says from when to when (TQ.4, TQ.5); who is asked (16) and who entered it (20) are the clinician."""
    at = appointment.starts_at
    until = at + timedelta(minutes=appointment.duration_minutes)
    provider = person(visit.provider)
    known_by = _known_by(appointment.id, identity)
    return segment(
        "SCH",
        known_by,
        known_by,
        *["", "", ""],
        components("BOOKED", "Appointment booked", "L"),
        components("", text(appointment.reason)),
        "",
        str(appointment.duration_minutes),
        MINUTES,
        components("", "", "", timestamp(at), timestamp(until)),
        *[""] * 4,
        provider,
        *[""] * 3,
        provider,
        *[""] * 4,
        components(appointment.status, "", "HL70278"),
    )


def resources(visit: Visit, appointment: Appointment) -> list[str]:
    """RGS, AIS, AIL and AIP (10.6): what, where, by whom and from when, all added (A)."""
    time = (timestamp(appointment.starts_at), "", "", str(appointment.duration_minutes), MINUTES)
    found = [
        segment("RGS", "1", "A"),
        segment("AIS", "1", "A", components("", text(appointment.reason)), *time),
    ]
    if appointment.location:
        place = components(*[""] * 8, text(appointment.location))
        found.append(segment("AIL", "1", "A", place, "", "", *time))
    found.append(segment("AIP", "1", "A", person(visit.provider), "", "", *time))
    return found


def prb(visit: Visit, identity: Identity) -> list[str]:
    """Chapter 12, each problem new (AD)."""
    at = timestamp(visit.visited_at)
    return [
        segment(
            "PRB",
            "AD",
            at,
            coded(problem.code, problem.text, "I10"),
            _known_by(f"{visit.number}-{position}", identity),
            *["", ""],
            at,
            *[""] * 8,
            day(problem.onset) if problem.onset else "",
        )
        for position, problem in enumerate(visit.problems, 1)
    ]


def nte(visit: Visit) -> list[str]:
    """2.15.10; L: the comment is the sender's (table 0105)."""
    return [segment("NTE", "1", "L", formatted_text(visit.notes))] if visit.notes else []


def _known_by(value: str, identity: Identity) -> str:
    """EI (2.A.28): a number and the system that gave it."""
    return components(text(value), text(identity.sending_application.namespace))
