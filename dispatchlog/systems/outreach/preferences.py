"""How a patient wants to be reached: what was said by the patient, for the provider's, the organisation's or all patients.

Each value comes from the first level that says something. Owns the two tables of preferences; the last write wins, and
every write is audited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Generic, TypeVar
from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker, PreferenceChange
from dispatchlog.systems.outreach.states import Channel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A value and who said it: `patient`, `provider`, `organization`, `global`; `core` for contact data."""

    value: T
    source: str


@dataclass(frozen=True, slots=True)
class ChannelPreference:
    """One channel: whether it may be used, where it leads, whether marketing may go there, and since when it is stopped.

    `enabled` is what was chosen; a stop goes before it. `address` is normalised plain text, or None.
    """

    enabled: Said[bool]
    address: Said[str | None]
    marketing_opt_in: Said[bool]
    stopped_at: datetime | None
    stopped_by: str | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """Everything that decides how and when a patient may be reached."""

    patient_id: UUID
    organization_id: UUID | None
    provider_id: UUID | None
    country: str
    region: str
    active: bool
    timezone: Said[str]
    language: Said[str]
    quiet_start: Said[time]
    quiet_end: Said[time]
    work_start: Said[time]
    work_end: Said[time]
    best_hour: Said[int | None]
    channels: Mapping[Channel, ChannelPreference]
    version: int


def resolve(patient_id: UUID, *, lock: str = "") -> Preferences:
    """The patient's preferences in one statement. `lock`: "FOR UPDATE" or "FOR SHARE" on the patient's own row; whoever
    decides by them in a transaction that another change must not overtake asks for one.

    Raises:
        OutreachError: PATIENT_NOT_FOUND.
    """
    raise NotImplementedError


def change(patient_id: UUID, wanted: PreferenceChange, *, asker: Asker) -> Preferences:
    """Change what the patient chose; consent evidence is written where marketing or a channel is turned on or off.

    Turning on a channel whose address is stopped needs the patient's own word (source "patient", with `wording`).

    Raises:
        OutreachError: PATIENT_NOT_FOUND, INVALID_TIMEZONE, INVALID_LANGUAGE, INVALID_TIME, INVALID_HOUR, INVALID_EMAIL,
            INVALID_PHONE, UNKNOWN_FIELD, WORDING_REQUIRED, STOPPED_BY_PATIENT, with the field.
    """
    raise NotImplementedError


def change_defaults(
    level: str, owner_id: UUID | None, values: Mapping[str, str | bool | int | time | None], *, asker: Asker
) -> None:
    """Change what holds for all (`global`), an `organization`'s or a `provider`'s patients; None takes a value back, which
    the global level must not.

    Raises:
        OutreachError: as `change`; ORGANIZATION_NOT_FOUND, PROVIDER_NOT_FOUND, VALUE_REQUIRED.
    """
    raise NotImplementedError


def defaults(level: str, owner_id: UUID | None) -> Mapping[str, Any]:
    """What is said at one level, by column; all None where nothing is said."""
    raise NotImplementedError
