"""What is audited, and the chain itself, can only grow: the application may neither change nor delete a row."""

from __future__ import annotations

import psycopg2
import pytest

from dispatchlog.audit.chain import SOURCES

from .conftest import Owner

TABLES = [*SOURCES, "audit_seals", "audit_anchors", "audit_checks"]
STATEMENTS = ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"]


@pytest.mark.parametrize("table", TABLES)
def test_the_application_can_only_add(owner: Owner, table: str) -> None:
    column = owner.run("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 2", (table,))[0][0]
    for statement in STATEMENTS:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            owner.run("SET ROLE dispatchlog_app; " + statement.format(table, column, column))


@pytest.mark.parametrize("table", TABLES)
def test_the_owner_is_refused_too_unless_the_trigger_is_taken_away(owner: Owner, table: str) -> None:
    column = owner.run("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 2", (table,))[0][0]
    for statement in STATEMENTS:
        with pytest.raises(psycopg2.Error) as refused:
            owner.run(statement.format(table, column, column))
        assert refused.value.pgcode == "DL004"


def test_the_lines_of_tickets_are_not_the_applications(owner: Owner) -> None:
    """It gets digests, for sealing; what a policy hides it does not get in another way."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        owner.run("SET ROLE dispatchlog_app; SELECT * FROM dispatchlog_audit_lines('ticket_timeline', 0, 9)")
