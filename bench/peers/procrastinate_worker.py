"""One Procrastinate worker process that delivers one row per job, several at once. Owns its start; times nothing.

The jobs are in the same PostgreSQL as the rows, in Procrastinate's own tables. Each of its slots has an open connection
for the two updates besides the worker's own pool.
"""

from __future__ import annotations

import asyncio
import os
from uuid import uuid4

import psycopg
from procrastinate import App, PsycopgConnector

from bench.gate import wait_for_release
from bench.guarded import CLAIM, QUEUE, RECORD, TASK, connection_arguments, send
from dispatchlog.settings import get_settings


def make_app(url: str, *, connections: int) -> App:
    """The application without tasks, over a pool of so many connections."""
    return App(connector=PsycopgConnector(conninfo=url, min_size=connections, max_size=connections))


async def work(concurrency: int) -> None:
    """Run until SIGTERM; end at once when never released."""
    settings = get_settings()
    app = make_app(settings.database_url, connections=concurrency + 2)
    free: asyncio.LifoQueue[psycopg.AsyncConnection] = asyncio.LifoQueue()
    for _ in range(concurrency):
        free.put_nowait(
            await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True, **connection_arguments())
        )

    @app.task(name=TASK, queue=QUEUE)
    async def deliver_row(row_id: str) -> None:
        connection, token = free.get_nowait(), uuid4()
        try:
            cursor = await connection.execute(CLAIM, (token, os.getpid(), row_id))
            claimed = await cursor.fetchone()
            if claimed is not None:
                await connection.execute(RECORD, (send(row_id, claimed[0]), row_id, token))
        finally:
            free.put_nowait(connection)

    async with app.open_async():
        if await asyncio.to_thread(wait_for_release, settings.effective_redis_url):
            await app.run_worker_async(queues=[QUEUE], concurrency=concurrency)


def main() -> None:
    asyncio.run(work(int(os.environ["BENCH_CONCURRENCY"])))


if __name__ == "__main__":
    main()
