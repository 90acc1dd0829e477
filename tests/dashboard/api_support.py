"""Owns a running API for tests: a plain Flask app on the test's own database and broker. Tests nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask import Flask
from werkzeug.test import TestResponse

from dashboard import live_hub
from dashboard.api import register
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_one
from dispatchlog.service_tokens import SCOPES, create_token
from dispatchlog.settings import Settings
from dispatchlog.systems import registry

TABLES = (
    "orders",
    "order_kits",
    "practitioners",
    "order_registrations",
    "kit_registrations",
    "dispatch_transitions",
    "dispatch_search",
)


@dataclass
class Api:
    """The app, and one token with every scope."""

    app: Flask
    token: str
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, *, token: str | None = None, **request: Any) -> TestResponse:
        """One request under /api/v1; headers given are added to the token's."""
        headers = {"Authorization": f"Bearer {token or self.token}", **request.pop("headers", {})}
        return self.app.test_client().open(f"/api/v1{path}", method=method, headers=headers, **request)

    def error(self, answer: TestResponse) -> tuple[int, str, str | None]:
        """Status, code and field of a refusal."""
        detail = answer.get_json()["error"]
        assert detail["traceId"] == answer.headers["X-Trace-Id"]
        return answer.status_code, detail["code"], detail["field"]


@contextmanager
def running_api(settings: Settings) -> Iterator[Api]:
    """The API on the settings' database, as the application's own role."""
    forget_process_state()
    configure(settings.database_url, role=settings.application_role, name="api test")
    app = Flask("api test")
    register(app)
    try:
        yield Api(app, create_token("vitract-orders", list(SCOPES), "tests"))
    finally:
        database.close_all()
        forget_process_state()


def forget_process_state() -> None:
    """What a process keeps for ever, and a test must not take over from the one before."""
    get_waker.cache_clear()
    get_broker.cache_clear()
    registry.forget()
    live_hub.close_all()


def order(**changes: Any) -> dict[str, Any]:
    """A shipped practitioner order of two kits, as an upstream service reports it."""
    return {
        "orderNumber": "VT-1001",
        "practitioner": {"id": str(uuid4()), "name": "Dr. Ada Example", "email": "ada@example.org"},
        "status": "shipped",
        "shippingDate": "2026-03-01T09:30:00Z",
        "trackingNumber": "1Z999",
        "trackingUrl": "https://tracking.example.com/1Z999",
        "kits": [{"kitId": "KIT-1", "recipientEmail": "one@example.org"}, {"kitId": "KIT-2"}],
        **changes,
    }


def row_counts() -> dict[str, int]:
    """How many rows every table holds that a report may touch."""
    with connected():
        return {table: fetch_one(f"SELECT count(*) FROM {table}")[0] for table in TABLES}


def rows(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connected():
        return fetch_all(sql, values)
