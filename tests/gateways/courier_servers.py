"""Owns what tests of couriers share: a sandbox in this process, a taker of its webhooks, and a wait for a condition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dispatchlog.gateways.courier_sandbox import Options, Sandbox

from .servers import LOOPBACK

PATIENCE_SECONDS = 30.0


@contextmanager
def sandbox(**options: Any) -> Iterator[Sandbox]:
    """One that stands still unless `speed` is given."""
    running = Sandbox(Options(**{"speed": 0.0, **options}))
    try:
        yield running
    finally:
        running.close()


def wait_for(condition: Callable[[], Any]) -> Any:
    """What `condition` comes to as soon as it is true."""
    gives_up = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < gives_up, "it never came true"
        time.sleep(0.01)
    return found


class WebhookTaker:
    """Takes webhooks and answers them with the next of `answers`, then 200."""

    def __init__(self, *answers: int) -> None:
        self.took: list[tuple[Mapping[str, str], bytes]] = []
        taker, line = self, list(answers)

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                taker.took.append((dict(self.headers.items()), body))
                self.send_response(line.pop(0) if line else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """It says nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Requests)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/webhooks/courier/generic"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> WebhookTaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
