"""Campaigns as they are kept: written and changed while they are drafts, read. Owns `comm_campaigns`' texts, no move."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_dicts, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput, Plan, plan_of
from dispatchlog.systems.outreach.campaigns.texts import require_texts
from dispatchlog.systems.outreach.inputs import Asker, OutreachError

DRAFT, ACTIVE, PAUSED, COMPLETED = STATUSES = ("draft", "active", "paused", "completed")

_WRITTEN = tuple(each.name for each in fields(CampaignInput))
_DOCUMENTS = frozenset({"steps", "ab_variants", "frequency", "exit_rules"})
_MOST_FOUND = 200


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign; the documents as they were written, `plan` as they are meant."""

    id: UUID
    name: str
    description: str
    segment_id: UUID
    steps: Sequence[Mapping[str, Any]]
    ab_variants: Mapping[str, Any]
    frequency: Mapping[str, Any]
    exit_rules: Sequence[str]
    overlap: str
    language_fallback: bool
    control_percent: int
    timezone: str
    organization_id: UUID | None
    created_by: str
    status: str
    start_date: date | None
    end_date: date | None
    started_at: datetime | None
    started_by: str | None
    ended_at: datetime | None
    ended_by: str | None
    ended_reason: str
    audience_at: datetime | None
    audience: int
    expanded_to: UUID | None
    expanded_at: datetime | None
    winner: str | None
    winner_at: datetime | None
    winner_by: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    plan: Plan


def create(wanted: CampaignInput, *, asker: Asker) -> Campaign:
    """A new draft.

    Raises:
        OutreachError: as `plans.plan_of`; SEGMENT_NOT_FOUND, SEGMENT_ARCHIVED, SEGMENT_MISMATCH (it belongs to another
            organisation), ORGANIZATION_NOT_FOUND, UNKNOWN_TEMPLATE (no text of that family, purpose and channel; the
            step's place).
    """
    with transaction(asker.actor):
        wanted = checked(wanted)
        return _insert(wanted, asker=asker, action="write_campaign")


def change(campaign_id: UUID, wanted: CampaignInput, *, based_on: int, asker: Asker) -> Campaign:
    """Write a draft anew. Raises OutreachError: as `create`; CAMPAIGN_NOT_FOUND, CAMPAIGN_BEGUN, VERSION_CONFLICT."""
    with transaction(asker.actor):
        require_draft(campaign(campaign_id, lock="FOR NO KEY UPDATE"), based_on=based_on)
        columns = _columns(checked(wanted))
        execute(
            f"UPDATE comm_campaigns SET {', '.join(f'{name} = %s' for name in columns)}, version = version + 1,"
            " updated_at = clock_timestamp() WHERE id = %s",
            (*columns.values(), campaign_id),
        )
        found = campaign(campaign_id)
        _log(asker, "write_campaign", found)
        return found


def copy(campaign_id: UUID, *, name: str, asker: Asker) -> Campaign:
    """A draft with the same plan and no dates. Raises OutreachError: CAMPAIGN_NOT_FOUND, INVALID_NAME."""
    with transaction(asker.actor):
        wanted = replace(input_of(campaign(campaign_id)), name=name, start_date=None, end_date=None)
        plan_of(wanted)
        return _insert(_tidy(wanted), asker=asker, action="copy_campaign", copy_of=str(campaign_id))


def campaign(campaign_id: UUID, *, lock: str = "") -> Campaign:
    """One campaign; `lock` as "FOR NO KEY UPDATE", in a transaction. Raises OutreachError: CAMPAIGN_NOT_FOUND."""
    rows = fetch_dicts(f"SELECT * FROM comm_campaigns WHERE id = %s {lock}", (campaign_id,))
    if not rows:
        raise OutreachError("there is no such campaign", code="CAMPAIGN_NOT_FOUND", field="campaign_id")
    return campaign_from(rows[0])


def find(
    *, status: str | None = None, limit: int = 50, before: tuple[datetime, UUID] | None = None
) -> Sequence[Campaign]:
    """Campaigns by their making, latest first."""
    where = " AND status = %s" if status else ""
    where += " AND (created_at, id) < (%s, %s)" if before else ""
    values = (*([status] if status else ()), *(before or ()))
    sql = f"SELECT * FROM comm_campaigns WHERE true{where} ORDER BY created_at DESC, id DESC LIMIT %s"
    return [campaign_from(row) for row in fetch_dicts(sql, (*values, min(limit, _MOST_FOUND)))]


def input_of(one: Campaign) -> CampaignInput:
    """A campaign as what its next version starts from."""
    return CampaignInput(**{name: getattr(one, name) for name in _WRITTEN})


def checked(wanted: CampaignInput) -> CampaignInput:
    """What is written, as it is kept; in a transaction. Raises OutreachError as `create`."""
    plan = plan_of(wanted)
    require_organization(wanted.organization_id)
    require_segment(wanted)
    require_texts(plan, wanted.organization_id)
    return _tidy(wanted)


def require_draft(one: Campaign, *, based_on: int) -> None:
    """That it has not begun, and is as it was looked at. Raises OutreachError: CAMPAIGN_BEGUN, VERSION_CONFLICT."""
    if one.status != DRAFT:
        raise OutreachError(
            "the campaign has begun; copy it to change it", code="CAMPAIGN_BEGUN", present={"status": one.status}
        )
    if one.version != based_on:
        raise OutreachError(
            f"version {one.version} was written in the meantime",
            code="VERSION_CONFLICT",
            field="based_on",
            present={"version": one.version},
        )


def require_organization(organization_id: UUID | None) -> None:
    """That it is there. Raises OutreachError: ORGANIZATION_NOT_FOUND."""
    if organization_id is not None and not fetch_dicts(
        "SELECT 1 AS found FROM comm_organizations WHERE id = %s", (organization_id,)
    ):
        raise OutreachError("no such organisation", code="ORGANIZATION_NOT_FOUND", field="organization_id")


def require_segment(wanted: CampaignInput, *, lock: str = "") -> Mapping[str, Any]:
    """Its segment's row. Raises OutreachError: SEGMENT_NOT_FOUND, SEGMENT_ARCHIVED, SEGMENT_MISMATCH."""
    rows = fetch_dicts(f"SELECT * FROM patient_segments WHERE id = %s {lock}", (wanted.segment_id,))
    if not rows:
        raise OutreachError("there is no such segment", code="SEGMENT_NOT_FOUND", field="segment_id")
    if not rows[0]["is_active"]:
        raise OutreachError("this segment is archived", code="SEGMENT_ARCHIVED", field="segment_id")
    if wanted.organization_id and rows[0]["organization_id"] not in (None, wanted.organization_id):
        raise OutreachError("this segment is another organisation's", code="SEGMENT_MISMATCH", field="segment_id")
    return rows[0]


def campaign_from(row: Mapping[str, Any]) -> Campaign:
    """A row of the table as a campaign."""
    values = {each.name: row[each.name] for each in fields(Campaign) if each.name != "plan"}
    return Campaign(**values, plan=plan_of(CampaignInput(**{name: row[name] for name in _WRITTEN})))


def _insert(wanted: CampaignInput, *, asker: Asker, action: str, **more: str) -> Campaign:
    campaign_id = new_id()
    columns = {"id": campaign_id, "created_by": asker.actor, **_columns(wanted)}
    execute(
        f"INSERT INTO comm_campaigns ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
        tuple(columns.values()),
    )
    found = campaign(campaign_id)
    _log(asker, action, found, **more)
    return found


def _tidy(wanted: CampaignInput) -> CampaignInput:
    return replace(wanted, name=" ".join(wanted.name.split()), description=wanted.description.strip())


def _columns(wanted: CampaignInput) -> dict[str, Any]:
    values = {name: getattr(wanted, name) for name in _WRITTEN}
    return {name: json.dumps(value) if name in _DOCUMENTS else value for name, value in values.items()}


def _log(asker: Asker, action: str, one: Campaign, **more: str) -> None:
    log_action(asker.actor, action, detail={"campaign_id": str(one.id), "version": one.version, **more})
