"""For whom an account acts in tickets, as its page for administrators shows it, and whom it could act for. Shows; changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID

from flask_login import current_user

from dashboard.context import acting_person
from dispatchlog.account_links import find_party
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.parties import parties_to_choose, party_of_account
from dispatchlog.systems.tickets.states import KIND_WORDS, PartyKind

MOST_CHOICES = 200
# Patients are never listed: one who exists already is named by id.
_LISTED = MappingProxyType(
    {
        "Doctors": PartyKind.DOCTOR,
        "Pharmacies": PartyKind.PHARMACY,
        "Laboratories": PartyKind.LABORATORY,
    }
)
NEW = MappingProxyType({"new:doctor": PartyKind.DOCTOR, "new:patient": PartyKind.PATIENT})


@dataclass(frozen=True, slots=True)
class Link:
    """Whom an account acts for (None: nobody), or else the parties it could act for, by the title of their kind."""

    party: Row | None
    choices: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return KIND_WORDS[self.party["kind"]] if self.party else ""

    @property
    def is_active(self) -> bool:
        return bool(self.party and self.party["party_active"] and self.party["person_active"])


def link_of(user_id: int) -> Link:
    """The account's, as the administrator who asks may see it."""
    asked_by, actor = current_user.id, acting_person()
    if party := party_of_account(user_id, asked_by=asked_by, actor=actor):
        return Link(party)
    found = {
        title: [
            row
            for row in parties_to_choose(asked_by=asked_by, actor=actor, kind=kind, limit=MOST_CHOICES)
            if row["party_active"]
        ]
        for title, kind in _LISTED.items()
    }
    return Link(None, {title: rows for title, rows in found.items() if rows})


def read_choice(chosen: str, party: str) -> tuple[PartyKind | None, UUID | None]:
    """Which party a form names: a new one of a kind, or one by its id; `party` counts where it is filled in.

    Raises:
        TicketError: PARTY_NOT_FOUND.
    """
    if party:
        return None, find_party(party)
    if chosen in NEW:
        return NEW[chosen], None
    if not chosen:
        raise TicketError("choose for whom the account acts", code="PARTY_NOT_FOUND", field="whom")
    return None, find_party(chosen)
