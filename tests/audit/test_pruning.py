"""Retention takes whole sealed batches, after an anchor; their seals stay, and the chain says that they were taken."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from dispatchlog.audit import findings
from dispatchlog.audit.anchors import write_anchor
from dispatchlog.audit.chain import PRUNABLE
from dispatchlog.engine.move_counts import keep_counts

from .conftest import WHO, Owner, check, codes, seal


@pytest.fixture
def anchored(chained: Owner, tmp_path: Path) -> Owner:
    """The chain, anchored and counted; then four moves more, sealed after that."""
    write_anchor(tmp_path / "anchors", who=WHO)
    keep_counts(started_by=WHO)
    return chained


def now(owner: Owner) -> str:
    return str(owner.run("SELECT clock_timestamp()::text")[0][0])


def prune(owner: Owner, before: str) -> int:
    return int(owner.run("SELECT dispatchlog_prune_audit(%s)", (before,))[0][0])


def test_whole_batches_leave_and_are_told_as_pruned(anchored: Owner) -> None:
    before = now(anchored)
    anchored.write_moves(4)
    seal()
    assert prune(anchored, before) == 38
    assert anchored.run("SELECT count(*) FROM dispatch_transitions") == [(4,)]
    assert anchored.run("SELECT count(*) FROM audit_seals") == [(6,)]
    report = check()
    assert (report.findings, report.pruned, report.rows) == ([], 5, 4)
    assert seal() == 1, "that it was pruned is sealed too"
    assert check().rows == 5


def test_it_is_done_once(anchored: Owner) -> None:
    before = now(anchored)
    assert prune(anchored, before) == 38
    assert prune(anchored, before) == 0
    assert anchored.run("SELECT count(*), min(database_user) FROM audit_prunings")[0][0] == 1


def test_nothing_is_pruned_without_an_anchor_of_it(chained: Owner, tmp_path: Path) -> None:
    keep_counts(started_by=WHO)
    with pytest.raises(psycopg2.Error, match="anchor"):
        prune(chained, now(chained))
    write_anchor(tmp_path / "anchors", who=WHO)
    chained.write_moves(1)
    seal()
    with pytest.raises(psycopg2.Error, match="anchor"):
        prune(chained, now(chained))
    assert chained.run("SELECT count(*) FROM dispatch_transitions") == [(36,)]


def test_an_anchor_of_another_chain_is_none(chained: Owner) -> None:
    keep_counts(started_by=WHO)
    chained.run("INSERT INTO audit_anchors (number, chained, file) VALUES (5, '\\x00', 'x')")
    with pytest.raises(psycopg2.Error, match="anchor"):
        prune(chained, now(chained))


def test_moves_that_are_not_counted_yet_stay(chained: Owner, tmp_path: Path) -> None:
    write_anchor(tmp_path / "anchors", who=WHO)
    with pytest.raises(psycopg2.Error, match="not counted"):
        prune(chained, now(chained))


def test_what_is_put_back_into_a_pruned_batch_is_found(anchored: Owner) -> None:
    prune(anchored, now(anchored))
    anchored.run(
        "INSERT INTO dispatch_transitions (id, lane, dispatch_id, to_status, actor, database_user)"
        " OVERRIDING SYSTEM VALUE VALUES (15, 'parcel', gen_random_uuid(), 'PENDING', 'bob', 'x')"
    )
    assert [code for code, _ in codes(check())] == [findings.PRUNED_BUT_THERE]


def test_a_batch_of_what_is_never_pruned_is_deleted_and_not_pruned(anchored: Owner) -> None:
    prune(anchored, now(anchored))
    seal()
    anchored.tamper("audit_prunings", "DELETE FROM audit_prunings")
    assert {code for code, _ in codes(check())} == {findings.DELETED}


CLAIM = (
    "INSERT INTO audit_prunings (through, before, row_count, sources, reason) VALUES (%s, now(), 5, %s, 'retention')"
)


def test_who_deletes_a_batch_and_says_that_it_was_retention_is_told_by_what_is_left(anchored: Owner) -> None:
    """Retention takes all batches up to one; somebody who takes the second one alone has to leave the first."""
    anchored.tamper("dispatch_transitions", "DELETE FROM dispatch_transitions WHERE id BETWEEN 11 AND 20")
    anchored.run(CLAIM, (3, ["dispatch_transitions"]))
    seal()
    assert codes(check()) == [(findings.PRUNED_BUT_THERE, 1)]


def test_retention_never_takes_what_is_part_of_a_ticket_whatever_is_said(owner: Owner) -> None:
    owner.run(CLAIM, (0, []))
    seal()
    owner.tamper("audit_prunings", "DELETE FROM audit_prunings")
    owner.run(CLAIM, (10, ["audit_prunings", "emergency_accesses"]))
    seal()
    assert codes(check()) == [(findings.DELETED, 1)]


def test_the_program_s_list_of_what_may_be_pruned_is_the_database_s(anchored: Owner) -> None:
    prune(anchored, now(anchored))
    [(sources,)] = anchored.run("SELECT sources FROM audit_prunings")
    assert frozenset(sources) == PRUNABLE


@pytest.mark.parametrize("statement", ["SELECT dispatchlog_prune_audit(now())", "DELETE FROM operator_actions"])
def test_the_application_cannot_prune(anchored: Owner, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        anchored.run(
            f"SET ROLE dispatchlog_app; SELECT set_config('dispatchlog.pruning', pg_current_xact_id()::text, true);"
            f"{statement}"
        )
