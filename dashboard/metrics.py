"""Numbers for Prometheus, from the database at the time of asking. Owns who may ask and how they are written.

They are the same in every process, so it does not matter which one a scrape reaches. Without a token only a program on this
machine that asks directly gets them: behind a proxy every client has the proxy's address.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from flask import Blueprint, Response, current_app, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dashboard.access import PUBLIC, needs
from dashboard.connection import DATABASE_ERRORS, discard_connections
from dashboard.context import settings
from dashboard.metric_values import with_database, without_database
from dispatchlog.engine.database import connected

pages = Blueprint("metrics", __name__)

CACHED_SECONDS = 5.0
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


@pages.get("/metrics")
@needs(PUBLIC)
def show() -> Response:
    """The metrics in the format the client asks for; 401 without the token, 403 from elsewhere where none is set."""
    if refusal := _refusal():
        return refusal
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Known(_metrics()))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)


class _Known(Collector):
    """Metrics that are read already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


class _Cache:
    """What was read in the last few seconds; who comes meanwhile waits for it instead of asking too."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._read_at = float("-inf")
        self._metrics: Sequence[Metric] = ()

    def get(self) -> Sequence[Metric]:
        with self._guard:
            if time.monotonic() - self._read_at >= CACHED_SECONDS:
                self._metrics = _read()
                self._read_at = time.monotonic()
            return self._metrics


def _metrics() -> Sequence[Metric]:
    cache: _Cache = current_app.extensions.setdefault("dispatchlog.metrics", _Cache())
    return cache.get()


def _read() -> Sequence[Metric]:
    try:
        with connected():
            return [*without_database(up=True), *with_database()]
    except DATABASE_ERRORS as error:
        current_app.logger.warning("DATABASE_UNAVAILABLE %s", type(error).__name__)
        discard_connections()
        return [*without_database(up=False)]


def _refusal() -> Response | None:
    token = settings().metrics_token.get_secret_value()
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        words = "The metrics need the token of DISPATCHLOG_METRICS_TOKEN: Authorization: Bearer ...\n"
        return Response(words, 401, {"WWW-Authenticate": "Bearer"}, content_type="text/plain")
    if _asked_from_this_machine():
        return None
    words = (
        "Without DISPATCHLOG_METRICS_TOKEN only a program on the dashboard's own machine may ask, and not by a proxy.\n"
    )
    return Response(words, 403, content_type="text/plain")


def _asked_from_this_machine() -> bool:
    """By the connection itself: what a proxy says of its client counts for nothing here."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    environ = request.environ
    peer = environ.get("werkzeug.proxy_fix.orig", environ).get("REMOTE_ADDR") or ""
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False
