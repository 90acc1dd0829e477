"""Patients, those who treat them and their organisations, as the core platform reports them. Owns their tables."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, require_transaction, transaction
from dispatchlog.engine.errors import NaiveInstant
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems.outreach import audit, checks, contacts, portal
from dispatchlog.systems.outreach.inputs import Asker, OrganizationInput, OutreachError, PatientInput, ProviderInput
from dispatchlog.systems.outreach.states import AuditAction, Channel
from dispatchlog.systems.outreach.times import zone

_NAME = 255
_PHONE = re.compile(r"[0-9 ()+.-]{0,32}")
_SOURCE = 128
# Fewer are no telephone number, and more words than these are no name.
FEWEST_DIGITS = 6
MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A patient with name and contact data opened; `email` and `phone` are normalised."""

    id: UUID
    name: str
    email: str | None
    phone: str | None
    organization_id: UUID | None
    provider_id: UUID | None
    organization_name: str
    provider_name: str
    organization_phone: str
    country: str
    region: str
    active: bool
    reported_at: datetime
    version: int


def put_organization(organization: OrganizationInput, *, source: str) -> None:
    """Create or update.

    Raises:
        OutreachError: INVALID_TEXT, INVALID_COUNTRY, with the field.
    """
    name = checks.text(organization.name, field="name", most=_NAME)
    country = checks.country(organization.country)
    phone = organization.phone.strip()
    if not _PHONE.fullmatch(phone):
        raise OutreachError("this is not a telephone number", code="INVALID_TEXT", field="phone")
    with transaction(f"service:{source}"):
        execute(
            "INSERT INTO comm_organizations AS o (id, name, phone, country) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, phone = excluded.phone, country = excluded.country,"
            " updated_at = now() WHERE (o.name, o.phone, o.country) <> (excluded.name, excluded.phone, excluded.country)",
            (organization.id, name, phone, country),
        )


def put_provider(provider: ProviderInput, *, source: str) -> None:
    """Create or update.

    Raises:
        OutreachError: ORGANIZATION_NOT_FOUND, INVALID_TEXT, with the field.
    """
    name = checks.text(provider.name, field="name", most=_NAME)
    with transaction(f"service:{source}"):
        require_organization(provider.organization_id)
        execute(
            "INSERT INTO comm_providers AS p (id, organization_id, name) VALUES (%s, %s, %s)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, organization_id = excluded.organization_id,"
            " updated_at = now() WHERE p.name <> excluded.name"
            " OR p.organization_id IS DISTINCT FROM excluded.organization_id",
            (provider.id, provider.organization_id, name),
        )


def put_patient(patient: PatientInput, *, source: str, asker: Asker) -> bool:
    """Create or update with everything that hangs on it (preferences' row, hashes of addresses and of the name's words);
    False: a newer report is stored already and nothing changed. Runs in the caller's transaction or one of its own.

    What is not said is forgotten: a report has everything that the core platform knows.

    Raises:
        OutreachError: ORGANIZATION_NOT_FOUND, PROVIDER_NOT_FOUND, INVALID_EMAIL, INVALID_PHONE, INVALID_TIMEZONE,
            INVALID_LANGUAGE, INVALID_COUNTRY, INVALID_TEXT, INVALID_DATE, UNKNOWN_VALUE, TOO_LONG, with the field.
            NaiveInstant: `reported_at` has no zone.
    """
    reported_at = patient.reported_at or datetime.now(UTC)
    if reported_at.tzinfo is None:
        raise NaiveInstant("reported_at has no time zone")
    with transaction(asker.actor):
        wanted = _checked(patient)
        before = _begun(patient.id, wanted, reported_at)
        if before is not None and before["reported_at"] > reported_at:
            return False
        was = {} if before is None else _opened(patient.id, before)
        changed = sorted(name for name, value in wanted.items() if before is None or was[name] != value)
        _write(patient.id, wanted, changed, reported_at=reported_at, source=source[:_SOURCE])
        if changed:
            audit.note(
                AuditAction.PREFERENCE_CHANGE,
                patient.id,
                asker,
                {"reported_by": source, "created": before is None, "fields": changed},
            )
    return True


def _checked(patient: PatientInput) -> dict[str, Any]:
    organization_country = require_organization(patient.organization_id)
    require_provider(patient.provider_id)
    country = checks.country(patient.country)
    near = country or organization_country
    return {
        "organization_id": patient.organization_id,
        "provider_id": patient.provider_id,
        "name": checks.text(patient.name, field="name", most=_NAME),
        "email": contacts.normalise(Channel.EMAIL, patient.email, field="email") if patient.email else None,
        "phone": contacts.normalise(Channel.SMS, patient.phone, country=near, field="phone") if patient.phone else None,
        "country": country,
        "region": checks.region(patient.region),
        "timezone": zone(patient.timezone).key if patient.timezone else None,
        "language": checks.language(patient.language) if patient.language else None,
        "active": patient.active,
        "birth_date": checks.birth_date(patient.birth_date),
        "gender": checks.gender(patient.gender),
        "tags": checks.tags(patient.tags),
    }


def require_organization(organization_id: UUID | None) -> str:
    """The organisation's country; "" for none.

    Raises:
        OutreachError: ORGANIZATION_NOT_FOUND.
    """
    return _country_of("comm_organizations", "country", organization_id, "organization")


def require_provider(provider_id: UUID | None) -> None:
    """Nothing where there is such a provider, or none is named.

    Raises:
        OutreachError: PROVIDER_NOT_FOUND.
    """
    _country_of("comm_providers", "''", provider_id, "provider")


def _country_of(table: str, column: str, owner_id: UUID | None, kind: str) -> str:
    if owner_id is None:
        return ""
    found = fetch_all(f"SELECT {column} FROM {table} WHERE id = %s", (owner_id,))
    if not found:
        code = f"{kind.upper()}_NOT_FOUND"
        raise OutreachError(f"there is no {kind} {owner_id}", code=code, field=f"{kind}_id")
    return str(found[0][0])


def _begun(patient_id: UUID, wanted: Mapping[str, Any], reported_at: datetime) -> dict[str, Any] | None:
    """The row as it was, locked; None where there was none, and now there is one."""
    new = execute(
        "INSERT INTO patients (id, name_sealed, reported_at) VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING",
        (patient_id, contacts.seal_text(wanted["name"], patient_id), reported_at),
    )
    if new.rowcount:
        execute("INSERT INTO patient_comm_prefs (id, patient_id) VALUES (%s, %s)", (uuid4(), patient_id))
        return None
    return fetch_dicts("SELECT * FROM patients WHERE id = %s FOR NO KEY UPDATE", (patient_id,))[0]


def _opened(patient_id: UUID, row: Mapping[str, Any]) -> dict[str, Any]:
    sealed = {name: contacts.open_text(row[f"{name}_sealed"], patient_id) for name in ("name", "email", "phone")}
    return {**row, **sealed}


def _write(
    patient_id: UUID, wanted: Mapping[str, Any], changed: Sequence[str], *, reported_at: datetime, source: str
) -> None:
    values = {"reported_at": reported_at, "source": source}
    for name in changed:
        if name in ("name", "email", "phone"):
            text = wanted[name]
            values[f"{name}_sealed"] = None if text is None else contacts.seal_text(text, patient_id)
        else:
            values[name] = wanted[name]
    settings = ", ".join(f"{column} = %s" for column in values)
    execute(
        f"UPDATE patients SET {settings}, version = version + %s, updated_at = clock_timestamp() WHERE id = %s",
        (*values.values(), int(bool(changed)), patient_id),
    )
    if "name" in changed:
        _write_words(patient_id, wanted["name"])
    if "email" in changed or "phone" in changed:
        refresh_addresses(patient_id)


def _write_words(patient_id: UUID, name: str) -> None:
    hashes = [contacts.word_hash(word) for word in checks.words_of(name)]
    execute("DELETE FROM patient_names WHERE patient_id = %s AND word_hash <> ALL (%s::bytea[])", (patient_id, hashes))
    execute(
        "INSERT INTO patient_names (patient_id, word_hash) SELECT %s, unnest(%s::bytea[]) ON CONFLICT DO NOTHING",
        (patient_id, hashes),
    )


def patient(patient_id: UUID) -> PatientRecord:
    """One patient.

    Raises:
        OutreachError: PATIENT_NOT_FOUND.
    """
    found = _records([patient_id])
    if not found:
        raise not_found(patient_id)
    return found[0]


def not_found(patient_id: UUID) -> OutreachError:
    """What is said of a patient that there is not."""
    return OutreachError(f"there is no patient {patient_id}", code="PATIENT_NOT_FOUND", field="patient_id")


_RECORDS = """
SELECT p.id, p.name_sealed, p.email_sealed, p.phone_sealed, o.id AS organization_id, p.provider_id,
    coalesce(o.name, '') AS organization_name, coalesce(v.name, '') AS provider_name,
    coalesce(o.phone, '') AS organization_phone, p.country, p.region, p.active, p.reported_at, p.version
FROM patients p
LEFT JOIN comm_providers v ON v.id = p.provider_id
LEFT JOIN comm_organizations o ON o.id = coalesce(p.organization_id, v.organization_id)
WHERE p.id = ANY (%s::uuid[])
"""


def _records(ids: Sequence[UUID]) -> list[PatientRecord]:
    rows = fetch_dicts(_RECORDS, (list(ids),))
    return [
        PatientRecord(
            name=contacts.open_text(row.pop("name_sealed"), row["id"]) or "",
            email=contacts.open_text(row.pop("email_sealed"), row["id"]),
            phone=contacts.open_text(row.pop("phone_sealed"), row["id"]),
            **row,
        )
        for row in rows
    ]


def patients_at(channel: Channel, address: str) -> list[UUID]:
    """Whoever is reached by this channel at this normalised address; families share telephones, so there may be several."""
    return patients_at_hash(channel, contacts.address_hash(channel, address))


def patients_at_hash(channel: Channel, address_hash: bytes) -> list[UUID]:
    """The same by the address's hash, by id."""
    found = fetch_all(
        "SELECT patient_id FROM comm_addresses WHERE channel = %s AND address_hash = %s ORDER BY patient_id",
        (channel, address_hash),
    )
    return [patient_id for (patient_id,) in found]


_ADDRESSES = """
SELECT coalesce(pr.email_address, p.email_sealed) AS email, coalesce(pr.sms_number, p.phone_sealed) AS sms,
    coalesce(pr.whatsapp_number, p.phone_sealed) AS whatsapp
FROM patients p JOIN patient_comm_prefs pr ON pr.patient_id = p.id WHERE p.id = %s
"""


def lock_preferences(patient_id: UUID, lock: str) -> None:
    """Hold the patient's row of preferences ("FOR UPDATE", "FOR SHARE") until the transaction ends; a statement that begins
    afterwards sees what others have changed before."""
    execute(f"SELECT FROM patient_comm_prefs WHERE patient_id = %s {lock}", (patient_id,))


def refresh_addresses(patient_id: UUID) -> None:
    """Write `comm_addresses` anew from what is stored now; after every change of an address. In a transaction.

    Messages that wait follow the patient to the new address; at the old one somebody else may be reached, so what went
    there is not read any more. Those for whom there is no other are kept by the gate.
    """
    require_transaction()
    # Two who change different addresses of one patient take turns, so the later one sees both.
    lock_preferences(patient_id, "FOR UPDATE")
    (sealed,) = fetch_dicts(_ADDRESSES, (patient_id,))
    was = dict(fetch_all("SELECT channel, address_hash FROM comm_addresses WHERE patient_id = %s", (patient_id,)))
    for channel in Channel:
        address, old = contacts.open_text(sealed[channel], patient_id), was.get(channel)
        if address is None:
            execute("DELETE FROM comm_addresses WHERE patient_id = %s AND channel = %s", (patient_id, channel))
            if old is not None:
                portal.revoke_messages(patient_id, channel, bytes(old))
            continue
        new = contacts.address_hash(channel, address)
        if old is not None and bytes(old) == new:
            continue
        execute(
            "INSERT INTO comm_addresses (patient_id, channel, address_hash) VALUES (%s, %s, %s)"
            " ON CONFLICT (patient_id, channel) DO UPDATE SET address_hash = excluded.address_hash",
            (patient_id, channel, new),
        )
        # A new generation of what was claimed before, so that its bytes are made anew.
        _readdress(patient_id, channel, address, new)
        if old is not None:
            portal.revoke_messages(patient_id, channel, bytes(old))


def _readdress(patient_id: UUID, channel: Channel, address: str, address_hash: bytes) -> None:
    waiting = fetch_dicts(
        f"SELECT id, sealed, {', '.join(COMM_JOBS.fields)} FROM comm_jobs WHERE patient_id = %s AND status = 'PENDING'"
        " AND channel = %s AND first_claimed_at IS NULL ORDER BY id FOR UPDATE",
        (patient_id, channel),
    )
    for row in waiting:
        columns = COMM_JOBS.changed(row, {"recipient": address})
        settings = ", ".join(f"{name} = %s" for name in columns)
        execute(
            f"UPDATE comm_jobs SET {settings}, recipient_hash = %s, generation = generation + least(claims, 1),"
            " updated_at = clock_timestamp() WHERE id = %s",
            (*columns.values(), address_hash, row["id"]),
        )


def find_patients(text: str, *, limit: int = 50) -> Sequence[PatientRecord]:
    """Those whose id, address or number is this, or whose name has all these words; by name. For pages.

    Names are sealed, so a word is found whole or not at all, but whatever its case and accents.
    """
    found = _records(_ids_of(text.strip(), limit))
    return sorted(found, key=lambda record: (record.name.casefold(), record.id))


def _ids_of(text: str, limit: int) -> list[UUID]:
    with contextlib.suppress(ValueError):
        return [UUID(text)]
    if "@" in text:
        return _at_any(Channel.EMAIL, text, limit)
    if _PHONE.fullmatch(text) and sum(letter.isdigit() for letter in text) >= FEWEST_DIGITS:
        countries = fetch_all("SELECT DISTINCT country FROM comm_organizations ORDER BY country")
        return _at_any(Channel.SMS, text, limit, countries=["", *(country for (country,) in countries)])
    return _named(checks.words_of(text), limit)


def _at_any(channel: Channel, address: str, limit: int, *, countries: Sequence[str] = ("",)) -> list[UUID]:
    hashes = set()
    for country in countries:
        with contextlib.suppress(OutreachError):
            hashes.add(contacts.address_hash(channel, contacts.normalise(channel, address, country=country)))
    channels = [str(channel)] if channel is Channel.EMAIL else [str(Channel.SMS), str(Channel.WHATSAPP)]
    rows = fetch_all(
        "SELECT DISTINCT patient_id FROM comm_addresses WHERE channel = ANY (%s) AND address_hash = ANY (%s::bytea[])"
        " LIMIT %s",
        (channels, sorted(hashes), limit),
    )
    return [patient_id for (patient_id,) in rows]


def _named(words: Sequence[str], limit: int) -> list[UUID]:
    if not words:
        return []
    first, *others = [contacts.word_hash(word) for word in words[:MOST_WORDS]]
    each = " AND EXISTS (SELECT FROM patient_names o WHERE o.word_hash = %s AND o.patient_id = n.patient_id)"
    rows = fetch_all(
        f"SELECT n.patient_id FROM patient_names n WHERE n.word_hash = %s{each * len(others)}"
        " ORDER BY n.word_hash, n.patient_id LIMIT %s",
        (first, *others, limit),
    )
    return [patient_id for (patient_id,) in rows]
