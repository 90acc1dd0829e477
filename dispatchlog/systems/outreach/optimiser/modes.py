"""Which kinds of decision the optimiser may take part in, remembered for some seconds in this process. Changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from dispatchlog.engine.database import connected, database, fetch_all

KEPT_SECONDS = 3.0

_lock = threading.Lock()
# The database they are of, until when they hold, and they.
_kept: tuple[object, float, Mapping[str, str]] | None = None
_emptied = 0


def modes() -> Mapping[str, str]:
    """The mode of each kind: off, learning or on."""
    global _kept  # noqa: PLW0603  one cache for the process
    with _lock:
        kept, emptied = _kept, _emptied
    if kept is not None and kept[0] == database.database and time.monotonic() < kept[1]:
        return kept[2]
    with connected():
        found = dict(fetch_all("SELECT kind, mode FROM comm_optimiser"))
    with _lock:
        # What was read before a change must not stay after it.
        if emptied == _emptied:
            _kept = (database.database, time.monotonic() + KEPT_SECONDS, found)
    return found


def empty() -> None:
    """Forget them; after a change."""
    global _kept, _emptied
    with _lock:
        _kept, _emptied = None, _emptied + 1
