"""Asking again for messages: each is due at once with its count at nought, who and why is kept, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.hl7 import retrying, schools
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.retrying import retry_all, retry_these
from dispatchlog.systems.hl7.visits import record_visit
from tests.systems.conftest import Desk, desk, mail_server
from tests.systems.hl7.visits import VISIT

__all__ = ["desk", "mail_server"]  # fixtures


@pytest.fixture(autouse=True)
def two_schools(desk: Desk) -> None:
    """Both switched off, so that nothing leaves."""
    for code in ("SCH-01", "SCH-02"):
        schools.add_school(code, code, actor="test")


def put(school: str = "SCH-01", **columns: Any) -> UUID:
    recorded = record_visit(school, replace(VISIT, id=new_id()), source="clinic")
    message_id: UUID = recorded.messages[0]["id"]
    if columns:
        assignments = ", ".join(f"{name} = %s" for name in columns)
        with transaction("test"):
            execute(f"UPDATE hl7_messages SET {assignments} WHERE id = %s", (*columns.values(), message_id))
    return message_id


def put_failed(school: str = "SCH-01") -> UUID:
    return put(school, status="FAILED", attempts=6, last_error_code="TIMEOUT")


def stored(message_id: UUID) -> tuple[Any, ...]:
    """Status, retry count, whether it is due, and whether it may still grow too old."""
    with connected():
        (row,) = fetch_all(
            "SELECT status, attempts - attempts_forgiven, due_at <= clock_timestamp(), stale_at IS NULL"
            " FROM hl7_messages WHERE id = %s",
            (message_id,),
        )
    return row


def logged() -> list[tuple[Any, ...]]:
    with connected():
        return fetch_all(
            "SELECT actor, dispatch_id, reason FROM operator_actions WHERE action = 'retry' AND lane = 'hl7' ORDER BY id"
        )


def test_all_failed_of_one_school_are_due_again_with_their_count_at_nought() -> None:
    one, two, elsewhere, waiting = put_failed(), put_failed(), put_failed("SCH-02"), put()
    done = retry_all("FAILED", school="SCH-01", actor="ada", reason="the line is back")
    assert (done.retried, done.unchanged, done.next_after) == (2, 0, None)
    assert [stored(one), stored(two)] == [("PENDING", 0, True, True)] * 2
    assert stored(elsewhere)[:2] == ("FAILED", 6)
    assert stored(waiting)[3] is False
    assert logged() == [("ada", one, "the line is back"), ("ada", two, "the line is back")]


def test_all_pending_are_due_at_once_and_no_longer_given_up_on_for_their_age() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    held_back = put(due_at=later, attempts=3)
    due = put("SCH-02")
    assert (retry_all("PENDING", actor="ada").retried, len(logged())) == (2, 2)
    assert [stored(held_back), stored(due)] == [("PENDING", 0, True, True)] * 2
    again = retry_all("PENDING", actor="ada")
    assert (again.retried, again.unchanged, len(logged())) == (0, 2, 2)


def test_very_many_are_walked_in_batches_and_calls_without_leaving_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "BATCH", 2)
    expected = {put_failed() for _ in range(7)}
    after, calls = 0, 0
    while True:
        done = retry_all("FAILED", actor="ada", after=after, most=3)
        calls += 1
        if done.next_after is None:
            break
        after = done.next_after
    assert calls == 3
    assert {dispatch_id for _, dispatch_id, _ in logged()} == expected
    assert len(logged()) == 7


def test_of_some_each_is_answered_also_one_that_is_not_there() -> None:
    failed, sent, missing = put_failed(), put(status="CANCELLED"), uuid4()
    done = retry_these([missing, failed, sent, failed], actor="ada", reason="asked by the school")
    assert (done.retried, done.unchanged) == (1, 2)
    assert [(result.dispatch_id, result.changed, result.code) for result in done.results] == [
        (missing, False, "DISPATCH_NOT_FOUND"),
        (failed, True, ""),
        (sent, False, "ILLEGAL_MOVE"),
    ]
    assert logged() == [("ada", failed, "asked by the school")]


def test_what_cannot_be_asked_changes_nothing() -> None:
    failed = put_failed()
    with pytest.raises(DispatchlogError) as unknown:
        retry_all("SENT", actor="ada")
    assert unknown.value.code == "UNKNOWN_STATUS"
    with pytest.raises(VisitError) as nowhere:
        retry_all("FAILED", school="SCH-99", actor="ada")
    assert nowhere.value.code == "UNKNOWN_SCHOOL"
    assert stored(failed)[0] == "FAILED"
