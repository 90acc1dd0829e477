"""Lanes and gateways that a person has paused: nothing of them is claimed until somebody lets them go on.

Owns the table `dispatch_holds` and what a worker knows of it. Rows stay as they are, and what is claimed already is
finished; a row that expires meanwhile is closed as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from dispatchlog.engine.database import connected, fetch_dicts, transaction
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import ReasonRequired, log_action
from dispatchlog.engine.wakeup import Waker

# A worker reads the holds at most this often, so a hold is in force about a second after it was set.
FRESH_SECONDS = 1.0
LANE, GATEWAY = "lane", "gateway"
MOST_NAMED = 20

_COLUMNS = "id, scope, name, reason, held_by, held_at, released_by, released_at, release_reason"


class UnknownTarget(DispatchlogError):
    """Neither a lane nor `gateway:` and the name of a lane's gateway."""

    code = "UNKNOWN_TARGET"


@dataclass(frozen=True, slots=True)
class Target:
    """What can be held: one lane, or a gateway with every lane that sends through it."""

    scope: str
    name: str

    def __str__(self) -> str:
        return self.name if self.scope == LANE else f"gateway:{self.name}"

    def lanes_of(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Those of `lanes` that it is about."""
        if self.scope == LANE:
            return [lane for lane in lanes if lane.name == self.name]
        return [lane for lane in lanes if any(gateway.name == self.name for gateway in lane.gateways())]


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: since when, by whom and why, and how it ended if it did."""

    id: int
    scope: str
    name: str
    reason: str
    held_by: str
    held_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None
    release_reason: str | None = None

    @property
    def target(self) -> Target:
        return Target(self.scope, self.name)


@dataclass(frozen=True, slots=True)
class HoldResult:
    """What became of it: `changed`, and the hold as it is now; None where nothing was held."""

    changed: bool
    hold: Hold | None


def parse_target(text: str, lanes: Sequence[Lane]) -> Target:
    """`LANE` or `gateway:NAME`, one that exists.

    Raises:
        UnknownTarget: there is no such lane or gateway; the message names those there are.
    """
    prefix, _, rest = text.partition(":")
    target = Target(GATEWAY, rest) if prefix == GATEWAY and rest else Target(LANE, text)
    if not target.lanes_of(lanes):
        known = [*map(str, targets(lanes))]
        more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
        raise UnknownTarget(f"nothing is named {text[:80]!r}; there are {', '.join(known[:MOST_NAMED])}{more}")
    return target


def targets(lanes: Sequence[Lane]) -> list[Target]:
    """Everything that can be held: each lane, then each gateway."""
    gateways = dict.fromkeys(gateway.name for lane in lanes for gateway in lane.gateways())
    return [*(Target(LANE, lane.name) for lane in lanes), *(Target(GATEWAY, name) for name in gateways)]


def hold(target: Target, *, actor: str, reason: str) -> HoldResult:
    """Pause it; not `changed` where somebody else has paused it already, whose hold then stays as it is.

    Raises:
        ReasonRequired: without a reason.
    """
    _require(reason)
    with transaction(actor, reason):
        made = fetch_dicts(
            "INSERT INTO dispatch_holds (scope, name, reason, held_by) VALUES (%s, %s, %s, %s)"
            f" ON CONFLICT (scope, name) WHERE released_at IS NULL DO NOTHING RETURNING {_COLUMNS}",
            (target.scope, target.name, reason, actor),
        )
        if made:
            _log(actor, "pause", target, reason)
            return HoldResult(True, Hold(**made[0]))
        return HoldResult(False, open_hold(target))


def release(target: Target, *, actor: str, reason: str, lanes: Sequence[Lane], waker: Waker | None) -> HoldResult:
    """Let it go on, and wake its lanes once that is committed; not `changed` where it was not held.

    Without a waker (the broker is away) workers find by their own clocks, within a second or two, what is due.

    Raises:
        ReasonRequired: without a reason.
    """
    _require(reason)
    with transaction(actor, reason):
        ended = fetch_dicts(
            "UPDATE dispatch_holds SET released_by = %s, released_at = clock_timestamp(), release_reason = %s"
            f" WHERE scope = %s AND name = %s AND released_at IS NULL RETURNING {_COLUMNS}",
            (actor, reason, target.scope, target.name),
        )
        if not ended:
            return HoldResult(False, None)
        _log(actor, "resume", target, reason)
        for lane in target.lanes_of(lanes) if waker else ():
            waker.after_commit(lane)  # type: ignore[union-attr]  # the line above
    return HoldResult(True, Hold(**ended[0]))


def open_holds() -> list[Hold]:
    """What is held now, the longest first."""
    with connected():
        found = fetch_dicts(f"SELECT {_COLUMNS} FROM dispatch_holds WHERE released_at IS NULL ORDER BY held_at, id")
    return [Hold(**row) for row in found]


def open_hold(target: Target) -> Hold | None:
    """Its hold, if it has one."""
    return next((held for held in open_holds() if held.target == target), None)


def past_holds(*, limit: int = 50, before_id: int | None = None, without: Collection[str] = ()) -> list[Hold]:
    """Holds that ended, the newest first, `without` those of these names; `before_id` goes on behind one."""
    with connected():
        found = fetch_dicts(
            f"SELECT {_COLUMNS} FROM dispatch_holds WHERE released_at IS NOT NULL AND id < %s AND name <> ALL (%s)"
            " ORDER BY id DESC LIMIT %s",
            (before_id or 2**62, [*without], limit),
        )
    return [Hold(**row) for row in found]


def holds_on(lane: Lane, held: Sequence[Hold]) -> list[Hold]:
    """Those of `held` that keep this lane from leaving: its own, and its gateway's."""
    return [each for each in held if each.target.lanes_of([lane])]


class HoldsInForce:
    """What this process knows to be held, read anew when a second old. Thread-safe."""

    def __init__(self, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._fresh_seconds = fresh_seconds
        self._guard = threading.Lock()
        self._held: Sequence[Hold] = ()
        self._read_at = float("-inf")

    def keeps(self, lane: Lane) -> bool:
        """Whether nothing of the lane may be claimed now.

        Raises:
            peewee.DatabaseError: it could not be read; then nothing may be claimed either.
        """
        with self._guard:
            now = boottime()
            if now - self._read_at >= self._fresh_seconds:
                self._held = open_holds()
                self._read_at = now  # from before the reading: what was held a moment later is not known yet
            return bool(holds_on(lane, self._held))

    def keeps_gateway(self, lane: Lane) -> bool:
        """Whether the lane's provider is to be left alone altogether."""
        return self.keeps(lane) and any(each.scope == GATEWAY for each in holds_on(lane, self._held))


def _require(reason: str) -> None:
    if not reason.strip():
        raise ReasonRequired("say why: the reason stays with it")


def _log(actor: str, action: str, target: Target, reason: str) -> None:
    lane = target.name if target.scope == LANE else None
    log_action(actor, action, lane=lane, reason=reason, detail={"scope": target.scope, "name": target.name})
