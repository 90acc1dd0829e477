"""The bytes of a dispatch, stored before the first send and never changed: a resend sends exactly these. Composes nothing
itself; asks the lane."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg2
import structlog
from psycopg2.extras import execute_values

from dispatchlog.engine.database import DATABASE_AWAY, connected, database, fetch_all, transaction
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.gateway import Parcel
from dispatchlog.engine.lanes import Lane, Letter, Row

log = structlog.get_logger(__name__)


def prepare(lane: Lane, rows: Sequence[Row]) -> tuple[dict[UUID, Parcel], dict[UUID, CannotCompose]]:
    """Parcels for the claimed rows, from the stored bytes where this generation has some; rows that cannot be composed
    come back apart, with why. Composing happens outside any transaction; the bytes are committed before this returns.
    """
    # A first claim of a first generation cannot have anything stored yet.
    stored = {} if lane.body_on_row else _stored([row for row in rows if row["claims"] > 1])
    letters: dict[UUID, Letter] = dict(stored)
    failed: dict[UUID, CannotCompose] = {}
    for row in rows:
        if row["id"] in letters:
            continue
        try:
            letters[row["id"]] = lane.compose(row)
        except CannotCompose as error:
            failed[row["id"]] = error
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # A defect in one row's composing must not hold up its neighbours; the trace goes to the log.
            log.exception("COMPOSE_FAILED", lane=lane.name, dispatch_id=str(row["id"]))
            failed[row["id"]] = CannotCompose(f"composing failed: {type(error).__name__}", code="COMPOSE_ERROR")
    fresh = [row for row in rows if row["id"] in letters and row["id"] not in stored]
    if fresh and not lane.body_on_row:
        letters |= _store(lane, fresh, letters)
    return {row["id"]: _parcel(row, letters[row["id"]]) for row in rows if row["id"] in letters}, failed


def stored_parcel(row: Row) -> Parcel | None:
    """The parcel of the row's present generation as it was sent; None when none was stored or it was purged."""
    with connected():
        letter = _stored([row]).get(row["id"])
    return None if letter is None else _parcel(row, letter)


def _parcel(row: Row, letter: Letter) -> Parcel:
    return Parcel(
        dispatch_id=row["id"],
        idempotency_key=row["idempotency_key"],
        recipient=letter.recipient,
        body=letter.body,
        content_type=letter.content_type,
        headers=letter.headers,
        trace_id=row["trace_id"],
    )


def _stored(rows: Sequence[Row]) -> dict[UUID, Letter]:
    if not rows:
        return {}
    found = fetch_all(
        "SELECT p.dispatch_id, p.recipient, p.body, p.content_type, p.headers FROM dispatch_payloads p"
        " JOIN unnest(%s::uuid[], %s::int[]) AS o (id, generation)"
        " ON p.dispatch_id = o.id AND p.generation = o.generation WHERE p.body IS NOT NULL",
        ([row["id"] for row in rows], [row["generation"] for row in rows]),
    )
    return {row[0]: Letter(row[1], bytes(row[2]), row[3], row[4]) for row in found}


def _store(lane: Lane, rows: Sequence[Row], letters: dict[UUID, Letter]) -> dict[UUID, Letter]:
    """Insert the bytes; where somebody else stored this generation first, theirs are the bytes."""
    values: list[tuple[Any, ...]] = []
    for row in rows:
        letter = letters[row["id"]]
        digest = hashlib.sha256(letter.body).digest()
        values.append(
            (
                row["id"],
                row["generation"],
                lane.name,
                letter.recipient,
                letter.content_type,
                json.dumps(dict(letter.headers)),
                psycopg2.Binary(digest),
                psycopg2.Binary(letter.body),
            )
        )
    with transaction("compose"), database.connection().cursor() as cursor:
        inserted = execute_values(
            cursor,
            "INSERT INTO dispatch_payloads (dispatch_id, generation, lane, recipient, content_type, headers, sha256, body)"
            " VALUES %s ON CONFLICT DO NOTHING RETURNING dispatch_id",
            values,
            page_size=1000,
            fetch=True,
        )
    missing = {row["id"] for row in rows} - {row[0] for row in inserted}
    return _stored([row for row in rows if row["id"] in missing])
