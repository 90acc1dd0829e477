"""However much was sent before, by however many routes something waits: a claim reads what it takes and what holds it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine import claims, ledger
from dispatchlog.engine.database import connected, fetch_all, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import Outcome

from .lane import change, owner, read
from .post import Post
from .processes import until
from .test_routes import post

__all__ = ["post"]  # a fixture

SENT, ROUTES, EACH, HELD = 8_000, 150, 20, 1_000
HELD_KEYS, FREE_KEYS = 50, 5
# As a lane's pages want them; a planner that goes by them reads everything that was ever sent.
PAGES = (
    "CREATE INDEX ON letters (seq); CREATE INDEX ON letters (status, seq); CREATE INDEX ON letters (route, status, seq)"
)
CROWD = f"""
ALTER TABLE letters SET (autovacuum_enabled = off);
ALTER TABLE letters DISABLE TRIGGER USER;
INSERT INTO letters (id, route, ordering_key, status, claim_token, claimed_by, claimed_at, first_claimed_at, claims,
    sent_at, provider)
SELECT gen_random_uuid(), 'r1', 'r1:' || n % 50, 'SENT', gen_random_uuid(), 1, now(), now(), 1, now(), 'post'
FROM generate_series(1, {SENT}) n;
INSERT INTO letters (id, route, ordering_key, status, claim_token, claimed_by, claimed_at, first_claimed_at, claims,
    last_error_code)
SELECT gen_random_uuid(), 'r1', 'r1:held' || n, 'FAILED', gen_random_uuid(), 1, now(), now(), 1, 'X'
FROM generate_series(1, {HELD_KEYS}) n;
INSERT INTO letters (id, route, ordering_key) SELECT gen_random_uuid(), 'r1', 'r1:held' || 1 + n % {HELD_KEYS}
FROM generate_series(1, {HELD}) n;
INSERT INTO letters (id, route, ordering_key)
SELECT gen_random_uuid(), 'r' || route, 'r' || route || ':' || n % {FREE_KEYS}
FROM generate_series(1, {EACH}) n, generate_series(1, {ROUTES}) route;
ALTER TABLE letters ENABLE ALWAYS TRIGGER log_insert, ENABLE ALWAYS TRIGGER log_update, ENABLE ALWAYS TRIGGER keep_rows;
"""


class _UndoneError(Exception):
    """Rolls back what was only to be looked at."""


@pytest.fixture(params=["without statistics", "analysed"])
def crowded(request: pytest.FixtureRequest, parcels_url: str, post: Post) -> Post:
    with owner(parcels_url) as cursor:
        cursor.execute(PAGES)
        cursor.execute(CROWD)
        if request.param == "analysed":
            cursor.execute("ANALYZE letters")
    return post


def rows_read(sql: str, **params: Any) -> int:
    """How many rows of the lane's table the statement looked at, those that it passed over included."""
    given = {"token": uuid4(), "worker_id": 1, "route": "r1", "limit": 10, "near": claims.NEAR, **params}
    try:
        with transaction("test"):
            fetch_all(claims._TAKE_ROUTE, {"name": "letter:r1"})
            ((plan,),) = fetch_all(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", given)
            raise _UndoneError
    except _UndoneError:
        found = plan if isinstance(plan, list) else json.loads(plan)
    assert "Seq Scan" not in json.dumps(found)
    return sum(_rows_of(found[0]["Plan"]))


def _rows_of(node: dict[str, Any]) -> Iterator[int]:
    if node.get("Relation Name") == "letters" and node["Node Type"] != "ModifyTable":
        yield round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
    for child in node.get("Plans", []):
        yield from _rows_of(child)


def run_sql(**shape: bool) -> str:
    return claims._run_sql("letters", **{"in_line": False, "failed_blocks": True, "suspects": False, **shape})


def test_a_claim_reads_what_waits_by_its_route_and_nothing_else(crowded: Post) -> None:
    free = 10
    # Each row of the run three times (found, locked, taken), each held one with what holds it; nothing that was sent, and
    # of what is held no more than the nearest.
    assert rows_read(run_sql()) <= 2 * claims.NEAR
    assert rows_read(run_sql(), route="r2") <= EACH + 2 * free
    assert rows_read(run_sql(in_line=True), route="r2") <= EACH + 2 * free
    assert rows_read(run_sql(in_line=True)) <= free
    assert rows_read(run_sql(suspects=True), route="r2", limit=1) <= EACH
    assert rows_read(run_sql(in_line=True, suspects=True), route="r2", limit=1) <= 3


def test_what_is_behind_many_held_rows_is_found_key_by_key(crowded: Post) -> None:
    by_key = claims._by_key_sql("letters", failed_blocks=True)
    # For each held key its oldest row and what holds it; for each free one besides so many as its share.
    assert rows_read(by_key) <= 2 * HELD_KEYS + FREE_KEYS + 4 * 10 + 20
    assert rows_read(by_key, limit=1) <= 2 * HELD_KEYS + FREE_KEYS + 20
    assert rows_read(claims._has_more_sql("letters")) <= claims.NEAR + 1
    assert rows_read(run_sql(suspects=True), limit=1) == 0


def test_one_claim_takes_what_is_near_and_what_is_far_in_order_and_nothing_that_is_held(
    crowded: Post, runtime: Runtime
) -> None:
    north = replace(crowded.in_force["north"], name="r1")
    with transaction("test"):
        far = claims.claim_due(
            crowded.lane.through(north),
            token=uuid4(),
            worker_id=runtime.presence.worker_id,
            limit=EACH + 5,
        )
    assert [row["ordering_key"] for row in far] == [f"r1:{n % FREE_KEYS}" for n in range(1, EACH + 1)]
    assert [row["seq"] for row in far] == sorted(row["seq"] for row in far)


def test_behind_many_held_rows_nothing_overtakes_its_key_and_what_has_no_key_goes_too(
    runtime: Runtime, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_near", lambda limit: 1)
    (failed,) = post.put("north", "ada")
    waits = post.put("north", "ben", "ben")
    free = post.put("north", "cleo", "dan", "dan", "dan")
    behind = post.put("north", "ada", "ben", "dan")
    with transaction("test"):
        (keyless, later) = ledger.enqueue(post.lane, [{"body_text": "x", "route": "north"} for _ in range(2)])
    elsewhere = post.put("south", "eve")
    post.gateways["north"].script(Outcome.PERMANENT)
    for each in (*waits, *free, *behind, keyless, later):
        change(post.lane, each, due_at="now() + interval '1 hour'")
    drain(post.lane, runtime)
    assert post.status(failed, *elsewhere) == ["FAILED", "SENT"]
    for each in (waits[1], *free[:2], *free[3:], *behind, keyless):
        change(post.lane, each, due_at="now()")
    with transaction("test"):
        rows = claims.claim_due(
            post.lane.through(post.in_force["north"]), token=uuid4(), worker_id=runtime.presence.worker_id, limit=10
        )
    # Behind what waits for its next attempt nothing of its key goes: of dan's the second waits.
    assert [row["id"] for row in rows] == [free[0], free[1], keyless]


def test_who_is_looked_at_again_is_found_by_key(crowded: Post) -> None:
    with connected():
        ids = [row[0] for row in fetch_all("SELECT id FROM letters WHERE route = 'r2' ORDER BY seq LIMIT 10")]
    for in_line in (False, True):
        sql = claims._overtaking_sql("letters", in_line=in_line, failed_blocks=True)
        assert rows_read(sql, ids=ids) <= 10 + sum(range(10))


def test_to_find_the_routes_that_have_something_due_each_is_looked_at_once_or_twice(crowded: Post) -> None:
    with connected():
        assert len(claims.due_routes(crowded.lane)) == ROUTES
    assert rows_read(claims._due_routes_sql("letters", in_turn=True)) <= 3 * ROUTES + 3


def test_a_row_that_fails_while_a_claim_waits_for_it_still_holds_those_behind_it(
    runtime: Runtime, post: Post, connections: Any
) -> None:
    old, later, other = post.put("north", "ada", "ada", "ben")
    change(post.lane, old, stale_at="now() - interval '1 s'")
    north = post.lane.through(post.in_force["north"])
    claimed: list[Any] = []

    def claim() -> None:
        with transaction("test"):
            claimed.extend(claims.claim_due(north, token=uuid4(), worker_id=runtime.presence.worker_id, limit=10))

    claiming = threading.Thread(target=claim)
    with transaction("test"):
        assert ledger.fail_stale(post.lane) == 1
        claiming.start()
        until(_somebody_waits, what="the claim waits for the row that is about to fail")
    claiming.join(15)
    assert [row["id"] for row in claimed] == [other]
    assert read(post.lane, later)["status"] == "PENDING"


def _somebody_waits() -> bool:
    return bool(fetch_all("SELECT FROM pg_locks WHERE NOT granted"))
