"""Health probes for whoever runs the process. Answers two facts as JSON; names no host and no cause."""

from __future__ import annotations

import redis
from flask import Blueprint, jsonify, session
from werkzeug.wrappers import Response

from dashboard.access import PUBLIC, needs
from dashboard.connection import DATABASE_ERRORS
from dashboard.context import settings
from dashboard.errors import RETRY_AFTER_SECONDS
from dashboard.sessions import BrokenSession
from dispatchlog.engine.database import fetch_one
from dispatchlog.engine.wakeup import redis_client

pages = Blueprint("probes", __name__)


@pages.get("/healthz")
@needs(PUBLIC)
def alive() -> Response:
    """The process answers."""
    return jsonify(status="ok")


@pages.get("/readyz")
@needs(PUBLIC)
def ready() -> tuple[Response, int]:
    """PostgreSQL and the broker answer; 503 and which one does not."""
    found = {"database": _database_answers(), "broker": _broker_answers()}
    everything = all(found.values())
    code = "" if everything else "DATABASE_UNAVAILABLE" if not found["database"] else "BROKER_UNAVAILABLE"
    body = {name: "ok" if answers else "unavailable" for name, answers in found.items()}
    answer = jsonify(status="ok" if everything else "unavailable", code=code, **body)
    if not everything:
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer, 200 if everything else 503


def _database_answers() -> bool:
    if isinstance(session._get_current_object(), BrokenSession):  # type: ignore[attr-defined]
        return False
    try:
        return bool(fetch_one("SELECT 1")[0] == 1)
    except DATABASE_ERRORS:
        return False


def _broker_answers() -> bool:
    try:
        return bool(redis_client(settings().effective_redis_url).ping())
    except redis.RedisError:
        return False
