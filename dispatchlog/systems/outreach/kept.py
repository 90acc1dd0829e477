"""What this process remembers of the database for a few seconds. Reads nothing itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from dispatchlog.engine.database import database

T = TypeVar("T")

KEPT_SECONDS = 3.0


class Kept(Generic[T]):
    """One value that is asked for again and again. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The database it is of, until when it holds, and it.
        self._kept: tuple[object, float, T] | None = None
        self._emptied = 0

    def get(self, read: Callable[[], T]) -> T:
        """What `read` gave within the last seconds, and since the last emptying."""
        with self._lock:
            kept, emptied = self._kept, self._emptied
        if kept is not None and kept[0] == database.database and time.monotonic() < kept[1]:
            return kept[2]
        found = read()
        with self._lock:
            # What was read before a change must not stay after it.
            if emptied == self._emptied:
                self._kept = (database.database, time.monotonic() + KEPT_SECONDS, found)
        return found

    def empty(self) -> None:
        """Forget it; after a change."""
        with self._lock:
            self._kept, self._emptied = None, self._emptied + 1
