"""Reading the figures: funnel, trends, by channel and purpose. Includes what is not added up yet. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from uuid import UUID

from dispatchlog.engine.database import connected, fetch_dicts

COUNTS = ("sent", "delivered", "opened", "clicked", "replied", "bounced", "unsubscribed")
COLUMNS = ("date", "organization_id", "provider_id", "channel", "purpose")
_NAMES = ", ".join(f"{name}_count" for name in COUNTS)
_SUMS = ", ".join(f"coalesce(sum({name}_count), 0)::bigint AS {name}" for name in COUNTS)
_CAMPAIGN = f"""
SELECT step, variant, channel, {_SUMS} FROM (
    SELECT step, variant, channel, {_NAMES} FROM comm_campaign_stats WHERE campaign_id = %(id)s
    UNION ALL SELECT step, variant, channel, {_NAMES} FROM comm_stat_changes WHERE campaign_id = %(id)s
) found GROUP BY step, variant, channel ORDER BY step, variant, channel
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: days (UTC, both included), and only those of what is given."""

    first: date
    last: date
    organization_id: UUID | None = None
    provider_id: UUID | None = None
    channel: str | None = None
    purpose: str | None = None


def totals(wanted: Wanted) -> Mapping[str, int]:
    """Each of COUNTS."""
    (found,) = _read(wanted, ())
    return found


def by(wanted: Wanted, *names: str) -> Sequence[Mapping[str, object]]:
    """COUNTS for each combination of the columns named: date, organization_id, provider_id, channel, purpose."""
    unknown = set(names) - set(COLUMNS)
    if unknown or not names:
        raise ValueError(f"figures are by {', '.join(COLUMNS)}, not by {', '.join(sorted(unknown)) or 'nothing'}")
    return _read(wanted, names)


def campaign_counts(campaign_id: UUID) -> Sequence[Mapping[str, object]]:
    """COUNTS by step, variant and channel."""
    with connected():
        return fetch_dicts(_CAMPAIGN, {"id": campaign_id})


def _read(wanted: Wanted, names: Sequence[str]) -> list[dict[str, int]]:
    """Both tables in one statement: what is being added up is in one of them and not in the other."""
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    only = "".join(f" AND {name} = %({name})s" for name in COLUMNS[1:] if name in given)
    of_both = " UNION ALL ".join(
        f"SELECT {', '.join((*names, _NAMES))} FROM {table} WHERE date BETWEEN %(first)s AND %(last)s{only}"
        for table in ("comm_stats", "comm_stat_changes")
    )
    columns = ", ".join((*names, _SUMS))
    grouped = f" GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}" if names else ""
    with connected():
        return fetch_dicts(f"SELECT {columns} FROM ({of_both}) found{grouped}", given)
