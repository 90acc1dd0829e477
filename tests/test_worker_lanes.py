"""Which lanes a worker process says that it works on, asked of real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dispatchlog.settings import Settings

_SEEN = "print(fetch_all('SELECT kind, lanes FROM dispatch_workers'))"
_USES = (
    "from dispatchlog.engine.database import connected, fetch_all\n"
    "from dispatchlog.settings import get_settings\n"
    "from dispatchlog.worker import by_hand\n"
)
_WORKER = (
    f"{_USES}from tasks.broker import worker_process\n"
    "worker_process.after_process_boot(worker_process)\n"
    f"with connected():\n    {_SEEN}\n"
    "worker_process.before_worker_shutdown(worker_process, None)\n"
    "worker_process.after_worker_shutdown(worker_process, None)\n"
)
_BY_HAND = f"{_USES}with by_hand(get_settings()), connected():\n    {_SEEN}\n"


@pytest.mark.parametrize(
    ("program", "lanes", "seen"),
    [
        (_WORKER, "", [("worker", None)]),
        (_WORKER, "hl7,kit_registration", [("worker", ["hl7", "kit_registration"])]),
        (_BY_HAND, "", [("by hand", None)]),
    ],
    ids=["every lane", "some lanes", "by hand"],
)
def test_a_worker_says_its_lanes_and_who_sends_by_hand_is_none(
    settings_env: Settings, program: str, lanes: str, seen: list[tuple[str, list[str] | None]]
) -> None:
    env = {
        **os.environ,
        "DATABASE_URL": settings_env.database_url,
        "REDIS_URL": settings_env.redis_url,
        "DISPATCHLOG_WORKER_LANES": lanes,
    }
    answer = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert str(seen) in answer.stdout.splitlines()
