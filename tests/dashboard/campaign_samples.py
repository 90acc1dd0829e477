"""Owns campaigns for tests of pages: texts of a family, a segment, drafts, and what became of one, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.campaigns import lifecycle, store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.segments.store import SegmentInput
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.template_values import Template, TemplateInput, Variable, Variant
from tests.outreach import builders
from tests.outreach.builders import STAFF

FAMILY = "walking"
EVERYBODY: Mapping[str, Any] = {"combinator": "and", "rules": [{"field": "active", "operator": "=", "value": True}]}
STEPS: list[dict[str, Any]] = [
    {"key": "first", "name": "First letter", "purpose": "campaign_education", "family": FAMILY},
    {
        "key": "again",
        "name": "Once more",
        "offset": {"days": 3},
        "purpose": "campaign_education",
        "family": FAMILY,
        "conditions": [{"step": "first", "is": "not_answered"}],
    },
]
NOW = datetime.now(UTC)


def text(channel: Channel = Channel.EMAIL, *, language: str = "en", family: str = FAMILY, **values: Any) -> Template:
    """A text of the family with two variants."""
    wanted = TemplateInput(
        name=f"{family} {channel} {language}",
        purpose=Purpose.CAMPAIGN_EDUCATION,
        channel=channel,
        language=language,
        subject="A walk a day" if channel is Channel.EMAIL else None,
        body="A walk a day does you good. {{ tip }}",
        family=family,
        **{
            "variables": (Variable("tip", required=False, example="Begin with ten minutes."),),
            "variants": (
                Variant("A", 1, None, "A walk a day does you good. {{ tip }}"),
                Variant("B", 1, None, "How are you today? A walk helps. {{ tip }}"),
            ),
            **values,
        },
    )
    with connected():
        return templates.create(wanted, asker=STAFF)


def readers(number: int = 3) -> list[UUID]:
    """Patients who agreed to health education by text message and e-mail."""
    found = [
        builders.patient(phone=f"+1202555{at:04}", email=f"reader{at}@example.org") for at in range(1000, 1000 + number)
    ]
    for each in found:
        builders.says(each, marketing_opt_in_sms=True, marketing_opt_in_email=True)
    return found


def segment(name: str = "Everybody", rules: Mapping[str, Any] = EVERYBODY) -> UUID:
    with connected():
        return segments.create(SegmentInput(name, rules), asker=STAFF).id


def draft(segment_id: UUID, **values: Any) -> Campaign:
    """A draft of two steps."""
    given: dict[str, Any] = {"name": "Walking in spring", "steps": STEPS, "exit_rules": ["opted_out"], **values}
    with connected():
        return store.create(CampaignInput(segment_id=segment_id, **given), asker=STAFF)


def started(one: Campaign) -> Campaign:
    with connected():
        return lifecycle.start(one.id, based_on=one.version, asker=STAFF)


def stored(campaign_id: UUID) -> Campaign:
    with connected():
        return store.campaign(campaign_id)


def every_campaign() -> list[Campaign]:
    with connected():
        return [*store.find()]


def expanded(one: Campaign, *, patients: int) -> None:
    """As if the worker had written out a line for each of so many patients."""
    with transaction("test"):
        execute(
            "UPDATE comm_campaigns SET audience_at = now(), audience = %s, expanded_at = now() WHERE id = %s",
            (patients, one.id),
        )


def lines(one: Campaign, step: str, state: str, patients: list[UUID], **columns: Any) -> None:
    """A line for each patient."""
    values = {"variant": "", "reason": "", "due_at": NOW, **columns}
    decided = None if state == "WAITING" else NOW
    with transaction("test"):
        for patient_id in patients:
            execute(
                "INSERT INTO comm_campaign_sends (campaign_id, step, patient_id, variant, state, due_at, reason, job_id,"
                " decided_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    *(one.id, step, patient_id, values["variant"], state, values["due_at"], values["reason"]),
                    *(uuid4() if state == "MADE" else None, decided),
                ),
            )


def counted(one: Campaign, step: str, variant: str = "", channel: str = "sms", **counts: int) -> None:
    """What was counted of a step's messages."""
    columns = {f"{name}_count": number for name, number in counts.items()}
    with transaction("test"):
        execute(
            f"INSERT INTO comm_campaign_stats (campaign_id, step, variant, channel, {', '.join(columns)})"
            f" VALUES (%s, %s, %s, %s, {', '.join(['%s'] * len(columns))})",
            (one.id, step, variant, channel, *columns.values()),
        )


def actions(name: str) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM operator_actions WHERE action = %s ORDER BY id", (name,))


def in_days(number: int) -> str:
    """A day as a form has it."""
    return (NOW + timedelta(days=number)).date().isoformat()
