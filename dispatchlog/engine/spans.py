"""Spans for OpenTelemetry, under the trace ids that rows and logs have. Owns their making; nothing leaves, and nothing of
OpenTelemetry is imported, unless `configure_spans` was given an address.

Attributes are lanes, gateways, routes, ids, codes and numbers; never a text of or about a person, nor an error's words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dispatchlog.tracing import is_w3c

_EXPORT_AFTER_MS = 1_000
_EXPORT_SECONDS = 5
_asked: ContextVar[int] = ContextVar("dispatchlog_span_trace_id", default=0)


class Span:
    """One span under way; without an address it is nothing."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def note(self, **attributes: str | int | float | bool) -> None:
        """What is known of it by now; names get `dispatchlog.` before them."""
        if self._span is not None:
            self._span.set_attributes({f"dispatchlog.{name}": value for name, value in attributes.items()})

    def failed(self, kind: str) -> None:
        """It went wrong; `kind` is a code or an error's type."""
        if self._span is None:
            return
        from opentelemetry.trace import StatusCode  # noqa: PLC0415  only where an address is set

        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """It is over, and will be told. One that is never ended is never told."""
        if self._span is not None:
            self._span.end()


_NOTHING = Span()


class _Spans:
    """Those of one process."""

    def __init__(self) -> None:
        self.tracer: Any = None


_spans = _Spans()


def configure_spans(url: str, *, process: str) -> None:
    """Tell spans to the OTLP receiver (HTTP, protobuf) at `url`, without a path; once in each process, after any fork.

    Raises:
        ValueError: there is an address, and the extra `otel` is not installed.
    """
    if not url:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415
    except ImportError as error:
        raise ValueError("DISPATCHLOG_OTLP_URL is set: install dispatchlog[otel], or unset it") from error

    class Ids(RandomIdGenerator):
        """The trace id that was asked for, where one was."""

        def generate_trace_id(self) -> int:
            return _asked.get() or super().generate_trace_id()

    resource = Resource.create({"service.name": "dispatchlog", "service.instance.kind": process})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_AFTER_MS))
    _spans.tracer = provider.get_tracer("dispatchlog")


def begin_span(name: str, *, trace_id: str = "") -> Span:
    """A span that begins now and ends with `end`, under `trace_id` or one of its own.

    OpenTelemetry's ids are 32 hexadecimal digits; of one in another form its SHA-256 begins the id, and it stands beside.
    """
    if _spans.tracer is None:
        return _NOTHING
    token = _asked.set(_as_number(trace_id) if trace_id else 0)
    try:
        from opentelemetry.context import Context  # noqa: PLC0415  only where an address is set

        found = Span(_spans.tracer.start_span(name, context=Context()))
    finally:
        _asked.reset(token)
    if trace_id:
        found.note(trace_id=trace_id)
    return found


@contextmanager
def span(name: str, *, trace_id: str = "") -> Iterator[Span]:
    """The same around a block; an error in it is told by its type alone, and passes through."""
    here = begin_span(name, trace_id=trace_id)
    try:
        yield here
    except BaseException as error:
        here.failed(type(error).__name__)
        raise
    finally:
        here.end()


def _as_number(trace_id: str) -> int:
    digits = trace_id if is_w3c(trace_id) else hashlib.sha256(trace_id.encode()).hexdigest()[:32]
    return int(digits, 16)
