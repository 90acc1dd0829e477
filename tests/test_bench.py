"""Tests of the benchmark's own sums and proofs; the figures themselves are not tested, for they are the machine's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from bench import gate, report
from bench.figures import ENGINE, FIGURES, PEERS, left_out, p99, summary
from bench.lane import Setup, bench_lane
from bench.outside import Provider, started_provider
from bench.plan import QUICK, Plan, read_plan
from bench.processes import MeasuringFailed
from bench.proof import prove_accepted
from bench.recording import Statement, script
from bench.scenarios import SCENARIOS, Scenario
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import Parcel

DEMANDED = {
    "engine_per_s",
    "pgbench_per_s",
    "ratio_pgbench",
    "ratio_dramatiq",
    "ratio_celery",
    "ratio_procrastinate",
    "ratio_rq",
    "provider20ms_efficiency",
    "latency_idle_p50_ms",
    "latency_idle_p99_ms",
    "recovery_p99_s",
    "worker_rss_mb",
    "claim_growth_10m_over_10k",
}


def _reasons(plan: Plan) -> dict[str, str]:
    return {scenario.name: reason for scenario in SCENARIOS if (reason := scenario.reason_to_leave_out(plan))}


def test_the_ceiling_is_the_better_median_of_one_and_two_clients() -> None:
    figures = summary({"engine": [10.0, 30.0, 20.0], "pgbench_1": [1.0, 25.0, 99.0], "pgbench_2": [40.0]})
    assert (figures["engine_per_s"], figures["pgbench_per_s"], figures["ratio_pgbench"]) == (20.0, 40.0, 0.5)


def test_a_peer_is_taken_at_the_best_of_its_ways() -> None:
    figures = summary({"engine": [100.0], "celery_2": [4.0], "celery_4": [5.0], "celery_8": [2.0]})
    assert (figures["celery_per_s"], figures["ratio_celery"]) == (5.0, 20.0)


def test_the_99th_percentile_of_few_values_is_the_largest() -> None:
    assert p99([3.0, 1.0, 2.0]) == 3.0
    assert p99([float(number) for number in range(1, 201)]) == 198.0


def test_what_was_not_measured_is_null_and_its_reason_is_told() -> None:
    line = json.loads(report.json_line({"engine": [20.0]}, QUICK, {}, reasons={"rq_4": "because"}))
    assert set(line) >= DEMANDED
    assert line["engine_per_s"] == 20.0
    assert [name for name in DEMANDED if line[name] is not None] == ["engine_per_s"]
    assert line["goals"]["ratio_pgbench"]["met"] is None
    assert "rq_4: because" in line["left_out"]
    assert "claim_growth_10m_over_10k: needs --growth 10m" in line["left_out"]


def test_a_goal_is_met_or_missed_on_the_right_side() -> None:
    line = json.loads(report.json_line({"recovery": [1.0, 2.5], "rss": [80.0]}, QUICK, {}, reasons={}))
    assert line["goals"]["recovery_p99_s"] == {"goal": "at most 2", "met": False}
    assert line["goals"]["worker_rss_mb"] == {"goal": "at most 120", "met": True}


def test_every_figure_names_a_scenario_that_exists() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert {ENGINE, *(name for peer in PEERS for name in peer.scenarios)} <= names
    assert {figure.scenario for figure in FIGURES} <= names


def test_a_quick_run_says_which_ways_of_its_peers_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.scenarios.find_spec", lambda _: True)  # as where all of them are installed
    quick, thorough = _reasons(QUICK), _reasons(Plan())
    assert "celery_2" in quick
    assert "celery_2" not in thorough
    for peer in PEERS:
        assert set(peer.scenarios) - set(quick)


def test_a_peer_that_is_not_installed_is_left_out() -> None:
    absent = Scenario("absent", "Absent", lambda *_: {}, needs="no_such_package")
    assert absent.reason_to_leave_out(Plan()) == "no_such_package is not installed"


def test_only_what_was_asked_for_is_run() -> None:
    assert set(_reasons(Plan(only=("engine",)))) == {scenario.name for scenario in SCENARIOS} - {"engine"}


def test_the_history_left_out_is_named_only_when_growth_was_measured() -> None:
    made = summary({"claim_10k": [1.0]})
    assert not left_out(made, {"growth": "not asked for"})[1:]
    assert "claim_ms_1m: needs --growth 1m" in left_out(made, {})


def test_rows_that_do_not_fill_whole_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        Plan(rows=1_001, batch=250)


def test_quick_makes_the_run_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK", "1")
    assert read_plan([], scenarios=[]) == QUICK
    monkeypatch.setenv("QUICK", "0")
    assert read_plan([], scenarios=[]) == Plan()


def test_ten_million_rows_are_measured_only_when_asked_for() -> None:
    assert max(read_plan([], scenarios=[]).history) == 1_000_000
    assert read_plan(["--growth", "10m"], scenarios=[]).history == (10_000, 1_000_000, 10_000_000)


def test_the_benchmark_loads_without_the_peers_installed() -> None:
    without = (
        "import sys; sys.modules |= dict.fromkeys(('celery', 'procrastinate', 'psycopg', 'rq')); import bench.__main__"
    )
    subprocess.run([sys.executable, "-c", without], check=True)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with started_provider(latency_seconds=0.1) as started:
        yield started


@pytest.mark.parametrize("gateway", ["http", "smtp"])
def test_the_provider_accepts_what_the_products_gateways_send(provider: Provider, gateway: str) -> None:
    url = {"http": provider.http_url, "smtp": provider.smtp_url}[gateway]
    lane = bench_lane(Setup(batch=1, slots=1, threads=1, gateway=gateway, url=url))
    keys = [f"{uuid4()}-1" for _ in range(2)]
    began = time.monotonic()
    for number, key in enumerate(keys):
        row: dict[str, Any] = {"id": uuid4(), "seq": number, "idempotency_key": key}
        letter = lane.compose(row)
        parcel = Parcel(row["id"], key, letter.recipient, letter.body, letter.content_type, letter.headers)
        lane.gateway.send(parcel, deadline=Deadline(10), before_write=lambda: None)
    ended = time.monotonic()
    accepted = provider.accepted()
    assert [key for key, _ in accepted] == keys
    assert all(began <= at <= ended for _, at in accepted)
    assert gateway == "smtp" or ended - began >= 2 * 0.1
    lane.gateway.close()


def test_a_dispatch_that_never_reached_the_provider_or_reached_it_twice_is_no_figure() -> None:
    prove_accepted([("a-1", 0.0), ("b-1", 1.0), ("b-1", 2.0)], rows=2, may_be_twice={"b-1"})
    for accepted in ([("a-1", 0.0)], [("a-1", 0.0), ("b-1", 1.0), ("b-1", 2.0)]):
        with pytest.raises(MeasuringFailed, match="of 2 dispatches"):
            prove_accepted(accepted, rows=2)


def test_workers_on_an_empty_queue_begin_when_it_is_let_go(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.rpush("rows", "first", "second")
        gate.hold_back(client, "rows")
        assert client.lpop("rows") is None
        popped: list[Any] = []
        waiting = threading.Thread(target=lambda: popped.append(client.blpop(["rows"], timeout=120)))
        waiting.start()
        while client.info("clients")["blocked_clients"] == 0:
            time.sleep(0.01)
        gate.let_go(client, "rows")
        waiting.join()
        assert (popped, client.lpop("rows")) == ([("rows", "first")], "second")


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


def test_a_run_measures_proves_and_ends_with_one_line_of_json() -> None:
    sizes = ["--rows", "500", "--message-rows", "20", "--sweep-rows", "600", "--repetitions", "1"]
    only = [word for name in ("engine", "pgbench_1", "dramatiq", "sweep") for word in ("--only", name)]
    run = subprocess.run([sys.executable, "-m", "bench", *sizes, *only], check=True, capture_output=True, text=True)
    line = json.loads(run.stdout.splitlines()[-1])
    measured = {"engine_per_s", "pgbench_per_s", "ratio_pgbench", "ratio_dramatiq", "sweep_ms"}
    assert all(line[name] > 0 for name in measured)
    assert line["recovery_p99_s"] is None
