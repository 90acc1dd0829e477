"""The product's own policies on rows of every system, and figures that do not change when old rows leave."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.move_counts import count_moves
from dispatchlog.retention import runs
from dispatchlog.retention.erasure import _triggers_off
from dispatchlog.retention.holds import Scope, keep
from dispatchlog.row_content import SEALED, SealedRow
from dispatchlog.systems.outreach.stats import rollup
from tests.retention.neighbours import Neighbour, Shared, insert, make

LANE_TABLES = (
    "kit_registrations",
    "health_information_dispatch_logs",
    "hl7_messages",
    "courier_bookings",
    "courier_cancellations",
    "courier_messages",
    "ticket_notifications",
    "comm_jobs",
)
# A row that still says something, sealed or as older releases wrote it.
SAYS = "(sealed IS NOT NULL OR body::text NOT IN ('', '{}', '\\x'))"


def run() -> dict[str, int]:
    return {each.policy: each.rows for each in runs.run(actor="test", pause=lambda: None)}


def count(table: str, where: str = "true") -> int:
    return int(fetch_one(f"SELECT count(*) FROM {table} WHERE {where}")[0])


def end_everything() -> None:
    """Orders arrived, tickets closed, news applied: nothing open refers to anything."""
    with transaction("test"), _triggers_off({"healthcare_tickets", "courier_events", "dispatch_payloads"}):
        execute("UPDATE courier_dispatches SET status = 'FAILED', ended_at = now()")
        execute("UPDATE healthcare_tickets SET status = 'cancelled', ended_at = now()")
        for table in ("comm_events", "courier_events"):
            execute(f"UPDATE {table} SET applied_at = now(), effect = 'NOTED', received_at = now() - interval '1 year'")
        execute("UPDATE dispatch_payloads SET created_at = now() - interval '1 year'")


def test_a_policy_that_empties_sealed_rows_empties_all_that_is_sealed(shared: Shared) -> None:
    policies = fetch_all("SELECT name, target, empties FROM retention_policies WHERE act = 'empty'")
    sealed = {column.table: column for column in SEALED}
    looked_at = [name for name, target, _ in policies if target in sealed]
    assert {"comm_job texts", "hl7 texts", "courier news", "comm_job payloads"} <= set(looked_at)
    for name, target, empties in policies:
        if target in sealed:
            column = sealed[target]
            fields = column.fields if isinstance(column, SealedRow) else {"recipient", "headers", "body"}
            assert {column.column, *fields} <= empties.keys(), name


@pytest.mark.parametrize("seal_content", ["1", "0"], indirect=True)
def test_content_goes_first_and_what_keeps_something_from_happening_twice_stays(
    two: tuple[Neighbour, Neighbour],
) -> None:
    end_everything()
    done = run()
    assert {name: number for name, number in done.items() if name.endswith("payloads")} == {
        f"{lane} payloads": 2
        for lane in ("kit_registration", "health_information", "hl7", "courier_booking", "courier_cancellation")
    }
    deleted = {"courier_messages", "ticket_notifications", "comm_jobs"}
    assert {table for table in LANE_TABLES if count(table) == 0} == deleted
    assert count("hl7_messages", "body = '' AND record IS NULL AND sealed IS NULL") == 2
    empty = "body IS NULL AND recipient = '' AND headers = '{}' AND sealed IS NULL"
    assert count("dispatch_payloads") == count("dispatch_payloads", empty) == 10
    assert count("courier_events", "body <> '{}' OR sealed IS NOT NULL") == 0
    assert count("comm_inbound") == 2
    assert run() == {}


def test_payloads_that_are_due_are_found_by_the_index_of_those_that_hold_something(shared: Shared) -> None:
    due = fetch_all("SELECT dispatchlog_retention_due_where(p) FROM retention_policies p WHERE name LIKE '%% payloads'")
    assert len(due) == len(LANE_TABLES)
    with transaction("test"):
        for way in ("seqscan", "bitmapscan"):  # as dispatchlog_retire has it
            execute(f"SET LOCAL enable_{way} = off")
        for (where,) in due:
            plan = fetch_all(f"EXPLAIN SELECT t.ctid FROM dispatch_payloads t WHERE {where} LIMIT 500")
            assert any("using dispatch_payloads_full" in line for (line,) in plan), plan


def test_what_something_open_refers_to_stays(two: tuple[Neighbour, Neighbour]) -> None:
    run()
    assert {table: count(table) for table in ("courier_messages", "ticket_notifications", "comm_jobs")} == {
        "courier_messages": 2,
        "ticket_notifications": 2,
        "comm_jobs": 0,
    }
    assert count("courier_events", SAYS) == 2


def test_a_notice_of_messages_that_nobody_has_read_stays_and_keeps_another_one_from_leaving(
    two: tuple[Neighbour, Neighbour],
) -> None:
    _, has_not = two
    end_everything()
    with transaction("test"), _triggers_off({"healthcare_tickets", "ticket_notifications", "chat_thread_members"}):
        execute(
            "UPDATE healthcare_tickets t SET status = 'completed', sent_at = now(), prescription_id = p.id"
            " FROM prescriptions p WHERE p.ticket_id = t.id"
        )
        execute("UPDATE ticket_notifications SET kind = 'UNREAD'")
        for who in two:
            insert("chat_thread_members", thread_id=thread_of(who), party_id=who.id)
        execute(
            "UPDATE chat_thread_members SET has_unread = true, unread_since = now() - interval '11 years'"
            " WHERE party_id = %s",
            (has_not.id,),
        )
    assert run()["ticket_notification"] == 1
    assert fetch_all("SELECT party_id FROM ticket_notifications") == [(has_not.id,)]
    assert fetch_all("SELECT party_id FROM tickets_unread(interval '15 minutes', 10)") == []


def thread_of(who: Neighbour) -> UUID:
    return fetch_one("SELECT id FROM chat_threads WHERE ticket_id = %s", (who.ticket,))[0]


@pytest.mark.parametrize("by", ["id", "email"])
def test_a_patient_who_is_kept_back_keeps_everything(two: tuple[Neighbour, Neighbour], by: str) -> None:
    kept, _ = two
    end_everything()
    keep(Scope.PATIENT, str(getattr(kept, by)), actor="counsel", reason="a dispute")
    run()
    assert fetch_all(f"SELECT patient_id, {SAYS} FROM comm_jobs") == [(kept.id, True)]
    assert fetch_all("SELECT party_id FROM ticket_notifications") == [(kept.id,)]
    held = kept.dispatches["comm_jobs"]
    assert count("dispatch_payloads", f"dispatch_id = '{held}' AND {SAYS}") == 1
    assert count("dispatch_search", f"dispatch_id = '{held}'") == 2


def test_figures_and_counts_stay_when_messages_leave_and_are_not_made_anew_from_what_is_left(shared: Shared) -> None:
    make("Wrenfield", "+12025550123", shared)
    make("Larkspur", "+12025550177", shared, age="2 days")
    rollup.fold_all()
    figures, moves = fetch_all("SELECT date, sent_count FROM comm_stats ORDER BY date"), count_moves()
    old, young = (row[0] for row in figures)
    assert [row[1] for row in figures] == [1, 1]
    assert run()["comm_job"] == 1
    rollup.fold_all()
    assert fetch_all("SELECT date, sent_count FROM comm_stats ORDER BY date") == figures
    assert count_moves() == moves

    for days in ((old, old), (old, young), (old - timedelta(days=400), young)):
        with pytest.raises(rollup.MessagesGone, match="deleted for their age"):
            rollup.rebuild(*days)
        with pytest.raises(rollup.MessagesGone):
            rollup.differences(*days)
    assert rollup.differences(young, young) == []
    assert rollup.rebuild(young, datetime.now(UTC).date()) == 0
    assert fetch_all("SELECT date, sent_count FROM comm_stats ORDER BY date") == figures
    assert isinstance(old, date)
