"""Campaigns on real processes: a drip of two steps with an A/B test, and a launch for many that is paused and killed."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from dispatchlog.engine.database import connected, fetch_all, fetch_dicts
from dispatchlog.local.mailbox import list_messages
from tests.engine.lane import owner
from tests.scenarios.processes import wait_for
from tests.scenarios.test_outreach import CLINIC, Clinic, clinic, zone_at

__all__ = ["clinic"]

WORDS = "I agree to health education from Sample Clinic."
BODIES = {"A": "A walk a day does you good.", "B": "How are you today? A walk helps."}


def texts_of(clinic: Clinic, family: str, *channels: str) -> None:
    """A family of two variants for each channel."""
    for channel in channels:
        document = {
            "name": f"{family} by {channel}",
            "purpose": "campaign_education",
            "channel": channel,
            "family": family,
            "subject": "Walking" if channel == "email" else None,
            "body": f"{{{{ organization_name }}}}: {BODIES['A']} {{{{ opt_out_hint }}}}",
            "variants": [
                {"name": key, "weight": 1, "body": f"{{{{ organization_name }}}}: {words} {{{{ opt_out_hint }}}}"}
                for key, words in BODIES.items()
            ],
        }
        made = clinic.call("POST", "/comm/templates", json=document)
        assert made.status_code == 201, made.text


def reader(clinic: Clinic, **facts: Any) -> tuple[str, str]:
    """A patient who agreed to marketing by SMS and e-mail."""
    patient_id, number = clinic.new_patient(**facts)
    yes = {"marketing_opt_in_sms": True, "marketing_opt_in_email": True, "wording": WORDS, "wording_version": "1"}
    said = clinic.call("PATCH", f"/patients/{patient_id}/comm-preferences", json=yes)
    assert said.status_code == 200, said.text
    return patient_id, number


def segment_of(clinic: Clinic, tag: str) -> str:
    rules = {"combinator": "and", "rules": [{"field": "tags", "operator": "contains", "value": tag}]}
    made = clinic.call("POST", "/comm/segments", json={"name": tag, "rules": rules, "organization_id": CLINIC})
    assert made.status_code == 201, made.text
    return str(made.json()["segment"]["id"])


def begin(clinic: Clinic, document: dict[str, Any]) -> str:
    made = clinic.call("POST", "/comm/campaigns", json={"organization_id": CLINIC, "timezone": zone_at(13), **document})
    assert made.status_code == 201, made.text
    campaign = made.json()["campaign"]
    looked = clinic.call("GET", f"/comm/campaigns/{campaign['id']}/preview").json()
    assert looked["problems"] == []
    started = clinic.call("POST", f"/comm/campaigns/{campaign['id']}/start", json={"based_on": campaign["version"]})
    assert started.status_code == 200, started.text
    return str(campaign["id"])


def lines(campaign_id: str, step: str) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts(
            "SELECT * FROM comm_campaign_sends WHERE campaign_id = %s AND step = %s ORDER BY patient_id",
            (campaign_id, step),
        )


def status_of(clinic: Clinic, campaign_id: str) -> str:
    return str(clinic.call("GET", f"/comm/campaigns/{campaign_id}").json()["campaign"]["status"])


def test_a_drip_of_two_steps_with_an_ab_test(clinic: Clinic, database_url: str) -> None:
    """Two texts side by side; who answers leaves, who does not gets a mail a day later; each once, and it ends itself."""
    clinic.start_worker()
    texts_of(clinic, "walking", "sms", "email")
    people = [reader(clinic, tags=["walker"], email=f"walker.{n}@example.org") for n in range(16)]
    clinic.new_patient(tags=["sitter"])
    answering = {number for _, number in people[:5]}
    clinic.sandbox.script.load(
        {"replies": [{"to": number, "answer": "Tell me more please", "after_seconds": 0.1} for number in answering]}
    )
    campaign_id = begin(
        clinic,
        {
            "name": "Walking",
            "segment_id": segment_of(clinic, "walker"),
            "steps": [
                {"key": "text", "channel": "sms", "family": "walking"},
                {
                    "key": "letter",
                    "channel": "email",
                    "family": "walking",
                    "offset": {"days": 1},
                    "conditions": [{"step": "text", "is": "not_answered"}],
                },
            ],
            "ab_variants": {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}], "goal": "answered"},
            "exit_rules": ["answered", "opted_out"],
        },
    )
    wait_for(lambda: sum(len(clinic.texts_to(number)) for _, number in people) == 16)
    drawn = {str(line["patient_id"]): line["variant"] for line in lines(campaign_id, "text")}
    assert drawn.keys() == {patient_id for patient_id, _ in people}
    for patient_id, number in people:
        [text] = clinic.texts_to(number)
        assert BODIES[drawn[patient_id]] in text

    def answered() -> bool:
        with connected():
            sql = "SELECT count(*) FROM comm_jobs WHERE campaign_id = %s AND replied_at IS NOT NULL"
            return bool(fetch_all(sql, (campaign_id,))[0][0] == len(answering))

    wait_for(answered)
    wait_for(lambda: len(lines(campaign_id, "letter")) == 16)
    assert {line["state"] for line in lines(campaign_id, "letter")} == {"WAITING"}
    with owner(database_url) as cursor:  # a day goes by
        cursor.execute("UPDATE comm_campaign_sends SET due_at = now() WHERE state = 'WAITING'")
    wait_for(lambda: status_of(clinic, campaign_id) == "completed")
    wait_for(lambda: len(list_messages(clinic.mail, limit=100)) == 16 - len(answering))
    became = Counter((line["state"], line["reason"]) for line in lines(campaign_id, "letter"))
    assert became == {("MADE", ""): 11, ("SKIPPED", "EXIT_ANSWERED"): 5}
    assert all(count == 1 for count in Counter(len(clinic.texts_to(number)) for _, number in people))
    report = clinic.call("GET", f"/comm/campaigns/{campaign_id}/report").json()
    assert report["audience"] == 16
    tried = {each["key"]: (each["patients"], each["reached"]) for each in report["test"]["variants"]}
    assert sum(patients for patients, _ in tried.values()) == 16
    assert sum(reached for _, reached in tried.values()) == len(answering)
    assert report["test"]["verdict"] == "too_few"
    context = clinic.call("GET", f"/patients/{people[0][0]}/comm-context").json()
    assert context["segments"] == ["walker"]


def test_a_launch_for_many_is_paused_killed_and_ends_with_one_message_each(clinic: Clinic) -> None:
    worker = clinic.start_worker()
    texts_of(clinic, "launch", "email")
    people = [reader(clinic, tags=["many"], email=f"many.{n}@example.org", phone=None)[0] for n in range(90)]
    campaign_id = begin(
        clinic,
        {
            "name": "Launch",
            "segment_id": segment_of(clinic, "many"),
            "steps": [{"key": "letter", "family": "launch"}],
            "control_percent": 10,
        },
    )
    wait_for(lambda: len(list_messages(clinic.mail, limit=500)) >= 5)
    paused = clinic.call("POST", f"/comm/campaigns/{campaign_id}/pause", json={"reason": "a wrong word"})
    assert paused.json()["campaign"]["status"] == "paused"

    def handed_over() -> bool:
        with connected():
            sql = "SELECT count(*) FROM comm_jobs WHERE status = 'QUEUED' AND sending_at IS NOT NULL"
            return bool(fetch_all(sql)[0][0] == 0)

    wait_for(handed_over)
    kept = len(list_messages(clinic.mail, limit=500))
    for child in [*worker.children(recursive=True), worker]:
        child.send_signal(signal.SIGKILL)
    psutil.wait_procs([worker], timeout=60)
    clinic.start_worker()
    time.sleep(3)  # whatever would leave now would be wrong, however long one looks
    assert len(list_messages(clinic.mail, limit=500)) == kept
    resumed = clinic.call("POST", f"/comm/campaigns/{campaign_id}/resume", json={"reason": "it is right"})
    assert resumed.json()["campaign"]["status"] == "active"
    wait_for(lambda: status_of(clinic, campaign_id) == "completed")
    drawn = Counter(line["state"] for line in lines(campaign_id, "letter"))
    assert sum(drawn.values()) == len(people)
    assert drawn.keys() == {"MADE", "HELD_OUT"}
    wait_for(lambda: len(list_messages(clinic.mail, limit=500)) >= drawn["MADE"])
    sent = Counter(mail.envelope_to[0] for mail in list_messages(clinic.mail, limit=500))
    assert set(sent.values()) == {1}
    assert len(sent) == drawn["MADE"]
    today = datetime.now(UTC).date()
    days = f"first={today - timedelta(days=1)}&last={today}&purpose=campaign_education"
    counted = sum(row["sent"] for row in clinic.call("GET", f"/comm/stats?{days}").json()["rows"])
    assert counted == drawn["MADE"]
