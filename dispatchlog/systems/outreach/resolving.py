"""What holds for a patient: for each value the first level that says something, and who that is. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Generic, TypeVar
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach.contacts import open_text
from dispatchlog.systems.outreach.patients import lock_preferences, not_found
from dispatchlog.systems.outreach.states import Channel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A value and who said it: `patient`, `core` (the core platform), `provider`, `organization`, `global`."""

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


NOBODY = UUID(int=0)
CHOICES = (
    "timezone",
    "language",
    "quiet_start",
    "quiet_end",
    "work_start",
    "work_end",
    "best_hour",
    "allow_email",
    "allow_sms",
    "allow_whatsapp",
)
CLOCKS = frozenset({"quiet_start", "quiet_end", "work_start", "work_end"})
ADDRESS_COLUMNS = {Channel.EMAIL: "email_address", Channel.SMS: "sms_number", Channel.WHATSAPP: "whatsapp_number"}
_CORE_COLUMNS = {Channel.EMAIL: "email_sealed", Channel.SMS: "phone_sealed", Channel.WHATSAPP: "phone_sealed"}

# The subqueries are planned one by one, which costs a fraction of what a join of all these tables does.
_RESOLVE = f"""
SELECT p.id, p.organization_id, p.provider_id, p.country, p.region, p.active, p.email_sealed, p.phone_sealed,
    p.timezone AS core_timezone, p.language AS core_language, pr.version,
    {", ".join(f"pr.{name}" for name in CHOICES)},
    pr.marketing_opt_in_email, pr.marketing_opt_in_sms, pr.marketing_opt_in_whatsapp,
    pr.email_address, pr.sms_number, pr.whatsapp_number,
    (SELECT v.organization_id FROM comm_providers v WHERE v.id = p.provider_id) AS organization_of_provider,
    ARRAY(SELECT to_jsonb(d) FROM comm_pref_defaults d WHERE d.level IN ('global', 'organization', 'provider')
        AND coalesce(d.owner_id, '{NOBODY}'::uuid) = ANY (ARRAY['{NOBODY}'::uuid, p.provider_id,
            coalesce(p.organization_id,
                (SELECT v.organization_id FROM comm_providers v WHERE v.id = p.provider_id))])) AS defaults,
    ARRAY(SELECT jsonb_build_array(s.channel, s.stopped_at, s.source) FROM comm_addresses a
        JOIN comm_stops s ON s.channel = a.channel AND s.address_hash = a.address_hash
        WHERE a.patient_id = p.id) AS stops
FROM patients p JOIN patient_comm_prefs pr ON pr.patient_id = p.id
WHERE p.id = ANY (%s::uuid[])
"""
Level = tuple[str, Mapping[str, Any]]


def resolve(patient_id: UUID, *, lock: str = "") -> Preferences:
    """The patient's preferences in one statement. `lock`: "FOR UPDATE" or "FOR SHARE" on the patient's own row, taken
    first; whoever decides by them in a transaction that another change must not overtake asks for one.

    Raises:
        OutreachError: PATIENT_NOT_FOUND.
    """
    if lock:
        lock_preferences(patient_id, lock)
    found = resolve_many([patient_id])
    if not found:
        raise not_found(patient_id)
    return found[patient_id]


def resolve_many(patient_ids: Collection[UUID]) -> dict[UUID, Preferences]:
    """The same for many, in one statement, without a lock; who is no patient is left out."""
    if not patient_ids:
        return {}
    return {row["id"]: _preferences(row["id"], row) for row in fetch_dicts(_RESOLVE, (as_uuids([*patient_ids]),))}


def _preferences(patient_id: UUID, row: Mapping[str, Any]) -> Preferences:
    organization_id = row["organization_id"] or row["organization_of_provider"]
    levels = _levels(row, {"provider": row["provider_id"], "organization": organization_id, "global": None})
    stops = {channel: (datetime.fromisoformat(at), source) for channel, at, source in row["stops"]}
    return Preferences(
        patient_id=patient_id,
        organization_id=organization_id,
        provider_id=row["provider_id"],
        country=row["country"],
        region=row["region"],
        active=row["active"],
        **{name: _first(levels, name) for name in CHOICES if not name.startswith("allow_")},
        channels={channel: _channel(patient_id, channel, row, levels, stops) for channel in Channel},
        version=row["version"],
    )


def _levels(row: Mapping[str, Any], owners: Mapping[str, UUID | None]) -> list[Level]:
    """What was said, nearest to the patient first."""
    said = {(level["level"], level["owner_id"]): level for level in row["defaults"]}
    core = {"timezone": row["core_timezone"], "language": row["core_language"]}
    defaults = [(level, said.get((level, str(owner) if owner else None), {})) for level, owner in owners.items()]
    return [("patient", row), ("core", core), *defaults]


def _first(levels: Sequence[Level], name: str) -> Said[Any]:
    for source, values in levels:
        value = values.get(name)
        if value is not None:
            return Said(time.fromisoformat(value) if name in CLOCKS and isinstance(value, str) else value, source)
    return Said(None, "global")


def _channel(
    patient_id: UUID,
    channel: Channel,
    row: Mapping[str, Any],
    levels: Sequence[Level],
    stops: Mapping[str, tuple[datetime, str]],
) -> ChannelPreference:
    chosen = row[ADDRESS_COLUMNS[channel]]
    address = open_text(chosen if chosen is not None else row[_CORE_COLUMNS[channel]], patient_id)
    stopped_at, stopped_by = stops.get(channel, (None, None))
    return ChannelPreference(
        enabled=_first(levels, f"allow_{channel}"),
        address=Said(address, "patient" if chosen is not None else "core"),
        marketing_opt_in=Said(row[f"marketing_opt_in_{channel}"], "patient"),
        stopped_at=stopped_at,
        stopped_by=stopped_by,
    )
