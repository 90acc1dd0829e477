"""Writing a message anew: a new message in the old one's place, each knowing the other, and nothing sent twice unsaid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchNotFound
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.engine.tables import new_id
from dispatchlog.row_content import HL7_MESSAGES
from dispatchlog.systems.hl7 import rewriting, schools
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.names import parse
from dispatchlog.systems.hl7.records import Visit
from dispatchlog.systems.hl7.rewriting import RewriteError, rewrite
from dispatchlog.systems.hl7.visits import record_visit
from tests.systems.conftest import Desk, desk, mail_server
from tests.systems.hl7.visits import VISIT

__all__ = ["desk", "mail_server"]  # fixtures

RIGHT = replace(VISIT, student=replace(VISIT.student, given_name="Mariam"))


@pytest.fixture(autouse=True)
def school(desk: Desk) -> None:
    """Switched off, so that nothing leaves."""
    schools.add_school("SCH-01", "First school", actor="test")


def put(visit: Visit = VISIT, **columns: Any) -> UUID:
    message_id: UUID = record_visit("SCH-01", replace(visit, id=new_id()), source="clinic").messages[0]["id"]
    if columns:
        assignments = ", ".join(f"{name} = %s" for name in columns)
        with transaction("test"):
            execute(f"UPDATE hl7_messages SET {assignments} WHERE id = %s", (*columns.values(), message_id))
    return message_id


def put_in(state: str) -> UUID:
    message_id = put()
    claimed = "status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 1, claimed_at = now(),"
    moves = {
        "QUEUED": [f"{claimed} first_claimed_at = now()"],
        "SENT": [f"{claimed} first_claimed_at = now()", "status = 'SENT', sent_at = now()"],
        "FAILED": [f"{claimed} first_claimed_at = now()", "status = 'FAILED', last_error_code = 'ACK_AE_103'"],
        "IN_DOUBT": [f"{claimed} first_claimed_at = now()", "status = 'FAILED', in_doubt = true"],
        "TRIED": ["first_claimed_at = now(), claims = 1, attempts = 1"],
        "CANCELLED": ["status = 'CANCELLED'"],
    }
    for assignments in moves.get(state, ()):
        with transaction("test"):
            execute(f"UPDATE hl7_messages SET {assignments} WHERE id = %s", (message_id,))
    return message_id


def stored(message_id: UUID) -> dict[str, Any]:
    with connected():
        return dict(HL7_MESSAGES.opened(fetch_dicts("SELECT * FROM hl7_messages WHERE id = %s", (message_id,))[0]))


def right(message_id: UUID) -> Visit:
    visit = rewriting.visit_of(message_id)
    return replace(visit, student=replace(visit.student, given_name="Mariam"))


@pytest.mark.parametrize("state", ["FAILED", "PENDING"])
def test_the_new_message_takes_the_old_ones_place(state: str) -> None:
    old_id = put_in(state)
    later = put()
    done = rewrite(old_id, right(old_id), actor="ada", reason="the name was misspelt")
    old, new = stored(old_id), stored(done.message_id)
    assert done.cancelled
    assert (old["status"], new["status"]) == ("CANCELLED", "PENDING")
    assert (new["replaces_id"], new["written_by"], new["message_type"]) == (old_id, "ada", old["message_type"])
    assert (new["visit_id"], new["ordering_key"], new["route"]) == (old["visit_id"], old["ordering_key"], old["route"])
    assert new["control_id"] != old["control_id"]
    assert old["seq"] == new["seq"] < stored(later)["seq"]
    (patient,) = (segment for segment in parse(bytes(new["body"])) if segment.code == "PID")
    assert "Mariam" in next(field.text for field in patient.fields if field.number == 5)
    assert rewriting.replacement_of(old_id) == done.message_id


def test_what_the_clinic_reported_stays_and_the_next_edit_begins_with_the_last(desk: Desk) -> None:
    old_id = put_in("FAILED")
    new_id_ = rewrite(old_id, right(old_id), actor="ada", reason="misspelt").message_id
    assert rewriting.visit_of(old_id).student.given_name == "Maryam"
    assert rewriting.visit_of(new_id_).student.given_name == "Mariam"
    with connected():
        assert fetch_all("SELECT count(*) FROM visits WHERE record #>> '{student,given_name}' = 'Mariam'") == [(0,)]


def test_who_wrote_it_and_why_is_kept_at_both_and_no_value_of_it() -> None:
    old_id = put_in("FAILED")
    done = rewrite(old_id, right(old_id), actor="ada", reason="misspelt")
    with connected():
        kept = fetch_dicts("SELECT * FROM operator_actions WHERE lane = 'hl7' AND action = 'rewrite' ORDER BY id")
    assert [(row["dispatch_id"], row["actor"], row["reason"]) for row in kept] == [
        (old_id, "ada", "misspelt"),
        (done.message_id, "ada", "misspelt"),
    ]
    assert kept[0]["detail"] == {"replacement": str(done.message_id), "changed": ["student.given_name"]}
    assert "Mariam" not in str(kept)


def test_what_was_sent_gets_a_second_message_only_when_somebody_says_so() -> None:
    old_id = put_in("SENT")
    with pytest.raises(RewriteError) as refused:
        rewrite(old_id, right(old_id), actor="ada", reason="misspelt")
    assert refused.value.code == "SENT_BEFORE"
    done = rewrite(old_id, right(old_id), actor="ada", reason="misspelt", second=True)
    assert not done.cancelled
    assert stored(old_id)["status"] == "SENT"
    assert stored(done.message_id)["seq"] > stored(old_id)["seq"]


@pytest.mark.parametrize(("state", "code"), [("QUEUED", "UNDER_WAY"), ("IN_DOUBT", "IN_DOUBT"), ("TRIED", "IN_DOUBT")])
def test_what_may_have_left_is_not_written_anew(state: str, code: str) -> None:
    old_id = put_in(state)
    before = stored(old_id)
    with pytest.raises(RewriteError) as refused:
        rewrite(old_id, right(old_id), actor="ada", reason="misspelt")
    assert refused.value.code == code
    assert stored(old_id) == before


def test_a_message_is_replaced_once() -> None:
    old_id = put_in("FAILED")
    first = rewrite(old_id, right(old_id), actor="ada", reason="misspelt").message_id
    with pytest.raises(RewriteError) as refused:
        rewrite(old_id, right(old_id), actor="ben", reason="misspelt")
    assert (refused.value.code, refused.value.other) == ("REPLACED", first)


@pytest.mark.parametrize(
    ("visit", "reason", "error", "code"),
    [
        (replace(VISIT, student=replace(VISIT.student, sex="X")), "why", VisitError, "UNKNOWN_VALUE"),
        (VISIT, "why", RewriteError, "UNCHANGED"),
        (RIGHT, "  ", ReasonRequired, "REASON_REQUIRED"),
    ],
)
def test_what_is_refused_changes_nothing(visit: Visit, reason: str, error: type[Any], code: str) -> None:
    old_id = put_in("FAILED")
    own = rewriting.visit_of(old_id)
    with pytest.raises(error) as refused:
        rewrite(old_id, replace(visit, id=own.id), actor="ada", reason=reason)
    assert refused.value.code == code
    assert stored(old_id)["status"] == "FAILED"
    with connected():
        assert fetch_all("SELECT count(*) FROM hl7_messages") == [(1,)]


def test_a_message_that_does_not_exist_is_named_so() -> None:
    with pytest.raises(DispatchNotFound):
        rewrite(new_id(), VISIT, actor="ada", reason="why")
