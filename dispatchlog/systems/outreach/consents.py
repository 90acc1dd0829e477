"""Yes and no of patients: append-only evidence, and the list of addresses where nothing may arrive. Owns both tables.

A stop holds for an address whoever has it. Whoever sends holds a shared lock of the address while it asks (`gate`), so once a
stop is committed nothing leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.states import Channel


def stop(
    channel: Channel,
    address: str,
    *,
    source: str,
    asker: Asker,
    patient_id: UUID | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> bool:
    """Nothing arrives at this normalised address by this channel any more: writes the stop, evidence and audit for whoever is
    reached there, takes their marketing opt-in back, and cancels what waits; False: it was stopped already.

    `source`: "reply", "carrier", "unsubscribe", "preference_page", "staff", "spam_report".
    """
    raise NotImplementedError


def start(
    channel: Channel,
    address: str,
    *,
    source: str,
    asker: Asker,
    wording: str = "",
    wording_version: str = "",
    patient_id: UUID | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> bool:
    """Lift a stop on the word of whoever has the address; marketing stays off. False: there was none."""
    raise NotImplementedError


def note_marketing(
    patient_id: UUID,
    channel: Channel,
    *,
    given: bool,
    source: str,
    asker: Asker,
    wording: str = "",
    wording_version: str = "",
    language: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """A patient's yes or no to marketing by a channel: preference, evidence and audit in one transaction; a no cancels the
    marketing that waits."""
    raise NotImplementedError


def lock_address(channel: Channel, address_hash: bytes, *, shared: bool) -> None:
    """Hold the address's lock until the transaction ends."""
    raise NotImplementedError


def is_stopped(channel: Channel, address_hash: bytes) -> bool:
    """Whether there is a stop."""
    raise NotImplementedError


def evidence_of(patient_id: UUID) -> Sequence[Mapping[str, Any]]:
    """All evidence about the patient and the addresses where they are reached now, newest first."""
    raise NotImplementedError
