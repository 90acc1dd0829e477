"""Owns a whole installation whose servers may be killed: durable PostgreSQL, Valkey, dashboard, worker and stage."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from chaos.places import HOST
from chaos.world import wait_for_port
from dispatchlog.engine.database import configure, connected
from dispatchlog.local.directory import choose_port
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.server import end_process
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.service_tokens import SCOPES, create_token
from tests.engine.lane import APPLICATION_ROLE, owner
from tests.engine.processes import until
from tests.scenarios.faults.stage import PATIENCE_SECONDS, Stage, close_pool

DASHBOARD = "gunicorn"


@dataclass(frozen=True)
class Answer:
    """What the dashboard answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Installation:
    """Started by `start`, ended by `stop`; tests of one module share it and leave it whole."""

    directory: Path
    postgres: LocalPostgres = field(init=False)
    valkey: LocalValkey = field(init=False)
    stage: Stage = field(init=False)
    dashboard: subprocess.Popen[bytes] = field(init=False)
    worker: subprocess.Popen[bytes] = field(init=False)
    token: str = ""
    _port: int = 0
    _parts: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.postgres = LocalPostgres(
            self.directory / "postgres", settings={"max_connections": "80", "shared_buffers": "64MB"}
        )
        self.valkey = LocalValkey(self.directory / "valkey")

    def start(self) -> None:
        self._parts.enter_context(self.postgres)
        self._parts.enter_context(self.valkey)
        configure(self.new_database("kits"), role=APPLICATION_ROLE, name="test")
        self.token = create_token("faults", list(SCOPES), "test")
        self.stage = Stage(self.directory, self.new_database("faults"), self.valkey.url())
        self._parts.callback(self.stage.stop)
        self.stage.start()
        self.worker = self.stage.start_worker(deadline_seconds=30)  # what is held here must not end by itself
        self._port = choose_port(self.directory / "dashboard.port")
        self.dashboard = self.stage.start_process(
            DASHBOARD,
            "--config=python:dashboard.gunicorn_conf",
            "tests.scenarios.faults.impatient_dashboard:app",
            DATABASE_URL=self.kits_url,
            PORT=str(self._port),
            DISPATCHLOG_SECRET_KEY="a secret for tests only",
        )
        # Killed, gunicorn would leave the processes behind that serve the requests.
        self._parts.callback(end_process, self.dashboard, signals=(signal.SIGTERM,), seconds_each=10)
        wait_for_port(self._port)
        until(
            lambda: self.call("GET", "/readyz").status == 200, seconds=PATIENCE_SECONDS, what="the dashboard is ready"
        )

    def stop(self) -> None:
        """Everything, however far it came."""
        self._parts.close()

    def new_database(self, name: str) -> str:
        """The URL of a migrated database."""
        self.postgres.ensure_database(name)
        migrate_up(self.postgres.url(name))
        return self.postgres.url(name)

    @property
    def kits_url(self) -> str:
        """The dashboard's own database, so that the judge of the other one finds only what is judged."""
        return self.postgres.url("kits")

    def start_postgres(self) -> None:
        """Again where everybody looks for it; this process's dead connections are forgotten."""
        self.postgres.start(same_port=True)
        close_pool()

    def call(self, method: str, path: str, document: Any = None) -> Answer:
        """One request to the dashboard by whoever has a token and a cookie of an earlier day."""
        headers = {"Authorization": f"Bearer {self.token}", "Cookie": "dispatchlog=x"}
        with closing(http.client.HTTPConnection(HOST, self._port, timeout=120)) as connection:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, headers | {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read().decode())

    def accepted(self, method: str, path: str, document: Any) -> Any:
        """What a request answers that is repeated, as an upstream does, while the dashboard says 503."""
        answers: list[Answer] = []

        def taken() -> bool:
            answers.append(self.call(method, path, document))
            return answers[-1].status != 503

        until(taken, seconds=PATIENCE_SECONDS, what="the dashboard takes it")
        assert answers[-1].status == 200, answers[-1].body
        return answers[-1].json

    @contextmanager
    def frozen_postgres(self) -> Iterator[None]:
        """SIGSTOP to all of PostgreSQL: its kernel goes on acknowledging, and nobody answers."""
        server = psutil.Process(self.postgres.pid)
        server.suspend()  # before its children are looked for, so that there will be no more of them
        processes = [server, *server.children()]
        for process in processes[1:]:
            process.suspend()
        try:
            yield
        finally:
            for process in reversed(processes):
                process.resume()

    def kill_dashboard_workers(self) -> None:
        """kill -9 every process that serves requests; gunicorn replaces them."""
        for child in psutil.Process(self.dashboard.pid).children():
            child.kill()

    @contextmanager
    def kits(self) -> Iterator[Any]:
        """A cursor of the owner of the kits' tables, in a transaction that is given up at the end."""
        with closing(psycopg2.connect(self.kits_url, application_name="test")) as connection:
            yield connection.cursor()

    def backends(self, name: str, condition: str = "true") -> int:
        """How many sessions of this application PostgreSQL has, of those for which `condition` holds."""
        with self.kits() as cursor:
            cursor.execute(
                f"SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND {condition}", (name,)
            )
            return int(cursor.fetchone()[0])

    @contextmanager
    def every_connection_taken(self) -> Iterator[None]:
        """PostgreSQL has no room for anybody: the pools of worker and dashboard have lost theirs to others."""
        # A session that is just beginning has no name yet.
        theirs = "application_name IN ('dispatchlog worker', 'dispatchlog dashboard', '')"
        with connected(), self.kits() as cursor, ExitStack() as hoard:
            cursor.connection.autocommit = True  # else it would go on seeing the sessions of its beginning
            while True:
                with suppress(psycopg2.OperationalError):
                    while True:
                        hoard.enter_context(closing(psycopg2.connect(self.kits_url, application_name="hoard")))
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                    f" WHERE backend_type = 'client backend' AND {theirs}"
                )
                if cursor.fetchone() == (0,):
                    break
            yield

    @contextmanager
    def no_room_for(self, table: str, database_url: str) -> Iterator[None]:
        """The disk is full for this table, which nobody has written to yet: its file is the one that never has room.

        Its file must be empty, for that one also looks empty. The sessions that have it open end with the fault, before
        anybody can write to the true one.
        """
        name = database_url.rpartition("/")[2]
        with owner(database_url) as cursor:
            cursor.execute("CHECKPOINT")
            cursor.execute("SELECT pg_relation_filepath(%s), pg_relation_size(%s)", (table, table))
            path, size = cursor.fetchone()
            assert size == 0, table
        file = self.directory / "postgres" / "data" / path
        kept = file.rename(file.with_suffix(".kept"))
        file.symlink_to("/dev/full")
        try:
            yield
        finally:
            with owner(self.kits_url) as cursor:
                cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = %s AND application_name <> 'dispatchlog worker lock'",
                    (name,),
                )
                kept.rename(file)
                cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
