"""Owns one server program as our child: starting, stopping and killing it. What it serves is its subclass's business.

Everything lies in one directory, where `lock`, `password`, `port` and `log` mean the same for every server.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

import psutil

from dispatchlog.local.directory import (
    LocalServerError,
    choose_port,
    lock_directory,
    log_tail,
    open_log,
    port_is_free,
    read_note,
)
from dispatchlog.supervisor import Account, spawn

_PORTS_TRIED = 3


class LocalServer(ABC):
    """A server on 127.0.0.1 that never outlives this process, however that ends.

    Args:
        directory: made if missing.
        settings: the server's own settings, those given on top of the defaults.
    """

    name: ClassVar[str]
    start_timeout_seconds: ClassVar[float]
    stop_timeout_seconds: ClassVar[float]
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self._home = directory.absolute()
        self._settings = dict(settings)
        self._account: Account | None = None
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's pid while it runs as our child."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended by itself, a signal as a negative number; None while it runs and after `stop` or `kill`."""
        return self._process.poll() if self._process else None

    @property
    def port(self) -> int:
        """Its port, also in a process that did not start it.

        Raises:
            LocalServerError: the server has never been started in this directory.
        """
        return int(read_note(self._home / "port"))

    @property
    def log(self) -> Path:
        return self._home / "log"

    def start(self, *, same_port: bool = False, cancelled: threading.Event | None = None) -> None:
        """Come back when the server answers; at once if it runs already. Leftovers of a crash are ended first.

        Args:
            same_port: rather fail than take another port: others were told this one.
            cancelled: once set, the start is given up.

        Raises:
            LocalServerError: another living process runs it, or it did not come up; with the end of its log.
        """
        if self.pid is not None:
            return
        self._make_home()
        self._lock = self._lock or lock_directory(self._home)
        try:
            self._clear()
            self._launch(same_port=same_port, cancelled=cancelled or threading.Event())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ordinary shutdown: what is committed is on disk. Harmless if stopped."""
        if self._process is not None:
            end_process(self._process, signals=self.stop_signals, seconds_each=self.stop_timeout_seconds)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """SIGKILL, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _make_home(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)

    @abstractmethod
    def _clear(self) -> None:
        """End what a killed process left running and make what the first start needs; the lock is held."""

    @abstractmethod
    def _command(self, port: int) -> list[str]:
        """The server's command line for this port; what it reads besides is written."""

    @abstractmethod
    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether this process of the server answers by now."""

    def _launch(self, *, same_port: bool, cancelled: threading.Event) -> None:
        for _ in range(_PORTS_TRIED):
            port = self.port if same_port else choose_port(self._home / "port")
            with open_log(self.log) as log:
                self._process = spawn(
                    self._command(port),
                    cwd=self._home,
                    output=log,
                    account=self._account,
                    death_signal=self.stop_signals[0],
                )
            if self._wait_until_ready(self._process, cancelled):
                return
            if same_port or port_is_free(port):
                break
        raise LocalServerError(f"{self.name} did not start; see the end of {self.log}:\n{log_tail(self.log)}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes], cancelled: threading.Event) -> bool:
        """False if the server ended instead."""
        ends = time.monotonic() + self.start_timeout_seconds
        while process.poll() is None and time.monotonic() < ends:
            if self._is_ready(process):
                return True
            if cancelled.wait(0.01):
                raise LocalServerError(f"the start of {self.name} was given up")
        if process.poll() is None:
            raise LocalServerError(
                f"{self.name} does not answer after {self.start_timeout_seconds:.0f} s; "
                f"see the end of {self.log}:\n{log_tail(self.log)}"
            )
        return False


def end_process(process: subprocess.Popen[bytes], *, signals: tuple[signal.Signals, ...], seconds_each: float) -> None:
    """Send each signal in turn until our child ends; SIGKILL after the last."""
    for number in signals:
        process.send_signal(number)
        try:
            process.wait(seconds_each)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def processes_in(directory: Path, *, name: str) -> list[psutil.Process]:
    """Living processes of this name that work in the directory; the servers make their data directory their own."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == name and Path(process.cwd()) == directory.resolve() and not gone([process]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(processes: list[psutil.Process], *, within_seconds: float = 0.0) -> bool:
    """True once all have ended. A zombie has: its memory and files are released, whoever should reap it."""
    ends = time.monotonic() + within_seconds
    while True:
        if not any(_lives(process) for process in processes):
            return True
        if time.monotonic() >= ends:
            return False
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
