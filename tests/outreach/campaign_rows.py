"""Owns campaigns for tests: segments by a tag, texts of a family, drafts, and campaigns that have begun."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, execute
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.campaigns import store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.template_values import TemplateInput, Variable, Variant
from tests.outreach import builders

TAG = "flu"
FAMILY = "flu-2026"
STEP = {"key": "intro", "family": FAMILY}


def segment(tag: str = TAG, *, organization_id: UUID | None = None, is_active: bool = True) -> UUID:
    """A segment of those who have a tag."""
    segment_id = uuid4()
    rules = {"combinator": "and", "rules": [{"field": "tags", "operator": "contains", "value": tag}]}
    with connected():
        execute(
            "INSERT INTO patient_segments (id, name, rules, organization_id, is_active, created_by)"
            " VALUES (%s, %s, %s, %s, %s, 'test')",
            (segment_id, f"{tag} {segment_id}", json.dumps(rules), organization_id, is_active),
        )
    return segment_id


def text(
    channel: Channel = Channel.EMAIL,
    *,
    family: str = FAMILY,
    language: str = "en",
    variants: Sequence[str] = (),
    variables: Sequence[str] = (),
    **values: Any,
) -> UUID:
    """An active text of a family; `variants` by name, `variables` that it needs."""
    body = "Stay well." + "".join(f" {{{{ {name} }}}}" for name in variables)
    wanted = TemplateInput(
        name=f"{family} {language} {channel}",
        purpose=Purpose.CAMPAIGN_EDUCATION,
        channel=channel,
        language=language,
        subject="Stay well" if channel is Channel.EMAIL else None,
        body=body,
        variables=tuple(Variable(name) for name in variables),
        variants=tuple(Variant(name, 1, None, f"{body} {name}.") for name in variants),
        family=family,
    )
    with connected():
        return templates.create(replace(wanted, **values), asker=builders.STAFF).id


def reader(*, tags: Sequence[str] = (TAG,), agrees: bool = True, **values: Any) -> UUID:
    """A patient with a tag who agreed to letters by e-mail."""
    patient_id = builders.patient(**values)
    builders.says(patient_id, marketing_opt_in_email=agrees)
    with connected():
        execute("UPDATE patients SET tags = %s WHERE id = %s", ([*tags], patient_id))
    return patient_id


def wanted(segment_id: UUID | None = None, **values: Any) -> CampaignInput:
    """A campaign of one step."""
    given = {"name": "Flu", "steps": [STEP], "timezone": builders.zone_where_it_is(12), **values}
    return CampaignInput(segment_id=segment_id or segment(), **given)


def draft(segment_id: UUID | None = None, **values: Any) -> Campaign:
    """A stored draft; its text is written where there is none."""
    if not builders.rows("SELECT FROM comm_templates WHERE family = %s", FAMILY):
        text()
    with connected():
        return store.create(wanted(segment_id, **values), asker=builders.STAFF)


def begun(status: str = "active", **values: Any) -> Campaign:
    """A campaign that has begun, straight into the table."""
    made = draft(**values)
    with connected():
        execute(
            "UPDATE comm_campaigns SET status = %s, start_date = coalesce(start_date, current_date), started_at = now()"
            " WHERE id = %s",
            (status, made.id),
        )
        return store.campaign(made.id)
