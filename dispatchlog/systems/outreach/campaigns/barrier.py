"""Whether a campaign's messages may leave: asked by the gate, closed by every move that ends or pauses a campaign.

Whoever asks holds the campaign's lock with others, in the transaction that marks a message as leaving; whoever moves it
takes that lock alone before committing. So after the commit nothing is marked that was asked about before. It is a lock of
its own, not the row's: those who ask cannot keep somebody waiting for ever who wants it alone, and the worker that writes
the campaign's lines keeps nobody from asking.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, require_transaction
from dispatchlog.engine.lanes import Refusal, Row
from dispatchlog.engine.ledger import as_uuids

ASKED_AGAIN_AFTER = timedelta(minutes=1)
HANDING_OVER_SECONDS = 5.0
_LOOKS_AGAIN_AFTER_SECONDS = 0.02
# The space of these locks: hashes of ids under this seed.
_SEED = 7240126
_ENDED_EARLY = ("stopped", "end_date")


def objection(row: Row, now: datetime) -> Refusal | None:
    """Why a message of a campaign may not leave now: CAMPAIGN_PAUSED (asked again in a minute), CAMPAIGN_ENDED (never).
    None for what belongs to no campaign, and for the last messages of one that is finished. In the gate's transaction."""
    if row["campaign_id"] is None:
        return None
    require_transaction()
    _lock("pg_advisory_xact_lock_shared", row["campaign_id"])
    found = fetch_all("SELECT status, ended_reason FROM comm_campaigns WHERE id = %s", (row["campaign_id"],))
    for status, reason in found:
        if status == "paused":
            return Refusal("CAMPAIGN_PAUSED", "its campaign is paused", now + ASKED_AGAIN_AFTER)
        if reason in _ENDED_EARLY:
            return Refusal("CAMPAIGN_ENDED", "its campaign has ended")
    return None


def close(campaign_ids: Sequence[UUID]) -> None:
    """Wait for those who asked before, and let nobody ask until the transaction ends; the last thing before its commit.

    Raises:
        NotInTransaction: outside a transaction.
    """
    require_transaction()
    for campaign_id in sorted(campaign_ids):
        _lock("pg_advisory_xact_lock", campaign_id)


def wait_until_handed_over(campaign_ids: Sequence[UUID]) -> int:
    """After the commit: until nothing of these that was marked before is being handed to a provider; how many still were
    after a while, which no one can call back."""
    ends = time.monotonic() + HANDING_OVER_SECONDS
    sql = (
        "SELECT count(*) FROM comm_jobs WHERE campaign_id = ANY (%s::uuid[]) AND status IN ('PENDING', 'QUEUED')"
        " AND status = 'QUEUED' AND sending_at IS NOT NULL"
    )
    with connected():
        while (number := int(fetch_one(sql, (as_uuids([*campaign_ids]),))[0])) and time.monotonic() < ends:
            time.sleep(_LOOKS_AGAIN_AFTER_SECONDS)
    return number


def _lock(how: str, campaign_id: UUID) -> None:
    execute(f"SELECT {how}(hashtextextended(%s, {_SEED}))", (str(campaign_id),))
