"""The abstract database agrees with PostgreSQL: the same steps give the same answers and leave the same rows."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from dispatchlog.engine.gateway import GatewayKind
from tests.exploration import seam
from tests.exploration.actors import engine_on_stand_ins
from tests.exploration.execution import Blocked
from tests.exploration.postgres import Twin
from tests.exploration.search import reachable
from tests.exploration.state import DAYS, KILLS, PAUSES, Bounds, State, Step
from tests.exploration.world import World
from tests.servers import Servers, fresh_database

Way = list[tuple[State, Step]]

WALK = 120
FEW = Bounds(deliveries=1, days=2, troubles=2, expiring=True, exact=True)
MANY = Bounds(
    batch=3,
    days=4, pauses=99, kills=6, locks=6, replies=9, commits=9, acts=4, troubles=99, expiring=True, statements=True,
    exact=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    with engine_on_stand_ins():
        yield


@pytest.mark.parametrize("kind", GatewayKind)
def test_every_statement_within_two_troubles_gives_what_postgresql_gives(kind: GatewayKind, servers: Servers) -> None:
    world = World(kind, FEW)
    ways = ways_to_statements(world)
    assert len(ways) > 20
    left = set(ways)
    for sql in sorted(ways, key=lambda sql: len(ways[sql]), reverse=True):
        if sql in left:
            with real_twin(world, servers) as twin:
                for state, step in ways[sql]:
                    twin.follow(state, step)
            left -= twin.compared.keys()
    assert not left


@pytest.mark.parametrize("deliveries", [1, 3])
@pytest.mark.parametrize("kind", GatewayKind)
def test_the_abstract_database_goes_with_postgresql_wherever_chance_leads(
    kind: GatewayKind, deliveries: int, servers: Servers
) -> None:
    world = World(kind, replace(MANY, deliveries=deliveries))
    chance = random.Random(f"{kind} {deliveries}")  # noqa: S311  must be repeatable, not secret
    compared = 0
    while compared < 60:
        state = world.start()
        with real_twin(world, servers) as twin:
            for _ in range(WALK):
                candidates = comparable(state, list(world.steps(state)))
                if not candidates:
                    break
                step = chance.choices(candidates, [weight(state, step) for step in candidates])[0]
                twin.follow(state, step)
                state = step.state
        compared += twin.compared.total()


@contextmanager
def real_twin(world: World, servers: Servers) -> Iterator[Twin]:
    with (
        fresh_database(servers, f"twin_{os.getpid()}", migrated=True) as url,
        closing(Twin(world, url)) as twin,
    ):
        yield twin


def ways_to_statements(world: World) -> dict[str, Way]:
    """A shortest way to each statement that the engine runs within the bounds."""
    came_from: dict[State, tuple[State, Step]] = {}
    ways: dict[str, Way] = {}
    start = world.start()
    for state, step in reachable(world):
        came_from.setdefault(step.state, (state, step))
        for question, _ in step.did:
            if isinstance(question, seam.Statement) and question.sql not in ways:
                way = [(state, step)]
                while way[0][0] != start:
                    way.insert(0, came_from[way[0][0]])
                ways[question.sql] = way
    return ways


def weight(state: State, step: Step) -> int:
    """Troubles and time are rarer than work, or nothing would ever get done."""
    spent, was = step.state.spent, state.spent
    return 1 if spent[:PAUSES] + spent[KILLS:] != was[:PAUSES] + was[KILLS:] else 15


def comparable(state: State, steps: list[Step]) -> list[Step]:
    """Those of the steps that PostgreSQL can be made to do too.

    It decides by itself in which order a statement locks several rows, so only a single dispatch is waited for. Who waits
    goes on as soon as he can, and the clock of what waits cannot be changed. Whom to end in a deadlock is its own choice.
    """
    waiting = [
        seat for seat, piece in enumerate(state.seats) if piece and piece.transaction and piece.transaction.waits_for
    ]
    kept = [step for step in steps if step.state != state and all(answer != seam.DEADLOCK for _, answer in step.did)]
    if len(state.ledger) > 1:
        return [step for step in kept if all(answer is not Blocked for _, answer in step.did)]
    for seat in waiting:
        freed = [step for step in kept if step.seat == seat and step.did]
        if freed:
            return freed
    return [step for step in kept if not waiting or step.state.spent[DAYS] == state.spent[DAYS]]
