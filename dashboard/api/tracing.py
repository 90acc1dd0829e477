"""The trace id of a request: taken from `X-Trace-Id` where that is sane, else made. Owns the header, nothing else."""

from __future__ import annotations

import re

from flask import Response, request

from dispatchlog.tracing import current_trace_id, new_trace_id, set_trace_id

HEADER = "X-Trace-Id"
# It goes into logs, rows and headers, so nothing that could break out of any of them.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def begin_trace() -> None:
    """Before the request: the trace id under which everything it causes is stored and logged."""
    offered = request.headers.get(HEADER, "")
    set_trace_id(offered if _SANE.fullmatch(offered) else new_trace_id())


def finish_answer(answer: Response) -> Response:
    """After the request: the trace id as a header, and no cache may keep what was answered."""
    answer.headers[HEADER] = current_trace_id()
    answer.headers["Cache-Control"] = "no-store"
    return answer


def end_trace(_: BaseException | None = None) -> None:
    """When all is done: the thread's next request has a trace id of its own."""
    set_trace_id("")
