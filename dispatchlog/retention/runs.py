"""Letting old rows go, in small batches with pauses, through the owner's one function. Owns no table and no rule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import peewee
import psycopg2
import structlog

from dispatchlog.engine.database import connected, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.retention.policies import Policy, policies
from dispatchlog.settings import Settings, get_settings

log = structlog.get_logger(__name__)

# So many rows in one transaction: each row's locks are held for as long as a batch takes, some tens of milliseconds.
BATCH = 500
# Between two batches others have their turn, and the log that is written has time to reach the disk.
PAUSE_SECONDS = 0.05
# So many rows of one policy in one run; the next hour goes on.
MOST_PER_RUN = 50_000
# The database refuses to prune the audit before it is anchored and counted.
_NOT_YET = "DL005"


@dataclass(frozen=True, slots=True)
class Retired:
    """What one run did of one policy; `more`: it stopped at its limit; `refused`: why it did not go on, or ""."""

    policy: str
    rows: int
    more: bool
    refused: str = ""


def run(
    *,
    actor: str,
    chosen: Sequence[Policy] | None = None,
    most: int = MOST_PER_RUN,
    batch: int = BATCH,
    pause: Callable[[], object] = lambda: time.sleep(PAUSE_SECONDS),
) -> list[Retired]:
    """Let go what is due, policy by policy; those of which something left, or was refused, come back. May be ended at any
    time.

    Raises:
        peewee.DatabaseError: the first that a policy met; all others had their turn.
    """
    done: list[Retired] = []
    errors: list[peewee.DatabaseError] = []
    for policy in chosen or policies():
        try:
            done.append(_run_policy(policy, actor=actor, most=most, batch=batch, pause=pause))
        except peewee.DatabaseError as error:
            # Its words may hold a row's values.
            log.error("RETENTION_FAILED", policy=policy.name, code=getattr(_cause(error), "pgcode", None))
            errors.append(error)
    if errors:
        raise errors[0]
    return [each for each in done if each.rows or each.refused]


def _run_policy(policy: Policy, *, actor: str, most: int, batch: int, pause: Callable[[], object]) -> Retired:
    run_id: int | None = None
    rows, refused = 0, ""
    while policy.days is not None and rows < most:
        wanted = min(batch, most - rows)
        try:
            with transaction(actor, f"retention: {policy.name} after {policy.days} days"):
                run_id, taken = fetch_one(
                    "SELECT run_id, done FROM dispatchlog_retire(%s, %s, %s, %s)", (policy.name, wanted, run_id, actor)
                )
        except peewee.DatabaseError as error:
            refused = _refusal(error)
            log.warning("RETENTION_REFUSED", policy=policy.name, why=refused)
            break
        rows += taken
        # What is pruned leaves in whole batches, however many rows they have.
        if taken < (1 if policy.act == "prune" else wanted):
            break
        pause()
    if rows:
        log.info("RETENTION_RAN", policy=policy.name, rows=rows)
        log_action(actor, "retention_run", detail={"policy": policy.name, "rows": rows, "run": run_id})
    return Retired(policy.name, rows, more=rows >= most, refused=refused)


def _refusal(error: peewee.DatabaseError) -> str:
    """What the database says against pruning the audit now, and what helps. Any other error goes on its way."""
    cause = _cause(error)
    if not isinstance(cause, psycopg2.Error) or cause.pgcode != _NOT_YET:
        raise error
    return f"{cause.diag.message_primary}; {cause.diag.message_hint}"


def _cause(error: peewee.DatabaseError) -> BaseException | None:
    return error.__cause__ or error.__context__


def run_at_night() -> None:
    """What the clock does every hour: nothing, but in the hours that the settings name."""
    if is_night(datetime.now(UTC), get_settings()):
        run(actor="retention")


def is_night(now: datetime, settings: Settings) -> bool:
    """Whether it is one of the hours, UTC, in which old data may leave."""
    begins, ends = settings.retention_from_hour, settings.retention_until_hour
    return (now.hour - begins) % 24 < (ends - begins) % 24


def latest_runs(limit: int = 50) -> list[dict[str, object]]:
    """The newest runs: policy, days, by whom, since when, how many rows."""
    with connected():
        return fetch_dicts("SELECT * FROM retention_runs WHERE rows > 0 ORDER BY id DESC LIMIT %s", (limit,))
