"""Owns campaigns for tests: texts, patients with a tag, a segment of that tag, and a campaign for it that has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, execute, fetch_dicts
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.campaigns import expansion, lifecycle, store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.segments.store import SegmentInput
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import TemplateInput, Variant
from tests.outreach.builders import ASKER, STAFF, patient

PURPOSE = Purpose.LAB_READY
STEP = {"key": "first", "purpose": "lab_ready", "family": "news", "channel": "email"}
SECOND = {**STEP, "key": "second", "offset": {"days": 2}}


def texts(*names: str, family: str = "news", channels: Sequence[Channel] = (Channel.EMAIL,)) -> None:
    """A family's text for each channel, with a variant of each name."""
    with connected():
        for channel in channels:
            subject = "News" if channel is Channel.EMAIL else None
            variants = tuple(Variant(name, 1, subject, f"We have news for you, {name}.") for name in names)
            wanted = TemplateInput(
                f"{family} {channel}",
                *(PURPOSE, channel, "en", subject, "We have news for you."),
                variants=variants,
                family=family,
            )
            templates.create(wanted, asker=STAFF)


def people(number: int, *, tag: str = "reader", **values: Any) -> list[UUID]:
    """Patients with the tag, each with an e-mail address of their own, for whom it is about noon; by their ids."""
    ids = sorted(uuid4() for _ in range(number))
    return [patient(id=each, email=f"{each}@example.org", phone=None, tags=(tag,), **values) for each in ids]


def segment(tag: str = "reader") -> UUID:
    """Whoever has the tag."""
    rules = {"combinator": "and", "rules": [{"field": "tags", "operator": "contains", "value": tag}]}
    with connected():
        return segments.create(SegmentInput(f"{tag} {uuid4()}", rules), asker=ASKER).id


def begun(*steps: Mapping[str, Any], tag: str = "reader", **values: Any) -> Campaign:
    """A campaign for whoever has the tag, begun and not written out."""
    with connected():
        wanted = CampaignInput(
            name="News",
            segment_id=values.pop("segment_id", None) or segment(tag),
            steps=steps or (STEP,),
            **{"overlap": "allow", "timezone": "Etc/UTC", **values},
        )
        draft = store.create(wanted, asker=STAFF)
        return lifecycle.start(draft.id, based_on=draft.version, asker=STAFF)


def expanded(*steps: Mapping[str, Any], **values: Any) -> Campaign:
    """The same, written out."""
    campaign = begun(*steps, **values)
    expansion.expand(campaign.id)
    return read(campaign)


def read(campaign: Campaign) -> Campaign:
    """As it stands now."""
    with connected():
        return store.campaign(campaign.id)


def lines(campaign: Campaign, step: str = "first") -> dict[UUID, dict[str, Any]]:
    """A step's lines by patient."""
    sql = "SELECT * FROM comm_campaign_sends WHERE campaign_id = %s AND step = %s ORDER BY patient_id"
    with connected():
        return {row["patient_id"]: row for row in fetch_dicts(sql, (campaign.id, step))}


def messages(campaign: Campaign) -> list[dict[str, Any]]:
    """Its messages, opened."""
    with connected():
        found = fetch_dicts("SELECT * FROM comm_jobs WHERE campaign_id = %s ORDER BY created_at, id", (campaign.id,))
    return [dict(COMM_JOBS.opened(row)) for row in found]


def time_passes(campaign: Campaign) -> None:
    """What is planned is due."""
    with connected():
        execute(
            "UPDATE comm_campaign_sends SET due_at = now() WHERE campaign_id = %s AND state = 'WAITING'", (campaign.id,)
        )
