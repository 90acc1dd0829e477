"""What became of what was chosen: rewarded within its time, learned once, left out where it says nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.optimiser import rewards
from dispatchlog.systems.outreach.optimiser.learning import HALF_LIFE_DAYS
from dispatchlog.systems.outreach.states import Purpose
from tests.outreach import builders
from tests.outreach import chosen as past
from tests.outreach.conftest import Desk

NOW = datetime.now(UTC)
SENT = NOW - timedelta(days=4)


def after(hours: float) -> datetime:
    return SENT + timedelta(hours=hours)


@pytest.fixture
def clinic(application: Settings) -> UUID:
    return builders.organization()


def chosen(desk: Desk, clinic: UUID, *, kind: str = "hour", arm: str = "08-10", **job: Any) -> UUID:
    """A message for which something was chosen, as it stands now; sent four days ago unless `job` says otherwise."""
    patient_id = builders.patient(organization_id=clinic)
    stands = {"status": "SENT", "sent_at": SENT, "scheduled_at": SENT, **job}
    job_id = builders.job(desk.lane, patient_id, purpose=Purpose.RX_REFILL)
    past.stands(job_id, **stands)
    past.choice(job_id, patient_id, kind, arm, organization_id=str(clinic))
    return job_id


def choice(job_id: UUID) -> dict[str, Any]:
    [row] = builders.rows("SELECT * FROM comm_choices WHERE job_id = %s", job_id)
    return row


def learned(scope: str) -> list[tuple[str, str, float, float]]:
    rows = builders.rows("SELECT context, arm, tries, wins FROM comm_learned WHERE scope = %s ORDER BY 1, 2", scope)
    return [(row["context"], row["arm"], round(row["tries"], 3), round(row["wins"], 3)) for row in rows]


@pytest.mark.parametrize(
    ("heard", "won"),
    [
        ({"replied_at": after(71)}, 1),
        ({"answered_at": after(2)}, 1),
        ({"clicked_at": after(2)}, 1),
        ({"opened_at": after(2), "delivered_at": after(1)}, 0),
        ({"replied_at": after(73)}, 0),
        ({}, 0),
    ],
)
def test_an_answer_or_a_click_within_three_days_is_a_reward(
    desk: Desk, clinic: UUID, heard: dict[str, Any], won: int
) -> None:
    job_id = chosen(desk, clinic, **heard)
    assert rewards.close_due() == 1
    row = choice(job_id)
    assert (row["reward"], row["void"], row["opted_out"]) == (won, False, None)
    assert row["look_at"] == SENT + timedelta(days=7)
    assert learned("global") == [("", "08-10", 1, won), ("sms:1", "08-10", 1, won)]
    assert learned("organization") == [("sms:1", "08-10", 1, won)]
    assert learned("patient") == [("", "08-10", 1, won)]


@pytest.mark.parametrize(
    "job",
    [
        {"status": "CANCELLED", "sent_at": None},
        {"status": "FAILED", "sent_at": None},
        {"status": "PENDING", "sent_at": None, "scheduled_at": NOW - timedelta(days=11)},
        {"bounced_at": after(1)},
        {"scheduled_at": SENT - timedelta(hours=5), "replied_at": after(1)},
    ],
    ids=["cancelled", "failed", "never sent", "came back", "left long after its hour"],
)
def test_what_says_nothing_is_closed_without_learning(desk: Desk, clinic: UUID, job: dict[str, Any]) -> None:
    job_id = chosen(desk, clinic, **job)
    rewards.close_due()
    row = choice(job_id)
    assert (row["void"], row["reward"], row["look_at"]) == (True, None, None)
    assert row["closed_at"] is not None
    assert learned("global") == []


@pytest.mark.parametrize(
    "job",
    [
        {"status": "PENDING", "sent_at": None, "scheduled_at": NOW - timedelta(days=4)},
        {"sent_at": NOW - timedelta(hours=70), "scheduled_at": NOW - timedelta(hours=70), "replied_at": NOW},
        {"status": "FAILED", "in_doubt": True, "sent_at": None},
    ],
    ids=["waits", "sent lately", "in doubt"],
)
def test_what_is_not_over_is_looked_at_later(desk: Desk, clinic: UUID, job: dict[str, Any]) -> None:
    """Also what was answered at once: quick answers would count before slow silence."""
    job_id = chosen(desk, clinic, **job)
    rewards.close_due()
    row = choice(job_id)
    assert (row["closed_at"], row["reward"]) == (None, None)
    assert row["look_at"] > NOW
    assert learned("global") == []


def test_a_channel_by_which_it_came_back_did_not_win(desk: Desk, clinic: UUID) -> None:
    job_id = chosen(desk, clinic, kind="channel", arm="email", bounced_at=after(1))
    rewards.close_due()
    assert choice(job_id)["reward"] == 0
    assert learned("patient") == [("", "email", 1, 0)]


def test_what_was_learned_is_learned_once_however_often_it_is_looked_at(desk: Desk, clinic: UUID) -> None:
    for _ in range(3):
        chosen(desk, clinic, replied_at=after(1))
    assert [rewards.close_due(limit=2), rewards.close_due(limit=2), rewards.close_due(limit=2)] == [2, 1, 0]
    assert learned("organization") == [("sms:1", "08-10", 3, 3)]


def test_older_evidence_counts_for_less_when_more_comes(desk: Desk, clinic: UUID) -> None:
    chosen(desk, clinic, replied_at=after(1))
    rewards.close_due()
    with connected():
        execute("UPDATE comm_learned SET updated_at = updated_at - make_interval(days => %s)", (int(HALF_LIFE_DAYS),))
    chosen(desk, clinic)
    rewards.close_due()
    assert learned("organization") == [("sms:1", "08-10", 1.5, 0.5)]


@pytest.mark.parametrize(("days", "opted_out"), [(6, True), (8, False)])
def test_who_wants_no_more_within_a_week_is_noted(desk: Desk, clinic: UUID, days: int, opted_out: bool) -> None:
    sent = NOW - timedelta(days=9)
    job_id = chosen(desk, clinic, sent_at=sent, scheduled_at=sent)
    rewards.close_due()
    row = choice(job_id)
    assert row["opted_out"] is None
    with connected():
        execute(
            "INSERT INTO comm_consents (patient_id, channel, purpose_class, given, source, actor, at)"
            " VALUES (%s, 'sms', 'all', false, 'reply', 'patient', %s)",
            (row["patient_id"], sent + timedelta(days=days)),
        )
    rewards.close_due()
    row = choice(job_id)
    assert (row["opted_out"], row["look_at"], row["reward"]) == (opted_out, None, 0)
    assert learned("patient") == [("", "08-10", 1, 0)]
