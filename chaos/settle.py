"""Owns the end of a run: waits, bounded, until all has settled; asks and resends as a person would. Judges nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from chaos.desk import SURE_AFTER, WHO, Desk, doubts, is_expired
from chaos.lanes import HL7, KINDS
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, database, fetch_all, fetch_one
from dispatchlog.engine.delivery import DATABASE_ERRORS
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane

ROUND_SECONDS = 0.5
AT_ONCE = 500


def settle(lanes: dict[str, Lane], desk: Desk, tend: Callable[[], None], *, seconds: float) -> float:
    """Seconds until no row is open and no doubt is left that a look-up or the same key can settle; at most `seconds`.

    `tend` replaces what ended meanwhile, as a supervisor does: a worker started while PostgreSQL recovers ends at once.
    """
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        tend()
        with suppress(*DATABASE_ERRORS, DispatchlogError):
            with connected():
                _let_go(lanes[HL7.name])
                if not _open_rows() and not _settle_doubts(lanes, desk):
                    return time.monotonic() - began
            time.sleep(ROUND_SECONDS)
            continue
        if not database.is_closed():
            database.close()
    return time.monotonic() - began


def _let_go(lane: Lane) -> None:
    """Retry what failed and holds others."""
    failed = fetch_all(f"SELECT id FROM {lane.table} WHERE status = 'FAILED' AND NOT in_doubt LIMIT {AT_ONCE}")
    if failed:
        operator.retry(lane, [row[0] for row in failed], actor=WHO)


def _open_rows() -> int:
    return sum(
        int(fetch_one(f"SELECT count(*) FROM {kind.table} WHERE status = '{status}'")[0])
        for kind in KINDS
        for status in ("PENDING", "QUEUED")
    )


def _settle_doubts(lanes: dict[str, Lane], desk: Desk) -> int:
    """How many doubts of the lanes that can settle them were left when this began."""
    left = 0
    for kind in KINDS:
        if kind.kind is GatewayKind.BLIND:
            continue
        rows = doubts(lanes[kind.name], limit=AT_ONCE)
        if kind.kind is GatewayKind.IDEMPOTENT:
            rows = [row for row in rows if not is_expired(row)]
        left += len(rows)
        for row in rows:
            if kind.kind is GatewayKind.IDEMPOTENT:
                desk.resend(lanes[kind.name], row)
            elif row["lookup_at"] is None or row["lookup_at"] - datetime.now(UTC) > SURE_AFTER:
                desk.ask(lanes[kind.name], row)
    return left
