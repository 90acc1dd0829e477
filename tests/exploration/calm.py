"""What becomes of a state in which nobody is in the middle of anything, when nothing goes wrong any more."""

from __future__ import annotations

from collections.abc import Iterator

from tests.exploration import invariants, seam
from tests.exploration.actors import Actor
from tests.exploration.pieces import Piece
from tests.exploration.state import State
from tests.exploration.words import beginning, changes
from tests.exploration.world import World

MOST_DAYS = 12


class Calm:
    """Lets the world come to rest; what it found out once is kept."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._ends: dict[tuple[object, ...], str] = {}

    def wrong_end(self, state: State) -> str:
        """What is wrong when all has settled, or ""."""
        world, wrong = self.world, ""
        way: list[tuple[object, ...]] = []
        for _ in range(MOST_DAYS):
            if _what_lasts(state) in self._ends:
                wrong = self._ends[_what_lasts(state)]
                break
            way.append(_what_lasts(state))
            before = state.data
            for _, after in self._one_day(state):
                state = after
            wrong = invariants.wrong_state(world, state)
            if wrong:
                break
            if before == state.data:
                wrong = invariants.unsettled(world, state)
                break
        else:
            wrong = "I7: it never comes to rest"
        for known in way:
            self._ends[known] = wrong
        return wrong

    def way_to_wrong_end(self, state: State) -> list[str]:
        """What happens until it shows, a line per piece of work that changes anything."""
        lines: list[str] = []
        for _ in range(MOST_DAYS):
            before = state.data
            for words, after in self._one_day(state):
                if changed := changes(self.world, state, after):
                    lines.append(f"     undisturbed, {words}{changed}")
                state = after
            if invariants.wrong_state(self.world, state) or before == state.data:
                break
        return lines

    def _one_day(self, state: State) -> Iterator[tuple[str, State]]:
        """Time passes, then all work is done that there is: each piece in words, with the state after it."""
        state = self.world.next_day(state)
        yield "time passes", state
        for work in ("rescue", "look up", "expire", "deliver"):
            if not self.world.offers(state, work):
                continue
            for seat, actor in self.world.beginnings(state):
                if actor.work == work and self.world.offers(state, work):
                    state = self._done(state, seat, actor)
                    yield beginning(seat, actor), state

    def _done(self, state: State, seat: int, actor: Actor) -> State:
        """The state after one piece of work from its beginning to its end."""
        world = self.world
        piece: Piece | None = world.pieces.begin(actor)
        while piece is not None:
            question = world.pieces.question(piece)
            if question is None:
                break
            choice, _ = next(world.choices(state, piece))
            advance = world.pieces.advance(piece, state.data, world.surroundings(state, seat), choice)
            assert advance is not None
            assert not advance.wrong, advance.wrong
            if isinstance(question, seam.Write):
                state = state._replace(ledger=world.accepting(state, question.parcel))
            state, piece = state._replace(data=advance.data), advance.piece
        return state


def _what_lasts(state: State) -> tuple[object, ...]:
    return (state.data, state.ledger, state.processes)
