"""Tests of a campaign's report: who counts once, what is kept for pages, and what of it speaks for a text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.campaigns import report_counts
from dispatchlog.systems.outreach.campaigns.report import report
from dispatchlog.systems.outreach.inputs import OutreachError
from tests.outreach.builders import appointment, job, patient
from tests.outreach.conftest import Desk

BEGUN = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
SENT = BEGUN + timedelta(hours=1)


def campaign(*, goal: str = "answered", minimum: int = 1, audience: int = 10, **columns: Any) -> UUID:
    """One with two steps and two variants, begun, straight into the tables."""
    segment_id, campaign_id = uuid4(), uuid4()
    with connected():
        execute(
            "INSERT INTO patient_segments (id, name, rules, created_by) VALUES (%s, %s, '{}', 'test')",
            (segment_id, f"Sample {segment_id}"),
        )
        variants = {
            "variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}],
            "goal": goal,
            "minimum": minimum,
        }
        given = {
            "id": campaign_id,
            "name": "Sample campaign",
            "segment_id": segment_id,
            "steps": json.dumps([{"key": "first"}, {"key": "second"}]),
            "ab_variants": json.dumps(variants),
            "created_by": "test",
            "status": "active",
            "audience": audience,
            "audience_at": BEGUN,
            **columns,
        }
        execute(
            f"INSERT INTO comm_campaigns ({', '.join(given)}) VALUES ({', '.join(['%s'] * len(given))})",
            tuple(given.values()),
        )
    return campaign_id


def line(campaign_id: UUID, patient_id: UUID, step: str = "first", state: str = "MADE", **columns: Any) -> None:
    given = {
        "campaign_id": campaign_id,
        "step": step,
        "patient_id": patient_id,
        "variant": "A",
        "state": state,
        "due_at": BEGUN,
        "job_id": uuid4() if state == "MADE" else None,
        "decided_at": None if state == "WAITING" else SENT,
        **columns,
    }
    with transaction("test"):
        execute(
            f"INSERT INTO comm_campaign_sends ({', '.join(given)}) VALUES ({', '.join(['%s'] * len(given))})",
            tuple(given.values()),
        )


def message(desk: Desk, campaign_id: UUID, patient_id: UUID, variant: str, step: str = "first", **heard: Any) -> UUID:
    """A message of the campaign that was sent, and what was heard of it."""
    about = {"appointment_id": heard.pop("appointment_id")} if "appointment_id" in heard else {}
    job_id = job(desk.lane, patient_id, campaign_id=campaign_id, campaign_step=step, ab_variant=variant, **about)
    values = {"status": "SENT", "sent_at": SENT, **heard}
    with transaction("test"):
        execute(
            f"UPDATE comm_jobs SET {', '.join(f'{name} = %s' for name in values)} WHERE id = %s",
            (*values.values(), job_id),
        )
    return job_id


def reached(campaign_id: UUID) -> list[tuple[str, int, int]]:
    test = report(campaign_id).test
    assert test is not None
    return [(one.key, one.patients, one.reached) for one in test.variants]


@pytest.mark.parametrize("heard", [{"replied_at": SENT}, {"answered_at": SENT}])
def test_a_patient_counts_once_whichever_message_they_answered(desk: Desk, heard: dict[str, Any]) -> None:
    campaign_id, answers, is_silent = campaign(), patient(), patient()
    message(desk, campaign_id, answers, "A")
    message(desk, campaign_id, answers, "A", "second", **heard)
    message(desk, campaign_id, is_silent, "A")
    job(desk.lane, patient(), campaign_id=campaign_id, campaign_step="first", ab_variant="B")

    assert reached(campaign_id) == [("A", 2, 1), ("B", 0, 0)]


def test_a_click_is_no_answer_and_an_answer_no_click(desk: Desk) -> None:
    by_answer, by_click = campaign(goal="answered"), campaign(goal="clicked")
    for campaign_id in (by_answer, by_click):
        message(desk, campaign_id, patient(), "A", clicked_at=SENT)
        message(desk, campaign_id, patient(), "B", replied_at=SENT)

    assert reached(by_answer) == [("A", 1, 0), ("B", 1, 1)]
    assert reached(by_click) == [("A", 1, 1), ("B", 1, 0)]


def test_who_says_yes_or_whose_appointment_is_confirmed_has_confirmed(desk: Desk) -> None:
    campaign_id = campaign(goal="confirmed")
    said_yes = message(desk, campaign_id, patient(), "A")
    said_something = message(desk, campaign_id, patient(), "A")
    for job_id, intent in ((said_yes, "confirm"), (said_something, "other")):
        inbound(job_id, intent)
    for confirmed_at in (SENT + timedelta(hours=2), SENT - timedelta(hours=2)):
        who = patient()
        visit = appointment(who, starts_at=SENT + timedelta(days=3), confirmed_at=confirmed_at)
        message(desk, campaign_id, who, "B", appointment_id=visit)

    assert reached(campaign_id) == [("A", 2, 1), ("B", 2, 1)]


def test_patients_who_came_in_after_the_winner_was_taken_say_nothing_of_it(desk: Desk) -> None:
    campaign_id = campaign(winner="B", winner_at=datetime(2020, 1, 1, tzinfo=UTC), winner_by="test")
    message(desk, campaign_id, patient(), "B", replied_at=SENT)

    assert reached(campaign_id) == [("A", 0, 0), ("B", 0, 0)]


def test_steps_have_their_lines_by_state_and_reason_and_exits_by_rule(desk: Desk) -> None:
    campaign_id, ids = campaign(), [patient() for _ in range(4)]
    line(campaign_id, ids[0])
    line(campaign_id, ids[0], "second", "SKIPPED", reason="EXIT_ANSWERED")
    line(campaign_id, ids[1])
    line(campaign_id, ids[1], "second", "SKIPPED", reason="CONDITION")
    line(campaign_id, ids[2], "first", "WAITING")
    line(campaign_id, ids[3], "first", "HELD_OUT", reason="CONTROL")
    message(desk, campaign_id, ids[0], "A", delivered_at=SENT, replied_at=SENT)

    found = report(campaign_id)

    first, second = found.steps
    assert (first.step, second.step) == ("first", "second")
    assert first.states == {"MADE": 2, "WAITING": 1, "HELD_OUT": 1}
    assert second.states == {"SKIPPED": 2}
    assert second.reasons == {"CONDITION": 1, "EXIT_ANSWERED": 1}
    assert found.exits == {"answered": 1}
    counts = {"sent": 1, "delivered": 1, "replied": 1}
    assert {name: number for name, number in first.counts.items() if number} == counts
    assert first.by_variant["A"] == first.by_channel["sms"] == first.counts


def test_what_the_control_group_booked_stands_beside_what_the_others_did(application: Settings) -> None:
    campaign_id, treated, control = campaign(control_percent=50), [patient() for _ in range(3)], patient()
    for each in treated:
        line(campaign_id, each)
    line(campaign_id, control, state="HELD_OUT", reason="CONTROL")
    later, before = BEGUN + timedelta(days=1), BEGUN - timedelta(days=1)
    visits(treated[0], [("completed", later), ("scheduled", later)])
    visits(treated[1], [("no_show", later)])
    visits(treated[2], [("completed", before)])
    visits(control, [("completed", later)])

    found = report(campaign_id)

    assert found.treated == {"patients": 3, "booked": 2, "kept": 1, "missed": 1}
    assert found.control == {"patients": 1, "booked": 1, "kept": 1, "missed": 0}
    estimate, low, high = found.extra["booked"]
    assert estimate == pytest.approx(2 / 3 - 1)
    assert low < estimate < high


def test_a_winner_is_named_only_where_every_text_has_its_least_number(desk: Desk) -> None:
    campaign_id = campaign(minimum=12)
    for _ in range(12):
        message(desk, campaign_id, patient(), "B", replied_at=SENT)
    for _ in range(11):
        message(desk, campaign_id, patient(), "A")
    too_few = report(campaign_id).test
    message(desk, campaign_id, patient(), "A")
    enough = report(campaign_id).test

    assert too_few is not None
    assert enough is not None
    assert (too_few.verdict, too_few.winner) == ("too_few", None)
    assert "each text needs 12, A has 11" in too_few.words
    assert (enough.verdict, enough.winner) == ("winner", "B")
    assert enough.difference is not None
    assert enough.difference[1] > 0


def test_a_large_campaign_is_read_from_what_the_clock_counted(desk: Desk) -> None:
    campaign_id, other = campaign(audience=report_counts.COUNTED_AT_ONCE + 1), patient()
    line(campaign_id, other)
    message(desk, campaign_id, other, "A", replied_at=SENT)
    not_yet = report(campaign_id)
    report_counts.refresh()
    kept, counted = report(campaign_id), report(campaign_id, now=True)

    assert (not_yet.extra["taken_at"], not_yet.steps[0].states) == (None, {})
    assert kept.extra["taken_at"] is not None
    assert (kept.steps, kept.test, kept.treated) == (counted.steps, counted.test, counted.treated)
    assert kept.steps[0].states == {"MADE": 1}


def test_what_is_kept_is_counted_anew_when_it_is_old_and_not_before(desk: Desk) -> None:
    campaign_id = campaign(audience=report_counts.COUNTED_AT_ONCE + 1)
    assert [report_counts.refresh(), report_counts.refresh()] == [1, 0]

    line(campaign_id, patient())
    with transaction("test"):
        execute("UPDATE comm_campaign_reports SET taken_at = now() - interval '31 seconds', seconds = 1")
    assert report_counts.refresh() == 1
    assert report(campaign_id).steps[0].states == {"MADE": 1}

    with transaction("test"):
        execute("UPDATE comm_campaign_reports SET taken_at = now() - interval '31 seconds', seconds = 2")
    assert report_counts.refresh() == 0


def test_nothing_is_known_of_a_draft_and_no_campaign_is_no_report(application: Settings) -> None:
    draft = campaign(status="draft", audience=0, audience_at=None)

    assert report(draft).steps[0].states == {}
    with pytest.raises(OutreachError) as refused:
        report(uuid4())
    assert refused.value.code == "CAMPAIGN_NOT_FOUND"


def inbound(job_id: UUID, intent: str) -> None:
    with transaction("test"):
        execute(
            "INSERT INTO comm_inbound (id, channel, from_address, to_address, body, intent, related_job_id, provider,"
            " event_key, source) VALUES (%s, 'sms', '+12025550123', '+12025550199', 'Sample', %s, %s, 'twilio', %s,"
            " 'native')",
            (uuid4(), intent, job_id, str(uuid4())),
        )


def visits(patient_id: UUID, given: Sequence[tuple[str, datetime]]) -> None:
    for status, created_at in given:
        appointment(patient_id, starts_at=BEGUN + timedelta(days=5), status=status, created_at=created_at)
