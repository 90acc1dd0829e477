"""One patient's data: all of them in an export, none of them after an erasure, and nothing of anybody else touched."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from uuid import uuid4

import pytest

import models
from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.retention.belongings import lanes, of_dispatches, others
from dispatchlog.retention.erasure import ErasureRefused, erase
from dispatchlog.retention.export import export
from dispatchlog.retention.holds import Scope, keep, let_go
from dispatchlog.retention.opening import opened
from dispatchlog.retention.person import PatientNotFound
from dispatchlog.retention.traces import find_traces
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.inputs import PatientInput
from dispatchlog.systems.outreach.patients import put_patient
from tests.retention.neighbours import ASKER, Neighbour, Shared, make

# Records of who did what: they have a chain of their own, and their reasons are the words of whoever gave them.
AUDIT = {
    "dispatch_transitions",
    "operator_actions",
    "comm_audit_log",
    "ticket_timeline",
    "order_changes",
    "ticket_changes",
}
TRIGGERS = (
    "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
)


def everything_of(who: Neighbour) -> dict[str, list[str]]:
    """All rows in which a word of theirs stands, as somebody reads them who may open them."""
    found = {}
    for table in sorted({table for table, _, _ in find_traces(who.canaries)}):
        rows = [words_of(opened(table, row)) for row in fetch_dicts(f"SELECT * FROM {table}")]
        mine = sorted(row for row in rows if any(each.lower() in row.lower() for each in who.canaries))
        assert mine, table
        found[table] = mine
    return found


def words_of(row: dict[str, Any]) -> str:
    return str({name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()})


def forget(who: Neighbour | str, **more: Any) -> Any:
    given = who if isinstance(who, str) else str(who.id)
    return erase(given, registry.lanes(), actor="cli", reason="asked for by letter", **more)


def student(who: Neighbour) -> str:
    return f"student:SC1:{who.student}"


def test_an_erasure_leaves_no_trace_in_any_column_of_any_table(two: tuple[Neighbour, Neighbour]) -> None:
    gone, stays = two
    before = everything_of(stays)
    assert len(everything_of(gone)) > 20
    guards = fetch_all(TRIGGERS)
    rows = {
        model._meta.table_name: fetch_one(f"SELECT count(*) FROM {model._meta.table_name}")[0]
        for model in models.ALL_TABLES
    }

    done = forget(gone)
    assert done.rows["comm_jobs"] == done.rows["patients"] == 1
    assert done.stopped == 3  # by mail, by text message, by WhatsApp
    forget(student(gone))
    left = [trace for trace in find_traces(gone.canaries) if trace[0] not in AUDIT]
    assert left == []
    assert {table for table, _, _ in find_traces(gone.canaries)} <= {"dispatch_transitions"}
    assert everything_of(stays) == before
    assert fetch_all(TRIGGERS) == guards
    emptied = {"dispatch_search", "prescription_drafts", "patient_names", "comm_addresses"}
    for table, count in rows.items():
        if table not in AUDIT | emptied | {"comm_stops", "comm_consents"}:
            assert fetch_one(f"SELECT count(*) FROM {table}")[0] == count, table


def test_erasing_again_changes_nothing(two: tuple[Neighbour, Neighbour]) -> None:
    gone, _ = two
    forget(gone)
    again = forget(gone)
    assert (again.rows, again.cancelled, again.stopped) == ({}, 0, 0)
    assert fetch_one("SELECT count(*) FROM operator_actions WHERE action = 'erase_patient'")[0] == 2


def test_a_rehearsal_changes_nothing_and_says_what_would_happen(two: tuple[Neighbour, Neighbour]) -> None:
    gone, _ = two
    before = everything_of(gone)
    assert forget(gone, dry_run=True).rows["patients"] == 1
    assert everything_of(gone) == before


def test_whoever_was_erased_is_never_written_to_again_under_the_same_address(two: tuple[Neighbour, Neighbour]) -> None:
    gone, _ = two
    forget(gone)
    with transaction("test"):
        put_patient(PatientInput(uuid4(), "New Name", email=gone.email, phone=gone.phone), source="test", asker=ASKER)
        stopped = fetch_all(
            "SELECT a.channel FROM comm_addresses a JOIN comm_stops s USING (channel, address_hash) ORDER BY 1"
        )
    assert [row[0] for row in stopped] == ["email", "sms", "whatsapp"]


def test_what_is_open_is_cancelled_first_and_what_is_in_doubt_has_to_be_settled(shared: Shared) -> None:
    who = make("Wrenfield", "+12025550123", shared, settled=False)
    job = who.dispatches["comm_jobs"]
    execute(
        "UPDATE comm_jobs SET status = 'FAILED', in_doubt = true, last_error_code = 'TIMEOUT' WHERE id = %s", (job,)
    )
    with pytest.raises(ErasureRefused, match="still open") as refused:
        forget(who)
    assert refused.value.code == "STILL_OPEN"
    assert fetch_one("SELECT count(*) FROM comm_jobs WHERE sealed IS NOT NULL")[0] == 1

    execute("UPDATE comm_jobs SET in_doubt = false WHERE id = %s", (job,))
    done = forget(who)
    assert done.cancelled == len(who.dispatches) - 1  # the school's is another identity
    assert fetch_all("SELECT status, body, recipient, sealed FROM comm_jobs") == [("CANCELLED", "", "", None)]


@pytest.mark.parametrize("by", ["id", "address", "order", "dispatch"])
def test_a_legal_hold_refuses_an_erasure_until_it_ends(two: tuple[Neighbour, Neighbour], by: str) -> None:
    gone, _ = two
    value = {"id": gone.id, "address": gone.email, "order": gone.order, "dispatch": gone.dispatches["comm_jobs"]}[by]
    scope = {"order": Scope.ORDER, "dispatch": Scope.DISPATCH}.get(by, Scope.PATIENT)
    hold = keep(scope, str(value), actor="counsel", reason="a dispute")
    before = everything_of(gone)
    with pytest.raises(ErasureRefused) as refused:
        forget(gone)
    assert refused.value.code == "LEGAL_HOLD"
    assert everything_of(gone) == before
    let_go(hold.id, actor="counsel", reason="settled")
    assert forget(gone).rows
    assert fetch_all("SELECT 1 FROM legal_holds WHERE value = %s", (gone.email,)) == []


def test_the_medical_record_is_kept_for_as_long_as_the_law_says(shared: Shared) -> None:
    who = make("Wrenfield", "+12025550123", shared, age="9 years")
    with pytest.raises(ErasureRefused, match="10 years") as refused:
        forget(who)
    assert refused.value.code == "MEDICAL_RECORD"
    done = forget(who, leave_record=True)
    assert done.left_record
    assert not done.rows.keys() & {"prescriptions", "pharmacy_orders", "chat_messages"}
    assert fetch_one("SELECT notes FROM prescriptions")[0] == who.word
    assert fetch_all("SELECT body, recipient, sealed FROM comm_jobs") == [("", "", None)]
    (order,) = (opened("pharmacy_orders", row) for row in fetch_dicts("SELECT * FROM pharmacy_orders"))
    assert order["patient_name"] == who.name


def test_an_address_that_two_patients_share_does_not_take_the_other_one_s_kits(
    two: tuple[Neighbour, Neighbour],
) -> None:
    gone, stays = two
    with transaction("test"):
        put_patient(PatientInput(stays.id, stays.name, email=gone.email, phone=stays.phone), source="test", asker=ASKER)
    done = forget(gone)
    assert done.shared_addresses == 1
    assert fetch_one("SELECT count(*) FROM order_kits WHERE recipient_email = %s", (gone.email,))[0] == 1
    assert fetch_one("SELECT count(*) FROM comm_stops WHERE channel = 'email'")[0] == 0


def test_nobody_is_erased_without_a_reason_or_by_a_name_that_nobody_has(two: tuple[Neighbour, Neighbour]) -> None:
    with pytest.raises(ReasonRequired):
        erase(str(two[0].id), registry.lanes(), actor="cli", reason=" ")
    for given in (str(uuid4()), "nobody@example.org", "+12025550100", "student:SC1:nobody", "x"):
        with pytest.raises(PatientNotFound):
            forget(given)


def read_export(given: str) -> tuple[dict[str, Any], str]:
    with zipfile.ZipFile(io.BytesIO(export(given, actor="cli", reason="asked for by letter"))) as archive:
        assert archive.namelist() == ["patient.json", "patient.html"]
        return json.loads(archive.read("patient.json")), archive.read("patient.html").decode()


def test_an_export_has_everything_of_the_patient_and_nothing_of_the_neighbour(two: tuple[Neighbour, Neighbour]) -> None:
    mine, other = two
    document, page = read_export(str(mine.id))
    assert (document["format"], document["version"]) == ("dispatchlog patient export", 1)
    assert document["patient"]["emails"] == [mine.email.lower()]
    assert document["tables"]["patients"][0]["name"] == mine.name
    assert document["tables"]["dispatch_payloads"][0]["body"] == f"Dear {mine.name}"
    assert len(document["tables"]["chat_messages"]) == 2
    whole = json.dumps(document) + page
    for word in (*other.canaries, str(other.id), str(other.ticket), *map(str, other.dispatches.values())):
        assert word.lower() not in whole.lower()
    held = set(everything_of(mine)) - AUDIT
    named = set(document["tables"]) | set(read_export(student(mine))[0]["tables"])
    assert held - named == set()
    assert fetch_all("SELECT actor, reason FROM operator_actions WHERE action = 'export_patient' LIMIT 1") == [
        ("cli", "asked for by letter")
    ]


def test_an_export_by_address_finds_the_same(two: tuple[Neighbour, Neighbour]) -> None:
    mine, _ = two
    by_id, by_address = (read_export(given)[0]["tables"] for given in (str(mine.id), mine.email))
    assert {table: len(rows) for table, rows in by_id.items()} == {
        table: len(rows) for table, rows in by_address.items()
    }


def test_the_page_of_an_export_shows_what_a_patient_wrote_as_text(two: tuple[Neighbour, Neighbour]) -> None:
    execute("UPDATE comm_inbound SET body = '<script>alert(1)</script>'")
    assert "<script>" not in read_export(str(two[0].id))[1]


def test_every_table_with_a_patient_s_words_is_among_their_belongings(two: tuple[Neighbour, Neighbour]) -> None:
    named = {each.table for each in (*lanes(), *of_dispatches(), *others())}
    assert set(everything_of(two[0])) - AUDIT <= named
    assert named <= {model._meta.table_name for model in models.ALL_TABLES}
