"""A ticket's statuses, who moves it from each to which, and what parties there are. Owns the rules; reads no table.

The database has the same moves in `ticket_moves` and enforces them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class TicketType(StrEnum):
    """What a ticket is about; all work the same way."""

    PRESCRIPTION = "prescription"
    LAB_REQUEST = "lab_request"
    REFERRAL = "referral"


class TicketStatus(StrEnum):
    """Where a ticket is."""

    CREATED = "created"  # the doctor writes, and sends it
    SENT = "sent"  # the receiver opens it
    RECEIVED = "received"  # the receiver prepares it
    READY = "ready"  # the receiver hands it over
    COMPLETED = "completed"  # final
    CANCELLED = "cancelled"  # final; an appointment may then have another ticket


class PartyKind(StrEnum):
    """Who takes part."""

    DOCTOR = "doctor"
    PHARMACY = "pharmacy"
    LABORATORY = "laboratory"
    PATIENT = "patient"


class Side(StrEnum):
    """What a party is to one ticket."""

    PRIMARY = "primary"  # the doctor who wrote it
    SECONDARY = "secondary"  # its receiver
    PATIENT = "patient"


# What each type and kind is called, wherever a person reads it.
TYPE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        TicketType.PRESCRIPTION: "Prescription",
        TicketType.LAB_REQUEST: "Lab request",
        TicketType.REFERRAL: "Referral",
    }
)
KIND_WORDS: Mapping[str, str] = MappingProxyType({kind: kind.value.capitalize() for kind in PartyKind})

ENDED = frozenset({TicketStatus.COMPLETED, TicketStatus.CANCELLED})
OPEN = tuple(status for status in TicketStatus if status not in ENDED)

# Who may receive a ticket of each type.
RECEIVERS: Mapping[TicketType, PartyKind] = MappingProxyType(
    {
        TicketType.PRESCRIPTION: PartyKind.PHARMACY,
        TicketType.LAB_REQUEST: PartyKind.LABORATORY,
        TicketType.REFERRAL: PartyKind.DOCTOR,
    }
)

_BOTH = frozenset({Side.PRIMARY, Side.SECONDARY})
MOVES: Mapping[tuple[TicketStatus, TicketStatus], frozenset[Side]] = MappingProxyType(
    {
        (TicketStatus.CREATED, TicketStatus.SENT): frozenset({Side.PRIMARY}),
        (TicketStatus.SENT, TicketStatus.RECEIVED): frozenset({Side.SECONDARY}),
        (TicketStatus.RECEIVED, TicketStatus.READY): frozenset({Side.SECONDARY}),
        (TicketStatus.READY, TicketStatus.COMPLETED): frozenset({Side.SECONDARY}),
        (TicketStatus.CREATED, TicketStatus.CANCELLED): frozenset({Side.PRIMARY}),
        (TicketStatus.SENT, TicketStatus.CANCELLED): _BOTH,
        (TicketStatus.RECEIVED, TicketStatus.CANCELLED): _BOTH,
        (TicketStatus.READY, TicketStatus.CANCELLED): _BOTH,
    }
)


def moves_of(status: TicketStatus, side: Side) -> tuple[TicketStatus, ...]:
    """Where this side may move a ticket that is at `status`."""
    return tuple(to for (at, to), movers in MOVES.items() if at is status and side in movers)
