"""How fast messages are built and sent, and what a worker holds after many: `python -m bench.hl7 [--messages N]`.

`dispatchlog worker` and the test exchange are processes of their own, and no endpoint has a rate. Without `--messages`: the
builder, a bare round trip, the gateway, stored messages by one and by four endpoints, and visits from their recording to
the exchange, in a minute or so. With it: so many messages through one worker, and its memory on the way.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil

from bench.hl7_visits import IDENTITY, a_visit
from bench.processes import MeasuringFailed, worker_environment
from bench.servers import Servers, query, started_servers
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_framing import frame
from dispatchlog.gateways.hl7_mllp import MllpGateway
from dispatchlog.local.directory import choose_port, log_tail
from dispatchlog.local.server import end_process
from dispatchlog.settings import get_settings
from dispatchlog.supervisor import spawn
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.builder import build
from dispatchlog.systems.hl7.identity import new_control_id
from dispatchlog.systems.hl7.visits import record_visit

HOST = "127.0.0.1"
GOAL_PER_SECOND = 1_000
STUDENTS = 500
RECORDING_THREADS = 2
LONGEST_SECONDS = 300.0
CHUNK = 20_000
_MB = 1_000_000
_OPEN = "SELECT EXISTS (SELECT FROM hl7_messages WHERE status IN ('PENDING', 'QUEUED'))"

# One stored message many times over, each with a control id and a student of its own.
_MORE = """
WITH one AS (SELECT * FROM hl7_messages WHERE route = '{school}' ORDER BY seq LIMIT 1)
INSERT INTO hl7_messages (id, route, stale_at, ordering_key, visit_id, school_id, message_type, control_id, body,
    student_number, student_name, subject_id, search_keys)
SELECT uuidv7(), route, now() + interval '1 day', '{school}:S' || student, visit_id, school_id, message_type, control,
    convert_to(replace(convert_from(body, 'UTF8'), control_id, control), 'UTF8'), 'S' || student, student_name,
    'student:{school}:S' || student, ARRAY['S' || student, control]
FROM one, (SELECT n % {students} AS student, '{school}' || lpad((n + {after})::text, 16, '0') AS control
    FROM generate_series(1, {count}) n) more
"""


class Exchange:
    """The test exchange in its own process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, http_port: int) -> None:
        self.process = process
        self.port = port
        self._http_port = http_port

    def effects(self) -> int:
        """How many messages it took for new ones."""
        with urllib.request.urlopen(f"http://{HOST}:{self._http_port}/received", timeout=60) as reply:  # our own child  # nosec B310
            return int(json.load(reply)["effects"])

    def memory(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / _MB


@contextmanager
def started_exchange(directory: Path) -> Iterator[Exchange]:
    """Listening; what it says of each message is thrown away."""
    ports = [choose_port(directory / f"exchange-{name}.port") for name in ("mllp", "http")]
    module = "dispatchlog.gateways.hl7_exchange"
    argv = [sys.executable, "-m", module, "--port", str(ports[0]), "--http-port", str(ports[1])]
    process = spawn(argv, output=subprocess.DEVNULL)
    try:
        for port in ports:
            _wait_for(port)
        yield Exchange(process, *ports)
    finally:
        end_process(process, signals=(), seconds_each=0.0)


def _wait_for(port: int) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise MeasuringFailed("the exchange did not start") from None
            time.sleep(0.02)


@contextmanager
def started_worker(servers: Servers, url: str) -> Iterator[None]:
    """`dispatchlog worker` with one process."""
    log = servers.directory / "hl7-worker.log"
    argv = [sys.executable, "-m", "dispatchlog.cli", "worker", "--processes", "1"]
    with log.open("ab") as output:
        process = spawn(argv, env=worker_environment(servers, url), output=output)
    try:
        ends = time.monotonic() + 60
        while not _worker_pids(url):
            if process.poll() is not None or time.monotonic() > ends:
                raise MeasuringFailed(f"the worker did not start:\n{log_tail(log)}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _worker_pids(url: str) -> list[int]:
    sql = "SELECT pid FROM dispatch_workers WHERE kind = 'worker' AND stopped_at IS NULL"
    return [pid for (pid,) in query(url, sql)]


# --- the parts alone


def builder_per_second(count: int) -> float:
    """Messages built per second by one thread."""
    visit, now = a_visit("S1"), datetime.now(UTC)
    began = time.perf_counter()
    for _ in range(count):
        build(visit, "ORU^R01", IDENTITY, control_id=new_control_id(20), created_at=now)
    return count / (time.perf_counter() - began)


def _bodies(count: int) -> list[tuple[str, bytes]]:
    visit, now = a_visit("S1"), datetime.now(UTC)
    ids = [new_control_id(20) for _ in range(count)]
    return [(one, build(visit, "ORU^R01", IDENTITY, control_id=one, created_at=now)) for one in ids]


def bare_per_second(port: int, count: int) -> float:
    """The same messages by a plain socket that looks at nothing but the end of each answer."""
    bodies = _bodies(count)
    with socket.create_connection((HOST, port), timeout=60) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for _, body in bodies:
            plain.sendall(frame(body))
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                answer += plain.recv(65_536)
        return count / (time.perf_counter() - began)


def gateway_per_second(port: int, count: int) -> float:
    """By the gateway, without the engine."""
    gateway = MllpGateway(Hl7Endpoint("hl7:bench", Transport.MLLP, host=HOST, port=port))
    bodies = _bodies(count)
    try:
        began = time.perf_counter()
        for control_id, body in bodies:
            parcel = Parcel(uuid4(), control_id, "bench", body, "application/hl7-v2", {"control_id": control_id})
            gateway.send(parcel, deadline=Deadline(15), before_write=lambda: None)
        return count / (time.perf_counter() - began)
    finally:
        gateway.close()


# --- through the engine


def add_schools(count: int, exchange: Exchange, *, batch: int) -> list[str]:
    """Schools whose endpoints are the exchange, without a rate; each has one message, for others to be made after it."""
    codes = [f"B{number:03}" for number in range(count)]
    for code in codes:
        schools.add_school(code, code, actor="bench")
        settings = {"host": HOST, "port": exchange.port, "tls": False, "rate_per_second": None, "batch": batch}
        schools.change_endpoint(code, {**settings, "enabled": False}, actor="bench")
        record_visit(code, a_visit("S1"), source="bench")
    return codes


def switch(codes: Sequence[str], *, on: bool) -> None:
    for code in codes:
        schools.change_endpoint(code, {"enabled": on}, actor="bench")


def more_messages(url: str, school: str, *, count: int, after: int) -> None:
    query(url, _MORE.format(school=school, students=STUDENTS, count=count, after=after))


def wait_until_sent(url: str, *, seconds: float = LONGEST_SECONDS) -> None:
    ends = time.monotonic() + seconds
    while query(url, _OPEN)[0][0]:
        if time.monotonic() > ends:
            raise MeasuringFailed(f"messages are still open after {seconds:.0f} s")
        time.sleep(0.1)


_PACE = "SELECT count(*), extract(epoch FROM max(sent_at) - min({since}))::float8 FROM hl7_messages"
_LATE = """
SELECT count(*) FROM (SELECT sent_at < lag(sent_at) OVER (PARTITION BY route ORDER BY seq) AS late FROM hl7_messages) m
WHERE late
"""


def pace(url: str, *, since: str) -> float:
    """Messages per second from the first such instant to the last sending; all sent at their first try, in order."""
    odd = query(url, "SELECT count(*) FROM hl7_messages WHERE status <> 'SENT' OR attempts > 0")[0][0]
    late = query(url, _LATE)[0][0]
    if odd or late:
        raise MeasuringFailed(f"{odd} messages were not sent at once, {late} out of their order")
    count, seconds = query(url, _PACE.format(since=since))[0]
    return float(count / seconds)


@contextmanager
def installation(servers: Servers) -> Iterator[tuple[str, Exchange]]:
    """An empty database that this process works on, and an exchange."""
    with servers.filled_database() as url, started_exchange(servers.directory) as exchange:
        os.environ |= worker_environment(servers, url)
        get_settings.cache_clear()
        configure(url, role=get_settings().application_role, name="bench", max_connections=8)
        try:
            yield url, exchange
        finally:
            if not database.is_closed():
                database.close()
            database.close_all()


def stored_per_second(servers: Servers, *, count: int, routes: int, batch: int) -> float:
    """Stored messages by so many endpoints, from the first claim to the last acknowledgement recorded."""
    with installation(servers) as (url, exchange):
        codes = add_schools(routes, exchange, batch=batch)
        for code in codes:
            more_messages(url, code, count=count // routes, after=0)
        query(url, "VACUUM (ANALYZE)")
        with started_worker(servers, url):
            switch(codes, on=True)
            wait_until_sent(url)
        if exchange.effects() != query(url, "SELECT count(*) FROM hl7_messages")[0][0]:
            raise MeasuringFailed("the exchange has another number of messages than the log")
        return pace(url, since="claimed_at")


def visits_per_second(servers: Servers, *, count: int, batch: int) -> dict[str, float]:
    """Visits recorded here by two threads while the worker sends: recordings, and messages until the last was sent."""
    with installation(servers) as (url, exchange):
        codes = add_schools(4, exchange, batch=batch)
        switch(codes, on=True)
        with started_worker(servers, url):
            wait_until_sent(url)
            with ThreadPoolExecutor(RECORDING_THREADS) as pool:
                began = time.perf_counter()
                list(pool.map(lambda n: record_visit(codes[n % 4], a_visit(f"S{n}"), source="bench"), range(count)))
                recorded = time.perf_counter() - began
            wait_until_sent(url)
        query(url, "CREATE INDEX ON hl7_messages (student_number)")
        sql = "SELECT extract(epoch FROM max(sent_at) - min(created_at))::float8 FROM hl7_messages WHERE claims = 1"
        last = query(url, f"{sql} AND seq > {len(codes)}")[0][0]
        return {"visits_recorded": count / recorded, "visits_to_exchange": count / last}


def rates(servers: Servers, *, count: int) -> dict[str, float]:
    """Every rate by its name, per second."""
    found = {"builder": builder_per_second(count)}
    with started_exchange(servers.directory) as exchange:
        found["bare_round_trip"] = bare_per_second(exchange.port, count)
        found["gateway"] = gateway_per_second(exchange.port, count)
    for routes, batch in ((1, 10), (1, 250), (4, 250)):
        _say(found)
        name = f"stored_{routes}_endpoint{'s' * (routes > 1)}_batch_{batch}"
        found[name] = stored_per_second(servers, count=count, routes=routes, batch=batch)
    return found | visits_per_second(servers, count=count // 2, batch=250)


def _say(found: Mapping[str, float]) -> None:
    name = list(found)[-1]
    print(f"  {name:<36}{found[name]:>10,.0f} /s", flush=True)


# --- memory


def memory(servers: Servers, *, messages: int, batch: int) -> dict[str, object]:
    """Resident MB of the worker and of the exchange while so many messages go through."""
    with installation(servers) as (url, exchange):
        codes = add_schools(4, exchange, batch=batch)
        switch(codes, on=True)
        samples: list[tuple[int, float, float]] = []
        with started_worker(servers, url):
            began, made, last = time.monotonic(), 0, -1
            print(f"{'sent':>12}{'seconds':>10}{'worker MB':>12}{'exchange MB':>14}", flush=True)
            while True:
                sent = _sent(url)
                if sent >= last + max(1, messages // 25) or sent >= messages or last < 0:
                    last = sent
                    samples.append((sent, _resident(url), exchange.memory()))
                    seconds = time.monotonic() - began
                    print(f"{sent:>12,}{seconds:>10.0f}{samples[-1][1]:>12.1f}{samples[-1][2]:>14.1f}", flush=True)
                if sent >= messages:
                    break
                if made < messages and made - sent < CHUNK:
                    count = min(CHUNK, messages - made)
                    for code in codes:
                        more_messages(url, code, count=count // 4, after=made)
                    made += count
                time.sleep(0.2)
            seconds = time.monotonic() - began
        return {
            "messages": last,
            "seconds": round(seconds),
            "samples": samples,
            "worker_mb_at_a_tenth": _at(samples, 0.1),
            "worker_mb_at_the_end": samples[-1][1],
            "exchange_mb": samples[-1][2],
        }


def _sent(url: str) -> int:
    """From the counters of moves would be cheaper, but later; so from the order: what is open is near the end."""
    sql = "SELECT (SELECT max(seq) FROM hl7_messages), (SELECT count(*) FROM hl7_messages WHERE status IN ({}))"
    newest, still_open = query(url, sql.format("'PENDING', 'QUEUED'"))[0]
    return int(newest or 0) - int(still_open)


def _at(samples: Sequence[tuple[int, float, float]], share: float) -> float:
    return next(worker for sent, worker, _ in samples if sent >= share * samples[-1][0])


def _resident(url: str) -> float:
    return max(psutil.Process(pid).memory_info().rss for pid in _worker_pids(url)) / _MB


def main() -> int:
    """0, or 1 where a goal was missed or something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.hl7", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=4_000, help="messages per rate")
    parser.add_argument("--messages", type=int, default=0, help="messages of the run that looks at memory")
    parser.add_argument("--batch", type=int, default=250, help="messages per claim in that run")
    options = parser.parse_args()
    with ExitStack() as stack:
        # Whatever the environment of this shell says, the run is about a database of its own.
        os.environ["DISPATCHLOG_SECRET_KEY"] = "not a secret: this database is gone in a minute"  # noqa: S105
        os.chdir(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(started_servers())
        try:
            if options.messages:
                print(json.dumps(memory(servers, messages=options.messages, batch=options.batch)))
                return 0
            found = rates(servers, count=options.count)
        except MeasuringFailed as error:
            print(error, file=sys.stderr)
            return 1
    for name, rate in found.items():
        print(f"{name:<36}{rate:>10,.0f} /s")
    print(f"{'gateway / bare round trip':<36}{found['gateway'] / found['bare_round_trip']:>10.2f}")
    print(json.dumps({name: round(rate, 1) for name, rate in found.items()}))
    return 0 if found["stored_1_endpoint_batch_250"] >= GOAL_PER_SECOND else 1


if __name__ == "__main__":
    sys.exit(main())
