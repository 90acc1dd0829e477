"""Messages to patients that failed or came back: by cause, the oldest first; nothing that may have arrived goes twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dashboard import comm_failed_queries
from dispatchlog.engine.database import connected
from dispatchlog.settings import get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.states import Channel, Purpose
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.dashboard.patient_rows import NOW
from tests.outreach import builders
from tests.outreach.builders import PHONE, rows

FAILED = "/outreach/failed"


@pytest.fixture
def patient_id(monkeypatch: pytest.MonkeyPatch, dash: Dashboard) -> Iterator[UUID]:
    """A patient in a place where SMS is set up too."""
    for name, value in {"SMS": "twilio", "EMAIL": "smtp"}.items():
        monkeypatch.setenv(f"DISPATCHLOG_OUTREACH_{name}", value)
    monkeypatch.setenv("DISPATCHLOG_TWILIO_ACCOUNT_SID", "AC" + "0" * 32)
    monkeypatch.setenv("DISPATCHLOG_TWILIO_AUTH_TOKEN", "token")
    monkeypatch.setenv("DISPATCHLOG_TWILIO_FROM", "+12025550199")
    get_settings.cache_clear()
    registry.forget()
    yield builders.patient(organization_id=builders.organization())
    registry.forget()


def job(job_id: UUID) -> dict[str, Any]:
    return rows("SELECT * FROM comm_jobs WHERE id = %s", job_id)[0]


def test_failures_stand_by_cause_with_the_oldest_first_and_masked(dash: Dashboard, patient_id: UUID) -> None:
    patient_rows.failed(patient_id, updated_at=NOW - timedelta(days=1))
    old = patient_rows.failed(patient_id, updated_at=NOW - timedelta(days=40))
    patient_rows.failed(patient_id, last_error_code="TWILIO_30007", last_error="Filtered")
    page = dash.as_("viewer").get(FAILED).text
    assert page.index("TWILIO_21211") < page.index("TWILIO_30007")
    assert PHONE not in page
    with connected():
        first, second = comm_failed_queries.causes()
        assert (first.number.number, second.number.number) == (2, 1)
        found, following = comm_failed_queries.failed(first, None)
    assert (found[0]["id"], len(found), following) == (old, 2, None)
    assert f"{FAILED}/{old}/retry" not in page


def test_a_retry_needs_a_reason_and_is_the_engines_own(dash: Dashboard, patient_id: UUID) -> None:
    failed = patient_rows.failed(patient_id)
    support = dash.as_("support")
    assert f"{FAILED}/{failed}/retry" in support.get(FAILED).text
    support.post(f"{FAILED}/{failed}/retry")
    assert job(failed)["status"] == "FAILED"
    support.post(f"{FAILED}/{failed}/retry", reason="The number was put right")
    assert job(failed)["status"] == "PENDING"
    (deed,) = rows("SELECT * FROM operator_actions WHERE action = 'retry'")
    assert (deed["actor"], deed["reason"]) == ("support@example.org", "The number was put right")


def test_by_another_channel_makes_one_linked_message_and_closes_the_failed_one(
    dash: Dashboard, patient_id: UUID
) -> None:
    failed = patient_rows.failed(patient_id)
    builders.template(Purpose.APPT_REMINDER, Channel.EMAIL)
    support = dash.as_("support")
    support.get(FAILED)
    answers = [support.post(f"{FAILED}/{failed}/other-channel", reason="Asked for", follow=True).text for _ in range(2)]
    assert "It goes by e-mail instead." in answers[0]
    assert "Nothing was sent" in answers[1]
    (made,) = rows("SELECT * FROM comm_jobs WHERE fallback_of = %s", failed)
    assert (made["channel"], job(failed)["status"]) == ("email", "CANCELLED")


def test_where_no_other_channel_may_be_used_nothing_changes(dash: Dashboard, patient_id: UUID) -> None:
    failed = patient_rows.failed(patient_id)
    builders.template(Purpose.APPT_REMINDER, Channel.EMAIL)
    builders.says(patient_id, allow_email=False)
    support = dash.as_("support")
    support.get(FAILED)
    answer = support.post(f"{FAILED}/{failed}/other-channel", reason="Asked for", follow=True)
    assert "Nothing was sent: " in answer.text
    assert job(failed)["status"] == "FAILED"
    assert len(rows("SELECT id FROM comm_jobs")) == 1


def test_what_may_have_left_is_neither_listed_nor_sent_again(dash: Dashboard, patient_id: UUID) -> None:
    doubtful = patient_rows.failed(patient_id, in_doubt=True, last_error_code="TIMEOUT")
    support = dash.as_("support")
    page = support.get(FAILED).text
    assert str(doubtful) not in page
    for deed in ("retry", "other-channel", "cancel"):
        support.post(f"{FAILED}/{doubtful}/{deed}", reason="Try")
    assert (job(doubtful)["status"], job(doubtful)["in_doubt"]) == ("FAILED", True)
    assert len(rows("SELECT id FROM comm_jobs")) == 1


def test_the_desk_of_doubts_is_named_beside_what_failed(dash: Dashboard, patient_id: UUID) -> None:
    patient_rows.failed(patient_id)
    patient_rows.failed(patient_id, in_doubt=True, last_error_code="TIMEOUT")
    page = dash.as_("viewer").get(FAILED).text
    assert "may or may not" in page
    assert 'href="/in-doubt"' in page


def test_what_came_back_is_sent_by_another_channel_once(dash: Dashboard, patient_id: UUID) -> None:
    back = patient_rows.moved(patient_id, "SENT", bounced_at=NOW, bounce_code="30003")
    builders.template(Purpose.APPT_REMINDER, Channel.EMAIL)
    support = dash.as_("support")
    page = support.get(f"{FAILED}?show=came-back").text
    assert f"{FAILED}/{back}/other-channel" in page
    assert f"{FAILED}/{back}/retry" not in page
    for _ in range(2):
        support.post(f"{FAILED}/{back}/other-channel", reason="Asked for", show="came-back")
    assert len(rows("SELECT * FROM comm_jobs WHERE fallback_of = %s", back)) == 1
    page = support.get(f"{FAILED}?show=came-back").text
    assert "went by e-mail instead" in page
    assert f"{FAILED}/{back}/other-channel" not in page


def test_marketing_is_not_sent_by_another_channel(dash: Dashboard, patient_id: UUID) -> None:
    failed = patient_rows.failed(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION)
    support = dash.as_("support")
    assert "other-channel" not in support.get(FAILED).text
    support.post(f"{FAILED}/{failed}/other-channel", reason="Try")
    assert len(rows("SELECT id FROM comm_jobs")) == 1


def test_given_up_is_never_sent(dash: Dashboard, patient_id: UUID) -> None:
    failed = patient_rows.failed(patient_id)
    support = dash.as_("support")
    support.get(FAILED)
    support.post(f"{FAILED}/{failed}/cancel", reason="The patient was called")
    assert job(failed)["status"] == "CANCELLED"
    assert "Everything that had to arrive" in support.get(FAILED).text


def test_a_cause_is_walked_page_by_page(dash: Dashboard, patient_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm_failed_queries, "PAGE_ROWS", 2)
    made = {patient_rows.failed(patient_id, updated_at=NOW - timedelta(days=1)) for _ in range(5)}
    seen: list[UUID] = []
    with connected():
        (cause,) = comm_failed_queries.causes()
        place = None
        while True:
            found, place = comm_failed_queries.failed(cause, place)
            seen += [row["id"] for row in found]
            if place is None:
                break
    assert (len(seen), {*seen}) == (5, made)
