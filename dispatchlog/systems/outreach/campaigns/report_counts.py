"""Counting what became of a campaign. Owns `comm_campaign_reports`: what was counted of large ones, kept for the pages."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import BY_INDEX, execute, fetch_all, fetch_dicts, transaction

# A campaign of no more patients is counted whenever somebody asks.
COUNTED_AT_ONCE = 5_000
# What is kept is counted anew after so long, and after so many times as long as counting took.
REFRESH = timedelta(seconds=30)
REFRESH_ENDED = timedelta(hours=1)
MOST_OF_THE_TIME = 20
# Answers to a campaign come in for so long after it is over.
ENDED_DAYS = 30
MOST_SECONDS = 600

_LINES = """
SELECT step, variant, state, reason, count(*) FROM comm_campaign_sends WHERE campaign_id = %(id)s
GROUP BY step, variant, state, reason ORDER BY step, variant, state, reason
"""

# A patient counts once. Whoever got their first message after the winner was taken was not drawn by lot any more.
_VARIANTS = """
SELECT variant, count(*) FILTER (WHERE sent), count(*) FILTER (WHERE sent AND reached) FROM (
    SELECT j.patient_id, max(j.ab_variant) AS variant, bool_or(j.sent_at IS NOT NULL) AS sent, bool_or({goal}) AS reached
    FROM comm_jobs j WHERE j.campaign_id = %(id)s AND j.ab_variant IS NOT NULL
    GROUP BY j.patient_id HAVING min(j.created_at) < coalesce(%(winner_at)s, 'infinity'::timestamptz)
) patients GROUP BY variant
"""
_GOALS = {
    "answered": "j.replied_at IS NOT NULL OR j.answered_at IS NOT NULL",
    "clicked": "j.clicked_at IS NOT NULL",
    "confirmed": (
        "EXISTS (SELECT FROM comm_inbound i WHERE i.related_job_id = j.id AND i.intent = 'confirm')"
        " OR EXISTS (SELECT FROM comm_appointments a WHERE a.id = j.appointment_id AND a.confirmed_at >= j.sent_at)"
    ),
}

_GROUPS = """
SELECT s.state = 'HELD_OUT', count(*), count(*) FILTER (WHERE a.booked), count(*) FILTER (WHERE a.kept),
    count(*) FILTER (WHERE a.missed)
FROM comm_campaign_sends s
LEFT JOIN LATERAL (
    SELECT true AS booked, bool_or(status = 'completed') AS kept, bool_or(status = 'no_show') AS missed
    FROM comm_appointments WHERE patient_id = s.patient_id AND created_at >= %(audience_at)s HAVING count(*) > 0
) a ON true
WHERE s.campaign_id = %(id)s AND s.step = %(first)s GROUP BY 1
"""
_NAMES = ("patients", "booked", "kept", "missed")

_STALE = """
SELECT c.id FROM comm_campaigns c LEFT JOIN comm_campaign_reports r ON r.campaign_id = c.id
WHERE c.audience > %(least)s AND c.audience_at IS NOT NULL
    AND (c.ended_at IS NULL OR c.ended_at > now() - make_interval(days => %(days)s) OR r.taken_at IS NULL)
    AND (r.taken_at IS NULL OR r.taken_at < c.ended_at OR r.taken_at < now() - greatest(
        CASE WHEN c.ended_at IS NULL THEN %(often)s ELSE %(seldom)s END, make_interval(secs => %(times)s * r.seconds)))
ORDER BY r.taken_at NULLS FIRST
"""
_KEEP = """
INSERT INTO comm_campaign_reports (campaign_id, counted, seconds, taken_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (campaign_id) DO UPDATE SET
    counted = excluded.counted, seconds = excluded.seconds, taken_at = excluded.taken_at
WHERE comm_campaign_reports.taken_at <= excluded.taken_at
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines by step, variant, state and reason; patients and who reached the goal by variant; what the control group
    and the others booked, kept and missed. `taken_at` None: not counted yet."""

    lines: list[tuple[str, str, str, str, int]]
    variants: Mapping[str, tuple[int, int]]
    control: Mapping[str, int]
    treated: Mapping[str, int]
    taken_at: datetime | None


NOT_YET = Counted([], {}, dict.fromkeys(_NAMES, 0), dict.fromkeys(_NAMES, 0), None)


def count(campaign: Mapping[str, Any]) -> Counted:
    """Count now; `campaign` is its row."""
    with transaction("campaign report"):
        _plan_freely()
        return _count(campaign)


def kept(campaign_id: UUID) -> Counted:
    """What was counted last."""
    found = fetch_all("SELECT counted, taken_at FROM comm_campaign_reports WHERE campaign_id = %s", (campaign_id,))
    if not found:
        return NOT_YET
    document, taken_at = found[0]
    return Counted(
        [tuple(line) for line in document["lines"]],
        {key: tuple(found) for key, found in document["variants"].items()},
        document["control"],
        document["treated"],
        taken_at,
    )


def refresh() -> int:
    """The clock's: count anew what is kept of large campaigns and not fresh any more; how many."""
    given = {
        "least": COUNTED_AT_ONCE,
        "days": ENDED_DAYS,
        "often": REFRESH,
        "seldom": REFRESH_ENDED,
        "times": MOST_OF_THE_TIME,
    }
    with transaction("campaign report"):
        stale = [row[0] for row in fetch_all(_STALE, given)]
    for campaign_id in stale:
        _refresh(campaign_id)
    return len(stale)


def _refresh(campaign_id: UUID) -> None:
    with transaction("campaign report"):
        _plan_freely()
        begun = time.monotonic()
        (campaign,) = fetch_dicts("SELECT * FROM comm_campaigns WHERE id = %s", (campaign_id,))
        found = _count(campaign)
        document = {
            "lines": found.lines,
            "variants": found.variants,
            "control": found.control,
            "treated": found.treated,
        }
        execute(_KEEP, (campaign_id, json.dumps(document), time.monotonic() - begun, found.taken_at))


def _count(campaign: Mapping[str, Any]) -> Counted:
    taken_at = datetime.now(UTC)
    given = {
        "id": campaign["id"],
        "winner_at": campaign["winner_at"],
        "audience_at": campaign["audience_at"],
        "first": campaign["steps"][0]["key"],
    }
    variants = {}
    if campaign["ab_variants"].get("variants"):
        counted = _VARIANTS.format(goal=_GOALS[campaign["ab_variants"].get("goal", "answered")])
        variants = {key: (patients, reached) for key, patients, reached in fetch_all(counted, given)}
    groups = {held: dict(zip(_NAMES, counts, strict=True)) for held, *counts in fetch_all(_GROUPS, given)}
    nobody = dict.fromkeys(_NAMES, 0)
    return Counted(fetch_all(_LINES, given), variants, groups.get(True, nobody), groups.get(False, nobody), taken_at)


def _plan_freely() -> None:
    """A worker's connections are kept from every plan but those by index; these are for whole campaigns."""
    for setting in BY_INDEX:
        execute(f"SET LOCAL {setting} = on")
    execute(f"SET LOCAL statement_timeout = '{MOST_SECONDS}s'")
