"""What leaves which table after how many days: read, and its days set. Owns what an administrator may set of
`retention_policies`; deletes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dispatchlog.engine.database import connected, execute, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action, require_reason

# Counting further would read a table of millions for a number that nobody needs exactly.
MOST_COUNTED = 10_000
_COLUMNS = "name, target, act, why, least_days, days, changed_by, changed_at"


class UnknownPolicy(DispatchlogError):
    """No policy has this name."""

    code = "UNKNOWN_POLICY"


class TooShort(DispatchlogError):
    """Fewer days than the policy allows."""

    code = "RETENTION_TOO_SHORT"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: `act` is "empty", "delete" or "prune"; `days` None: never. It cannot be shorter than `least_days`."""

    name: str
    target: str
    act: str
    why: str
    least_days: int
    days: int | None
    changed_by: str
    changed_at: datetime


def policies() -> list[Policy]:
    """All of them, first those that delete: what goes altogether need not be emptied."""
    with connected():
        found = fetch_dicts(f"SELECT {_COLUMNS} FROM retention_policies ORDER BY act, target, name")
    return [Policy(**each) for each in found]


def policy_named(name: str) -> Policy:
    """The policy of this name.

    Raises:
        UnknownPolicy: there is none.
    """
    for each in policies():
        if each.name == name:
            return each
    raise UnknownPolicy(f"no policy is named {name[:64]!r}; dispatchlog retention show lists them")


def due(policy: Policy) -> int:
    """How many rows it would take now, or sealed batches where it prunes; at most MOST_COUNTED."""
    with connected():
        return int(fetch_one("SELECT dispatchlog_retention_due(%s, %s)", (policy.name, MOST_COUNTED))[0])


def set_days(name: str, days: int | None, *, actor: str, reason: str) -> Policy:
    """Let rows of a policy leave after so many days, or never; the policy comes back.

    Raises:
        UnknownPolicy: there is no such policy.
        TooShort: fewer days than it allows.
        ReasonRequired: without a reason.
    """
    require_reason(reason, stays_with="the policy")
    before = policy_named(name)
    if days is not None and days < before.least_days:
        raise TooShort(f"{name}: at least {before.least_days} days")
    with transaction(actor, reason):
        execute(
            "UPDATE retention_policies SET days = %s, version = version + 1, changed_by = %s,"
            " changed_at = clock_timestamp() WHERE name = %s",
            (days, actor, name),
        )
        log_action(actor, "retention_set", reason=reason, detail={"policy": name, "from": before.days, "to": days})
    return policy_named(name)
