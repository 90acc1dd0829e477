"""Open pages behind the server that the product runs: they starve nobody, and a stop does not wait for them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from dispatchlog.engine.database import configure, connected, database
from dispatchlog.settings import Settings
from tests.dashboard.browsing import PASSWORD, make_people
from tests.dashboard.samples import place_order
from tests.dashboard.web_process import web_process
from tests.ports import free_port

STOP_SECONDS = 120
PEOPLE = ("viewer", "support", "pharmacist", "auditor", "admin")


@pytest.fixture
def served(settings_env: Settings, cheap_passwords: None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`dispatchlog dashboard` as a process of its own, one gunicorn worker; its address."""
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    make_people()
    port = free_port()
    patient = f"--graceful-timeout={2 * STOP_SECONDS}"
    with web_process(port, DISPATCHLOG_LIVE_STREAMS="20", GUNICORN_CMD_ARGS=patient) as process:
        yield process, f"http://127.0.0.1:{port}"
    database.close_all()


def _signed_in(url: str, role: str) -> httpx.Client:
    client = httpx.Client(base_url=url, timeout=120)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/sign-in").text).group(1)  # type: ignore[union-attr]
    answer = client.post("/sign-in", data={"csrf_token": token, "email": f"{role}@example.org", "password": PASSWORD})
    assert answer.status_code == 302
    return client


def test_more_open_pages_than_threads_for_requests_starve_nobody_and_a_stop_ends_them(
    served: tuple[subprocess.Popen[bytes], str],
) -> None:
    process, url = served
    with ExitStack() as stack:
        clients = [_signed_in(url, role) for role in PEOPLE]
        for client in clients:
            stack.callback(client.close)
        opened = [stack.enter_context(client.stream("GET", "/live")) for client in clients for _ in range(4)]
        assert [answer.status_code for answer in opened] == [200] * 20
        assert clients[0].get("/live").status_code == 503
        assert [client.get("/").status_code for client in clients] == [200] * 5
        # Soon after it began, the server's tail tells everybody once to read everything: whoever came later, never.
        assert any("event: all" in line for line in opened[0].iter_lines())
        lines = opened[-1].iter_lines()
        with connected():
            place_order("VO-1")
        assert any('"lane":"kit_registration"' in line for line in lines)
        process.terminate()
        assert process.wait(timeout=STOP_SECONDS) == 0  # less than gunicorn waits for a request
        assert any("event: over" in line for line in lines)
