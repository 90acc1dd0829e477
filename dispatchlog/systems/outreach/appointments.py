"""Appointments as the core platform reports them, and what patients answer about them. Owns their tables; sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, require_transaction, transaction
from dispatchlog.engine.errors import NaiveInstant
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach import checks, times
from dispatchlog.systems.outreach.inputs import AppointmentInput, Asker, OutreachError
from dispatchlog.systems.outreach.patients import not_found, require_provider

SCHEDULED, CONFIRMED, RESCHEDULE_REQUESTED = "scheduled", "confirmed", "reschedule_requested"
# Those that somebody is still to come to.
AHEAD = frozenset({SCHEDULED, CONFIRMED, RESCHEDULE_REQUESTED})
STATUSES = AHEAD | {"cancelled", "completed", "no_show"}
_SOURCE, _ACTOR, _NOTE, _PLACE = 128, 128, 500, 255
_REPORTED = ("provider_id", "starts_at", "timezone", "place", "status")

_INSERT = """
INSERT INTO comm_appointments (id, patient_id, provider_id, starts_at, timezone, place, status, confirmed_at, confirmed_by,
    reported_at, source)
VALUES (%(id)s, %(patient_id)s, %(provider_id)s, %(starts_at)s, %(timezone)s, %(place)s, %(status)s, %(confirmed_at)s,
    %(confirmed_by)s, %(reported_at)s, %(source)s) ON CONFLICT (id) DO NOTHING RETURNING id
"""
_UPDATE = """
UPDATE comm_appointments SET provider_id = %(provider_id)s, starts_at = %(starts_at)s, timezone = %(timezone)s,
    place = %(place)s, status = %(status)s, confirmed_at = %(confirmed_at)s, confirmed_by = %(confirmed_by)s,
    reported_at = %(reported_at)s, source = %(source)s, version = version + %(changed)s, updated_at = now()
WHERE id = %(id)s
"""
_CONFIRM = """
UPDATE comm_appointments SET status = 'confirmed', confirmed_at = now(), confirmed_by = %s, version = version + 1,
    updated_at = now()
WHERE id = %s AND status IN ('scheduled', 'reschedule_requested') AND starts_at > now() RETURNING id
"""
_WANTS_ANOTHER = """
UPDATE comm_appointments SET status = 'reschedule_requested', confirmed_at = NULL, confirmed_by = NULL,
    version = version + 1, updated_at = now()
WHERE id = %s AND status IN ('scheduled', 'confirmed') AND starts_at > now()
"""
_ASK = """
INSERT INTO comm_reschedule_requests (id, appointment_id, patient_id, inbound_id) VALUES (%s, %s, %s, %s)
ON CONFLICT (appointment_id) WHERE status = 'open' DO NOTHING RETURNING id
"""
_CLOSE = """
UPDATE comm_reschedule_requests SET status = 'handled', handled_by = %s, handled_at = now(), note = %s
WHERE status = 'open' AND {} = %s RETURNING id
"""
_OPEN = """
SELECT r.id, r.appointment_id, r.patient_id, r.inbound_id, r.created_at, a.starts_at, a.timezone, a.place, a.provider_id,
    a.status AS appointment_status, p.name AS provider_name
FROM comm_reschedule_requests r JOIN comm_appointments a ON a.id = r.appointment_id
LEFT JOIN comm_providers p ON p.id = a.provider_id
WHERE r.status = 'open' ORDER BY r.created_at, r.id LIMIT %s
"""
_OF_PATIENT = """
SELECT a.*, p.name AS provider_name, r.id AS open_request_id
FROM comm_appointments a LEFT JOIN comm_providers p ON p.id = a.provider_id
LEFT JOIN comm_reschedule_requests r ON r.appointment_id = a.id AND r.status = 'open'
WHERE a.patient_id = %s ORDER BY a.starts_at < now(), abs(extract(epoch FROM a.starts_at - now())), a.id LIMIT %s
"""


def put_appointment(appointment: AppointmentInput, *, source: str) -> tuple[bool, Mapping[str, Any] | None]:
    """Create or update; whether something changed, and how it was before. In the caller's transaction.

    A report older than the one that is stored changes nothing. What the patient answered stays where the core platform
    only says "scheduled", until the appointment is moved; moving it also settles a wish for another time.

    Raises:
        OutreachError: PATIENT_NOT_FOUND, PROVIDER_NOT_FOUND, INVALID_TIMEZONE, UNKNOWN_STATUS, INVALID_TEXT,
            APPOINTMENT_OF_ANOTHER (another patient's), with the field. NaiveInstant: an instant has no zone.
    """
    require_transaction()
    wanted = _checked(appointment, source)
    if wanted["status"] == CONFIRMED:
        wanted |= {"confirmed_at": wanted["reported_at"], "confirmed_by": f"service:{source}"[:_ACTOR]}
    if fetch_all(_INSERT, wanted):
        return True, None
    before = locked(appointment.id)
    if before["patient_id"] != appointment.patient_id:
        raise OutreachError("this appointment is another patient's", code="APPOINTMENT_OF_ANOTHER", field="patient_id")
    if before["reported_at"] > wanted["reported_at"]:
        return False, before
    wanted |= _answered(before, wanted)
    changed = any(before[name] != wanted[name] for name in _REPORTED)
    execute(_UPDATE, {**wanted, "changed": int(changed)})
    if was_moved(before, wanted):
        _close("appointment_id", appointment.id, note="The appointment was moved.", actor=f"service:{source}")
    return changed, before


def was_moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether it begins at another instant."""
    return bool(before["starts_at"] != after["starts_at"])


def locked(appointment_id: UUID) -> Mapping[str, Any]:
    """An appointment's row, locked until the transaction ends.

    Raises:
        OutreachError: APPOINTMENT_NOT_FOUND.
    """
    require_transaction()
    found = fetch_dicts("SELECT * FROM comm_appointments WHERE id = %s FOR UPDATE", (appointment_id,))
    if not found:
        raise OutreachError(
            f"there is no appointment {appointment_id}; report it first", code="APPOINTMENT_NOT_FOUND", field="id"
        )
    return found[0]


def confirm(appointment_id: UUID, *, asker: Asker) -> bool:
    """The patient confirmed it, and wants no other time any more; False: it was confirmed before, or is over or
    cancelled.
    """
    with transaction(asker.actor):
        if not fetch_all(_CONFIRM, (asker.actor[:_ACTOR], appointment_id)):
            return False
        _close("appointment_id", appointment_id, note="The patient confirmed the time after all.", actor=asker.actor)
        return True


def ask_for_another_time(appointment_id: UUID, *, inbound_id: UUID | None, asker: Asker) -> UUID:
    """Open a reschedule request; the one that is open already comes back.

    Raises:
        OutreachError: APPOINTMENT_NOT_FOUND.
    """
    with transaction(asker.actor):
        patient_id = locked(appointment_id)["patient_id"]
        execute(_WANTS_ANOTHER, (appointment_id,))
        made = fetch_all(_ASK, (new_id(), appointment_id, patient_id, inbound_id))
        if made:
            return UUID(str(made[0][0]))
        ((request_id,),) = fetch_all(
            "SELECT id FROM comm_reschedule_requests WHERE appointment_id = %s AND status = 'open'", (appointment_id,)
        )
        return UUID(str(request_id))


def close_request(request_id: UUID, *, note: str, asker: Asker) -> bool:
    """Somebody has dealt with it; False: it was closed before.

    Raises:
        OutreachError: REQUEST_NOT_FOUND; INVALID_TEXT, the note.
    """
    words = checks.text(note, field="note", most=_NOTE, needed=False)
    with transaction(asker.actor):
        if _close("id", request_id, note=words, actor=asker.actor):
            return True
        if not fetch_all("SELECT FROM comm_reschedule_requests WHERE id = %s", (request_id,)):
            raise OutreachError(f"there is no request {request_id}", code="REQUEST_NOT_FOUND", field="request_id")
        return False


def open_requests(*, limit: int = 200) -> Sequence[Mapping[str, Any]]:
    """Open requests, oldest first, with their appointment."""
    return fetch_dicts(_OPEN, (limit,))


def of_patient(patient_id: UUID, *, limit: int = 50) -> Sequence[Mapping[str, Any]]:
    """A patient's appointments: those ahead, next first, then those that are over, latest first."""
    return fetch_dicts(_OF_PATIENT, (patient_id, limit))


def _close(column: str, value: UUID, *, note: str, actor: str) -> bool:
    return bool(fetch_all(_CLOSE.format(column), (actor[:_ACTOR], note, value)))


def _checked(appointment: AppointmentInput, source: str) -> dict[str, Any]:
    reported_at = appointment.reported_at or datetime.now(UTC)
    if appointment.starts_at.tzinfo is None or reported_at.tzinfo is None:
        raise NaiveInstant("an appointment's instants have zones")
    if appointment.status not in STATUSES:
        raise OutreachError(f"status is one of {', '.join(sorted(STATUSES))}", code="UNKNOWN_STATUS", field="status")
    if not fetch_all("SELECT FROM patients WHERE id = %s", (appointment.patient_id,)):
        raise not_found(appointment.patient_id)
    require_provider(appointment.provider_id)
    return {
        "id": appointment.id,
        "patient_id": appointment.patient_id,
        "provider_id": appointment.provider_id,
        "starts_at": appointment.starts_at,
        "timezone": times.zone(appointment.timezone).key if appointment.timezone else "",
        "place": checks.text(appointment.place, field="place", most=_PLACE, needed=False),
        "status": appointment.status,
        "confirmed_at": None,
        "confirmed_by": None,
        "reported_at": reported_at,
        "source": source[:_SOURCE],
    }


def _answered(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What the patient's answer leaves of a report about an appointment that is known."""
    if was_moved(before, wanted):
        return {}
    kept = {name: before[name] for name in ("confirmed_at", "confirmed_by")}
    if wanted["status"] == SCHEDULED and before["status"] in AHEAD:
        return {"status": before["status"], **kept}
    is_told_again = wanted["status"] == CONFIRMED and before["status"] == CONFIRMED
    return kept if is_told_again or wanted["status"] not in AHEAD else {}
