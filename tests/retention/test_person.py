"""One patient's data: all of them in an export, none of them after an erasure, and nothing of anybody else touched."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from typing import Any
from uuid import uuid4

import pytest

import models
from dispatchlog.audit.chain import SOURCES
from dispatchlog.engine.content import pack
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.lanes import Letter
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.keys.columns import SEALED_COLUMNS
from dispatchlog.retention import erasure
from dispatchlog.retention.belongings import lanes, of_dispatches, others
from dispatchlog.retention.erasure import ErasureRefused, _triggers_off, erase
from dispatchlog.retention.export import export
from dispatchlog.retention.holds import Scope, keep, let_go
from dispatchlog.retention.opening import opened
from dispatchlog.retention.person import PatientNotFound
from dispatchlog.retention.traces import find_traces
from dispatchlog.row_content import COMM_INBOUND, ERASED, HL7_MESSAGES, PAYLOADS, PHARMACY_ORDERS, SEALED, SealedRow
from dispatchlog.row_sealing import tables_with_plain_rows
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.inputs import PatientInput
from dispatchlog.systems.outreach.patients import put_patient
from tests.at_rest import columns_with
from tests.retention.neighbours import ASKER, Neighbour, Shared, insert, make

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


SEALED_OR_NOT = pytest.mark.parametrize("seal_content", ["1", "0"], indirect=True)


def student(who: Neighbour) -> str:
    return f"student:SC1:{who.student}"


@SEALED_OR_NOT
def test_an_erasure_leaves_no_trace_in_any_column_of_any_table(
    two: tuple[Neighbour, Neighbour], settings_env: Settings
) -> None:
    gone, stays = two
    before = everything_of(stays)
    assert len(everything_of(gone)) > 20
    guards, before_plain = fetch_all(TRIGGERS), tables_with_plain_rows()
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
    assert {column.split(".")[0] for column in columns_with(settings_env.database_url, gone.canaries)} <= AUDIT
    assert tables_with_plain_rows() == before_plain
    assert everything_of(stays) == before
    assert fetch_all(TRIGGERS) == guards
    emptied = {"dispatch_search", "prescription_drafts", "patient_names", "comm_addresses"}
    for table, count in rows.items():
        if table not in AUDIT | emptied | {"comm_stops", "comm_consents"}:
            assert fetch_one(f"SELECT count(*) FROM {table}")[0] == count, table


def test_an_erasure_adds_to_the_record_of_who_did_what_and_changes_nothing_there(
    two: tuple[Neighbour, Neighbour],
) -> None:
    gone, _ = two
    insert("patient_reads", actor="ann@example.org", what="patient", subject=str(gone.id), why="outreach")
    assert read_export(str(gone.id))[0]["tables"]["patient_reads"][0]["what"] == "patient"
    before = {table: set(fetch_all(f"SELECT t::text FROM {table} t")) for table in SOURCES}
    assert before["patient_reads"]
    forget(gone)
    assert all(rows <= set(fetch_all(f"SELECT t::text FROM {table} t")) for table, rows in before.items())


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


def test_what_is_put_in_while_somebody_is_erased_is_not_emptied_as_it_waits(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = make("Wrenfield", "+12025550123", shared)
    never_write_again, message = erasure._never_write_again, uuid4()

    def put_in() -> None:
        with connected():
            insert(
                "hl7_messages",
                id=message,
                route="SC1",
                visit_id=fetch_one("SELECT id FROM visits")[0],
                school_id=shared.school,
                message_type="ADT^A04",
                control_id="late",
                body=b"MSH|late",
                student_number=who.student,
                student_name=who.name,
                subject_id=f"student:{who.student}",
            )

    beside = threading.Thread(target=put_in)
    waits = (
        "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE d.datname = current_database() AND NOT l.granted"
    )

    def begun(*given: Any, **more: Any) -> None:
        beside.start()
        while beside.is_alive() and not fetch_all(waits):
            time.sleep(0.01)
        never_write_again(*given, **more)

    monkeypatch.setattr(erasure, "_never_write_again", begun)
    forget(student(who))
    beside.join()
    (row,) = fetch_dicts("SELECT * FROM hl7_messages WHERE id = %s", (message,))
    assert (row["status"], bytes(HL7_MESSAGES.opened(row)["body"])) == ("PENDING", b"MSH|late")


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
    assert fetch_all("SELECT 1 FROM legal_holds WHERE value = %s OR also <> '{}'", (gone.email,)) == []


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


@SEALED_OR_NOT
def test_an_order_that_names_no_patient_is_found_by_its_address(two: tuple[Neighbour, Neighbour]) -> None:
    gone, _ = two
    with transaction("test"), _triggers_off({"pharmacy_orders"}):
        execute("UPDATE pharmacy_orders SET patient_id = '' WHERE id = %s", (gone.order,))
    given = gone.email.upper()
    assert read_export(given)[0]["tables"]["pharmacy_orders"][0]["patient_name"] == gone.name
    forget(given)
    assert fetch_all(
        "SELECT patient_name, patient_email, sealed FROM pharmacy_orders WHERE id = %s", (gone.order,)
    ) == [(ERASED, "", None)]


@SEALED_OR_NOT
def test_an_address_that_is_in_another_one_s_order_too_is_shared(two: tuple[Neighbour, Neighbour]) -> None:
    gone, stays = two
    (order,) = fetch_dicts("SELECT * FROM pharmacy_orders WHERE id = %s", (stays.order,))
    values = PHARMACY_ORDERS.changed(order, {"patient_email": gone.email})
    with transaction("test"), _triggers_off({"pharmacy_orders"}):
        execute(
            f"UPDATE pharmacy_orders SET {', '.join(f'{name} = %s' for name in values)} WHERE id = %s",
            (*values.values(), stays.order),
        )
    assert forget(gone).shared_addresses == 1
    assert fetch_one("SELECT count(*) FROM order_kits WHERE recipient_email = %s", (gone.email,))[0] == 1


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


@SEALED_OR_NOT
def test_an_export_has_everything_of_the_patient_and_nothing_of_the_neighbour(two: tuple[Neighbour, Neighbour]) -> None:
    mine, other = two
    document, page = read_export(str(mine.id))
    assert (document["format"], document["version"]) == ("dispatchlog patient export", 1)
    assert document["patient"]["emails"] == [mine.email.lower()]
    assert document["tables"]["patients"][0]["name"] == mine.name
    assert document["tables"]["dispatch_payloads"][0]["body"] == f"Dear {mine.name}"
    assert document["tables"]["comm_jobs"][0]["body"] == f"Dear {mine.word}"
    assert document["tables"]["comm_inbound"][0]["from_address"] == mine.email
    assert document["tables"]["comm_portal_tokens"][0]["content"] == mine.word
    assert document["tables"]["pharmacy_orders"][0]["patient_phone"] == mine.phone
    assert document["tables"]["courier_events"][0]["body"] == {"recipient": mine.name}
    assert not any("sealed" in name for rows in document["tables"].values() for row in rows for name in row)
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


def test_with_every_sealed_value_of_a_patient_an_erasure_empties_what_it_stands_for(shared: Shared) -> None:
    named = {each.table: each for each in (*lanes(), *of_dispatches(), *others())}
    for column in SEALED:
        erased = named[column.table].erased
        assert erased[column.column] == "NULL", column.table
        assert set(column.fields if isinstance(column, SealedRow) else ()) <= erased.keys(), column.table
    of_nobody = {"staff_second_factors", "hl7_endpoints"}
    name = "patients.name_sealed"  # sealed anew, for the column is never empty
    kept = [each.name for each in SEALED_COLUMNS if each.table not in of_nobody and each.name != name]
    assert all(named[each.split(".")[0]].erased[each.split(".")[1]] == "NULL" for each in kept)


def test_traces_are_found_in_what_is_sealed_however_it_is_written(two: tuple[Neighbour, Neighbour]) -> None:
    one, other = two
    word = 'Zoë "Bär" \\ %s'
    with transaction("test"), _triggers_off({"comm_inbound", "hl7_messages", "dispatch_payloads", "comm_jobs"}):
        for seal, said in ((COMM_INBOUND, {"body": word}), (HL7_MESSAGES, {"body": word.encode()})):
            for row in fetch_dicts(f"SELECT * FROM {seal.table}"):
                execute(
                    f"UPDATE {seal.table} SET sealed = %s WHERE id = %s", (seal.seal_fields(said, row["id"]), row["id"])
                )
        letter = PAYLOADS.seal(pack(Letter(one.email, b"", headers={"to": word})), one.dispatches["comm_jobs"])
        execute(
            "UPDATE dispatch_payloads SET sealed = %s WHERE dispatch_id = %s", (letter, one.dispatches["comm_jobs"])
        )
        mine, theirs = one.dispatches["comm_jobs"], other.dispatches["comm_jobs"]
        execute(
            "UPDATE comm_jobs SET sealed = (SELECT sealed FROM comm_jobs WHERE id = %s) WHERE id = %s", (theirs, mine)
        )
    assert find_traces([word.upper()]) == [
        ("comm_inbound", "sealed (opened)", 2),
        ("comm_jobs", "sealed (does not open)", 1),
        ("dispatch_payloads", "sealed (opened)", 1),
        ("hl7_messages", "sealed (opened)", 2),
    ]
