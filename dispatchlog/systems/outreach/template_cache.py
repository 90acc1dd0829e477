"""The active templates, remembered for a few seconds in this process. Reads nothing itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from dispatchlog.engine.database import database
from dispatchlog.systems.outreach.template_values import Template

KEPT_SECONDS = 3.0

_lock = threading.Lock()
# The database they are of, until when they hold, and they.
_kept: tuple[object, float, Sequence[Template]] | None = None
_emptied = 0


def active(read: Callable[[], Sequence[Template]]) -> Sequence[Template]:
    """What `read` gave within the last seconds, and since the last emptying."""
    global _kept  # noqa: PLW0603  one cache for the process
    with _lock:
        kept, emptied = _kept, _emptied
    if kept is not None and kept[0] == database.database and time.monotonic() < kept[1]:
        return kept[2]
    found = read()
    with _lock:
        # What was read before a write must not stay after it.
        if emptied == _emptied:
            _kept = (database.database, time.monotonic() + KEPT_SECONDS, found)
    return found


def empty() -> None:
    """Forget them; after a write."""
    global _kept, _emptied
    with _lock:
        _kept, _emptied = None, _emptied + 1
