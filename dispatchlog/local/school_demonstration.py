"""The schools that `dispatchlog up` brings along: their endpoints at its test exchange, and visits one after the other.

Talks to the product as a clinic does; writes no table itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dispatchlog.engine.database import connected, fetch_dicts, fetch_one
from dispatchlog.local.directory import choose_port
from dispatchlog.local.loading import load_sample
from dispatchlog.local.school_sample import API_KEY, SCHOOLS, SampleSchool, exchange_script, sample_visits
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.visits import VISIT_EXISTS, record_visit

VISITS = 64
AT_ONCE = 16
SECONDS_BETWEEN = 1.5
SOURCE = "sample-clinic"


@dataclass(frozen=True, slots=True)
class ExchangeAt:
    """Where the test exchange of this folder listens, and what it answers from."""

    port: int
    http_port: int
    script: Path

    @classmethod
    def of(cls, var: Path) -> ExchangeAt:
        """The same ports as the last time if they are free; a script that somebody changed stays as it is."""
        script = var / "exchange.json"
        if not script.exists():
            script.write_text(json.dumps(exchange_script(), indent=2) + "\n")
        return cls(choose_port(var / "exchange.port"), choose_port(var / "exchange-http.port"), script)

    def command(self) -> list[str]:
        """The exchange's process."""
        ports = ["--port", str(self.port), "--http-port", str(self.http_port)]
        module = [sys.executable, "-m", "dispatchlog.gateways.hl7_exchange"]
        return [*module, *ports, "--script", str(self.script), "--api-key", API_KEY]


def main() -> int:
    """`PORT HTTP_PORT`: point the sample's schools at the exchange and load what is missing; the exit code comes back."""
    port, http_port = map(int, sys.argv[1:3])

    def load(_: Settings) -> None:
        for school in SCHOOLS:
            _point(school, port, http_port)
        _load()

    return load_sample(load, what="the schools")


def _point(school: SampleSchool, port: int, http_port: int) -> None:
    """Make the school, or say where the exchange is now; what somebody else changed stays."""
    address = (
        {"url": f"http://127.0.0.1:{http_port}/hl7"}
        if school.over_http
        else {"host": "127.0.0.1", "port": port, "tls": False}
    )
    try:
        schools.add_school(school.code, school.name, actor="sample")
    except schools.SchoolError as error:
        if error.code != "SCHOOL_EXISTS":
            raise
        if _is_elsewhere(school.code, address):
            schools.change_endpoint(school.code, address, actor="sample", reason="where the test exchange is now")
    else:
        settings = {"enabled": True, **school.settings, **address}
        schools.change_endpoint(school.code, settings, actor="sample", reason=school.why)


def _is_elsewhere(code: str, address: Mapping[str, object]) -> bool:
    """Whether the endpoint has another address than this, and nobody but the sample has ever changed it."""
    with connected():
        (row,) = fetch_dicts(
            "SELECT e.* FROM hl7_endpoints e JOIN schools s ON s.id = e.school_id WHERE s.code = %s", (code,)
        )
    return row["updated_by"] == "sample" and any(row[name] != value for name, value in address.items())


def _load() -> None:
    with connected():
        stored = fetch_one("SELECT count(*) FROM (SELECT FROM visits WHERE source = %s LIMIT %s) v", (SOURCE, VISITS))[
            0
        ]
    if stored == VISITS:
        return
    print(f"{len(SCHOOLS)} sample schools report {VISITS} visits in the next minute or so", flush=True)
    for position, (school, visit) in enumerate(sample_visits(VISITS, seed=7, now=datetime.now(UTC))):
        if position >= max(AT_ONCE, stored):
            time.sleep(SECONDS_BETWEEN)
        try:
            record_visit(school, visit, source=SOURCE)
        except VisitError as error:
            if error.code != VISIT_EXISTS:  # as it was reported an hour ago, before the sample was begun again
                raise
    print("the schools' visits are complete", flush=True)


if __name__ == "__main__":
    sys.exit(main())
