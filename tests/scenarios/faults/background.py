"""Owns an event loop on a thread of its own, for what listens beside a test: started, listening, refusing, stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from chaos.proxy import HOST

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Background:
    """Connections that stand when it stops are cut."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def serve(self, port: int, handler: Handler) -> None:
        """Accept connections here from now on."""
        self._call(self._serve(port, handler))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_the_end())

    def _call(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self.loop).result(10)

    async def _serve(self, port: int, handler: Handler) -> None:
        self._servers.append(await asyncio.start_server(handler, HOST, port))

    async def _until_the_end(self) -> None:
        await self._end.wait()
        for server in self._servers:
            server.close()
