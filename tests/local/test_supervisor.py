"""The supervisor keeps its children running, and none of them outlives it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.lateness import within

_PROGRAM = """
import sys
from dispatchlog.supervisor import Child, Supervisor
children = eval(sys.argv[1])
sys.exit(Supervisor(children, **eval(sys.argv[2])).run())
"""
_SAYS_PID_AND_WAITS = "import os, time; print('pid', os.getpid()); time.sleep(600)"
_SAYS_WHEN_IT_STOPS = """
import signal, sys, time
def stop(*_):
    time.sleep(0.2)
    print('stopping')
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print('ready')
time.sleep(600)
"""
_IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(600)"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a supervisor in a process of its own, since it takes over the signals of the process it runs in."""
    started = []

    def run(*stages: list[dict[str, object]], **options: object) -> subprocess.Popen[str]:
        text = ", ".join("[" + ", ".join(f"Child(**{child!r})" for child in stage) + "]" for stage in stages)
        given = ", ".join(f"{name!r}: {value}" for name, value in options.items())
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, f"[{text}]", f"{{{given}}}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=120)
        assert process.stdout is not None
        process.stdout.close()


def child(name: str, code: str, **more: object) -> dict[str, object]:
    return {"name": name, "argv": [sys.executable, "-c", code], **more}


def read_until(process: subprocess.Popen[str], *wanted: str) -> list[str]:
    """Lines up to the one that completes `wanted`; the test's own timeout ends a wait that is in vain."""
    missing = list(wanted)
    lines: list[str] = []
    assert process.stdout is not None
    while missing:
        line = process.stdout.readline()
        assert line, f"the output ended without {missing}: {lines}"
        lines.append(line.rstrip("\n"))
        missing = [text for text in missing if text not in line]
    return lines


def pids_in(lines: list[str]) -> list[int]:
    return [int(line.split("pid ")[1]) for line in lines if "pid " in line]


def ended(pid: int, *, within_seconds: float = 60.0) -> bool:
    ends = time.monotonic() + within_seconds
    while time.monotonic() < ends:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def rest(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=120)
    return output.splitlines()


def test_lines_carry_the_name_of_their_child(start: Start) -> None:
    process = start([child("web", "print('one'); print('two')", restart=False), child("worker-1", "pass")])
    lines = read_until(process, "two")
    assert "web        | one" in lines
    assert "web        | two" in lines


def test_errors_of_children_stay_apart_from_their_output() -> None:
    says_both = "import sys; print('out'); print('err', file=sys.stderr)"
    program = [sys.executable, "-c", _PROGRAM, f"[[Child(**{child('a', says_both, restart=False)!r})]]", "{}"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert "a          | out" in ended.stdout
    assert "err" not in ended.stdout
    assert "a          | err" in ended.stderr
    assert "a ended with code 0; stopping the rest" in ended.stderr


def test_children_see_their_own_environment(start: Start) -> None:
    code = "import os; print(os.environ['ROLE'], 'PATH' in os.environ)"
    lines = read_until(start([child("a", code, env={"ROLE": "clock"})]), "clock")
    assert any(line.endswith("clock True") for line in lines)


def test_a_child_that_dies_is_started_again(start: Start) -> None:
    process = start([child("worker", _SAYS_PID_AND_WAITS)])
    [first] = pids_in(read_until(process, "pid "))
    os.kill(first, signal.SIGKILL)
    lines = read_until(process, "worker was killed by SIGKILL; restarting in 0.2 s", "pid ")
    assert pids_in(lines) != [first]


def test_a_child_that_keeps_dying_is_started_ever_more_slowly(start: Start) -> None:
    process = start([child("worker", "raise SystemExit(3)")])
    lines = read_until(process, "in 0.2 s", "in 0.4 s", "in 0.8 s")
    assert all("ended with code 3" in line for line in lines)


def test_what_a_dead_child_leaves_behind_is_ended_before_the_restart(start: Start) -> None:
    code = (
        "import os, subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('pid', left.pid)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = start([child("worker", code)])
    first, *_ = pids_in(read_until(process, "pid ", "restarting"))
    assert ended(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stages_are_stopped_one_by_one_in_reverse_order(start: Start, number: signal.Signals) -> None:
    process = start(*([child(name, _SAYS_WHEN_IT_STOPS)] for name in ("first", "second", "third")))
    read_until(process, "first      | ready", "second     | ready", "third      | ready")
    process.send_signal(number)
    stops = [line.split()[0] for line in rest(process) if "stopping" in line]
    assert stops == ["third", "second", "first"]
    assert process.returncode == 0


def test_the_children_of_a_stage_are_stopped_together(start: Start) -> None:
    slow = _SAYS_WHEN_IT_STOPS.replace("0.2", "1.0")
    process = start([child(f"worker-{number}", slow) for number in range(4)])
    read_until(process, *(f"worker-{number}   | ready" for number in range(4)))
    with within(3.0):
        process.terminate()
        rest(process)


def test_a_child_that_does_not_stop_is_killed_after_the_grace_period(start: Start) -> None:
    process = start([child("stubborn", _IGNORES_SIGTERM)], grace_seconds=0.5)
    read_until(process, "ready")
    process.terminate()
    assert any("did not stop in time; killing it" in line for line in rest(process))
    assert process.returncode == 0


def test_a_second_signal_does_not_wait_for_the_grace_period(start: Start) -> None:
    process = start([child("stubborn", _IGNORES_SIGTERM)], grace_seconds=60)
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    rest(process)
    assert process.returncode == 0


def test_the_end_of_a_child_that_is_not_restarted_ends_the_run(start: Start) -> None:
    process = start(
        [child("other", _SAYS_PID_AND_WAITS), child("once", "import time; time.sleep(0.5); exit(7)", restart=False)]
    )
    lines = rest(process)
    assert process.returncode == 7
    assert all(ended(pid) for pid in pids_in(lines))


def test_what_the_children_need_is_looked_after_until_they_have_ended(start: Start) -> None:
    slow = _SAYS_WHEN_IT_STOPS.replace("time.sleep(0.2)", "print('asked'); time.sleep(1.0)")
    process = start([child("slow", slow)], upkeep="lambda: print('looked after', flush=True)")
    read_until(process, "slow       | ready")
    process.terminate()
    read_until(process, "slow       | asked")
    assert "looked after" in read_until(process, "slow       | stopping")


def test_the_loss_of_what_they_need_ends_the_run_without_much_waiting(start: Start, tmp_path: Path) -> None:
    lost = f"lambda: 9 if __import__('os').path.exists({str(tmp_path / 'lost')!r}) else None"
    process = start([child("stubborn", _IGNORES_SIGTERM)], upkeep=lost, grace_seconds=600)
    read_until(process, "ready")
    (tmp_path / "lost").touch()
    assert any("stubborn did not stop in time; killing it" in line for line in rest(process))
    assert process.returncode == 9


def test_a_program_that_does_not_exist_is_reported(start: Start) -> None:
    process = start([{"name": "missing", "argv": ["no-such-program"], "restart": False}])
    assert any("cannot run no-such-program" in line for line in rest(process))
    assert process.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_no_child_outlives_a_killed_supervisor(start: Start) -> None:
    process = start([child("a", _SAYS_PID_AND_WAITS), child("b", _SAYS_PID_AND_WAITS)])
    lines = read_until(process, "a          | pid", "b          | pid")
    os.kill(pids_in(lines)[0], signal.SIGKILL)  # the child started again later must be on the leash as well
    pids = pids_in(lines)[1:] + pids_in(read_until(process, "| pid"))
    process.kill()
    process.wait()
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)


def test_ctrl_c_in_a_terminal_reaches_only_the_supervisor(tmp_path: Path) -> None:
    code = "import os, signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: print('INTERRUPTED'))\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('asked to stop')))\nprint('ready')\n"
    code += "while True: time.sleep(0.1)\n"
    text = f"[[Child('a', {[sys.executable, '-c', code]!r})]]"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", _PROGRAM, text, "{}"])  # noqa: S606  a real terminal needs a real fork
    output = b""
    while b"ready" not in output:
        output += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 4096):
            output += chunk
    except OSError:  # how Linux reports the end of a terminal
        pass
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"asked to stop" in output
    assert b"INTERRUPTED" not in output
    assert b"\x1b[36ma " in output  # in a terminal the names are coloured
