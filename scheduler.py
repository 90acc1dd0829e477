"""The clock, a process of its own: says when, and only enqueues. Run `dispatchlog scheduler` or `python scheduler.py`.

One scheduler leads by a session advisory lock, others stand by; besides, every occurrence is unique in the database, so
a job runs once per period however many clocks there are. Times are the database's, schedules are UTC, and a run that
was missed is made up for by the next one.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import peewee
import psycopg2
import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from dispatchlog import bulk
from dispatchlog.alert_watch import AlertWatch
from dispatchlog.audit import duties
from dispatchlog.broker import get_waker
from dispatchlog.engine.attempt_counts import keep_all_attempt_counts
from dispatchlog.engine.database import configure, connect_arguments, connected, fetch_one
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.escalation import close_settled
from dispatchlog.engine.move_counts import keep_all_counts
from dispatchlog.engine.presence import LEADER_LOCK, Presence
from dispatchlog.engine.replay import advance_all
from dispatchlog.engine.spans import configure_spans, span
from dispatchlog.engine.sweep import begin_occurrence, sweep
from dispatchlog.engine.tallies import Clocked, tallies
from dispatchlog.logs import configure_logs
from dispatchlog.retention import runs as retention
from dispatchlog.settings import Settings, get_settings
from dispatchlog.standing import objection
from dispatchlog.systems import registry
from dispatchlog.systems.courier import waking
from dispatchlog.systems.courier.following import follow_up
from dispatchlog.systems.courier.orders import open_gates
from dispatchlog.systems.kit_registering import cancel_for_cancelled_orders, register_missing
from dispatchlog.systems.kit_upstream import read_shipped_since
from dispatchlog.systems.outreach import fallback
from dispatchlog.systems.outreach import waking as outreach_waking
from dispatchlog.systems.outreach.campaigns import report_counts
from dispatchlog.systems.outreach.optimiser import rewards
from dispatchlog.systems.outreach.optimiser.switching import look_again
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.stats import rollup
from dispatchlog.systems.tickets.notifications import notify_unread
from dispatchlog.tracing import set_trace_id

log = structlog.get_logger("scheduler")

_HAS_LOCK = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND pid = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
# A leader looks at its lock once a second; one that is silent for this long is stopped or hangs, and loses it.
LEADER_SILENT_SECONDS = 30
# How often a job asks whether its period has begun; an occurrence is then at most this late.
CHECK_SECONDS = 60.0
REPLAY_SECONDS = 2
COUNT_SECONDS = 10
COUNT_MESSAGES_SECONDS = 2
FOLLOW_UP_SECONDS = 5
CAMPAIGN_REPORT_SECONDS = 10
WHO = f"scheduler:{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the timetable: what, when (seconds from midnight UTC, in steps of the period) and why."""

    name: str
    period_seconds: int
    run: Callable[[], object]
    why: str
    # Whether each period is recorded, so that it runs once. Without, `run` must bear to run twice at once.
    recorded: bool = True


def timetable(settings: Settings) -> tuple[Job, ...]:
    """Everything the clock does."""
    hourly = settings.sweep_seconds
    minutely = min(60, hourly)
    return (
        Job(
            "sweep:health_information",
            hourly,
            lambda: _sweep("health_information", hourly),
            "releases the forms whose day has passed",
        ),
        Job("find-shipped-orders", minutely, lambda: _find_shipped(minutely), "a lost message loses no registration"),
        Job("find-all-shipped-orders", hourly, register_missing, "the same, for orders nobody has touched lately"),
        Job("cancelled-orders", minutely, cancel_for_cancelled_orders, "what was cancelled upstream must not leave"),
        Job(
            "wake-lanes",
            minutely,
            _wake_lanes,
            "a lost wake-up costs a minute at the most, even with no worker's clock",
        ),
        Job(
            "replays", REPLAY_SECONDS, _advance_replays, "what was released is followed, then the next", recorded=False
        ),
        Job("settled-escalations", 60, _close_escalations, "a doubt that is settled needs nobody any more"),
        Job("bulk-runs", minutely, bulk.wake, "what was begun for many dispatches goes on, whatever stopped it"),
        Job(
            "wake-courier",
            minutely,
            _wake_courier,
            "what couriers told is applied, and those that tell nothing are asked",
        ),
        Job(
            "wake-outreach", minutely, _wake_outreach, "what providers and patients told is taken up, whatever was lost"
        ),
        Job("open-gates", minutely, open_gates, "what waited for a courier is booked once there is one"),
        Job(
            "courier-follow-up",
            FOLLOW_UP_SECONDS,
            follow_up,
            "a booking that failed or a refused cancellation is told to whoever looks at the order",
            recorded=False,
        ),
        Job(
            "outreach-fallback",
            FOLLOW_UP_SECONDS,
            fallback.follow_up,
            "what certainly did not reach a patient goes by another channel",
            recorded=False,
        ),
        Job(
            "campaigns",
            FOLLOW_UP_SECONDS,
            _wake_campaigns,
            "what is due of a campaign is taken up by workers, whatever was lost",
            recorded=False,
        ),
        Job("optimiser-rewards", minutely, rewards.close_all, "what was chosen is judged once its time is over"),
        Job("optimiser-proof", hourly, look_again, "what is on has to go on proving that it helps"),
        Job("retention", hourly, retention.run_at_night, "what is old enough leaves while few people work"),
        Job("unread-messages", minutely, notify_unread, "whoever has not read a ticket's messages gets a mail"),
        Job("segments", hourly, segments.evaluate_stale, "pages show how many patients a segment meant an hour ago"),
        Job(
            "count-moves",
            COUNT_SECONDS,
            lambda: keep_all_counts(started_by=WHO),
            "metrics need not count the whole log",
            recorded=False,
        ),
        Job(
            "count-attempts",
            COUNT_SECONDS,
            lambda: keep_all_attempt_counts(started_by=WHO),
            "nor every attempt",
            recorded=False,
        ),
        Job(
            "count-messages",
            COUNT_MESSAGES_SECONDS,
            rollup.fold_all,
            "figures of messages to patients are seconds behind at the most",
            recorded=False,
        ),
        Job(
            "campaign-reports",
            CAMPAIGN_REPORT_SECONDS,
            report_counts.refresh,
            "pages of large campaigns need not count a million lines",
            recorded=False,
        ),
        *(
            Job(name, seconds, run, why, recorded=seconds == duties.VERIFY_SECONDS)
            for name, seconds, run, why in duties.jobs_of(settings.audit_anchor, who=WHO)
        ),
    )


def _sweep(lane_name: str, period_seconds: int) -> None:
    sweep(registry.lane(lane_name), get_waker(), period_seconds=period_seconds, started_by=WHO)


def _find_shipped(period_seconds: int) -> None:
    read_shipped_since(datetime.now(UTC) - timedelta(seconds=max(600, 10 * period_seconds)))
    register_missing(updated_within_seconds=max(7200, 10 * period_seconds))


def _wake_lanes() -> None:
    for lane in registry.lanes():
        get_waker().wake(lane)


def _wake_courier() -> None:
    for actor in (waking.EVENTS, waking.POLLS):
        get_waker().hint(actor, queue=waking.EVENTS, actor=actor)


def _wake_outreach() -> None:
    for name in (outreach_waking.EVENTS, outreach_waking.INBOUND):
        get_waker().hint(name, queue=name, actor=name)


def _wake_campaigns() -> None:
    name = outreach_waking.CAMPAIGNS
    get_waker().hint(name, queue=name, actor=name)


def _advance_replays() -> None:
    advance_all(registry.lanes(), get_waker(), objection=objection)


def _close_escalations() -> None:
    close_settled(registry.lanes())


class Clock:
    """APScheduler behind a leader lock, with a guard against wall clocks that jump."""

    def __init__(self, settings: Settings, jobs: Sequence[Job]) -> None:
        self._settings = settings
        self._jobs = jobs
        self._stop = threading.Event()
        self._scheduler: Any = None
        self._lock_session = 0

    def run(self) -> None:
        """Stand by until this process leads, then keep the timetable until the lock is lost or `stop` is called."""
        while not self._stop.is_set():
            try:
                self._lead()
            except (psycopg2.Error, peewee.PeeweeException) as error:
                log.warning("SCHEDULER_WITHOUT_DATABASE", error=type(error).__name__)
                self._stop.wait(1.0)

    def stop(self) -> None:
        self._stop.set()

    def _lead(self) -> None:
        settings = self._settings
        arguments = connect_arguments(
            settings.application_role, name="dispatchlog scheduler lock", idle_seconds=LEADER_SILENT_SECONDS
        )
        lock = psycopg2.connect(settings.database_url, **arguments)
        lock.autocommit = True
        try:
            with lock.cursor() as cursor:
                while not self._stop.is_set():
                    cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", LEADER_LOCK)
                    if cursor.fetchone()[0]:
                        break
                    self._stop.wait(1.0)
                cursor.execute("SELECT pg_backend_pid()")
                self._lock_session = cursor.fetchone()[0]
                if not self._stop.is_set():
                    self._keep_time(cursor)
        finally:
            lock.close()

    def _keep_time(self, cursor: Any) -> None:
        log.info("SCHEDULER_LEADS")
        presence = Presence(self._settings.database_url, role=self._settings.application_role, kind="scheduler")
        presence.open()  # its heartbeat is what pages show as "the clock runs"
        self._start_jobs()
        drift = time.time() - boottime()
        try:
            while not self._stop.wait(1.0):
                cursor.execute("SELECT 1")  # raises when the lock's session is gone: somebody else may lead now
                if abs(time.time() - boottime() - drift) > 5:
                    # APScheduler waits for a wall-clock instant, and after a jump back it would wait for hours.
                    log.warning("CLOCK_JUMPED")
                    drift = time.time() - boottime()
                    self._scheduler.shutdown(wait=False)
                    self._start_jobs()
        finally:
            self._scheduler.shutdown(wait=True)
            presence.close()

    def _start_jobs(self) -> None:
        self._scheduler = BackgroundScheduler(timezone=UTC)
        for job in self._jobs:
            self._scheduler.add_job(
                _run_job,
                IntervalTrigger(seconds=_check_seconds(job), timezone=UTC),
                args=[job, self._leads],
                id=job.name,
                name=job.why,
                next_run_time=datetime.now(UTC),
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        self._scheduler.start()

    def _leads(self) -> bool:
        """Whether the session with the lock still has it: what is sent before a cut may arrive when another one leads."""
        with connected():
            return bool(fetch_one(_HAS_LOCK, (*LEADER_LOCK, self._lock_session))[0])


def _check_seconds(job: Job) -> float:
    if not job.recorded:
        return job.period_seconds
    return min(CHECK_SECONDS, max(0.5, job.period_seconds / 4))


def _run_job(job: Job, leads: Callable[[], bool]) -> None:
    tallies.put("job_period", job.name, value=job.period_seconds)
    try:
        if not leads():
            return
        if job.name.startswith("sweep:") or not job.recorded:
            _run(job)  # a lane's sweep claims its own occurrence
        elif begin_occurrence(job.name, period_seconds=job.period_seconds, started_by=WHO) is not None:
            _run(job)
    except (psycopg2.Error, peewee.PeeweeException) as error:
        log.warning("JOB_FAILED", job=job.name, error=type(error).__name__)


def _run(job: Job) -> None:
    set_trace_id("")  # what this thread did before is another's story
    with Clocked("job", job.name), span(f"job {job.name}"):
        job.run()


def main() -> int:
    """Run the product's timetable until SIGTERM or SIGINT; the exit code comes back."""
    settings = get_settings()
    AlertWatch(settings, registry.lanes, kind="scheduler").start()  # its pool is ready before its first look
    return keep_time(settings, timetable(settings))


def keep_time(settings: Settings, jobs: Sequence[Job]) -> int:
    """Run these jobs until SIGTERM or SIGINT; the exit code comes back."""
    configure_logs(settings.log_level, errors_apart=True)
    tallies.configure(settings.effective_redis_url, process="scheduler")
    configure_spans(settings.otlp_url, process="scheduler")
    configure(settings.database_url, role=settings.application_role, name="dispatchlog scheduler", max_connections=10)
    clock = Clock(settings, jobs)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: clock.stop())
    clock.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
