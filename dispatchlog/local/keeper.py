"""Keeps local servers running: says which one died and starts it again on the same data and port. Owns no server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from dispatchlog.local.directory import LocalServerError
from dispatchlog.local.server import LocalServer
from dispatchlog.supervisor import how_it_ended

MAX_DEATHS = 5
SETTLED_AFTER_SECONDS = 10.0
GIVEN_UP = 1


class Keeper:
    """Looks after servers that run by now. One that dies again and again at once is given up.

    Args:
        say: is given one line for people about every death, start and failure, from several threads.
    """

    def __init__(self, servers: Sequence[LocalServer], say: Callable[[str], None]) -> None:
        self._cancelled = threading.Event()
        self._kept = [_Kept(server, say, self._cancelled) for server in servers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def check(self) -> int | None:
        """Look at every server, at once and without waiting: to be called again and again.

        An exit code comes back as soon as, and as long as, a server is given up.
        """
        well = [kept.check() for kept in self._kept]
        return None if all(well) else GIVEN_UP

    def close(self) -> None:
        """Give up the starts in progress; after this nothing is started, and the servers can be stopped."""
        self._cancelled.set()
        for kept in self._kept:
            kept.join()


class _Kept:
    """One server, how often it died lately, and the thread that starts it."""

    def __init__(self, server: LocalServer, say: Callable[[str], None], cancelled: threading.Event) -> None:
        self._server = server
        self._tell = say
        self._cancelled = cancelled
        self._starter: threading.Thread | None = None
        self._deaths = 0
        self._up_since = time.monotonic()

    def check(self) -> bool:
        """False once the server is given up."""
        if self._deaths >= MAX_DEATHS:
            return False
        if self._starter is not None:
            if self._starter.is_alive():
                return True
            self._starter = None
        if self._server.pid is not None:
            return True
        return self._bury()

    def join(self) -> None:
        if self._starter is not None:
            self._starter.join()

    def _bury(self) -> bool:
        if self._server.exit_code is not None and time.monotonic() - self._up_since >= SETTLED_AFTER_SECONDS:
            self._deaths = 0
        self._deaths += 1
        if self._deaths >= MAX_DEATHS:
            self._say(f"died {MAX_DEATHS} times in a row and is given up; see {self._server.log}")
            return False
        if self._server.exit_code is not None:
            self._say(f"{how_it_ended(self._server.exit_code)}; starting it again on the same data and port")
        self._starter = threading.Thread(target=self._start, args=(self._deaths - 1,), name="keeper", daemon=True)
        self._starter.start()
        return True

    def _start(self, pause_seconds: float) -> None:
        if self._cancelled.wait(pause_seconds):
            return
        began = time.monotonic()
        try:
            self._server.start(same_port=True, cancelled=self._cancelled)
        except (LocalServerError, OSError) as error:
            if not self._cancelled.is_set():
                self._say(f"could not be started again: {str(error).partition(chr(10))[0].rstrip(':')}")
            return
        self._up_since = time.monotonic()
        self._say(f"runs again after {self._up_since - began:.1f} s")

    def _say(self, text: str) -> None:
        self._tell(f"{self._server.name:<12} {text}")
