"""The API of a running dashboard against its own description, by Schemathesis. `make fuzz` runs this module for longer.

Requests carry a token of every scope; where a route is a person's, one of a doctor. All checks are on but one: that what
the schema allows is accepted. A schema cannot say which telephone number exists, or which version of a template is the
newest; such a request is refused with a code of its own, and that the refusal is a documented one is checked.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx

from dashboard.api import ROUTES
from dispatchlog.engine.database import configure, connected, database
from dispatchlog.service_tokens import SCOPES, create_token
from tests.dashboard.web_process import web_process
from tests.ports import free_port
from tests.servers import fresh_database, started_servers

ROOT = Path(__file__).parent.parent.parent
SCHEMATHESIS = ROOT / ".scanners" / "bin" / "schemathesis"


@dataclass(frozen=True)
class Target:
    """A running dashboard, and who asks it."""

    address: str
    token: str
    person_token: str


@contextmanager
def fuzzed_server(database_url: str, redis_url: str) -> Iterator[Target]:
    """A dashboard on this database, a service with every scope, and a doctor."""
    configure(database_url, role="dispatchlog_app", name="fuzzing")
    try:
        with connected():
            token = create_token("fuzzing", list(SCOPES), "tests")
    finally:
        database.close_all()
    port = free_port()
    env = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DISPATCHLOG_SECRET_KEY": "of the fuzzed server alone",
        "DISPATCHLOG_WEBHOOK_RATE_PER_SECOND": "0",
    }
    with web_process(port, **env):
        address = f"http://127.0.0.1:{port}"
        yield Target(address, token, _doctor(address, token))


def _doctor(address: str, token: str) -> str:
    """A person's token, good for a quarter of an hour."""
    person = uuid4()
    with httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        party = {"kind": "doctor", "name": "Dr. Ada Example"}
        client.put(f"/parties/{person}", json=party).raise_for_status()
        client.put(f"/people/{person}", json={"name": "Dr. Ada Example", "partyId": str(person)}).raise_for_status()
        answer = client.post(f"/people/{person}/access-token", json={}).raise_for_status()
    return str(answer.json()["token"])


def configuration(target: Target) -> str:
    """Schemathesis's, as TOML: who asks which routes."""
    persons = ", ".join(f'"{route.name}"' for route in ROUTES if not route.scope)
    return f"""
[headers]
Authorization = "Bearer {target.token}"

[checks.positive_data_acceptance]
enabled = false

[[operations]]
include-operation-id = [{persons}]
headers = {{ Authorization = "Bearer {target.person_token}" }}
"""


def fuzz(target: Target, *, examples: int, seed: int, more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """What Schemathesis says of this server; exit code 0 where nothing fails."""
    with TemporaryDirectory() as directory:
        config = Path(directory, "schemathesis.toml")
        config.write_text(configuration(target))
        command = [
            str(SCHEMATHESIS),
            f"--config-file={config}",
            "run",
            f"{target.address}/api/v1/openapi.json",
            f"--max-examples={examples}",
            f"--seed={seed}",
            "--generation-database=none",
            "--suppress-health-check=all",
            "--no-color",
            *more,
        ]
        return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--examples", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    given, more = options.parse_known_args()
    with (
        started_servers() as servers,
        fresh_database(servers, "fuzzed", migrated=True) as url,
        fuzzed_server(url, servers.redis_url(1)) as target,
    ):
        run = fuzz(target, examples=given.examples, seed=given.seed, more=tuple(more))
    sys.stdout.write(run.stdout + run.stderr)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
