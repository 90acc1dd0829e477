"""The sandbox courier's webhooks: signed anew for each try, in order; lost, doubled and swapped as scripted."""

from __future__ import annotations

import heapq
import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError
from dispatchlog.gateways import courier_signature
from dispatchlog.gateways.courier_sandbox_script import Scenario
from dispatchlog.gateways.http import HttpClient

MOST_TRIES = 8
FIRST_RETRY_SECONDS = 1.0
MOST_RETRY_SECONDS = 60.0
_SEND_SECONDS = 10.0


@dataclass(order=True, slots=True)
class _Letter:
    due: float
    number: int
    body: bytes = field(compare=False)
    tries: int = field(compare=False, default=0)


class Webhooks:
    """One thread sends them, one after the other; `sent` counts the answered ones, `refused` those given up."""

    def __init__(self, url: str, secrets: Sequence[str]) -> None:
        parts = urlsplit(url)
        self._http = HttpClient(f"{parts.scheme}://{parts.netloc}")
        self._path = parts.path or "/"
        self._secrets = tuple(secrets)
        self._letters: list[_Letter] = []
        self._held: dict[str, tuple[bytes, Scenario]] = {}
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self.sent = 0
        self.refused = 0
        self._thread = threading.Thread(target=self._run, name="sandbox-webhooks", daemon=True)
        self._thread.start()

    def tell(self, job_id: str, stage: str, document: Mapping[str, Any], scenario: Scenario) -> None:
        """Send what happened, as the job's scenario has it."""
        if stage in scenario.lost:
            return
        body = json.dumps(document).encode()
        with self._changed:
            before = self._held.pop(job_id, None)
            if scenario.swapped and before is None:
                self._held[job_id] = (body, scenario)
            else:
                self._queue(body, scenario)
                if before is not None:
                    self._queue(*before)
            self._changed.notify()

    def _queue(self, body: bytes, scenario: Scenario) -> None:
        due = time.monotonic() + scenario.webhook_delay_seconds
        for _ in range(scenario.copies):
            heapq.heappush(self._letters, _Letter(due, next(self._numbers), body))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (wait := self._wait_seconds()) != 0:
                    self._changed.wait(wait)
                if self._stopped:
                    return
                letter = heapq.heappop(self._letters)
            self._send(letter)

    def _wait_seconds(self) -> float | None:
        return max(0.0, self._letters[0].due - time.monotonic()) if self._letters else None

    def _send(self, letter: _Letter) -> None:
        signature = courier_signature.sign(self._secrets, letter.body, at=int(time.time()))
        headers = {"Content-Type": "application/json", courier_signature.HEADER: signature}
        try:
            reply = self._http.request(
                "POST", self._path, headers=headers, content=letter.body, deadline=Deadline(_SEND_SECONDS)
            )
            taken = 200 <= reply.status < 300
        except GatewayError:
            taken = False
        letter.tries += 1
        if taken:
            self.sent += 1
        elif letter.tries >= MOST_TRIES:
            self.refused += 1
        else:
            pause = min(FIRST_RETRY_SECONDS * 2 ** (letter.tries - 1), MOST_RETRY_SECONDS)
            letter.due = time.monotonic() + pause
            with self._changed:
                heapq.heappush(self._letters, letter)

    def close(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(_SEND_SECONDS + 1)
        self._http.close()
