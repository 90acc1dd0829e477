"""Taking due rows for one worker: PENDING -> QUEUED under a claim token. Never sends, never decides an outcome.

Every claim locks its rows in a materialised CTE with SKIP LOCKED and updates from it: `id IN (SELECT .. LIMIT ..)` may be
planned to run the inner query again and take more rows than the limit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

from dispatchlog.engine import ledger
from dispatchlog.engine.database import fetch_all, fetch_dicts, fetch_one, require_transaction
from dispatchlog.engine.lanes import Lane, Row

# A claim is later than the try before it also where its transaction began earlier: else that try's doubt was forgotten.
_TAKE = """
UPDATE {table} t SET status = 'QUEUED', claim_token = %(token)s, claimed_by = %(worker_id)s,
       claimed_at = greatest(now(), t.first_claimed_at + interval '1 microsecond'),
       first_claimed_at = coalesce(t.first_claimed_at, now()), claims = t.claims + 1, sending_at = NULL, updated_at = now()
FROM due WHERE t.id = due.id RETURNING t.*
"""

_DUE = "t.status = 'PENDING' AND t.due_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())"

# A first attempt of a lane that waits for its sweep goes once a sweep has happened at or after its due instant. The
# committed occurrence is what releases it; the message that follows is only a hint.
_SWEPT = " AND t.due_at <= (SELECT max(occurs_at) FROM schedule_occurrences WHERE job = %(sweep_job)s)"
# A later attempt needs no sweep. These have an index of their own; looked for among all that are due, they would have to be
# picked out of everything that waits for the next sweep.
_TRIED_BEFORE = " AND (t.claims > 0 OR t.generation > 1)"

# A row whose worker died twice is taken alone: if the row itself kills workers, it takes no innocent ones with it.
_BATCHABLE = " AND t.rescues < 2"
_SUSPECT = " AND t.rescues >= 2"

# An older row of the key that came back (an operator retried it) waits for the one on its way; without this each claim of
# the lane would run into the guard of the order, and be rolled back, until that one has ended.
_KEY_IS_FREE = (
    """ AND NOT EXISTS (SELECT FROM {table} q WHERE q.ordering_key = h.ordering_key AND q.status = 'QUEUED')"""
)
_NO_OLDER_FAILED = """ AND NOT EXISTS (
    SELECT FROM {table} f WHERE f.ordering_key = h.ordering_key AND f.status = 'FAILED' AND f.seq < h.seq)"""


@lru_cache(maxsize=256)
def _plain_sql(table: str, *, ordered: bool, routed: bool, urgent: bool, suspects: bool, released: str = "") -> str:
    where = _DUE + released
    if ordered:
        where += " AND t.ordering_key IS NULL"
    if routed:
        where += " AND t.route = %(route)s"
    if urgent:
        where += " AND t.priority > 0"
    where += _SUSPECT if suspects else _BATCHABLE
    return (
        f"WITH due AS MATERIALIZED (SELECT t.id FROM {table} t WHERE {where}"
        " ORDER BY t.due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)" + _TAKE.format(table=table)
    )


@lru_cache(maxsize=256)
def _ordered_sql(lane: Lane, *, suspects: bool) -> str:
    """Heads of keys by a loose index scan: one index probe per open key, never a scan over the rows behind the heads.

    The head of a key is its oldest open row whatever its due instant, so a row in back-off holds those behind it.
    """
    free = _KEY_IS_FREE + (_NO_OLDER_FAILED if lane.failed_blocks else "")
    where = _DUE.replace("t.status =", "coalesce(t.status, '') =") + (_SUSPECT if suspects else _BATCHABLE)
    next_key = (
        f"SELECT o.ordering_key FROM {lane.table} o WHERE o.status IN ('PENDING', 'QUEUED')"
        " AND o.ordering_key IS NOT NULL AND o.ordering_key > {after} ORDER BY o.ordering_key, o.seq LIMIT 1"
    )
    return (
        f"WITH RECURSIVE keys AS (({next_key.format(after='%(after)s')}) UNION ALL"
        f" SELECT n.ordering_key FROM keys k CROSS JOIN LATERAL ({next_key.format(after='k.ordering_key')}) n),"
        " heads AS (SELECT h.id FROM keys k CROSS JOIN LATERAL (SELECT o.id, o.ordering_key, o.seq, o.status"
        f" FROM {lane.table} o WHERE o.ordering_key = k.ordering_key AND o.status IN ('PENDING', 'QUEUED')"
        f" ORDER BY o.seq LIMIT 1) h WHERE h.status = 'PENDING'{free.format(table=lane.table)}),"
        # As a join the planner may begin with every due row and look for each of them among all the heads: a minute for
        # 20,000 rows. So each head is looked up by itself, and coalesce leaves only the primary key for that.
        f" due AS MATERIALIZED (SELECT t.id FROM heads h CROSS JOIN LATERAL (SELECT t.id FROM {lane.table} t"
        f" WHERE t.id = h.id AND {where} FOR UPDATE SKIP LOCKED) t LIMIT %(limit)s)" + _TAKE.format(table=lane.table)
    )


# What holds later rows of its key (or of its route): a row that waits for its next attempt, one that must go alone, and,
# where the lane says so, one that failed. It is looked for, never skipped: a later row must not overtake it.
_WAITS = "{o}.status = 'PENDING' AND ({o}.due_at > now() OR {o}.rescues >= 2)"
_WAITS_FOR_SUSPECT = "{o}.status = 'PENDING' AND {o}.due_at > now()"

# Whoever holds this claims for the route alone, and sees what was claimed before it. For the rest of the transaction
# nothing is sorted that an index has in order: without statistics a sort of all that waits may look as cheap.
_TAKE_ROUTE = (
    "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 7240120)),"
    " set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)"
)

# Of a route's waiting rows so many are looked at one by one; what is further back is found key by key.
NEAR = 200

# Rows of one route, or of one key, between two positions. Compared as pairs and ordered by both columns, for then nothing
# but an index on just these serves: whatever the statistics say, what was sent long ago and other routes are never read.
_OF_ROUTE = "({t}.route, {t}.seq) >= (%(route)s, 0) AND ({t}.route, {t}.seq) <= (%(route)s, 9223372036854775807)"
_OLDER_OF_KEY = (
    "(o.ordering_key, o.seq) >= ({t}.ordering_key, 0) AND (o.ordering_key, o.seq) < ({t}.ordering_key, {t}.seq)"
)


def _holding(*, failed_blocks: bool, suspects: bool) -> str:
    waits = (_WAITS_FOR_SUSPECT if suspects else _WAITS).format(o="o")
    return f"({waits})" + (" OR o.status = 'FAILED'" if failed_blocks else "")


def _held_by(table: str, t: str, *, failed_blocks: bool, suspects: bool) -> str:
    """The oldest row of the same key that holds this one; a subquery with a limit is looked up row by row."""
    holding = _holding(failed_blocks=failed_blocks, suspects=suspects)
    return (
        f"SELECT o.seq FROM {table} o WHERE {_OLDER_OF_KEY.format(t=t)} AND o.ordering_key IS NOT NULL"
        f" AND o.status IN ('PENDING', 'FAILED') AND ({holding}) ORDER BY o.ordering_key, o.seq LIMIT 1"
    )


@lru_cache(maxsize=256)
def _run_sql(table: str, *, in_line: bool, failed_blocks: bool, suspects: bool) -> str:
    """The oldest due rows of one route, up to the first that something holds; no SKIP LOCKED, which would overtake."""
    where = _DUE + (_SUSPECT if suspects else _BATCHABLE)
    # Suspects are few and have an index of their own.
    near = _SUSPECT if suspects else ""
    most = "" if suspects else " LIMIT %(near)s"
    if in_line:
        statuses = "('PENDING', 'FAILED')" if failed_blocks else "('PENDING')"
        run = (
            "first AS MATERIALIZED (SELECT o.id, o.seq,"
            f" ({_holding(failed_blocks=failed_blocks, suspects=suspects)}) AS holds FROM {table} o"
            f" WHERE {_OF_ROUTE.format(t='o')} AND o.status IN {statuses} ORDER BY o.route, o.seq LIMIT %(limit)s),"
            " run AS (SELECT id, seq FROM first WHERE seq < coalesce("
            "(SELECT min(seq) FROM first WHERE holds), 9223372036854775807))"
        )
    else:
        held_by = _held_by(table, "t", failed_blocks=failed_blocks, suspects=suspects)
        run = (
            f"run AS MATERIALIZED (SELECT t.id, t.seq FROM (SELECT t.* FROM {table} t WHERE {_OF_ROUTE.format(t='t')}"
            f" AND t.status = 'PENDING'{near} ORDER BY t.route, t.seq{most}) t LEFT JOIN LATERAL ({held_by}) h ON true"
            f" WHERE h.seq IS NULL AND {where} LIMIT %(limit)s)"
        )
    return f"WITH {run}, {_taking(table, where)}"


def _taking(table: str, where: str) -> str:
    """Take what `run` found, looked up one by one, as the heads above are; locked in their order."""
    again = where.replace("t.status =", "coalesce(t.status, '') =")
    return (
        "due AS MATERIALIZED (SELECT t.id FROM (SELECT * FROM run ORDER BY seq) r CROSS JOIN LATERAL"
        f" (SELECT t.id FROM {table} t WHERE t.id = r.id AND {again}"
        " FOR UPDATE) t)" + _TAKE.format(table=table)
    )


@lru_cache(maxsize=256)
def _has_more_sql(table: str) -> str:
    return (
        f"SELECT EXISTS (SELECT FROM {table} t WHERE {_OF_ROUTE.format(t='t')} AND t.status = 'PENDING'"
        " ORDER BY t.route, t.seq OFFSET %(near)s)"
    )


@lru_cache(maxsize=256)
def _by_key_sql(table: str, *, failed_blocks: bool) -> str:
    """The due rows of the keys that nothing holds, those first whose oldest row is the oldest of all.

    However many rows wait behind what holds their key, each key is one probe for its oldest waiting row and one for what
    holds that. Of as many keys as there is room for rows, each gives as many as its share.
    """
    of_key = (
        f"SELECT o.route, o.ordering_key, o.seq, o.due_at, o.expires_at, o.rescues, o.status FROM {table} o"
        " WHERE o.status = 'PENDING' AND o.ordering_key IS NOT NULL AND (o.route, o.ordering_key) {after}"
        " ORDER BY o.route, o.ordering_key, o.seq LIMIT 1"
    )
    first, following = of_key.format(after=">= (%(route)s, '')"), of_key.format(after="> (k.route, k.ordering_key)")
    where = _DUE + _BATCHABLE
    holding = _holding(failed_blocks=failed_blocks, suspects=False)
    held_by = _held_by(table, "t", failed_blocks=failed_blocks, suspects=False)
    return (
        f"WITH RECURSIVE keys AS (SELECT * FROM ({first}) n WHERE n.route = %(route)s UNION ALL"
        f" SELECT n.* FROM keys k CROSS JOIN LATERAL ({following}) n WHERE n.route = %(route)s),"
        f" heads AS MATERIALIZED (SELECT t.ordering_key, t.seq FROM keys t LEFT JOIN LATERAL ({held_by}) h ON true"
        f" WHERE h.seq IS NULL AND {where} ORDER BY t.seq LIMIT %(limit)s),"
        " of_keys AS (SELECT r.id, r.seq FROM heads k CROSS JOIN LATERAL ("
        "SELECT f.id, f.seq, f.route, bool_or(f.holds) OVER (ORDER BY f.seq) AS held FROM ("
        f"SELECT o.id, o.seq, o.route, ({holding}) AS holds FROM {table} o"
        " WHERE (o.ordering_key, o.seq) >= (k.ordering_key, k.seq)"
        " AND (o.ordering_key, o.seq) <= (k.ordering_key, 9223372036854775807)"
        " AND o.ordering_key IS NOT NULL AND o.status IN ('PENDING', 'FAILED') ORDER BY o.ordering_key, o.seq"
        " LIMIT (SELECT ceil(%(limit)s::numeric / nullif(count(*), 0))::bigint FROM heads)) f) r"
        " WHERE r.route = %(route)s AND NOT r.held),"
        f" keyless AS (SELECT t.id, t.seq FROM {table} t WHERE {_OF_ROUTE.format(t='t')} AND t.ordering_key IS NULL"
        f" AND {where} ORDER BY t.route, t.seq LIMIT %(limit)s),"
        " run AS MATERIALIZED (SELECT id, seq FROM (SELECT * FROM of_keys UNION ALL SELECT * FROM keyless) r"
        f" ORDER BY seq LIMIT %(limit)s), {_taking(table, where)}"
    )


@lru_cache(maxsize=256)
def _overtaking_sql(table: str, *, in_line: bool, failed_blocks: bool) -> str:
    """Of the rows just claimed those that something older holds after all."""
    if in_line:
        older = (
            f"SELECT o.seq FROM {table} o WHERE (o.route, o.seq) >= (t.route, 0) AND (o.route, o.seq) < (t.route, t.seq)"
            f" AND o.status IN ('PENDING', 'FAILED') AND ({_holding(failed_blocks=failed_blocks, suspects=True)})"
            " ORDER BY o.route, o.seq LIMIT 1"
        )
    else:
        older = _held_by(table, "t", failed_blocks=failed_blocks, suspects=True)
    return f"SELECT t.id FROM {table} t CROSS JOIN LATERAL ({older}) h WHERE t.id = ANY (%(ids)s::uuid[])"


def claim_run(lane: Lane, *, token: UUID, worker_id: int, limit: int) -> list[Row]:
    """Claim the next rows of the lane's route, in the order in which they were inserted; none while another run is on
    its way by it.

    Raises:
        NotInTransaction: outside a transaction.
    """
    require_transaction()
    assert lane.route is not None  # noqa: S101  (for the type checker: only a lane through a route is claimed so)
    route = lane.route
    params = {"token": token, "worker_id": worker_id, "route": route.name}
    taken = fetch_one(_TAKE_ROUTE, {"name": f"{lane.name}:{route.name}"})[0]
    if not taken or _is_busy(lane, route.name):
        return []
    shape = {"in_line": route.in_line, "failed_blocks": lane.failed_blocks}
    rows: list[Row] = [*_near_and_far(lane, {**params, "limit": limit}, **shape)]
    if not rows:
        rows = [*fetch_dicts(_run_sql(lane.table, **shape, suspects=True), {**params, "limit": 1})]
    return sorted(_without_overtaking(lane, token, rows, **shape), key=lambda row: row["seq"])


def _near(limit: int) -> int:
    return max(NEAR, 2 * limit)


def _near_and_far(lane: Lane, params: dict[str, Any], *, in_line: bool, failed_blocks: bool) -> list[Row]:
    limit = params["limit"]
    near = _near(limit)
    run = _run_sql(lane.table, in_line=in_line, failed_blocks=failed_blocks, suspects=False)
    rows: list[Row] = [*fetch_dicts(run, {**params, "near": near})]
    if in_line or len(rows) == limit:
        return rows
    # What was near and is not taken still waits there.
    (more,) = fetch_one(_has_more_sql(lane.table), {**params, "near": near - len(rows)})
    if more:
        by_key = _by_key_sql(lane.table, failed_blocks=failed_blocks)
        rows += fetch_dicts(by_key, {**params, "limit": limit - len(rows)})
    return rows


def _without_overtaking(lane: Lane, token: UUID, rows: list[Row], **shape: bool) -> list[Row]:
    """The claimed rows but those that would overtake. While the claim waited for a row's lock it may have failed as too
    old, say: then it is not claimed, and those behind it were chosen when it still could be.
    """
    if not rows:
        return rows
    ids = [row["id"] for row in rows]
    overtaking = {found for (found,) in fetch_all(_overtaking_sql(lane.table, **shape), {"ids": ids})}
    if overtaking:
        ledger.release(lane, token, [*overtaking])
    return [row for row in rows if row["id"] not in overtaking]


def _is_busy(lane: Lane, route: str) -> bool:
    sql = f"SELECT EXISTS (SELECT FROM {lane.table} q WHERE q.route = %(route)s AND q.status = 'QUEUED')"
    return bool(fetch_one(sql, {"route": route})[0])


@lru_cache(maxsize=256)
def _due_routes_sql(table: str, *, in_turn: bool) -> str:
    next_route = f"SELECT o.route FROM {table} o WHERE o.status = 'PENDING'{{after}} ORDER BY o.route LIMIT 1"
    return (
        f"WITH RECURSIVE r AS (({next_route.format(after='')}) UNION ALL SELECT n.route FROM r CROSS JOIN LATERAL"
        f" ({next_route.format(after=' AND o.route > r.route')}) n) SELECT r.route FROM r"
        f" WHERE (SELECT min(o.due_at) FROM {table} o WHERE o.status = 'PENDING' AND o.route = r.route) <= now()"
        + (
            f" AND NOT EXISTS (SELECT FROM {table} q WHERE q.route = r.route AND q.status = 'QUEUED')"
            if in_turn
            else ""
        )
    )


def due_routes(lane: Lane) -> list[str]:
    """The names of the lane's routes by which something is due, in the order of their names; where rows leave in turn, of
    those by which nothing is on its way.

    A loose index scan: one probe per route with waiting rows. A route all of whose due rows are held counts too.
    """
    return [row[0] for row in fetch_all(_due_routes_sql(lane.table, in_turn=lane.in_turn))]


def _released(lane: Lane) -> tuple[str, ...]:
    """What lets a due row of the lane go, each by an index; one after the other, they give the order of due instants."""
    return (_SWEPT, _TRIED_BEFORE) if lane.waits_for_sweep else ("",)


def claim_due(lane: Lane, *, token: UUID, worker_id: int, limit: int, after_key: str = "") -> list[Row]:
    """Claim up to `limit` due rows of the lane, urgent ones first; the claimed rows come back as they now stand.

    The caller makes the token first and keeps it, so a claim whose COMMIT reply was lost can be found again. An ordered
    lane gives the head of each key, searching keys greater than `after_key` first and then from the beginning. A lane
    through a route gives that route's next run, or its due rows where they do not leave in turn.

    Raises:
        NotInTransaction: outside a transaction.
        peewee.IntegrityError: an ordering key is already held by another claim; roll back and try again.
    """
    require_transaction()
    if lane.takes_turns:
        return claim_run(lane, token=token, worker_id=worker_id, limit=limit)
    route = lane.route.name if lane.route else ""
    params = {"token": token, "worker_id": worker_id, "sweep_job": lane.sweep_job, "route": route}
    shape = {"ordered": lane.ordered, "routed": lane.route is not None}
    rows: list[Row] = []
    if lane.ordered:
        sql = _ordered_sql(lane, suspects=False)
        rows += fetch_dicts(sql, {**params, "limit": limit, "after": after_key})
        if after_key and len(rows) < limit:
            rows += fetch_dicts(sql, {**params, "limit": limit - len(rows), "after": ""})
    for urgent in (True, False):
        for released in _released(lane):
            if len(rows) < limit:
                sql = _plain_sql(lane.table, **shape, urgent=urgent, suspects=False, released=released)
                rows += fetch_dicts(sql, {**params, "limit": limit - len(rows)})
    for released in _released(lane):
        if not rows:
            sql = _plain_sql(lane.table, **shape, urgent=False, suspects=True, released=released)
            rows += fetch_dicts(sql, {**params, "limit": 1})
    if not rows and lane.ordered:
        rows += fetch_dicts(_ordered_sql(lane, suspects=True), {**params, "limit": 1, "after": ""})
    return rows


def seconds_until_due(lane: Lane) -> float | None:
    """Seconds until the lane's earliest claimable row is due: zero or less when one is, None when none is waiting.

    Heads that wait behind another row of their key may be counted as due; a claim then simply finds nothing.
    """
    first = ", ".join(
        f"(SELECT extract(epoch FROM t.due_at - clock_timestamp())::float8 FROM {lane.table} t"
        f" WHERE t.status = 'PENDING'{released} ORDER BY t.due_at LIMIT 1)"
        for released in _released(lane)
    )
    seconds = fetch_one(f"SELECT least({first})", {"sweep_job": lane.sweep_job})[0]
    return None if seconds is None else float(seconds)
