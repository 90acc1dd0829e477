"""The sandbox courier's webhooks: signed anew for each try, in order; lost, doubled and swapped as scripted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dispatchlog.gateways import courier_signature
from dispatchlog.gateways.courier_sandbox_script import Scenario
from dispatchlog.gateways.sandbox_posting import Post, Posting


class Webhooks:
    """`sent` counts the answered ones, `refused` those given up."""

    def __init__(self, url: str, secrets: Sequence[str]) -> None:
        self._url = url
        self._secrets = tuple(secrets)
        self._held: dict[str, tuple[bytes, Scenario]] = {}
        self._lock = threading.Lock()
        self._posting = Posting()

    @property
    def sent(self) -> int:
        return self._posting.sent

    @property
    def refused(self) -> int:
        return self._posting.refused

    def tell(self, job_id: str, stage: str, document: Mapping[str, Any], scenario: Scenario) -> None:
        """Send what happened, as the job's scenario has it."""
        if stage in scenario.lost:
            return
        body = json.dumps(document).encode()
        with self._lock:
            before = self._held.pop(job_id, None)
            if scenario.swapped and before is None:
                self._held[job_id] = (body, scenario)
            else:
                self._queue(body, scenario)
                if before is not None:
                    self._queue(*before)

    def _queue(self, body: bytes, scenario: Scenario) -> None:
        for _ in range(scenario.copies):
            post = Post(self._url, body, lambda: self._headers(body))
            self._posting.put(post, after_seconds=scenario.webhook_delay_seconds)

    def _headers(self, body: bytes) -> Mapping[str, str]:
        signature = courier_signature.sign(self._secrets, body, at=int(time.time()))
        return {"Content-Type": "application/json", courier_signature.HEADER: signature}

    def close(self) -> None:
        self._posting.close()
