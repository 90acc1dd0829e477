"""The thorough part of an examination that asks PostgreSQL: privileges, triggers, indexes, age, waiting. Changes nothing.

Asked over the owner's address, as nobody in particular: the application's role may not see what others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import psycopg2

from dispatchlog.doctor import Check, State
from dispatchlog.settings import Settings
from dispatchlog.systems import registry

OLD_AGE, OLDEST_AGE = 1_000_000_000, 1_500_000_000
LONG_TRANSACTION_SECONDS = 600
MANY_DEAD_ROWS, DEAD_SHARE = 10_000, 0.2
MUCH_KEPT_BYTES = 5 * 2**30
# What a lane's table is guarded by; ALWAYS, so that a replica's session cannot go past them.
LANE_TRIGGERS = ("log_insert", "log_update", "keep_rows")
# What the application adds to and never changes or takes away.
LOG_TABLES = ("dispatch_transitions", "operator_actions", "dispatch_payloads")

_PRIVILEGES = """
SELECT t, p FROM unnest(%(tables)s::text[]) t, unnest(%(privileges)s::text[]) p
WHERE to_regclass(t) IS NOT NULL AND has_table_privilege(%(role)s, to_regclass(t), p) ORDER BY 1, 2
"""
_OWNED_BY_LOGIN = """
SELECT count(*), bool_or(r.rolsuper) FROM pg_roles r LEFT JOIN pg_class c ON c.oid = ANY (
    SELECT to_regclass(t)::oid FROM unnest(%(tables)s::text[]) t) AND pg_has_role(r.oid, c.relowner, 'USAGE')
WHERE r.rolname = session_user AND (c.oid IS NOT NULL OR r.rolsuper)
"""
_TRIGGERS = """
SELECT tgrelid::regclass::text, tgname::text, tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT tgisinternal AND c.relnamespace = current_schema()::regnamespace
"""
_INVALID = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE NOT (i.indisvalid AND i.indisready) AND c.relnamespace = current_schema()::regnamespace ORDER BY 1
"""
_DEAD = """
SELECT relname::text, n_dead_tup, n_live_tup FROM pg_stat_user_tables
WHERE n_dead_tup > %s AND n_dead_tup > %s * greatest(n_live_tup, 1) ORDER BY n_dead_tup DESC LIMIT 5
"""
_AGE = "SELECT datname::text, age(datfrozenxid) FROM pg_database ORDER BY 2 DESC LIMIT 1"
_LONG = """
SELECT pid, coalesce(nullif(application_name, ''), usename, '?'), extract(epoch FROM now() - xact_start)::int
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND xact_start < now() - %s * interval '1 s' ORDER BY xact_start LIMIT 5
"""
_SLOTS = """
SELECT slot_name::text, active, wal_status = 'lost',
    CASE WHEN pg_is_in_recovery() THEN 0 ELSE coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) END
FROM pg_replication_slots ORDER BY 1
"""
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 5"
_MIGRATION = "SELECT name FROM schema_migration ORDER BY name DESC LIMIT 1"


def examine_postgres(settings: Settings) -> Iterator[Check]:
    """Every check of PostgreSQL; one line where it does not answer.

    Raises:
        psycopg2.Error: it does not answer, or these are not our tables.
    """
    lanes = [lane.table for lane in registry.lanes()]
    with closing(psycopg2.connect(settings.database_url, connect_timeout=5)) as connection:
        yield _login(_Asked(connection), [*lanes, *LOG_TABLES], production=settings.environment == "production")
    with closing(psycopg2.connect(settings.effective_owner_url, connect_timeout=5)) as connection:
        connection.set_session(readonly=True, autocommit=True)
        asked = _Asked(connection)
        yield _privileges(asked, settings.application_role, lanes)
        yield _triggers(asked, lanes)
        for check in (_version, _indexes, _dead_rows, _age, _transactions, _slots, _prepared):
            yield check(asked)
        yield from _waiting(asked, settings)


class _Asked:
    """A connection that is asked and told nothing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _verdict(name: str, wrong: Iterable[str], fine: str, what_next: str, *, state: State = "failed") -> Check:
    """`fine` where nothing is wrong, otherwise the first few of what is, and what to do."""
    found = list(wrong)
    if not found:
        return Check(name, "ok", fine)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return Check(name, state, "; ".join(found[:5]) + more, what_next)


def _login(asked: _Asked, tables: list[str], *, production: bool) -> Check:
    [(owned, is_superuser)] = asked.rows(_OWNED_BY_LOGIN, {"tables": tables})
    wrong = ["the application signs in as a superuser"] if is_superuser else []
    wrong += ["the application signs in as the owner of the tables"] if owned and not is_superuser else []
    what_next = "give it a login of its own that is a member of the application's role; the owner only migrates"
    state: State = "failed" if production else "warning"
    return _verdict("login", wrong, "the application's login owns no table", what_next, state=state)


def _privileges(asked: _Asked, role: str, lanes: list[str]) -> Check:
    never = {"tables": [*lanes, *LOG_TABLES], "privileges": ["DELETE", "TRUNCATE", "TRIGGER"], "role": role}
    kept = {"tables": ["dispatch_transitions", "operator_actions"], "privileges": ["UPDATE"], "role": role}
    found = [*asked.rows(_PRIVILEGES, never), *asked.rows(_PRIVILEGES, kept)]
    what_next = f"REVOKE it from {role}, and from PUBLIC"
    words = [f"{role} may {privilege} {table}" for table, privilege in found]
    return _verdict("privileges", words, f"{role} may not take anything from the log", what_next)


def _triggers(asked: _Asked, lanes: list[str]) -> Check:
    there = {(table, name): enabled for table, name, enabled in asked.rows(_TRIGGERS)}
    wrong = [f"{table} has no {name}" for table in lanes for name in LANE_TRIGGERS if (table, name) not in there]
    wrong += [
        f"{name} of {table} is {'switched off' if enabled == 'D' else 'not ALWAYS'}"
        for (table, name), enabled in sorted(there.items())
        if enabled == "D" or (table in lanes and name in LANE_TRIGGERS and enabled != "A")
    ]
    what_next = (
        "as the owner: ALTER TABLE ... ENABLE ALWAYS TRIGGER ...; find out who changed it and what moved meanwhile"
    )
    return _verdict("triggers", wrong, f"{len(lanes)} lanes are guarded, always", what_next)


def _version(asked: _Asked) -> Check:
    return Check("schema version", "ok", str(asked.rows(_MIGRATION)[0][0]))


def _indexes(asked: _Asked) -> Check:
    wrong = [f"{name} is not valid" for (name,) in asked.rows(_INVALID)]
    return _verdict("indexes", wrong, "all are valid", "REINDEX INDEX CONCURRENTLY of each")


def _dead_rows(asked: _Asked) -> Check:
    found = asked.rows(_DEAD, (MANY_DEAD_ROWS, DEAD_SHARE))
    wrong = [f"{table} has {dead:,} dead rows beside {live:,}" for table, dead, live in found]
    what_next = "VACUUM (ANALYZE) them; look for what holds autovacuum back: long transactions, slots, its settings"
    return _verdict("dead rows", wrong, "vacuum keeps up", what_next, state="warning")


def _age(asked: _Asked) -> Check:
    [(name, age)] = asked.rows(_AGE)
    words = f"{name} is {age:,} transactions old"
    if age < OLD_AGE:
        return Check("transaction ids", "ok", words)
    state: State = "failed" if age >= OLDEST_AGE else "warning"
    return Check("transaction ids", state, words, "VACUUM FREEZE it before PostgreSQL stops at 2,000,000,000")


def _transactions(asked: _Asked) -> Check:
    found = asked.rows(_LONG, (LONG_TRANSACTION_SECONDS,))
    wrong = [f"{name} (pid {pid}) for {seconds // 60} minutes" for pid, name, seconds in found]
    what_next = "end it where it hangs, or SELECT pg_terminate_backend(pid); it holds vacuum back"
    return _verdict("transactions", wrong, "none is open for long", what_next, state="warning")


def _slots(asked: _Asked) -> Check:
    found = asked.rows(_SLOTS)
    lost = [f"{name} lost what it needs" for name, _, is_lost, _ in found if is_lost]
    if lost:
        return _verdict("replication slots", lost, "", "drop it, and build its replica anew")
    idle = [
        f"nobody reads {name}, it keeps {kept / 2**20:,.0f} MiB"
        for name, active, _, kept in found
        if not active or kept > MUCH_KEPT_BYTES
    ]
    what_next = "bring its reader back, or SELECT pg_drop_replication_slot(...) before the disk is full"
    return _verdict("replication slots", idle, f"{len(found)}, all read", what_next, state="warning")


def _prepared(asked: _Asked) -> Check:
    wrong = [f"{gid} was left prepared" for (gid,) in asked.rows(_PREPARED)]
    what_next = "COMMIT PREPARED or ROLLBACK PREPARED it: we prepare none, and it holds its locks for ever"
    return _verdict("prepared transactions", wrong, "none", what_next)


def _waiting(asked: _Asked, settings: Settings) -> Iterator[Check]:
    """How much is due in each lane, and for how long the oldest of it."""
    limit = settings.alert_queue_age_seconds
    for lane in registry.lanes():
        sql = (
            "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)::int"
            f" FROM {lane.table} WHERE status = 'PENDING' AND due_at <= clock_timestamp()"
        )
        [(due, seconds)] = asked.rows(sql)
        words = f"{lane.name}: {due:,} due" + (f", the oldest for {seconds:,} s" if due else "")
        if limit and seconds > limit:
            yield Check("waiting", "warning", words, "see that workers run and their provider works; is it paused?")
        else:
            yield Check("waiting", "ok", words)
