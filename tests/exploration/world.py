"""The world around the engine's code: processes, time, the provider's ledger, and every next step there is.

A state is a plain value; `steps` gives all its successors with what happened. Which of them to take is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from tests.engine.lane import ParcelDispatch
from tests.exploration import seam
from tests.exploration.actors import Actor, lane_of
from tests.exploration.evaluate import Row
from tests.exploration.execution import Transaction, View
from tests.exploration.pieces import LOST_COMMITS, NOTHING, Advance, Piece, Pieces, Surroundings
from tests.exploration.schema import tables_of
from tests.exploration.state import (
    ACTED,
    ACTS,
    COMMITS,
    DAYS,
    DESK,
    KILLS,
    LOCKS,
    PAUSES,
    PROCESSES,
    REPLIES,
    SEATS,
    SENDERS,
    WATCH,
    Bounds,
    Ledger,
    State,
    Step,
)
from tests.exploration.store import Store
from tests.exploration.tidy import CLAIM, DAY, FORGOTTEN, KEY_RETENTION, TODAY
from tests.exploration.words import beginning, going_on

_INSERT_WORKER = """
INSERT INTO dispatch_workers (id, host, pid, boot_id, process_started, kind) VALUES (%s, %s, %s, %s, %s, %s)
"""


@dataclass
class World:
    """One lane over one provider, within bounds."""

    kind: GatewayKind
    bounds: Bounds
    store: Store = field(init=False)
    pieces: Pieces = field(init=False)

    def __post_init__(self) -> None:
        bounds = self.bounds
        self.lane = lane_of(self.kind, batch=bounds.batch, key_retention=KEY_RETENTION)
        self.store = Store(tables_of(ParcelDispatch), tidy=not (bounds.statements or bounds.exact))
        self.pieces = Pieces(self.lane, self.store, statements=bounds.statements, exact=bounds.exact)
        self.ids = [UUID(int=number + 1) for number in range(bounds.deliveries)]
        self.at = self.store.tables[self.lane.table].at
        self._rows: dict[int, list[Row]] = {}
        self._offers: dict[Any, tuple[tuple[str, int], ...]] = {}
        self._surroundings: dict[Any, Surroundings] = {}

    # --- the beginning

    def start(self) -> State:
        """All dispatches are due, all processes live, nothing has happened."""
        transaction = Transaction(TODAY)
        for sql, parameters in self.first_rows():
            _, transaction = self.store.execute(self.store.empty, transaction, View(TODAY), sql, parameters)
        return State(
            data=self.store.commit(self.store.empty, transaction),
            ledger=((),) * self.bounds.deliveries,
            processes=((0, 0),) * len(PROCESSES),
            seats=(None,) * len(SEATS),
            running=-1,
            spent=(0,) * 7,
        )

    def first_rows(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The statements that put the dispatches in, and every worker number that there may ever be."""
        for number, dispatch_id in enumerate(self.ids):
            expires_at = TODAY + 1.5 * DAY if self.bounds.expiring and number == 0 else None
            yield (
                f"INSERT INTO {self.lane.table} (id, body_text, due_at, expires_at) VALUES (%s, %s, %s, %s)",
                (dispatch_id, f"parcel {number + 1}", TODAY, expires_at),
            )
        for process in range(len(PROCESSES)):
            for killed in range(self.bounds.kills + 1):
                for renewed in range(self.bounds.locks + 1):
                    pid = _number(process, (killed, 0))
                    number = _number(process, (killed, renewed))
                    yield _INSERT_WORKER, (number, "here", pid, "this boot", f"start of {pid}", "worker")

    # --- looking

    def rows(self, data: int) -> list[Row]:
        """The lane's rows, in the order of their ids."""
        if data not in self._rows:
            rows = self.store[data][self.lane.table]
            self._rows[data] = [rows[(dispatch_id,)] for dispatch_id in self.ids]
        return self._rows[data]

    def name(self, index: int) -> str:
        return f"#{index + 1}"

    def clock(self, day: int) -> Any:
        return TODAY + day * DAY if self.bounds.exact else TODAY

    def surroundings(self, state: State, seat: int) -> Surroundings:
        """What the world is to whoever sits there."""
        others = tuple(
            piece.transaction
            for other, piece in enumerate(state.seats)
            if other != seat and piece is not None and piece.transaction is not None
        )
        day = state.spent[DAYS] if self.bounds.exact else 0
        key = (state.processes, day, others)
        if key not in self._surroundings:
            held = frozenset(_number(process, life) for process, life in enumerate(state.processes))
            pids = frozenset(_number(process, (life[0], 0)) for process, life in enumerate(state.processes))
            locked = frozenset(key for other in others for key in other.locks)
            view = View(self.clock(day), held, locked)
            self._surroundings[key] = Surroundings(len(self._surroundings), view, pids, others)
        return self._surroundings[key]

    # --- every next step

    def steps(self, state: State) -> Iterator[Step]:
        """All that may happen next."""
        for seat, piece in enumerate(state.seats):
            if piece is not None and (turned := self._turned_to(state, seat)) is not None:
                yield from self._go_on(turned, seat, piece, f"{SEATS[seat]} goes on{self._where(piece)}")
        turned = self._turned_to(state, -1)
        if turned is not None:
            for seat, actor in self.beginnings(turned):
                yield from self._begin(turned, seat, actor)
            if self._may(state, DAYS):
                yield Step(self.next_day(turned), "time passes: whatever waits is due, every deadline is over")
        yield from self._faults(state)

    def _where(self, piece: Piece) -> str:
        """The last crash point that a sender passed, or what else somebody is doing."""
        work = self.pieces.actor(piece.history).work
        return f" after '{self.pieces.standing(piece.history).crash_point}'" if work == "deliver" else f" to {work}"

    def _turned_to(self, state: State, seat: int) -> State | None:
        """The state with somebody else's turn; None where that is one pause too many, or the same as a later one."""
        if state.running in (-1, seat):
            return state._replace(running=-1)
        if not self._may(state, PAUSES) or self._is_private(state.seats[state.running]):
            return None
        return state._replace(running=-1, spent=_and_one(state.spent, PAUSES))

    def _is_private(self, piece: Piece | None) -> bool:
        """Whether the next step touches nothing that others look at, so that a pause before it is one after it."""
        assert piece is not None
        standing = self.pieces.standing(piece.history)
        return isinstance(standing.question, seam.Connect) or standing.crash_point == "claimed"

    def _may(self, state: State, kind: int) -> bool:
        bounds, spent = self.bounds, state.spent
        if kind != DAYS and sum(spent[PAUSES:]) >= bounds.troubles:
            return False
        most = (bounds.days, bounds.pauses, bounds.kills, bounds.locks, bounds.replies, bounds.commits, bounds.acts)
        return spent[kind] < most[kind]

    def next_day(self, state: State) -> State:
        spent = _and_one(state.spent, DAYS)
        seats = tuple(None if piece is None else self.pieces.older(piece) for piece in state.seats)
        if self.bounds.exact:
            return state._replace(seats=seats, spent=spent)
        oldest = {GatewayKind.IDEMPOTENT: FORGOTTEN, GatewayKind.LOOKUP: 1, GatewayKind.BLIND: 0}[self.kind]
        return state._replace(
            data=self.store.aged(state.data),
            ledger=tuple(tuple((key, min(age + 1, oldest)) for key, age in accepted) for accepted in state.ledger),
            seats=seats,
            spent=spent,
        )

    def _begin(self, state: State, seat: int, actor: Actor) -> Iterator[Step]:
        if actor.work in ACTS:
            if not self._may(state, ACTED):
                return
            state = state._replace(spent=_and_one(state.spent, ACTED))
        piece, words = self.pieces.begin(actor), beginning(seat, actor)
        did: tuple[Any, ...] = ()
        if not self.pieces.is_step(self.pieces.question(piece)):
            advance = self.pieces.advance(piece, state.data, self.surroundings(state, seat), NOTHING)
            if advance is None:
                return
            if advance.piece is None:
                if advance.wrong:
                    yield Step(state, words, advance.wrong, seat)
                return  # there was nothing to do
            piece, did = advance.piece, advance.did
            if self.bounds.statements:
                yield Step(_seated(state, seat, piece), words, advance.wrong, seat, did)
                return
        yield from self._go_on(state, seat, piece, words, did)

    def _go_on(self, state: State, seat: int, piece: Piece, words: str, did: tuple[Any, ...] = ()) -> Iterator[Step]:
        question = self.pieces.question(piece)
        surroundings = self.surroundings(state, seat)
        for choice, trouble in self.choices(state, piece):
            if trouble and not self._may(state, trouble):
                continue
            advance = self.pieces.advance(piece, state.data, surroundings, choice)
            if advance is None:
                continue
            wrong, after = advance.wrong, _seated(state, seat, advance.piece)
            if isinstance(question, seam.Write):
                wrong = wrong or self._wrong_bytes(state, question.parcel)
                if choice in (seam.ACCEPTED, seam.REPLY_LOST_AFTER):
                    after = after._replace(ledger=self.accepting(state, question.parcel))
            if advance.piece is None:
                wrong = wrong or self._forgotten(advance)
            after = after._replace(data=advance.data, spent=_and_one(state.spent, trouble) if trouble else state.spent)
            yield Step(after, words + going_on(question, choice), wrong, seat, did + advance.did)

    def choices(self, state: State, piece: Piece) -> Iterator[tuple[str, int]]:
        """The answers that the world may give, each with what it is charged to (0: to nothing), the ordinary one first."""
        question = self.pieces.question(piece)
        if isinstance(question, seam.Connect):
            yield seam.OK, 0
            yield seam.REFUSED, REPLIES
        elif isinstance(question, seam.Write) and piece.is_late and self.kind is GatewayKind.IDEMPOTENT:
            # Its deadline is over. Of the others it is supposed that they were paused between looking and writing.
            yield seam.TOO_LATE, 0
        elif isinstance(question, seam.Write):
            for choice in seam.WRITES:
                yield choice, 0 if choice == seam.ACCEPTED else REPLIES
        elif isinstance(question, seam.Ask):
            accepted = state.ledger[self.ids.index(question.parcel.dispatch_id)]
            if accepted:
                yield LookUpAnswer.FOUND, 0
            if all(self._is_fresh(state, day) for _, day in accepted):
                yield LookUpAnswer.ABSENT, 0  # it has nothing, or does not show it yet
            yield LookUpAnswer.UNSURE, REPLIES
        else:
            yield NOTHING, 0
            if isinstance(question, (seam.Begin, seam.Commit)):
                for choice in LOST_COMMITS:
                    yield choice, COMMITS

    def _is_fresh(self, state: State, day: int) -> bool:
        return day == (state.spent[DAYS] if self.bounds.exact else 0)

    def accepting(self, state: State, parcel: Any) -> Ledger:
        """The provider's ledger with this acceptance; an IDEMPOTENT one knows a key again while it remembers it."""
        index = self.ids.index(parcel.dispatch_id)
        accepted = state.ledger[index]
        key = parcel.idempotency_key.rpartition("-")[2]
        if self.kind is GatewayKind.IDEMPOTENT:
            for known, day in accepted:
                age = state.spent[DAYS] - day if self.bounds.exact else day
                if known == key and age * DAY < KEY_RETENTION:
                    return state.ledger
        ledger = list(state.ledger)
        ledger[index] = (*accepted, (key, state.spent[DAYS] if self.bounds.exact else 0))
        return tuple(ledger)

    def _wrong_bytes(self, state: State, parcel: Any) -> str:
        at = self.store.tables["dispatch_payloads"].at
        generation = int(parcel.idempotency_key.rpartition("-")[2])
        stored = self.store[state.data]["dispatch_payloads"].get((parcel.dispatch_id, generation))
        if stored is None or stored[at["body"]] != parcel.body or stored[at["recipient"]] != parcel.recipient:
            return "I9: the bytes sent are not the bytes stored"
        return ""

    def _forgotten(self, advance: Advance) -> str:
        """What a sender that came to its end learnt must be in the log."""
        actor = self.pieces.actor(advance.history)
        if actor.work != "deliver" or not self.pieces.standing(advance.history).result:
            return ""
        attempts = self.store[advance.data]["dispatch_attempts"]
        place = self.store.tables["dispatch_attempts"].at["outcome"]
        for question, answer in self.pieces.answered(advance.history):
            if isinstance(question, seam.Write):
                kept = attempts.get((question.parcel.dispatch_id, actor.token))
                outcome = None if kept is None else kept[place]
                if outcome is None or (answer == seam.ACCEPTED and outcome != "ACCEPTED"):
                    return f"evidence lost: a sender learnt '{answer}', and the log says {outcome}"
        return ""

    # --- beginnings

    def number(self, state: State, process: int) -> int:
        """The worker number that a process holds now."""
        return _number(process, state.processes[process])

    def beginnings(self, state: State) -> Iterator[tuple[int, Actor]]:
        """What may be begun, and where; what would find nothing to do is left out."""
        offers = self._offers_of(state)
        idle = next((process for process in range(len(SENDERS)) if state.seats[process] is None), None)
        if idle is not None:  # those that are idle are alike
            yield from ((idle, self.work_of(state, idle, work)) for work, _ in offers if work in ("deliver", "expire"))
        if state.seats[WATCH] is None:
            for work, holder in offers:
                if work == "look up":
                    yield WATCH, self.work_of(state, WATCH, work)
                if work == "rescue":
                    yield from ((WATCH, actor) for actor in self._rescuers(state, holder))
        if state.seats[DESK] is None:
            for work, index in offers:
                if work in self.bounds.which_acts and self._is_true(state, work, index):
                    token = self.rows(state.data)[index][self.at["claim_token"]]
                    yield DESK, Actor(work, dispatch_id=self.ids[index], token=token)

    def work_of(self, state: State, process: int, work: str) -> Actor:
        """A piece of work of a process as it is now."""
        number = self.number(state, process)
        return Actor(work, number, token=self._fresh_token(state.data, number) if work == "deliver" else None)

    def _rescuers(self, state: State, holder: int) -> Iterator[Actor]:
        """A process that neither sends nor is killed rescues; each sender also looks after what it claimed itself."""
        if holder < 0:
            yield Actor("rescue", self.number(state, WATCH))
            return
        for process in range(len(SENDERS)):
            if holder == self.number(state, process):
                piece = state.seats[process]
                token = None if piece is None else self.pieces.actor(piece.history).token
                yield Actor("rescue", holder, live=() if token is None else (token,))

    def offers(self, state: State, work: str) -> bool:
        """Whether this work would find something to do."""
        return any(offered == work for offered, _ in self._offers_of(state))

    def _offers_of(self, state: State) -> tuple[tuple[str, int], ...]:
        key = (state.data, self.clock(state.spent[DAYS]))
        if key not in self._offers:
            self._offers[key] = tuple(dict.fromkeys(self._find_offers(*key)))
        return self._offers[key]

    def _find_offers(self, data: int, clock: Any) -> Iterator[tuple[str, int]]:
        now, at = clock + 99 * CLAIM, self.at
        for index, row in enumerate(self.rows(data)):
            status, in_doubt = row[at["status"]], row[at["in_doubt"]]
            expired = row[at["expires_at"]] is not None and row[at["expires_at"]] <= now
            if status == "PENDING" and row[at["due_at"]] <= now:
                yield ("expire" if expired else "deliver"), -1
            if status == "QUEUED":
                yield "rescue", -1
                yield "rescue", row[at["claimed_by"]]
            if in_doubt and row[at["lookup_at"]] is not None and row[at["lookup_at"]] <= now:
                yield "look up", -1
            if status in ("PENDING", "FAILED"):
                yield "cancel", index
            if status == "FAILED" or (status == "PENDING" and row[at["due_at"]] > now):
                yield "retry", index
            if in_doubt:
                yield "confirm sent", index
                yield "confirm not sent", index
                if self.kind is GatewayKind.LOOKUP:
                    yield "ask", index
            if row[at["claim_token"]] is not None and status != "SENT":
                yield "told", index

    def _is_true(self, state: State, work: str, index: int) -> bool:
        """Whether a truthful person or provider may do this: each says only what is so, and stays so."""
        if work in ("confirm sent", "told"):
            return bool(state.ledger[index])
        if work == "confirm not sent":
            return not state.ledger[index] and not self._may_still_leave(state, index)
        return True

    def _may_still_leave(self, state: State, index: int) -> bool:
        """Whether a living sender may still hand this dispatch over without asking the log again."""
        for piece in state.seats[: len(SENDERS)]:
            question = None if piece is None else self.pieces.question(piece)
            if question is not None and self.kind is GatewayKind.IDEMPOTENT:
                return True  # it asks only once, for its whole batch
            if isinstance(question, seam.Connect) and question.dispatch_id == self.ids[index]:
                return True
            if isinstance(question, seam.Write) and question.parcel.dispatch_id == self.ids[index]:
                return True
        return False

    def _fresh_token(self, data: int, number: int) -> UUID:
        """A token that is nowhere in the log yet; the same one whatever happened elsewhere."""
        place = self.at["claim_token"]
        tokens = {row[place] for row in self.rows(data)} | {key[1] for key in self.store[data]["dispatch_attempts"]}
        used = [token.int % 1000 for token in tokens if token is not None and token.int // 1000 == number]
        return UUID(int=number * 1000 + max(used, default=0) + 1)

    # --- faults

    def _faults(self, state: State) -> Iterator[Step]:
        for process, name in enumerate(PROCESSES):
            piece = state.seats[process]
            where = "" if piece is None else self._where(piece)
            if self._may(state, KILLS) and self._has_something_to_lose(state, process):
                after = self.killed(state, process)._replace(spent=_and_one(state.spent, KILLS))
                yield Step(after, f"{name} is killed{where}", seat=process)
            if self._may(state, LOCKS) and name in SENDERS and piece is not None:
                lives = list(state.processes)
                lives[process] = (lives[process][0], lives[process][1] + 1)
                after = state._replace(processes=tuple(lives), spent=_and_one(state.spent, LOCKS))
                yield Step(after, f"{name}'s session ends{where}: its lock is free though it lives", seat=process)

    def killed(self, state: State, process: int) -> State:
        """The process is gone with all it was in the middle of; another one starts in its place."""
        lives = list(state.processes)
        lives[process] = (lives[process][0] + 1, 0)
        ours = _number(process, (0, 0)) // 100
        seats = tuple(
            None if piece is not None and self.pieces.actor(piece.history).number // 100 == ours else piece
            for piece in state.seats
        )
        running = state.running if state.running >= 0 and seats[state.running] is not None else -1
        return state._replace(processes=tuple(lives), seats=seats, running=running)

    def _has_something_to_lose(self, state: State, process: int) -> bool:
        if state.seats[process] is not None:
            return True
        pid = _number(process, (state.processes[process][0], 0))
        at = self.at
        return any(
            row[at["claimed_by"]] is not None
            and row[at["claimed_by"]] // 10 == pid // 10
            and (row[at["status"]] == "QUEUED" or row[at["in_doubt"]])
            for row in self.rows(state.data)
        )


def _number(process: int, life: tuple[int, int]) -> int:
    return (process + 1) * 100 + life[0] * 10 + life[1]


def _and_one(spent: tuple[int, ...], kind: int) -> tuple[int, ...]:
    return (*spent[:kind], spent[kind] + 1, *spent[kind + 1 :])


def _seated(state: State, seat: int, piece: Piece | None) -> State:
    seats = (*state.seats[:seat], piece, *state.seats[seat + 1 :])
    return state._replace(seats=seats, running=-1 if piece is None else seat)
