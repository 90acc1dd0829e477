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

from dispatchlog.engine import content
from dispatchlog.engine.database import DATABASE_AWAY, connected, database, fetch_dicts, transaction
from dispatchlog.engine.errors import CannotCompose, DispatchlogError
from dispatchlog.engine.gateway import Parcel
from dispatchlog.engine.lanes import Lane, Letter, Row

log = structlog.get_logger(__name__)


def prepare(lane: Lane, rows: Sequence[Row]) -> tuple[dict[UUID, Parcel], dict[UUID, CannotCompose]]:
    """Parcels for the claimed rows, from the stored bytes where this generation has some; rows that cannot be composed
    come back apart, with why. Composing happens outside any transaction; the bytes are committed before this returns.
    """
    # A first claim of a first generation cannot have anything stored yet.
    found = {} if lane.body_on_row else _stored(lane, [row for row in rows if row["claims"] > 1])
    failed: dict[UUID, CannotCompose] = {}
    stored = _opened(found, failed)
    letters: dict[UUID, Letter] = dict(stored)
    for row in rows:
        if row["id"] in found:
            continue
        try:
            letters[row["id"]] = lane.compose(lane.opened(row))
        except CannotCompose as error:
            failed[row["id"]] = error
        except DispatchlogError as error:
            failed[row["id"]] = CannotCompose(str(error), code=error.code)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # A defect in one row's composing must not hold up its neighbours; the trace goes to the log.
            log.exception("COMPOSE_FAILED", lane=lane.name, dispatch_id=str(row["id"]))
            failed[row["id"]] = CannotCompose(f"composing failed: {type(error).__name__}", code="COMPOSE_ERROR")
    fresh = [row for row in rows if row["id"] in letters and row["id"] not in stored]
    if fresh and not lane.body_on_row:
        letters |= _opened(_store(lane, fresh, letters), failed)
    return {
        row["id"]: _parcel(row, letters[row["id"]]) for row in rows if row["id"] in letters and row["id"] not in failed
    }, failed


def stored_parcel(lane: Lane, row: Row) -> Parcel | None:
    """The parcel of the row's present generation as it was sent; None when none was stored or it was purged.

    Raises:
        CannotCompose: CANNOT_UNSEAL; it cannot be read.
    """
    failed: dict[UUID, CannotCompose] = {}
    with connected():
        letter = _opened(_stored(lane, [row]), failed).get(row["id"])
    for error in failed.values():
        raise error
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


def _stored(lane: Lane, rows: Sequence[Row]) -> dict[UUID, Letter | DispatchlogError]:
    """What is stored of these generations, or why it cannot be read: never composed anew, for it may have left."""
    if not rows:
        return {}
    found = fetch_dicts(
        "SELECT p.dispatch_id, p.content_type, p.recipient, p.headers, p.body, p.sealed FROM dispatch_payloads p"
        " JOIN unnest(%s::uuid[], %s::int[]) AS o (id, generation)"
        " ON p.dispatch_id = o.id AND p.generation = o.generation WHERE p.body IS NOT NULL OR p.sealed IS NOT NULL",
        ([row["id"] for row in rows], [row["generation"] for row in rows]),
    )
    return {row["dispatch_id"]: _letter(lane, row) for row in found}


def _letter(lane: Lane, row: Row) -> Letter | DispatchlogError:
    try:
        recipient, headers, body = content.opened(row, lane.seal) or ("", {}, b"")
    except DispatchlogError as error:
        return error
    return Letter(recipient, body, row["content_type"], headers)


def _opened(found: dict[UUID, Letter | DispatchlogError], failed: dict[UUID, CannotCompose]) -> dict[UUID, Letter]:
    """Those that could be read; the others join the failed."""
    letters: dict[UUID, Letter] = {}
    for dispatch_id, letter in found.items():
        if isinstance(letter, Letter):
            letters[dispatch_id] = letter
        else:
            failed[dispatch_id] = CannotCompose(
                f"what was stored to be sent cannot be read: {letter}", code=letter.code
            )
    return letters


def _store(lane: Lane, rows: Sequence[Row], letters: dict[UUID, Letter]) -> dict[UUID, Letter | DispatchlogError]:
    """Insert the bytes; where somebody else stored this generation first, theirs are the bytes."""
    values = [_values(lane, row, letters[row["id"]]) for row in rows]
    with transaction("compose"), database.connection().cursor() as cursor:
        inserted = execute_values(
            cursor,
            "INSERT INTO dispatch_payloads"
            " (dispatch_id, generation, lane, recipient, content_type, headers, sha256, body, sealed)"
            " VALUES %s ON CONFLICT DO NOTHING RETURNING dispatch_id",
            values,
            page_size=1000,
            fetch=True,
        )
    missing = {row["id"] for row in rows} - {row[0] for row in inserted}
    return _stored(lane, [row for row in rows if row["id"] in missing])


def _values(lane: Lane, row: Row, letter: Letter) -> tuple[Any, ...]:
    """The columns of one row; the digest is always that of the bytes as they are sent."""
    digest = psycopg2.Binary(hashlib.sha256(letter.body).digest())
    who = (row["id"], row["generation"], lane.name)
    sealed = None if lane.seal is None else lane.seal.seal(content.pack(letter), row["id"])
    if sealed is None:
        headers = json.dumps(dict(letter.headers))
        return (*who, letter.recipient, letter.content_type, headers, digest, psycopg2.Binary(letter.body), None)
    return (*who, "", letter.content_type, "{}", digest, None, psycopg2.Binary(sealed))
