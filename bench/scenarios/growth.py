"""Measures what a long history costs: the claim, and the dashboard's list, over tables of 10 thousand rows to 10 million.

The history is SENT rows; those of the last million have their transitions and attempts too, the older ones have none.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from bench.lane import FILL, NAME, TABLE, Setup, bench_lane
from bench.plan import SIZE_NAMES, Plan
from bench.processes import MeasuringFailed
from bench.servers import Servers
from dashboard.filters import ListFilter, Position
from dashboard.queries import PAGE_ROWS, count_by_state, list_dispatches
from dispatchlog.engine.claims import claim_due
from dispatchlog.engine.database import configure, connected, database, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.settings import get_settings

_ROUNDS = 5
_WARM_UP = 2
_LISTS = 10
_MOST_LIST_SECONDS = 5.0
_DETAILED = 1_000_000
_DAYS = 730
_LOGGED = ("log_insert", "log_update", "keep_rows")

# Without the triggers, for they accept only what begins PENDING.
_ROWS = f"""
INSERT INTO {TABLE} (id, status, due_at, claims, claim_token, claimed_by, claimed_at, first_claimed_at, provider,
    provider_message_id, sent_at, created_at, updated_at)
SELECT uuidv7(at - clock_timestamp()), 'SENT', at, 1, gen_random_uuid(), 1, at, at, 'null', 'null', at, at, at
FROM (SELECT now() - interval '1 minute' - ({{rows}} - n) * interval '{_DAYS} days' / {{rows}} AS at
      FROM generate_series(1, {{rows}}) n) moments
"""
_TRANSITIONS = f"""
INSERT INTO dispatch_transitions (lane, dispatch_id, from_status, to_status, at, actor, claim_token, database_user)
SELECT '{NAME}', t.id, move.was, move.becomes, t.sent_at, 'worker:1', t.claim_token, session_user
FROM (SELECT * FROM {TABLE} ORDER BY seq DESC LIMIT {_DETAILED}) t,
    (VALUES (NULL, 'PENDING'), ('PENDING', 'QUEUED'), ('QUEUED', 'SENT')) AS move (was, becomes)
"""
_ATTEMPTS = f"""
INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, sending_at,
    finished_at, outcome)
SELECT '{NAME}', id, claim_token, 1, 1, 1, 'null', sent_at, sent_at, 'ACCEPTED'
FROM {TABLE} ORDER BY seq DESC LIMIT {_DETAILED}
"""
_HISTORY = (
    f"ALTER TABLE {TABLE} DISABLE TRIGGER USER",
    _ROWS,
    f"ALTER TABLE {TABLE} {', '.join(f'ENABLE ALWAYS TRIGGER {name}' for name in _LOGGED)}",
    _TRANSITIONS,
    _ATTEMPTS,
)


def run(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Milliseconds by size: `claim_*` of one batch with its commit, `list_*` of one page, and the growth of the claim."""
    samples: dict[str, list[float]] = {}
    lane = bench_lane(Setup(batch=plan.batch, slots=1, threads=1))
    with ExitStack() as stack:
        urls = {rows: stack.enter_context(_history(servers, plan, rows)) for rows in plan.history}
        servers.admin("CHECKPOINT")
        for _ in range(_ROUNDS):  # by turns, so that what disturbs the machine disturbs all sizes
            for rows, url in urls.items():
                samples.setdefault(f"claim_{SIZE_NAMES[rows]}", []).extend(_claims(url, lane, plan))
        for rows, url in urls.items():
            samples |= {f"{what}_{SIZE_NAMES[rows]}": times for what, times in _lists(url, lane).items()}
    return samples | _growth(samples, plan)


@contextmanager
def _history(servers: Servers, plan: Plan, rows: int) -> Iterator[str]:
    due = _ROUNDS * (plan.claims_per_round + _WARM_UP) * plan.batch
    statements = [*(statement.format(rows=rows) for statement in _HISTORY), FILL.format(rows=due)]
    with servers.filled_database(*statements) as url:
        yield url


def _claims(url: str, lane: Lane, plan: Plan) -> list[float]:
    with _connected(url, by_index=True):
        times = [_timed(lambda: _claim(lane, plan.batch)) for _ in range(plan.claims_per_round + _WARM_UP)]
    return times[_WARM_UP:]


def _claim(lane: Lane, batch: int) -> None:
    with transaction("bench"):
        rows = claim_due(lane, token=uuid4(), worker_id=2, limit=batch)
    if len(rows) != batch:
        raise MeasuringFailed(f"a claim of {batch} rows took {len(rows)}")


def _lists(url: str, lane: Lane) -> dict[str, list[float]]:
    """The list's first page, a page from the middle of the history, and the counts beside the states."""
    middle = Position(datetime.now(UTC) - timedelta(days=_DAYS / 2), UUID(int=0))
    with _connected(url, by_index=False):
        return {
            "list_first": _repeated(lambda: _list(ListFilter(), lane)),
            "list_deep": _repeated(lambda: _list(ListFilter(position=middle), lane)),
            "list_counts": _repeated(lambda: count_by_state(ListFilter(), (lane,))),
        }


def _list(wanted: ListFilter, lane: Lane) -> None:
    if len(list_dispatches(wanted, (lane,)).rows) != PAGE_ROWS:
        raise MeasuringFailed("a page of the list is not full")


def _repeated(act: Callable[[], object]) -> list[float]:
    times = [_timed(act)]
    while len(times) < _LISTS and sum(times) < _MOST_LIST_SECONDS * 1000:
        times.append(_timed(act))
    return times


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _connected(url: str, *, by_index: bool) -> Iterator[None]:
    configure(url, role=get_settings().application_role, name="bench growth", by_index=by_index)
    try:
        with connected():
            yield
    finally:
        database.close_all()


def _growth(samples: dict[str, list[float]], plan: Plan) -> dict[str, list[float]]:
    least, *larger = (SIZE_NAMES[rows] for rows in plan.history)
    base = statistics.median(samples[f"claim_{least}"])
    return {
        f"claim_growth_{name}_over_{least}": [statistics.median(samples[f"claim_{name}"]) / base] for name in larger
    }
