"""Retention takes whole sealed batches, after an anchor; their seals stay, and the chain says that they were taken."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from dispatchlog.audit import findings, sealing
from dispatchlog.audit.anchors import write_anchor
from dispatchlog.audit.chain import PRUNABLE
from dispatchlog.engine.move_counts import keep_counts
from dispatchlog.retention import runs
from dispatchlog.retention.holds import Scope, keep, let_go
from dispatchlog.retention.policies import due, policy_named
from dispatchlog.retention_cli import retention

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


@pytest.fixture
def aged(anchored: Owner) -> Owner:
    """Whatever was sealed until now is older than retention keeps it."""
    anchored.run(
        "UPDATE retention_policies SET age = %s WHERE name = 'audit'",
        (f"t.sealed_at - interval '11 years' * (t.sealed_at < '{now(anchored)}')::int",),
    )
    return anchored


def retire() -> list[runs.Retired]:
    return runs.run(actor="retention", chosen=[policy_named("audit")], pause=lambda: None)


def test_retention_takes_what_is_old_as_the_application(aged: Owner) -> None:
    aged.write_moves(4)
    seal()
    assert due(policy_named("audit")) == 5, "batches"
    assert retire() == [runs.Retired("audit", 38, more=False)]
    assert aged.run("SELECT count(*) FROM dispatch_transitions") == [(4,)]
    assert aged.run("SELECT row_count, reason FROM audit_prunings") == [(38, "retention: audit after 3650 days")]
    assert aged.run("SELECT policy, rows, started_by FROM retention_runs") == [("audit", 38, "retention")]
    assert check().findings == []
    assert retire() == []


def test_retention_takes_a_large_batch_alone(aged: Owner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sealing, "BATCH_ROWS", 20_000)
    aged.run(
        "INSERT INTO dispatch_transitions (lane, dispatch_id, to_status, actor, database_user)"
        " SELECT 'parcel', gen_random_uuid(), 'PENDING', 'ann', 'tests' FROM generate_series(1, 10001)"
    )
    seal()
    aged.run("UPDATE retention_policies SET age = 't.sealed_at - interval ''11 years''' WHERE name = 'audit'")
    write_anchor(tmp_path / "anchors", who=WHO)
    keep_counts(started_by=WHO)
    assert [each.rows for each in retire()] == [38 + 10_001]
    assert aged.run("SELECT row_count FROM audit_prunings ORDER BY id") == [(38,), (10_001,)]


def test_while_anything_is_kept_back_no_batch_leaves(aged: Owner) -> None:
    hold = keep(Scope.ORDER, "81", actor="counsel", reason="a dispute")
    assert (due(policy_named("audit")), retire()) == (0, [])
    let_go(hold.id, actor="counsel", reason="settled")
    assert retire()[0].rows == 38


def test_what_is_refused_is_told_and_the_other_policies_run(chained: Owner) -> None:
    chained.run("UPDATE retention_policies SET age = 't.sealed_at - interval ''11 years''' WHERE name = 'audit'")
    chained.run("INSERT INTO dispatch_alerts (kind, summary, over_at) VALUES ('x', 'x', now() - interval '2 years')")
    done = {each.policy: each for each in runs.run(actor="retention", pause=lambda: None)}
    assert "dispatchlog audit anchor" in done["audit"].refused
    assert (done["audit"].rows, done["alerts"].rows) == (0, 1)
    assert chained.run("SELECT count(*) FROM dispatch_transitions") == [(35,)]


def test_the_command_ends_with_1_where_the_audit_was_refused(chained: Owner) -> None:
    chained.run("UPDATE retention_policies SET age = 't.sealed_at - interval ''11 years''' WHERE name = 'audit'")
    told = CliRunner().invoke(retention, ["run", "--policy", "audit"])
    assert told.exit_code == 1
    assert "run: dispatchlog audit anchor FILE" in told.output
    assert "nothing else is due" not in told.output
