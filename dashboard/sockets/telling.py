"""The loop that tells clients of orders' changes and ends those who may listen no longer. Owns what is emitted to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import psycopg2
import structlog

from dashboard.sockets.changes import Change, Reader
from dashboard.sockets.clients import Client, Clients
from dashboard.sockets.rooms import ORDERS, room_of

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 0.25
CALLERS_EVERY_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 3.0

UPDATED = "order.updated"
# Lists alone: more happened than can be told; read them anew.
STALE = "orders.stale"

Answer = TypeVar("Answer")


class Door(Protocol):
    """What the loop needs of the server."""

    async def emit(self, event: str, data: Mapping[str, Any], clients: Sequence[Client]) -> None: ...

    async def end(self, client: Client) -> None: ...

    async def sweep(self) -> None: ...


class Teller:
    """One per process; `run` until it is cancelled."""

    def __init__(self, clients: Clients, door: Door, reader: Reader) -> None:
        self._clients = clients
        self._door = door
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="changes")
        self._callers_at = 0.0
        # Whether everybody is still to be told how their orders stand, after more than can be told one by one.
        self._owes_all = False
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
        await self._ask(self._reader.close)
        self._thread.shutdown(wait=False)

    async def _lost(self, pause: float) -> float:
        """Begin with a new connection; whoever may listen no longer is asked before anything is told."""
        self.has_database, self._callers_at, self._owes_all = False, 0.0, True
        await self._ask(self._reader.close)
        return min(2 * pause, LONGEST_BACKOFF_SECONDS)

    async def _turn(self) -> None:
        if time.monotonic() - self._callers_at > CALLERS_EVERY_SECONDS:
            await self._end_who_may_not_listen()
        found = await self._ask(self._reader.look)
        self._owes_all = self._owes_all or found.everything
        for change in found.rows:
            await self._tell(change)
        if self._owes_all:
            await self._tell_all()

    async def _end_who_may_not_listen(self) -> None:
        await self._door.sweep()
        callers = self._clients.callers()
        if callers:
            over = await self._ask(lambda: self._reader.ended(callers))
            for client in self._clients.of(over):
                await self._door.end(client)
        self._callers_at = time.monotonic()

    async def _tell(self, change: Change) -> None:
        here = self._clients.waiting_for(change.order_id, change.version)
        lists = self._clients.in_room(ORDERS) - self._clients.in_room(room_of(change.order_id))
        await self._emit(UPDATED, change.payload, change, [*here, *lists])
        if here:
            await self._emit("order:updated", change.payload, change, here)
            if legacy := _as_dispatch(change):
                await self._emit("dispatch:updated", legacy, change, here)

    async def _tell_all(self) -> None:
        """How every order stands that somebody listens to; who knows it already is not told again."""
        orders = self._clients.orders()
        present = await self._ask(lambda: self._reader.present(orders)) if orders else []
        self._owes_all = False
        for change in present:
            if here := self._clients.waiting_for(change.order_id, change.version):
                await self._emit(UPDATED, change.payload, change, here)
        if lists := self._clients.in_room(ORDERS):
            await self._door.emit(STALE, {}, [*lists])

    async def tell_present(self, client: Client, change: Change) -> None:
        """How an order stands, to whoever has just joined its room; nothing where a later change was quicker."""
        if client.take(change.order_id, change.version):
            await self._emit(UPDATED, change.payload, change, [client])

    async def _emit(self, event: str, data: Mapping[str, Any], change: Change, clients: Sequence[Client]) -> None:
        if clients:
            await self._door.emit(event, data, clients)
        log.info(
            "SOCKET_EMIT",
            socket_event=event,
            trace_id=change.trace_id,
            order_id=str(change.order_id),
            version=change.version,
            receivers=len(clients),
        )

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer of the thread that has the connection."""
        answer: Awaitable[Answer] = asyncio.get_running_loop().run_in_executor(self._thread, question)
        return await answer


def _as_dispatch(change: Change) -> Mapping[str, Any] | None:
    """The change as the oldest clients know it; None where the courier has no dispatch of the order."""
    payload = change.payload
    status = payload.get("dispatchStatus")
    if not status or not payload.get("dispatchId"):
        return None
    return {
        "dispatchId": payload["dispatchId"],
        "orderId": str(change.order_id),
        "status": status,
        "dispatchStatus": status,
        "traceId": change.trace_id,
    }
