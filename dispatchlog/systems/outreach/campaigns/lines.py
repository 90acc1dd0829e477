"""Lines of campaigns, one for each patient and step: taken, kept, ended. Owns `comm_campaign_sends`; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_all
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach.campaigns import clock
from dispatchlog.systems.outreach.campaigns.store import Campaign

WAITING, MADE, SKIPPED = "WAITING", "MADE", "SKIPPED"
_LONGEST_REASON = 32

_CLAIM = """
SELECT step, patient_id, variant, due_at FROM comm_campaign_sends
WHERE campaign_id = %s AND state = 'WAITING' AND due_at <= now() ORDER BY due_at, patient_id
LIMIT %s FOR UPDATE SKIP LOCKED
"""
# Not by its state: the index of what is due would be walked from its beginning for each line.
_WRITE = """
UPDATE comm_campaign_sends s SET state = n.state, reason = n.reason, variant = n.variant, due_at = n.due_at,
    job_id = n.job_id, decided_at = CASE WHEN n.state <> 'WAITING' THEN now() END
FROM unnest(%(steps)s::text[], %(patients)s::uuid[], %(states)s::text[], %(reasons)s::text[], %(variants)s::text[],
    %(dues)s::timestamptz[], %(jobs)s::uuid[]) AS n (step, patient_id, state, reason, variant, due_at, job_id)
WHERE s.campaign_id = %(campaign)s AND s.step = n.step AND s.patient_id = n.patient_id AND s.decided_at IS NULL
"""
_FOLLOW = """
INSERT INTO comm_campaign_sends (campaign_id, step, patient_id, variant, due_at)
SELECT %(campaign)s, n.* FROM unnest(%(steps)s::text[], %(patients)s::uuid[], %(variants)s::text[],
    %(dues)s::timestamptz[]) AS n (step, patient_id, variant, due_at)
ON CONFLICT DO NOTHING
"""
_END = """
WITH ended AS MATERIALIZED (SELECT step, patient_id FROM comm_campaign_sends
    WHERE campaign_id = %(id)s AND state = 'WAITING' ORDER BY due_at, patient_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE comm_campaign_sends s SET state = 'SKIPPED', reason = %(reason)s, decided_at = now()
FROM ended e WHERE s.campaign_id = %(id)s AND s.step = e.step AND s.patient_id = e.patient_id
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One step that is due for one patient."""

    step: str
    patient_id: UUID
    variant: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of a line. `follows_at`: from when what comes after it is counted; None: nothing comes, or not yet."""

    line: Line
    state: str
    reason: str
    due_at: datetime
    variant: str
    job_id: UUID | None = None
    follows_at: datetime | None = None


def made(line: Line, job_id: UUID, at: datetime, *, variant: str) -> Decided:
    """It has a message, which is planned for that instant."""
    return Decided(line, MADE, "", line.due_at, variant, job_id, at)


def skipped(line: Line, reason: str) -> Decided:
    """There is no message for it, and what comes after it comes all the same."""
    return Decided(line, SKIPPED, reason[:_LONGEST_REASON], line.due_at, line.variant, follows_at=line.due_at)


def left(line: Line, reason: str) -> Decided:
    """The patient is out of the campaign, and nothing comes any more."""
    return Decided(line, SKIPPED, reason[:_LONGEST_REASON], line.due_at, line.variant)


def put_off(line: Line, reason: str, until: datetime) -> Decided:
    """It is asked again then."""
    return Decided(line, WAITING, reason[:_LONGEST_REASON], until, line.variant)


def claim(campaign_id: UUID, *, limit: int) -> list[Line]:
    """Lines that are due and nobody else has in hand, the first due first, until the transaction ends."""
    return [Line(*row) for row in fetch_all(_CLAIM, (campaign_id, limit))]


def write(campaign: Campaign, decided: Sequence[Decided]) -> None:
    """Keep what was decided, and give what comes after it a line. In the transaction that claimed the lines."""
    if not decided:
        return
    execute(
        _WRITE,
        {
            "campaign": campaign.id,
            "steps": [each.line.step for each in decided],
            "patients": as_uuids([each.line.patient_id for each in decided]),
            "states": [each.state for each in decided],
            "reasons": [each.reason for each in decided],
            "variants": [each.variant for each in decided],
            "dues": [each.due_at for each in decided],
            "jobs": [str(each.job_id) if each.job_id else None for each in decided],
        },
    )
    _follow(campaign, decided)


def end(campaign_id: UUID, *, reason: str, limit: int) -> int:
    """Decide a batch of what waits: it is not made any more; how many."""
    return int(execute(_END, {"id": campaign_id, "reason": reason, "limit": limit}).rowcount)


def _follow(campaign: Campaign, decided: Sequence[Decided]) -> None:
    following = [
        (step.key, each, clock.later(each.follows_at, step.offset, campaign.timezone))
        for each in decided
        if each.follows_at is not None
        for step in campaign.plan.steps
        if step.after == each.line.step
    ]
    if following:
        execute(
            _FOLLOW,
            {
                "campaign": campaign.id,
                "steps": [key for key, _, _ in following],
                "patients": as_uuids([each.line.patient_id for _, each, _ in following]),
                "variants": [each.variant for _, each, _ in following],
                "dues": [due_at for _, _, due_at in following],
            },
        )
