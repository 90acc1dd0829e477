"""The queries of the campaigns' pages. Owns their SQL; changes nothing. Every one walks an index and ends early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.systems.outreach.stats.reading import COUNTS

MOST_COUNTED = 1_000
MOST_MOVES = 50
_SUMS = ", ".join(f"sum({name}_count)::bigint AS {name}" for name in COUNTS)


def segment_names(ids: Sequence[UUID]) -> dict[UUID, str]:
    """What these segments are called."""
    rows = fetch_dicts("SELECT id, name FROM patient_segments WHERE id = ANY (%s::uuid[])", (list(ids),))
    return {row["id"]: row["name"] for row in rows}


def sent_by_step(ids: Sequence[UUID]) -> dict[UUID, dict[str, dict[str, int]]]:
    """What was counted of these campaigns' messages, by step."""
    rows = fetch_dicts(
        f"SELECT campaign_id, step, {_SUMS} FROM comm_campaign_stats WHERE campaign_id = ANY (%s::uuid[])"
        " GROUP BY campaign_id, step",
        (list(ids),),
    )
    found: dict[UUID, dict[str, dict[str, int]]] = {}
    for row in rows:
        found.setdefault(row["campaign_id"], {})[row["step"]] = {name: row[name] for name in COUNTS}
    return found


def numbers_by_status() -> dict[str, int]:
    """How many campaigns stand how; of more than a thousand it says a thousand."""
    rows = fetch_dicts(
        "SELECT s.status, (SELECT count(*) FROM (SELECT 1 FROM comm_campaigns c WHERE c.status = s.status LIMIT %s) n)"
        " AS number FROM unnest(ARRAY['draft', 'active', 'paused', 'completed']) AS s(status)",
        (MOST_COUNTED,),
    )
    return {row["status"]: row["number"] for row in rows}


def moves_of(campaign_id: UUID) -> Sequence[Mapping[str, Any]]:
    """What was done to a campaign, the latest first."""
    return fetch_dicts(
        "SELECT at, actor, action, reason, detail FROM operator_actions WHERE detail ->> 'campaign_id' = %s"
        " ORDER BY id DESC LIMIT %s",
        (str(campaign_id), MOST_MOVES),
    )


def campaign_name(campaign_id: UUID) -> str:
    """What a campaign is called; "" where there is none."""
    rows = fetch_dicts("SELECT name FROM comm_campaigns WHERE id = %s", (campaign_id,))
    return str(rows[0]["name"]) if rows else ""
