"""How a patient wants to be reached: what was said by the patient, for the provider's, the organisation's or all patients.

Each value comes from the first level that says something (`resolving`). Owns the writing of the two tables of preferences;
the last write wins, and every write is audited.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import time
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import execute, fetch_dicts, transaction
from dispatchlog.systems.outreach import audit, checks, consents
from dispatchlog.systems.outreach.contacts import address_hash, normalise, open_text, seal_text
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, PreferenceChange
from dispatchlog.systems.outreach.patients import refresh_addresses, require_organization, require_provider
from dispatchlog.systems.outreach.resolving import (
    ADDRESS_COLUMNS,
    CHOICES,
    CLOCKS,
    NOBODY,
    ChannelPreference,
    Preferences,
    Said,
    resolve,
    resolve_many,
)
from dispatchlog.systems.outreach.states import AuditAction, Channel, PurposeClass
from dispatchlog.systems.outreach.times import zone

__all__ = [
    "ChannelPreference",
    "Preferences",
    "Said",
    "change",
    "change_defaults",
    "defaults",
    "resolve",
    "resolve_many",
]

_MARKETING_COLUMNS = {f"marketing_opt_in_{channel}": channel for channel in Channel}
_SWITCHES = {f"allow_{channel}": channel for channel in Channel}
_ADDRESSES = {column: channel for channel, column in ADDRESS_COLUMNS.items()}
_OWNERS = {"provider": require_provider, "organization": require_organization}


def change(patient_id: UUID, wanted: PreferenceChange, *, asker: Asker) -> Preferences:
    """Change what the patient chose; consent evidence is written where marketing or a channel is turned on or off. How it
    is afterwards. In the caller's transaction or one of its own; the last write wins, and each is audited.

    Turning on a channel whose address is stopped needs the word (`wording`) of whoever reads there (`came_to`).

    Raises:
        OutreachError: PATIENT_NOT_FOUND, INVALID_TIMEZONE, INVALID_LANGUAGE, INVALID_TIME, INVALID_HOUR, INVALID_EMAIL,
            INVALID_PHONE, INVALID_VALUE, UNKNOWN_FIELD, WORDING_REQUIRED, STOPPED_BY_PATIENT, with the field.
    """
    held: set[tuple[Channel, bytes]] = set()
    while True:
        try:
            return _changed(patient_id, wanted, asker, held)
        except _NotHeld as missing:
            # Locks of addresses are taken before the patient's row, as everybody takes them: so begin again with this one.
            held.add(missing.address)


class _NotHeld(Exception):
    """A stop is to be lifted, and its address is not locked."""

    def __init__(self, channel: Channel, found: bytes) -> None:
        self.address = (channel, found)


def _changed(patient_id: UUID, wanted: PreferenceChange, asker: Asker, held: Set[tuple[Channel, bytes]]) -> Preferences:
    with transaction(asker.actor, f"preferences changed ({wanted.source})"):
        values = _checked_choice(wanted.values, country=_country(resolve(patient_id)))
        for channel, found in sorted(held):
            consents.lock_address(channel, found, shared=False)
        before = resolve(patient_id, lock="FOR UPDATE")
        columns = {name: value for name, value in values.items() if name not in _MARKETING_COLUMNS}
        changes = _write_choice(patient_id, columns)
        after = resolve(patient_id)
        for name, channel in _SWITCHES.items():
            if values.get(name) is True:
                _lift_stop(after, channel, wanted, asker, held)
        for channel in Channel:
            _note_switch(channel, wanted, before=before, after=after, said=f"allow_{channel}" in changes, asker=asker)
        if changes:
            details = {"source": wanted.source, "changes": changes}
            audit.note(AuditAction.PREFERENCE_CHANGE, patient_id, asker, details)
        for name, channel in _MARKETING_COLUMNS.items():
            if name in values:
                _note_marketing(after, channel, wanted, given=bool(values[name]), asker=asker)
        return resolve(patient_id)


def _country(preferences: Preferences) -> str:
    return preferences.country or require_organization(preferences.organization_id)


def _checked_choice(values: Mapping[str, Any], *, country: str) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name in _ADDRESSES:
            channel = _ADDRESSES[name]
            checked[name] = (
                None if value is None else normalise(channel, _text(name, value), country=country, field=name)
            )
        elif name in _MARKETING_COLUMNS:
            checked[name] = bool(_checked_value(name, value))
        else:
            checked[name] = _checked_value(name, value)
    return checked


def _checked_value(name: str, value: Any) -> Any:
    """One value of a level, or None.

    Raises:
        OutreachError: UNKNOWN_FIELD, INVALID_VALUE, and those of its kind.
    """
    if name not in CHOICES and name not in _MARKETING_COLUMNS:
        raise OutreachError("there is no such preference", code="UNKNOWN_FIELD", field=name[:64])
    if value is None:
        return None
    if name == "timezone":
        return zone(_text(name, value), field=name).key
    if name == "language":
        return checks.language(_text(name, value), field=name)
    if name == "best_hour":
        return checks.hour(value, field=name)
    if name in CLOCKS:
        return checks.clock(value, field=name)
    if not isinstance(value, bool):
        raise OutreachError("it is either on or off", code="INVALID_VALUE", field=name)
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OutreachError("it needs a text", code="INVALID_VALUE", field=name)
    return value


def _write_choice(patient_id: UUID, columns: Mapping[str, Any]) -> dict[str, Any]:
    """What really changed, from what to what; of addresses nothing but that."""
    (row,) = fetch_dicts("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", (patient_id,))
    was = {name: open_text(row[name], patient_id) if name in _ADDRESSES else row[name] for name in columns}
    changed = {name: value for name, value in columns.items() if was[name] != value}
    if not changed:
        return {}
    sealed = {
        name: seal_text(value, patient_id) if name in _ADDRESSES and value is not None else value
        for name, value in changed.items()
    }
    execute(
        f"UPDATE patient_comm_prefs SET {_settings(sealed)}, version = version + 1, updated_at = clock_timestamp()"
        " WHERE patient_id = %s",
        (*sealed.values(), patient_id),
    )
    if any(name in _ADDRESSES for name in changed):
        refresh_addresses(patient_id)
    return {name: {} if name in _ADDRESSES else _from_to(was[name], value) for name, value in changed.items()}


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{column} = %s" for column in values)


def _from_to(was: Any, now: Any) -> dict[str, Any]:
    return {"from": was, "to": now}


def _lift_stop(
    after: Preferences, channel: Channel, wanted: PreferenceChange, asker: Asker, held: Set[tuple[Channel, bytes]]
) -> None:
    chosen = after.channels[channel]
    if chosen.stopped_at is None or chosen.address.value is None:
        return
    found = address_hash(channel, chosen.address.value)
    if wanted.came_to != (channel, found):
        message = "whoever has this address wants nothing more; only they can take that back"
        raise OutreachError(message, code="STOPPED_BY_PATIENT", field=f"allow_{channel}")
    if not wanted.wording.strip():
        raise OutreachError("a yes needs the words that it was said to", code="WORDING_REQUIRED", field="wording")
    if (channel, found) not in held:
        raise _NotHeld(channel, found)
    consents.start(
        channel,
        chosen.address.value,
        source=wanted.source,
        asker=asker,
        wording=wanted.wording,
        wording_version=wanted.wording_version,
        patient_id=after.patient_id,
    )


def _note_switch(
    channel: Channel, wanted: PreferenceChange, *, before: Preferences, after: Preferences, said: bool, asker: Asker
) -> None:
    """Evidence where a channel is turned on or off, also where taking a choice back does it."""
    is_on = after.channels[channel].enabled.value
    turned = before.channels[channel].enabled.value is not is_on
    if not turned and not (said and after.channels[channel].enabled.source == "patient"):
        return
    details: dict[str, Any] = {"channel": channel, "source": wanted.source}
    if not is_on:
        details |= consents.cancel_channel(after.patient_id, channel)
    consents.note_evidence(
        after.patient_id,
        channel,
        PurposeClass.ALL,
        given=is_on,
        source=wanted.source,
        asker=asker,
        wording=wanted.wording,
        wording_version=wanted.wording_version,
        language=wanted.language,
    )
    audit.note(AuditAction.OPT_IN if is_on else AuditAction.OPT_OUT, after.patient_id, asker, details)


def _note_marketing(
    after: Preferences, channel: Channel, wanted: PreferenceChange, *, given: bool, asker: Asker
) -> None:
    is_on = after.channels[channel].marketing_opt_in.value
    if given is is_on and not (given and wanted.wording.strip()):
        return
    consents.note_marketing(
        after.patient_id,
        channel,
        given=given,
        source=wanted.source,
        asker=asker,
        wording=wanted.wording if given else "",
        wording_version=wanted.wording_version if given else "",
        language=wanted.language,
    )


def change_defaults(
    level: str, owner_id: UUID | None, values: Mapping[str, str | bool | int | time | None], *, asker: Asker
) -> None:
    """Change what holds for all (`global`), an `organization`'s or a `provider`'s patients; None takes a value back, which
    the global level must not (but for the best hour).

    Raises:
        OutreachError: as `change`; ORGANIZATION_NOT_FOUND, PROVIDER_NOT_FOUND, VALUE_REQUIRED, and UNKNOWN_FIELD for a
            level that there is not.
    """
    with transaction(asker.actor, f"defaults changed ({level})"):
        _require_owner(level, owner_id)
        checked = {name: _checked_default(level, name, value) for name, value in values.items()}
        execute(
            "INSERT INTO comm_pref_defaults (id, level, owner_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (uuid4(), level, owner_id),
        )
        was = _default_row(level, owner_id, lock=" FOR UPDATE")
        changed = {name: value for name, value in checked.items() if was[name] != value}
        if not changed:
            return
        execute(
            f"UPDATE comm_pref_defaults SET {_settings(changed)}, version = version + 1, updated_at = clock_timestamp()"
            " WHERE id = %s",
            (*changed.values(), was["id"]),
        )
        changes = {name: _from_to(was[name], value) for name, value in changed.items()}
        details = {"level": level, "owner_id": owner_id, "changes": changes}
        audit.note(AuditAction.PREFERENCE_CHANGE, None, asker, details)


def _require_owner(level: str, owner_id: UUID | None) -> None:
    if level == "global" and owner_id is None:
        return
    if level not in _OWNERS:
        raise OutreachError("there is no such level", code="UNKNOWN_FIELD", field="level")
    if owner_id is None:
        raise OutreachError(f"whose {level}'s?", code=f"{level.upper()}_NOT_FOUND", field="owner_id")
    _OWNERS[level](owner_id)


def _checked_default(level: str, name: str, value: Any) -> Any:
    if name in _MARKETING_COLUMNS:
        raise OutreachError("only a patient can agree to marketing", code="UNKNOWN_FIELD", field=name)
    if value is None and level == "global" and name in CHOICES and name != "best_hour":
        raise OutreachError("nothing else says it, so it needs a value", code="VALUE_REQUIRED", field=name)
    return _checked_value(name, value)


def defaults(level: str, owner_id: UUID | None) -> Mapping[str, Any]:
    """What is said at one level, by column; all None where nothing is said."""
    row = _default_row(level, owner_id)
    return {name: row.get(name) for name in CHOICES}


def _default_row(level: str, owner_id: UUID | None, *, lock: str = "") -> dict[str, Any]:
    rows = fetch_dicts(
        f"SELECT * FROM comm_pref_defaults WHERE level = %s AND coalesce(owner_id, '{NOBODY}'::uuid) = %s{lock}",
        (level, owner_id or NOBODY),
    )
    return rows[0] if rows else {}
