"""What a process does before its first visitor comes, so that the first page takes no longer than the next. Shows nothing
and changes nothing, but that a new installation gets its data keys.

Templates are compiled, and a few connections are opened on which the busiest pages' questions have been asked once: a new
connection of PostgreSQL reads its catalogue anew.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

from flask import Flask

from dashboard.connection import DATABASE_ERRORS
from dashboard.doubt_queries import count_doubts, count_escalated, list_doubts
from dashboard.filters import ListFilter
from dashboard.health import broker_health, processes
from dashboard.incident_queries import incidents, open_replays, window_since
from dashboard.overview_queries import lane_card, recent_moves
from dashboard.queries import causes, count_by_state, list_dispatches
from dispatchlog.engine.database import connected
from dispatchlog.engine.holds import open_holds
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.ring import rings
from dispatchlog.systems import registry

CONNECTIONS = 4
# How long the connections wait for each other to be open at once.
PATIENCE_SECONDS = 3.0


def warm(app: Flask) -> None:
    """Do all of it. Without PostgreSQL only the templates: a start must not fail for it."""
    for name in app.jinja_loader.list_templates() if app.jinja_loader else ():
        app.jinja_env.get_template(name)
    with suppress(*DATABASE_ERRORS, CannotUnsealError):  # what needs them says it by itself
        rings.current()
    together = Barrier(CONNECTIONS)
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="warming") as pool:
        for _ in range(CONNECTIONS):
            pool.submit(_open_one, app, together)
    app.test_client().get("/")


def _open_one(app: Flask, together: Barrier) -> None:
    with suppress(*DATABASE_ERRORS), app.app_context(), connected():
        with suppress(BrokenBarrierError):  # else the pool would hand one connection round
            together.wait(PATIENCE_SECONDS)
        _ask()


def _ask() -> None:
    lanes = registry.lanes()
    broker = broker_health()
    for lane in lanes:
        lane_card(lane, broker.circuit(lane))
    recent_moves(lanes)
    processes()
    open_holds()
    open_replays()
    incidents(lanes, since=window_since(1))
    list_doubts(lanes)
    count_doubts(lanes)
    count_escalated(lanes)
    wanted = ListFilter()
    count_by_state(wanted, lanes)
    list_dispatches(wanted, lanes)
    causes(lanes)
