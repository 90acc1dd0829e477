"""What the clock does for the chain, and what it says when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dispatchlog.alerts import ANCHOR_OLD, AUDIT_BROKEN, look
from dispatchlog.audit import duties
from dispatchlog.audit.chain import NoChainKeyError, chain_key
from dispatchlog.audit.standing import standing, unsealed_seconds
from dispatchlog.cli import main
from dispatchlog.engine.database import connected
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from scheduler import timetable

from .conftest import WHO, Owner, check, seal


def alerts(settings: Settings) -> dict[str, str]:
    with connected():
        found = look(settings, registry.lanes(), {}, up_seconds=0.0).conditions
    return {each.kind: each.summary for each in found if each.kind in (AUDIT_BROKEN, ANCHOR_OLD)}


def test_the_clock_seals_anchors_and_verifies(owner: Owner, settings_env: Settings, tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    settings = settings_env.model_copy(update={"audit_anchor": file})
    owner.write_moves(3)
    jobs = {job.name: job for job in timetable(settings) if job.name.startswith("audit-")}
    assert {name: job.recorded for name, job in jobs.items()} == {
        "audit-seal": False,
        "audit-anchor": False,
        "audit-verify": True,
    }
    for _ in range(2):
        for name in ("audit-seal", "audit-anchor", "audit-verify"):
            jobs[name].run()
    now = standing()
    assert (now.seals, now.anchored_number, now.verified_rows, now.broken) == (1, 1, 3, None)
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [1], "once for each head"


def test_without_an_anchor_file_the_clock_writes_none(settings_env: Settings) -> None:
    assert {job.name for job in timetable(settings_env) if "audit" in job.name} == {"audit-seal", "audit-verify"}


def test_a_broken_chain_alerts_until_as_much_is_found_right(chained: Owner, settings_env: Settings) -> None:
    assert alerts(settings_env) == {}
    chained.tamper("operator_actions", "UPDATE operator_actions SET actor = 'bob' WHERE id = 2")
    duties.verify_last_day(None, who=WHO)
    assert "operator_actions" in alerts(settings_env)[AUDIT_BROKEN]
    ((later,),) = chained.run("SELECT clock_timestamp()")
    check(since=later)
    assert AUDIT_BROKEN in alerts(settings_env), "a look at less than that says nothing of it"
    chained.tamper("operator_actions", "UPDATE operator_actions SET actor = 'ann' WHERE id = 2")
    check()
    assert alerts(settings_env) == {}


def test_what_an_anchor_told_is_not_settled_without_one(chained: Owner, settings_env: Settings, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    duties.anchor(old, who=WHO)
    chained.tamper("audit_seals", "DELETE FROM audit_seals WHERE number = 5")
    chained.tamper("dispatch_transitions", "DELETE FROM dispatch_transitions WHERE id > 30")
    duties.verify_last_day(old, who=WHO)
    assert "knows seal 5" in alerts(settings_env)[AUDIT_BROKEN]
    check()
    assert AUDIT_BROKEN in alerts(settings_env), "without the anchors everything fits"
    chained.write_moves(1)
    seal()
    duties.anchor(new, who=WHO)
    check(anchor_file=new)
    assert alerts(settings_env) == {}


def test_an_anchor_that_stays_behind_alerts(chained: Owner, settings_env: Settings, tmp_path: Path) -> None:
    anchored = settings_env.model_copy(update={"audit_anchor": tmp_path / "no" / "such" / "folder"})
    assert alerts(anchored) == {}, "not before its time"
    chained.tamper("audit_seals", "UPDATE audit_seals SET sealed_at = sealed_at - interval '2 hours'")
    duties.anchor(tmp_path / "no" / "such" / "folder", who=WHO)
    assert alerts(settings_env) == {}, "where none is set nothing is missing"
    assert "2 h" in alerts(anchored)[ANCHOR_OLD]
    duties.anchor(tmp_path / "anchors", who=WHO)
    assert alerts(anchored) == {}


def test_how_old_the_oldest_unsealed_row_is(owner: Owner) -> None:
    assert unsealed_seconds() == 0.0
    owner.run("INSERT INTO operator_actions (actor, action, at) VALUES ('ann', 'retry', now() - interval '1 hour')")
    assert 3600 <= unsealed_seconds() < 7200
    seal()
    assert unsealed_seconds() == 0.0


@pytest.fixture
def run(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("DATABASE_URL", owner.url)
    get_settings.cache_clear()
    return CliRunner()


def test_from_a_shell(chained: Owner, run: CliRunner, tmp_path: Path) -> None:
    file = str(tmp_path / "anchors")
    chained.write_moves(2)
    sealed = run.invoke(main, ["audit", "seal"])
    assert (sealed.exit_code, sealed.output) == (0, "2 rows sealed; the chain ends with seal 6\n")
    assert run.invoke(main, ["audit", "anchor", file]).output == f"seal 6 is anchored in {file}\n"
    good = run.invoke(main, ["audit", "verify", "--anchor", file])
    assert (good.exit_code, good.stdout) == (0, "6 seals, 40 rows, 1 anchors compared\nthe chain holds\n")
    assert "seal 6 of 6, 40 rows" in good.stderr
    chained.tamper("dispatch_transitions", "DELETE FROM dispatch_transitions WHERE id = 15")
    bad = run.invoke(main, ["audit", "verify", "--anchor", file])
    assert bad.exit_code == 1
    assert bad.stdout.startswith("DELETED: seal 3 (dispatch_transitions, rows 11 to 20, sealed ")
    late = run.invoke(main, ["audit", "verify", "--since", "2999-01-01"])
    assert (late.exit_code, late.stdout.splitlines()[0]) == (0, "0 seals, 0 rows, no anchor file to compare with")


def test_an_anchor_that_cannot_be_written_is_said(chained: Owner, run: CliRunner, tmp_path: Path) -> None:
    answer = run.invoke(main, ["audit", "anchor", str(tmp_path / "no" / "folder")])
    assert answer.exit_code == 1
    assert "AUDIT_ANCHOR" in answer.stderr


def test_who_looked_is_said_in_a_shell(owner: Owner, run: CliRunner) -> None:
    for actor, subject, asked in (
        ("ann", "p-1", "{}"),
        ("bob", "p-1", "{}"),
        ("ann", "", '{"status": "FAILED", "q": true}'),
    ):
        owner.run(
            "INSERT INTO patient_reads (actor, what, subject, why, filter)"
            " VALUES (%s, 'dispatch.show', %s, 'permission read', %s)",
            (actor, subject, asked),
        )
    of_patient = run.invoke(main, ["audit", "looks", "--subject", "p-1"]).output.splitlines()
    assert [line.split()[1] for line in of_patient] == ["bob", "ann"]
    by_ann = run.invoke(main, ["audit", "looks", "--actor", "ann", "--limit", "1"]).output
    assert by_ann.split()[1:] == ["ann", "dispatch.show", "q=…,status=FAILED", "permission", "read"]
    assert run.invoke(main, ["audit", "looks", "--since", "2999-01-01"]).output == ""


def test_without_a_secret_key_nothing_is_sealed(
    owner: Owner, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everybody would know the key."""
    owner.write_moves(1)
    monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", "")
    get_settings.cache_clear()
    duties.seal(who=WHO)
    assert standing().seals == 0
    with pytest.raises(NoChainKeyError):
        seal()


def test_the_key_s_place_is_said_in_the_guide(chained: Owner, settings_env: Settings) -> None:
    """An auditor who is given the secret key and the row of data key 1 derives the chain's key by the guide alone."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

    [(wrapped,)] = chained.run("SELECT wrapped FROM data_keys WHERE id = 1 AND purpose = 'find'")
    wrapping = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"dispatchlog data keys")
    opener = AESGCM(wrapping.derive(settings_env.secret_key.get_secret_value().encode()))
    data_key = opener.decrypt(bytes(wrapped[:12]), bytes(wrapped[12:]), b"data key 1 find")
    assert chain_key() == HKDFExpand(algorithm=SHA256(), length=32, info=b"dispatchlog audit chain").derive(data_key)
