"""What figures of messages cost: `python -m bench.figures_of_messages [--changes N] [--messages N] [--seconds N]`.

How fast changes are added up; how far behind the figures are while messages change as fast as two connections can write,
with the clock's two seconds between two turns; what the trigger costs a message, with and without it by turns; and how long
the pages' queries take. Prints a table and, as its last line, one JSON object; the exit code is 1 where the figures are not
what counting the log gives.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import psycopg2
from psycopg2.extras import execute_batch

from bench.servers import Servers, query, started_servers
from dispatchlog.engine.database import configure, database
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.stats import outcomes, reading, rollup
from dispatchlog.systems.outreach.stats.reading import Wanted

LAST = datetime.now(UTC).date() - timedelta(days=1)
MONTH = Wanted(LAST - timedelta(days=29), LAST)
EVENTS_AT_ONCE = 50
ROUNDS = 6
_CHANNELS = "(ARRAY['email', 'sms', 'whatsapp'])[1 + n % 3]"
_PURPOSES = "(ARRAY['appt_confirm', 'appt_reminder', 'no_show', 'rx_refill', 'lab_ready'])[1 + n % 5]"
_OF = "lpad(to_hex(n % 40), 32, '0')::uuid"
CHANGES = f"""
INSERT INTO comm_stat_changes (date, organization_id, provider_id, channel, purpose, sent_count)
SELECT date '{LAST}' - n % 30, {_OF}, NULL, {_CHANNELS}, {_PURPOSES}, 1 FROM generate_series(1, {{changes}}) n
"""
# As many appointments as a tenth of the messages, of which most were reminded; a patient of each organisation.
FILL = f"""
INSERT INTO comm_organizations (id, name)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'Clinic ' || n FROM generate_series(0, 39) n;
INSERT INTO patients (id, organization_id, name_sealed)
    SELECT lpad(to_hex(n), 32, '0')::uuid, {_OF}, '' FROM generate_series(0, 99999) n;
INSERT INTO comm_templates (id, name, purpose, channel, body)
    VALUES ('00000000-0000-0000-0000-000000000000', 'Sample', 'appt_reminder', 'sms', 'Text');
INSERT INTO comm_appointments (id, patient_id, starts_at, status)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 100000), 32, '0')::uuid,
        timestamptz '{LAST} 12:00Z' - make_interval(mins => n * 37 % 41000),
        CASE WHEN n % 7 = 0 THEN 'no_show' ELSE 'completed' END FROM generate_series(0, {{appointments}} - 1) n;
ALTER TABLE comm_jobs DISABLE TRIGGER USER;
INSERT INTO comm_jobs (id, route, patient_id, template_id, template_version, appointment_id, organization_id, purpose,
    channel, language, recipient, body, scheduled_at, decision, status, due_at, sent_at)
    SELECT gen_random_uuid(), 'sms-twilio', lpad(to_hex(n % 100000), 32, '0')::uuid,
        '00000000-0000-0000-0000-000000000000', 1,
        CASE WHEN n % 5 < 2 THEN lpad(to_hex(n % {{appointments}}), 32, '0')::uuid END, {_OF}, {_PURPOSES}, {_CHANNELS},
        'en', '+12025550123', repeat('x', 300), now(), '{{{{}}}}', 'SENT', now(),
        timestamptz '{LAST} 12:00Z' - make_interval(days => 1, mins => n % 400000)
    FROM generate_series(1, {{messages}}) n;
ALTER TABLE comm_jobs ENABLE ALWAYS TRIGGER log_insert, ENABLE ALWAYS TRIGGER log_update, ENABLE ALWAYS TRIGGER keep_rows,
    ENABLE ALWAYS TRIGGER count_changes;
"""
_HEAR = "UPDATE comm_jobs SET {name}_at = now() WHERE id = ANY (%s::uuid[])"


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates per second, seconds behind, the trigger's price as a ratio, and milliseconds of queries (medians)."""

    changes: int
    folded_per_second: float
    changed_per_second: float
    behind_seconds_median: float
    behind_seconds_most: float
    price_one_by_one: float
    price_of_fifty: float
    rebuild_seconds: float
    check_seconds: float
    totals_ms: float
    by_day_ms: float
    outcomes_ms: float
    outcomes_of_organization_ms: float
    appointments: int
    differences: int


def measure(servers: Servers, *, changes: int, messages: int, seconds: float) -> Figures:
    """One after the other, on a database of their own."""
    appointments = max(1, messages // 10)
    with servers.filled_database() as url:
        _connect(url)
        folded = _folding(url, changes)
        database.close_all()
    with servers.filled_database(FILL.format(messages=messages, appointments=appointments)) as url:
        _connect(url)
        rebuilt = _seconds(lambda: rollup.rebuild(MONTH.first - timedelta(days=400), LAST + timedelta(days=1)))
        ids = [row[0] for row in query(url, "SELECT id::text FROM comm_jobs ORDER BY id LIMIT 200000")]
        changed, behind = _steady(url, ids, seconds)
        rollup.fold_all()
        checked = _seconds(lambda: rollup.differences(date(2020, 1, 1), LAST + timedelta(days=1)))
        wrong = len(rollup.differences(date(2020, 1, 1), LAST + timedelta(days=1)))
        one_by_one, of_fifty = _price(url, ids[:1_000], 1), _price(url, ids[:20_000], EVENTS_AT_ONCE)
        query(url, "VACUUM (ANALYZE) comm_jobs")
        (organization_id,) = query(url, "SELECT id FROM comm_organizations ORDER BY id LIMIT 1")[0]
        of_one = replace(MONTH, organization_id=organization_id)
        totals = _milliseconds(partial(reading.totals, MONTH))
        by_day = _milliseconds(partial(reading.by, MONTH, "date", "channel"))
        of_all = _milliseconds(partial(outcomes.outcomes, MONTH))
        of_organization = _milliseconds(partial(outcomes.outcomes, of_one))
        database.close_all()
    return Figures(
        changes,
        folded,
        changed,
        round(statistics.median(behind), 2),
        round(max(behind), 2),
        one_by_one,
        of_fifty,
        round(rebuilt, 1),
        round(checked, 1),
        totals,
        by_day,
        of_all,
        of_organization,
        appointments,
        wrong,
    )


def _connect(url: str) -> None:
    configure(url, role=get_settings().application_role, name="bench", max_connections=8)


def _folding(url: str, changes: int) -> float:
    query(url, CHANGES.format(changes=changes))
    return round(changes / _seconds(rollup.fold_all), 1)


def _steady(url: str, ids: Sequence[str], seconds: float) -> tuple[float, list[float]]:
    """How many changes a second two connections made, and how far behind the figures were, as seen five times a second."""
    ends = time.monotonic() + seconds
    over = threading.Event()

    def write(mine: Sequence[str]) -> int:
        written = 0
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while time.monotonic() < ends:
                start = written % (len(mine) - EVENTS_AT_ONCE)
                batch = list(mine[start : start + EVENTS_AT_ONCE])
                name = ("delivered", "clicked", "replied")[written // len(mine) % 3]
                cursor.execute(_HEAR.format(name=name), (batch,))
                written += len(batch)
        return written

    def fold_by_the_clock() -> None:
        while not over.wait(2.0):
            rollup.fold_all()

    behind = []
    with ThreadPoolExecutor(3) as pool:
        half = len(ids) // 2
        writers = [pool.submit(write, ids[:half]), pool.submit(write, ids[half:])]
        folder = pool.submit(fold_by_the_clock)
        while time.monotonic() < ends:
            behind.append(rollup.behind_seconds())
            time.sleep(0.2)
        written = sum(writer.result() for writer in writers)
        over.set()
        folder.result()
    return round(written / seconds, 1), behind


def _price(url: str, ids: Sequence[str], at_once: int) -> float:
    """How much longer changing messages takes with the trigger, by turns with and without it; the median of the ratios."""
    names = ("opened", "clicked", "replied", "delivered", "unsubscribed", "bounced")
    ratios = []
    for number in range(ROUNDS):
        took = {}
        for enabled in (False, True) if number % 2 else (True, False):
            query(url, f"ALTER TABLE comm_jobs {'ENABLE ALWAYS' if enabled else 'DISABLE'} TRIGGER count_changes")
            query(url, f"UPDATE comm_jobs SET {names[number]}_at = NULL WHERE {names[number]}_at IS NOT NULL")
            query(url, "VACUUM comm_jobs")
            took[enabled] = _seconds(partial(_hear, url, ids, at_once, names[number]))
        ratios.append(took[True] / took[False])
    return round(statistics.median(ratios), 3)


def _hear(url: str, ids: Sequence[str], at_once: int, name: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        batches = [(list(ids[start : start + at_once]),) for start in range(0, len(ids), at_once)]
        execute_batch(cursor, _HEAR.format(name=name), batches, page_size=1)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _milliseconds(work: Callable[[], object]) -> float:
    work()
    return round(1000 * statistics.median(_seconds(work) for _ in range(ROUNDS)), 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.figures_of_messages", description=__doc__)
    parser.add_argument("--changes", type=int, default=10_000_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with started_servers() as servers:
        figures = measure(servers, changes=options.changes, messages=options.messages, seconds=options.seconds)
    for name, value in asdict(figures).items():
        print(f"{name.replace('_', ' '):30}{value:>14}")
    print(json.dumps(asdict(figures)))
    return int(figures.differences > 0)


if __name__ == "__main__":
    sys.exit(main())
