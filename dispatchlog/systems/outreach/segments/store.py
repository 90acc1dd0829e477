"""Segments as they are kept: written, changed, archived, evaluated. Owns `patient_segments`, and not who is in one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import peewee
import structlog

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.storable import storable
from dispatchlog.systems.outreach import checks, patients
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.segments import membership, references

log = structlog.get_logger(__name__)

MOST_NAME = 255
MOST_DESCRIPTION = 2_000
MOST_RULES_BYTES = 200_000
# How long the clock may count one segment; a page waits less.
EVALUATE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; `rules` as it was written. `patient_count` is what it was at `last_evaluated`; `too_slow_at` says when
    counting was last given up since then."""

    id: UUID
    name: str
    description: str
    rules: Mapping[str, Any]
    organization_id: UUID | None
    created_by: str
    is_active: bool
    last_evaluated: datetime | None
    patient_count: int
    evaluation_ms: int | None
    too_slow_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SegmentInput:
    """What is written. `organization_id`: only its patients count, None: everybody's. It stays as it was first written."""

    name: str
    rules: Mapping[str, Any]
    description: str = ""
    organization_id: UUID | None = None


_COLUMNS = ", ".join(each.name for each in fields(Segment))


def create(wanted: SegmentInput, *, asker: Asker) -> Segment:
    """A new segment, evaluated at once; one that takes too long is kept all the same.

    Raises:
        OutreachError: INVALID_NAME, INVALID_TEXT, SEGMENT_EXISTS (of this name), ORGANIZATION_NOT_FOUND; as
            `membership.audience_of` with the place under "rules".
    """
    segment_id = new_id()
    with _writing(asker):
        patients.require_organization(wanted.organization_id)
        texts = _checked(wanted, wanted.organization_id, but=None)
        try:
            with transaction(asker.actor):
                execute(
                    "INSERT INTO patient_segments (id, name, description, rules, organization_id, created_by)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (segment_id, *texts, wanted.organization_id, asker.actor),
                )
        except peewee.IntegrityError as error:
            raise _exists() from error
        _note(asker, "create_segment", segment_id, version=1)
    return _evaluated(segment_id)


def change(segment_id: UUID, wanted: SegmentInput, *, based_on: int, asker: Asker) -> Segment:
    """Raises OutreachError: as `create`; SEGMENT_NOT_FOUND, VERSION_CONFLICT, SEGMENT_ARCHIVED. Two changes at once that
    together close a cycle are not both taken."""
    with _writing(asker):
        now = _locked(segment_id)
        if not now.is_active:
            raise OutreachError("the segment is archived", code="SEGMENT_ARCHIVED", field="segment_id")
        if now.version != based_on:
            raise OutreachError(
                f"version {now.version} was written in the meantime",
                code="VERSION_CONFLICT",
                field="based_on",
                present={"version": now.version},
            )
        understood = set(references.every_meaning())
        texts = _checked(wanted, now.organization_id, but=segment_id)
        try:
            with transaction(asker.actor):
                execute(
                    "UPDATE patient_segments SET name = %s, description = %s, rules = %s, version = version + 1,"
                    " updated_at = clock_timestamp() WHERE id = %s",
                    (*texts, segment_id),
                )
        except peewee.IntegrityError as error:
            raise _exists() from error
        _check_others(understood - {segment_id})
        _note(asker, "change_segment", segment_id, version=now.version + 1)
    return _evaluated(segment_id)


def archive(segment_id: UUID, *, asker: Asker) -> Segment:
    """Nobody can use it any more; once more changes nothing. Raises OutreachError: SEGMENT_NOT_FOUND, SEGMENT_IN_USE (an
    active segment, or a campaign that is no draft and not completed, names it: `present` has "segments" and "campaigns",
    each a list of {"id", "name"})."""
    with _writing(asker):
        now = _locked(segment_id)
        if not now.is_active:
            return now
        used = uses(segment_id)
        if used["segments"] or used["campaigns"]:
            raise OutreachError(
                "the segment is in use", code="SEGMENT_IN_USE", field="segment_id", present=_shown(used)
            )
        execute(
            "UPDATE patient_segments SET is_active = false, version = version + 1, updated_at = clock_timestamp()"
            " WHERE id = %s",
            (segment_id,),
        )
        _note(asker, "archive_segment", segment_id, version=now.version + 1)
    return segment(segment_id)


def uses(segment_id: UUID) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Who uses it, each {"id", "name"}: active "segments" that name it, and active or paused "campaigns"."""
    with connected():
        campaigns = fetch_dicts(
            "SELECT id, name FROM comm_campaigns WHERE segment_id = %s AND status IN ('active', 'paused')"
            " ORDER BY name, id",
            (segment_id,),
        )
        return {"segments": references.users_of(segment_id), "campaigns": campaigns}


def segment(segment_id: UUID) -> Segment:
    """One segment. Raises OutreachError: SEGMENT_NOT_FOUND."""
    with connected():
        return _one(fetch_dicts(f"SELECT {_COLUMNS} FROM patient_segments WHERE id = %s", (segment_id,)))


def every_segment(*, archived: bool = False) -> Sequence[Segment]:
    """By name; those that are used, or those that are archived."""
    with connected():
        rows = fetch_dicts(
            f"SELECT {_COLUMNS} FROM patient_segments WHERE is_active = %s ORDER BY lower(name), id", (not archived,)
        )
    return [Segment(**row) for row in rows]


def evaluate(segment_id: UUID, *, seconds: float = membership.COUNT_SECONDS) -> Segment:
    """Count it again and keep the number. Raises OutreachError: SEGMENT_NOT_FOUND; SEGMENT_TOO_SLOW, which is noted with
    it; as `membership.audience_of` where its rules cannot be understood any more."""
    with connected():
        now = segment(segment_id)
        try:
            counted = membership.count(now.rules, organization_id=now.organization_id, but=segment_id, seconds=seconds)
        except OutreachError as error:
            if error.code == "SEGMENT_TOO_SLOW":
                execute("UPDATE patient_segments SET too_slow_at = clock_timestamp() WHERE id = %s", (segment_id,))
            raise
        # Of rules that were changed meanwhile the number says nothing.
        execute(
            "UPDATE patient_segments SET last_evaluated = clock_timestamp(), patient_count = %s, evaluation_ms = %s,"
            " too_slow_at = NULL WHERE id = %s AND version = %s",
            (counted.number, counted.milliseconds, segment_id, now.version),
        )
        return segment(segment_id)


_STALE = """
SELECT id FROM patient_segments WHERE is_active
    AND coalesce(greatest(last_evaluated, too_slow_at), '-infinity') < clock_timestamp() - make_interval(secs => %s)
ORDER BY coalesce(greatest(last_evaluated, too_slow_at), '-infinity'), id
"""


def evaluate_stale(*, older_than_seconds: float = 3600) -> int:
    """The clock's work: evaluate the active ones that were not for so long, one transaction each; how many. One that takes
    too long, or is not understood any more, is noted in the log and left until the next time."""
    with connected():
        stale = [segment_id for (segment_id,) in fetch_all(_STALE, (older_than_seconds,))]
    done = 0
    for segment_id in stale:
        try:
            evaluate(segment_id, seconds=EVALUATE_SECONDS)
            done += 1
        except OutreachError as error:
            log.warning("SEGMENT_NOT_EVALUATED", segment_id=str(segment_id), code=error.code)
    return done


def _evaluated(segment_id: UUID) -> Segment:
    try:
        return evaluate(segment_id)
    except OutreachError as error:
        if error.code != "SEGMENT_TOO_SLOW":
            raise
        return segment(segment_id)


@contextmanager
def _writing(asker: Asker) -> Iterator[None]:
    """Whoever writes segments takes turns: two changes that are harmless alone can close a circle together."""
    with transaction(asker.actor):
        execute("SELECT pg_advisory_xact_lock(hashtextextended('patient_segments', 7240128))")
        yield


def _checked(wanted: SegmentInput, organization_id: UUID | None, *, but: UUID | None) -> tuple[str, str, str]:
    name = _name(wanted.name)
    description = wanted.description.strip()
    if len(description) > MOST_DESCRIPTION or storable(description) != description:
        raise OutreachError(f"at most {MOST_DESCRIPTION} characters", code="INVALID_TEXT", field="description")
    try:
        membership.audience_of(wanted.rules, organization_id=organization_id, but=but)
        rules = json.dumps(storable(wanted.rules))
    except OutreachError as error:
        place = f"rules.{error.field}" if error.field else "rules"
        raise OutreachError(error.message, code=error.code, field=place, present=error.present) from error
    except RecursionError as error:
        raise OutreachError("the rules are too deep", code="INVALID_RULES", field="rules") from error
    if len(rules) > MOST_RULES_BYTES:
        raise OutreachError("the rules are too long", code="INVALID_RULES", field="rules")
    return name, description, rules


def _name(given: str) -> str:
    try:
        return checks.text(given, field="name", most=MOST_NAME)
    except OutreachError as error:
        raise OutreachError(f"a name is 1 to {MOST_NAME} characters", code="INVALID_NAME", field="name") from error


def _exists() -> OutreachError:
    return OutreachError("a segment of this name is there already", code="SEGMENT_EXISTS", field="name")


def _check_others(understood: set[UUID]) -> None:
    """Nothing that named the changed one has become too much by it."""
    lost = sorted(map(str, understood - set(references.every_meaning())))
    if lost:
        raise OutreachError(
            "segments that name this one would become too much",
            code="INVALID_RULES",
            field="rules",
            present={"segments": lost},
        )


def _locked(segment_id: UUID) -> Segment:
    return _one(fetch_dicts(f"SELECT {_COLUMNS} FROM patient_segments WHERE id = %s FOR UPDATE", (segment_id,)))


def _one(rows: Sequence[Mapping[str, Any]]) -> Segment:
    if not rows:
        raise OutreachError("there is no such segment", code="SEGMENT_NOT_FOUND", field="segment_id")
    return Segment(**rows[0])


def _shown(used: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    return {kind: [{"id": str(each["id"]), "name": each["name"]} for each in found] for kind, found in used.items()}


def _note(asker: Asker, action: str, segment_id: UUID, **more: Any) -> None:
    log_action(asker.actor, action, detail={"segment_id": str(segment_id), **more})
