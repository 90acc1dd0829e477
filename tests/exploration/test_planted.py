"""The mutation gate: each planted bug is found, and the engine as it is has none of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatchlog.engine.gateway import GatewayKind
from tests.exploration.__main__ import main
from tests.exploration.actors import engine_on_stand_ins
from tests.exploration.planted import BUGS, Planted, planted
from tests.exploration.search import explore
from tests.exploration.state import Bounds
from tests.exploration.world import World


@pytest.fixture
def engine() -> Iterator[None]:
    with engine_on_stand_ins():
        yield


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_with_a_shortest_schedule(name: str, engine: None) -> None:
    bug = BUGS[name]
    with planted(bug):
        found = explore(World(bug.kind, bug.bounds))
    print(found)
    assert found.wrong
    assert not found.wrong.startswith(("the engine raised", "PostgreSQL refuses")), found.wrong
    assert len(found.schedule) == found.depth


@pytest.mark.parametrize(("kind", "bounds"), dict.fromkeys((bug.kind, bug.bounds) for bug in BUGS.values()))
def test_without_the_bug_nothing_is_found_within_the_same_bounds(
    kind: GatewayKind, bounds: Bounds, engine: None
) -> None:
    found = explore(World(kind, bounds))
    assert not found.wrong, str(found)


def test_a_bug_whose_words_the_engine_does_not_have_is_an_error(engine: None) -> None:
    bug = Planted("nothing", GatewayKind.BLIND, Bounds(deliveries=1, troubles=0), words={"no such words": ""})
    with pytest.raises(LookupError, match="no such words"), planted(bug):
        explore(World(bug.kind, bug.bounds))


def test_the_command_prints_the_shortest_counter_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--planted", "record before the send"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "BLIND, with a bug planted: SENT is written before the provider has it."
    assert lines[1].startswith("I2: #1 is SENT, and the provider does not have it")
    assert lines[-1] == "  4. A goes on after 'marked'  [#1 QUEUED marked -> SENT]"


def test_what_shows_only_afterwards_is_told_to_its_end(engine: None) -> None:
    bug = BUGS["rescue of the marked"]
    with planted(bug):
        found = explore(World(bug.kind, bug.bounds))
    assert found.schedule[-1] == "  6. A is killed after 'sent'"
    assert found.afterwards == [
        "     undisturbed, R begins to rescue as worker 300  [#1 QUEUED marked -> PENDING]",
        "     undisturbed, A begins to deliver as worker 110  [the provider has #1 again; #1 PENDING -> SENT]",
    ]
