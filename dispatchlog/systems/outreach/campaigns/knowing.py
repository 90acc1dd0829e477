"""What is asked about the patients of a batch before their steps are decided, for all of them at once. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach.campaigns import caps
from dispatchlog.systems.outreach.campaigns.conditions import Heard
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.segments.membership import members_among

# Found by the patient alone: a campaign has a million messages, and a patient a few. What went by another channel instead
# counts for its step. Whoever opened, clicked or answered something has it.
_HEARD = """
SELECT j.patient_id, coalesce(j.campaign_step, ''), bool_or(j.sent_at IS NOT NULL),
    bool_or(num_nonnulls(j.delivered_at, j.opened_at, j.clicked_at, j.replied_at) > 0 AND j.bounced_at IS NULL),
    bool_or(num_nonnulls(j.opened_at, j.clicked_at) > 0), bool_or(j.clicked_at IS NOT NULL),
    bool_or(num_nonnulls(j.replied_at, j.answered_at) > 0),
    bool_or(EXISTS (SELECT FROM comm_inbound i WHERE i.related_job_id = j.id AND i.intent = 'confirm')),
    bool_or(j.unsubscribed_at IS NOT NULL), max(j.due_at) FILTER (WHERE j.status IN ('PENDING', 'QUEUED'))
FROM comm_jobs j WHERE j.patient_id = ANY (%s::uuid[]) AND j.campaign_id IS NOT DISTINCT FROM %s GROUP BY 1, 2
"""
# A stop writes this too, for everybody who is reached at its address.
_SAID_NO = "SELECT DISTINCT patient_id FROM comm_consents WHERE patient_id = ANY (%s::uuid[]) AND NOT given AND at > %s"
_BOOKED = """
SELECT DISTINCT patient_id FROM comm_appointments
WHERE patient_id = ANY (%s::uuid[]) AND created_at > %s AND status <> 'cancelled'
"""
# Two statements: the second sees what was committed before the locks were given. Patients are locked in one order.
_OF_CAMPAIGNS = """
SELECT pg_advisory_xact_lock(hashtextextended('campaigns:' || p, 7240128)) FROM unnest(%(patients)s::uuid[]) p;
SELECT patient_id, coalesce(sent_at, greatest(scheduled_at, due_at)) FROM comm_jobs
WHERE patient_id = ANY (%(patients)s::uuid[]) AND campaign_id IS NOT NULL
    AND status <> 'CANCELLED' AND (status <> 'FAILED' OR in_doubt)
    AND coalesce(sent_at, greatest(scheduled_at, due_at)) > now() - %(back)s
"""


@dataclass(frozen=True, slots=True)
class Known:
    """About a batch's patients: what was heard of each step, and who said no, has an appointment since, or left."""

    heard: Mapping[UUID, Mapping[str, Heard]]
    said_no: Collection[UUID]
    booked: Collection[UUID]
    left: Collection[UUID]

    def fulfilled(self, patient_id: UUID) -> Mapping[str, bool]:
        """Each exit rule by its name."""
        heard = self.heard.get(patient_id, {}).values()
        return {
            "answered": any(each.answered for each in heard),
            "confirmed": any(each.confirmed for each in heard),
            "clicked": any(each.clicked for each in heard),
            "opted_out": patient_id in self.said_no or any(each.unsubscribed for each in heard),
            "left_segment": patient_id in self.left,
            "booked": patient_id in self.booked,
        }


def known(campaign: Campaign, patients: Sequence[UUID]) -> Known:
    """What its rules ask about these patients.

    Raises:
        OutreachError: as `membership.members_among`.
    """
    exits, since = campaign.plan.exits, campaign.audience_at
    return Known(
        _heard(campaign.id, patients),
        _those(_SAID_NO, as_uuids(patients), since) if "opted_out" in exits else (),
        _those(_BOOKED, as_uuids(patients), since) if "booked" in exits else (),
        {*patients} - members_among(campaign.segment_id, patients) if "left_segment" in exits else (),
    )


def of_campaigns(patients: Sequence[UUID]) -> Mapping[UUID, list[datetime]]:
    """When each patient gets or got something of any campaign, of the last month and in future; under the patients' locks,
    so that two campaigns cannot both be the last within a limit. In a transaction."""
    found: dict[UUID, list[datetime]] = defaultdict(list)
    for patient_id, at in fetch_all(_OF_CAMPAIGNS, {"patients": as_uuids(sorted(patients)), "back": caps.LOOKS_BACK}):
        found[patient_id].append(at)
    return found


def _heard(campaign_id: UUID, patients: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Heard]]:
    found: dict[UUID, dict[str, Heard]] = defaultdict(dict)
    for patient_id, step, *heard in fetch_all(_HEARD, (as_uuids(patients), campaign_id)):
        found[patient_id][step] = Heard(*heard)
    return found


def _those(sql: str, *params: object) -> set[UUID]:
    return {patient_id for (patient_id,) in fetch_all(sql, params)}
