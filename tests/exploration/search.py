"""The search: every schedule within the bounds, breadth first, so that the first counter-example is a shortest one."""

from __future__ import annotations

import gc
import operator
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.exploration import invariants
from tests.exploration.calm import Calm
from tests.exploration.state import DAYS, State, Step
from tests.exploration.words import changes
from tests.exploration.world import World


@dataclass
class Found:
    """What a search found: its size, and the shortest counter-example if there is one."""

    states: int = 0
    steps: int = 0
    depth: int = 0
    seconds: float = 0.0
    wrong: str = ""
    schedule: list[str] = field(default_factory=list)
    afterwards: list[str] = field(default_factory=list)  # where it shows only once the schedule is over

    def __str__(self) -> str:
        size = f"{self.states:,} states, {self.steps:,} steps, {self.depth} deep, {self.seconds:.1f} s"
        if not self.wrong:
            return f"nothing wrong in {size}"
        return "\n".join([f"{self.wrong} ({size})", *self.schedule, *self.afterwards])


def explore(world: World) -> Found:
    """Visit every state that can be reached; stops at the first that is wrong."""
    gc.disable()  # hardly anything is ever thrown away, and looking for it takes a third of the time
    try:
        return _explore(world)
    finally:
        gc.enable()


def _explore(world: World) -> Found:
    began = time.process_time()
    found, calm = Found(), Calm(world)
    start = world.start()
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    cheapest = _Cheapest(world)
    judged: set[tuple[int, int]] = set()
    level = [start]
    while level and not found.wrong:
        following: list[State] = []
        for state in level:
            for step in world.steps(state):
                found.steps += 1
                after, wrong = step.state, step.wrong
                if not wrong and (state.data, after.data) not in judged:
                    judged.add((state.data, after.data))
                    wrong = invariants.wrong_change(world, state.data, after.data)
                if not wrong and cheapest.beats(after):
                    came_from[after] = (state, step.words)
                    following.append(after)
                    wrong = invariants.wrong_state(world, after)
                    if not wrong and not any(after.seats):
                        wrong = calm.wrong_end(after)
                        found.afterwards = calm.way_to_wrong_end(after) if wrong else []
                if wrong:
                    found.wrong = wrong
                    found.schedule = schedule(world, came_from, state, after, step.words)
                    break
            if found.wrong:
                break
        found.depth += 1
        level = following
    found.states = len(came_from)
    found.seconds = time.process_time() - began
    return found


def reachable(world: World) -> Iterator[tuple[State, Step]]:
    """Every step that can be reached, whatever is wrong with it, and the state it begins in; breadth first."""
    level, cheapest = [world.start()], _Cheapest(world)
    while level:
        following: list[State] = []
        for state in level:
            for step in world.steps(state):
                yield state, step
                if cheapest.beats(step.state):
                    following.append(step.state)
        level = following


class _Cheapest:
    """Which states were come by already, and at which cost: one that was had for less has all the futures of a dearer."""

    def __init__(self, world: World) -> None:
        self._has_dates = world.bounds.exact
        self._costs: dict[Any, list[tuple[int, ...]]] = {}

    def beats(self, state: State) -> bool:
        """Whether the state is new, or was never had so cheaply; keeps it."""
        today = state.spent[DAYS] if self._has_dates else 0
        cost, costs = state.spent, self._costs.setdefault((today, *state[:-1]), [])
        if any(all(map(operator.le, known, cost)) for known in costs):
            return False
        costs.append(cost)
        return True


def schedule(
    world: World,
    came_from: dict[State, tuple[State, str] | None],
    before: State,
    last: State,
    words: str,
) -> list[str]:
    """The way to `last`, a line per step, each with what it changed."""
    way = [(before, last, words)]
    while (origin := came_from[before]) is not None:
        way.append((origin[0], before, origin[1]))
        before = origin[0]
    return [
        f"{number:3}. {words}{changes(world, source, target)}"
        for number, (source, target, words) in enumerate(reversed(way), 1)
    ]
