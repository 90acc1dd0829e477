"""Owns the official Socket.IO client under Node, one process for each."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateways.node_servers import installed

_FOLDER = Path(__file__).parent / "independent" / "socket.io-client"
PATIENCE_SECONDS = 60


class Listener:
    """A client, and everything that it has heard."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._changed = threading.Condition(threading.RLock())
        self.heard: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def open(self, port: int, **options: Any) -> Listener:
        """Connect, by WebSocket unless `transports` says otherwise; `auth` and `headers` say who it is."""
        self._tell({"do": "open", "url": f"http://127.0.0.1:{port}", "transports": ["websocket"], **options})
        return self

    def emit(self, event: str, *data: Any) -> dict[str, Any]:
        """The server's answer to an event."""
        before = len(self.all_of("answer"))
        self._tell({"do": "emit", "event": event, "data": list(data)})
        answer: dict[str, Any] = self.wait_for("answer", before + 1)[-1]["data"]
        return answer

    def join(self, room: str) -> dict[str, Any]:
        return self.emit("join", {"room": room})

    def all_of(self, event: str) -> list[dict[str, Any]]:
        with self._changed:
            return [line for line in self.heard if line["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The first `count` of this event, waited for; fails when they do not come."""
        self.wait_until(lambda: len(self.all_of(event)) >= count, f"{event} {count} times")
        return self.all_of(event)[:count]

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Until this is so of what it has heard; fails when it does not become so."""
        with self._changed:
            assert self._changed.wait_for(is_so, timeout=PATIENCE_SECONDS), (what, self.heard[-20:])

    def versions(self, count: int) -> list[int]:
        """Of the first `count` updates."""
        return [line["data"]["version"] for line in self.wait_for("order.updated", count)]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(5)
        self._process.stdout.close()

    def _tell(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.heard.append(json.loads(line))
                self._changed.notify_all()


@contextmanager
def listener() -> Iterator[Listener]:
    """A client that is not connected yet; its process ends with the block."""
    environment = {**os.environ, "NODE_PATH": str(installed(_FOLDER))}
    process = subprocess.Popen(
        ["node", _FOLDER / "client.js"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    one = Listener(process)
    try:
        yield one
    finally:
        one.close()
