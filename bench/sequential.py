"""Whether tests of variants keep what they promise: `python -m bench.sequential [--trials N] [--patients N]`.

Made-up patients come one after the other, each to a variant by lot, and after every one of them somebody looks. Counts how
often a winner is named where all are alike (at most 5 in 100), by the product's way and by a plain test at 5 % each time;
and, with a look after every hundred, how often and after how many patients a better one is found. Prints a table; the exit
code is 1 where the promise is not kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from dispatchlog.systems.outreach.experiments.sequential import FULL, PARTS, WEIGHTS, Arm, judge

ALPHA = 0.05
MINIMUM = 50
Whole = NDArray[np.int64]
Reached = Callable[[Whole, Whole], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Seen:
    """One trial looked at after every patient: which variant was named, after how many patients."""

    winner: str | None
    winner_at: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One setting's figures."""

    shares: tuple[float, ...]
    way: str
    trials: int
    patients: int
    named: float
    wrong: float
    half_after: int | None


def peeked(
    shares: Sequence[float], *, patients: int, trials: int, seed: int, every: int = 1, reached: Reached | None = None
) -> list[Seen]:
    """Trials of so many patients each, looked at after `every` so many of them. `reached`, given for comparison, says at
    which looks a pair (tries and wins of two arms each) differs; the product's `judge` is asked itself, at every look at
    which it could name one."""
    rng = np.random.default_rng(seed)
    return [_trial(rng, np.array(shares), patients, every, reached) for _ in range(trials)]


def reached_by_z(tries: Whole, wins: Whole) -> NDArray[np.bool_]:
    """The plain test of two shares, at 5 % each time somebody looks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = wins.sum(axis=-1) / tries.sum(axis=-1)
        error = np.sqrt(pooled * (1 - pooled) * (1 / tries).sum(axis=-1))
        z = np.abs(wins[:, 0] / tries[:, 0] - wins[:, 1] / tries[:, 1]) / error
    return np.asarray((z > 1.96) & (tries >= MINIMUM).all(axis=-1))


def _trial(
    rng: np.random.Generator, shares: NDArray[np.float64], patients: int, every: int, reached: Reached | None
) -> Seen:
    arm = rng.integers(len(shares), size=patients)
    won = rng.random(patients) < shares[arm]
    of_arm = arm[:, None] == np.arange(len(shares))
    tries, wins = of_arm.cumsum(axis=0), (of_arm & won[:, None]).cumsum(axis=0)
    if reached is not None:
        return _first_named(tries, wins, reached)
    for look in _looks(tries, wins):
        if look % every:
            continue
        arms = {str(key): Arm(int(tries[look, key]), int(wins[look, key])) for key in range(len(shares))}
        verdict = judge(arms, minimum=MINIMUM, alpha=ALPHA)
        if verdict.winner is not None:
            return Seen(verdict.winner, look + 1)
    return Seen(None, None)


def _looks(tries: Whole, wins: Whole) -> Iterator[int]:
    """At which looks a winner could be named: where, at their common share, the evidence against the best and each other's
    being alike reaches what is asked. At no other can it, as the evidence has to reach that at every share."""
    enough = np.flatnonzero((tries >= MINIMUM).all(axis=1))
    tries, wins = tries[enough], wins[enough]
    ranked = np.argsort(-wins / np.maximum(1, tries), axis=1, kind="stable")
    asked = (tries.shape[1] - 1) / ALPHA
    could = np.ones(len(enough), dtype=bool)
    for rank in range(1, tries.shape[1]):
        pair = ranked[:, [0, rank]]
        of_pair = (np.take_along_axis(of, pair, axis=1) for of in (tries, wins))
        could[could] &= _pooled_evidence(*(of[could] for of in of_pair)) >= asked
    yield from (int(look) for look in enough[could])


def _pooled_evidence(tries: Whole, wins: Whole) -> NDArray[np.float64]:
    """E of the product's formula at the common share of two arms, for many looks at once ([look, arm])."""
    if not len(tries):
        return np.zeros(0)
    gamma = np.array([math.lgamma(count + 0.5) for count in range(int(tries.max()) + 1)])
    whole = np.array([math.lgamma(count + 1) for count in range(int(tries.max()) + 1)])
    all_wins, all_tries = wins.sum(axis=1), tries.sum(axis=1)
    common = np.clip(all_wins / all_tries, 1e-12, 1 - 1e-12)
    mixed = (gamma[wins] + gamma[tries - wins] - whole[tries] - math.log(math.pi)).sum(axis=1)
    mixed -= all_wins * np.log(common) + (all_tries - all_wins) * np.log1p(-common)
    tilted = np.zeros((len(tries), len(WEIGHTS)))
    for arm, parts in enumerate(PARTS):
        tilted += wins[:, [arm]] * parts - tries[:, [arm]] * np.log1p(common[:, None] * np.expm1(parts))
    return np.asarray(np.exp(tilted) @ WEIGHTS + FULL * np.exp(mixed))


def _first_named(tries: Whole, wins: Whole, reached: Reached) -> Seen:
    count = tries.shape[1]
    ahead = np.ones((len(tries), count, count), dtype=bool)
    rates = wins / np.maximum(1, tries)
    for one in range(count):
        for other in range(one + 1, count):
            apart = reached(tries[:, [one, other]], wins[:, [one, other]])
            ahead[:, one, other] = apart & (rates[:, one] > rates[:, other])
            ahead[:, other, one] = apart & (rates[:, one] < rates[:, other])
    named = np.asarray(ahead.all(axis=2))
    looks = np.flatnonzero(np.any(named, axis=1))
    return Seen(str(int(named[looks[0]].argmax())), int(looks[0]) + 1) if len(looks) else Seen(None, None)


def measure(trials: int, patients: int) -> list[Row]:
    """False winners where all are alike, by either way; then what is found where one is better."""
    rows = []
    for count, truth in itertools.product((2, 3), (0.01, 0.05, 0.3)):
        for way, reached in (("ours", None), ("plain test", reached_by_z)):
            seen = peeked([truth] * count, patients=patients, trials=trials, seed=1, reached=reached)
            rows.append(_row((truth,) * count, way, seen, patients, right=None))
    for shares in ((0.01, 0.01, 0.03), (0.05, 0.05, 0.08), (0.05, 0.08), (0.3, 0.3, 0.36)):
        seen = peeked(shares, patients=4 * patients, trials=max(1, trials // 10), seed=2, every=100)
        rows.append(_row(shares, "ours", seen, 4 * patients, right=str(len(shares) - 1)))
    return rows


def _row(shares: tuple[float, ...], way: str, seen: Sequence[Seen], patients: int, *, right: str | None) -> Row:
    named = sorted(one.winner_at for one in seen if one.winner_at is not None)
    wrong = sum(one.winner is not None and one.winner != right for one in seen)
    half = named[len(seen) // 2] if len(named) > len(seen) // 2 else None
    return Row(shares, way, len(seen), patients, len(named) / len(seen), wrong / len(seen), half)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--patients", type=int, default=3_000)
    wanted = parser.parse_args()
    rows = measure(wanted.trials, wanted.patients)
    print("shares                 way         patients  trials   named   wrong   half of them found after")
    for row in rows:
        shares = " / ".join(f"{value:.0%}" for value in row.shares)
        found = f"{row.half_after:,}" if row.half_after else "-"
        print(
            f"{shares:<22} {row.way:<11} {row.patients:>8,} {row.trials:>7,} {row.named:>7.1%} {row.wrong:>7.1%}   {found}"
        )
    print(json.dumps([asdict(row) for row in rows]))
    return int(any(row.way == "ours" and row.wrong > ALPHA for row in rows))


if __name__ == "__main__":
    sys.exit(main())
