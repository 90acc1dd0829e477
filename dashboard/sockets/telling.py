"""The loop that tells clients of changes and ends those who may listen no longer. Owns when what is emitted to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import psycopg2
import structlog

from dashboard.sockets.changes import Connection, Reader
from dashboard.sockets.clients import Client, Clients
from dashboard.sockets.entry import Caller, ended
from dashboard.sockets.topics import Telling, Topic
from dispatchlog.settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 0.25
CALLERS_EVERY_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 3.0

Answer = TypeVar("Answer")


class Door(Protocol):
    """What the loop needs of the server."""

    async def emit(self, event: str, data: Mapping[str, Any], clients: Collection[Client]) -> None: ...

    async def end(self, client: Client) -> None: ...

    async def sweep(self) -> None: ...


class Teller:
    """One per process; `run` until it is cancelled."""

    def __init__(self, settings: Settings, clients: Clients, door: Door, topics: Sequence[Topic[Any]]) -> None:
        self._settings = settings
        self._clients = clients
        self._door = door
        self._connection = Connection(settings)
        self._readers = {topic.kind: Reader(self._connection, topic.source) for topic in topics}
        self._topics = {topic.kind: topic for topic in topics}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="changes")
        self._callers_at = 0.0
        # The topics of which everybody is still to be told how things stand, after more than can be told one by one.
        self._owed: set[str] = set()
        self.has_database = False

    async def run(self) -> None:
        pause = LOOK_EVERY_SECONDS
        while True:
            try:
                await self._turn()
                self.has_database, pause = True, LOOK_EVERY_SECONDS
            except psycopg2.Error as error:
                if self.has_database or pause == LOOK_EVERY_SECONDS:
                    log.warning("SOCKETS_WITHOUT_DATABASE", error=type(error).__name__)
                pause = await self._lost(pause)
            except Exception:
                # Without this loop every client would stand still and look as if it did not.
                log.exception("SOCKETS_FAILED")
                pause = await self._lost(pause)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        await self._ask(self._connection.close)
        self._thread.shutdown(wait=False)

    async def _lost(self, pause: float) -> float:
        """Begin with a new connection; whoever may listen no longer is asked before anything is told."""
        self.has_database, self._callers_at, self._owed = False, 0.0, {*self._topics}
        await self._ask(self._connection.close)
        return min(2 * pause, LONGEST_BACKOFF_SECONDS)

    async def _turn(self) -> None:
        if time.monotonic() - self._callers_at > CALLERS_EVERY_SECONDS:
            await self._door.sweep()
            await self._end_who_may_not_listen(self._clients.callers())
            self._callers_at = time.monotonic()
        for topic in self._topics.values():
            await self._look(topic)

    async def _look(self, topic: Topic[Any]) -> None:
        found = await self._ask(self._readers[topic.kind].look)
        if found.everything:
            self._owed.add(topic.kind)
        # After the changes were read: whoever was sent out before one of them was written does not hear of it.
        callers = {client.caller for change in found.rows for client in topic.hearing(change, self._clients)}
        await self._end_who_may_not_listen(callers)
        for change in found.rows:
            for telling in topic.tellings(change, self._clients):
                await self.tell(telling)
        if topic.kind in self._owed:
            await self._tell_how_all_stands(topic)

    async def _end_who_may_not_listen(self, callers: Collection[Caller]) -> None:
        if callers:
            over = await self._ask(lambda: self._who_ended(callers))
            for client in self._clients.of(over):
                await self._door.end(client)

    def _who_ended(self, callers: Collection[Caller]) -> set[Caller]:
        with self._connection.cursor() as cursor:
            return ended(self._settings, cursor, callers)

    async def _tell_how_all_stands(self, topic: Topic[Any]) -> None:
        subjects = self._clients.subjects(topic.kind)
        present = await self._ask(lambda: self._present(topic, subjects)) if subjects else ()
        self._owed.discard(topic.kind)
        for telling in topic.standing(present, self._clients):
            await self.tell(telling)

    def _present(self, topic: Topic[Any], subjects: Collection[Any]) -> Sequence[Any]:
        with self._connection.cursor() as cursor:
            return topic.present(cursor, subjects)

    async def tell(self, telling: Telling) -> None:
        if telling.clients:
            await self._door.emit(telling.event, telling.data, telling.clients)
        if telling.logged:
            log.info("SOCKET_EMIT", socket_event=telling.event, receivers=len(telling.clients), **telling.logged)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer of the thread that has the connection."""
        answer: Awaitable[Answer] = asyncio.get_running_loop().run_in_executor(self._thread, question)
        return await answer
