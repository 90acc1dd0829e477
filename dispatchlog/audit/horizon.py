"""Up to which row each source may be sealed: nobody may yet commit a smaller number. Owns the waiting for writers.

Numbers are given out when a row is written, and a long transaction commits a small one late. So the newest row is noted
with everybody who writes at that moment; once all of them have ended, nothing below it can come any more. What they keep
waiting stays noted from one look to the next: writers that come meanwhile are not waited for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from dispatchlog.audit.chain import SOURCES
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.table_writers import writers_of

# Most writers end within this; whoever does not is waited for by the next look.
PATIENCE_SECONDS = 1.0


@dataclass(slots=True)
class _Waiting:
    newest: int
    writers: set[str]


@dataclass(slots=True)
class Horizon:
    """One per process that seals. Not inside a transaction: each query must see what is committed by then."""

    _waiting: dict[str, _Waiting] = field(default_factory=dict)

    def settled(self) -> dict[str, int]:
        """The largest number of each source below which nothing can come any more, for those where there is a new one."""
        gives_up = boottime() + PATIENCE_SECONDS
        with connected():
            self._begin()
            done = self._take_ended()
            while self._waiting and boottime() < gives_up:
                time.sleep(0.02)
                done |= self._take_ended()
        return done

    def _begin(self) -> None:
        for source, newest in fetch_all("SELECT source, newest FROM dispatchlog_audit_newest()"):
            # The writers are read after the newest row: whoever had a smaller number by then is among them.
            if newest is not None and source not in self._waiting:
                self._waiting[source] = _Waiting(newest, writers_of(source))

    def _take_ended(self) -> dict[str, int]:
        for source in [source for source in SOURCES if source in self._waiting]:
            waiting = self._waiting[source]
            if waiting.writers:
                waiting.writers &= writers_of(source)
        ended = {source: each.newest for source, each in self._waiting.items() if not each.writers}
        for source in ended:
            del self._waiting[source]
        return ended
