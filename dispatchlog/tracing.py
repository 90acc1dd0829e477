"""The trace id that goes with a request through rows, providers and logs. Owns the variable; sends nothing anywhere."""

from __future__ import annotations

import uuid
from contextvars import ContextVar

_trace_id: ContextVar[str] = ContextVar("dispatchlog_trace_id", default="")


def new_trace_id() -> str:
    """A fresh id: 32 hexadecimal digits, as W3C Trace Context section 3.2.2.3 has them."""
    return uuid.uuid4().hex


def set_trace_id(trace_id: str) -> None:
    """Use `trace_id` for what this thread or task does from here on."""
    _trace_id.set(trace_id)


def current_trace_id() -> str:
    """The trace id in force, made on first use."""
    if not _trace_id.get():
        _trace_id.set(new_trace_id())
    return _trace_id.get()
