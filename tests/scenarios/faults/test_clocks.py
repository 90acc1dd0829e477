"""Schedulers that are killed, paused or misled by their clocks run each occurrence once; time is the database's."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from datetime import datetime, timedelta

import pytest

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.gateway import GatewayKind
from tests.engine.processes import until
from tests.scenarios.faults.scheduler import JOB, PERIOD_SECONDS
from tests.scenarios.faults.stage import PATIENCE_SECONDS, WORKER, Stage, database_now, end

SCHEDULER = "tests.scenarios.faults.scheduler"


class Clocks:
    """The schedulers of one scenario and what they ran."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.file = stage.directory / "runs"
        self.began = database_now()

    def start(self) -> subprocess.Popen[bytes]:
        return self.stage.start_process(SCHEDULER, str(self.file))

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> None:
        """SIGTERM; a run that was begun is finished."""
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0

    def runs(self) -> Counter[int]:
        """Runs of the job by the process that ran it."""
        return Counter(map(int, self.file.read_text().split())) if self.file.exists() else Counter()

    def wait_for_runs(self, process: subprocess.Popen[bytes], more: int = 1) -> None:
        """Until this process has run the job so often again."""
        enough = self.runs()[process.pid] + more
        until(lambda: self.runs()[process.pid] >= enough, seconds=PATIENCE_SECONDS, what="it keeps the time")

    def occurrences(self) -> list[datetime]:
        with connected():
            found = fetch_all("SELECT occurs_at FROM schedule_occurrences WHERE job = %s ORDER BY occurs_at", (JOB,))
        return [row[0] for row in found]


@pytest.fixture
def clocks(stage: Stage) -> Clocks:
    return Clocks(stage)


def test_whichever_scheduler_is_killed_or_paused_another_goes_on_and_each_occurrence_is_run_once(
    clocks: Clocks,
) -> None:
    first = clocks.start()
    clocks.wait_for_runs(first)
    second = clocks.start()
    clocks.wait_for_runs(first)  # and the second stands by
    assert clocks.runs().keys() == {first.pid}
    end(first)
    clocks.wait_for_runs(second)
    third = clocks.start()
    second.send_signal(signal.SIGSTOP)
    clocks.wait_for_runs(third)
    second.send_signal(signal.SIGCONT)
    clocks.wait_for_runs(third)
    end(third)
    clocks.wait_for_runs(second)
    clocks.stop(second)
    occurrences, runs = clocks.occurrences(), clocks.runs().total()
    assert len(occurrences) - 3 <= runs <= len(occurrences)  # a kill or a pause may fall between the two


def test_a_scheduler_whose_clock_jumps_goes_on_by_the_databases_clock(clocks: Clocks) -> None:
    scheduler = clocks.start()
    clocks.wait_for_runs(scheduler)
    for jump in (signal.SIGUSR2, signal.SIGUSR1):
        scheduler.send_signal(jump)
        wait_for_the_jump(clocks.stage, SCHEDULER, jump)
        clocks.wait_for_runs(scheduler, more=2)
    clocks.stop(scheduler)
    occurrences = clocks.occurrences()
    assert clocks.began - timedelta(seconds=PERIOD_SECONDS) <= occurrences[0]
    assert occurrences[-1] <= database_now()
    assert clocks.runs().total() == len(occurrences) == len(set(occurrences))
    assert clocks.stage.log(SCHEDULER).read_text().count("CLOCK_JUMPED") == 2


def wait_for_the_jump(stage: Stage, module: str, jump: signal.Signals) -> None:
    said = f"the clock jumped on {jump.name}"
    until(lambda: said in stage.log(module).read_text(), seconds=PATIENCE_SECONDS, what=said)


@pytest.mark.parametrize("jump", [signal.SIGUSR1, signal.SIGUSR2], ids=["ahead", "back"])
def test_a_worker_whose_clock_is_an_hour_off_takes_up_what_is_due_by_the_databases_clock(
    stage: Stage, jump: signal.Signals
) -> None:
    stage.proxy.listen()
    worker = stage.start_worker()
    stage.enqueue(GatewayKind.BLIND, ["good-first"])
    stage.settle(GatewayKind.BLIND)
    worker.send_signal(jump)
    wait_for_the_jump(stage, WORKER, jump)
    now = database_now()
    stage.enqueue(
        GatewayKind.BLIND, ["good-later"], due_at=now + timedelta(seconds=1), expires_at=now + timedelta(minutes=30)
    )
    stage.settle(GatewayKind.BLIND)
    row = stage.rows(GatewayKind.BLIND)["good-later"]
    assert row["status"] == "SENT"
    assert row["due_at"] <= row["claimed_at"] <= row["sent_at"] <= database_now()
    assert stage.disagreements() == []
