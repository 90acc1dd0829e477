"""From an audience to a line per patient: `comm_campaign_sends`, in batches that can be broken off anywhere and go on.

First who is meant is settled in one statement, in one moment (`comm_campaign_audience`); then batches in the order of ids,
each with where it ended in one transaction, so no patient is taken twice or left out. Whoever is drawn for the control
group gets a line HELD_OUT and nothing else.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.systems.outreach.campaigns import clock, drawing, intake, store
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError

log = structlog.get_logger(__name__)

BATCH = 20_000
ACTOR = "system:campaigns"
_FIRST = UUID(int=0)

_TO_EXPAND = """
SELECT id FROM comm_campaigns WHERE status = 'active' AND expanded_at IS NULL ORDER BY started_at, id
"""
# One process at a time; the lock goes with the transaction, so nobody keeps it who is killed.
_MINE = "SELECT pg_try_advisory_xact_lock(7240127, hashtext(%s))"
# The bucket is computed once for each patient, and the batch ends where the next one begins.
_LINES = """
WITH chosen AS MATERIALIZED (SELECT patient_id FROM comm_campaign_audience WHERE campaign_id = %s AND patient_id > %s
        ORDER BY patient_id LIMIT %s),
    drawn AS MATERIALIZED (SELECT patient_id, comm_bucket(patient_id, %s) AS lot, comm_bucket(patient_id, %s) AS bucket
        FROM chosen),
    judged AS (SELECT patient_id, {variant} AS variant, {held_out} AS held_out FROM drawn),
    written AS (INSERT INTO comm_campaign_sends (campaign_id, step, patient_id, variant, state, due_at, reason, decided_at)
        SELECT %s, %s, patient_id, CASE WHEN held_out THEN '' ELSE variant END,
            CASE WHEN held_out THEN 'HELD_OUT' ELSE 'WAITING' END, %s, CASE WHEN held_out THEN 'CONTROL' ELSE '' END,
            CASE WHEN held_out THEN now() END FROM judged)
SELECT count(*), (SELECT patient_id FROM chosen ORDER BY patient_id DESC LIMIT 1) FROM chosen
"""
# In the batch's transaction: one that was paused meanwhile takes its batch back.
_REACHED = """
UPDATE comm_campaigns SET expanded_to = %s, expanded_at = CASE WHEN %s THEN now() END WHERE id = %s AND status = 'active'
"""


class _NotActiveError(Exception):
    """It was paused or stopped while a batch was written; the batch is undone."""


def expand(campaign_id: UUID, *, batches: int | None = None) -> int:
    """Go on with an active campaign's expansion, to its end or for so many batches; how many lines were written. Nothing
    for a campaign that is not active or is expanded. One process at a time, by an advisory lock.

    Raises:
        OutreachError: CAMPAIGN_NOT_FOUND; as `membership.audience_of`, where the segment cannot be asked any more.
    """
    written, done = 0, 0
    while (batches is None or done < batches) and (lines := _next(campaign_id)) is not None:
        written += lines
        done += 1
    return written


def expand_all(*, batches: int | None = None) -> int:
    """Go on with all that are active and not expanded, each to its end or for so many batches; how many lines were written.
    One that cannot be expanded is logged as CAMPAIGN_NOT_EXPANDED and holds up no other."""
    written = 0
    with connected():
        for (campaign_id,) in fetch_all(_TO_EXPAND):
            try:
                written += expand(campaign_id, batches=batches)
            except OutreachError as error:
                log.error("CAMPAIGN_NOT_EXPANDED", campaign_id=str(campaign_id), code=error.code, field=error.field)
    return written


def _next(campaign_id: UUID) -> int | None:
    """Settle who is meant where nobody has, then write a batch of lines; how many. None: there is nothing to do."""
    try:
        with transaction(ACTOR):
            if not fetch_one(_MINE, (str(campaign_id),))[0]:
                return None
            # Read under the lock: what another process has just written is seen.
            campaign = store.campaign(campaign_id)
            if campaign.status != "active" or campaign.expanded_at is not None:
                return None
            if campaign.audience_at is not None:
                return _lines(campaign)
            if intake.settle(campaign) is None:
                raise _NotActiveError
    except _NotActiveError:
        return None
    return _next(campaign_id)


def _lines(campaign: Campaign) -> int:
    assert campaign.audience_at is not None  # noqa: S101  (for the type checker)
    first = campaign.plan.steps[0]
    due_at = clock.first_due(campaign.audience_at, campaign.start_date, first.offset, campaign.timezone)
    variant, shares = drawing.variant_sql("bucket", campaign.plan.variants.shares)
    held_out, percent = drawing.held_out_sql("lot", campaign.control_percent)
    values = (
        *(campaign.id, campaign.expanded_to or _FIRST, BATCH, drawing.control_salt(campaign.id), str(campaign.id)),
        *shares,
        *percent,
        *(campaign.id, first.key, due_at),
    )
    number, last = fetch_one(_LINES.format(variant=variant, held_out=held_out), values)
    if not execute(_REACHED, (last or campaign.expanded_to, number < BATCH, campaign.id)).rowcount:
        raise _NotActiveError
    return int(number)
