"""Proof that this process lives: one session advisory lock per worker process, a heartbeat, and the fence that senders
ask before they write. Owns the lock's connection and the `dispatch_workers` row; claims and sends nothing.

kill -9 frees the lock within milliseconds. A free lock proves death only while PostgreSQL and the network stayed up, so
a sender whose lock may be lost must not send (`check`), and a rescuer of marked rows waits one send deadline.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import structlog

from dispatchlog.engine.database import connect_arguments, connected, execute, fetch_dicts
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.errors import FenceLost, PoolerInBetween
from dispatchlog.engine.identity import require_known

log = structlog.get_logger(__name__)

# First key of every worker's advisory lock; the second is the worker's number.
LOCK_CLASS = 7_240_116
# Both keys of the lock that the one scheduler holds that leads.
LEADER_LOCK = (7_240_120, 1)
HEARTBEAT_SECONDS = 2.0
# Three heartbeats: older than this, the process may have been paused and others may have taken over.
STALE_SECONDS = 3 * HEARTBEAT_SECONDS

_open_presences: weakref.WeakSet[Presence] = weakref.WeakSet()


def boot_id() -> str:
    """Names this boot of this machine; empty where the system does not say."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def process_start(pid: int) -> str:
    """When a process of this machine started, in clock ticks since boot (proc(5), field 22); empty when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def note_if_gone(worker_id: int) -> None:
    """Keep as `stopped_at` that a worker's process of this host is gone for good, when that is first seen.

    Its lock says nothing here: a lock is also lost by a process that lives. Processes of other hosts stay unknown.
    """
    with connected():
        known = fetch_dicts("SELECT * FROM dispatch_workers WHERE id = %s AND stopped_at IS NULL", (worker_id,))
        if known and _is_gone(known[0]):
            execute(
                "UPDATE dispatch_workers SET stopped_at = clock_timestamp() WHERE id = %s AND stopped_at IS NULL",
                (worker_id,),
            )


# Newest first, for the old ones were dealt with when they were young.
_OPEN_HERE = """
SELECT id, host, boot_id, pid, process_started FROM dispatch_workers
WHERE host = %s AND stopped_at IS NULL AND id <> %s ORDER BY id DESC LIMIT 1000
"""
# Whoever holds the lock lives, whatever its host is called.
_GONE_HERE = """
UPDATE dispatch_workers SET stopped_at = clock_timestamp()
WHERE id = ANY (%s) AND stopped_at IS NULL AND pg_try_advisory_xact_lock_shared(%s, id)
"""


def _note_all_gone_here(cursor: Any, *, but: int) -> None:
    """Keep `stopped_at` of every worker of this host whose process is gone: after a power failure only the host itself can
    know it, and doubts about what they sent can be settled once it is known."""
    cursor.execute(_OPEN_HERE, (socket.gethostname(), but))
    names = [column.name for column in cursor.description]
    known = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if gone := [worker["id"] for worker in known if _is_gone(worker)]:
        cursor.execute(_GONE_HERE, (gone, LOCK_CLASS))


def _is_gone(worker: Mapping[str, Any]) -> bool:
    if worker["host"] != socket.gethostname() or not worker["boot_id"]:
        return False
    if worker["boot_id"] != boot_id():
        return True  # this host has booted since: nothing of that boot runs any more
    return process_start(worker["pid"]) != worker["process_started"]


class Presence:
    """One process's worker number and its lock. Thread-safe. A lost lock is replaced under a new number.

    `lanes` are the names of the lanes it works on, None standing for all.
    """

    def __init__(self, url: str, *, role: str, kind: str = "worker", lanes: Sequence[str] | None = None) -> None:
        self._url = url
        self._role = role
        self._kind = kind
        self._lanes = None if lanes is None else list(lanes)
        self._guard = threading.Lock()  # serialises use of the connection: heartbeat and peek
        self._stop = threading.Event()
        self._connection: Any = None
        self._socket: socket.socket | None = None
        self._worker_id = 0
        self._confirmed = 0.0
        self._thread: threading.Thread | None = None

    def open(self) -> int:
        """Take a new worker number and its lock, start the heartbeat; the number comes back.

        Raises:
            PoolerInBetween: the session is not ours alone, so its lock would prove nothing.
            LogElsewhere: the log was restored or copied, and nobody has said so yet.
            psycopg2.OperationalError: PostgreSQL cannot be reached.
        """
        with self._guard:
            self._acquire()
        _open_presences.add(self)
        self._thread = threading.Thread(target=self._beat, name="presence", daemon=True)
        self._thread.start()
        return self._worker_id

    @property
    def worker_id(self) -> int:
        return self._worker_id

    def check(self, worker_id: int) -> None:
        """Return if worker number `worker_id` is still provably held; costs microseconds.

        Raises:
            FenceLost: the lock was lost or replaced, or its last proof is too old to send on.
        """
        if not self._guard.acquire(timeout=1.0):
            raise FenceLost("the worker's lock has not answered for a second")
        try:
            if worker_id != self._worker_id or self._connection is None:
                raise FenceLost(f"worker {worker_id} lost its lock")
            if boottime() - self._confirmed > STALE_SECONDS:
                self._confirm()  # paused a while: prove it anew before anything leaves
            elif self._server_has_spoken():
                self._confirm()
        except psycopg2.Error as error:
            self._drop()
            raise FenceLost(f"worker {worker_id} lost its lock") from error
        finally:
            self._guard.release()

    def close(self) -> None:
        """Say goodbye and free the lock: after this the rows this worker still holds may be rescued at once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=HEARTBEAT_SECONDS + 1)
        with self._guard:
            if self._connection is not None:
                with contextlib.suppress(psycopg2.Error), self._connection.cursor() as cursor:
                    cursor.execute(
                        "UPDATE dispatch_workers SET last_seen_at = now(), stopped_at = now() WHERE id = %s",
                        (self._worker_id,),
                    )
            self._drop()

    def _acquire(self) -> None:
        connection = psycopg2.connect(
            self._url, **connect_arguments(self._role, name=f"dispatchlog {self._kind} lock", statement_timeout_ms=5000)
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            require_known(cursor, by=self._kind)
            cursor.execute("SELECT pg_backend_pid(), nextval('dispatch_worker_ids')")
            backend_pid, worker_id = cursor.fetchone()
            if backend_pid != connection.info.backend_pid:
                connection.close()
                raise PoolerInBetween(
                    "a transaction pooler sits between the worker and PostgreSQL: connect the worker directly"
                )
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, worker_id))
            if not cursor.fetchone()[0]:
                raise FenceLost(f"worker number {worker_id} is held by somebody else")
            cursor.execute(
                "INSERT INTO dispatch_workers (id, host, pid, boot_id, process_started, kind, lanes)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    worker_id,
                    socket.gethostname(),
                    os.getpid(),
                    boot_id(),
                    process_start(os.getpid()),
                    self._kind,
                    self._lanes,
                ),
            )
            _note_all_gone_here(cursor, but=worker_id)
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._socket.setblocking(False)
        self._connection, self._worker_id, self._confirmed = connection, worker_id, boottime()

    def _confirm(self) -> None:
        with self._connection.cursor() as cursor:
            asked = boottime()
            cursor.execute("UPDATE dispatch_workers SET last_seen_at = now() WHERE id = %s", (self._worker_id,))
        self._confirmed = asked

    def _server_has_spoken(self) -> bool:
        """Whether something unasked waits on the socket: the end of the session, or its announcement."""
        try:
            assert self._socket is not None  # noqa: S101 - set together with the connection
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with self._guard:
                if self._stop.is_set():
                    return
                try:
                    if self._connection is None:
                        self._acquire()
                        log.info("WORKER_LOCK_REACQUIRED", worker_id=self._worker_id)
                    else:
                        self._confirm()
                except (psycopg2.Error, FenceLost, OSError) as error:
                    log.warning("WORKER_LOCK_LOST", worker_id=self._worker_id, error=type(error).__name__)
                    self._drop()

    def _forget_in_child(self) -> None:
        # Closing the connection here would end the parent's session; keeping the socket would keep a dead parent's
        # lock. So the child's copy of the descriptor is pointed elsewhere, and libpq's goodbye goes to /dev/null.
        if self._connection is not None and not self._connection.closed:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, self._connection.fileno())
            os.close(nowhere)
        if self._socket is not None:
            self._socket.close()
        self._worker_id, self._socket = 0, None


def _forget_all_in_child() -> None:
    for presence in list(_open_presences):
        presence._forget_in_child()


os.register_at_fork(after_in_child=_forget_all_in_child)
