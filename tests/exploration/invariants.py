"""What must hold in every state, and across every step, whatever happened before: judges, changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dispatchlog.engine.gateway import GatewayKind
from tests.exploration.state import State
from tests.exploration.world import World


def wrong_state(world: World, state: State) -> str:
    """What is wrong with the state, or ""."""
    return next((words for index in range(len(world.ids)) for words in _complaints(world, state, index)), "")


def _complaints(world: World, state: State, index: int) -> Iterator[str]:
    row, name, has = world.rows(state.data)[index], world.name(index), state.ledger[index]
    status, in_doubt = row[world.at["status"]], row[world.at["in_doubt"]]
    if len(has) > 1:
        yield f"I1: the provider accepted {name} twice"
    if status == "SENT" and not has:
        yield f"I2: {name} is SENT, and the provider does not have it"
    if has and (status == "CANCELLED" or (status == "FAILED" and not in_doubt)):
        yield f"I3: the provider has {name}, which is {status} without a doubt"
    if has and status == "PENDING" and world.kind is not GatewayKind.IDEMPOTENT:
        yield f"I3: the provider has {name}, which waits to be sent again"
    if in_doubt and not _may_have_left(world, state, index):
        yield f"{name} is in doubt although nothing of it can have left"
    if status in ("PENDING", "FAILED") and _proved(world, state, index):
        yield f"{name} is {status} although the log has the proof that it was accepted"


def wrong_change(world: World, before: int, after: int) -> str:
    """What is wrong with going from these data to those, or ""."""
    if before == after:
        return ""
    at = world.store.tables["dispatch_attempts"].at
    kept = world.store[after]["dispatch_attempts"]
    for key, was in world.store[before]["dispatch_attempts"].items():
        now = kept.get(key)
        if now is None:
            return "evidence lost: an attempt is gone"
        if was[at["outcome"]] == "ACCEPTED" and now[at["outcome"]] != "ACCEPTED":
            return f"evidence lost: an accepted attempt became {now[at['outcome']]}"
        if was[at["provider_message_id"]] is not None and now[at["provider_message_id"]] is None:
            return "evidence lost: a receipt is gone"
        if not json.loads(was[at["evidence"]]).keys() <= json.loads(now[at["evidence"]]).keys():
            return "evidence lost: what a provider answered is gone"
    return ""


def unsettled(world: World, state: State) -> str:
    """What has not come to an end although nothing disturbs it any more, or ""."""
    at = world.at
    for index, row in enumerate(world.rows(state.data)):
        name, status = world.name(index), row[at["status"]]
        if status not in ("SENT", "CANCELLED", "FAILED"):
            return f"I7: {name} stays {status} for ever"
        if status == "FAILED" and row[at["last_error_code"]] is None:
            return f"I7: {name} is FAILED and nothing says why"
        if row[at["in_doubt"]] and _proved(world, state, index):
            return f"I7: {name} stays in doubt with its proof in the log"
    return ""


def _may_have_left(world: World, state: State, index: int) -> bool:
    at = world.at
    row = world.rows(state.data)[index]
    if world.kind is GatewayKind.IDEMPOTENT:
        return row[at["first_claimed_at"]] is not None
    attempt = world.store[state.data]["dispatch_attempts"].get((row[at["id"]], row[at["claim_token"]]))
    return attempt is not None and attempt[world.store.tables["dispatch_attempts"].at["sending_at"]] is not None


def _proved(world: World, state: State, index: int) -> bool:
    at = world.store.tables["dispatch_attempts"].at
    dispatch_id = world.ids[index]
    return any(
        row[at["outcome"]] == "ACCEPTED"
        for key, row in world.store[state.data]["dispatch_attempts"].items()
        if key[0] == dispatch_id
    )
