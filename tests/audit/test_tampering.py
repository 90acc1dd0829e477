"""Whatever is changed behind the application's back is found, and the first wrong batch is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatchlog.audit import findings
from dispatchlog.audit.anchors import write_anchor
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.settings import Settings

from .conftest import WHO, Owner, check, codes, seal

SWAP = (
    "UPDATE dispatch_transitions a SET dispatch_id = b.dispatch_id, at = b.at FROM dispatch_transitions b"
    " WHERE (a.id, b.id) IN ((14, 15), (15, 14))"
)


def seals_of(source: str) -> list[int]:
    with connected():
        return [
            number
            for (number,) in fetch_all("SELECT number FROM audit_seals WHERE source = %s ORDER BY number", (source,))
        ]


def test_what_nobody_touched_holds(chained: Owner) -> None:
    report = check()
    assert (report.findings, report.rows, report.seals) == ([], 38, 5)


def test_nothing_is_sealed_twice(chained: Owner) -> None:
    assert seal() == 0
    chained.write_moves(1)
    assert seal() == 1
    assert check().rows == 39


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 15", findings.EDITED),
        ("UPDATE dispatch_transitions SET at = at + interval '1 microsecond' WHERE id = 15", findings.EDITED),
        ("UPDATE dispatch_transitions SET reason = NULL WHERE id = 15", findings.EDITED),
        ("DELETE FROM dispatch_transitions WHERE id = 15", findings.DELETED),
        (
            SWAP,
            findings.EDITED,
        ),
    ],
    ids=["edit", "by a microsecond", "emptied", "delete", "swap"],
)
def test_a_changed_row_is_found_in_its_batch(chained: Owner, change: str, code: str) -> None:
    second = seals_of("dispatch_transitions")[1]
    chained.tamper("dispatch_transitions", change)
    assert codes(check()) == [(code, second)]


def test_a_row_put_between_sealed_ones_is_found(chained: Owner) -> None:
    chained.tamper("dispatch_transitions", "DELETE FROM dispatch_transitions WHERE id = 15")
    again = (
        "INSERT INTO dispatch_transitions (id, lane, dispatch_id, to_status, actor, database_user)"
        " OVERRIDING SYSTEM VALUE VALUES (%s, 'parcel', gen_random_uuid(), 'PENDING', 'bob', 'x')"
    )
    chained.run(again, (15,))
    second, *_ = codes(check())
    assert second == (findings.EDITED, seals_of("dispatch_transitions")[1])
    chained.run(again, (-7,))
    assert codes(check())[0] == (findings.INSERTED, seals_of("dispatch_transitions")[0])


def test_a_row_put_into_a_gap_is_found(owner: Owner) -> None:
    owner.write_moves(5)
    owner.run("SELECT nextval(pg_get_serial_sequence('dispatch_transitions', 'id'))")
    owner.write_moves(2)
    seal()
    assert check().is_good
    owner.run(
        "INSERT INTO dispatch_transitions (id, lane, dispatch_id, to_status, actor, database_user)"
        " OVERRIDING SYSTEM VALUE VALUES (6, 'parcel', gen_random_uuid(), 'PENDING', 'bob', 'x')"
    )
    assert codes(check()) == [(findings.INSERTED, 1)]


def test_a_source_that_was_emptied_is_found(chained: Owner) -> None:
    chained.tamper("operator_actions", "TRUNCATE operator_actions")
    assert codes(check()) == [(findings.DELETED, seals_of("operator_actions")[0])]


def test_a_source_that_was_dropped_from_the_chain_is_found(chained: Owner) -> None:
    number = seals_of("operator_actions")[0]
    chained.tamper("operator_actions", "TRUNCATE operator_actions")
    chained.tamper("audit_seals", "DELETE FROM audit_seals WHERE source = 'operator_actions'")
    assert codes(check())[0] == (findings.SEAL_MISSING, number)


@pytest.mark.parametrize("column", ["digest", "previous", "salt", "chained"])
def test_a_changed_seal_is_found(chained: Owner, column: str) -> None:
    chained.tamper("audit_seals", f"UPDATE audit_seals SET {column} = sha256({column}) WHERE number = 3")
    assert (findings.SEAL_CHANGED, 3) in codes(check())


def test_a_batch_sealed_anew_without_the_key_is_found(chained: Owner) -> None:
    """Everything that the database alone allows: the rows changed, the digest computed anew, and the sum of it too."""
    second = seals_of("dispatch_transitions")[1]
    chained.tamper("dispatch_transitions", "UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 15")
    chained.tamper(
        "audit_seals",
        "UPDATE audit_seals s SET digest = (SELECT digest FROM dispatchlog_audit_digest(s.source, s.after_id, s.last_id,"
        " s.salt)) WHERE number = %s",
        (second,),
    )
    assert codes(check()) == [(findings.SEAL_CHANGED, second)]


def test_a_batch_sealed_anew_with_the_key_does_not_fit_what_follows(chained: Owner) -> None:
    """A program that has the key changes a row and lets the sealer make the seal once more, at its old place."""
    from dataclasses import replace

    from dispatchlog.audit.chain import COLUMNS, chain, chain_key, seal_of

    second = seals_of("dispatch_transitions")[1]
    chained.tamper("dispatch_transitions", "UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 15")
    (row,) = chained.run(f"SELECT {COLUMNS} FROM audit_seals WHERE number = %s", (second,))
    made = seal_of(row)
    ((digest,),) = chained.run(
        "SELECT digest FROM dispatchlog_audit_digest(%s, %s, %s, %s)",
        (made.source, made.after_id, made.last_id, made.salt),
    )
    made = replace(made, digest=bytes(digest))
    chained.tamper(
        "audit_seals",
        "UPDATE audit_seals SET digest = %s, chained = %s WHERE number = %s",
        (made.digest, chain(made, chain_key()), second),
    )
    assert codes(check()) == [(findings.SEAL_OUT_OF_PLACE, second + 1)]


def test_a_seal_taken_out_of_the_middle_is_found(chained: Owner) -> None:
    chained.tamper("audit_seals", "DELETE FROM audit_seals WHERE number = 3")
    assert codes(check())[0] == (findings.SEAL_MISSING, 3)


def test_the_end_cut_off_rows_and_seals_is_found_by_the_anchor(chained: Owner, tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    last = write_anchor(file, who=WHO)
    assert last is not None
    assert check(anchor_file=file).is_good
    chained.tamper("dispatch_transitions", "DELETE FROM dispatch_transitions WHERE id > 30")
    chained.tamper("audit_seals", "DELETE FROM audit_seals WHERE number >= %s", (last.number - 1,))
    assert check().is_good, "what is left fits: only the anchor knows"
    assert codes(check(anchor_file=file)) == [(findings.TAIL_CUT, last.number)]


def test_a_chain_made_anew_is_found_by_the_anchor(chained: Owner, tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    last = write_anchor(file, who=WHO)
    assert last is not None
    chained.tamper("dispatch_transitions", "UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 15")
    chained.tamper("audit_seals", "TRUNCATE audit_seals")
    seal()
    assert check().is_good
    assert codes(check(anchor_file=file)) == [(findings.ANCHOR_MISMATCH, last.number)]


@pytest.mark.parametrize("line", ["{}", "no json", '{"at": "x", "number": "y", "chained": "00"}'])
def test_an_anchor_file_that_cannot_be_read_is_no_good_sign(chained: Owner, tmp_path: Path, line: str) -> None:
    file = tmp_path / "anchors"
    assert codes(check(anchor_file=file)) == [(findings.ANCHOR_UNREADABLE, 0)]
    file.write_text(line + "\n")
    assert codes(check(anchor_file=file)) == [(findings.ANCHOR_UNREADABLE, 0)]


LIES = (
    "SELECT s.row_count::bigint, s.digest FROM audit_seals s"
    " WHERE s.source = dispatchlog_audit_digest.source AND s.last_id = up_to"
)
ARGUMENTS = (
    "(source text, after {0}, up_to {0}, salt bytea) RETURNS TABLE (row_count bigint, digest bytea) LANGUAGE sql"
)


@pytest.mark.parametrize(
    "lie",
    [
        f"CREATE OR REPLACE FUNCTION dispatchlog_audit_digest{ARGUMENTS.format('bigint')} SECURITY DEFINER AS $${LIES}$$",
        f"CREATE FUNCTION dispatchlog_audit_digest{ARGUMENTS.format('integer')} SECURITY DEFINER AS $${LIES}$$",
        "CREATE SCHEMA other; ALTER FUNCTION dispatchlog_audit_digest SET search_path = other, public",
    ],
    ids=["replaced", "beside it", "looks elsewhere"],
)
def test_a_database_that_is_made_to_say_what_the_seals_say_is_not_believed(chained: Owner, lie: str) -> None:
    chained.tamper("dispatch_transitions", "UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 15")
    chained.run(lie)
    assert codes(check())[0] == (findings.FUNCTION_CHANGED, 0)


def test_only_what_was_sealed_since_is_looked_at(chained: Owner, settings_env: Settings) -> None:
    chained.tamper("dispatch_transitions", "UPDATE dispatch_transitions SET actor = 'bob' WHERE id = 15")
    ((now,),) = chained.run("SELECT clock_timestamp()")
    chained.write_moves(4)
    seal()
    late = check(since=now)
    assert (late.findings, late.rows, late.first_number) == ([], 4, 6)
    assert not check().is_good


def test_what_was_found_is_kept(chained: Owner) -> None:
    check()
    chained.tamper("dispatch_transitions", "DELETE FROM dispatch_transitions WHERE id = 15")
    check()
    kept = chained.run(
        "SELECT row_count, jsonb_array_length(findings), findings -> 0 ->> 'code' FROM audit_checks ORDER BY id"
    )
    assert kept == [(38, 0, None), (28, 1, findings.DELETED)]
