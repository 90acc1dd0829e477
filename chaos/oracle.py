"""Owns the verdict: the log compared with the ledgers, row by row, in PostgreSQL. It changes no row of the log.

Every check is a query that gives the ids of the dispatches that break it; none may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import psycopg2

from chaos.lanes import BULK, HL7, KINDS, WAITS_FOR_SWEEP, Kind
from chaos.ledgers import Acceptance

SHOWN = 5

_LOG = "CREATE TABLE chaos_log AS " + " UNION ALL ".join(
    f"SELECT '{kind.name}' AS lane, '{kind.kind}' AS kind, id, status, in_doubt, generation, claims, sent_at, recipient,"
    f" {'sha256(convert_to(note, $$UTF8$$))' if kind in (BULK, HL7) else 'NULL::bytea'} AS sha256 FROM {kind.table}"
    for kind in KINDS
)

_PREPARE = (
    """CREATE UNLOGGED TABLE chaos_ledger (lane text, dispatch_id uuid, generation int, recipient text, sha256 bytea,
        message_id text, at text)""",
    _LOG,
    "CREATE UNIQUE INDEX ON chaos_log (id)",
)

_CHECKS = {
    # A provider that dedupes may hear of a dispatch often, but under one key only; the others may hear of it once.
    "accepted_twice": """
        SELECT l.dispatch_id FROM chaos_ledger l JOIN chaos_log d ON d.id = l.dispatch_id
        GROUP BY l.dispatch_id, d.kind
        HAVING CASE d.kind WHEN 'IDEMPOTENT' THEN count(DISTINCT l.generation) ELSE count(*) END > 1""",
    # The exchange knows a message by its MSH-10, which a dispatch has for ever.
    "effects_repeated": f"""
        SELECT l.dispatch_id FROM chaos_ledger l JOIN {HL7.table} d ON d.id = l.dispatch_id
        GROUP BY l.dispatch_id HAVING count(*) > 1""",
    "out_of_order": f"""
        SELECT dispatch_id FROM (
            SELECT l.dispatch_id, d.seq, max(d.seq) OVER (PARTITION BY d.ordering_key ORDER BY nullif(l.at, '')::timestamptz
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM chaos_ledger l JOIN {HL7.table} d ON d.id = l.dispatch_id) o
        WHERE seq < before""",
    "sent_but_not_accepted": """
        SELECT id FROM chaos_log d WHERE status = 'SENT'
        AND NOT EXISTS (SELECT FROM chaos_ledger l WHERE l.dispatch_id = d.id)""",
    "accepted_but_not_sent": """
        SELECT id FROM chaos_log d WHERE (status = 'CANCELLED' OR status = 'FAILED' AND NOT in_doubt)
        AND EXISTS (SELECT FROM chaos_ledger l WHERE l.dispatch_id = d.id)""",
    "accepted_but_unknown": """
        SELECT DISTINCT dispatch_id FROM chaos_ledger l
        WHERE NOT EXISTS (SELECT FROM chaos_log d WHERE d.id = l.dispatch_id AND d.lane = l.lane)""",
    "unsettled": """
        SELECT id FROM chaos_log WHERE status IN ('PENDING', 'QUEUED') OR kind = 'LOOKUP' AND in_doubt""",
    # What was accepted is what was stored, for whom it was stored.
    "body_mismatch": """
        SELECT DISTINCT l.dispatch_id FROM chaos_ledger l JOIN chaos_log d ON d.id = l.dispatch_id
        LEFT JOIN dispatch_payloads p ON p.dispatch_id = l.dispatch_id AND p.generation = l.generation
        WHERE l.recipient IS DISTINCT FROM d.recipient OR l.sha256 IS DISTINCT FROM coalesce(d.sha256, p.sha256)""",
    # Each move starts where the one before it ended, is legal, and the last one leads to what the row is now.
    "broken_chain": """
        WITH steps AS (SELECT dispatch_id, from_status, to_status, in_doubt, id,
            lag(to_status) OVER w AS before, lag(in_doubt) OVER w AS doubt_before,
            row_number() OVER w AS position, lead(id) OVER w IS NULL AS last
            FROM dispatch_transitions WINDOW w AS (PARTITION BY dispatch_id ORDER BY id))
        SELECT DISTINCT s.dispatch_id FROM steps s LEFT JOIN chaos_log d ON d.id = s.dispatch_id
        LEFT JOIN dispatch_moves m ON m.from_status = s.from_status AND m.to_status = s.to_status
        WHERE s.from_status IS DISTINCT FROM s.before OR s.last AND s.to_status IS DISTINCT FROM d.status
        OR s.last AND s.in_doubt IS DISTINCT FROM d.in_doubt
        OR CASE WHEN s.position = 1 THEN s.to_status <> 'PENDING'
                WHEN s.from_status = s.to_status THEN s.to_status <> 'FAILED' OR s.in_doubt = s.doubt_before
                ELSE m.from_status IS NULL END""",
    "no_transitions": """
        SELECT id FROM chaos_log d WHERE NOT EXISTS (SELECT FROM dispatch_transitions t WHERE t.dispatch_id = d.id)""",
    "claims_miscounted": """
        SELECT d.id FROM chaos_log d
        LEFT JOIN (SELECT dispatch_id, count(*) AS claimed FROM dispatch_transitions WHERE to_status = 'QUEUED'
                   GROUP BY dispatch_id) t ON t.dispatch_id = d.id
        WHERE d.claims <> coalesce(t.claimed, 0)""",
    "attempt_numbers_repeated": """
        SELECT DISTINCT dispatch_id FROM (SELECT dispatch_id FROM dispatch_attempts
        GROUP BY dispatch_id, number HAVING count(*) > 1) a""",
    "sent_without_proof_or_word": """
        SELECT id FROM chaos_log d WHERE status = 'SENT'
        AND NOT EXISTS (SELECT FROM dispatch_attempts a WHERE a.dispatch_id = d.id AND a.outcome = 'ACCEPTED')
        AND NOT EXISTS (SELECT FROM operator_actions o WHERE o.dispatch_id = d.id AND o.action = 'confirm_sent')""",
    # The first claim of a row that waits for its sweep comes after one that began at or after its due instant.
    "released_early": f"""
        SELECT d.id FROM {WAITS_FOR_SWEEP.table} d JOIN LATERAL (SELECT at FROM dispatch_transitions t
            WHERE t.dispatch_id = d.id AND t.to_status = 'QUEUED' ORDER BY t.id LIMIT 1) claimed ON true
        WHERE d.claims = 1 AND d.generation = 1 AND d.status = 'SENT' AND NOT EXISTS (
            SELECT FROM schedule_occurrences o WHERE o.job = 'sweep:{WAITS_FOR_SWEEP.name}'
            AND o.occurs_at >= d.due_at AND o.started_at <= claimed.at)""",
    "unattributed": """
        SELECT DISTINCT dispatch_id FROM dispatch_transitions WHERE actor LIKE 'unattributed:%'""",
}

_LOST = ("sent_but_not_accepted", "accepted_but_not_sent", "accepted_but_unknown")
_TRANSITIONS = (
    "broken_chain",
    "no_transitions",
    "claims_miscounted",
    "attempt_numbers_repeated",
    "sent_without_proof_or_word",
    "released_early",
    "unattributed",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison gave: ids per check, and counts that are no offence."""

    offenders: dict[str, list[str]]
    acknowledged_but_missing: int
    counts: dict[str, Any]

    @property
    def summary(self) -> dict[str, int]:
        """The figures of the last line that must be 0, and the doubts, which need not."""
        number = {name: len(ids) for name, ids in self.offenders.items()}
        return {
            "accepted_twice": number["accepted_twice"] + number["effects_repeated"],
            "out_of_order": number["out_of_order"],
            "lost": sum(number[name] for name in _LOST) + self.acknowledged_but_missing,
            "unsettled": number["unsettled"],
            "in_doubt": sum(self.counts["in_doubt_by_lane"].values()),
            "transitions_mismatch": sum(number[name] for name in _TRANSITIONS),
            "body_mismatch": number["body_mismatch"],
        }

    @property
    def holds(self) -> bool:
        return not self.acknowledged_but_missing and not any(self.offenders.values())


class Oracle:
    """Loads the ledgers beside the log and compares."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def load(self, acceptances: Iterable[Acceptance]) -> None:
        """Copy the log as it stands and every acceptance into tables of their own."""
        with self._cursor() as cursor, TemporaryFile("w+") as file:
            for statement in _PREPARE:
                cursor.execute(statement)
            for line in acceptances:
                fields = (line.lane, line.dispatch_id, line.generation, line.recipient, rf"\\x{line.sha256}")
                file.write("\t".join(map(str, (*fields, line.message_id, line.at))) + "\n")
            file.seek(0)
            cursor.copy_expert("COPY chaos_ledger FROM STDIN", file)
            cursor.execute("CREATE INDEX ON chaos_ledger (dispatch_id)")
            cursor.execute("ANALYZE")

    def judge(self, acknowledged: dict[str, int]) -> Verdict:
        """Run every check. `acknowledged`: how many rows per lane the enqueuer was told are stored."""
        with self._cursor() as cursor:
            offenders = {}
            for name, sql in _CHECKS.items():
                cursor.execute(sql)
                offenders[name] = [str(row[0]) for row in cursor.fetchall()]
            missing = sum(abs(acknowledged.get(kind.name, 0) - _count(cursor, kind)) for kind in KINDS)
            return Verdict(offenders, missing, _counts(cursor))

    def history(self, dispatch_id: str) -> list[str]:
        """Everything there is about one dispatch, a line each."""
        questions = {
            **{f"row of {kind.name}": f"SELECT * FROM {kind.table} WHERE id = %s" for kind in KINDS},
            "transition": "SELECT * FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id",
            "attempt": "SELECT * FROM dispatch_attempts WHERE dispatch_id = %s ORDER BY id",
            "payload": "SELECT generation, encode(sha256, 'hex') AS sha256, created_at, recipient"
            " FROM dispatch_payloads WHERE dispatch_id = %s ORDER BY generation",
            "person": "SELECT * FROM operator_actions WHERE dispatch_id = %s ORDER BY id",
            "ledger": "SELECT generation, encode(sha256, 'hex') AS sha256, message_id, at FROM chaos_ledger"
            " WHERE dispatch_id = %s ORDER BY at",
        }
        lines = []
        with self._cursor() as cursor:
            for title, sql in questions.items():
                cursor.execute(sql, (dispatch_id,))
                names = [column.name for column in cursor.description]
                for row in cursor.fetchall():
                    told = ", ".join(
                        f"{name}={value}" for name, value in zip(names, row, strict=True) if value not in (None, "", [])
                    )
                    lines.append(f"{title}: {told}")
        return lines

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        options = "-c timezone=UTC -c work_mem=256MB -c max_parallel_workers_per_gather=0"
        with closing(psycopg2.connect(self._url, options=options)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor


def report(oracle: Oracle, verdict: Verdict) -> Iterator[str]:
    """The whole history of a few offenders of every check."""
    for name, ids in verdict.offenders.items():
        for dispatch_id in ids[:SHOWN]:
            yield f"--- {name} ({len(ids)} in all): {dispatch_id}"
            yield from oracle.history(dispatch_id)


def _count(cursor: Any, kind: Kind) -> int:
    cursor.execute(f"SELECT count(*) FROM {kind.table}")
    return int(cursor.fetchone()[0])


def _counts(cursor: Any) -> dict[str, Any]:
    def grouped(sql: str) -> dict[str, int]:
        cursor.execute(sql)
        return {str(name): int(number) for name, number in cursor.fetchall()}

    return {
        "mix": grouped("SELECT lane, count(*) FROM chaos_log GROUP BY 1 ORDER BY 1"),
        "status": grouped("SELECT status, count(*) FROM chaos_log GROUP BY 1 ORDER BY 1"),
        "in_doubt_by_lane": grouped("SELECT lane, count(*) FROM chaos_log WHERE in_doubt GROUP BY 1 ORDER BY 1"),
        "in_doubt_truly_accepted": grouped(
            "SELECT lane, count(*) FROM chaos_log d WHERE in_doubt"
            " AND EXISTS (SELECT FROM chaos_ledger l WHERE l.dispatch_id = d.id) GROUP BY 1 ORDER BY 1"
        ),
        "attempts": grouped("SELECT coalesce(outcome, 'OPEN'), count(*) FROM dispatch_attempts GROUP BY 1 ORDER BY 1"),
        "recoveries": grouped(
            "SELECT split_part(actor, ':', 1) || ': ' || from_status || ' to ' || to_status, count(*)"
            " FROM dispatch_transitions WHERE from_status IS NOT NULL AND (split_part(actor, ':', 1) <> 'worker'"
            " OR from_status <> 'QUEUED' AND to_status = 'SENT') GROUP BY 1 ORDER BY 1"
        ),
        "resends_absorbed": grouped(
            "SELECT lane, count(*) - count(DISTINCT (dispatch_id, generation)) FROM chaos_ledger GROUP BY 1 ORDER BY 1"
        ),
    }
