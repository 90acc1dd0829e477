"""How fast messages to patients are scheduled and sent: `python -m bench.outreach [--jobs N] [--processes N]`.

Requests go to the orchestrator from four threads of this process; then worker processes send all the mails to a local SMTP
server, which tells how often it took each. Prints a table and, as its last line, one JSON object; the exit code is 1 where
a message was sent twice or not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import UUID, uuid4

from bench.outside import started_provider
from bench.processes import worker_environment
from bench.servers import Servers, query, started_servers
from dispatchlog.engine.database import configure, connected, database
from dispatchlog.local.server import end_process
from dispatchlog.settings import get_settings
from dispatchlog.supervisor import spawn
from dispatchlog.systems.outreach import patients, templates
from dispatchlog.systems.outreach.inputs import Asker, PatientInput, ScheduleInput
from dispatchlog.systems.outreach.scheduling import schedule
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import TemplateInput, Variable

THREADS = 4
PATIENTS = 1_000
ASKER = Asker("service:bench")
BODY = "Hello {{ patient_first_name }}, your appointment at {{ organization_name }} is on {{ day }}."
# Nobody's night keeps a message back, whenever this runs.
_AWAKE = "UPDATE comm_pref_defaults SET quiet_start = '00:00', quiet_end = '00:00'"
_LEFT = "SELECT count(*) FROM comm_jobs WHERE status IN ('PENDING', 'QUEUED')"
_PROVIDER = {
    "DISPATCHLOG_OUTREACH_SMS": "twilio",
    "DISPATCHLOG_TWILIO_ACCOUNT_SID": "AC1",
    "DISPATCHLOG_TWILIO_AUTH_TOKEN": "token",
    "DISPATCHLOG_TWILIO_FROM": "+12025550199",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests per second by channel, and how the mails left."""

    sms_requests_per_second: float
    mail_requests_per_second: float
    jobs: int
    processes: int
    seconds: float
    jobs_per_second: float
    twice: int
    never: int


@contextmanager
def _in_environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    get_settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        get_settings.cache_clear()


def measure(servers: Servers, *, jobs: int, processes: int) -> Figures:
    """Schedule by SMS, then by e-mail, then send the mails."""
    with servers.filled_database(_AWAKE) as url, started_provider() as provider:
        env = {
            **worker_environment(servers, url),
            **_PROVIDER,
            "DISPATCHLOG_SECRET_KEY": "a secret for the benchmark only",
            "DISPATCHLOG_SMTP_URL": provider.smtp_url,
        }
        with _in_environment(env):
            settings = get_settings()
            configure(url, role=settings.application_role, name="bench", max_connections=THREADS + 1, by_index=True)
            try:
                ids = _people()
                sms = _requests_per_second(ids, Channel.SMS, PATIENTS)
                # nosemgrep: status-written-outside-the-engine  (a benchmark's own rows)
                query(url, "UPDATE comm_jobs SET status = 'CANCELLED' WHERE channel = 'sms' RETURNING 1")
                mail = _requests_per_second(ids, Channel.EMAIL, jobs)
            finally:
                database.close_all()
            seconds = _seconds_to_send(url, processes=processes)
        taken = Counter(message_id for message_id, _ in provider.accepted())
    twice = sum(1 for times in taken.values() if times > 1)
    return Figures(
        round(sms, 1),
        round(mail, 1),
        jobs,
        processes,
        round(seconds, 2),
        round(jobs / seconds, 1),
        twice,
        jobs - len(taken),
    )


def _people() -> list[UUID]:
    with connected():
        for channel in (Channel.SMS, Channel.EMAIL):
            templates.create(
                TemplateInput(
                    f"bench {channel}",
                    Purpose.APPT_REMINDER,
                    channel,
                    "en",
                    "Your appointment" if channel is Channel.EMAIL else None,
                    BODY,
                    variables=(Variable("day"),),
                ),
                asker=ASKER,
            )
        found = [uuid4() for _ in range(PATIENTS)]
        for number, patient_id in enumerate(found):
            person = PatientInput(
                patient_id,
                f"Sample Patient {number}",
                email=f"sample.{number}@example.org",
                phone=f"+3361234{number:04}",
                country="FR",
                timezone="Europe/Paris",
            )
            patients.put_patient(person, source="bench", asker=ASKER)
    return found


def _requests_per_second(ids: list[UUID], channel: Channel, requests: int) -> float:
    def ask(number: int) -> None:
        wanted = ScheduleInput(
            ids[number % len(ids)],
            Purpose.APPT_REMINDER,
            variables={"day": "3 March"},
            preferred_channel=channel,
            request_key=f"{channel}-{number}",
        )
        schedule(wanted, asker=ASKER, trace_id="bench")

    with ThreadPoolExecutor(THREADS) as pool:
        began = time.perf_counter()
        list(pool.map(ask, range(requests)))
        return requests / (time.perf_counter() - began)


def _seconds_to_send(url: str, *, processes: int) -> float:
    argv = [sys.executable, "-m", "dispatchlog.cli", "worker", "--processes", str(processes), "--lane", "comm_job"]
    began = time.perf_counter()
    worker = spawn(argv, env=dict(os.environ), output=subprocess.DEVNULL)
    try:
        while query(url, _LEFT)[0][0]:
            if worker.poll() is not None:
                raise RuntimeError(f"the workers ended with code {worker.returncode}")
            time.sleep(0.1)
        return time.perf_counter() - began
    finally:
        end_process(worker, signals=(signal.SIGTERM,), seconds_each=40.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.outreach", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with started_servers() as servers:
        figures = measure(servers, jobs=options.jobs, processes=options.processes)
    for name, value in asdict(figures).items():
        print(f"{name.replace('_', ' '):28}{value:>12}")
    print(json.dumps(asdict(figures)))
    return int(figures.twice > 0 or figures.never > 0)


if __name__ == "__main__":
    sys.exit(main())
