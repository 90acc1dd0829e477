"""Owns the visitor of the dashboards: asks one, then the other, as a balancer with a health check does. Judges nothing."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence

EVERY_SECONDS = 0.25
PATIENCE_SECONDS = 12.0
START_SECONDS = 90.0


class Door:
    """One thread per dashboard asks `/healthz` and `/readyz`; `seen` counts answers, `slowest` has the longest waits."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.seen: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(url,), name="door", daemon=True) for url in urls]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, url: str) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            for path in ("healthz", "readyz"):
                began = time.monotonic()
                answer = f"{path}: {status(f'{url}/{path}')}"
                with self._guard:
                    self.seen[answer] += 1
                    self.slowest[answer] = round(max(self.slowest.get(answer, 0.0), time.monotonic() - began), 1)


def ready(urls: Sequence[str]) -> int:
    """How many of the dashboards are ready, once all are or have been given long enough to start."""
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if all(status(f"{url}/readyz") == "200" for url in urls):
            return len(urls)
        time.sleep(EVERY_SECONDS)
    return sum(status(f"{url}/readyz") == "200" for url in urls)


def status(url: str) -> str:
    """The HTTP status, or that there was none."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:  # noqa: S310  an address of this run  # nosec B310
            return str(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return str(error.code)
    except OSError:
        return "nothing"
