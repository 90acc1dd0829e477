"""The sandbox courier's jobs and drivers, who ride along a straight line: no map. Owns the simulated time; talks to nobody.

A job goes BOOKED, ASSIGNED, PICKED_UP, IN_TRANSIT, ARRIVED. What was accepted and what happened is in the journal before
anybody is told, and a sandbox that is started again with its journal goes on where it was.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from dispatchlog.gateways.courier_sandbox_script import Scenario, Script

ASSIGN_SECONDS = 75.0
APPROACH_SECONDS = 240.0
HANDOVER_SECONDS = 60.0
METRES_PER_SECOND = 8.0
LEAST_RIDE_SECONDS = 240.0
MOST_RIDE_SECONDS = 1_500.0
TICK_SECONDS = 0.05
_DRIVERS = ("Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot")
_METRES_PER_DEGREE = 111_195.0

Place = tuple[float, float]


class Stage(StrEnum):
    """Where a job is, in the sandbox's own words."""

    BOOKED = "BOOKED"
    DECLINED = "DECLINED"
    ASSIGNED = "ASSIGNED"
    PICKED_UP = "PICKED_UP"
    IN_TRANSIT = "IN_TRANSIT"
    ARRIVED = "ARRIVED"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


ENDED = frozenset({Stage.DELIVERED, Stage.FAILED, Stage.CANCELED})
WITH_DRIVER = frozenset({Stage.PICKED_UP, Stage.IN_TRANSIT, Stage.ARRIVED})


class CancelRefusedError(Exception):
    """The job is not cancelled; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Booking:
    """What is accepted: by which protocol, under which key, and what of its body matters here."""

    protocol: str
    key: str
    sha256: str
    order_number: str
    pickup: Place
    delivery: Place
    note: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job."""

    event_id: str
    stage: Stage
    at: datetime


@dataclass(slots=True)
class Job:
    """One accepted booking. `steps` are what is still to come, by itself: each with its simulated seconds before it."""

    number: int
    booking: Booking
    accepted_at: datetime
    scenario: Scenario
    events: list[Event] = field(default_factory=list)
    steps: list[tuple[float, Stage]] = field(default_factory=list)
    since: float = 0.0

    @property
    def job_id(self) -> str:
        return f"SB-{self.number:06d}"

    @property
    def leg_ids(self) -> tuple[int, int]:
        """Kwik's numbers of the two legs."""
        return 2 * self.number + 100_000, 2 * self.number + 100_001

    @property
    def event(self) -> Event:
        return self.events[-1]

    @property
    def stage(self) -> Stage:
        return self.event.stage

    @property
    def was_picked_up(self) -> bool:
        return any(event.stage in WITH_DRIVER for event in self.events)

    @property
    def driver(self) -> Mapping[str, str] | None:
        if self.stage in (Stage.BOOKED, Stage.DECLINED):
            return None
        name = _DRIVERS[self.number % len(_DRIVERS)]
        return {"name": f"Sample Driver {name}", "phone": f"+1555010{self.number % 100:04d}"}

    def as_json(self) -> dict[str, Any]:
        return {
            "jobId": self.job_id,
            "protocol": self.booking.protocol,
            "key": self.booking.key,
            "orderNumber": self.booking.order_number,
            "stage": self.stage,
            "events": [event.stage for event in self.events],
        }


Happened = Callable[[Job, Event], None]


class Journal:
    """An append-only file of JSON lines, each on the disk before its writer goes on."""

    def __init__(self, path: Path | None) -> None:
        self.lines: list[dict[str, Any]] = []
        self._descriptor = -1
        if path is not None:
            if path.exists():
                whole, _, torn = path.read_bytes().rpartition(b"\n")
                self.lines = [json.loads(line) for line in whole.splitlines()]
                if torn:  # it was never told to anybody
                    os.truncate(path, len(whole) + bool(whole))
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **line: Any) -> None:
        self.lines.append(line)
        if self._descriptor >= 0:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class World:
    """All jobs, and the time they live in. Thread-safe.

    Args:
        speed: simulated seconds per second; 0 stands still.
        happened: called with each new event of a job, in order, with no lock held.
    """

    def __init__(
        self,
        script: Script,
        *,
        speed: float = 1.0,
        journal: Path | None = None,
        happened: Happened | None = None,
    ) -> None:
        self.script = script
        self.speed = speed
        self._told = happened
        self._journal = Journal(journal)
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[tuple[str, str], Job] = {}
        self._now = 0.0
        self._lock = threading.RLock()
        self._telling = threading.Lock()
        for line in self._journal.lines:
            self._remember(line)
        for job in self._jobs.values():
            job.steps = _steps(job)
            if not job.events:  # it stopped just after it had accepted
                self._enter(job, Stage.BOOKED)
            job.steps = _still_to_come(job.stage, job.steps)

    # --- what clients do

    def book(self, booking: Booking) -> tuple[Job, bool]:
        """A new job, or (also returned: whether it is new) the one that was accepted under this key before."""
        with self._telling:
            with self._lock:
                known = self._by_key.get((booking.protocol, booking.key)) if booking.key else None
                if known is not None:
                    return known, False
                at = datetime.now(UTC)
                job = Job(len(self._jobs) + 1, booking, at, self._scenario(booking))
                job.since = self._now
                job.steps = _steps(job)
                self._journal.write(kind="job", number=job.number, at=at.isoformat(), **_booking_json(booking))
                self._keep(job)
                event = self._enter(job, Stage.BOOKED)
            self._happened(job, event)
        return job, True

    def cancel(self, job_id: str, *, key: str = "") -> Job | None:
        """The job, cancelled by this or before; None where there is none. Raises CancelRefusedError."""
        job = self.job(job_id)
        if job is None:
            return None
        with self._telling:
            with self._lock:
                if job.scenario.refuse_cancel or (job.was_picked_up and job.stage not in ENDED):
                    raise CancelRefusedError("ALREADY_PICKED_UP")
                if job.stage in ENDED - {Stage.CANCELED}:
                    raise CancelRefusedError("ALREADY_ENDED")
                self._journal.write(kind="cancel", jobId=job_id, key=key, at=datetime.now(UTC).isoformat())
                event = None if job.stage is Stage.CANCELED else self._enter(job, Stage.CANCELED)
            if event is not None:
                self._happened(job, event)
        return job

    def job(self, job_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job_id)

    def jobs(self, protocol: str = "") -> list[Job]:
        """Oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if protocol in ("", job.booking.protocol)]

    def journal(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._journal.lines)

    # --- what happens

    def move(self, job_id: str, stage: Stage) -> Job | None:
        """Let this happen to the job now, whatever comes usually; what comes after it goes on from there."""
        job = self.job(job_id)
        if job is not None:
            with self._telling:
                with self._lock:
                    event = self._enter(job, stage)
                self._happened(job, event)
        return job

    def pass_time(self, seconds: float) -> None:
        """Simulated seconds go by."""
        with self._telling:
            happened: list[tuple[Job, Event]] = []
            with self._lock:
                self._now += seconds
                for job in self._jobs.values():
                    while job.steps and self._now - job.since >= job.steps[0][0]:
                        since = job.since + job.steps[0][0]
                        happened.append((job, self._enter(job, job.steps[0][1])))
                        job.since = since
            for job, event in happened:
                self._happened(job, event)

    def position(self, job: Job) -> Place | None:
        """Where the driver is."""
        with self._lock:
            share = min(1.0, (self._now - job.since) / job.steps[0][0]) if job.steps else 1.0
        pickup, delivery = job.booking.pickup, job.booking.delivery
        if job.stage is Stage.ASSIGNED:
            return _between((pickup[0] + 0.012, pickup[1] - 0.009), pickup, share)
        if job.stage is Stage.PICKED_UP:
            return pickup
        if job.stage is Stage.IN_TRANSIT:
            return _between(pickup, delivery, share)
        return delivery if job.stage in (Stage.ARRIVED, Stage.DELIVERED) else None

    def eta_at(self, job: Job) -> datetime | None:
        """When it will be at the door, as things go now, told with each event."""
        with self._lock:
            names = [stage for _, stage in job.steps]
            if Stage.ARRIVED not in names or job.stage in ENDED:
                return None
            ahead = sum(seconds for seconds, _ in job.steps[: names.index(Stage.ARRIVED) + 1])
        return (job.event.at + timedelta(seconds=ahead / (self.speed or 1.0))).replace(microsecond=0)

    def run(self, stopped: threading.Event) -> None:
        """Let time go by until `stopped`."""
        last = time.monotonic()
        while not stopped.wait(TICK_SECONDS):
            last, before = time.monotonic(), last
            if self.speed:
                self.pass_time((last - before) * self.speed)

    def close(self) -> None:
        self._journal.close()

    def _happened(self, job: Job, event: Event) -> None:
        if self._told is not None:
            self._told(job, event)

    # --- with the lock held

    def _enter(self, job: Job, stage: Stage) -> Event:
        event = Event(f"evt-{job.job_id}-{len(job.events) + 1}", stage, datetime.now(UTC))
        self._journal.write(
            kind="event", jobId=job.job_id, eventId=event.event_id, stage=stage, at=event.at.isoformat()
        )
        job.events.append(event)
        job.steps = _still_to_come(stage, job.steps)
        job.since = self._now
        return event

    def _keep(self, job: Job) -> None:
        self._jobs[job.job_id] = job
        self._by_key.setdefault((job.booking.protocol, job.booking.key), job)

    def _scenario(self, booking: Booking) -> Scenario:
        again = sum(job.booking.order_number == booking.order_number for job in self._jobs.values())
        return self.script.scenario(booking.order_number if not again else f"{booking.order_number}#{again + 1}")

    def _remember(self, line: Mapping[str, Any]) -> None:
        if line["kind"] == "job":
            names = ("protocol", "key", "sha256", "order_number", "note")
            pickup, delivery = tuple(line["pickup"]), tuple(line["delivery"])
            booking = Booking(**{name: line[name] for name in names}, pickup=pickup, delivery=delivery)
            self._keep(Job(line["number"], booking, datetime.fromisoformat(line["at"]), self._scenario(booking)))
        elif line["kind"] == "event":
            event = Event(line["eventId"], Stage(line["stage"]), datetime.fromisoformat(line["at"]))
            self._jobs[line["jobId"]].events.append(event)


def _booking_json(booking: Booking) -> dict[str, Any]:
    return {name: getattr(booking, name) for name in Booking.__dataclass_fields__}


def _steps(job: Job) -> list[tuple[float, Stage]]:
    """Everything that will come, from the beginning."""
    scenario = job.scenario
    steps = [(ASSIGN_SECONDS, Stage.DECLINED)] * scenario.declines
    if scenario.ends == "waits":
        return steps
    steps.append((ASSIGN_SECONDS, Stage.ASSIGNED))
    if scenario.ends == "fails_at_pickup":
        return [*steps, (APPROACH_SECONDS, Stage.FAILED)]
    ride = metres(job.booking.pickup, job.booking.delivery) / METRES_PER_SECOND
    steps += [(APPROACH_SECONDS, Stage.PICKED_UP), (HANDOVER_SECONDS, Stage.IN_TRANSIT)]
    steps.append((min(max(ride, LEAST_RIDE_SECONDS), MOST_RIDE_SECONDS), Stage.ARRIVED))
    if scenario.ends == "fails":
        steps.append((HANDOVER_SECONDS, Stage.FAILED))
    if scenario.ends == "delivers":
        steps.append((scenario.deliver_after_seconds, Stage.DELIVERED))
    return steps


def _still_to_come(stage: Stage, steps: Sequence[tuple[float, Stage]]) -> list[tuple[float, Stage]]:
    """What comes after this stage: nothing after an end, all of it where the stage is none of the steps."""
    if stage in ENDED:
        return []
    found = [index for index, step in enumerate(steps) if step[1] is stage]
    return list(steps[found[0] + 1 :] if found else steps)


def metres(start: Place, end: Place) -> float:
    """As the crow flies, near enough for a town."""
    north = (end[0] - start[0]) * _METRES_PER_DEGREE
    east = (end[1] - start[1]) * _METRES_PER_DEGREE * math.cos(math.radians((start[0] + end[0]) / 2))
    return math.hypot(north, east)


def _between(start: Place, end: Place, share: float) -> Place:
    return round(start[0] + (end[0] - start[0]) * share, 6), round(start[1] + (end[1] - start[1]) * share, 6)
