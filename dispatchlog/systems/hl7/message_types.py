"""The six messages: which one a visit makes, their structures, and which parts of a visit each has room for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatchlog.systems.hl7.records import VisitKind


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message of v2.5.1: `structure` is MSH-9.3; `needs` at least one of these parts of the visit; `carries` these."""

    code: str
    event: str
    structure: str
    needs: tuple[str, ...]
    carries: frozenset[str]


def _message(name: str, structure: str, needs: tuple[str, ...], carries: tuple[str, ...]) -> tuple[str, MessageType]:
    code, event = name.split("^")
    return name, MessageType(code, event, structure, needs, frozenset(carries))


# Chapter 3 (ADT), 4 (VXU, 4.17), 7 (ORU), 10 (SIU), 12 (PPR).
MESSAGE_TYPES: Mapping[str, MessageType] = dict(
    [
        _message("ADT^A04", "ADT_A01", (), ("vitals", "notes", "allergies", "diagnoses")),
        _message("ADT^A08", "ADT_A01", (), ("vitals", "notes", "allergies", "diagnoses")),
        _message(
            "ORU^R01",
            "ORU_R01",
            ("vitals", "diagnoses", "allergies", "notes"),
            ("vitals", "notes", "allergies", "diagnoses"),
        ),
        _message("VXU^V04", "VXU_V04", ("immunisations",), ("immunisations", "notes")),
        _message("SIU^S12", "SIU_S12", ("appointment",), ("appointment", "vitals", "diagnoses", "notes")),
        _message("PPR^PC1", "PPR_PC1", ("problems",), ("problems", "notes")),
    ]
)
MESSAGES: Mapping[VisitKind, str] = {
    VisitKind.REGISTRATION: "ADT^A04",
    VisitKind.UPDATE: "ADT^A08",
    VisitKind.ASSESSMENT: "ORU^R01",
    VisitKind.IMMUNISATION: "VXU^V04",
    VisitKind.APPOINTMENT: "SIU^S12",
    VisitKind.PROBLEM: "PPR^PC1",
}
PARTS = ("vitals", "immunisations", "appointment", "problems", "diagnoses", "allergies", "notes")
