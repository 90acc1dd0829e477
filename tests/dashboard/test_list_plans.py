"""Every query of the lists walks an index, on a lane of the product and on one made from the template."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard import queries
from dashboard.api.dispatch_search import Question, _query
from dashboard.filters import AGES, PERIODS, SORTS, TIMES_LEFT, ListFilter, Position
from dashboard.wording import STATES
from dispatchlog.engine.database import configure, connected, database, fetch_all
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.tables import new_id
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.systems import registry
from tests.dashboard.crowds import crowd, spread
from tests.engine.lane import APPLICATION_ROLE, install, owner, parcel_lane
from tests.servers import Servers, fresh_database

ROWS = 20_000
NOW = datetime.now(UTC)
DAY = (NOW - timedelta(days=1)).date()

FILTERS: dict[str, ListFilter] = {
    "everything": ListFilter(),
    **{f"status {state}": ListFilter(states=(state,)) for state in STATES},
    **{f"order {order}": ListFilter(sort=order) for order in SORTS},
    **{f"failed, order {order}": ListFilter(states=("FAILED",), sort=order) for order in SORTS},
    **{f"left {left}": ListFilter(left=left) for left in TIMES_LEFT},
    **{f"left {left}, last changed first": ListFilter(left=left, sort="changed") for left in TIMES_LEFT},
    **{f"waiting {age}": ListFilter(age=age) for age in AGES},
    **{f"waiting {age}, last changed first": ListFilter(age=age, sort="changed") for age in AGES},
    "waiting, little time left": ListFilter(age="1h", left="4h"),
    "cause": ListFilter(cause="CODE_1"),
    "cause nobody has": ListFilter(cause="NEVER_SEEN"),
    "cause, failed, least time left": ListFilter(cause="CODE_1", states=("FAILED",), sort="left"),
    **{f"within {within}": ListFilter(within=within) for within in PERIODS},
    "days": ListFilter(since=DAY, until=DAY),
    "days, sent": ListFilter(since=DAY, states=("SENT",)),
    "search for one": ListFilter(text="VO-1234"),
    "search for many": ListFilter(text="VO-"),
    "search by id": ListFilter(text=str(new_id())),
    "search, failed": ListFilter(text="KIT-99", states=("FAILED",)),
}


@contextmanager
def crowded_lanes(servers: Servers, rows: int) -> Iterator[tuple[Lane, ...]]:
    """Two lanes with so many rows each, analysed, as the application reads them."""
    with fresh_database(servers, f"test_lists_of_{rows}_{os.getpid()}", migrated=True) as url:
        configure(url, role=APPLICATION_ROLE, name="test")
        install(url)
        lanes = (registry.lane("kit_registration"), parcel_lane(FakeGateway(GatewayKind.BLIND)))
        with connected():
            for lane in lanes:
                crowd(lane, rows)
                spread(lane)
        with owner(url) as cursor:
            cursor.execute("VACUUM ANALYZE")
        yield lanes
        database.close_all()


@pytest.fixture(scope="module")
def crowded(servers: Servers) -> Iterator[tuple[Lane, ...]]:
    with crowded_lanes(servers, ROWS) as lanes:
        yield lanes


def scans(sql: str, params: list[Any]) -> list[str]:
    """The relations that the plan of a query reads from beginning to end."""
    with connected():
        assert fetch_all("SHOW enable_seqscan") == [("on",)]
        ((plan,),) = fetch_all(f"EXPLAIN (FORMAT JSON) {sql}", params)
    found: list[str] = []

    def look(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan":
            found.append(node["Relation Name"])
        for inner in node.get("Plans", []):
            look(inner)

    look(plan[0]["Plan"])
    return found


@pytest.mark.parametrize("name", FILTERS)
def test_a_list_reads_no_lane_from_beginning_to_end(crowded: tuple[Lane, ...], name: str) -> None:
    wanted = FILTERS[name]
    deep = replace(wanted, position=Position(NOW - timedelta(hours=3), new_id()))
    back = replace(wanted, position=Position(NOW - timedelta(hours=3), new_id(), newer=True))
    asked = {
        "first page": queries.list_query(wanted, crowded, limit=51),
        "later page": queries.list_query(deep, crowded, limit=51),
        "page before": queries.list_query(back, crowded, limit=51),
        "place of a row": queries.place_query(wanted, crowded, Position(NOW, new_id()), of="parcel"),
        "tabs": queries.count_query(wanted, crowded),
        "all that match": queries.matching_count_query(wanted, crowded),
        **{f"file {lane.name}": queries.export_query(wanted, lane, before=new_id(), limit=1000) for lane in crowded},
    }
    found = {what: scans(sql, params) for what, (sql, params) in asked.items() if sql}
    assert {what: tables for what, tables in found.items() if tables} == {}


def test_the_causes_are_read_off_their_index(crowded: tuple[Lane, ...]) -> None:
    for lane in crowded:
        assert scans(*queries.causes_query(lane)) == []
    with connected():
        assert queries.causes(crowded) == ["CODE_0", "CODE_1", "CODE_2"]


def test_the_api_lists_a_status_by_the_same_index(crowded: tuple[Lane, ...]) -> None:
    for lane in crowded:
        for status in ("PENDING", "SENT", "FAILED", "CANCELLED"):
            sql, params = _query(Question([lane], status=status), lane, None)
            assert scans(sql, params) == []  # type: ignore[arg-type]


def test_the_plans_that_are_looked_at_would_show_a_whole_table(crowded: tuple[Lane, ...]) -> None:
    assert scans("SELECT * FROM parcels ORDER BY body_text", []) == ["parcels"]


def test_only_a_query_that_says_so_may_use_the_lists_index(crowded: tuple[Lane, ...]) -> None:
    """A worker's query that sorted all waiting rows by it would read all of them, however few it believes there are."""
    waiting = "EXPLAIN SELECT id FROM parcels WHERE status = 'PENDING'{} ORDER BY updated_at, id LIMIT 10"
    with connected():
        ((name,),) = fetch_all(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'parcels' AND indexdef LIKE '%%seq > 0%%'"
        )
        assert name in str(fetch_all(waiting.format(" AND seq > 0")))
        assert name not in str(fetch_all(waiting.format("")))
