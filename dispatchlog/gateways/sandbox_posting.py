"""Owns when a sandbox's webhooks leave, and trying them again; knows neither what they say nor how they are signed."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError
from dispatchlog.gateways.http import HttpClient

MOST_TRIES = 8
FIRST_RETRY_SECONDS = 1.0
MOST_RETRY_SECONDS = 60.0
_SEND_SECONDS = 10.0


def _nothing() -> None:
    """Nothing else happens when it leaves."""


@dataclass(frozen=True, slots=True)
class Post:
    """One webhook. `headers` are made anew for each try, `first` is called before the first one; "" as `url`: only that."""

    url: str
    body: bytes = b""
    headers: Callable[[], Mapping[str, str]] = dict
    first: Callable[[], None] = _nothing


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    number: int
    post: Post = field(compare=False)
    tries: int = field(compare=False, default=0)


class Posting:
    """One thread sends them, one after the other; `sent` counts the answered ones, `refused` those given up."""

    def __init__(self) -> None:
        self._clients: dict[str, HttpClient] = {}
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self.sent = 0
        self.refused = 0
        self._thread = threading.Thread(target=self._run, name="sandbox-webhooks", daemon=True)
        self._thread.start()

    def put(self, post: Post, *, after_seconds: float = 0.0) -> None:
        """Send it then; what is due at the same time leaves in the order in which it came here."""
        with self._changed:
            heapq.heappush(self._waiting, _Waiting(time.monotonic() + after_seconds, next(self._numbers), post))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (wait := self._wait_seconds()) != 0:
                    self._changed.wait(wait)
                if self._stopped:
                    return
                waiting = heapq.heappop(self._waiting)
            self._send(waiting)

    def _wait_seconds(self) -> float | None:
        return max(0.0, self._waiting[0].due - time.monotonic()) if self._waiting else None

    def _send(self, waiting: _Waiting) -> None:
        post = waiting.post
        if not waiting.tries:
            post.first()
        if not post.url:
            return
        parts = urlsplit(post.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._clients:
            self._clients[origin] = HttpClient(origin)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            reply = self._clients[origin].request(
                "POST", target, headers=post.headers(), content=post.body, deadline=Deadline(_SEND_SECONDS)
            )
            taken = 200 <= reply.status < 300
        except GatewayError:
            taken = False
        waiting.tries += 1
        if taken:
            self.sent += 1
        elif waiting.tries >= MOST_TRIES:
            self.refused += 1
        else:
            pause = min(FIRST_RETRY_SECONDS * 2 ** (waiting.tries - 1), MOST_RETRY_SECONDS)
            waiting.due = time.monotonic() + pause
            with self._changed:
                heapq.heappush(self._waiting, waiting)

    def close(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(_SEND_SECONDS + 1)
        for client in self._clients.values():
            client.close()
