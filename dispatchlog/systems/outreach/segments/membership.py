"""Who is in a segment: counted, sampled, listed, asked of one patient. Reads only; the rules are asked anew each time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import peewee
import psycopg2.errors

from dispatchlog.engine.database import connected, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import references, rules
from dispatchlog.systems.outreach.segments.compiling import Compiled, compiled

COUNT_SECONDS = 5.0
# A worker's connection has these off; a question about everybody walks whole tables. Below this much memory PostgreSQL
# would ask a subquery again for each patient instead of hashing what it found.
_ROOM = {
    "enable_seqscan": "on",
    "enable_bitmapscan": "on",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
    "work_mem": "256MB",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """How many, how long that took, and a few of them drawn evenly: ids, with nothing that names them."""

    number: int
    milliseconds: int
    sample: Sequence[UUID] = ()


def audience_of(document: Mapping[str, Any], *, organization_id: UUID | None, but: UUID | None = None) -> Compiled:
    """The bound condition about `patients p` of a rule document, with the segments that it names (`but` is the segment it
    is stored as, which must not be among them). Ask it within `whole_tables`.

    Raises:
        OutreachError: as `rules.parse`; SEGMENT_NOT_FOUND, SEGMENT_CYCLE with the place of the rule that closes it and the
            names on the way in `present`.
    """
    group = rules.parse(document)
    meanings = references.resolved(group, but=but)
    return compiled(group, now=datetime.now(UTC), organization_id=organization_id, segments=meanings)


@contextmanager
def whole_tables(*, seconds: float = COUNT_SECONDS) -> Iterator[None]:
    """A transaction in which a statement about everybody has room and may use every kind of plan, for so long at the most.

    Raises:
        OutreachError: SEGMENT_TOO_SLOW past the time; what was done in it is undone.
    """
    wanted = {**_ROOM, "statement_timeout": str(max(1, round(seconds * 1000)))}
    try:
        with transaction("segments"):
            was = _set(wanted)
            yield
            _set(was)
    except peewee.OperationalError as error:
        if isinstance(error.__cause__ or error.__context__, psycopg2.errors.QueryCanceled):
            raise OutreachError("counting these patients takes too long", code="SEGMENT_TOO_SLOW") from error
        raise


def _set(wanted: Mapping[str, str]) -> dict[str, str]:
    """Set these for the transaction; as they were."""
    was = fetch_one("SELECT " + ", ".join(["current_setting(%s)"] * len(wanted)), list(wanted))
    pairs = [each for pair in wanted.items() for each in pair]
    fetch_one("SELECT " + ", ".join(["set_config(%s, %s, true)"] * len(wanted)), pairs)
    return dict(zip(wanted, was, strict=True))


def count(
    document: Mapping[str, Any],
    *,
    organization_id: UUID | None,
    sample: int = 0,
    but: UUID | None = None,
    seconds: float = COUNT_SECONDS,
) -> Counted:
    """How many patients the rules mean now. Raises OutreachError as `audience_of`; SEGMENT_TOO_SLOW past its time limit."""
    with connected():
        audience = audience_of(document, organization_id=organization_id, but=but)
        began = time.monotonic()
        with whole_tables(seconds=seconds):
            if sample:
                number, drawn = fetch_one(_SAMPLED.format(where=audience.where), (*audience.params, sample))
            else:
                number, drawn = *fetch_one(_COUNTED.format(where=audience.where), audience.params), ()
    return Counted(number, round((time.monotonic() - began) * 1000), tuple(drawn))


_COUNTED = "SELECT count(*) FROM patients p WHERE {where}"
_SAMPLED = """
WITH found AS MATERIALIZED (SELECT p.id FROM patients p WHERE {where})
SELECT (SELECT count(*) FROM found), ARRAY(SELECT id FROM found ORDER BY random() LIMIT %s)
"""


def members_among(segment_id: UUID, patient_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these few patients are in the segment now, each by an index. Raises OutreachError: SEGMENT_NOT_FOUND."""
    with connected():
        group, meanings = references.meaning_of(segment_id)
        asked = compiled(group, now=datetime.now(UTC), segments=meanings, among=patient_ids)
        found = fetch_all(
            f"SELECT p.id FROM patients p WHERE p.id = ANY (%s::uuid[]) AND ({asked.where})",
            (list(patient_ids), *asked.params),
        )
    return {patient_id for (patient_id,) in found}


def segments_of(patient_id: UUID) -> Sequence[Mapping[str, Any]]:
    """The active segments that the patient is in now, each {"id", "name"}, by name; asked in one statement, by indexes. One
    that cannot be understood any more is left out."""
    with connected():
        stored = fetch_dicts("SELECT id, name FROM patient_segments WHERE is_active ORDER BY lower(name), id")
        if not stored:
            return []
        conditions, now = [], datetime.now(UTC)
        meanings = references.every_meaning()
        known = [each for each in stored if each["id"] in meanings]
        for each in known:
            conditions.append(compiled(meanings[each["id"]], now=now, segments=meanings, among=[patient_id]))
        wheres = ", ".join(each.where for each in conditions)
        params = [value for each in conditions for value in each.params]
        rows = fetch_all(f"SELECT ARRAY[{wheres}]::boolean[] FROM patients p WHERE p.id = %s", (*params, patient_id))
    return [each for each, is_in in zip(known, rows[0][0], strict=True) if is_in] if rows else []
