"""What tests may ask of the sandbox courier, under `/sandbox`. Owns no state.

`POST /sandbox/script` (`Script.load`, and `speed`), `GET /sandbox/jobs`, `POST /sandbox/jobs/{id} {"stage"}`,
`GET /sandbox/journal`.
"""

from __future__ import annotations

import json
from typing import Any

from dispatchlog.gateways.courier_sandbox_jobs import Stage, World
from dispatchlog.gateways.sandbox_http import Answer


class Control:
    """Answers (method, path, body)."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        name, _, rest = path.lstrip("/").partition("/")
        if name != "sandbox":
            return 404, {"code": "NO_SUCH_ADDRESS"}
        try:
            found = self._read(rest) if method == "GET" else self._steer(rest, json.loads(body))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return 400, {"code": "BAD_REQUEST", "message": str(error)}
        return (404, {"code": "NO_SUCH_ADDRESS"}) if found is None else (200, found)

    def _read(self, path: str) -> Any:
        if path == "jobs":
            return [job.as_json() for job in self._world.jobs()]
        return self._world.journal() if path == "journal" else None

    def _steer(self, path: str, said: Any) -> Any:
        if path == "script":
            speed = float(said.pop("speed", self._world.speed))
            self._world.script.load(said)
            self._world.speed = speed
            return {}
        job = self._world.move(path.removeprefix("jobs/"), Stage(said["stage"])) if path.startswith("jobs/") else None
        return None if job is None else job.as_json()
