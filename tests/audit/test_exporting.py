"""What auditors get can be recomputed by a program that knows nothing of ours, and names nobody unless a reason is kept."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dispatchlog.audit import exporting
from dispatchlog.audit.chain import chain_key
from dispatchlog.audit.exporting import Exported, ExportError, export
from dispatchlog.cli import main
from dispatchlog.engine.move_counts import keep_counts
from dispatchlog.settings import get_settings

from .conftest import WHO, Owner, seal

WHY = "yearly review of the privacy officer"


def export_today(owner: Owner, file: Path, **how: Any) -> Exported:
    """Of yesterday and today: midnight may have come since the rows were written."""
    today = datetime.now(UTC).date()
    return export(owner.url, file, first=today - timedelta(days=1), last=today, actor=WHO, **how)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def recompute(file: Path, key: bytes | None = None) -> tuple[int, int, list[int]]:
    """As docs/audit.md has it, with the standard library alone: seals, rows, and which seals are wrong."""
    *lines, last = file.read_bytes().splitlines(keepends=True)
    manifest = json.loads(last)
    assert manifest["sha256"] == hashlib.sha256(b"".join(lines)).hexdigest()
    groups: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for line in map(json.loads, lines[1:]):
        if line["kind"] == "seal":
            groups.append((line, []))
        else:
            groups[-1][1].append(line)
    wrong, previous = [], None
    for sealed, rows in groups:
        good = previous is None or (
            sealed["previous"] == previous["chained"] and sealed["number"] == previous["number"] + 1
        )
        if not sealed["pruned"]:
            digests = [bytes.fromhex(row["digest"]) for row in rows]
            good &= hashlib.sha256(b"".join(digests)).hexdigest() == sealed["digest"]
            if "salt" in sealed:
                salt = bytes.fromhex(sealed["salt"])
                good &= digests == [hashlib.sha256(salt + row["line"].encode("utf-8")).digest() for row in rows]
        if key is not None:
            names = ["number", "source", "after_id", "last_id", "row_count", "encoding", "salt", "digest", "previous"]
            said = json.dumps([sealed[name] for name in [*names, "sealed_at"]], separators=(",", ":"))
            good &= hmac.new(key, said.encode("utf-8"), "sha256").hexdigest() == sealed["chained"]
        wrong += [] if good else [sealed["number"]]
        previous = sealed
    return len(groups), sum(len(rows) for _, rows in groups), wrong


@pytest.fixture
def written(chained: Owner) -> Owner:
    """The chain, with a row that has all that is hard to write: umlauts, quotes, a line's end, an address, a number."""
    chained.run(
        "INSERT INTO operator_actions (actor, action, reason, detail) VALUES ('eve@example.org', 'reveal', %s, %s)",
        ('Ärztin "Ö" rief\nan: +49 170 1234567 \\ 😀', json.dumps({"patient": "Ada Lovelace", "n": 1.50})),
    )
    chained.run(
        "INSERT INTO patient_reads (actor, user_id, what, subject, why) VALUES ('eve@example.org', 7, 'x', %s, 'y')",
        ("2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11",),
    )
    seal()
    return chained


def test_an_independent_program_recomputes_all_of_it(written: Owner, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    done = export_today(written, file, identifiers=True, reason=WHY)
    assert recompute(file, chain_key()) == (done.seals, done.rows, []) == (7, 40, [])
    assert recompute(file, b"another key")[2] == [1, 2, 3, 4, 5, 6, 7]


def test_it_notices_a_changed_word(written: Owner, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    export_today(written, file, identifiers=True, reason=WHY)
    rows = file.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = [line.replace("rief", "lief") if "rief" in line else line for line in rows[:-1]]
    manifest = {**json.loads(rows[-1]), "sha256": hashlib.sha256("".join(changed).encode()).hexdigest()}
    file.write_text("".join(changed) + json.dumps(manifest) + "\n", encoding="utf-8")
    assert len(recompute(file)[2]) == 1


def test_without_identifiers_it_names_nobody_and_still_fits(written: Owner, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    export_today(written, file)
    assert recompute(file) == (7, 40, [])
    text = re.sub(r"[0-9a-f]{64}|p-[0-9a-f]{16}", "", file.read_text(encoding="utf-8"))  # digests may say anything
    for secret in ("eve@", "Ada", "1234567", "2f1d3a52", "salt", "Ärztin"):
        assert secret not in text, secret
    rows = [line["row"] for line in lines_of(file) if line["kind"] == "row"]
    eves = {row["actor"] for row in rows if row.get("action") == "reveal" or "what" in row} - {"ann"}
    assert len(eves) == 1, "the same person has the same stand-in"
    assert {row["actor"] for row in rows if "to_status" in row} == {"ann"}, "who is no person of an address is named"


def test_two_exports_have_other_stand_ins(written: Owner, tmp_path: Path) -> None:
    files = [tmp_path / "1", tmp_path / "2"]
    for file in files:
        export_today(written, file)
    first, second = (
        {
            line["row"]["dispatch_id"]
            for line in lines_of(file)
            if line.get("source") == "dispatch_transitions" and line["kind"] == "row"
        }
        for file in files
    )
    assert first & second == set()


def test_identifiers_need_a_reason_and_every_export_is_kept(written: Owner, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="why"):
        export_today(written, tmp_path / "x", identifiers=True, reason=" ")
    assert not (tmp_path / "x").exists()
    export_today(written, tmp_path / "x", identifiers=True, reason=WHY)
    export_today(written, tmp_path / "y")
    kept = written.run(
        "SELECT actor, reason, detail ->> 'identifiers' FROM operator_actions"
        " WHERE action = 'export_audit_rows' ORDER BY id"
    )
    assert kept == [(WHO, WHY, "true"), (WHO, None, "false")]


def test_a_broken_batch_is_marked(written: Owner, tmp_path: Path) -> None:
    written.tamper("dispatch_transitions", "UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 3")
    file = tmp_path / "audit.jsonl"
    assert export_today(written, file, identifiers=True, reason=WHY).wrong == [1]
    assert recompute(file)[2] == [1]


def test_what_retention_took_is_said_to_be_gone(written: Owner, tmp_path: Path) -> None:
    from dispatchlog.audit.anchors import write_anchor

    write_anchor(tmp_path / "anchors", who=WHO)
    keep_counts(started_by=WHO)
    written.run("SELECT dispatchlog_prune_audit(clock_timestamp())")
    file = tmp_path / "audit.jsonl"
    done = export_today(written, file)
    assert (done.rows, done.wrong) == (0, [])
    assert recompute(file) == (7, 0, [])
    assert all(line["pruned"] for line in lines_of(file) if line["kind"] == "seal")


def test_a_file_that_cannot_be_finished_is_not_there(
    written: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(exporting, "_put", full)
    with pytest.raises(ExportError, match="no space"):
        export_today(written, tmp_path / "audit.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_from_a_shell_packed(written: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", written.url)
    get_settings.cache_clear()
    file, day = tmp_path / "audit.jsonl.gz", datetime.now(UTC).date()
    days = ("--from", str(day - timedelta(days=1)), "--to", str(day))
    answer = CliRunner().invoke(main, ["audit", "export", str(file), *days])
    assert (answer.exit_code, answer.stdout[:21]) == (0, "7 seals and 40 rows i")
    assert file.stat().st_mode & 0o077 == 0
    plain = tmp_path / "plain"
    plain.write_bytes(gzip.decompress(file.read_bytes()))
    assert recompute(plain) == (7, 40, [])
    refused = CliRunner().invoke(main, ["audit", "export", str(file), *days, "--with-identifiers"])
    assert refused.exit_code == 1
    assert "AUDIT_EXPORT" in refused.stderr


def test_the_program_in_the_guide_does_it(written: Owner, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    program = guide.partition("```python\n")[2].partition("```")[0]
    file = tmp_path / "audit.jsonl"
    for how in ({}, {"identifiers": True, "reason": WHY}):
        export_today(written, file, **how)
        assert run(program, file) == (0, "7 batches hold\n")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("rief", "lief"), encoding="utf-8")
    assert run(program, file)[0] == 1


def run(program: str, file: Path) -> tuple[int, str]:
    with file.open("rb") as given:
        done = subprocess.run([sys.executable, "-c", program], stdin=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout
