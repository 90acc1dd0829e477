"""What the optimiser would have done at each logged decision, had it known only what was known then. Pure (numpy).

Day by day: what was closed until then is learned, then the day's decisions are made, by Thompson sampling and by the best
fixed arm of each context. Neither ever sees a reward that it is judged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatchlog.systems.outreach.optimiser.choosing import FLOOR, HOUR, SCOPES, strengths_of
from dispatchlog.systems.outreach.optimiser.learning import Floats, discount, shrunk, spread, thompson

Numbers = NDArray[np.int64]
# How often each belief is drawn from; the floor carries what so few draws leave out.
_DRAWS = 50


@dataclass(frozen=True, slots=True)
class Log:
    """Closed decisions of one kind in the order of time, as columns. `owners`: for each level of SCOPES, whose evidence
    counts (numbers from 0). `permitted`: decision x arm; `taken`: the arm's number. Times are in days."""

    kind: str
    owners: Sequence[Numbers]
    permitted: NDArray[np.bool_]
    taken: Numbers
    propensity: Floats
    reward: Floats
    patients: Numbers
    held_out: NDArray[np.bool_]
    chosen_at: Floats
    closed_at: Floats

    def __len__(self) -> int:
        return len(self.taken)


@dataclass(frozen=True, slots=True)
class Replayed:
    """For the later decisions (`at`: their numbers), decision x arm: with which probability the optimiser and the best
    fixed arm would have taken each, and how often it was expected to be answered."""

    at: Numbers
    optimiser: Floats
    fixed: Floats
    expected: Floats


def replay(log: Log, *, judged_from: int, seed: int) -> Replayed:
    """Go through the log; the decisions from number `judged_from` on are what is judged, those before only teach."""
    rng = np.random.default_rng(seed)
    learner = _Learner(log)
    days = np.floor(log.chosen_at)
    pieces: list[tuple[Numbers, Floats, Floats, Floats]] = []
    for day in np.unique(days[judged_from:]):
        learner.learn_until(float(day))
        rows = np.flatnonzero(days == day)
        rows = rows[rows >= judged_from]
        pieces.append((rows, *learner.decide(rows, rng)))
    arms = log.permitted.shape[1]
    if not pieces:
        nothing = np.zeros((0, arms))
        return Replayed(np.zeros(0, dtype=np.int64), nothing, nothing, nothing)
    rows, optimiser, fixed, expected = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return Replayed(rows, optimiser, fixed, expected)


class _Learner:
    """What is known at each level at some instant."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._order = np.argsort(log.closed_at, kind="stable")
        self._done = 0
        self._day: float | None = None
        arms = log.permitted.shape[1]
        self._tries = [np.zeros((int(owner.max(initial=-1)) + 1, arms)) for owner in log.owners]
        self._wins = [np.zeros_like(level) for level in self._tries]

    def learn_until(self, day: float) -> None:
        log = self._log
        if self._day is not None:
            weight = float(discount(day - self._day))
            for level in (*self._tries, *self._wins):
                np.multiply(level, weight, out=level)
        self._day = day
        ends = int(np.searchsorted(log.closed_at[self._order], day))
        rows = self._order[self._done : ends]
        self._done = ends
        for owner, tries, wins in zip(log.owners, self._tries, self._wins, strict=True):
            np.add.at(tries, (owner[rows], log.taken[rows]), 1.0)
            np.add.at(wins, (owner[rows], log.taken[rows]), log.reward[rows])

    def decide(self, rows: Numbers, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        log, permitted = self._log, self._log.permitted[rows]
        levels = [
            (tries[owner[rows]], wins[owner[rows]])
            for owner, tries, wins in zip(log.owners, self._tries, self._wins, strict=True)
        ]
        if log.kind == HOUR:
            levels[-1] = spread(*levels[-1])
        tries = [level * permitted for level, _ in levels]
        wins = [level * permitted for _, level in levels]
        strengths = strengths_of(log.kind)
        alpha, beta = shrunk(tries, wins, strengths)
        optimiser = thompson(alpha, beta, permitted, floor=FLOOR, rng=rng, draws=_DRAWS)
        everybody = [number for number, (scope, _) in enumerate(SCOPES[log.kind]) if scope == "global"]
        mean = _mean(
            *shrunk([tries[n] for n in everybody], [wins[n] for n in everybody], [strengths[n] for n in everybody])
        )
        best = np.where(permitted, mean, -1.0).argmax(-1)
        fixed = np.zeros_like(mean)
        fixed[np.arange(len(rows)), best] = 1.0
        return optimiser, fixed, _mean(alpha, beta)


def _mean(alpha: Floats, beta: Floats) -> Floats:
    return np.asarray(alpha / (alpha + beta))
