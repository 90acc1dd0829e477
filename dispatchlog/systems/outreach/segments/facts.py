"""What rules may ask of one patient, read from the database. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.systems.outreach.patients import not_found

Facts = Mapping[str, Any]
"""A patient as rules see them: a value per field (None or (): not known), a list of mappings per collection; `id` and
`birth_date` instead of `bucket` and `age`."""

_PATIENT = """
SELECT p.id, p.birth_date, p.gender, p.country, p.region, p.provider_id AS provider, p.tags, p.active,
    p.created_at AS registered, p.language AS core_language, p.timezone AS core_timezone,
    r.language, r.timezone, r.marketing_opt_in_email AS marketing_email, r.marketing_opt_in_sms AS marketing_sms,
    r.marketing_opt_in_whatsapp AS marketing_whatsapp, p.organization_id AS organization,
    v.organization_id AS organization_of_provider,
    ARRAY(SELECT channel::text FROM comm_addresses WHERE patient_id = p.id) AS channels
FROM patients p LEFT JOIN patient_comm_prefs r ON r.patient_id = p.id LEFT JOIN comm_providers v ON v.id = p.provider_id
WHERE p.id = %s
"""
_THINGS = {
    "messages": """
        SELECT channel, purpose, campaign_id AS campaign, sent_at AS sent, delivered_at AS delivered, opened_at AS opened,
            clicked_at AS clicked, replied_at AS replied, bounced_at AS bounced, unsubscribed_at AS unsubscribed
        FROM comm_jobs WHERE patient_id = %s AND sent_at IS NOT NULL""",
    "appointments": """
        SELECT starts_at AS starts, status, provider_id AS provider, place FROM comm_appointments WHERE patient_id = %s""",
    "answers": "SELECT channel, intent, created_at AS received FROM comm_inbound WHERE patient_id = %s",
    "consents": "SELECT channel, purpose_class AS class, given, at FROM comm_consents WHERE patient_id = %s",
    "stops": """
        SELECT channel, stopped_at AS at FROM comm_addresses JOIN comm_stops USING (channel, address_hash)
        WHERE patient_id = %s""",
    "events": """
        WITH whose AS (SELECT %s::uuid AS id)
        SELECT kind, coalesce(occurred_at, received_at) AS at FROM comm_core_events
        WHERE subject_id = (SELECT id FROM whose)
        UNION ALL SELECT kind, coalesce(occurred_at, received_at) FROM comm_core_events JOIN comm_appointments a
            ON a.id = subject_id WHERE a.patient_id = (SELECT id FROM whose)""",
}


def facts_of(patient_id: UUID) -> Facts:
    """What rules may ask of one patient.

    Raises:
        OutreachError: PATIENT_NOT_FOUND.
    """
    with connected():
        rows = fetch_dicts(_PATIENT, (patient_id,))
        if not rows:
            raise not_found(patient_id)
        things = {name: [_known(row) for row in fetch_dicts(sql, (patient_id,))] for name, sql in _THINGS.items()}
    row = _known(rows[0])
    channels = row.pop("channels") or ()
    for name in ("language", "timezone"):
        reported = row.pop(f"core_{name}")
        row[name] = reported if row[name] is None else row[name]
    of_provider = row.pop("organization_of_provider")
    row["organization"] = row["organization"] or of_provider
    row.update({f"has_{each}": each in channels for each in ("email", "sms", "whatsapp")})
    row.update({f"marketing_{each}": bool(row[f"marketing_{each}"]) for each in ("email", "sms", "whatsapp")})
    return {**row, **things}


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with None for what is empty, and lists as tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else None if value == "" else value for name, value in row.items()
    }
