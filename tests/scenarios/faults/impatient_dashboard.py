"""The product's dashboard, which gives a statement less time, so that no scenario waits for long. Owns only how much."""

from __future__ import annotations

from dashboard import connection

connection.STATEMENT_TIMEOUT_MS = 3_000

from dashboard.wsgi import app  # noqa: E402  what it serves is made with the limits of this moment

__all__ = ["app"]
