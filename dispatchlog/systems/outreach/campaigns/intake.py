"""Who is meant by a campaign, settled in one statement and one moment. Owns `comm_campaign_audience`.

Whatever a segment says later changes nothing of it, so batches that are written out of it hours later are of one piece.
"""

from __future__ import annotations

from dispatchlog.engine.database import connected, execute, fetch_all
from dispatchlog.systems.outreach.campaigns import audience, store
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.segments.membership import whole_tables

AT_ONCE = 20_000
SETTLE_SECONDS = 300.0
# One after the other: of two that begin at once and leave out each other's patients the second sees the first's.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7240126, 1)"
_SETTLE = """
INSERT INTO comm_campaign_audience (campaign_id, patient_id)
SELECT %s, p.id FROM patients p WHERE {where}
"""
# Paused or stopped while it was asked: nothing of it is kept, and it is asked again when it goes on.
_SETTLED = """
UPDATE comm_campaigns SET audience_at = now(), audience = %s WHERE id = %s AND status = 'active' AND audience_at IS NULL
"""
# A loose index scan: one probe per campaign that has an audience here.
_LEFT_OVER = """
WITH RECURSIVE a AS ((SELECT campaign_id FROM comm_campaign_audience ORDER BY campaign_id LIMIT 1) UNION ALL
    SELECT n.campaign_id FROM a CROSS JOIN LATERAL (SELECT o.campaign_id FROM comm_campaign_audience o
        WHERE o.campaign_id > a.campaign_id ORDER BY o.campaign_id LIMIT 1) n)
SELECT c.id FROM a JOIN comm_campaigns c ON c.id = a.campaign_id
WHERE c.expanded_at IS NOT NULL OR c.status = 'completed'
"""
_EMPTY = """
WITH gone AS MATERIALIZED (SELECT patient_id FROM comm_campaign_audience WHERE campaign_id = %(id)s
    ORDER BY patient_id LIMIT %(limit)s)
DELETE FROM comm_campaign_audience a USING gone WHERE a.campaign_id = %(id)s AND a.patient_id = gone.patient_id
"""


def settle(campaign: Campaign) -> int | None:
    """Settle who is meant, without patients of other campaigns where it leaves them out; how many, or None where it is not
    active any more, and then nothing is to be kept. In a transaction, which the caller rolls back on None.

    Raises:
        OutreachError: as `audience.meant`; SEGMENT_TOO_SLOW.
    """
    execute(_ONE_AT_A_TIME)
    wanted = store.input_of(campaign)
    meant = audience.meant(wanted, store.require_segment(wanted))
    if campaign.overlap == "exclude":
        meant = audience.without(meant, audience.elsewhere(wanted, but=campaign.id))
    with whole_tables(seconds=SETTLE_SECONDS):
        number = int(execute(_SETTLE.format(where=meant.where), (campaign.id, *meant.params)).rowcount)
    return number if execute(_SETTLED, (number, campaign.id)).rowcount else None


def empty() -> int:
    """Take away a batch of what was written out, of one campaign; how many."""
    with connected():
        found = fetch_all(_LEFT_OVER)
        return int(execute(_EMPTY, {"id": found[0][0], "limit": AT_ONCE}).rowcount) if found else 0
