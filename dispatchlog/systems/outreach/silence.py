"""Whether providers' webhooks have fallen silent, and whether what was stored waits. Reads; raises no alert itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.provider_words import ROUTES

# More than this are counted as this; and what is older than a day was missed on another day.
MOST_COUNTED = 1_000
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Silence:
    """A provider that should have told something: `since` the oldest message it has said nothing of."""

    provider: str
    since: datetime
    messages: int


_UNTOLD = """
SELECT min(sent_at) AS since, count(*) AS messages FROM (
    SELECT j.sent_at FROM comm_jobs j
    WHERE j.route = ANY (%(routes)s)
        AND j.sent_at > greatest(now() - %(day)s * interval '1 s',
            (SELECT max(received_at) FROM comm_events WHERE provider = %(provider)s))
        AND j.sent_at < now() - %(allowed)s * interval '1 s'
    ORDER BY j.sent_at LIMIT %(most)s) untold
HAVING count(*) > 0
"""
_WAITING = """
SELECT 'events', extract(epoch FROM clock_timestamp() - received_at)::float8 FROM
    (SELECT received_at FROM comm_events WHERE applied_at IS NULL ORDER BY id LIMIT 1) e
UNION ALL
SELECT 'answers', extract(epoch FROM clock_timestamp() - created_at)::float8 FROM
    (SELECT created_at FROM comm_inbound WHERE parsed_at IS NULL ORDER BY created_at LIMIT 1) i
"""


def silent_providers(*, allowed_seconds: int | None = None) -> Sequence[Silence]:
    """Providers of which some messages were accepted longer ago than the settings allow, and no webhook came since."""
    allowed = get_settings().outreach_silence_seconds if allowed_seconds is None else allowed_seconds
    found = []
    for provider, routes in ROUTES.items():
        values = {
            "provider": provider,
            "routes": list(routes),
            "allowed": allowed,
            "day": max(DAY_SECONDS, 2 * allowed),
            "most": MOST_COUNTED,
        }
        found += [Silence(provider, row["since"], row["messages"]) for row in fetch_dicts(_UNTOLD, values)]
    return found


def waiting_seconds() -> dict[str, float]:
    """For how long the oldest event waits to be applied, and the oldest answer of a patient to be read, where one does."""
    return dict(fetch_all(_WAITING))
