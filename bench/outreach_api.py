"""How many messages to patients the API takes, and how long each request waits: `python -m bench.outreach_api [--count N]`.

The dashboard's own server with its two workers, PostgreSQL with durable commits, and the load from a process of its own,
all on the same cores. No worker of the product runs: what is measured is deciding, writing and keeping. Beside it, in the
same run, a bare page of the same server (`/healthz`) is asked as fast as it answers: the ratio says what the orchestrator
itself costs. Every request must be answered with 200 and be one job. Prints a table and, as its last line, one JSON
object; the exit code is 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from bench.courier import loaded, spent
from bench.listening import served_dashboard
from bench.processes import MeasuringFailed, worker_environment
from bench.servers import query, started_servers
from dispatchlog.engine.database import configure, database
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.inputs import Asker, OrganizationInput, PatientInput
from dispatchlog.systems.outreach.patients import put_organization, put_patient
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates

GOAL_PER_SECOND = 500
PATIENTS = 500
PATH, BARE = "/api/v1/comm/schedule", "/healthz"


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement."""

    name: str
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    dashboard_cpu_ms: float
    postgres_cpu_ms: float


def fill(env: Mapping[str, str], directory: Path) -> Path:
    """An organisation, its patients, the standard texts and a token; what the load needs of it stands in a file."""
    os.environ |= env
    get_settings.cache_clear()
    settings = get_settings()
    configure(settings.database_url, role=settings.application_role, name="bench", max_connections=2)
    ensure_standard_templates()
    clinic, asker = uuid4(), Asker("bench")
    put_organization(OrganizationInput(clinic, "Sample Clinic", "+12025550100", "US"), source="bench")
    patients = [uuid4() for _ in range(PATIENTS)]
    for number, patient in enumerate(patients):
        put_patient(
            PatientInput(
                patient,
                f"Sample Patient {number}",
                organization_id=clinic,
                email=f"p{number}@example.org",
                country="US",
            ),
            source="bench",
            asker=asker,
        )
    given = directory / "given.json"
    token = create_token("bench", ["comm:write"], "bench")
    given.write_text(json.dumps({"token": token, "patients": [str(patient) for patient in patients]}))
    database.close_all()
    return given


def load(address: str, given: Path, *, path: str, count: int, rate: float, run: str) -> Mapping[str, object]:
    """What the load's process found.

    Raises:
        MeasuringFailed: it failed, or a request was answered with something else than 200.
    """
    argv = [sys.executable, "-m", "bench.outreach_load", "--at", address.removeprefix("http://"), "--run", run]
    argv += ["--path", path, "--given", str(given), "--count", str(count), "--rate", str(rate)]
    return loaded(argv, count)


def measure(address: str, given: Path, *, name: str, path: str, count: int, rate: float = 0.0) -> Taken:
    """One load."""
    before = spent()
    found = load(address, given, path=path, count=count, rate=rate, run=name.replace(" ", "-"))
    dashboard, postgres = ((after - then) * 1000 / count for after, then in zip(spent(), before, strict=True))
    taken: Sequence[float] = found["milliseconds"]  # type: ignore[assignment]
    seconds = float(found["seconds"])  # type: ignore[arg-type]
    p99 = taken[math.ceil(0.99 * count) - 1]
    return Taken(name, count, count / seconds, statistics.median(taken), p99, dashboard, postgres)


def report(found: Sequence[Taken]) -> int:
    """Print the table and the JSON; 0 where the goal was met."""
    print(f"{'':<34}{'requests':>10}{'per s':>8}{'p50 ms':>8}{'p99 ms':>8}{'cpu ms':>12}")
    for each in found:
        cpu = f"{each.dashboard_cpu_ms:.1f} + {each.postgres_cpu_ms:.1f}"
        print(
            f"{each.name:<34}{each.requests:>10}{each.per_second:>8.0f}{each.p50_ms:>8.1f}{each.p99_ms:>8.1f}{cpu:>12}"
        )
    bare, asked = found[0], found[1]
    met = asked.per_second >= GOAL_PER_SECOND
    print(
        json.dumps(
            {
                "goal_per_s": GOAL_PER_SECOND,
                "met": met,
                "ratio_to_a_bare_page": asked.per_second / bare.per_second,
                "load": os.getloadavg()[0],
                "figures": [asdict(each) for each in found],
            }
        )
    )
    return 0 if met else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.outreach_api", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many requests")
    options = parser.parse_args()
    with started_servers() as servers, servers.filled_database() as url:
        env = {**worker_environment(servers, url), "DISPATCHLOG_SECRET_KEY": "benchmark " * 5}
        given = fill(env, servers.directory)
        with served_dashboard(env, servers.directory / "dashboard.log") as address:
            for path in (BARE, PATH):
                load(address, given, path=path, count=300, rate=0, run=f"warm{len(path)}")
            found = [
                measure(address, given, name="a bare page", path=BARE, count=options.count),
                measure(address, given, name="as many as it takes", path=PATH, count=options.count),
            ]
            stored = query(url, "SELECT count(*) FROM comm_jobs")[0][0]
            if stored != options.count + 300:
                raise MeasuringFailed(f"{stored} of {options.count + 300} jobs are stored")
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
