"""The local PostgreSQL survives what happens to a machine: stops, crashes, stale files and strangers on its port."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from dispatchlog.local.directory import LocalServerError
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.server import gone, processes_in

# Exactly what a supervisor does that holds a server and is then killed.
_HOLDER = """
import sys, time
from pathlib import Path
from dispatchlog.local.postgres import LocalPostgres
server = LocalPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(tmp_path / "postgres")
    yield server
    server.stop()


def execute(server: LocalPostgres, *statements: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.url("postgres"))) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


def postmaster_pid_file(tmp_path: Path) -> Path:
    return tmp_path / "postgres" / "data" / "postmaster.pid"


def test_a_started_server_answers_and_a_stopped_one_is_gone(server: LocalPostgres) -> None:
    server.start()
    pid = server.pid
    assert pid is not None
    assert execute(server, "SELECT current_user") == [("dispatchlog",)]

    server.stop()

    assert server.pid is None
    assert not psutil.pid_exists(pid)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(server.url("postgres"))


def test_starting_and_stopping_twice_is_harmless(server: LocalPostgres) -> None:
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()


def test_data_port_and_password_outlive_a_restart(server: LocalPostgres) -> None:
    server.start()
    url = server.url()
    execute(server, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)")
    server.stop()

    server.start()

    assert server.url() == url
    assert execute(server, "SELECT id FROM kept") == [(1,)]


def test_the_defaults_are_durable(server: LocalPostgres) -> None:
    server.start()
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert execute(server, f"SHOW {setting}") == [("on",)]


def test_settings_override_the_defaults(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path / "postgres", settings={"fsync": "off", "max_connections": "17"}) as server:
        assert execute(server, "SHOW fsync") == [("off",)]
        assert execute(server, "SHOW max_connections") == [("17",)]


def test_committed_data_survive_kill_9_while_a_query_still_runs(server: LocalPostgres) -> None:
    server.start()
    execute(server, "CREATE TABLE kept (id int)", "INSERT INTO kept SELECT generate_series(1, 1000)")
    with closing(psycopg2.connect(server.url("postgres"))) as busy, killed_at_the_end(busy):
        busy.cursor().execute("INSERT INTO kept VALUES (-1)")

        def spin() -> None:
            # A backend in a tight loop does not notice that its postmaster died.
            with pytest.raises(psycopg2.Error):
                busy.cursor().execute("DO $$ BEGIN LOOP END LOOP; END $$")

        thread = threading.Thread(target=spin, daemon=True)
        thread.start()
        time.sleep(0.2)

        server.kill()
        server.start()

        assert execute(server, "SELECT count(*), min(id) FROM kept") == [(1000, 1)]
        thread.join(timeout=120)
        assert not thread.is_alive()


@contextmanager
def killed_at_the_end(connection: psycopg2.extensions.connection) -> Iterator[None]:
    """However the test ends, the connection's backend does: nobody else would end a busy one without a postmaster."""
    backend = psutil.Process(connection.info.backend_pid)
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            backend.kill()  # psutil compares the time of its start: never another process of the same number


@pytest.mark.parametrize("owner", ["nobody", "an unrelated process", "an unrelated process of the same user"])
def test_a_stale_pid_file_does_not_keep_the_server_down(server: LocalPostgres, tmp_path: Path, owner: str) -> None:
    server.start()
    server.kill()
    unrelated = None
    if owner != "nobody":
        user = postmaster_pid_file(tmp_path).stat().st_uid if "same user" in owner else None
        unrelated = subprocess.Popen(["sleep", "60"], user=user, cwd="/")
        lines = postmaster_pid_file(tmp_path).read_text().splitlines()
        postmaster_pid_file(tmp_path).write_text("\n".join([str(unrelated.pid), *lines[1:]]))
    try:
        server.start()
        assert execute(server, "SELECT 1") == [(1,)]
        assert unrelated is None or unrelated.poll() is None
    finally:
        if unrelated:
            unrelated.kill()
            unrelated.wait()


def test_the_server_stops_cleanly_when_its_supervisor_is_killed_and_can_be_started_again(tmp_path: Path) -> None:
    holder, pid = hold(tmp_path)
    holder.kill()
    holder.wait()
    if sys.platform == "linux":
        assert gone(processes_in(tmp_path / "postgres" / "data", name="postgres"), within_seconds=60)
        assert "database system is shut down" in (tmp_path / "postgres" / "log").read_text()
    with LocalPostgres(tmp_path / "postgres") as server:
        assert server.pid != pid
        assert execute(server, "SELECT 1") == [(1,)]


def test_a_server_left_running_by_a_killed_supervisor_is_shut_down_first(tmp_path: Path) -> None:
    holder, pid = hold(tmp_path)
    # A stopped postmaster cannot obey the leash yet, so it is still there when the next supervisor comes.
    os.kill(pid, signal.SIGSTOP)
    holder.kill()
    holder.wait()
    threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
    with LocalPostgres(tmp_path / "postgres") as server:
        assert server.pid != pid
        assert execute(server, "SELECT 1") == [(1,)]
    assert "was not properly shut down" not in (tmp_path / "postgres" / "log").read_text()


def test_a_second_process_cannot_take_a_server_that_is_in_use(server: LocalPostgres, tmp_path: Path) -> None:
    server.start()
    second = LocalPostgres(tmp_path / "postgres")
    with pytest.raises(LocalServerError, match="another process runs the server"):
        second.start()
    assert second.url() == server.url()
    assert execute(server, "SELECT 1") == [(1,)]


def test_a_taken_port_is_left_to_its_owner(server: LocalPostgres, tmp_path: Path) -> None:
    server.start()
    before = server.url()
    server.stop()
    with closing(socket.create_server(("127.0.0.1", int((tmp_path / "postgres" / "port").read_text())))):
        server.start()
    assert server.url() != before
    assert execute(server, "SELECT 1") == [(1,)]


def test_a_server_whose_port_is_known_to_others_fails_rather_than_moves(server: LocalPostgres) -> None:
    server.start()
    url = server.url()
    server.kill()
    with (
        closing(socket.create_server(("127.0.0.1", server.port))),
        pytest.raises(LocalServerError, match="could not bind"),
    ):
        server.start(same_port=True)
    server.start(same_port=True)
    assert server.url() == url
    assert execute(server, "SELECT 1") == [(1,)]


def test_a_start_can_be_given_up_from_another_thread(server: LocalPostgres) -> None:
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(LocalServerError, match="given up"):
        server.start(cancelled=given_up)
    assert server.pid is None
    server.start()
    assert execute(server, "SELECT 1") == [(1,)]


def test_an_empty_pid_file_does_not_keep_the_server_down(server: LocalPostgres, tmp_path: Path) -> None:
    server.start()
    server.kill()
    postmaster_pid_file(tmp_path).write_text("")
    server.start()
    assert execute(server, "SELECT 1") == [(1,)]


def test_a_server_started_in_a_thread_outlives_that_thread(server: LocalPostgres) -> None:
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert execute(server, "SELECT 1") == [(1,)]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = LocalPostgres(tmp_path / "postgres", settings={"max_connections": "many"})
    with pytest.raises(LocalServerError, match='invalid value for parameter "max_connections"'):
        server.start()
    assert server.pid is None


def test_an_interrupted_initdb_is_done_again(server: LocalPostgres, tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data.new").mkdir(parents=True)
    (tmp_path / "postgres" / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert execute(server, "SELECT 1") == [(1,)]


def test_the_password_is_needed_and_readable_by_its_owner_alone(server: LocalPostgres, tmp_path: Path) -> None:
    server.start()
    password = tmp_path / "postgres" / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(server.url("postgres").replace(password.read_text(), "wrong"))


def test_a_directory_closed_to_others_is_made_passable_but_not_readable(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with LocalPostgres(closed / "postgres", settings={"fsync": "off"}) as server:
        assert execute(server, "SELECT 1") == [(1,)]
    assert stat.S_IMODE(closed.stat().st_mode) in (0o700, 0o701)


def test_ensuring_a_database_twice_makes_it_once(server: LocalPostgres) -> None:
    server.start()
    server.ensure_database("desk-1")
    server.ensure_database("desk-1")
    with closing(psycopg2.connect(server.url("desk-1"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == ("desk-1",)


def test_the_url_of_a_server_never_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError, match="no server has been started"):
        LocalPostgres(tmp_path / "postgres").url()


def hold(tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "postgres")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder.stdout:
        return holder, int(holder.stdout.readline())
