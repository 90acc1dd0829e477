"""The queries of who did what. Owns their SQL; changes nothing.

A list is ordered by (at, id), newest first. Each action asked for is a branch that walks the index made for its filter and
stops after one page, so a page costs the same on a thousand entries and on ten million. No OFFSET and no full count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dashboard.audit_filter import AuditFilter, Place, name_of_actor
from dashboard.naming import keys_column
from dashboard.search_keys import having_key
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Lane, Row

PAGE_ROWS = 50
EXPORT_ROWS = 1_000
# Names in the filter's lists; whoever has more services and people than this still finds them by other filters.
MOST_NAMES = 300
# A key that more dispatches than this begin with is no key of one.
MOST_DISPATCHES = 500

_COLUMNS = "a.id, a.at, a.actor, a.action, a.lane, a.dispatch_id, a.reason, a.detail"
# Steps from each name to the next one by its index, so that it costs by the number of names, not of entries.
_NAMES = """
WITH RECURSIVE names AS (
    (SELECT {column} AS name FROM operator_actions ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (SELECT {column} FROM operator_actions a WHERE a.{column} > n.name ORDER BY {column} LIMIT 1)
    FROM names n WHERE n.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page, newest first; `older` and `newer` are where the neighbours begin, if there are any."""

    rows: list[Row]
    older: Place | None
    newer: Place | None


def known_actors() -> dict[str, str]:
    """Whoever ever did something, by what stands for them in an address."""
    return {name_of_actor(row[0]): row[0] for row in fetch_all(_NAMES.format(column="actor"), (MOST_NAMES,))}


def known_actions() -> list[str]:
    """Whatever was ever done."""
    return [row[0] for row in fetch_all(_NAMES.format(column="action"), (MOST_NAMES,))]


def list_actions(wanted: AuditFilter, actors: Mapping[str, str]) -> AuditPage:
    """One page of the actions that the filter lets through; `actors` are those of `known_actors`."""
    newer_walk = wanted.place is not None and wanted.place.newer
    found = _walk(wanted, actors, place=wanted.place, limit=PAGE_ROWS + 1)
    more, rows = len(found) > PAGE_ROWS, found[:PAGE_ROWS]
    if newer_walk:
        rows.reverse()
    if not rows:
        return AuditPage([], None, None)
    has_newer = more if newer_walk else wanted.place is not None
    has_older = True if newer_walk else more
    return AuditPage(
        rows,
        older=_place(rows[-1]) if has_older else None,
        newer=_place(rows[0], newer=True) if has_newer else None,
    )


def every_action(wanted: AuditFilter, actors: Mapping[str, str]) -> Iterator[list[Row]]:
    """All actions that the filter lets through, newest first, some hundred at a time.

    Each lot takes a connection of its own and gives it back, for whoever reads them may be slow.
    """
    place: Place | None = None
    while True:
        with connected():
            rows = _walk(wanted, actors, place=place, limit=EXPORT_ROWS)
        if rows:
            yield rows
        if len(rows) < EXPORT_ROWS:
            return
        place = _place(rows[-1])


def emails_of(rows: list[Row]) -> dict[int, str]:
    """The addresses of the accounts that these entries are about."""
    ids = sorted({row["detail"]["user_id"] for row in rows if isinstance(row["detail"].get("user_id"), int)})
    if not ids:
        return {}
    with connected():
        return dict(fetch_all("SELECT id, email FROM staff_users WHERE id = ANY (%s)", (ids,)))


def keys_of(rows: list[Row], lanes: Sequence[Lane]) -> dict[UUID, list[str]]:
    """The business keys of the dispatches of these lanes that the entries are about; others have none."""
    found: dict[UUID, list[str]] = {}
    with connected():
        for lane in lanes:
            ids = list({row["dispatch_id"] for row in rows if row["lane"] == lane.name and row["dispatch_id"]})
            if ids:
                sql = f"SELECT t.id, {keys_column(lane, 't')} FROM {lane.table} t WHERE id = ANY (%s::uuid[])"
                found |= {row[0]: row[1] or [] for row in fetch_all(sql, (ids,))}
    return found


def _walk(wanted: AuditFilter, actors: Mapping[str, str], *, place: Place | None, limit: int) -> list[Row]:
    order = "ASC" if place is not None and place.newer else "DESC"
    where, params = _where(wanted, actors, place)
    if wanted.key:
        return _of_dispatches(wanted, where, params, order, limit)
    branches, values = [], []
    for action in wanted.actions or (None,):
        parts = where if action is None else [*where, "a.action = %s"]
        branches.append(
            f"(SELECT {_COLUMNS} FROM operator_actions a{' WHERE ' if parts else ''}{' AND '.join(parts)}"
            f" ORDER BY a.at {order}, a.id {order} LIMIT %s)"
        )
        values += [*params, *([action] if action is not None else []), limit]
    sql = f"SELECT * FROM ({' UNION ALL '.join(branches)}) every_action ORDER BY at {order}, id {order} LIMIT %s"
    return [*fetch_dicts(sql, [*values, limit])]


def _of_dispatches(wanted: AuditFilter, where: list[str], params: list[Any], order: str, limit: int) -> list[Row]:
    """The dispatches' few entries are taken out first: else the planner may walk all entries by time to find them."""
    parts, values = [*where], [*params]
    if wanted.actions:
        parts.append("a.action = ANY (%s)")
        values.append([*wanted.actions])
    sql = (
        "WITH theirs AS MATERIALIZED (SELECT * FROM operator_actions WHERE dispatch_id = ANY (%s::uuid[]))"
        f" SELECT {_COLUMNS} FROM theirs a{' WHERE ' if parts else ''}{' AND '.join(parts)}"
        f" ORDER BY a.at {order}, a.id {order} LIMIT %s"
    )
    return [*fetch_dicts(sql, [_dispatches(wanted.key), *values, limit])]


def _where(wanted: AuditFilter, actors: Mapping[str, str], place: Place | None) -> tuple[list[str], list[Any]]:
    parts: list[str] = []
    params: list[Any] = []
    conditions: tuple[tuple[str, Any], ...] = (
        ("a.actor = %s", actors.get(wanted.by, "") if wanted.by else None),
        ("a.at >= %s", wanted.from_at),
        ("a.at < %s", wanted.before_at),
    )
    for part, value in conditions:
        if value is not None:
            parts.append(part)
            params.append(value)
    if place is not None:
        parts.append(f"(a.at, a.id) {'>' if place.newer else '<'} (%s, %s)")
        params += [place.at, place.id]
    return parts, params


def _dispatches(key: str) -> list[UUID]:
    """The dispatches that one of whose business keys begins like this, or whose id it is."""
    having, wanted = having_key(key)
    rows = fetch_all(
        f"SELECT DISTINCT dispatch_id FROM (SELECT dispatch_id FROM dispatch_search WHERE {having}"
        " ORDER BY key, dispatch_id LIMIT %s) s",
        (wanted, MOST_DISPATCHES),
    )
    try:
        return [*(row[0] for row in rows), UUID(key)]
    except ValueError:
        return [row[0] for row in rows]


def _place(row: Row, *, newer: bool = False) -> Place:
    return Place(row["at"], row["id"], newer=newer)
