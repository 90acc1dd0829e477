"""A visit as one HL7 v2.5.1 message, byte for byte as it leaves (without MLLP framing). Same input, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from dispatchlog.systems.hl7 import findings, segments
from dispatchlog.systems.hl7.checks import VisitError, check_visit
from dispatchlog.systems.hl7.encoding import SEGMENT_END
from dispatchlog.systems.hl7.identity import CONTROL_ID, Identity
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES
from dispatchlog.systems.hl7.records import Visit


def build(visit: Visit, message_type: str, identity: Identity, *, control_id: str, created_at: datetime) -> bytes:
    """The message in UTF-8, each segment ended by CR; raises VisitError for a visit that cannot make one.

    `message_type` is one of MESSAGE_TYPES, as ADT^A04. `control_id` (MSH-10) and `created_at` (MSH-7, aware) belong to
    the message for ever: a resend takes the stored bytes and never comes here again.
    """
    check_visit(visit, message_type)
    if not CONTROL_ID.fullmatch(control_id) or len(control_id) > identity.control_id_length:
        raise ValueError(f"a control id has 1 to {identity.control_id_length} letters, digits, dots or hyphens")
    message = MESSAGE_TYPES[message_type]
    header = segments.msh(message, identity, control_id, created_at)
    event = [segments.evn(message, identity, visit, created_at)] if message.code == "ADT" else []
    body = BODIES[message.code](visit, identity)
    return SEGMENT_END.join((header, *event, *body, "")).encode()


def _adt(visit: Visit, identity: Identity) -> list[str]:
    """ADT_A01 (3.3.4 and 3.3.8) after MSH and EVN."""
    observations = findings.vitals(visit) + findings.note(visit)
    return [
        segments.pid(visit, identity),
        *segments.nk1(visit),
        segments.pv1(visit, identity),
        *findings.obx(visit, observations),
        *findings.al1(visit),
        *findings.dg1(visit),
    ]


def _oru(visit: Visit, identity: Identity) -> list[str]:
    """ORU_R01 (7.3.1): one report, every finding an OBX of its own."""
    observations = findings.vitals(visit) + findings.diagnoses(visit) + findings.allergies(visit) + findings.note(visit)
    return [
        segments.pid(visit, identity),
        *segments.nk1(visit),
        segments.pv1(visit, identity),
        findings.obr(visit, identity),
        *findings.obx(visit, observations),
    ]


def _vxu(visit: Visit, identity: Identity) -> list[str]:
    """VXU_V04 (4.17): an order group for each dose; the notes stand with the last."""
    return [
        segments.pid(visit, identity),
        *segments.nk1(visit),
        segments.pv1(visit, identity),
        *(line for dose in findings.doses(visit, identity) for line in dose),
        *findings.obx(visit, findings.note(visit)),
    ]


def _siu(visit: Visit, identity: Identity) -> list[str]:
    """SIU_S12 (10.4)."""
    appointment = visit.appointment
    if appointment is None:
        raise VisitError("appointment is missing", code="MISSING", field="appointment")
    return [
        findings.sch(visit, appointment, identity),
        *findings.nte(visit),
        segments.pid(visit, identity),
        segments.pv1(visit, identity),
        *findings.obx(visit, findings.vitals(visit)),
        *findings.dg1(visit),
        *findings.resources(visit, appointment),
    ]


def _ppr(visit: Visit, identity: Identity) -> list[str]:
    """PPR_PC1 (chapter 12); the notes stand with the first problem."""
    first, *others = findings.prb(visit, identity)
    return [
        segments.pid(visit, identity),
        segments.pv1(visit, identity),
        first,
        *findings.nte(visit),
        *others,
    ]


BODIES: Mapping[str, Callable[[Visit, Identity], list[str]]] = {
    "ADT": _adt,
    "ORU": _oru,
    "VXU": _vxu,
    "SIU": _siu,
    "PPR": _ppr,
}
