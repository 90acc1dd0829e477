"""Owns losing a worker's host for good while it holds dispatches, and how long the others take to notice. Mends nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg2

from chaos.hosts.world import HostsWorld
from chaos.lanes import KINDS

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 150.0

_HELD = " UNION ALL ".join(
    f"SELECT t.id FROM {kind.table} t JOIN dispatch_workers w ON w.id = t.claimed_by"
    f" WHERE t.status = 'QUEUED' AND w.host = %(host)s"
    for kind in KINDS
)
# Who took them over last, after the loss.
_TAKEN = """
SELECT extract(epoch FROM max(at) - %(lost_at)s) FROM dispatch_transitions
WHERE dispatch_id = ANY (%(ids)s::uuid[]) AND actor LIKE 'rescuer:%%' AND at > %(lost_at)s
"""


class LostWorker:
    """One host that never comes back. `held`: its dispatches; `seconds` until the last of them was taken over."""

    def __init__(self, world: HostsWorld, place: str) -> None:
        self.place = place
        self.held: list[str] = []
        self.seconds: float | None = None
        self._world = world
        self._lost_at: datetime | None = None

    def begin(self) -> None:
        """Lose the host in a moment in which it holds something.

        Raises:
            TimeoutError: it never held anything.
        """
        with closing(psycopg2.connect(self._world.database_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for _ in self._while_patient("the worker holds nothing"):
                if not self._ids(cursor):
                    continue
                self._world.lose(self.place)
                self.held = self._ids(cursor)
                if self.held:
                    cursor.execute("SELECT clock_timestamp()")
                    self._lost_at = cursor.fetchone()[0]
                    return
                self._world.boot(self.place)

    def wait(self) -> None:
        """Come back when the others have taken over all that it held.

        Raises:
            TimeoutError: they have not.
        """
        with closing(psycopg2.connect(self._world.database_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for _ in self._while_patient(f"{len(self.held)} dispatches of {self.place} were not taken over"):
                if set(self._ids(cursor)).isdisjoint(self.held):
                    cursor.execute(_TAKEN, {"ids": self.held, "lost_at": self._lost_at})
                    self.seconds = round(float(cursor.fetchone()[0]), 1)
                    return

    def _ids(self, cursor: Any) -> list[str]:
        cursor.execute(_HELD, {"host": self.place})
        return [str(row[0]) for row in cursor.fetchall()]

    def _while_patient(self, otherwise: str) -> Iterator[None]:
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends:
            self._world.tend()
            yield
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(otherwise)
