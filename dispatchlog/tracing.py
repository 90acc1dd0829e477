"""The trace id that goes with a request through rows, providers and logs. Owns the variable and what is taken for an id
from others; sends nothing anywhere.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

_trace_id: ContextVar[str] = ContextVar("dispatchlog_trace_id", default="")


# It goes into logs, rows and headers, so nothing that could break out of any of them.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_W3C = re.compile(r"(?!0{32})[0-9a-f]{32}")
# Version, trace id, parent id, flags; later versions may have more (W3C Trace Context section 4.3).
_TRACEPARENT = re.compile(
    rf"(?!ff)[0-9a-f]{{2}}-(?P<trace_id>{_W3C.pattern})-(?!0{{16}})[0-9a-f]{{16}}-[0-9a-f]{{2}}(?:-.*)?"
)


def offered_trace_id(*, own: str, traceparent: str) -> str:
    """The id that a caller names: by our own header where that is sane, else by W3C's; "" where it names none."""
    if _SANE.fullmatch(own):
        return own
    found = _TRACEPARENT.fullmatch(traceparent.strip()[:512])
    return found["trace_id"] if found else ""


def is_w3c(trace_id: str) -> bool:
    """Whether it is a trace id as W3C Trace Context section 3.2.2.3 has them, which others' systems take too."""
    return _W3C.fullmatch(trace_id) is not None


def new_trace_id() -> str:
    """A fresh id: 32 hexadecimal digits, as W3C Trace Context section 3.2.2.3 has them."""
    return uuid.uuid4().hex


def set_trace_id(trace_id: str) -> None:
    """Use `trace_id` for what this thread or task does from here on."""
    _trace_id.set(trace_id)


def known_trace_id() -> str:
    """The trace id in force, "" where none is."""
    return _trace_id.get()


def current_trace_id() -> str:
    """The trace id in force, made on first use."""
    if not _trace_id.get():
        _trace_id.set(new_trace_id())
    return _trace_id.get()
