"""How fast campaigns are written out, released and paused: `python -m bench.campaigns [--patients N] [--messages N]`.

A million patients are written out by one process, then once more by processes that are killed again and again; who is
missing or twice is counted. Then messages are made of lines that are due, and a campaign is paused while workers send.
Prints a table and, as its last line, one JSON object; the exit code is 1 where a patient was missing or twice, or something
left after a pause.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID, uuid4

from bench.outreach import _in_environment
from bench.outside import started_provider
from bench.processes import worker_environment
from bench.servers import Servers, query, started_servers
from dispatchlog.engine.database import configure, connected, database
from dispatchlog.local.server import end_process
from dispatchlog.settings import get_settings
from dispatchlog.supervisor import spawn
from dispatchlog.systems.outreach import patients, templates
from dispatchlog.systems.outreach.campaigns import lifecycle, store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.inputs import Asker, PatientInput
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.segments.store import SegmentInput
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import TemplateInput, Variant

ASKER = Asker("service:bench")
KILLS = 8
# Nobody's night keeps a message back, whenever this runs.
_AWAKE = "UPDATE comm_pref_defaults SET quiet_start = '00:00', quiet_end = '00:00'"
_CROWD = """
INSERT INTO patients (id, name_sealed, tags) SELECT gen_random_uuid(), 'x', '{{crowd}}' FROM generate_series(1, {0})
"""
_PREFERENCES = "INSERT INTO patient_comm_prefs (id, patient_id) SELECT gen_random_uuid(), id FROM patients"
_MISSING = """
SELECT count(*) FROM patients p WHERE 'crowd' = ANY (p.tags) AND NOT EXISTS
    (SELECT FROM comm_campaign_sends s WHERE s.campaign_id = '{0}' AND s.step = 'first' AND s.patient_id = p.id)
"""
_TWICE = """
SELECT count(*) FROM (SELECT FROM comm_campaign_sends WHERE campaign_id = '{0}' GROUP BY patient_id HAVING count(*) > 1) t
"""
_LINES = "SELECT count(*) FROM comm_campaign_sends WHERE campaign_id = '{0}'"
_SENT = "SELECT count(*) FROM comm_jobs WHERE campaign_id = '{0}' AND status = 'SENT'"
_MARKED_AFTER = """
SELECT count(*), coalesce(extract(epoch FROM max(sending_at) - '{1}'::timestamptz), 0)::float8,
    coalesce(extract(epoch FROM max(sent_at) - '{1}'::timestamptz), 0)::float8
FROM comm_jobs WHERE campaign_id = '{0}' AND sending_at > '{1}'::timestamptz
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """`begin_seconds` is what beginning a campaign takes: its checks over all patients."""

    patients: int
    begin_seconds: float
    lines_per_second: float
    emptied_per_second: float
    kills: int
    lines_per_second_killed: float
    missing: int
    twice: int
    messages: int
    messages_per_second_1_process: float
    messages_per_second_2_processes: float
    sent_before_pause: int
    pause_seconds: float
    marked_after_pause_began: int
    last_mark_seconds: float
    last_sent_seconds: float
    left_after_pause: int


def measure(servers: Servers, *, crowd: int, messages: int) -> Figures:
    """All of it, in one database."""
    with servers.filled_database(_AWAKE, _CROWD.format(crowd), _PREFERENCES) as url, started_provider() as provider:
        env = {
            **worker_environment(servers, url),
            "DISPATCHLOG_SECRET_KEY": "a secret for the benchmark only",
            "DISPATCHLOG_SMTP_URL": provider.smtp_url,
        }
        with _in_environment(env):
            configure(url, role=get_settings().application_role, name="bench", max_connections=4, by_index=True)
            try:
                return _measure(url, crowd=crowd, messages=messages)
            finally:
                database.close_all()


def _measure(url: str, *, crowd: int, messages: int) -> Figures:
    _texts()
    for tag in ("one", "two"):
        _readers(tag, messages)
    query(url, "VACUUM (ANALYZE)")
    whole = _begin("crowd")
    began = time.perf_counter()
    killed = _begin("crowd")
    begin_seconds = time.perf_counter() - began
    rate = _rate(_parts("expand", whole))
    kills, killed_rate = _expand_killed(url, killed, crowd)
    missing = sum(query(url, _MISSING.format(each))[0][0] for each in (whole, killed))
    twice = sum(query(url, _TWICE.format(each))[0][0] for each in (whole, killed))
    emptied = _rate(_parts("empty", whole))
    for each in (whole, killed):
        with connected():
            lifecycle.stop(each, asker=ASKER, reason="measured")
    one = _begin("one")
    _parts("expand", one)
    alone = _rate(_parts("release", one))
    two = _begin("two")
    _parts("expand", two)
    together = _rate(_parts("release", two, processes=2))
    paused = _pause(url, two)
    values: list[Any] = [
        *(crowd, round(begin_seconds, 2), round(rate), round(emptied), kills, round(killed_rate), missing, twice),
        *(messages, round(alone, 1), round(together, 1), *paused),
    ]
    return Figures(*values)


def _texts() -> None:
    with connected():
        variants = tuple(
            Variant(key, 1, "News", f"Hello {{{{ patient_first_name }}}}, version {key}: there is news for you.")
            for key in ("A", "B")
        )
        wanted = TemplateInput(
            *(
                "bench news",
                Purpose.LAB_READY,
                Channel.EMAIL,
                "en",
                "News",
                "Hello {{ patient_first_name }}, there is news.",
            ),
            variants=variants,
            family="news",
        )
        templates.create(wanted, asker=ASKER)


def _readers(tag: str, number: int) -> None:
    with connected():
        for n in range(number):
            person = PatientInput(
                uuid4(), f"Sample Patient {n}", email=f"{tag}.{n}@example.org", timezone="Europe/Paris", tags=(tag,)
            )
            patients.put_patient(person, source="bench", asker=ASKER)


def _begin(tag: str) -> UUID:
    rules = {"combinator": "and", "rules": [{"field": "tags", "operator": "contains", "value": tag}]}
    step = {"key": "first", "purpose": "lab_ready", "family": "news"}
    variants = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}]}
    with connected():
        segment = segments.create(SegmentInput(f"{tag} {uuid4()}", rules), asker=ASKER)
        wanted = CampaignInput(
            f"bench {tag}",
            segment.id,
            steps=(step, {**step, "key": "second", "offset": {"days": 3}}),
            ab_variants=variants,
            frequency={"per_week": 5},
            exit_rules=("answered", "opted_out"),
            overlap="allow",
            control_percent=10 if tag == "crowd" else 0,
            timezone="Etc/UTC",
        )
        draft = store.create(wanted, asker=ASKER)
        return lifecycle.start(draft.id, based_on=draft.version, asker=ASKER).id


def _started(what: str, campaign_id: UUID) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "bench.campaign_part", what, str(campaign_id)]
    return spawn(argv, env=dict(os.environ), output=subprocess.PIPE)


def _parts(what: str, campaign_id: UUID, *, processes: int = 1) -> list[dict[str, float]]:
    """What so many processes at once did until nothing was left."""
    started = [_started(what, campaign_id) for _ in range(processes)]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def _rate(parts: Sequence[dict[str, float]]) -> float:
    return sum(each["done"] for each in parts) / max(each["seconds"] for each in parts)


def _expand_killed(url: str, campaign_id: UUID, crowd: int) -> tuple[int, float]:
    """Kill the process each time that another part is written; how often, and the lines a second over all of it."""
    began, kills = time.perf_counter(), 0
    for part in range(1, KILLS + 1):
        process = _started("expand", campaign_id)
        while query(url, _LINES.format(campaign_id))[0][0] < crowd * part / (KILLS + 1) and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is None:
            kills += 1
        process.kill()
        process.wait()
    _parts("expand", campaign_id)
    return kills, crowd / (time.perf_counter() - began)


def _pause(url: str, campaign_id: UUID) -> tuple[int, float, int, float, float, int]:
    """Pause while workers send: sent before, how long `pause` took, and what was marked and sent since it was called."""
    argv = [sys.executable, "-m", "dispatchlog.cli", "worker", "--processes", "2", "--lane", "comm_job"]
    worker = spawn(argv, env=dict(os.environ), output=subprocess.DEVNULL)
    try:
        while (sent := query(url, _SENT.format(campaign_id))[0][0]) < 200:
            time.sleep(0.05)
        [(called,)] = query(url, "SELECT clock_timestamp()")
        began = time.perf_counter()
        with connected():
            lifecycle.pause(campaign_id, asker=ASKER, reason="measured")
        seconds = time.perf_counter() - began
        [(committed,)] = query(url, "SELECT clock_timestamp()")
        time.sleep(3)
        marked, last_mark, last_sent = query(url, _MARKED_AFTER.format(campaign_id, called))[0]
        after = query(url, _MARKED_AFTER.format(campaign_id, committed))[0][0]
        return sent, round(seconds, 4), marked, round(last_mark, 4), round(last_sent, 4), after
    finally:
        end_process(worker, signals=(signal.SIGTERM,), seconds_each=40.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.campaigns", description=__doc__)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--messages", type=int, default=4_000)
    options = parser.parse_args()
    with started_servers() as servers:
        figures = measure(servers, crowd=options.patients, messages=options.messages)
    for name, value in asdict(figures).items():
        print(f"{name.replace('_', ' '):36}{value:>14}")
    print(json.dumps(asdict(figures)))
    return int(figures.missing > 0 or figures.twice > 0 or figures.left_after_pause > 0)


if __name__ == "__main__":
    sys.exit(main())
