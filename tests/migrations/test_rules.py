"""Rules that let a release go in while the one before works: what a migration may do to tables that are there already.

Each migration is run, and what it said to PostgreSQL is judged, not its text. docs/upgrades.md explains the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from peewee import PostgresqlDatabase

from dispatchlog.migrate import migrate_up, migration_status
from tests.migrations.test_migrations import cursor_of

# Up to here migrations were written before there was a release to keep working.
LAST_FREE = "0026_outreach_growth"
# What breaks a rule on purpose, and why the release before works on all the same: (migration, rule): reason.
ALLOWED: dict[tuple[str, str], str] = {
    ("0028_sealed_content", "rewrites rows in one transaction"): "dispatch_lanes has a row for each lane, a handful",
}

NAME = r"(?:IF (?:NOT )?EXISTS )?(?:ONLY )?(?:public\.)?\"?(?P<table>\w+)\"?"
ALTER = re.compile(rf"ALTER TABLE {NAME}(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
RULES = {
    "drops a table": re.compile(rf"DROP TABLE {NAME}", re.IGNORECASE),
    "locks out writers to make an index": re.compile(
        rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:IF NOT EXISTS )?(?:\w+ )?ON {NAME}", re.IGNORECASE
    ),
    "rewrites rows in one transaction": re.compile(rf"^(?:UPDATE|DELETE FROM) {NAME}", re.IGNORECASE),
    "takes a right away": re.compile(rf"REVOKE .* ON {NAME}", re.IGNORECASE | re.DOTALL),
}
ACTIONS = {
    "drops a column": r"DROP COLUMN",
    "renames": r"^RENAME",
    "changes a type": r"ALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE",
    "adds a column that old inserts leave out": (
        r"ADD (?:COLUMN )?(?!CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)\w+.*NOT NULL(?!.*DEFAULT)(?!.*GENERATED)"
    ),
    "demands what old inserts leave out": r"SET NOT NULL",
    "checks all rows under a lock": r"ADD (?:CONSTRAINT|CHECK|FOREIGN)(?!.*NOT VALID)",
}


def statements(sql: str) -> Iterator[str]:
    """The statements of a script, without comments; bodies of functions stay in one piece."""
    sql = re.sub(r"--[^\n]*", "", sql)
    for part in re.split(r";(?=(?:[^$]|\$\$[^$]*\$\$)*\Z)", sql):
        if part.strip():
            yield " ".join(part.split())


def actions(rest: str) -> Iterator[str]:
    """The comma-separated actions of one ALTER TABLE."""
    depth, start = 0, 0
    for place, letter in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield rest[start:place].strip()
            start = place + 1
    yield rest[start:].strip()


def broken(sql: str, there: set[str]) -> Iterator[str]:
    """The rules that a script breaks, given the tables that were there before."""
    for statement in statements(sql):
        for rule, pattern in RULES.items():
            found = pattern.search(statement)
            if found and found["table"] in there:
                yield rule
        altered = ALTER.match(statement)
        if altered and altered["table"] in there:
            for action in actions(altered["rest"].strip()):
                yield from (rule for rule, text in ACTIONS.items() if re.search(text, action, re.IGNORECASE))


def tables(url: str) -> set[str]:
    with cursor_of(url) as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")
        return {row[0] for row in cursor.fetchall()}


def test_the_release_before_can_work_on_after_each_migration(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_database_url
    migrate_up(url, LAST_FREE)
    said: list[str] = []
    execute = PostgresqlDatabase.execute_sql

    def heard(self: PostgresqlDatabase, sql: str, *args: Any, **kwargs: Any) -> Any:
        said.append(sql)
        return execute(self, sql, *args, **kwargs)

    found = set()
    for state in [state for state in migration_status(url) if state.applied_at is None]:
        there = tables(url) - {"schema_migration"}
        with monkeypatch.context() as patch:
            patch.setattr(PostgresqlDatabase, "execute_sql", heard)
            said.clear()
            assert migrate_up(url, state.name) == [state.name]
        found |= {(state.name, rule) for sql in said for rule in broken(sql, there)}
    assert found == ALLOWED.keys()


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("DROP TABLE old", "drops a table"),
        ("ALTER TABLE old ADD COLUMN a int DEFAULT 1, DROP COLUMN b", "drops a column"),
        ("ALTER TABLE old RENAME COLUMN a TO b", "renames"),
        ("ALTER TABLE old ALTER COLUMN a TYPE bigint", "changes a type"),
        ("ALTER TABLE old ADD COLUMN a int NOT NULL", "adds a column that old inserts leave out"),
        ("ALTER TABLE old ALTER a SET NOT NULL", "demands what old inserts leave out"),
        ("ALTER TABLE old ADD CONSTRAINT c CHECK (a > 0)", "checks all rows under a lock"),
        ("CREATE UNIQUE INDEX old_a ON old (a)", "locks out writers to make an index"),
        ("-- all of them\nUPDATE old SET a = 1", "rewrites rows in one transaction"),
        ("REVOKE INSERT ON old FROM app", "takes a right away"),
    ],
)
def test_what_breaks_a_rule_is_found(sql: str, rule: str) -> None:
    assert list(broken(sql, {"old"})) == [rule]
    assert list(broken(sql, {"other"})) == []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE old ADD COLUMN a int, ADD COLUMN b text NOT NULL DEFAULT ''",
        "ALTER TABLE old ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
        "CREATE INDEX CONCURRENTLY old_a ON old (a)",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE old SET a = 1; END $$",
        "CREATE TABLE new (a int NOT NULL); CREATE INDEX ON new (a)",
    ],
)
def test_what_keeps_the_rules_is_let_through(sql: str) -> None:
    assert list(broken(sql, {"old"})) == []


def test_the_rules_hold_for_what_postgresql_is_told(empty_database_url: str) -> None:
    """Why an index is made CONCURRENTLY: the plain one waits for every writer, and every writer for it."""
    with cursor_of(empty_database_url) as cursor:
        cursor.execute("CREATE TABLE old (a int)")
        with psycopg2.connect(empty_database_url) as writer:
            writer.cursor().execute("INSERT INTO old VALUES (1)")
            cursor.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute("CREATE INDEX old_a ON old (a)")
        writer.close()
