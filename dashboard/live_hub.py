"""One tail of the dispatch log per process, told to every open page. Owns its thread, its connection and the slots.

A stream takes a thread of the web server for as long as its page is looked at, so there are only so many, and the server
has that many threads more than everything else needs. No stream has a database connection of its own.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg2
import structlog

from dashboard.lanes import hidden_from
from dashboard.live_tail import News, Tail, still_open
from dispatchlog.engine.database import connect_arguments

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 0.4
SESSIONS_EVERY_SECONDS = 2.0
# The thread outlives the last stream a little: whoever goes from page to page begins a new one every time.
LINGER_SECONDS = 30.0
LONGEST_BACKOFF_SECONDS = 3.0
# A client that takes nothing for so long is cut off: its thread hangs in the writing.
STALLED_SECONDS = 30.0
MOST_PER_SESSION = 8
# Of one lane's moves between two events; the page then reads everything of that lane.
MOST_IDS = 100


@dataclass(frozen=True, slots=True)
class Told:
    """What a page is to be told at once: to read everything anew, or where which dispatches of a lane are now.

    `position` is the transition up to which it then knows everything.
    """

    everything: bool
    lanes: Mapping[str, Mapping[str, str]]
    position: int


@dataclass(eq=False, slots=True)
class Stream:
    """One open page: what it has not been told yet, nothing of the lanes `hidden` from whoever looks at it. Filled by the
    hub, emptied by the thread that writes to the page.
    """

    session: bytes
    connection: Any = None
    hidden: frozenset[str] = frozenset()
    over: bool = False
    writing_since: float | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _position: int = -1
    _everything: bool = False
    _lanes: dict[str, dict[str, str]] = field(default_factory=dict)

    def tell(self, news: News, position: int) -> None:
        with self._changed:
            self._everything = self._everything or news.everything
            for move in news.moves:
                if move.lane in self.hidden:
                    continue
                self._lanes.setdefault(move.lane, {})[move.dispatch_id] = move.status
            self._position = position
            if news:
                self._changed.notify()

    def end(self) -> None:
        """Let it end: the session is over, or the process stops."""
        with self._changed:
            self.over = True
            self._changed.notify()

    def wait(self, seconds: float) -> Told:
        """What came since the last time, nothing where nothing came in time."""
        with self._changed:
            if not (self.over or self._everything or self._lanes):
                self._changed.wait(seconds)
            told = Told(self._everything, self._lanes, self._position)
            self._everything, self._lanes = False, {}
            return told

    def has_left(self) -> bool:
        """Whether the page is gone; a page behind TLS of our own is noticed only when something is written to it."""
        if not isinstance(self.connection, socket.socket) or hasattr(self.connection, "cipher"):
            return False
        try:
            look = select.poll()
            look.register(self.connection, select.POLLIN)
            return bool(look.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True


class Hub:
    """One per process and application. Thread-safe."""

    def __init__(self, url: str, *, role: str, most: int, idle: timedelta, absolute: timedelta) -> None:
        self._url = url
        self._role = role
        self._most = most
        self._limits = {"idle": idle, "absolute": absolute}
        self._guard = threading.Lock()
        self._streams: set[Stream] = set()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._last_left = 0.0
        self._sessions_at = 0.0
        _hubs.add(self)

    def __len__(self) -> int:
        return len(self._streams)

    def join(self, session: bytes, connection: Any = None, *, hidden: frozenset[str] = frozenset()) -> Stream | None:
        """A stream of this session, which is told nothing of the lanes `hidden`; None where all slots, or all of one
        session, are taken.
        """
        with self._guard:
            own = sum(stream.session == session for stream in self._streams)
            if self._closing.is_set() or len(self._streams) >= self._most or own >= MOST_PER_SESSION:
                return None
            stream = Stream(session, connection, hidden)
            self._streams.add(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()
            return stream

    def leave(self, stream: Stream) -> None:
        with self._guard:
            self._streams.discard(stream)
            self._last_left = time.monotonic()

    def close(self) -> None:
        """End every stream and the thread."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=10)

    def _run(self) -> None:
        connection: Any = None
        tail, pause = Tail(), LOOK_EVERY_SECONDS
        try:
            while not self._finished():
                try:
                    if connection is None:
                        connection, tail = self._connect(), Tail()
                    with connection.cursor() as cursor:
                        self._look(cursor, tail)
                    pause = LOOK_EVERY_SECONDS
                except psycopg2.Error as error:
                    log.warning("LIVE_WITHOUT_DATABASE", error=type(error).__name__)
                    _close(connection)
                    connection, pause = None, min(2 * pause, LONGEST_BACKOFF_SECONDS)
                except Exception:
                    # Without this thread every open page would stand still and look as if it did not.
                    log.exception("LIVE_FAILED")
                    _close(connection)
                    connection, pause = None, LONGEST_BACKOFF_SECONDS
                self._closing.wait(pause)
        finally:
            _close(connection)
            self._end_streams()

    def _finished(self) -> bool:
        """Whether to stop: nobody listens any more, or the process ends. Then the next stream starts another thread."""
        with self._guard:
            unused = not self._streams and time.monotonic() - self._last_left > LINGER_SECONDS
            if not (unused or self._closing.is_set() or _process_stops()):
                return False
            self._thread = None
            return True

    def _connect(self) -> Any:
        connection = psycopg2.connect(
            self._url, **connect_arguments(self._role, name="dispatchlog live", statement_timeout_ms=5000)
        )
        connection.autocommit = True
        return connection

    def _look(self, cursor: Any, tail: Tail) -> None:
        news = tail.look(cursor)
        with self._guard:
            streams = list(self._streams)
        for stream in streams:
            stream.tell(news, tail.position)
        if streams and time.monotonic() - self._sessions_at > SESSIONS_EVERY_SECONDS:
            self._sessions_at = time.monotonic()
            known = still_open(cursor, {stream.session for stream in streams}, **self._limits)
            for stream in streams:
                if stream.session not in known:
                    stream.end()
                    continue
                stream.hidden = hidden_from(known[stream.session])
                if stream.writing_since and time.monotonic() - stream.writing_since > STALLED_SECONDS:
                    with contextlib.suppress(OSError, AttributeError):
                        stream.connection.shutdown(socket.SHUT_RDWR)

    def _end_streams(self) -> None:
        if self._closing.is_set() or _process_stops():
            with self._guard:
                streams = list(self._streams)
            for stream in streams:
                stream.end()


def _close(connection: Any) -> None:
    if connection is not None:
        with contextlib.suppress(psycopg2.Error):
            connection.close()


def _process_stops() -> bool:
    return any(check() for check in _stopping_checks)


_stopping_checks: list[Callable[[], bool]] = []
_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()


def close_all() -> None:
    """Close every hub of this process."""
    for hub in list(_hubs):
        hub.close()


def stops_when(check: Callable[[], bool]) -> None:
    """Tell the hubs how to see that the process ends: a web server waits for its requests, and these never end."""
    _stopping_checks.append(check)
