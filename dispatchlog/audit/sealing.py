"""Makes the seals, a batch at a time, beside the writers. Owns the writing of `audit_seals`.

Several at once make one chain: whoever has the lock seals, the others find nothing to do. A seal is there with its whole
batch or not at all, so one who is killed leaves a shorter chain, and the next goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import astuple, replace

import structlog

from dispatchlog.audit.chain import COLUMNS, ENCODING, FIRST_ID, NOTHING, SOURCES, Seal, chain, chain_key, seal_of
from dispatchlog.audit.horizon import Horizon
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.deadline import boottime

log = structlog.get_logger(__name__)

# The most rows of one seal: what an edit is narrowed down to, and what retention takes at a time.
BATCH_ROWS = 10_000
# How long one turn goes on; what is left is the next one's.
TURN_SECONDS = 5.0
# Sealing and pruning take turns by this.
_TURN = "SELECT pg_try_advisory_xact_lock(7240129, 2)"
_HEAD = f"SELECT {COLUMNS} FROM audit_seals ORDER BY number DESC LIMIT 1"


def head() -> Seal | None:
    """The newest seal; None while there is none."""
    with connected():
        found = fetch_all(_HEAD)
    return seal_of(found[0]) if found else None


def seal_all(horizon: Horizon, *, who: str) -> int:
    """Seal what is settled, until nothing is left or TURN_SECONDS are over; how many rows that were."""
    ends, total = boottime() + TURN_SECONDS, 0
    settled = horizon.settled()
    while settled and boottime() < ends:
        rows = seal_once(settled, who=who)
        if not rows:
            break
        total += rows
    return total


def seal_once(settled: Mapping[str, int], *, who: str) -> int:
    """Add a seal for each source that has rows up to its settled number; how many rows. 0 too where another one seals."""
    key = chain_key()  # before the seal's time is read: no seal is older than the data key that it is made under
    with transaction(f"audit:{who}"):
        if not fetch_one(_TURN)[0]:
            return 0
        found = fetch_all(_HEAD)
        last = seal_of(found[0]) if found else None
        made = []
        for source in SOURCES:
            if source in settled and (seal := _next(source, settled[source], last, key)) is not None:
                _store(seal)
                made.append(seal)
                last = seal
    if made:
        # Where logs are kept elsewhere this is an anchor too.
        log.info(
            "AUDIT_SEALED", number=made[-1].number, rows=sum(s.row_count for s in made), head=made[-1].chained.hex()
        )
    return sum(seal.row_count for seal in made)


def _next(source: str, settled: int, last: Seal | None, key: bytes) -> Seal | None:
    after = fetch_one("SELECT coalesce(max(last_id), %s) FROM audit_seals WHERE source = %s", (FIRST_ID, source))[0]
    if settled <= after:
        return None
    end = fetch_one("SELECT dispatchlog_audit_end(%s, %s, %s, %s)", (source, after, settled, BATCH_ROWS))[0]
    if end is None:
        return None
    salt = os.urandom(16)
    rows, digest, now = fetch_one(
        "SELECT row_count, digest, clock_timestamp() FROM dispatchlog_audit_digest(%s, %s, %s, %s)",
        (source, after, end, salt),
    )
    seal = Seal(
        number=last.number + 1 if last else 1,
        source=source,
        after_id=after,
        last_id=end,
        row_count=rows,
        encoding=ENCODING,
        salt=salt,
        digest=bytes(digest),
        previous=last.chained if last else NOTHING,
        sealed_at=now,
    )
    return replace(seal, chained=chain(seal, key))


def _store(seal: Seal) -> None:
    values = astuple(seal)
    execute(f"INSERT INTO audit_seals ({COLUMNS}) VALUES ({', '.join(['%s'] * len(values))})", values)
