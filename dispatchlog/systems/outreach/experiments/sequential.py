"""Comparing shares while they come in: intervals that hold at every look at once (confidence sequences). Pure.

The error over all looks together is at most `alpha`, exactly and for shares of any size: nothing is taken to be normal.

For shares p of one arm, q of the other, after w of n and v of m (the order in which patients come does not matter):

    B(p)    = beta(w + 1/2, n - w + 1/2) / beta(1/2, 1/2) / (p^w (1 - p)^(n - w))
    T(p, t) = exp(t w) / (1 - p + p exp(t))^n
    E(p, q) = 1/10 B(p) B(q) + 9/10 (mean over t of T(p, s t) T(q, -(1 - s) t)), s in {1/2, 1, 0}, steps t either way

Under the true p and q each part is a martingale that begins at 1 and is never negative, and so is their mean; so with a
probability of at most alpha it ever reaches 1/alpha (Ville). The shares' bounds are the p with B(p) < 1/alpha; those of
the difference are the smallest and largest p - q among all pairs with E(p, q) < 1/alpha. B shuts out what is far away, T
is what sees a small difference: it pays for one unknown, not for two.

B: H. Robbins, Statistical methods related to the law of the iterated logarithm, Ann. Math. Statist. 41 (1970); S. Howard,
A. Ramdas, J. McAuliffe, J. Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Ann. Statist. 49
(2021), the beta-binomial mixture. The mean of such quantities: V. Vovk, R. Wang, E-values, Ann. Statist. 49 (2021).
Shutting out pairs of shares and reading the difference off what is left: R. Turner, P. Grünwald, Exact anytime-valid
confidence intervals for contingency tables and beyond, Stat. Probab. Lett. 198 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EDGE = 1e-12
_GRID = 400
_MOST = 340.0
FULL = 0.1
# Differences of log odds, from very small to large, each either way; and how a step is divided between the two arms.
_STEPS = 0.025 * 1.6 ** np.arange(11)
_DIVISIONS = ((0.5, -0.5, 0.5), (1.0, 0.0, 0.2), (0.0, -1.0, 0.2))
_SIGNED = np.concatenate([-_STEPS, _STEPS])
# Of each step, the part of the one arm and that of the other; and what it counts.
PARTS = tuple(np.concatenate([_SIGNED * division[arm] for division in _DIVISIONS]) for arm in (0, 1))
WEIGHTS = np.concatenate([np.full(len(_SIGNED), weight / len(_SIGNED)) for _, _, weight in _DIVISIONS])


@dataclass(frozen=True, slots=True)
class Arm:
    """Of `tries` patients `wins` reached the goal."""

    tries: int
    wins: int

    def __post_init__(self) -> None:
        if not 0 <= self.wins <= self.tries:
            raise ValueError(f"{self.wins} of {self.tries} is no share")

    @property
    def share(self) -> float:
        return self.wins / self.tries if self.tries else 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`winner` only where the best is above each other arm with the bound, and every arm has the minimum. `verdict`:
    "too_few", "undecided", "winner". `difference`: the best less the second, None where one of them has nobody."""

    verdict: str
    winner: str | None
    shares: Mapping[str, Interval]
    difference: Interval | None


def share(arm: Arm, *, alpha: float = 0.05) -> Interval:
    """An arm's share with bounds that hold at all times."""
    low, high = _bounds(arm, -math.log(alpha))
    return Interval(arm.share, low, high)


@lru_cache(maxsize=1_024)
def difference(one: Arm, other: Arm, *, alpha: float = 0.05) -> Interval:
    """One's share less the other's, with bounds that hold at all times."""
    far = -math.log(alpha * FULL)
    p = np.linspace(*_bounds(one, far - _least(other)), _GRID)
    q = np.linspace(*_bounds(other, far - _least(one)), _GRID)
    possible = _evidence(one, other, p, q) < 1 / alpha
    between = (p[:, None] - q[None, :])[possible]
    # What is possible may go on until the next point of the grid.
    cell = float(p[1] - p[0] + q[1] - q[0])
    estimate = one.share - other.share
    low, high = float(between.min()) - cell, float(between.max()) + cell
    return Interval(estimate, max(-1.0, min(low, estimate)), min(1.0, max(high, estimate)))


def judge(arms: Mapping[str, Arm], *, minimum: int, alpha: float = 0.05) -> Verdict:
    """Which arm is the best, if that can be said; `alpha` is shared among all comparisons.

    With k arms each comparison has alpha / (k - 1): to be named wrongly, an arm has to beat one that is truly the best, or
    that one has to beat its equal; so all errors lie in the k - 1 comparisons with it.
    """
    shares = {key: share(arm, alpha=alpha) for key, arm in arms.items()}
    ranked = sorted(arms, key=lambda key: -arms[key].share)
    if len(ranked) < 2:
        return Verdict("too_few", None, shares, None)
    best, *others = ranked
    each = alpha / len(others)
    second = difference(arms[best], arms[others[0]], alpha=each) if all(arms[key].tries for key in ranked[:2]) else None
    if any(arm.tries < max(1, minimum) for arm in arms.values()):
        return Verdict("too_few", None, shares, second)
    if all(difference(arms[best], arms[other], alpha=each).low > 0 for other in others):
        return Verdict("winner", best, shares, second)
    return Verdict("undecided", None, shares, second)


def log_mixture(arm: Arm, p: Floats) -> Floats:
    """The logarithm of B at each p."""
    losses = arm.tries - arm.wins
    mixed = math.lgamma(arm.wins + 0.5) + math.lgamma(losses + 0.5) - math.lgamma(arm.tries + 1) - math.log(math.pi)
    p = np.clip(p, _EDGE, 1 - _EDGE)
    return mixed - arm.wins * np.log(p) - losses * np.log1p(-p)


def _evidence(one: Arm, other: Arm, p: Floats, q: Floats) -> Floats:
    """E for each pair of shares. What is too large for a number is cut off: it is far above any bound."""
    tilted = (_raised(_tilts(one, p, PARTS[0])) * WEIGHTS) @ _raised(_tilts(other, q, PARTS[1])).T
    mixed = _raised(log_mixture(one, p))[:, None] * _raised(log_mixture(other, q))[None, :]
    return np.asarray(tilted + FULL * mixed)


def _tilts(arm: Arm, p: Floats, steps: Floats) -> Floats:
    return np.asarray(arm.wins * steps - arm.tries * np.log1p(p[:, None] * np.expm1(steps)))


def _raised(exponent: Floats) -> Floats:
    # Cut off downwards only: then nothing is shut out that should not be.
    return np.where(exponent < -_MOST, 0.0, np.exp(np.minimum(exponent, _MOST)))


def _least(arm: Arm) -> float:
    return float(log_mixture(arm, np.array([arm.share]))[0])


def _bounds(arm: Arm, most: float) -> tuple[float, float]:
    """Between which p the logarithm of B is below `most`; it falls until the arm's share and rises after it."""
    return _edge(arm, most, 0.0), _edge(arm, most, 1.0)


def _edge(arm: Arm, most: float, end: float) -> float:
    inside, outside = arm.share, end
    if log_mixture(arm, np.array([end]))[0] < most:
        return end
    for _ in range(60):
        middle = (inside + outside) / 2
        if log_mixture(arm, np.array([middle]))[0] < most:
            inside = middle
        else:
            outside = middle
    return outside
