"""The orchestrator: requests become jobs of lane `comm_job` with their texts rendered, or a clear no. One transaction.

Many requests take as few statements as one: whoever is asked for many at the same moment hands them over together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, fetch_all, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.outreach import audit, portal
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, Scheduled, ScheduleInput
from dispatchlog.systems.outreach.lane import LANE, comm_job_lane
from dispatchlog.systems.outreach.optimiser.evidence import evidence_for, store_choices
from dispatchlog.systems.outreach.patients import not_found
from dispatchlog.systems.outreach.preferences import Preferences, resolve_many
from dispatchlog.systems.outreach.scheduling_reads import About, read_abouts, read_texts
from dispatchlog.systems.outreach.scheduling_request import Request, Written
from dispatchlog.systems.outreach.states import AuditAction, Channel

_LONGEST_KEY = 255
# How long a provider usually takes from us to the patient.
_ON_ITS_WAY = {
    Channel.EMAIL: timedelta(seconds=60),
    Channel.SMS: timedelta(seconds=15),
    Channel.WHATSAPP: timedelta(seconds=10),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, who asks, and under which trace id."""

    wanted: ScheduleInput
    asker: Asker
    trace_id: str


T = TypeVar("T")
Outcome = Scheduled | OutreachError


def schedule(wanted: ScheduleInput, *, asker: Asker, trace_id: str) -> Scheduled:
    """Decide, render, store, audit and wake; the same `request_key` of the same actor gives the same job.

    Where consent or a stop forbids it, a job is stored all the same, cancelled, with the decision (`refused` says why).

    Raises:
        OutreachError: PATIENT_NOT_FOUND, UNKNOWN_TEMPLATE, TEMPLATE_MISMATCH (its purpose or channel is another),
            UNKNOWN_VARIABLE, MISSING_VARIABLE, INVALID_VARIABLE, NO_ADDRESS, SEND_AT_PAST, INVALID_DATE,
            URGENT_NOT_ALLOWED, APPOINTMENT_NOT_FOUND, APPOINTMENT_OVER, REQUEST_KEY_REUSED, each with its field; nothing
            is stored then.
    """
    outcome = schedule_many([Asked(wanted, asker, trace_id)])[0]
    if isinstance(outcome, OutreachError):
        raise outcome
    return outcome


def schedule_many(asked: Sequence[Asked]) -> list[Outcome]:
    """What `schedule` answers to each, a refusal in its place; one that is refused costs the others nothing.

    Two requests of one patient, or under one key, follow each other, for the first one counts for the second.
    """
    outcomes: dict[int, Outcome] = {}
    for numbers in _rounds(asked):
        together = [asked[number] for number in numbers]
        outcomes.update(zip(numbers, _round(together), strict=True))
    return [outcomes[number] for number in range(len(asked))]


def cancel(job_id: UUID, *, asker: Asker, reason: str) -> bool:
    """Cancel a job that waits; False: it is on its way or over.

    Raises:
        OutreachError: JOB_NOT_FOUND.
    """
    with transaction(asker.actor, reason):
        if ledger.cancel_waiting(comm_job_lane(), id=job_id):
            log_action(asker.actor, "cancel", lane=LANE, dispatch_id=job_id, reason=reason)
            return True
        if not fetch_all("SELECT FROM comm_jobs WHERE id = %s", (job_id,)):
            raise OutreachError(f"there is no message {job_id}", code="JOB_NOT_FOUND", field="job_id")
        return False


def cancel_for_appointment(appointment_id: UUID, *, reason: str) -> int:
    """Cancel what waits about an appointment; how many. In the caller's transaction."""
    with transaction("service:outreach", reason):
        return ledger.cancel_waiting(comm_job_lane(), appointment_id=appointment_id)


def _rounds(asked: Sequence[Asked]) -> Iterator[list[int]]:
    """Positions that may be dealt with together: of one actor, and of different patients and keys."""
    left = [*range(len(asked))]
    while left:
        actor = asked[left[0]].asker.actor
        seen: set[object] = set()
        now: list[int] = []
        for number in left:
            each = asked[number]
            names = {each.wanted.patient_id, *filter(None, [_request_key(each.wanted, each.asker)])}
            if each.asker.actor == actor and not names & seen:
                seen |= names
                now.append(number)
        yield now
        left = [number for number in left if number not in now]


def _round(asked: Sequence[Asked]) -> list[Outcome]:
    keys = [_request_key(each.wanted, each.asker) for each in asked]
    with transaction(asked[0].asker.actor):
        abouts = read_abouts([(each.wanted, key) for each, key in zip(asked, keys, strict=True)])
        preferences = resolve_many({about["patient_id"] for about in abouts if about and about["job_id"] is None})
        begun = [
            _attempt(partial(_begin, each, about, key, preferences))
            for each, about, key in zip(asked, abouts, keys, strict=True)
        ]
        requests = [each for each in begun if isinstance(each, Request)]
        texts = read_texts(request.wanted.patient_id for request in requests if request.is_limited)
        evidence = evidence_for(preferences[request.wanted.patient_id] for request in requests)
        written = [
            _attempt(partial(request.write, texts, evidence)) if isinstance(request, Request) else request
            for request in begun
        ]
        stored = _store(
            [(each, found) for each, found in zip(asked, written, strict=True) if isinstance(found, Written)]
        )
    return [_outcome(each, found, key, stored) for each, found, key in zip(asked, written, keys, strict=True)]


def _attempt(act: Callable[[], T]) -> T | OutreachError:
    try:
        return act()
    except OutreachError as error:
        return error


def _begin(
    asked: Asked, about: About | None, key: str | None, preferences: Mapping[UUID, Preferences]
) -> Request | Scheduled:
    """The request as it can be decided, or what became of the same one before.

    Raises:
        OutreachError: as `schedule`.
    """
    wanted, sha256 = asked.wanted, _fingerprint(asked.wanted)
    for name in ("send_at", "expires_at"):
        instant = getattr(wanted, name)
        if instant is not None and instant.tzinfo is None:
            raise OutreachError(f"{name} has no time zone", code="INVALID_DATE", field=name)
    if about is None:
        raise not_found(wanted.patient_id)
    if about["job_id"] is not None:
        return _again(about, sha256)
    return Request(wanted, about, preferences[wanted.patient_id], trace_id=asked.trace_id, key=key, sha256=sha256)


def _store(written: Sequence[tuple[Asked, Written]]) -> set[UUID]:
    """Store the jobs with what belongs to them; the ids of those that nobody stored under their key meanwhile."""
    lane = comm_job_lane()
    # Whoever stores several waits for others' keys in the same order, so that no two wait for each other.
    rows = sorted((each.row for _, each in written), key=lambda row: row["request_key"] or "")
    new = {*ledger.enqueue(lane, rows)}
    stored = [(asked, each) for asked, each in written if each.row["id"] in new]
    store_choices([choice for _, each in stored for choice in each.choices])
    portal.store_links([link for _, each in stored for link in each.links])
    for asked, each in stored:
        if each.decision.refused:
            with transaction(asked.asker.actor, each.decision.document["refused"]["words"]):
                ledger.cancel_waiting(lane, id=each.row["id"])
    audit.note_many((AuditAction.SEND, asked.wanted.patient_id, asked.asker, each.details) for asked, each in stored)
    if any(not each.decision.refused and each.row["due_at"] <= datetime.now(UTC) for _, each in stored):
        get_waker().after_commit(lane)
    return new


def _outcome(asked: Asked, found: Written | Scheduled | OutreachError, key: str | None, stored: set[UUID]) -> Outcome:
    if not isinstance(found, Written):
        return found
    if found.row["id"] not in stored:
        return _attempt(partial(_twin, asked, key))
    at = found.decision.at
    return Scheduled(
        found.row["id"],
        at,
        found.channel,
        at + _ON_ITS_WAY[found.channel],
        json.loads(found.row["decision"]),
        refused=found.decision.refused,
    )


def _twin(asked: Asked, key: str | None) -> Scheduled:
    """The same request was stored by somebody else at this moment."""
    with connected():
        [about] = read_abouts([(asked.wanted, key)])
    assert about is not None  # noqa: S101  (for the type checker: patients stay)
    return _again(about, _fingerprint(asked.wanted))


def _again(about: About, sha256: bytes) -> Scheduled:
    """What became of the same request before."""
    if about["request_sha256"] is None or bytes(about["request_sha256"]) != sha256:
        raise OutreachError(
            "another request was made with this key; take a new key for a new message",
            code="REQUEST_KEY_REUSED",
            field="request_key",
            present={"job_id": str(about["job_id"])},
        )
    channel = Channel(about["channel"])
    refused = about["decision"].get("refused") or {}
    return Scheduled(
        about["job_id"],
        about["scheduled_at"],
        channel,
        about["scheduled_at"] + _ON_ITS_WAY[channel],
        about["decision"],
        refused=refused.get("code", ""),
        created=False,
    )


def _request_key(wanted: ScheduleInput, asker: Asker) -> str | None:
    """Keys are an actor's own: two sources may choose the same one."""
    if not wanted.request_key:
        return None
    key = f"{asker.actor}:{wanted.request_key}"
    return key if len(key) <= _LONGEST_KEY else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _fingerprint(wanted: ScheduleInput) -> bytes:
    """32 bytes that differ where anything was asked for differently."""
    asked = {
        name: sorted(value) if name == "not_by" else value
        for name in ScheduleInput.__dataclass_fields__
        if (value := getattr(wanted, name)) is not None
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).digest()
