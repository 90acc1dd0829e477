"""Everything that was sent about one subject (an order, a patient), over all lanes. Owns the SQL; changes nothing.

The dispatches of one subject share `subject_id`, which is indexed in every lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dashboard.dispatch_queries import Event, attempts_of
from dashboard.naming import keys_column, named
from dashboard.search_keys import having_key
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Lane, Row

# Of a subject with more the newest are told.
MOST_DISPATCHES = 100
MOST_EVENTS = 2_000
MOST_SUBJECTS = 20
_MATCHES = 400


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject that a search found: its id, the business keys of one of its dispatches, and the titles of its lanes."""

    id: str
    keys: list[str]
    lanes: tuple[str, ...]


def dispatches_of(subject_id: str, lanes: Sequence[Lane]) -> list[Row]:
    """The subject's dispatches with their `lane` and `recipient`, oldest first."""
    rows: list[Row] = []
    for lane in lanes:
        found = fetch_dicts(
            f"SELECT t.*, %s::text AS lane FROM {lane.table} t WHERE t.subject_id = %s ORDER BY t.seq DESC LIMIT %s",
            (lane.name, subject_id, MOST_DISPATCHES),
        )
        rows += [named(lane, row) for row in found]
    rows.sort(key=lambda row: (row["created_at"], row["id"]))
    return rows[-MOST_DISPATCHES:]


def timelines(ids: Sequence[UUID]) -> dict[UUID, list[Event]]:
    """Moves, attempts and what people did, per dispatch, oldest first."""
    events = attempts_of(ids)
    moves = fetch_dicts(
        "SELECT id, dispatch_id, from_status, to_status, in_doubt, at, actor, reason FROM dispatch_transitions"
        " WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY id DESC LIMIT %s",
        (list(ids), MOST_EVENTS),
    )
    actions = fetch_dicts(
        "SELECT id, dispatch_id, at, actor, action, reason FROM operator_actions"
        " WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY id DESC LIMIT %s",
        (list(ids), MOST_EVENTS),
    )
    for kind, rows in (("move", moves), ("action", actions)):
        for row in rows:
            events[row["dispatch_id"]].append(Event(row["at"], kind, row))
    return {key: sorted(found, key=lambda event: (event.at, event.row["id"])) for key, found in events.items()}


def find_subjects(text: str, lanes: Sequence[Lane]) -> list[Subject]:
    """The subjects with a dispatch that has a key beginning like `text`, or its id; at most MOST_SUBJECTS."""
    ids: dict[str, list[Any]] = {}
    having, key = having_key(text)
    for lane_name, dispatch_id in fetch_all(
        f"SELECT lane, dispatch_id FROM dispatch_search WHERE {having} ORDER BY key, lane, dispatch_id LIMIT %s",
        (key, _MATCHES),
    ):
        ids.setdefault(lane_name, []).append(dispatch_id)
    found: dict[str, Subject] = {}
    for lane in lanes:
        wanted = [*ids.get(lane.name, []), *_as_uuid(text)]
        rows = fetch_all(
            f"SELECT t.subject_id, {keys_column(lane, 't')} FROM {lane.table} t WHERE t.id = ANY (%s::uuid[])"
            " AND t.subject_id IS NOT NULL ORDER BY t.seq DESC",
            (wanted,),
        )
        for subject_id, keys in rows:
            known = found.get(subject_id)
            titles = (*(known.lanes if known else ()), lane.title)
            found[subject_id] = Subject(subject_id, known.keys if known else keys, tuple(dict.fromkeys(titles)))
    return [*found.values()][:MOST_SUBJECTS]


def _as_uuid(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []
