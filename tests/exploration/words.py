"""The words of a schedule's lines: who begins what, how he goes on, and what that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.exploration import seam
from tests.exploration.actors import Actor
from tests.exploration.state import SEATS, State

if TYPE_CHECKING:
    from tests.exploration.world import World

_SAYS = {
    "cancel": "cancels",
    "retry": "retries",
    "confirm sent": "confirms as sent",
    "confirm not sent": "confirms as not sent",
    "ask": "has the provider asked about",
    "told": "says of itself that it has",
}


def beginning(seat: int, actor: Actor) -> str:
    """Who begins what."""
    if actor.dispatch_id is None:
        return f"{SEATS[seat]} begins to {actor.work} as worker {actor.number}"
    who = "the provider" if actor.work == "told" else "a person"
    return f"{who} {_SAYS[actor.work]} #{actor.dispatch_id.int}"


def going_on(question: Any, choice: str) -> str:
    """What his next step is, and how it is answered."""
    match question:
        case seam.Connect():
            return ", connects" if choice == seam.OK else ", and the connection is refused"
        case seam.Write():
            return f", writes: {choice}"
        case seam.Ask():
            return f", asks the provider: {choice.lower()}"
        case seam.Statement():
            return f": {' '.join(question.sql.split())[:60]} .."
        case seam.Commit():
            return ": COMMIT" + (f", but {choice}" if choice else "")
        case _:
            return f", but {choice}" if choice else ""


def changes(world: World, before: State, after: State) -> str:
    """What a step changed, in a few words."""
    words: list[str] = []
    for index, (was, now) in enumerate(zip(before.ledger, after.ledger, strict=True)):
        if len(was) != len(now):
            words.append(f"the provider has {world.name(index)}" + (" again" if was else ""))
    for index, (was_row, now_row) in enumerate(zip(world.rows(before.data), world.rows(after.data), strict=True)):
        if _brief(world, was_row) != _brief(world, now_row):
            words.append(f"{world.name(index)} {_brief(world, was_row)} -> {_brief(world, now_row)}")
    return f"  [{'; '.join(words)}]" if words else ""


def _brief(world: World, row: tuple[object, ...]) -> str:
    at = world.at
    marked = " marked" if row[at["sending_at"]] is not None and row[at["status"]] == "QUEUED" else ""
    return f"{row[at['status']]}{' in doubt' if row[at['in_doubt']] else ''}{marked}"
