"""The sole writer of a dispatch's status, besides the claim. Every write is fenced by the claim token or by the state it
starts from; PostgreSQL's triggers log each move and refuse the illegal ones.

Evidence of an attempt is written unfenced: proof that a provider accepted something is never thrown away because the
claim had been given up in the meantime.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values

from dispatchlog.engine.database import database, execute, fetch_dicts, require_transaction
from dispatchlog.engine.errors import NaiveInstant
from dispatchlog.engine.lanes import Lane, Refusal, Row
from dispatchlog.engine.outcome import Verdict
from dispatchlog.engine.states import Status
from dispatchlog.engine.tables import new_id


@dataclass(frozen=True, slots=True)
class Result:
    """One attempt's verdict with its timing; `latency_ms` is null where nothing was sent."""

    row: Row
    verdict: Verdict
    latency_ms: float | None = None


def enqueue(lane: Lane, rows: Iterable[Mapping[str, Any]]) -> list[UUID]:
    """Insert PENDING dispatches; a row whose unique key exists is skipped. The ids of the inserted ones come back.

    Each mapping holds the lane's own columns and may hold id, due_at, expires_at, priority, ordering_key, subject_id,
    search_keys and trace_id. Enqueuers of one ordering key take turns, so "oldest" means insert order.

    Raises:
        NotInTransaction: outside a transaction.
        NaiveInstant: an instant without a time zone.
    """
    require_transaction()
    prepared = [_with_id(row) for row in rows]
    if lane.row_seal is not None:
        prepared = [lane.row_seal.sealing(row) for row in prepared]
    if not prepared:
        return []
    for key in sorted({row["ordering_key"] for row in prepared if row.get("ordering_key")}):
        execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7240118))", (f"{lane.name}:{key}",))
    inserted: list[UUID] = []
    # One statement per run of rows with the same columns: the order of the rows is the order of insertion.
    for columns, alike in groupby(prepared, key=lambda row: tuple(sorted(row))):
        inserted += _insert(lane, columns, [tuple(row[column] for column in columns) for row in alike])
    return inserted


def _insert(lane: Lane, columns: Sequence[str], values: Sequence[tuple[Any, ...]]) -> list[UUID]:
    with database.connection().cursor() as cursor:
        inserted = execute_values(
            cursor,
            f"INSERT INTO {lane.table} ({', '.join(columns)}) VALUES %s ON CONFLICT DO NOTHING RETURNING id",
            values,
            page_size=1000,
            fetch=True,
        )
    return [row[0] for row in inserted]


def _with_id(row: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if hasattr(value, "tzinfo") and hasattr(value, "hour") and value.tzinfo is None:
            raise NaiveInstant(f"{name} has no time zone")
    return {**row, "id": row.get("id") or new_id()}


def mark_sending(lane: Lane, row: Row, *, worker_id: int) -> bool:
    """Commit, just before the call, that this row may from now on have left; False: it is no longer ours, do not send.

    Safe to run again under the same token after a lost COMMIT reply: nothing was sent in between.
    """
    require_transaction()
    marked = execute(
        f"UPDATE {lane.table} SET sending_at = clock_timestamp(), updated_at = clock_timestamp()"
        " WHERE id = %s AND claim_token = %s AND status = 'QUEUED'",
        (row["id"], row["claim_token"]),
    )
    if marked.rowcount != 1:
        return False
    execute(
        "INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, sending_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT (dispatch_id, claim_token) DO NOTHING",
        (
            lane.name,
            row["id"],
            row["claim_token"],
            row["claims"],
            row["generation"],
            worker_id,
            lane.gateway.name,
        ),
    )
    return True


_ATTEMPTS = """
INSERT INTO dispatch_attempts AS a (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, sending_at,
    finished_at, outcome, code, message, provider_message_id, latency_ms, evidence)
SELECT %(lane)s, o.id, %(token)s, o.number, o.generation, %(worker_id)s, %(gateway)s,
    clock_timestamp() - o.latency_ms * interval '1 ms', clock_timestamp(), o.outcome, o.code, o.message,
    o.provider_message_id, o.latency_ms, o.evidence
FROM unnest(%(ids)s::uuid[], %(numbers)s::int[], %(generations)s::int[], %(latencies)s::float8[], %(outcomes)s::text[],
    %(codes)s::text[], %(messages)s::text[], %(message_ids)s::text[], %(evidence)s::jsonb[])
    AS o (id, number, generation, latency_ms, outcome, code, message, provider_message_id, evidence)
ON CONFLICT (dispatch_id, claim_token) DO UPDATE SET
    finished_at = EXCLUDED.finished_at,
    outcome = CASE WHEN a.outcome = 'ACCEPTED' THEN a.outcome ELSE EXCLUDED.outcome END,
    code = CASE WHEN a.outcome = 'ACCEPTED' THEN a.code ELSE EXCLUDED.code END,
    message = CASE WHEN a.outcome = 'ACCEPTED' THEN a.message ELSE EXCLUDED.message END,
    latency_ms = EXCLUDED.latency_ms,
    provider_message_id = coalesce(EXCLUDED.provider_message_id, a.provider_message_id),
    evidence = a.evidence || EXCLUDED.evidence
"""

_RECORD = """
UPDATE {table} t SET status = o.status, attempts = t.attempts + o.counts, in_doubt = o.in_doubt,
    last_error = o.message, last_error_code = o.code,
    due_at = CASE WHEN o.status = 'PENDING' AND o.counts > 0
                  THEN clock_timestamp() + o.delay_seconds * interval '1 s' ELSE t.due_at END,
    lookup_at = clock_timestamp() + o.look_up_in_seconds * interval '1 s', lookups = 0,
    first_claimed_at = CASE WHEN o.definite AND t.first_claimed_at = t.claimed_at THEN NULL ELSE t.first_claimed_at END,
    provider = %(gateway)s, provider_message_id = coalesce(o.provider_message_id, t.provider_message_id),
    sent_at = CASE WHEN o.status = 'SENT' THEN clock_timestamp() END, updated_at = clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(statuses)s::text[], %(counts)s::int[], %(doubts)s::bool[], %(delays)s::float8[],
    %(look_ups)s::float8[], %(definites)s::bool[], %(codes)s::text[], %(messages)s::text[], %(message_ids)s::text[])
    AS o (id, status, counts, in_doubt, delay_seconds, look_up_in_seconds, definite, code, message, provider_message_id)
WHERE t.id = o.id AND t.claim_token = %(token)s AND coalesce(t.status, '') = 'QUEUED'
RETURNING t.id
"""
# coalesce: with a plain comparison the planner may read the whole partial index of QUEUED rows once for every row.

# What the sender itself saw of it is kept beside the provider's word.
_PROOF = """
INSERT INTO dispatch_attempts AS a (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, finished_at,
    outcome, provider_message_id, evidence)
VALUES (%(lane)s, %(id)s, %(token)s, %(number)s, %(generation)s, %(worker_id)s, %(gateway)s, clock_timestamp(), 'ACCEPTED',
    %(message_id)s, %(evidence)s::jsonb)
ON CONFLICT (dispatch_id, claim_token) DO UPDATE SET outcome = 'ACCEPTED', code = NULL, message = NULL,
    finished_at = coalesce(a.finished_at, EXCLUDED.finished_at),
    provider_message_id = coalesce(EXCLUDED.provider_message_id, a.provider_message_id),
    evidence = a.evidence || EXCLUDED.evidence || CASE WHEN coalesce(a.code, a.message) IS NULL THEN '{}' ELSE
        jsonb_build_object('before_the_proof', jsonb_build_object('code', a.code, 'message', a.message)) END
"""

# Proof wins over a guess: a row that is waiting or failed although one of its attempts was accepted has been sent.
_PROVE = """
UPDATE {table} t SET status = 'SENT', in_doubt = false, lookup_at = NULL, last_error = NULL, last_error_code = NULL,
    sent_at = coalesce(a.finished_at, clock_timestamp()), provider = a.gateway,
    provider_message_id = coalesce(a.provider_message_id, t.provider_message_id), updated_at = clock_timestamp()
FROM (SELECT DISTINCT ON (dispatch_id) dispatch_id, finished_at, gateway, provider_message_id FROM dispatch_attempts
      WHERE dispatch_id = ANY (%(ids)s::uuid[]) AND outcome = 'ACCEPTED' ORDER BY dispatch_id, id) a
WHERE t.id = a.dispatch_id AND t.status IN ('PENDING', 'FAILED')
RETURNING t.*
"""


@lru_cache(maxsize=256)
def _record_sql(table: str) -> str:
    return _RECORD.format(table=table)


def record(lane: Lane, token: UUID, results: Sequence[Result], *, worker_id: int) -> set[UUID]:
    """Record a micro-batch of results of one claim, attempts and moves in one transaction; the moved ids come back.

    Rows that are no longer ours keep their state, but their evidence is stored, and an accepted one is then proved SENT.
    Safe to run again after a lost COMMIT reply. The lane's `after_sent` runs for the rows that became SENT here.

    Raises:
        NotInTransaction: outside a transaction.
    """
    require_transaction()
    arrays = _arrays(results)
    arrays |= {"lane": lane.name, "token": token, "worker_id": worker_id, "gateway": lane.gateway.name}
    execute(_ATTEMPTS, arrays)
    recorded = execute(_record_sql(lane.table), arrays)
    every = {r.row["id"] for r in results}
    # Where all of them moved, the ids that came back need not be read.
    moved = every if recorded.rowcount == len(every) else {row[0] for row in recorded.fetchall()}
    sent = [r.row for r in results if r.verdict.status is Status.SENT and r.row["id"] in moved]
    if sent and lane.after_sent is not None:
        lane.after_sent([lane.opened(row) for row in sent])
    unproved = [r.row["id"] for r in results if r.row["id"] not in moved or r.verdict.status is not Status.SENT]
    if unproved:
        prove_sent(lane, unproved)
    return moved


def _arrays(results: Sequence[Result]) -> dict[str, Any]:
    verdicts = [r.verdict for r in results]
    return {
        "ids": as_uuids([r.row["id"] for r in results]),
        "numbers": [r.row["claims"] for r in results],
        "generations": [r.row["generation"] for r in results],
        "latencies": [r.latency_ms for r in results],
        "outcomes": [str(v.outcome) for v in verdicts],
        "statuses": [str(v.status) for v in verdicts],
        "counts": [int(v.counts) for v in verdicts],
        "doubts": [v.in_doubt for v in verdicts],
        "delays": [v.delay_seconds for v in verdicts],
        "look_ups": [v.look_up_in_seconds for v in verdicts],
        "definites": [v.definite for v in verdicts],
        "codes": [one_line(v.code, most=64) for v in verdicts],
        "messages": [one_line(v.message, most=2000) for v in verdicts],
        "message_ids": [one_line(v.provider_message_id, most=255) for v in verdicts],
        "evidence": [as_json(v.evidence) for v in verdicts],
    }


def as_uuids(ids: Sequence[UUID]) -> str:
    """An array of uuids as PostgreSQL writes it; handing over one after the other costs psycopg2 ten times as much."""
    return "{" + ",".join(map(str, ids)) + "}"


def one_line(words: str | None, *, most: int) -> str | None:
    """A provider's words as a column can hold them: without line breaks, NUL and broken characters, at most so long."""
    if words is None:
        return None
    return " ".join(words.replace("\x00", " ").encode("utf-8", "replace").decode().split())[:most]


def as_json(evidence: Mapping[str, Any]) -> str:
    """Evidence, which is whatever a provider answered, as jsonb can hold it: without NUL and broken characters."""
    if not evidence:
        return "{}"
    text = json.dumps(dict(evidence), default=str, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode().replace("\\u0000", "\\ufffd")


def prove(lane: Lane, row: Row, *, provider_message_id: str | None, evidence: Mapping[str, Any]) -> bool:
    """Keep the provider's later word (a look-up, a webhook) that it accepted the last try; whether that moved the row.

    A row that is still with its sender stays QUEUED and becomes SENT when that sender records, or is rescued. Saying it
    again changes nothing.
    """
    require_transaction()
    execute(
        _PROOF,
        {
            "lane": lane.name,
            "id": row["id"],
            "token": row["claim_token"],
            "number": row["claims"],
            "generation": row["generation"],
            "worker_id": row["claimed_by"],
            "gateway": lane.gateway.name,
            "message_id": one_line(provider_message_id, most=255),
            "evidence": as_json(evidence),
        },
    )
    return bool(prove_sent(lane, [row["id"]]))


def prove_sent(lane: Lane, ids: Sequence[UUID]) -> list[Row]:
    """Move rows that wait or failed to SENT where an attempt of theirs was accepted; the moved rows come back.

    The rows are locked first, so a proof and a failure recorded at the same moment cannot both overlook the other.
    """
    require_transaction()
    execute(f"SELECT id FROM {lane.table} WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE", (list(ids),))
    rows: list[Row] = [*fetch_dicts(_PROVE.format(table=lane.table), {"ids": list(ids)})]
    if rows and lane.after_sent is not None:
        lane.after_sent([lane.opened(row) for row in rows])
    return rows


def confirm_sent(lane: Lane, dispatch_id: UUID) -> bool:
    """In doubt -> SENT on a person's word, which is in the move's actor and reason; False: it is not in doubt any more.

    The attempts stay as they ended: no provider has said anything new.
    """
    require_transaction()
    rows = fetch_dicts(
        f"UPDATE {lane.table} SET status = 'SENT', in_doubt = false, lookup_at = NULL, last_error = NULL,"
        " last_error_code = NULL, sent_at = coalesce(sending_at, first_claimed_at, clock_timestamp()),"
        " updated_at = clock_timestamp() WHERE id = %s AND status = 'FAILED' AND in_doubt RETURNING *",
        (dispatch_id,),
    )
    if rows and lane.after_sent is not None:
        lane.after_sent([lane.opened(row) for row in rows])
    return bool(rows)


def release(lane: Lane, token: UUID, ids: Sequence[UUID]) -> int:
    """Give claimed rows back unsent and uncounted (stopping, or out of time); how many moved comes back."""
    require_transaction()
    released = execute(
        f"UPDATE {lane.table} SET status = 'PENDING', updated_at = clock_timestamp(), sending_at = NULL,"
        " first_claimed_at = CASE WHEN first_claimed_at = claimed_at THEN NULL ELSE first_claimed_at END"
        " WHERE id = ANY (%s::uuid[]) AND claim_token = %s AND status = 'QUEUED'",
        (list(ids), token),
    )
    prove_sent(lane, ids)
    return int(released.rowcount)


def refuse(lane: Lane, row: Row, refusal: Refusal) -> bool:
    """Give one claimed row back because it must not leave: until then, or for good; False: it is no longer ours.

    A row that may have left at an earlier try cannot be cancelled, so it fails with the refusal's code, in doubt.
    """
    require_transaction()
    if not release(lane, row["claim_token"], [row["id"]]):
        return False
    change = (
        "due_at = %s"
        if refusal.until
        else "status = CASE WHEN first_claimed_at IS NULL THEN 'CANCELLED' ELSE 'FAILED' END,"
        " in_doubt = first_claimed_at IS NOT NULL"
    )
    values = (refusal.until,) if refusal.until else ()
    execute(
        f"UPDATE {lane.table} SET {change}, last_error_code = %s, last_error = %s, updated_at = clock_timestamp()"
        " WHERE id = %s AND status = 'PENDING'",
        (*values, refusal.code, refusal.reason, row["id"]),
    )
    return True


def expire_due(lane: Lane) -> int:
    """Close waiting rows that are of no use any more, with the reason, instead of sending them late.

    A row that may already have left (an earlier try has no known outcome) is in doubt, not cancelled.
    """
    require_transaction()
    return int(
        execute(
            f"WITH late AS MATERIALIZED (SELECT id FROM {lane.table} WHERE status = 'PENDING'"
            " AND expires_at IS NOT NULL AND expires_at <= now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"
            f" UPDATE {lane.table} t SET last_error_code = 'EXPIRED', in_doubt = t.first_claimed_at IS NOT NULL,"
            " status = CASE WHEN t.first_claimed_at IS NULL THEN 'CANCELLED' ELSE 'FAILED' END,"
            " last_error = 'not sent in time: useless after ' || to_char(t.expires_at, 'YYYY-MM-DD HH24:MI \"UTC\"'),"
            " updated_at = clock_timestamp() FROM late WHERE t.id = late.id"
        ).rowcount
    )


def fail_stale(lane: Lane) -> int:
    """Give up on waiting rows that have waited for too long: FAILED as TOO_OLD, for a person to decide about.

    Nothing was attempted or counted by this; what an earlier try without a known outcome left is still in doubt.
    """
    require_transaction()
    return int(
        execute(
            f"WITH old AS MATERIALIZED (SELECT id FROM {lane.table} WHERE status = 'PENDING' AND stale_at IS NOT NULL"
            " AND stale_at <= now() ORDER BY stale_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"
            f" UPDATE {lane.table} t SET status = 'FAILED', in_doubt = t.first_claimed_at IS NOT NULL,"
            " last_error = 'not sent by ' || to_char(t.stale_at, 'YYYY-MM-DD HH24:MI \"UTC\"')"
            " || coalesce('; the last try ended with: ' || t.last_error, ''),"
            " last_error_code = 'TOO_OLD', updated_at = clock_timestamp() FROM old WHERE t.id = old.id"
        ).rowcount
    )


def hold(lane: Lane, ids: Sequence[UUID], *, code: str, reason: str) -> int:
    """Fail waiting rows that cannot be sent as they stand (NO_RECIPIENT, TOO_OLD); nothing was attempted or counted."""
    require_transaction()
    return int(
        execute(
            f"UPDATE {lane.table} SET status = 'FAILED', last_error_code = %s, last_error = %s,"
            " updated_at = clock_timestamp() WHERE id = ANY (%s::uuid[]) AND status = 'PENDING'",
            (code, reason, list(ids)),
        ).rowcount
    )


def cancel_waiting(lane: Lane, **subject: Any) -> int:
    """Cancel the PENDING rows whose columns have these values and that cannot have left; how many moved comes back.

    Rows already QUEUED finish truthfully. The reason is the transaction's.
    """
    require_transaction()
    where = " AND ".join(f"{column} = %s" for column in subject)
    return int(
        execute(
            f"UPDATE {lane.table} SET status = 'CANCELLED', updated_at = clock_timestamp()"
            f" WHERE {where} AND status = 'PENDING' AND first_claimed_at IS NULL",
            tuple(subject.values()),
        ).rowcount
    )
