"""Owns child processes: starts, prefixes, restarts and stops them. It never knows what a child does."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, BinaryIO

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 5.0
SETTLED_AFTER_SECONDS = 10.0
HOPELESS_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_COLOURS = (36, 33, 32, 35, 34, 31)

# The leash runs in the child's place and then becomes it, so the pid stays. It is a program and not a `preexec_fn`
# because code between fork and exec can deadlock as soon as this process has threads. The kernel forgets the death
# signal when the user changes, so it is set after that; imports come before, for the other user may not be able to
# read Python. Python ignores SIGPIPE and an ignored signal survives exec, so it is given back. Asking for the parent
# last closes the gap in which it may have died already.
_LEASH = """
import os, signal, sys
parent, death_signal, user, group = map(int, sys.argv[1:5])
libc = None
if sys.platform == "linux":
    import ctypes
    libc = ctypes.CDLL(None)
if user >= 0:
    os.setgroups([]); os.setgid(group); os.setuid(user)
if libc:
    libc.prctl(1, death_signal, 0, 0, 0)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if os.getppid() != parent:
    sys.exit("the parent process is gone")
try:
    os.execvp(sys.argv[5], sys.argv[5:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[5]}: {error}")
"""


@dataclass(frozen=True)
class Account:
    """The system account a child runs as; only root can ask for one."""

    user_id: int
    group_id: int


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: int | IO[bytes] | None = None,
    errors: int | IO[bytes] | None = None,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own; on Linux the kernel sends it `death_signal` when this process dies.

    Both output streams go to `output`, or the errors to `errors`. A program that cannot be run ends with code 1 and the
    reason among its errors.
    Only the direct child is on the leash: one with children of its own must end them when it gets the signal.
    """
    user, group = (account.user_id, account.group_id) if account else (-1, -1)
    leash = [sys.executable, "-I", "-S", "-c", _LEASH, *map(str, (os.getpid(), int(death_signal), user, group))]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  the callers' own programs, never a shell
            [*leash, *argv],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if errors is None and output is not None else errors,
            start_new_session=True,
        )

    if threading.current_thread() is threading.main_thread():
        return start()
    return _start_from_a_lasting_thread(start)


def _start_from_a_lasting_thread(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The kernel ties the leash to the *thread* that started the child, so that thread stays as long as the child."""
    started: Future[subprocess.Popen[bytes]] = Future()

    def hold() -> None:
        try:
            process = start()
        except BaseException as error:  # noqa: BLE001  handed to the caller, who is waiting for it
            started.set_exception(error)
        else:
            started.set_result(process)
            process.wait()

    threading.Thread(target=hold, name="leash", daemon=True).start()
    return started.result()


@dataclass(frozen=True)
class Child:
    """One program to keep running. `env` is added to this process's environment.

    With `restart=False` its end, whatever the code, ends the whole run. With `once=True` an end without error is the
    end of this child alone.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    once: bool = False


class Supervisor:
    """Keeps children running until SIGINT or SIGTERM; a second signal stops the waiting and kills.

    Args:
        stages: children in the order of starting. The last stage is stopped first, and the children of one together.
        grace_seconds: how long a child may take to end after SIGTERM before SIGKILL.
        output, errors: where the children's lines go, by default the process's own two streams; `output` alone takes both.
        upkeep: called all the time, also while children stop, for what they need to go on. An exit code from it says
            that this is lost: the run ends with it, and no child is waited for long.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Child]],
        *,
        grace_seconds: float = 10.0,
        upkeep: Callable[[], int | None] = lambda: None,
        output: BinaryIO | None = None,
        errors: BinaryIO | None = None,
    ) -> None:
        names = [child.name for stage in stages for child in stage]
        if len(set(names)) != len(names):
            raise ValueError(f"child names must differ: {', '.join(names)}")
        self._printer = _Printer(
            output or sys.stdout.buffer,
            errors or output or sys.stderr.buffer,
            width=max(map(len, [*names, "supervisor"])),
        )
        self._stages = [[_Running(child, self._printer) for child in stage] for stage in stages]
        self._grace_seconds = grace_seconds
        self._upkeep = upkeep
        self._signals = 0

    def run(self) -> int:
        """Start all, watch them, stop all. Returns 0 after a signal, else the code of the child that ended the run.

        Must be called in the main thread, the only one that receives signals.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return self._watch()
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1

    def _watch(self) -> int:
        everyone = [running for stage in self._stages for running in stage]
        for running in everyone:
            if self._signals:
                return 0
            running.start()
        while not self._signals:
            for look in [self._look_after, *(running.check for running in everyone)]:
                code = look()
                if code is not None:
                    return code
            # Plain polling: an Event set by a signal handler can deadlock with the wait it interrupts.
            time.sleep(_POLL_SECONDS)
        return 0

    def _look_after(self) -> int | None:
        code = self._upkeep()
        if code is not None:
            self._grace_seconds = min(self._grace_seconds, HOPELESS_GRACE_SECONDS)
        return code

    def _stop_all(self) -> None:
        for stage in reversed(self._stages):
            for running in stage:
                running.ask_to_stop()
            began = time.monotonic()
            while self._signals < 2 and any(running.alive for running in stage):
                self._look_after()  # a child may need it to put its work away
                if time.monotonic() >= began + self._grace_seconds:
                    break
                time.sleep(_POLL_SECONDS)
            for running in stage:
                running.finish()


class _Running:
    """One child's current process, its back-off and the threads that copy its output."""

    def __init__(self, child: Child, printer: _Printer) -> None:
        self._child = child
        self._printer = printer
        self._process: subprocess.Popen[bytes] | None = None
        self._copiers: list[threading.Thread] = []
        self._backoff = FIRST_BACKOFF_SECONDS
        self._started_at = 0.0
        self._start_at = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        # A child's Python would buffer its output, because it writes to a pipe: lines would come minutes late.
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._child.env}
        self._process = process = spawn(self._child.argv, env=env, output=subprocess.PIPE, errors=subprocess.PIPE)
        self._started_at = time.monotonic()
        self._copiers = [
            threading.Thread(target=self._copy, args=(process.stdout, self._printer.write), daemon=True),
            threading.Thread(target=self._copy, args=(process.stderr, self._printer.write_error), daemon=True),
        ]
        for copier in self._copiers:
            copier.start()

    def check(self) -> int | None:
        """Restart the child if it has ended and its back-off is over; the exit code if its end ends the run."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._start_at:
                self.start()
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._release()
        if self._child.once and code == 0:
            self._start_at = math.inf
            return None
        if not self._child.restart:
            self._printer.write_error("supervisor", f"{self._child.name} {how_it_ended(code)}; stopping the rest")
            return code if code >= 0 else 128 - code
        if now - self._started_at >= SETTLED_AFTER_SECONDS:
            self._backoff = FIRST_BACKOFF_SECONDS
        self._printer.write_error(
            "supervisor", f"{self._child.name} {how_it_ended(code)}; restarting in {self._backoff:.1f} s"
        )
        self._start_at = now + self._backoff
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF_SECONDS)
        return None

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def finish(self) -> None:
        """Kill what is still there and print what it still had to say."""
        if self._process is None:
            return
        if self.alive:
            self._printer.write_error("supervisor", f"{self._child.name} did not stop in time; killing it")
            self._process.kill()
        self._process.wait()
        self._release()

    def _release(self) -> None:
        """A process that died may leave its own children behind, still working: they go before it is replaced."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        for copier in self._copiers:
            # Not for ever: a grandchild in a session of its own may hold the pipe open.
            copier.join(timeout=2.0)
        self._process, self._copiers = None, []

    def _copy(self, stream: IO[bytes] | None, write: Callable[[str, str], None]) -> None:
        if stream is None:
            return
        with stream:
            for line in stream:
                write(self._child.name, line.rstrip(b"\r\n").decode(errors="replace"))


class _Printer:
    """Writes whole lines of many children, each with the child's name in front: output to one stream, errors to another."""

    def __init__(self, output: BinaryIO, errors: BinaryIO, *, width: int) -> None:
        self._output = output
        self._errors = errors
        self._width = width
        self._colours: dict[str, int] = {}
        self._next_colour = itertools.cycle(_COLOURS)
        self._coloured = output.isatty() and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        self._write(self._output, name, line)

    def write_error(self, name: str, line: str) -> None:
        self._write(self._errors, name, line)

    def _write(self, stream: BinaryIO, name: str, line: str) -> None:
        with self._lock:
            text = f"{self._prefix(name)}{line}\n"
            try:
                stream.write(text.encode())
                stream.flush()
            except (OSError, ValueError):
                # Whoever read our output is gone. The children's pipes must be drained all the same, or they block.
                pass

    def _prefix(self, name: str) -> str:
        prefix = f"{name:<{self._width}} | "
        if not self._coloured:
            return prefix
        colour = self._colours.get(name) or self._colours.setdefault(name, next(self._next_colour))
        return f"\x1b[{colour}m{prefix}\x1b[0m"


def how_it_ended(code: int) -> str:
    """An exit code in words, a signal by its name."""
    return f"ended with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
