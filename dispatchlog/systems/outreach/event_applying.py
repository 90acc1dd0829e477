"""Applying stored events to their messages. Owns the locks and the statements; what comes of an event says `hearing`.

A message that somebody else has locked is passed over and waited for at the end, one at a time and holding nothing else, so
no two of these wait for each other. Nothing that others lock before a message's row is locked after it: the proof of an
attempt has a transaction of its own, and a stop takes its address's lock first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import structlog
from psycopg2.extras import execute_values

from dispatchlog.engine import ledger
from dispatchlog.engine.database import (
    after_commit,
    connected,
    database,
    execute,
    fetch_all,
    fetch_dicts,
    is_away,
    transaction,
)
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems import registry
from dispatchlog.systems.outreach import consents
from dispatchlog.systems.outreach.hearing import COLUMNS, Event, accepted, event_of, fold
from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.provider_words import ROUTES
from dispatchlog.systems.outreach.states import Channel, PurposeClass

log = structlog.get_logger(__name__)

ACTOR = "provider"
LANE = "comm_job"
JOBS_AT_ONCE = 50
# A message's id at its provider is known a moment after the message has left; later only where a look-up finds it.
SOON_SECONDS, LATE_SECONDS, LATE_EVERY_SECONDS = 600, 7 * 86_400, 3_600
_FAILURES = (peewee.PeeweeException, psycopg2.Error, DispatchlogError, ValueError, TypeError, KeyError, LookupError)

# What the provider was given as our id counts first. A provider knows only of what went by its own routes.
_OWN_ROUTE = (
    "(e.provider, j.route) IN ("
    + ", ".join(f"('{provider}', '{route}')" for provider, routes in ROUTES.items() for route in routes)
    + ")"
)
_JOB = f"""
    SELECT j.id FROM comm_jobs j WHERE j.id = e.job_id AND {_OWN_ROUTE}
    UNION ALL
    SELECT j.id FROM comm_jobs j
    WHERE e.provider_message_id <> '' AND j.provider_message_id = e.provider_message_id AND {_OWN_ROUTE}
    LIMIT 1
"""
_OPEN = f"""
SELECT e.id, j.id AS job_id FROM comm_events e LEFT JOIN LATERAL ({_JOB}) j ON true
WHERE e.applied_at IS NULL AND e.id > %s ORDER BY e.id LIMIT %s
"""
_UNMATCHED = f"""
SELECT e.id, j.id AS job_id FROM comm_events e CROSS JOIN LATERAL ({_JOB}) j
WHERE e.effect = 'UNMATCHED' AND e.received_at > now() - %s * interval '1 s' ORDER BY e.received_at LIMIT 10000
"""
_EVENTS = """
SELECT id, provider, raw_status, status, code, occurred_at, received_at, provider_message_id FROM comm_events
WHERE id = ANY (%s) AND (applied_at IS NULL OR effect = 'UNMATCHED') ORDER BY id
"""
_NOT_SENT = "SELECT * FROM comm_jobs WHERE id = ANY (%s::uuid[]) AND status <> 'SENT' AND claim_token IS NOT NULL"
_LOCK_JOBS = f"""
SELECT id, status, trace_id, created_at, {", ".join(COLUMNS)} FROM comm_jobs WHERE id = ANY (%s::uuid[]) ORDER BY id
FOR NO KEY UPDATE
"""
_KINDS = ["varchar" if name == "bounce_code" else "timestamptz" for name in COLUMNS]
_CHANGE = f"""
UPDATE comm_jobs j SET {", ".join(f"{name} = v.{name}" for name in COLUMNS)}, updated_at = clock_timestamp()
FROM (VALUES %s) AS v (id, {", ".join(COLUMNS)}) WHERE j.id = v.id
"""
_CHANGE_TYPES = f"(%s::uuid, {', '.join(f'%s::{kind}' for kind in _KINDS)})"
_APPLIED = """
UPDATE comm_events e SET job_id = v.job_id, applied_at = clock_timestamp(), effect = v.effect
FROM (VALUES %s) AS v (id, effect, job_id) WHERE e.id = v.id AND (e.applied_at IS NULL OR e.effect = 'UNMATCHED')
"""
_NOBODY_S = """
UPDATE comm_events SET applied_at = clock_timestamp(), effect = 'UNMATCHED' WHERE id = ANY (%s) AND applied_at IS NULL
"""
# Two that see the same opt-out take turns; nobody else takes this lock.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7240126))"

ByJob = Mapping[UUID, Sequence[int]]
_late_at: list[float] = []


def apply_open(*, limit: int) -> int:
    """Apply what is stored and not applied yet, oldest first; how many."""
    applied, last = 0, 0
    with connected():
        while found := fetch_all(_OPEN, (last, limit)):
            last = found[-1][0]
            applied += _apply_jobs(_grouped(found)) + _lay_aside([event for event, job in found if job is None])
            if len(found) < limit:
                break
    return applied


def match_what_is_known_now() -> int:
    """`match_again` for what came just now, and once in an hour for all that is not too old; how many."""
    late = not _late_at or boottime() - _late_at[0] >= LATE_EVERY_SECONDS
    if late:
        _late_at[:] = [boottime()]
    return match_again(seconds=LATE_SECONDS if late else SOON_SECONDS)


def match_again(*, seconds: int = SOON_SECONDS) -> int:
    """Apply what matched no message when it came, within so long, and matches one now; how many."""
    with connected():
        found = fetch_all(_UNMATCHED, (seconds,))
        return _apply_jobs(_grouped(found)) if found else 0


def _grouped(found: Sequence[tuple[int, UUID | None]]) -> dict[UUID, list[int]]:
    by_job: dict[UUID, list[int]] = {}
    for event_id, job_id in found:
        if job_id is not None:
            by_job.setdefault(job_id, []).append(event_id)
    return by_job


def _lay_aside(event_ids: Sequence[int]) -> int:
    if not event_ids:
        return 0
    with transaction(ACTOR):
        return int(execute(_NOBODY_S, (list(event_ids),)).rowcount)


def _apply_jobs(by_job: ByJob) -> int:
    applied = 0
    jobs = list(by_job)
    for start in range(0, len(jobs), JOBS_AT_ONCE):
        applied += _apply_chunk({job: by_job[job] for job in jobs[start : start + JOBS_AT_ONCE]})
    return applied


def _apply_chunk(chunk: ByJob) -> int:
    """How many events were applied; where one message fails, the others go without it."""
    try:
        told = {job: events for job, events in _events_of(chunk).items() if events}
        _prove(told)
        applied = sum(_withdraw(job, chunk[job]) for job, each in told.items() if any(e.withdrawal for e in each))
        with transaction(ACTOR):
            done, locked = _apply(chunk, wait=False)
        applied += done
        for job in chunk.keys() - locked:
            with transaction(ACTOR):
                applied += _apply({job: chunk[job]}, wait=True)[0]
        return applied
    except _FAILURES as error:
        if is_away(error):
            raise
        if len(chunk) > 1:
            return sum(_apply_chunk({job: ids}) for job, ids in chunk.items())
        code = error.code if isinstance(error, DispatchlogError) else type(error).__name__
        log.error("OUTREACH_EVENT_NOT_APPLIED", job_id=str(next(iter(chunk))), events=_all_of(chunk)[:10], error=code)
        return 0


def _all_of(chunk: ByJob) -> list[int]:
    return [event_id for ids in chunk.values() for event_id in ids]


def _events_of(chunk: ByJob) -> dict[UUID, list[Event]]:
    """What is still to be applied, by message."""
    events = {row["id"]: event_of(row) for row in fetch_dicts(_EVENTS, (_all_of(chunk),))}
    return {job: [events[each] for each in ids if each in events] for job, ids in chunk.items()}


def _prove(told: Mapping[UUID, Sequence[Event]]) -> None:
    """A message of which the provider tells is at the provider, whatever we thought of it."""
    for row in fetch_dicts(_NOT_SENT, (list(told),)):
        events = told[row["id"]]
        message_id = next((event.provider_message_id for event in events if event.provider_message_id), None)
        lane = registry.lane(LANE).of(row)
        with transaction(ACTOR, f"{events[0].provider} told of it"):
            moved = ledger.prove(lane, row, provider_message_id=message_id, evidence=accepted(events))
        if moved:
            log.info("OUTREACH_MESSAGE_PROVED", job_id=str(row["id"]), trace_id=row["trace_id"])


def _withdraw(job_id: UUID, event_ids: Sequence[int]) -> int:
    """Apply a message's events together with the stops that they are: both, or neither."""
    with transaction(ACTOR):
        execute(_TAKE_TURNS, (f"outreach opt-out:{job_id}",))
        job = fetch_dicts(
            "SELECT id, patient_id, channel, recipient, recipient_hash, sealed FROM comm_jobs WHERE id = %s", (job_id,)
        )[0]
        # An address is locked before a patient, so what concerns the address comes first.
        for event in sorted(_events_of({job_id: event_ids})[job_id], key=_concerns_patient):
            if event.withdrawal is not None:
                _note_withdrawal(job_id, job, event)
        return _apply({job_id: event_ids}, wait=True)[0]


def _concerns_patient(event: Event) -> bool:
    return event.withdrawal is not None and event.withdrawal.purposes is PurposeClass.MARKETING


def _note_withdrawal(job_id: UUID, job: Mapping[str, Any], event: Event) -> None:
    said = event.withdrawal
    if said is None:
        return
    channel, asker = Channel(job["channel"]), Asker(actor=f"provider:{event.provider}")
    evidence = {"job_id": str(job_id), "event": event.id, "status": event.raw_status, "code": event.code}
    if said.purposes is PurposeClass.MARKETING:
        consents.note_marketing(
            job["patient_id"], channel, given=False, source=said.source, asker=asker, evidence=evidence
        )
    else:
        consents.stop(
            channel,
            COMM_JOBS.opened(job)["recipient"],
            source=said.source,
            asker=asker,
            patient_id=job["patient_id"],
            evidence=evidence,
        )


def _apply(chunk: ByJob, *, wait: bool) -> tuple[int, Collection[UUID]]:
    """How many events were applied, and the messages whose turn it was."""
    jobs = {row["id"]: row for row in fetch_dicts(_LOCK_JOBS + ("" if wait else " SKIP LOCKED"), (list(chunk),))}
    folded = {job: fold(jobs[job], events) for job, events in _events_of(chunk).items() if job in jobs and events}
    changed = [
        (job_id, *({**jobs[job_id], **columns}[name] for name in COLUMNS))
        for job_id, (columns, _) in folded.items()
        if columns
    ]
    applied = [
        (event_id, str(effect), job_id)
        for job_id, (_, effects) in folded.items()
        for event_id, effect in effects.items()
    ]
    with database.connection().cursor() as cursor:
        if changed:
            execute_values(cursor, _CHANGE, changed, template=_CHANGE_TYPES, page_size=JOBS_AT_ONCE)
        if applied:
            execute_values(cursor, _APPLIED, applied, template="(%s, %s, %s::uuid)", page_size=1000)
    for job_id, (columns, _) in folded.items():
        _say(jobs[job_id], columns)
    return len(applied), jobs.keys()


def _say(job: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
    """A line of the log once it is committed."""
    if not columns:
        return
    fields = {"job_id": str(job["id"]), "heard": sorted(columns.keys() - {"bounce_code"}), "trace_id": job["trace_id"]}
    after_commit(f"outreach-heard:{job['id']}", lambda: log.info("OUTREACH_MESSAGE_UPDATED", **fields))
    if job["status"] == "CANCELLED" and "delivered_at" in columns:
        after_commit(f"outreach-left:{job['id']}", lambda: log.error("CANCELLED_MESSAGE_ARRIVED", **fields))
