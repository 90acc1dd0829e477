"""How PostgreSQL asks rules of everybody: what is asked of others is hashed once, never asked again for each patient."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from bench.segments import SEGMENTS, is_sound, plan_of
from dispatchlog.engine.database import connected
from dispatchlog.settings import Settings
from tests.outreach.segment_people import LEAP, populate

NUMBER = 2_000


def test_no_plan_asks_again_for_each_patient(application: Settings) -> None:
    populate(application.database_url, seed=2, number=NUMBER, now=LEAP)
    with closing(psycopg2.connect(application.database_url)) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        cursor.execute("ANALYZE")
    with connected():
        plans = {name: plan_of(document) for name, document in SEGMENTS.items()}
    assert [name for name, plan in plans.items() if not is_sound(plan, patients=NUMBER)] == []
    assert "hashed SubPlan" in plans["five under or"]


@pytest.mark.parametrize(
    "line", ["  Filter: (ANY (id = (SubPlan 1).col1))", "  ->  Index Scan on x (actual rows=1.00 loops=2000)"]
)
def test_a_plan_that_asks_again_is_seen(line: str) -> None:
    assert not is_sound(f"Aggregate  (actual rows=1 loops=1)\n{line}\n  SubPlan 1", patients=NUMBER)
