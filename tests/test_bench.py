"""Tests of the benchmark's own sums and script; the figures themselves are not tested, for they are the machine's."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from bench.plan import QUICK, Plan, read_plan
from bench.processes import MeasuringFailed
from bench.recording import Statement, script
from bench.report import summary
from bench.scenarios import ENGINE, PEERS, SCENARIOS


def test_the_ceiling_is_the_better_median_of_one_and_two_clients() -> None:
    figures = summary(
        {"engine": [10.0, 30.0, 20.0], "pgbench_1": [1.0, 25.0, 99.0], "pgbench_2": [40.0], "dramatiq": [5.0]}
    )
    assert figures == {
        "engine_per_s": 20.0,
        "pgbench_per_s": 40.0,
        "ratio_pgbench": 0.5,
        "dramatiq_per_s": 5.0,
        "ratio_dramatiq": 4.0,
    }


def test_a_peer_that_was_not_measured_has_no_ratio() -> None:
    assert summary({"engine": [20.0]}) == {"engine_per_s": 20.0}


def test_every_figure_names_scenarios_that_exist() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert {name for figure in (ENGINE, *PEERS) for name in figure.scenarios} <= names


def test_rows_that_do_not_fill_whole_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        Plan(rows=1_001, batch=250)


def test_quick_makes_the_run_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK", "1")
    assert read_plan([], scenarios=[]) == QUICK
    monkeypatch.setenv("QUICK", "0")
    assert read_plan([], scenarios=[]) == Plan()


def _batch(token: UUID, ids: list[UUID]) -> list[Statement]:
    return [
        Statement("BEGIN", None, -1),
        Statement(
            "WITH due AS (SELECT .. SKIP LOCKED) UPDATE t SET claim_token = %(token)s RETURNING t.*",
            {"token": token},
            len(ids),
        ),
        Statement("COMMIT", None, -1),
        Statement(
            "UPDATE t SET note = %s FROM unnest(%s::uuid[]) o WHERE claim_token = %s", ("it's 5 %", ids, token), 2
        ),
    ]


def test_the_script_claims_with_its_own_token_and_records_the_ids_it_claimed() -> None:
    token, ids = uuid4(), [uuid4(), uuid4()]
    text = script(_batch(token, ids), batch=2)
    assert str(token) not in text
    assert not any(str(row_id) in text for row_id in ids)
    assert r"SELECT array_agg(id) AS ids FROM taken \gset" in text
    assert "note = 'it''s 5 %' FROM unnest(':ids'::uuid[]) o" in text
    assert text.count("00000000-0000-4000-8000-:token") == 2


def test_a_recorded_batch_without_a_claim_is_refused() -> None:
    with pytest.raises(MeasuringFailed, match="claims rows"):
        script(_batch(uuid4(), [uuid4(), uuid4()])[2:], batch=2)
