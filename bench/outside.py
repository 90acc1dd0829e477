"""Owns the provider's process as a scenario sees it: starts it, asks what it accepted, ends it. Times nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.processes import MeasuringFailed
from dispatchlog.local.server import end_process
from dispatchlog.supervisor import spawn

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Provider:
    """A running provider: where it listens."""

    http_url: str
    smtp_url: str

    def accepted(self, since: int = 0) -> list[tuple[str, float]]:
        """The acceptances from the `since`-th on: idempotency key, and instant in seconds of `time.monotonic`."""
        with urllib.request.urlopen(f"{self.http_url}/accepted/{since}", timeout=30) as reply:  # noqa: S310  our own child  # nosec B310
            return [(key, at) for key, at in json.load(reply)]

    def wait_for(self, keys: Collection[str], *, seconds: float) -> dict[str, float]:
        """When each of the keys was first accepted.

        Raises:
            MeasuringFailed: not all of them were in so many seconds.
        """
        ends = time.monotonic() + seconds
        while True:
            first: dict[str, float] = {}
            for key, at in self.accepted():
                first.setdefault(key, at)
            if missing := [key for key in keys if key not in first]:
                if time.monotonic() > ends:
                    raise MeasuringFailed(f"{len(missing)} of {len(keys)} dispatches never reached the provider")
                time.sleep(_LOOK_SECONDS)
                continue
            return {key: first[key] for key in keys}


@contextmanager
def started_provider(*, latency_seconds: float = 0.0) -> Iterator[Provider]:
    """A provider that answers HTTP after so long; gone afterwards."""
    argv = [sys.executable, "-m", "bench.provider", "--latency-seconds", str(latency_seconds)]
    process = spawn(argv, output=subprocess.PIPE)
    try:
        if process.stdout is None or not (line := process.stdout.readline()).startswith(b"{"):
            raise MeasuringFailed("the provider did not start")
        ports = json.loads(line)
        yield Provider(f"http://127.0.0.1:{ports['http']}", f"smtp://127.0.0.1:{ports['smtp']}?tls=none")
    finally:
        end_process(process, signals=(signal.SIGTERM,), seconds_each=5.0)
        if process.stdout is not None:
            process.stdout.close()
