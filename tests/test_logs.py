"""An outage of the broker is one line in the log, not one per consumer and try."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq import worker as dramatiq_worker

from dispatchlog.broker import make_broker
from dispatchlog.logs import OncePerOutage

_ENOUGH = 20


class Lines(logging.Handler):
    """What got through to a log; `enough` is set after many lines."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.enough = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        if len(self.texts) >= _ENOUGH:
            self.enough.set()


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lines, Lines, Lines]]:
    """What Dramatiq's consumers log of a broker that is away: all of it, once per outage, and where others tell."""
    monkeypatch.setattr(dramatiq_worker, "CONSUMER_RESTART_DELAY_SECS", 0.01)
    everything, once, elsewhere = Lines(), Lines(), Lines()
    once.addFilter(OncePerOutage(told_elsewhere=False))
    elsewhere.addFilter(OncePerOutage(told_elsewhere=True))
    logger = logging.getLogger("dramatiq")
    monkeypatch.setattr(logger, "handlers", [once, elsewhere, everything])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.INFO)
    broker = make_broker("redis://127.0.0.1:1/0")
    dramatiq.actor(lambda: None, actor_name="drain", queue_name="dispatch", broker=broker)
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    everything.enough.wait(timeout=120)
    logger.info("something else")
    yield everything, once, elsewhere
    worker.stop()
    logger.setLevel(logging.NOTSET)


def test_consumers_without_a_broker_write_one_line_and_none_where_another_log_tells(
    outage: tuple[Lines, Lines, Lines],
) -> None:
    everything, once, elsewhere = outage
    assert sum("connection error" in text for text in everything.texts) > 5
    assert [text for text in once.texts if "onsumer" in text] == [everything.texts[0]]
    assert [text for text in elsewhere.texts if "onsumer" in text] == []
    for lines in outage:
        assert "something else" in lines.texts


def test_warnings_and_worse_are_kept_apart_from_the_rest_also_where_dramatiq_has_put_one_stream_in_place_of_both() -> (
    None
):
    program = (
        "import sys, io, structlog; from dispatchlog.logs import configure_logs; sys.stdout = sys.stderr = io.StringIO();"
        "configure_logs('info', errors_apart=True); log = structlog.get_logger();"
        "log.debug('D'); log.info('I'); log.log(20, 'L'); log.warning('W'); log.error('E'); log.exception('X')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert [json.loads(line)["event"] for line in ended.stdout.splitlines()] == ["I", "L"]
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == ["W", "E", "X"]
