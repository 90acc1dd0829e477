"""Bulk runs' queries: one run, its groups, its report, and the list of them. Owns their SQL; changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.filters import Position
from dashboard.queries import rows_by_id
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Row
from dispatchlog.systems import registry

REPORT_ROWS = 50
RUN_ROWS = 30
SAMPLE_ROWS = 3
_FILE_ROWS = 1_000


@dataclass(slots=True)
class Group:
    """The dispatches of a run that share a verdict and its cause, with a few of them as they stand now."""

    verdict: str
    cause: str
    number: int
    sample: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """One page of what became of a run's dispatches; the next one begins behind position `after`, if there is one."""

    rows: list[Row]
    after: int | None


def find_run(run_id: UUID, *, without: Collection[str] = ()) -> Row | None:
    """The run; None where there is none, or one with anything of the lanes `without`."""
    rows = fetch_dicts("SELECT * FROM bulk_runs WHERE id = %s AND NOT lanes && %s::text[]", (run_id, [*without]))
    return rows[0] if rows else None


def groups(run_id: UUID) -> list[Group]:
    """The run's dispatches by verdict and cause, most first."""
    items = fetch_dicts(
        "SELECT verdict, cause, number, lane, dispatch_id FROM (SELECT verdict, cause, lane, dispatch_id,"
        " count(*) OVER (PARTITION BY verdict, cause) AS number,"
        " row_number() OVER (PARTITION BY verdict, cause ORDER BY position) AS place FROM bulk_items WHERE run_id = %s) i"
        " WHERE place <= %s ORDER BY number DESC, verdict, cause, place",
        (run_id, SAMPLE_ROWS),
    )
    found: dict[tuple[str, str], Group] = {}
    now = _now(items)
    for item in items:
        group = found.setdefault(
            (item["verdict"], item["cause"]), Group(item["verdict"], item["cause"], item["number"])
        )
        if row := now.get((item["lane"], item["dispatch_id"])):
            group.sample.append(row)
    return list(found.values())


def tally(run_id: UUID) -> dict[str, int]:
    """How many items have each result; "" counts those whose turn has not come."""
    rows = fetch_all("SELECT coalesce(result, ''), count(*) FROM bulk_items WHERE run_id = %s GROUP BY 1", (run_id,))
    return {str(result): int(number) for result, number in rows}


def report(run_id: UUID, *, result: str, after: int) -> Report:
    """What became of each dispatch, in the run's order, from behind position `after` on: of one result, or of all that
    it is about (""), without what was left out.
    """
    items = _items(run_id, result=result, after=after, limit=REPORT_ROWS + 1)
    page = items[:REPORT_ROWS]
    now = _now(page)
    rows: list[Row] = [{**item, "row": now.get((item["lane"], item["dispatch_id"]))} for item in page]
    return Report(rows, after=page[-1]["position"] if len(items) > REPORT_ROWS else None)


def whole_report(run_id: UUID) -> Iterator[Row]:
    """Every item of a run with its dispatch as it stands now (`row`), a page at a time; no connection is held between."""
    after = 0
    while True:
        with connected():
            items = _items(run_id, result="", after=after, limit=_FILE_ROWS, everything=True)
            now = _now(items)
        for item in items:
            yield {**item, "row": now.get((item["lane"], item["dispatch_id"]))}
        if len(items) < _FILE_ROWS:
            return
        after = items[-1]["position"]


def list_runs(position: Position | None, *, without: Collection[str] = ()) -> tuple[list[Row], Position | None]:
    """The runs that somebody began, and fresh previews, newest first, `without` those with anything of these lanes; and
    where the next page begins, if there is one.
    """
    where = ""
    params: list[Any] = [[*without]]
    if position is not None:
        where, params = " AND (r.created_at, r.id) < (%s, %s)", [[*without], position.at, position.id]
    rows = fetch_dicts(
        f"SELECT * FROM bulk_runs r WHERE NOT r.lanes && %s::text[]{where}"
        " ORDER BY r.created_at DESC, r.id DESC LIMIT %s",
        (*params, RUN_ROWS + 1),
    )
    page: list[Row] = [*rows[:RUN_ROWS]]
    older = Position(_at(page[-1]), page[-1]["id"]) if len(rows) > RUN_ROWS else None
    return page, older


def _at(run: Row) -> datetime:
    at: datetime = run["created_at"]
    return at


def _items(run_id: UUID, *, result: str, after: int, limit: int, everything: bool = False) -> list[dict[str, Any]]:
    where, params = ("" if everything else " AND result IS DISTINCT FROM 'LEFT_OUT'"), []
    if result == "OPEN":
        where = " AND result IS NULL"
    elif result:
        where, params = " AND result = %s", [result]
    return fetch_dicts(
        "SELECT position, lane, dispatch_id, seen_status, verdict, cause, result, code, message, settled_at"
        f" FROM bulk_items WHERE run_id = %s AND position > %s{where} ORDER BY position LIMIT %s",
        (run_id, after, *params, limit),
    )


def _now(items: Sequence[Row]) -> Mapping[tuple[str, UUID], Row]:
    """The dispatches of these items as they stand, by lane and id."""
    found: dict[tuple[str, UUID], Row] = {}
    for name in sorted({item["lane"] for item in items}):
        try:
            lane = registry.lane(name)
        except UnknownLane:
            continue
        ids = [item["dispatch_id"] for item in items if item["lane"] == name]
        found |= {(name, row["id"]): row for row in rows_by_id(lane, ids)}
    return found
