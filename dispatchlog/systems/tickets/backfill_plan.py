"""What becomes of the old prescriptions and threads of one order. Decides; reads and writes no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from dispatchlog.systems.tickets.states import RECEIVERS, PartyKind, TicketType

_TYPES = {kind: ticket_type for ticket_type, kind in RECEIVERS.items()}


class Finding(StrEnum):
    """Why something was left alone. What is found again in a later run is tried again."""

    PARTY_UNKNOWN = "PARTY_UNKNOWN"  # somebody in it was never reported as a party or person: report them
    OTHER_MEMBERS = "OTHER_MEMBERS"  # the thread has a member who is none of the prescription's parties: decide
    SECOND_PRESCRIPTION = "SECOND_PRESCRIPTION"  # the appointment has its ticket already
    SECOND_THREAD = "SECOND_THREAD"  # the order's ticket has its thread already
    NO_PRESCRIPTION = "NO_PRESCRIPTION"  # a thread about nothing that is known
    NO_APPOINTMENT = "NO_APPOINTMENT"  # a prescription without one
    OTHER_TYPE = "OTHER_TYPE"  # a thread about something else than tickets are


@dataclass(frozen=True, slots=True)
class Directory:
    """Who the ids in old rows are: parties by kind, and people with their party."""

    parties: Mapping[UUID, PartyKind]
    people: Mapping[UUID, UUID]

    def party(self, named: UUID | None, kinds: Sequence[PartyKind]) -> UUID | None:
        """The party of one of these kinds that a prescription names, by its own id or by somebody's who acts for it."""
        if named is None:
            return None
        found = (each for each in (named, self.people.get(named)) if each and self.parties.get(each) in kinds)
        return next(found, None)

    def acts_for(self, named: UUID) -> UUID | None:
        """The party of a member or sender, who is a person or the party itself."""
        return self.people.get(named) or (named if named in self.parties else None)


@dataclass(frozen=True, slots=True)
class OldPrescription:
    """A prescription without a ticket, as it was written."""

    prescription_id: UUID
    doctor_id: UUID | None
    pharmacy_id: UUID | None
    patient_id: UUID | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OldThread:
    """A thread without a ticket; members and senders are ids of people or parties."""

    thread_id: UUID
    order_type: str
    messages: int
    created_at: datetime
    members: Sequence[UUID]
    senders: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class OldOrder:
    """Everything old of one order (which is an appointment), and of which types it has tickets already."""

    order_id: UUID
    prescriptions: Sequence[OldPrescription]
    threads: Sequence[OldThread]
    ticketed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sides:
    """The parties of a ticket."""

    primary: UUID
    secondary: UUID
    patient: UUID
    ticket_type: TicketType

    @property
    def parties(self) -> tuple[UUID, UUID, UUID]:
        """All three."""
        return self.primary, self.secondary, self.patient


@dataclass(frozen=True, slots=True)
class PlannedTicket:
    """A ticket to make, and the thread to link (None: it gets a new one) with the parties of everybody in it."""

    order_id: UUID
    prescription: OldPrescription
    sides: Sides
    thread: OldThread | None
    parties: Mapping[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Left:
    """A thread or prescription that stays as it is."""

    kind: str
    left_id: UUID
    code: Finding


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one order."""

    tickets: Sequence[PlannedTicket]
    left: Sequence[Left]


def plan_order(order: OldOrder, known: Directory) -> Plan:
    """Of each type the newest prescription gets the ticket, with the thread in which most was said (then the newest)."""
    tickets: list[PlannedTicket] = []
    codes: dict[TicketType, Finding] = {TicketType(each): Finding.SECOND_THREAD for each in order.ticketed}
    left: dict[UUID, Finding] = {}
    unknown = False
    for prescription in sorted(order.prescriptions, key=lambda p: (p.created_at, p.prescription_id), reverse=True):
        sides = _sides(prescription, known)
        if sides is None:
            left[prescription.prescription_id] = Finding.PARTY_UNKNOWN
            unknown = True
        elif sides.ticket_type in codes:
            left[prescription.prescription_id] = Finding.SECOND_PRESCRIPTION
        else:
            planned = _ticket(order, prescription, sides, known)
            if isinstance(planned, Finding):
                left[prescription.prescription_id] = codes[sides.ticket_type] = planned
            else:
                tickets.append(planned)
                codes[sides.ticket_type] = Finding.SECOND_THREAD
    linked = {ticket.thread.thread_id for ticket in tickets if ticket.thread}
    otherwise = Finding.PARTY_UNKNOWN if unknown else Finding.NO_PRESCRIPTION
    return Plan(
        tickets,
        [
            *(Left("prescription", each, code) for each, code in left.items()),
            *(
                Left("thread", each.thread_id, _code(each, codes, otherwise))
                for each in order.threads
                if each.thread_id not in linked
            ),
        ],
    )


def _sides(prescription: OldPrescription, known: Directory) -> Sides | None:
    doctor = known.party(prescription.doctor_id, (PartyKind.DOCTOR,))
    receiver = known.party(prescription.pharmacy_id, tuple(_TYPES))
    patient = known.party(prescription.patient_id, (PartyKind.PATIENT,))
    if doctor is None or receiver is None or patient is None or doctor == receiver:
        return None
    return Sides(doctor, receiver, patient, _TYPES[known.parties[receiver]])


def _ticket(order: OldOrder, prescription: OldPrescription, sides: Sides, known: Directory) -> PlannedTicket | Finding:
    fitting = [thread for thread in order.threads if thread.order_type == sides.ticket_type]
    thread = max(fitting, key=lambda t: (t.messages, t.created_at, t.thread_id), default=None)
    if thread is None:
        return PlannedTicket(order.order_id, prescription, sides, None, {})
    parties = {each: party for each in (*thread.members, *thread.senders) if (party := known.acts_for(each))}
    if len(parties) < len({*thread.members, *thread.senders}):
        return Finding.PARTY_UNKNOWN
    # Whoever could read it would not any more, so that is for a person to decide.
    if any(parties[each] not in sides.parties for each in thread.members):
        return Finding.OTHER_MEMBERS
    return PlannedTicket(order.order_id, prescription, sides, thread, parties)


def _code(thread: OldThread, codes: Mapping[TicketType, Finding], otherwise: Finding) -> Finding:
    if thread.order_type not in set(TicketType):
        return Finding.OTHER_TYPE
    return codes.get(TicketType(thread.order_type), otherwise)
