"""Spans in one process: their ids, what an error tells, and that without an address there is nothing of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dispatchlog.engine import spans
from dispatchlog.engine.spans import begin_span, configure_spans, span
from tests.scenarios.processes import wait_for
from tests.watching.otlp import Spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


PROGRAM = """
import sys, dashboard, scheduler, tasks
from dispatchlog.engine.spans import configure_spans, span
configure_spans("", process="worker")
with span("job") as one:
    one.note(lane="hl7")
    one.failed("TIMEOUT")
# Redis' own library imports other parts where it finds them.
sys.exit(any(name.startswith("opentelemetry.exporter") for name in sys.modules))
"""


def test_without_an_address_nothing_that_tells_is_imported() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)


def test_a_span_has_the_trace_id_and_says_of_an_error_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    received = Spans()
    monkeypatch.setattr(spans, "_spans", spans._Spans())
    configure_spans(received.url, process="worker")
    with pytest.raises(ValueError, match="Amina"), span("send", trace_id=TRACE):
        raise ValueError("Amina Rivers")
    begin_span("never ended", trace_id=TRACE)
    with span("other", trace_id="chat-77"):
        pass
    wait_for(lambda: "other" in received.names())
    assert received.of(TRACE) == {("worker", "send")}
    text = received.text()
    assert "ValueError" in text
    assert "Amina" not in text
    assert "chat-77" in text
    received.close()
