"""The trace id of a request: taken from `X-Trace-Id` or `traceparent` where that is sane, else made. Owns the headers, the
request's span, and the log's line of each request that may change something.
"""

from __future__ import annotations

import structlog
from flask import Response, g, request

from dispatchlog.engine.spans import Span, begin_span
from dispatchlog.tracing import current_trace_id, new_trace_id, offered_trace_id, set_trace_id

HEADER = "X-Trace-Id"

log = structlog.get_logger(__name__)


def begin_trace() -> None:
    """Before the request: the trace id under which everything it causes is stored and logged."""
    offered = offered_trace_id(own=request.headers.get(HEADER, ""), traceparent=request.headers.get("traceparent", ""))
    set_trace_id(offered or new_trace_id())
    g.span = begin_span(f"{request.method} {_rule()}".strip(), trace_id=current_trace_id())


def finish_answer(answer: Response) -> Response:
    """After the request: the trace id as a header, and no cache may keep what was answered."""
    answer.headers[HEADER] = current_trace_id()
    answer.headers["Cache-Control"] = "no-store"
    span: Span | None = g.pop("span", None)
    if span is not None:
        span.note(status=answer.status_code)
        if answer.status_code >= 500:
            span.failed(str(answer.status_code))
        span.end()
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        log.info(
            "REQUEST_ANSWERED",
            method=request.method,
            rule=_rule(),
            status=answer.status_code,
            trace_id=current_trace_id(),
        )
    return answer


def _rule() -> str:
    """The rule and not the path, which names orders and people."""
    return f"{request.script_root}{request.url_rule.rule}" if request.url_rule else ""


def end_trace(_: BaseException | None = None) -> None:
    """When all is done: the thread's next request has a trace id of its own."""
    set_trace_id("")
