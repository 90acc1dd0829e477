"""How long this process waits for PostgreSQL, whatever holds it up. Owns the wait; decides no answer.

`statement_timeout` is kept by the server itself, and a server that is frozen (stopped, on a suspended machine, waiting for
its disk) keeps nothing, while its kernel goes on acknowledging. Only the client can give up then.
"""

from __future__ import annotations

import select
import time
from typing import Any

import psycopg2
from psycopg2 import extensions

CONNECT_SECONDS = 3.0
# The pool connects for one thread after the other. Whoever has queued behind a wait in vain is told so at once.
SILENCE_SECONDS = 1.0


def bound_waits(seconds: float) -> None:
    """Let no connection of this process wait longer than `seconds` for a statement, or CONNECT_SECONDS in connecting.

    The connection is then closed, and psycopg2.OperationalError raised. For processes that only answer requests: COPY does
    not work any more.
    """

    silent_until = 0.0

    def wait(connection: Any) -> None:
        nonlocal silent_until
        connecting = connection.status == extensions.STATUS_SETUP
        if connecting and time.monotonic() < silent_until:
            raise psycopg2.OperationalError("PostgreSQL did not answer a moment ago")
        limit = min(seconds, CONNECT_SECONDS) if connecting else seconds
        ends = time.monotonic() + limit
        while (state := connection.poll()) != extensions.POLL_OK:
            waiter = select.poll()
            waiter.register(connection.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
            if not waiter.poll(max(0.0, ends - time.monotonic()) * 1000):
                if connecting:
                    silent_until = time.monotonic() + SILENCE_SECONDS
                raise psycopg2.OperationalError(f"PostgreSQL has not answered for {limit:g} s")

    extensions.set_wait_callback(wait)
