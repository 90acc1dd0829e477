"""One state of the world as a plain value, the bounds on what may happen, and a step between two states. Does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.exploration.pieces import Piece

SENDERS = ("A", "B")
PROCESSES = (*SENDERS, "R")
SEATS = (*PROCESSES, "desk")
WATCH, DESK = SEATS.index("R"), SEATS.index("desk")
# What a person or a provider does of his own accord.
ACTS = frozenset({"cancel", "retry", "confirm sent", "confirm not sent", "ask", "told"})

Ledger = tuple[tuple[tuple[str, int], ...], ...]


@dataclass(frozen=True)
class Bounds:
    """How much may happen.

    Attributes:
        batch: dispatches per claim at the most.
        days: how often time passes.
        pauses: how often somebody is left standing in the middle of his work while something else happens.
        kills: how often a process is killed.
        locks: how often a process that lives loses its lock.
        replies: how often a provider says anything but yes, or its answer is lost.
        commits: how often a COMMIT, or only its reply, is lost.
        acts: how often a person, or a provider of its own accord, does something.
        which_acts: what they may do.
        troubles: pauses, faults and acts together.
        expiring: whether the first dispatch is of no use after the second day.
        statements: others may come in between any two statements, not only between transactions.
        exact: no two states are taken for one, so that each can be compared with a real database.
    """

    deliveries: int = 3
    batch: int = 2
    days: int = 2
    pauses: int = 1
    kills: int = 2
    locks: int = 1
    replies: int = 1
    commits: int = 1
    acts: int = 1
    which_acts: frozenset[str] = ACTS
    troubles: int = 3
    expiring: bool = False
    statements: bool = False
    exact: bool = False


# What is spent of each, in this order.
DAYS, PAUSES, KILLS, LOCKS, REPLIES, COMMITS, ACTED = range(7)


class State(NamedTuple):
    """One state of the world."""

    data: int
    ledger: Ledger  # per dispatch: the keys that the provider accepted, and how many days ago
    processes: tuple[tuple[int, int], ...]  # per process: how often it was killed, and how often it lost its lock since
    seats: tuple[Piece | None, ...]  # what each is in the middle of
    running: int  # the seat that acted last and is in the middle of something, or -1
    spent: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One step: what happened in words, and what is wrong with it, if anything is."""

    state: State
    words: str
    wrong: str = ""
    seat: int = -1
    did: tuple[tuple[Any, Any], ...] = ()
