"""What is read for requests to write to patients, for many in as few statements as for one. Decides nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach.inputs import ScheduleInput
from dispatchlog.systems.outreach.states import Channel

About = Mapping[str, Any]
"""A request's patient, provider, organisation and appointment, and the job that its key has made already."""
Texts = Mapping[tuple[UUID, Channel, bool], Sequence[datetime]]
"""When a patient gets or got something by a channel, marketing or not, of the last days and in future."""

_ABOUT = """
SELECT r.n, p.id AS patient_id, p.name_sealed, v.id AS provider_id, coalesce(v.name, '') AS provider_name,
    coalesce(o.name, '') AS organization_name, coalesce(o.phone, '') AS organization_phone, a.id AS appointment_id,
    a.starts_at, a.status AS appointment_status, coalesce(a.timezone, '') AS appointment_timezone,
    j.id AS job_id, j.request_sha256, j.scheduled_at, j.channel, j.decision
FROM unnest(%(patients)s::uuid[], %(appointments)s::uuid[], %(keys)s::text[])
    WITH ORDINALITY AS r (patient_id, appointment_id, key, n)
JOIN patients p ON p.id = r.patient_id
LEFT JOIN comm_appointments a ON a.id = r.appointment_id AND a.patient_id = p.id
LEFT JOIN comm_providers v ON v.id = coalesce(a.provider_id, p.provider_id)
LEFT JOIN comm_organizations o ON o.id = coalesce(p.organization_id, v.organization_id)
LEFT JOIN comm_jobs j ON j.request_key = r.key
"""
# Two statements in one question: the second sees what was committed before the locks were given. Whoever locks several
# patients locks them in the same order.
_LOCK_TEXTS = """
SELECT pg_advisory_xact_lock(hashtextextended('texts:' || p, 7240125)) FROM unnest(%(patients)s::uuid[]) p;
"""
_TEXTS = f"""{_LOCK_TEXTS}
SELECT patient_id, channel, is_marketing, coalesce(sent_at, greatest(scheduled_at, due_at)) FROM comm_jobs
WHERE patient_id = ANY (%(patients)s::uuid[]) AND scheduled_at > now() - interval '8 days'
    AND NOT is_urgent AND status <> 'CANCELLED' AND (status <> 'FAILED' OR in_doubt)
"""
# In doubt: it may have left.
_LEFT = f"""{_LOCK_TEXTS}
SELECT coalesce(sent_at, sending_at, updated_at) FROM comm_jobs
WHERE patient_id = ANY (%(patients)s::uuid[]) AND channel = %(channel)s AND is_marketing = %(marketing)s AND NOT is_urgent
    AND id <> %(but)s
    AND (sent_at > now() - interval '8 days' OR in_doubt OR (status = 'QUEUED' AND sending_at IS NOT NULL))
"""


def read_abouts(wanted: Sequence[tuple[ScheduleInput, str | None]]) -> list[About | None]:
    """For each request with its key what is stored about it; None where there is no such patient."""
    names = {
        "patients": as_uuids([each.patient_id for each, _ in wanted]),
        "appointments": [str(each.appointment_id) if each.appointment_id else None for each, _ in wanted],
        "keys": [key for _, key in wanted],
    }
    found = {row["n"]: row for row in fetch_dicts(_ABOUT, names)}
    return [found.get(number) for number in range(1, len(wanted) + 1)]


def read_texts(patients: Iterable[UUID]) -> Texts:
    """What counts towards these patients' limits, under their locks, so that two requests cannot both be the first of a
    day. In a transaction.
    """
    found: dict[tuple[UUID, Channel, bool], list[datetime]] = defaultdict(list)
    asked = sorted(patients)
    if asked:
        for patient_id, channel, is_marketing, at in fetch_all(_TEXTS, {"patients": as_uuids(asked)}):
            found[patient_id, Channel(channel), is_marketing].append(at)
    return found


def texts_that_left(patient_id: UUID, channel: Channel, *, marketing: bool, but: UUID) -> list[datetime]:
    """When what counts towards a patient's limits left or may have left, of the last days, besides this job; under the
    patient's lock of `read_texts`, so that two cannot both be the last of a day. In a transaction.
    """
    names = {"patients": as_uuids([patient_id]), "channel": str(channel), "marketing": marketing, "but": but}
    return [at for (at,) in fetch_all(_LEFT, names)]
