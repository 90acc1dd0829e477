"""Events of the core platform: patients, appointments, providers, billing. Each is taken in once and may become messages.

Owns `comm_core_events`. What became of an event stands in its `effect`: what was stored, and each message with its job or
the code for which there is none. A message that may not be sent never undoes the event: the appointment is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.comm_documents import CoreEventDocument, SnakeDocument
from dispatchlog.core_event_documents import (
    AppointmentDocument,
    CareDocument,
    EndedAppointmentDocument,
    OrganizationDocument,
    PatientDocument,
    ProviderDocument,
    StatementDocument,
)
from dispatchlog.engine.database import execute, fetch_all, transaction
from dispatchlog.order_documents import DocumentError, Problem, read_document
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import appointments, patients, preferences, scheduling, templates, times
from dispatchlog.systems.outreach.inputs import AppointmentInput, Asker, OutreachError, ScheduleInput
from dispatchlog.systems.outreach.states import Purpose

Effect = dict[str, Any]

# What whoever reports an event has said wrongly about a message's text; all else that keeps a message back is noted.
_WRONG_VARIABLES = frozenset({"UNKNOWN_VARIABLE", "MISSING_VARIABLE", "INVALID_VARIABLE", "TEXT_TOO_LONG"})
_OLDER: Effect = {"older": True}


@dataclass(frozen=True, slots=True)
class _Event:
    """One event as it was read. `at` orders the events of a subject; nothing has happened in the future."""

    key: str
    kind: str
    at: datetime
    data: Any
    source: str
    asker: Asker
    trace_id: str

    @property
    def subject_id(self) -> UUID:
        subject: UUID = getattr(self.data, "id", None) or self.data.patient_id
        return subject


def take(document: Mapping[str, Any], *, source: str, asker: Asker, trace_id: str) -> Mapping[str, Any]:
    """Take one event in: {event_id, kind, occurred_at, data}. What came of it: {"taken": bool, "effect": {...}}; the same
    event again has the same effect told, `taken` False, and does nothing. All in one transaction.

    An event that is older than what is known of its subject is kept and changes nothing: {"older": true}.

    Raises:
        DocumentError: it is no such document, with every field that is wrong.
        OutreachError: UNKNOWN_EVENT, EVENT_REUSED (same id, other content), and those of what it says, with the field.
    """
    envelope = read_document(CoreEventDocument, json.dumps(dict(document), default=str), what="the event")
    if envelope.kind not in _KINDS:
        raise OutreachError(f"kind is one of {', '.join(_KINDS)}", code="UNKNOWN_EVENT", field="kind")
    said = envelope.model_dump_json(exclude={"event_id"}, exclude_none=True)
    sha256 = hashlib.sha256(json.dumps(json.loads(said), sort_keys=True).encode()).digest()
    now = datetime.now(UTC)
    event = _Event(
        key=hashlib.sha256(f"{source}\0{envelope.event_id}".encode()).hexdigest(),
        kind=envelope.kind,
        at=min(envelope.occurred_at or now, now),
        data=_read_data(_KINDS[envelope.kind].document, envelope.data),
        source=source,
        asker=asker,
        trace_id=trace_id,
    )
    with transaction(asker.actor):
        execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7240126))", (event.key,))
        known = fetch_all(
            "SELECT document_sha256, effect FROM comm_core_events WHERE source = %s AND event_id = %s",
            (source, envelope.event_id),
        )
        if known:
            return _again(known[0], sha256)
        effect = _carry_out(event)
        execute(
            "INSERT INTO comm_core_events (source, event_id, kind, subject_id, occurred_at, document_sha256, effect)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (source, envelope.event_id, event.kind, event.subject_id, event.at, sha256, json.dumps(effect)),
        )
    return {"taken": True, "effect": effect}


def _again(known: tuple[Any, ...], sha256: bytes) -> Mapping[str, Any]:
    was, effect = known
    if bytes(was) != sha256:
        raise OutreachError("another event has this event_id", code="EVENT_REUSED", field="event_id")
    return {"taken": False, "effect": effect}


def _read_data(kind: type[SnakeDocument], data: Mapping[str, Any]) -> SnakeDocument:
    try:
        return read_document(kind, json.dumps(dict(data)), what="data")
    except DocumentError as error:
        raise DocumentError([Problem(p.code, p.message, _in_data(p.field)) for p in error.problems]) from None


def _carry_out(event: _Event) -> Effect:
    try:
        return _KINDS[event.kind].carry_out(event)
    except OutreachError as error:
        field = _in_data(error.field)
        raise OutreachError(error.message, code=error.code, field=field, present=error.present) from error


def _in_data(field: str) -> str:
    return f"data.{field}" if field else "data"


def _organization(event: _Event) -> Effect:
    if _is_older(event):
        return _OLDER
    patients.put_organization(event.data.to_input(), source=event.source)
    return {"stored": "organization"}


def _provider(event: _Event) -> Effect:
    if _is_older(event):
        return _OLDER
    patients.put_provider(event.data.to_input(), source=event.source)
    return {"stored": "provider"}


def _is_older(event: _Event) -> bool:
    """For what has no instant of its own report: whether a later event of this kind was taken in already."""
    execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7240126))", (str(event.subject_id),))
    return bool(
        fetch_all(
            "SELECT FROM comm_core_events WHERE subject_id = %s AND kind = %s AND occurred_at > %s LIMIT 1",
            (event.subject_id, event.kind, event.at),
        )
    )


def _patient(event: _Event) -> Effect:
    is_stored = patients.put_patient(event.data.to_input(event.at), source=event.source, asker=event.asker)
    return {"stored": "patient"} if is_stored else _OLDER


def _appointment(event: _Event) -> Effect:
    return _put(event, event.data.to_input(event.at))


def _appointment_ended(status: str) -> Callable[[_Event], Effect]:
    def end(event: _Event) -> Effect:
        was = appointments.locked(event.data.id)
        return _put(
            event,
            AppointmentInput(
                id=was["id"],
                patient_id=was["patient_id"],
                starts_at=was["starts_at"],
                provider_id=was["provider_id"],
                timezone=was["timezone"],
                place=was["place"],
                status=status,
                reported_at=event.at,
            ),
        )

    return end


def _put(event: _Event, wanted: AppointmentInput) -> Effect:
    """Store it, and let the messages about it follow: none about a time or an appointment that is given up."""
    changed, before = appointments.put_appointment(wanted, source=event.source)
    if before is not None and before["reported_at"] > event.at:
        return _OLDER
    after = appointments.locked(wanted.id)
    effect: Effect = {"stored": "appointment", "changed": changed, "messages": []}
    is_ahead = after["status"] in appointments.AHEAD
    if before is not None and _is_still_so(before, after):
        return effect
    if before is not None:
        why = f"the appointment was {'moved' if is_ahead else after['status'].replace('_', ' ')}"
        effect["cancelled"] = scheduling.cancel_for_appointment(wanted.id, reason=why)
    if is_ahead:
        effect["messages"] = [_send(event, each) for each in _about_appointment(after)]
    elif after["status"] == "no_show":
        effect["messages"] = [_send(event, _appointment_message(after, Purpose.NO_SHOW, None, ""))]
    return effect


def _is_still_so(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether all that was written about it holds: it is ahead at the same time, or over in the same way."""
    if after["status"] in appointments.AHEAD:
        return before["status"] in appointments.AHEAD and not appointments.was_moved(before, after)
    return bool(before["status"] == after["status"])


def _about_appointment(row: Mapping[str, Any]) -> list[ScheduleInput]:
    """A question whether the patient comes, at once, and reminders, as far as there is time for them. The row's version
    makes each request one message per time that the appointment was given."""
    starts_at, now = row["starts_at"], datetime.now(UTC)
    if starts_at <= now:
        return []
    found = []
    if row["status"] != appointments.CONFIRMED:
        found.append(_appointment_message(row, Purpose.APPT_CONFIRM, None, ""))
    for hours in get_settings().reminder_hours:
        send_at = starts_at - timedelta(hours=hours)
        if send_at > now:
            found.append(_appointment_message(row, Purpose.APPT_REMINDER, send_at, f":{hours}"))
    return found


def _appointment_message(
    row: Mapping[str, Any], purpose: Purpose, send_at: datetime | None, which: str
) -> ScheduleInput:
    return ScheduleInput(
        patient_id=row["patient_id"],
        purpose=purpose,
        variables=_told(row, purpose),
        send_at=send_at,
        appointment_id=row["id"],
        expires_at=None if purpose is Purpose.NO_SHOW else row["starts_at"],
        request_key=f"appointment:{row['id']}:{row['version']}:{purpose}{which}",
    )


def _told(row: Mapping[str, Any], purpose: Purpose) -> dict[str, str]:
    """What the texts for this purpose ask for, of what is known about an appointment: its hour is that of its place."""
    known = preferences.resolve(row["patient_id"])
    local = row["starts_at"].astimezone(times.zone(row["timezone"] or known.timezone.value))
    offered = {
        "starts_at": local.isoformat(),
        "appointment_date": local.date().isoformat(),
        "appointment_time": local.strftime("%H:%M"),
        "place": row["place"],
    }
    texts = templates.templates_for(
        purpose,
        language=known.language.value,
        organization_id=known.organization_id,
        provider_id=row["provider_id"] or known.provider_id,
    )
    declared = {variable.name for text in texts.values() for variable in text.variables}
    return {name: value for name, value in offered.items() if name in declared}


def _care(purpose: Purpose) -> Callable[[_Event], Effect]:
    def tell(event: _Event) -> Effect:
        wanted = ScheduleInput(
            patient_id=event.data.patient_id,
            purpose=purpose,
            variables=event.data.variables,
            request_key=f"event:{event.key}",
        )
        return {"messages": [_send(event, wanted, strict=True)]}

    return tell


def _statement(event: _Event) -> Effect:
    """No purpose is about money, so it is kept and nothing is sent."""
    patients.patient(event.subject_id)
    return {"messages": []}


def _send(event: _Event, wanted: ScheduleInput, *, strict: bool = False) -> Effect:
    """A message, or the code for which there is none. `strict`: what the event said wrongly refuses the event."""
    told: Effect = {"purpose": str(wanted.purpose)}
    try:
        scheduled = scheduling.schedule(wanted, asker=event.asker, trace_id=event.trace_id)
    except OutreachError as error:
        if strict and error.code in {*_WRONG_VARIABLES, "PATIENT_NOT_FOUND"}:
            raise
        return {**told, "refused": error.code}
    told |= {"job_id": str(scheduled.job_id), "scheduled_at": scheduled.scheduled_at.isoformat()}
    return {**told, "refused": scheduled.refused} if scheduled.refused else told


@dataclass(frozen=True, slots=True)
class _Kind:
    document: type[SnakeDocument]
    carry_out: Callable[[_Event], Effect]


_KINDS = {
    "organization.updated": _Kind(OrganizationDocument, _organization),
    "provider.updated": _Kind(ProviderDocument, _provider),
    "patient.updated": _Kind(PatientDocument, _patient),
    "appointment.scheduled": _Kind(AppointmentDocument, _appointment),
    "appointment.updated": _Kind(AppointmentDocument, _appointment),
    "appointment.cancelled": _Kind(EndedAppointmentDocument, _appointment_ended("cancelled")),
    "appointment.no_show": _Kind(EndedAppointmentDocument, _appointment_ended("no_show")),
    "prescription.refill_due": _Kind(CareDocument, _care(Purpose.RX_REFILL)),
    "lab.results_ready": _Kind(CareDocument, _care(Purpose.LAB_READY)),
    "billing.statement_ready": _Kind(StatementDocument, _statement),
}
KINDS = tuple(_KINDS)
