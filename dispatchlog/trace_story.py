"""What the database knows of one trace id, in the order of time. Reads ids, states, codes and instants, never a text of or
about a person; of tickets nothing, for row-level security shows them to their parties alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.systems import registry

# Where a trace begins besides the lanes, the instant it began there, and what may be told of it.
BEGINNINGS = (
    ("pharmacy_orders", "created_at", "dispatch_status"),
    ("courier_dispatches", "created_at", "status"),
    ("courier_events", "received_at", "source"),
    ("visits", "created_at", "''"),
    ("comm_events", "received_at", "status"),
    ("comm_inbound", "created_at", "''"),
)
# What providers told of what they have from us came under trace ids of their own.
_TOLD = """
SELECT received_at AS at, id, status, code FROM comm_events WHERE job_id = ANY (%(ids)s::uuid[])
    OR (provider_message_id <> '' AND provider_message_id = ANY (%(references)s))
"""
_COURIER_TOLD = """
SELECT received_at AS at, id, status, source FROM courier_events WHERE dispatch_id = ANY (%(jobs)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: when, of what (a table or lane), which, and what it was."""

    at: datetime
    of: str
    id: str
    what: str


def story(trace_id: str, *, days: int) -> Sequence[Step]:
    """Everything of the last `days` under this id, oldest first. Needs an open connection."""
    found: list[Step] = []
    rows: dict[str, list[dict[str, Any]]] = {}
    asked = {"trace_id": trace_id, "days": days}
    for lane in registry.lanes():
        rows[lane.name] = fetch_dicts(
            f"SELECT id, created_at, provider_message_id FROM {lane.table} WHERE trace_id = %(trace_id)s"
            " AND created_at > now() - %(days)s * interval '1 day'",
            asked,
        )
        found += [Step(row["created_at"], lane.name, str(row["id"]), "stored") for row in rows[lane.name]]
    jobs: list[Any] = []
    for table, at, what in BEGINNINGS:
        own = fetch_all(
            f"SELECT {at}, id, {what} FROM {table} WHERE trace_id = %(trace_id)s"
            f" AND {at} > now() - %(days)s * interval '1 day'",
            asked,
        )
        found += [Step(row[0], table, str(row[1]), str(row[2] or "stored")) for row in own]
        jobs += [row[1] for row in own if table == "courier_dispatches"]
    every = [row for each in rows.values() for row in each]
    ids = [row["id"] for row in every]
    found += [*_moves(ids), *_attempts(ids)]
    references = [row["provider_message_id"] for row in every if row["provider_message_id"]]
    found += _told(_TOLD, "comm_events", "code", {"ids": ids, "references": references})
    found += _told(_COURIER_TOLD, "courier_events", "source", {"jobs": jobs})
    return sorted(dict.fromkeys(found), key=lambda step: step.at)


def _moves(ids: Sequence[Any]) -> Iterator[Step]:
    for at, lane, dispatch_id, before, after, actor in fetch_all(
        "SELECT at, lane, dispatch_id, from_status, to_status, split_part(actor, ':', 1) FROM dispatch_transitions"
        " WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY id",
        ([*ids],),
    ):
        kind = "a person" if "@" in actor else actor
        yield Step(at, lane, str(dispatch_id), f"{before or 'new'} -> {after} by {kind}")


def _attempts(ids: Sequence[Any]) -> Iterator[Step]:
    for at, lane, dispatch_id, number, gateway, outcome, code, milliseconds in fetch_all(
        "SELECT coalesce(finished_at, sending_at, now()), lane, dispatch_id, number, gateway, outcome, code, latency_ms"
        " FROM dispatch_attempts WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY id",
        ([*ids],),
    ):
        words = [f"attempt {number} by {gateway}", outcome or "under way", code or ""]
        words += [f"{milliseconds:.0f} ms"] if milliseconds is not None else []
        yield Step(at, lane, str(dispatch_id), " ".join(filter(None, words)))


def _told(sql: str, table: str, more: str, values: dict[str, Any]) -> Iterator[Step]:
    for row in fetch_dicts(sql, values):
        words = ["told", row["status"] or "", row[more] or ""]
        yield Step(row["at"], table, str(row["id"]), " ".join(filter(None, words)))
