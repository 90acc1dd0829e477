"""How fast patients are counted by rules: `python -m bench.segments [--patients N] [--runs N]`.

Fills a database with patients, three messages, two appointments, a consent and half an answer for each, then counts several
segments as the application's role does, each several times. Prints a table with the median and, as its last line, one JSON
object; the exit code is 1 where the segment of five nested rules took a second or more, or a plan asks something again for
each patient.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.servers import Servers, query, started_servers
from dispatchlog.engine.database import configure, connected, database, fetch_all
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.segments import membership

LIMIT_MS = 1_000.0
_PATIENT = "md5('p' || n)::uuid"
_NOT_CHECKED = "SET session_replication_role = replica; "
# Straight into the tables: who is there matters, and not how they came. Indexes of messages are made afterwards.
_FILL = """
INSERT INTO comm_organizations (id, name) SELECT md5('o' || n)::uuid, 'Clinic ' || n FROM generate_series(1, 40) n;
INSERT INTO patients (id, name_sealed, organization_id, country, region, timezone, language, birth_date, gender, tags)
SELECT {patient}, sha256(n::text::bytea), md5('o' || 1 + n % 40)::uuid, 'US', (ARRAY['NY', 'FL', 'TX'])[1 + n % 3],
    'America/New_York', (ARRAY['en', 'es', 'fr', 'pt-BR'])[1 + n % 4],
    date '1930-01-01' + (n::bigint * 7919 % 33000)::integer, (ARRAY['female', 'male'])[1 + n % 2],
    CASE WHEN n % 8 = 0 THEN '{diabetes}'::text[] ELSE '{}' END
FROM generate_series(1, {patients}) n;
INSERT INTO patient_comm_prefs (id, patient_id, language, marketing_opt_in_email)
SELECT gen_random_uuid(), {patient}, CASE WHEN n % 50 = 0 THEN 'es' END, n % 3 = 0 FROM generate_series(1, {patients}) n;
INSERT INTO comm_addresses (patient_id, channel, address_hash)
SELECT {patient}, c, sha256((c || n)::bytea) FROM generate_series(1, {patients}) n, unnest(ARRAY['email', 'sms']) c;
INSERT INTO comm_stops (channel, address_hash, source)
SELECT 'sms', sha256(('sms' || n)::bytea), 'reply' FROM generate_series(1, {patients}, 30) n;
INSERT INTO comm_consents (patient_id, channel, purpose_class, given, source, actor, at)
SELECT {patient}, 'email', 'marketing', n % 3 <> 0, 'staff', 'bench', now() - n % 700 * interval '1 day'
FROM generate_series(1, {patients}) n;
INSERT INTO comm_appointments (id, patient_id, starts_at, status, place)
SELECT gen_random_uuid(), {patient}, now() + interval '60 days' - random() * interval '700 days',
    (ARRAY['completed', 'completed', 'completed', 'no_show'])[1 + floor(random() * 4)::int], 'Room 5'
FROM generate_series(1, {patients}) n, generate_series(1, 2);
INSERT INTO comm_inbound (id, patient_id, channel, from_address, to_address, body, provider, event_key, source, intent,
    created_at)
SELECT gen_random_uuid(), {patient}, 'sms', '', '', 'Yes, I come', 'twilio', n, 'native', 'confirm',
    now() - random() * interval '700 days'
FROM generate_series(1, {patients}, 2) n;
INSERT INTO comm_core_events (source, event_id, kind, subject_id, occurred_at, document_sha256)
SELECT 'core', n, 'lab.results_ready', {patient}, now() - random() * interval '700 days', ''
FROM generate_series(1, {patients}) n;
INSERT INTO comm_jobs (id, route, patient_id, template_id, template_version, purpose, channel, language, recipient, subject,
    body, scheduled_at, decision, status, sent_at, delivered_at, opened_at, provider_message_id, subject_id)
SELECT gen_random_uuid(), 'sms-twilio', {patient}, gen_random_uuid(), 1,
    (ARRAY['appt_reminder', 'campaign_education', 'rx_refill'])[1 + floor(random() * 3)::int], 'sms', 'en',
    '+12025550123', NULL, repeat('We look forward to seeing you. ', 5), at, jsonb_build_object('chosen', repeat('x', 300)),
    'SENT', at, at, CASE WHEN random() < 0.4 THEN at + interval '1 hour' END, gen_random_uuid()::text, 'patient:' || n
FROM generate_series(1, {patients}) n, generate_series(1, 3),
    LATERAL (SELECT now() - random() * interval '700 days' * (n * 0 + 1) AS at) t
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'comm_jobs' AND indexname NOT IN (
    SELECT conname FROM pg_constraint WHERE conrelid = 'comm_jobs'::regclass)
"""


def _span(amount: int, unit: str) -> dict[str, Any]:
    return {"amount": amount, "unit": unit}


def _rule(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def _match(field: str, mode: str, *rules: dict[str, Any], threshold: int = 0) -> dict[str, Any]:
    match = {"mode": mode, "threshold": threshold} if threshold else {"mode": mode}
    return {"field": field, "operator": "", "match": match, "value": _group("and", *rules)}


def _group(combinator: str, *rules: dict[str, Any], negated: bool = False) -> dict[str, Any]:
    return {"combinator": combinator, "not": negated, "rules": list(rules)}


_UNTOUCHED = _match("messages", "none", _rule("sent", "inLast", _span(30, "days")))
_MISSED = _match(
    "appointments",
    "atLeast",
    _rule("status", "=", "no_show"),
    _rule("starts", "inLast", _span(12, "months")),
    threshold=2,
)
_READS = _match(
    "messages", "some", _rule("purpose", "=", "campaign_education"), _rule("opened", "inLast", _span(90, "days"))
)
_AGREED = _match("consents", "some", _rule("class", "=", "marketing"), _rule("given", "=", value=True))
_STOPPED = _match("stops", "some", _rule("channel", "=", "sms"))
FIVE = "five nested rules"
SEGMENTS: Mapping[str, dict[str, Any]] = {
    "everybody": _group("and"),
    "age, gender and a tag": _group(
        "and", _rule("age", ">=", 50), _rule("gender", "=", "female"), _rule("tags", "contains", "diabetes")
    ),
    "language": _group("and", _rule("language", "=", "es")),
    FIVE: _group(
        "and",
        _rule("age", "between", [40, 80]),
        _UNTOUCHED,
        _group("or", _MISSED, _READS),
        _group("or", _STOPPED, negated=True),
        _AGREED,
    ),
    "five under or": _group("or", _UNTOUCHED, _MISSED, _READS, _STOPPED, _AGREED),
    "never sent anything": _group("and", _match("messages", "none")),
    "twice sent in a year": _group(
        "and", _match("messages", "atLeast", _rule("sent", "inLast", _span(12, "months")), threshold=2)
    ),
    "answers and events": _group(
        "or",
        _match("answers", "some", _rule("intent", "=", "confirm"), _rule("received", "inLast", _span(6, "months"))),
        _match("events", "some", _rule("at", "inLast", _span(30, "days"))),
    ),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One segment: how many patients, the median and the slowest count, and whether its plan asks once."""

    number: int
    median_ms: float
    slowest_ms: float
    with_sample_ms: float
    plan_is_sound: bool


def fill(url: str, *, patients: int) -> None:
    """Patients and what is known of them."""
    indexes = query(url, _INDEXES)
    query(url, "ALTER TABLE comm_jobs DISABLE TRIGGER log_insert; " + " ".join(f"DROP INDEX {n};" for n, _ in indexes))
    for statement in _FILL.replace("{patients}", str(patients)).replace("{patient}", _PATIENT).split(";\n"):
        query(url, _NOT_CHECKED + statement)
    for _, definition in indexes:
        query(url, definition)
    query(url, "VACUUM (ANALYZE)")


def plan_of(document: Mapping[str, Any]) -> str:
    """How PostgreSQL counts it."""
    audience = membership.audience_of(document, organization_id=None)
    with membership.whole_tables(seconds=60):
        sql = f"EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FROM patients p WHERE {audience.where}"
        return "\n".join(line for (line,) in fetch_all(sql, audience.params))


def is_sound(plan: str, *, patients: int) -> bool:
    """Nothing is asked again for each patient: what is asked of others is hashed, and no loop goes over them."""
    conditions = [line for line in plan.splitlines() if not line.strip().startswith("SubPlan")]
    unhashed = any(re.search(r"(?<!hashed )SubPlan", line) for line in conditions)
    loops = [int(float(number)) for number in re.findall(r"loops=(\d+)", plan)]
    return not unhashed and max(loops, default=1) <= max(10, patients // 20)


def measure(*, runs: int, explain: bool = False) -> dict[str, Figure]:
    """Count each segment so often."""
    found = {}
    patients = membership.count(SEGMENTS["everybody"], organization_id=None, seconds=60).number
    for name, document in SEGMENTS.items():
        plan = plan_of(document)
        if explain:
            print(f"--- {name}\n{plan}")
        counted = [_counted(document) for _ in range(runs)]
        taken = [seconds * 1000 for _, seconds in counted]
        sampled = _counted(document, sample=10)[1] * 1000
        found[name] = Figure(
            counted[0][0],
            round(statistics.median(taken), 1),
            round(max(taken), 1),
            round(sampled, 1),
            is_sound(plan, patients=patients),
        )
    return found


def _counted(document: Mapping[str, Any], *, sample: int = 0) -> tuple[int, float]:
    began = time.perf_counter()
    found = membership.count(document, organization_id=None, sample=sample, seconds=60)
    return found.number, time.perf_counter() - began


def run(servers: Servers, *, patients: int, runs: int, explain: bool) -> dict[str, Figure]:
    """Fill a database and measure in it."""
    with servers.filled_database() as url:
        fill(url, patients=patients)
        # As the pages' connections are: a worker's, which may only use indexes, get the same from `whole_tables`.
        configure(url, role=get_settings().application_role, name="bench", max_connections=2)
        try:
            with connected():
                return measure(runs=runs, explain=explain)
        finally:
            database.close_all()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.segments", description=__doc__)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--explain", action="store_true", help="print every plan")
    options = parser.parse_args()
    with started_servers() as servers:
        figures = run(servers, patients=options.patients, runs=options.runs, explain=options.explain)
    print(f"{'segment':24}{'patients':>10}{'median ms':>11}{'slowest ms':>12}{'with sample ms':>16}  plan")
    for name, each in figures.items():
        sound = "asked once" if each.plan_is_sound else "ASKED FOR EACH PATIENT"
        print(f"{name:24}{each.number:>10}{each.median_ms:>11}{each.slowest_ms:>12}{each.with_sample_ms:>16}  {sound}")
    print(json.dumps({name: asdict(each) for name, each in figures.items()}))
    return int(figures[FIVE].median_ms >= LIMIT_MS or not all(each.plan_is_sound for each in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
