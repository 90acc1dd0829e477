"""A plausible crowd: orders, kits and their dispatches in every state, with their history, put in by plain SQL.

It goes round the triggers, which accept only what begins PENDING, so it is for the empty database of a measurement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2 import sql

KITS_PER_ORDER = 2
# Everything lies within this time; the last dispatches are of this minute.
DAYS = 365

# Ids begin with their time, as those of the product do: pages of an index are then written once, not by each row.
_IDENTITY = """
CREATE FUNCTION pg_temp.identity_of(kind text, at timestamptz, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
    || '7' || kind || '008' || lpad(to_hex(n), 15, '0'))::uuid
$$
"""
_ORDERS = """
INSERT INTO practitioners (id, name, email) SELECT md5('practitioner ' || n)::uuid, 'Practice ' || n,
    'desk' || n || '@example.org' FROM generate_series(0, 199) n;
INSERT INTO orders (id, order_number, practitioner_id, status, shipping_date, tracking_number, registration_status,
    registered_at, created_at, updated_at)
SELECT pg_temp.identity_of('1', at, n), 'VO-' || n, md5('practitioner ' || n %% 200)::uuid, 'shipped', at, 'T' || n,
    'registered', at, at, at
FROM (SELECT n, now() - (%(orders)s - n) * interval '1 day' * %(days)s / %(orders)s AS at
      FROM generate_series(1, %(orders)s) n) o;
INSERT INTO order_kits (id, order_id, kit_id, recipient_email, created_at, updated_at)
SELECT pg_temp.identity_of('2', o.created_at, substr(o.order_number, 4)::bigint * %(kits)s + k), o.id,
    o.order_number || '-' || k, 'patient' || o.order_number || '-' || k || '@example.org', o.created_at, o.updated_at
FROM orders o, generate_series(1, %(kits)s) k;
INSERT INTO order_registrations (order_id, state, sources, reports, kits, first_reported_at, last_reported_at, updated_at)
SELECT id, 'REGISTERED', '{vitract-orders}', 1, %(kits)s, created_at, created_at, updated_at FROM orders;
"""
# Of a hundred: one failed for each of five causes by turns, one in doubt of five hundred, one cancelled, two waiting.
_LANE = """
ALTER TABLE {table} DISABLE TRIGGER USER;
INSERT INTO {table} (id, order_id, kit_id, order_number, practitioner_id, recipient_email, status, in_doubt, due_at,
    expires_at, claims, attempts, claim_token, claimed_by, claimed_at, first_claimed_at, sending_at, last_error,
    last_error_code, provider, provider_message_id, sent_at, subject_id, search_keys, created_at, updated_at{more_names})
SELECT pg_temp.identity_of('{kind}', at, n), order_id, kit_id, order_number, practitioner_id, recipient_email, status,
    in_doubt,
    CASE WHEN status = 'PENDING' THEN now() + (n % 86400) * interval '1 s' ELSE at END,
    CASE WHEN n % 10 = 0 THEN at + interval '400 days' END, CASE WHEN status = 'PENDING' THEN 0 ELSE 1 END,
    CASE WHEN status = 'FAILED' THEN 1 ELSE 0 END, token, worker, began, began, began,
    CASE WHEN status = 'FAILED' THEN 'the provider refused it' END,
    CASE WHEN in_doubt THEN 'TIMEOUT' WHEN status = 'FAILED' THEN
        (ARRAY['HTTP_500', 'HTTP_422', 'RECIPIENT_REFUSED', 'NO_RECIPIENT', 'CONNECT_FAILED'])[1 + n / 100 % 5] END,
    CASE WHEN status = 'SENT' THEN 'provider' END, CASE WHEN status = 'SENT' THEN 'message ' || n END,
    CASE WHEN status = 'SENT' THEN at END, 'order:' || order_id, ARRAY[order_number, kit_id, order_id::text], at, at{more}
FROM (SELECT row_number() OVER (ORDER BY o.created_at) AS n, k.*, o.order_number, o.practitioner_id, o.updated_at AS at,
        CASE WHEN s.status <> 'PENDING' THEN gen_random_uuid() END AS token,
        CASE WHEN s.status <> 'PENDING' THEN 1 END AS worker,
        CASE WHEN s.status <> 'PENDING' THEN o.updated_at END AS began,
        s.status, s.status = 'FAILED' AND s.n % 500 = 0 AS in_doubt
    FROM orders o JOIN order_kits k ON k.order_id = o.id,
        LATERAL (SELECT hashtext(k.id::text) & 65535 AS n) h,
        LATERAL (SELECT h.n, CASE h.n % 100 WHEN 0 THEN 'FAILED' WHEN 1 THEN 'CANCELLED' WHEN 2 THEN 'PENDING'
            WHEN 3 THEN 'PENDING' ELSE 'SENT' END AS status) s) d;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER log_insert, ENABLE ALWAYS TRIGGER log_update, ENABLE ALWAYS TRIGGER keep_rows;
INSERT INTO dispatch_transitions (lane, dispatch_id, from_status, to_status, at, actor, claim_token, database_user,
    in_doubt)
SELECT '{lane}', t.id, m.was, m.becomes, t.updated_at, 'worker:1', t.claim_token, session_user,
    m.becomes = 'FAILED' AND t.in_doubt
FROM {table} t, (VALUES (NULL, 'PENDING'), ('PENDING', 'QUEUED'), ('QUEUED', 'SENT'), ('QUEUED', 'FAILED'),
    ('PENDING', 'CANCELLED')) AS m (was, becomes)
WHERE m.was IS NULL OR m.becomes = t.status OR (m.becomes = 'QUEUED' AND t.status IN ('SENT', 'FAILED'))
ORDER BY t.updated_at, t.id;
INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, sending_at,
    finished_at, outcome, code, message, latency_ms)
SELECT '{lane}', id, claim_token, 1, 1, 1, 'provider', claimed_at, claimed_at,
    CASE WHEN in_doubt THEN 'UNKNOWN' WHEN status = 'FAILED' THEN 'PERMANENT' ELSE 'ACCEPTED' END, last_error_code,
    last_error, 20 FROM {table} WHERE status IN ('SENT', 'FAILED');
INSERT INTO dispatch_search (key, lane, dispatch_id)
SELECT lower(key), '{lane}', id FROM {table}, unnest(search_keys) key ON CONFLICT DO NOTHING;
"""
_LANES = (
    ("kit_registrations", "kit_registration", "3", "", ""),
    ("health_information_dispatch_logs", "health_information", "4", ", registered_at", ", at"),
)
_AFTER = """
INSERT INTO operator_actions (at, actor, action, lane, dispatch_id, reason)
SELECT updated_at, 'support@example.org', 'retry', 'health_information', id, 'again'
FROM health_information_dispatch_logs WHERE status = 'FAILED';
"""


_FILLED = (
    "orders",
    "order_kits",
    "order_registrations",
    *(table for table, *_ in _LANES),
    "dispatch_transitions",
    "dispatch_attempts",
    "dispatch_search",
    "operator_actions",
)
_PLAIN_INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = ANY (%s::regclass[]) AND NOT i.indisunique ORDER BY 1
"""


def fill(cursor: Any, *, orders: int) -> None:
    """Put in `orders` orders of two kits each, and for each kit a registration and a form.

    `cursor` is the owner's, of an empty migrated database whose orders are its own. The statistics are then the crowd's.
    """
    sizes = {"orders": orders, "kits": KITS_PER_ORDER, "days": DAYS}
    with _indexed_afterwards(cursor):
        cursor.execute(_IDENTITY)
        cursor.execute(_ORDERS, sizes)
        for table, lane, kind, more_names, more in _LANES:
            cursor.execute(_LANE.format(table=table, lane=lane, kind=kind, more_names=more_names, more=more))
        cursor.execute(_AFTER)
    cursor.execute("ANALYZE")


@contextmanager
def _indexed_afterwards(cursor: Any) -> Iterator[None]:
    """Without the indexes that are not unique, and without looking at foreign keys: millions of rows go in far faster."""
    cursor.execute(_PLAIN_INDEXES, (list(_FILLED),))
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    cursor.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'")
    yield
    for _, definition in indexes:
        cursor.execute(definition)
    cursor.execute("RESET session_replication_role; RESET maintenance_work_mem; RESET work_mem")
