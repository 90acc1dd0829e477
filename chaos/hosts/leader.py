"""Owns cutting the leading scheduler off until the other one leads, and what the first did meanwhile. Mends it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg2

from chaos.hosts.world import HostsWorld
from dispatchlog.engine.presence import LEADER_LOCK

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 150.0
MENDED_SECONDS = 4.0
# What was on its way when the cable was cut arrives as it is mended: at most one act of each job, of a period that nobody
# else ran, for occurrences are unique. Begun anew, nothing may be.
IN_FLIGHT_SECONDS = 1.0

_LEADER = """
SELECT host(client_addr) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objid) = (%s, %s)
"""
_ACTS = "SELECT count(*) FROM schedule_occurrences WHERE started_by = %s AND started_at > %s"


class TakeOver:
    """One change of the leader. `seconds` from the cut until another leads; `late_acts`: what the first began later."""

    def __init__(self, world: HostsWorld) -> None:
        self._world = world
        self.seconds: float | None = None
        self.late_acts: int | None = None

    def happen(self) -> None:
        """Cut the leader off both ways, wait for the other one, mend, and look what the first still did."""
        world = self._world
        with closing(psycopg2.connect(world.database_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            first = self._wait_for_leader(cursor, but="")
            host, server = world.host(first), world.host("database")
            for ends in ((host, server), (server, host)):
                world.network.cut(*ends)
            began = time.monotonic()
            self._wait_for_leader(cursor, but=first)
            self.seconds = round(time.monotonic() - began, 1)
            for ends in ((host, server), (server, host)):
                world.network.mend(*ends)
            time.sleep(IN_FLIGHT_SECONDS)
            cursor.execute("SELECT clock_timestamp()")
            since = cursor.fetchone()[0]
            # It finds its session gone: it may stand by, and nothing else.
            time.sleep(MENDED_SECONDS)
            cursor.execute(_ACTS, (f"scheduler:{first}", since))
            self.late_acts = int(cursor.fetchone()[0])

    def _wait_for_leader(self, cursor: Any, *, but: str) -> str:
        by_address = {self._world.host(slot.place).address: slot.place for slot in self._world.schedulers}
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends:
            self._world.tend()
            cursor.execute(_LEADER, LEADER_LOCK)
            leaders = [by_address[address] for (address,) in cursor.fetchall() if by_address[address] != but]
            if leaders:
                return leaders[0]
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(f"no scheduler but {but or 'the first'} leads")
