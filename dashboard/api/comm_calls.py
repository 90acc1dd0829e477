"""What the routes about messages to patients have in common: one connection for each request, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import request

from dashboard.api.routes import Call
from dashboard.proxies import client_address
from dispatchlog.engine.database import connected
from dispatchlog.systems.outreach.inputs import Asker

View = TypeVar("View", bound=Callable[..., Any])


def on_one_connection(view: View) -> View:
    """All that a request reads and writes goes over one connection."""

    @wraps(view)
    def run(*call: Any, **path: Any) -> Any:
        with connected():
            return view(*call, **path)

    return run  # type: ignore[return-value]


def asker_of(call: Call) -> Asker:
    """Who asks, for the audit."""
    agent = request.headers.get("User-Agent", "")[:512]
    return Asker(actor=call.actor, ip_address=client_address(), user_agent=agent or None)
