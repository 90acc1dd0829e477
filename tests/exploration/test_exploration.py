"""No schedule of crashes, pauses, faults and people's acts within the bounds breaks a promise of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatchlog.engine import claims, delivery
from dispatchlog.engine.gateway import GatewayKind
from tests.exploration.actors import engine_on_stand_ins
from tests.exploration.explorations import SHORT, bounds_of
from tests.exploration.search import explore, reachable
from tests.exploration.sql import UnknownSQL, parse
from tests.exploration.state import Bounds
from tests.exploration.world import World

SEEN = frozenset(
    {
        "status", "in_doubt", "attempts", "attempts_forgiven", "claims", "generation", "rescues", "lookups",
        "last_error_code", "sending_at", "lookup_at", "first_claimed_at", "sent_at",
    }
)  # fmt: skip


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    with engine_on_stand_ins():
        yield


@pytest.mark.timeout(600)  # of the processor it takes seconds, which on a busy machine may be minutes
@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("kind", GatewayKind)
def test_no_schedule_within_the_bounds_breaks_a_promise(kind: GatewayKind, name: str) -> None:
    found = explore(World(kind, bounds_of(name, kind)))
    print(found)
    assert not found.wrong, str(found)
    assert found.states > 1000


def test_a_sender_is_killed_after_every_crash_point() -> None:
    named = set(re.findall(r'crash_point\("(\w+)"\)', Path(delivery.__file__).read_text()))
    world = World(GatewayKind.LOOKUP, Bounds(deliveries=1, troubles=1, pauses=0, locks=0, replies=0, commits=0, acts=0))
    killed = {found for _, step in reachable(world) for found in re.findall(r"is killed after '(\w+)'", step.words)}
    assert named
    assert killed == named - {"recorded"}  # with one dispatch nothing follows it: the sender has come to its end


@pytest.mark.parametrize("kind", GatewayKind)
def test_states_that_are_taken_for_one_hide_no_outcome(kind: GatewayKind) -> None:
    bounds = Bounds(deliveries=1, days=3, troubles=2, pauses=0, expiring=True)
    assert outcomes(World(kind, bounds)) == outcomes(World(kind, replace(bounds, exact=True)))


def outcomes(world: World) -> set[tuple[object, ...]]:
    """Everything but instants, worker numbers and tokens that a step can lead to."""
    outcome = world.store.tables["dispatch_attempts"].at["outcome"]
    found: set[tuple[object, ...]] = set()
    for _, step in reachable(world):
        rows = [
            [
                row[place] is None if name.endswith("_at") else row[place]
                for name, place in world.at.items()
                if name in SEEN
            ]
            for row in world.rows(step.state.data)
        ]
        attempts = sorted(str(row[outcome]) for row in world.store[step.state.data]["dispatch_attempts"].values())
        found.add((str(rows), str(attempts), tuple(map(len, step.state.ledger)), step.wrong))
    return found


def test_an_error_that_the_engine_raises_at_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "claim_due", lambda lane, **_: lane.no_such_thing)
    found = explore(World(GatewayKind.BLIND, Bounds(deliveries=1, troubles=0)))
    assert found.wrong.startswith("the engine raised AttributeError")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM parcels WHERE id = %s",
        "SELECT id FROM parcels GROUP BY id",
        "SELECT count(*) OVER () FROM parcels",
        "UPDATE parcels SET status = 'SENT' WHERE id = %s ORDER BY id",
    ],
)
def test_sql_that_the_abstract_database_does_not_know_is_refused(statement: str) -> None:
    with pytest.raises(UnknownSQL):
        parse(statement)
