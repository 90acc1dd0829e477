"""Pieces of engine code in the middle of their work: where each stands, and how one goes on when it is answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from dispatchlog.engine.lanes import Lane
from tests.exploration import seam
from tests.exploration.actors import Actor, code_of
from tests.exploration.execution import Answer, Blocked, Key, Refused, Transaction, View
from tests.exploration.store import Store
from tests.exploration.tidy import CLAIM, DAY, aged, shifted

UNANSWERED, UNDONE = "the reply to its COMMIT is lost", "its connection is lost before its COMMIT"
LOST_COMMITS = (UNANSWERED, UNDONE)
NOTHING = ""


@dataclass(frozen=True)
class Piece:
    """A piece of code in the middle of its work: its history's number, its open transaction, its age in days, and whether
    time has passed since it asked its question."""

    history: int
    transaction: Transaction | None = None
    age: int = 0
    is_late: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What the world is to a piece of code besides the rows: the view, the pids that live, and the transactions of the
    others. `number` names it."""

    number: int
    view: View
    pids: frozenset[int]
    others: tuple[Transaction, ...]


@dataclass(frozen=True)
class Advance:
    """Where a piece stands after its next step (None: it has ended), and what it left in the database."""

    piece: Piece | None
    history: int
    data: int
    wrong: str = ""
    did: tuple[tuple[Any, Any], ...] = ()


class Pieces:
    """All histories that ever came about, each under a number. What was found out once is kept, for it never changes."""

    def __init__(self, lane: Lane, store: Store, *, statements: bool, exact: bool) -> None:
        self.lane = lane
        self.store = store
        self._statements = statements
        self._exact = exact
        self._claims = store.tables[lane.table].at["claims"]
        self._histories: list[tuple[int, Any]] = []
        self._actors: list[Actor] = []
        self._numbers: dict[tuple[int, Any], int] = {}
        self._standings: dict[int, seam.Standing] = {}
        self._advances: dict[Any, Advance | None] = {}

    def __len__(self) -> int:
        return len(self._histories)

    def begin(self, actor: Actor) -> Piece:
        return Piece(self._extend(-1, actor))

    def standing(self, history: int) -> seam.Standing:
        """Where the code with this history stands; found by running it again."""
        if history not in self._standings:
            self._standings[history] = seam.run(code_of(self.actor(history), self.lane), self._answers(history))
        return self._standings[history]

    def question(self, piece: Piece) -> Any:
        return self.standing(piece.history).question

    def actor(self, history: int) -> Actor:
        return self._actors[history]

    def answered(self, history: int) -> list[tuple[Any, Any]]:
        """Every question of this history with its answer, the latest first."""
        pairs = []
        while self._histories[history][0] >= 0:
            history, answer = self._histories[history]
            pairs.append((self.standing(history).question, answer))
        return pairs

    def _answers(self, history: int) -> list[Any]:
        answers: list[Any] = []
        parent, answer = self._histories[history]
        while parent >= 0:
            answers.append(answer)
            parent, answer = self._histories[parent]
        answers.reverse()
        return answers

    def _extend(self, parent: int, answer: Any) -> int:
        key = (parent, answer)
        if key not in self._numbers:
            self._numbers[key] = len(self._histories)
            self._histories.append(key)
            self._actors.append(answer if parent < 0 else self._actors[parent])
        return self._numbers[key]

    def is_step(self, question: Any) -> bool:
        """Whether others may come in between before this question is answered."""
        if isinstance(question, (seam.Connect, seam.Write, seam.Ask)):
            return True
        if not self._statements:
            return isinstance(question, seam.Begin)
        if isinstance(question, seam.Statement):
            return "set_config" not in question.sql
        return isinstance(question, seam.Commit)

    def advance(self, piece: Piece, data: int, surroundings: Surroundings, choice: str) -> Advance | None:
        """Answer its question by `choice`, and go on to the next one at which others may come in between.

        None where the choice makes no difference.
        """
        key = (piece, data, surroundings.number, choice)
        if key not in self._advances:
            self._advances[key] = _Going(self, piece, data, surroundings, choice).on()
        return self._advances[key]

    def older(self, piece: Piece) -> Piece:
        """The piece one day later."""
        if self._exact:
            return replace(piece, is_late=True)
        transaction = piece.transaction
        if transaction is not None:
            writes = tuple((key, aged(self.store.tables[key[0]], row)) for key, row in transaction.writes)
            snapshot = None if transaction.snapshot is None else self.store.aged(transaction.snapshot)
            transaction = replace(transaction, now=transaction.now - DAY, writes=writes, snapshot=snapshot)
        return Piece(piece.history, transaction, piece.age + 1, is_late=True)


class _Going:
    """One piece while it goes on."""

    def __init__(self, pieces: Pieces, piece: Piece, data: int, surroundings: Surroundings, choice: str) -> None:
        self.pieces = pieces
        self.store = pieces.store
        self.history, self.transaction = piece.history, piece.transaction
        self.ahead = timedelta(days=piece.age)
        self.age = piece.age
        self.data = data
        self.surroundings = surroundings
        self.view = surroundings.view
        self.choice = choice
        self.did: list[tuple[Any, Any]] = []
        self.fate: Any = None  # what an answer does not say: when a transaction began, and what became of it

    def on(self) -> Advance | None:
        first = True
        while True:
            standing = self.pieces.standing(self.history)
            question = standing.question
            if question is None:
                return self._end(f"the engine raised {standing.error!r}" if standing.error else "")
            if not first and self.pieces.is_step(question):
                return None if self.choice in LOST_COMMITS else self._stand()
            self.fate = None
            try:
                answer = self._answer(question)
            except Blocked as blocked:
                assert self.transaction is not None
                if not self._is_deadlock(blocked.key):
                    snapshot = self.data if self.transaction.snapshot is None else self.transaction.snapshot
                    self.transaction = replace(self.transaction, snapshot=snapshot, waits_for=blocked.key)
                    self.did.append((question, Blocked))
                    return self._stand()
                answer = seam.DEADLOCK
            except Refused as error:
                return self._end(f"PostgreSQL refuses it: {error}")
            if self.pieces._exact:
                self.did.append((question, self.fate or answer))
            self.history = self.pieces._extend(self.history, answer)
            first = False

    def _is_deadlock(self, key: Key) -> bool:
        """Whether this has been waiting for one that waits for it. PostgreSQL then ends one of the two."""
        assert self.transaction is not None
        return self.transaction.snapshot is not None and any(
            key in other.locks and other.waits_for in self.transaction.locks for other in self.surroundings.others
        )

    def _stand(self) -> Advance:
        return Advance(Piece(self.history, self.transaction, self.age), self.history, self.data, did=tuple(self.did))

    def _end(self, wrong: str) -> Advance | None:
        if self.choice in LOST_COMMITS:
            return None
        return Advance(None, self.history, self.data, wrong, tuple(self.did))

    def _answer(self, question: Any) -> Any:  # noqa: PLR0911  one answer per kind of question
        match question:
            case seam.Clock():
                return self.view.clock + self.ahead
            case seam.Held(number):
                return number in self.view.held
            case seam.Started(pid):
                return f"start of {pid}" if pid in self.surroundings.pids else ""
            case seam.Begin():
                self.fate = self.view.clock + self._claimed_so_far() * CLAIM
                self.transaction = Transaction(self.fate)
                return seam.OK
            case seam.Statement():
                return self._execute(question.sql, question.values)
            case seam.Commit():
                return self._commit()
            case seam.Rollback():
                self.transaction = None
                return seam.OK
            case _:
                choice, self.choice = self.choice, NOTHING
                return choice

    def _claimed_so_far(self) -> int:
        """What lets now() go on from claim to claim. Stored instants of claims lie within one `CLAIM` of the day's start,
        unless they are exact."""
        if not self.pieces._exact and not self.pieces._statements:
            return 2
        return sum(row[self.pieces._claims] for row in self.store[self.data][self.pieces.lane.table].values())

    def _execute(self, sql: str, values: Any) -> Answer:
        transaction = self.transaction or Transaction(self.view.clock)
        answer, after = self.store.execute(self.data, transaction, self.view, sql, values)
        if self.transaction is None:
            self.data = self.store.commit(self.data, after)
        else:
            self.transaction = after
        if self.ahead:
            answer = replace(answer, rows=shifted(answer.rows, self.ahead))
        return answer

    def _commit(self) -> str:
        assert self.transaction is not None
        writes, choice = self.transaction.writes, self.choice
        if writes and choice != UNDONE:
            self.data = self.store.commit(self.data, self.transaction)
        self.transaction = None
        if writes:
            self.choice = NOTHING
            if choice in LOST_COMMITS:
                self.fate = choice
                return seam.LOST
        return seam.OK
