"""Structured logs: constant event names and fields, never bodies, names, addresses, numbers or codes. Configures only."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time

import structlog
from structlog.typing import EventDict, WrappedLogger

from dispatchlog.settings import get_settings
from dispatchlog.tracing import known_trace_id

# A consumer tries again every three seconds, so after this silence an error begins a new outage.
OUTAGE_OVER_AFTER_SECONDS = 30.0
_OF_AN_OUTAGE = ("Consumer encountered a connection error", "Restarting consumer in", "Failed to post_process_message")

# What PostgreSQL adds to an error may be a whole row, recipient and all.
_ROWS = re.compile(
    r"\n(?:DETAIL|CONTEXT|LINE \d+): .*?(?=\n+(?:The above exception was|During handling of the above)|\Z)", re.DOTALL
)
_plain = logging.Formatter()

# What a person at a shell is told instead of an event.
_NOT_WOKEN = "note: Redis or the broker does not answer: no worker was woken; they find what is due by their own clocks"
_SENTENCES = {"REDIS_AWAY": _NOT_WOKEN, "WAKE_UP_NOT_SENT": _NOT_WOKEN}


class _Apart:
    """Writes warnings and worse to standard error and the rest to standard output.

    To the process's own, for Dramatiq gives its workers one stream in the place of both.
    """

    def __init__(self, *_: object) -> None:
        self._out = structlog.WriteLogger(sys.__stdout__)
        self._err = structlog.WriteLogger(sys.__stderr__)
        self.debug = self.info = self._out.msg
        self.warning = self.error = self.critical = self.exception = self._err.msg


def configure_logs(level: str = "info", *, errors_apart: bool = False) -> None:
    """One JSON object per line on standard error; key=value lines on a terminal.

    With `errors_apart`, what is less than a warning goes to standard output, so that the two can be kept in two files.
    """
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer(colors=terminal) if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_trace_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _exception_without_rows,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_Apart if errors_apart else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    settings = get_settings()
    told = settings.effective_broker_url == settings.effective_redis_url
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerOutage(told_elsewhere=told))
        handler.addFilter(WithoutRows())
        handler.addFilter(without_arguments)


def without_rows(text: str) -> str:
    """A traceback without the values that PostgreSQL quotes in an error."""
    return _ROWS.sub("", text)


class WithoutRows(logging.Filter):
    """Takes those values out of every traceback that is logged through it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            record.exc_text = without_rows(_plain.formatException(record.exc_info))
            record.exc_info = None
        return True


def without_arguments(record: logging.LogRecord) -> bool:
    """Names a message by its actor and id wherever Dramatiq would write out what it carries; lets every line through."""
    if record.name.startswith("dramatiq.") and isinstance(record.args, tuple):
        record.args = tuple(map(_named, record.args))
    return True


def _named(part: object) -> object:
    actor = getattr(part, "actor_name", None)
    return part if actor is None else f"{actor}({getattr(part, 'message_id', '')})"


def _with_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Under which trace id it happened, where the event does not say and there is one."""
    if known_trace_id():
        event.setdefault("trace_id", known_trace_id())
    return event


def _exception_without_rows(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if isinstance(event.get("exception"), str):
        event["exception"] = without_rows(event["exception"])
    return event


class OncePerOutage(logging.Filter):
    """Lets one line through where Dramatiq's six consumers write twelve every three seconds.

    Args:
        told_elsewhere: our own log says already when this broker goes away, so not even the one line is needed.
    """

    def __init__(self, *, told_elsewhere: bool) -> None:
        super().__init__()
        self._told_elsewhere = told_elsewhere
        self._guard = threading.Lock()
        self._last = -OUTAGE_OVER_AFTER_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        if not (record.name.startswith("dramatiq.worker.") and str(record.msg).startswith(_OF_AN_OUTAGE)):
            return True
        with self._guard:
            now = time.monotonic()
            begins = now - self._last >= OUTAGE_OVER_AFTER_SECONDS
            self._last = now
        return begins and not self._told_elsewhere


def speak_in_sentences() -> None:
    """For commands that a person runs: warnings on standard error, those we know as a sentence, and each only once."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, _Sentences()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Sentences:
    """Renders events for people."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._other = structlog.dev.ConsoleRenderer(colors=False)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        name = event["event"]
        if name not in _SENTENCES:
            return str(self._other(logger, method, event))
        if name in self._said:
            raise structlog.DropEvent
        self._said.add(name)
        return _SENTENCES[name]
