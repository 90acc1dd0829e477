"""One examination of an installation: what works, what does not, and what to do about it. Changes nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import packages_distributions
from typing import Any, Literal

import peewee
import psycopg2
import redis

from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_one
from dispatchlog.engine.identity import is_elsewhere
from dispatchlog.gateways.smtp_endpoint import SmtpEndpoint
from dispatchlog.keys.beginning import earlier_secret_key
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.standing import Standing, key_lines
from dispatchlog.local.running import advice
from dispatchlog.row_sealing import tables_with_plain_rows
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry

# What this product puts at the top level of site-packages; another package may not.
FLAT_NAMES = ("tasks", "dashboard", "scheduler", "models", "migrations")
CLOCK_SKEW_SECONDS = 2.0
WITHOUT_DATABASE = "check DATABASE_URL and that PostgreSQL runs; if a role is missing: dispatchlog migrate up"
MEANWHILE = "meanwhile the workers' own clocks find what is due"


State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    name: str
    state: State
    what: str
    next: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which one would mend things."""
    return [*_settings(settings), *_names(), *_database(settings), *_broker(settings), *_mail(settings)]


def examine_deeply(settings: Settings) -> list[Check]:
    """Everything that `examine` does, and what takes seconds, signs in somewhere or needs the owner's address."""
    from dispatchlog.doctor_outside import examine_outside, examine_schools
    from dispatchlog.doctor_postgres import examine_postgres
    from dispatchlog.doctor_secrets import examine_secrets

    def stored() -> Iterator[Check]:
        configure(settings.database_url, role=settings.application_role, name="dispatchlog doctor")
        with connected():
            yield from examine_secrets(settings)
            yield from examine_schools()

    found = examine(settings)
    if settings.database_url:
        for part in (lambda: examine_postgres(settings), stored):
            found += _unless_away(part, settings)
    return [*found, *examine_outside(settings)]


def _unless_away(part: Callable[[], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    try:
        yield from part()
    except (psycopg2.Error, peewee.PeeweeException) as error:
        words = str(error).strip().splitlines()[0]
        yield Check("database", "failed", words, advice(settings, "DATABASE_URL", WITHOUT_DATABASE))
    finally:
        if not database.is_closed():
            database.close()


def _settings(settings: Settings) -> Iterator[Check]:
    if not settings.database_url:
        yield Check("settings", "failed", "DATABASE_URL is not set", "set it, or run everything with: dispatchlog up")
        return
    if settings.environment == "production" and len(settings.secret_key.get_secret_value()) < 32:
        yield Check("settings", "failed", "DISPATCHLOG_SECRET_KEY is short", "use at least 32 random characters")
        return
    yield Check("settings", "ok", f"{settings.environment}, sweep every {settings.sweep_seconds} s")


def _names() -> Iterator[Check]:
    owners = packages_distributions()
    clashes = {name: sorted(set(owners.get(name, []))) for name in FLAT_NAMES}
    clashes = {name: found for name, found in clashes.items() if len(found) > 1}
    for name, found in clashes.items():
        yield Check(
            "names",
            "failed",
            f"the package name {name} belongs to {' and '.join(found)}",
            "give them separate environments",
        )
    if not clashes:
        yield Check("names", "ok", f"{', '.join(FLAT_NAMES)} have one owner")


def _database(settings: Settings) -> Iterator[Check]:
    if not settings.database_url:
        return

    def checks() -> Iterator[Check]:
        yield from _migrations(settings)
        configure(settings.database_url, role=settings.application_role, name="dispatchlog doctor")
        with connected():
            for check in (
                _server,
                _clock,
                _pooler,
                _schema,
                _row_level_security,
                _keys,
                _content,
                _whereabouts,
                _processes,
            ):
                yield from check()

    yield from _unless_away(checks, settings)


def _migrations(settings: Settings) -> Iterator[Check]:
    from dispatchlog.migrate import migration_status

    pending = [state.name for state in migration_status(settings.effective_owner_url) if state.applied_at is None]
    if pending:
        yield Check("migrations", "failed", f"pending: {', '.join(pending)}", "dispatchlog migrate up")
    else:
        yield Check("migrations", "ok", "all applied")


def _server() -> Iterator[Check]:
    version, number = fetch_one("SELECT current_setting('server_version'), current_setting('server_version_num')::int")
    if number < 150000:
        yield Check("database", "failed", f"PostgreSQL {version} is too old", "use PostgreSQL 15 or newer")
    else:
        yield Check("database", "ok", f"PostgreSQL {version}")


def _clock() -> Iterator[Check]:
    skew = abs((fetch_one("SELECT clock_timestamp()")[0] - datetime.now(UTC)).total_seconds())
    if skew > CLOCK_SKEW_SECONDS:
        yield Check("clock", "warning", f"this machine and PostgreSQL differ by {skew:.1f} s", "run NTP on both")
    else:
        yield Check("clock", "ok", f"{skew * 1000:.0f} ms from PostgreSQL's")


def _pooler() -> Iterator[Check]:
    connection = database.connection()
    if fetch_one("SELECT pg_backend_pid()")[0] != connection.info.backend_pid:
        yield Check("pooler", "failed", "a transaction pooler is in between", "connect workers and scheduler directly")
    else:
        yield Check("pooler", "ok", "connected directly")


def _schema() -> Iterator[Check]:
    """Whether the tables have the columns the models know; types and indexes are the migration tests' business."""
    import models

    wrong = []
    for model in models.ALL_TABLES:
        table = model._meta.table_name
        known = {field.column_name for field in model._meta.sorted_fields}
        there = {row[0] for row in fetch_all(_COLUMNS, (table,))}
        wrong += [f"{table}.{column}" for column in sorted(known - there)]
    if wrong:
        yield Check("schema", "failed", f"missing: {', '.join(wrong[:6])}", "dispatchlog migrate up")
    else:
        yield Check("schema", "ok", f"{len(models.ALL_TABLES)} tables as the models have them")


# What of the application's role, or of a role it is a member of, goes round the policies of a table.
_BYPASSES = """
WITH held AS (SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.oid FROM pg_roles r
    WHERE pg_has_role(current_user, r.oid, 'MEMBER'))
SELECT rolname || CASE WHEN rolsuper THEN ' is a superuser' ELSE ' may bypass row-level security' END
FROM held WHERE rolsuper OR rolbypassrls
UNION SELECT held.rolname || ' owns ' || c.relname FROM held JOIN pg_class c ON c.relowner = held.oid
WHERE c.oid = ANY (%(tables)s) AND NOT held.rolsuper
UNION SELECT c.relname || ' has no row-level security' FROM pg_class c
WHERE c.oid = ANY (%(tables)s) AND NOT c.relrowsecurity
ORDER BY 1
"""
GUARDED_TABLES = (
    "care_parties",
    "care_people",
    "healthcare_tickets",
    "prescriptions",
    "prescription_items",
    "prescription_drafts",
    "chat_threads",
    "chat_thread_members",
    "chat_messages",
    "ticket_timeline",
    "ticket_changes",
    "emergency_accesses",
)


def _row_level_security() -> Iterator[Check]:
    """Whether the role that the application works as could read tickets past their policies."""
    tables = [found for (found,) in fetch_all("SELECT to_regclass(t)::oid FROM unnest(%s) t", (list(GUARDED_TABLES),))]
    ways = [found for (found,) in fetch_all(_BYPASSES, {"tables": tables})]
    if ways:
        what_next = "set DISPATCHLOG_APPLICATION_ROLE to a role that owns no table and bypasses nothing"
        yield Check("tickets", "failed", f"row-level security can be bypassed: {'; '.join(ways[:4])}", what_next)
    else:
        yield Check("tickets", "ok", "row-level security binds the application's role")


def _content() -> Iterator[Check]:
    """Whether everything that rows say of patients is sealed."""
    plain = tables_with_plain_rows()
    if not get_settings().seal_content:
        yield Check("content", "warning", "what is written is not sealed", "set DISPATCHLOG_SEAL_CONTENT=1, restart")
    elif plain:
        yield Check("content", "warning", f"not all rows are sealed: {', '.join(plain)}", "dispatchlog seal")
    else:
        yield Check("content", "ok", "what rows say of patients is sealed")


_COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"


def _keys() -> Iterator[Check]:
    """Whether this process opens what is sealed. It counts nothing: `dispatchlog keys status` does."""
    found = Standing(key_lines(), {})
    if not found.keys:
        yield _no_keys()
    elif found.locked:
        numbers = ", ".join(str(key.id) for key in found.locked)
        what = f"data key {numbers} was wrapped under another secret key than this process has"
        yield Check("keys", "failed", what, "set DISPATCHLOG_SECRET_KEY or DISPATCHLOG_OLD_SECRET_KEYS to that one")
    elif found.wrapped_by_old:
        yield Check(
            "keys", "warning", "data keys are wrapped under an old secret key", "dispatchlog keys rotate-secret"
        )
    else:
        yield Check("keys", "ok", f"{len(found.keys)} data keys, wrapped under DISPATCHLOG_SECRET_KEY")


def _no_keys() -> Check:
    try:
        earlier = earlier_secret_key()
    except CannotUnsealError as error:
        return Check("keys", "failed", error.message, "docs/keys.md")
    if earlier is None:
        return Check("keys", "ok", "none yet; the first are made when something is first sealed")
    what = "secrets are still sealed straight under the secret key"
    return Check("keys", "warning", what, "once no process of an earlier release runs: dispatchlog keys rotate-data")


def _whereabouts() -> Iterator[Check]:
    with database.connection().cursor() as cursor:
        if is_elsewhere(cursor):
            found = "the database was restored or moved, and nobody has said so: no worker starts"
            yield Check("log", "failed", found, "dispatchlog restored take-over, or restored moved; docs/backup.md")


def _processes() -> Iterator[Check]:
    rows = fetch_all(
        "SELECT kind, count(*) FROM dispatch_workers WHERE stopped_at IS NULL"
        " AND last_seen_at > now() - interval '10 s' GROUP BY kind"
    )
    alive: dict[Any, Any] = {row[0]: row[1] for row in rows}
    for kind, command in (("worker", "dispatchlog worker"), ("scheduler", "dispatchlog scheduler")):
        if alive.get(kind):
            yield Check(f"{kind}s", "ok", f"{alive[kind]} alive")
        else:
            yield Check(f"{kind}s", "warning", "none seen in the last 10 s", command)
    if alive.get("worker"):
        yield from _unserved()


def _unserved() -> Iterator[Check]:
    """The lanes on which no living worker works."""
    served = fetch_all(
        "SELECT lanes FROM dispatch_workers WHERE kind = 'worker' AND stopped_at IS NULL"
        " AND last_seen_at > now() - interval '10 s'"
    )
    for lane in registry.lanes():
        if not any(lanes is None or lane.name in lanes for (lanes,) in served):
            found = f"none works on {lane.title}"
            yield Check("workers", "warning", found, f"dispatchlog worker --lane {lane.name}")


def _broker(settings: Settings) -> Iterator[Check]:
    yield _answers(
        "redis",
        lambda: _ping(settings.effective_redis_url),
        advice(settings, "REDIS_URL", "check REDIS_URL and that Redis or Valkey runs") + "; " + MEANWHILE,
    )
    if settings.effective_broker_url.startswith("amqp"):
        yield _answers("broker", lambda: _ping_amqp(settings.effective_broker_url), "check BROKER_URL")


def _answers(name: str, ask: Callable[[], str], what_next: str) -> Check:
    try:
        return Check(name, "ok", ask())
    except (redis.RedisError, OSError, ValueError) as error:
        return Check(name, "failed", str(error).splitlines()[0] or type(error).__name__, what_next)


def _ping(url: str) -> str:
    client: Any = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        server = client.info("server")
    finally:
        client.close()
    return f"{server.get('server_name', 'redis')} {server.get('valkey_version') or server['redis_version']}"


def _ping_amqp(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), timeout=2):
        return "the port is open"


def _mail(settings: Settings) -> Iterator[Check]:
    what_next = "check DISPATCHLOG_SMTP_URL; forms wait meanwhile"
    try:
        endpoint = SmtpEndpoint.parse(settings.smtp_url)
    except ValueError as error:
        yield Check("mail", "failed", str(error), what_next)
        return

    def greet() -> str:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=2):
            return f"{endpoint.host}:{endpoint.port} answers"

    yield _answers("mail", greet, what_next)
