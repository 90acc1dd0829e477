"""Owns a running sockets process beside the dashboard under test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.dashboard.browsing import Dashboard
from tests.dashboard.conftest import cheap_passwords, compiled_templates, dash, one_chromium
from tests.gateways.servers import free_port
from tests.sockets import samples
from tests.sockets.official import Listener, listener

__all__ = ["cheap_passwords", "compiled_templates", "dash", "one_chromium"]

# The dashboard's own, as its settings have it here.
ORIGIN = "http://127.0.0.1:8000"


@dataclass
class Desk:
    """The dashboard's people, a port with a sockets process, and clients of it."""

    dash: Dashboard
    port: int
    stack: ExitStack

    def cookie(self, role: str = "viewer") -> dict[str, str]:
        """The headers of a page of somebody who has just signed in."""
        cookie = self.dash.as_(role).client.get_cookie("dispatchlog")
        assert cookie is not None
        return {"Cookie": f"dispatchlog={cookie.value}", "Origin": ORIGIN}

    def client(self, **options: Any) -> Listener:
        """A client that knocks."""
        return self.stack.enter_context(listener()).open(options.pop("port", self.port), **options)

    def connected(self, **options: Any) -> Listener:
        client = self.client(**options)
        client.wait_for("connect")
        return client


@pytest.fixture
def desk(dash: Dashboard) -> Iterator[Desk]:
    """With a process that listens."""
    port = free_port()
    with samples.sockets(port), ExitStack() as stack:
        yield Desk(dash, port, stack)


@pytest.fixture
def quiet_desk(dash: Dashboard) -> Iterator[Desk]:
    """Without one: the test starts its own."""
    with ExitStack() as stack:
        yield Desk(dash, free_port(), stack)
