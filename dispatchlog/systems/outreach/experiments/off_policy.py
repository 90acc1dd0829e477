"""What another policy would have earned, from what was logged with its probabilities: IPS, SNIPS, DR. Pure (numpy).

IPS: D. Horvitz, D. Thompson, A generalization of sampling without replacement, JASA 47 (1952). SNIPS: A. Swaminathan,
T. Joachims, The self-normalized estimator for counterfactual learning, NeurIPS 2015. DR: M. Dudik, J. Langford, L. Li,
Doubly robust policy evaluation and learning, ICML 2011. The intervals are normal ones, SNIPS' by linearisation, with
decisions about the same patient taken as one (cluster-robust); they hold for some hundreds of patients and more, and where
the probabilities have a floor. They are for one look: who looks again and again does so with fresh data.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dispatchlog.systems.outreach.experiments.sequential import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Logged:
    """One decision: the arm taken with which probability, its reward (0 or 1), the probability that the policy in question
    would have taken it, and what a model expects: of the arm taken, and of the policy on the whole. `patient`: decisions
    about the same one are not independent; None: of nobody else's."""

    propensity: float
    reward: float
    target: float
    expected_taken: float = 0.0
    expected_policy: float = 0.0
    patient: Hashable | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """A log as columns, for many decisions at once; `patients` as whole numbers, None: each decision by itself."""

    propensity: Floats
    reward: Floats
    target: Floats
    expected_taken: Floats
    expected_policy: Floats
    patients: NDArray[np.int64] | None = None

    @property
    def weights(self) -> Floats:
        return np.asarray(self.target / self.propensity)


def columns(log: Sequence[Logged]) -> Columns:
    """The same log as columns. Raises ValueError for a propensity that is none."""
    if any(not 0 < one.propensity <= 1 for one in log):
        raise ValueError("A decision was logged without the probability it was taken with")
    numbers: dict[Hashable, int] = {}
    patients = [
        numbers.setdefault((index,) if one.patient is None else one.patient, len(numbers))
        for index, one in enumerate(log)
    ]
    propensity, reward, target, expected_taken, expected_policy = (
        np.array(
            [(one.propensity, one.reward, one.target, one.expected_taken, one.expected_policy) for one in log],
            dtype=np.float64,
        )
        .reshape(len(log), 5)
        .T
    )
    return Columns(propensity, reward, target, expected_taken, expected_policy, np.array(patients, dtype=np.int64))


def ips(log: Sequence[Logged] | Columns, *, alpha: float = 0.05) -> Interval:
    """Inverse propensity: unbiased."""
    given = _as_columns(log)
    return _mean(given.weights * given.reward, given.patients, alpha)


def snips(log: Sequence[Logged] | Columns, *, alpha: float = 0.05) -> Interval:
    """Self-normalised: a little biased, steadier."""
    given = _as_columns(log)
    total = float(given.weights.sum())
    if not total:
        return _UNKNOWN
    estimate = float(given.weights @ given.reward) / total
    errors = given.weights * (given.reward - estimate) / (total / len(given.reward))
    return _around(estimate, errors, given.patients, alpha)


def doubly_robust(log: Sequence[Logged] | Columns, *, alpha: float = 0.05) -> Interval:
    """With the model's expectation where it helps: unbiased whatever the model, as the probabilities are known."""
    given = _as_columns(log)
    return _mean(given.expected_policy + given.weights * (given.reward - given.expected_taken), given.patients, alpha)


def gain(log: Sequence[Logged] | Columns, over: Sequence[Logged] | Columns, *, alpha: float = 0.05) -> Interval:
    """What one policy earns more than another on the same decisions (DR): `over` has the other's `target` and
    `expected_policy`. Narrower than two intervals, for where both would do the same nothing is uncertain."""
    one, other = _as_columns(log), _as_columns(over)
    if len(one.reward) != len(other.reward) or not np.array_equal(one.reward, other.reward):
        raise ValueError("Two policies are compared on the same decisions")
    earned = one.expected_policy + one.weights * (one.reward - one.expected_taken)
    earned_by_other = other.expected_policy + other.weights * (other.reward - other.expected_taken)
    return _mean(earned - earned_by_other, one.patients, alpha)


_UNKNOWN = Interval(0.0, -math.inf, math.inf)


def _as_columns(log: Sequence[Logged] | Columns) -> Columns:
    return log if isinstance(log, Columns) else columns(log)


def _mean(values: Floats, patients: NDArray[np.int64] | None, alpha: float) -> Interval:
    if not len(values):
        return _UNKNOWN
    estimate = float(values.mean())
    return _around(estimate, values - estimate, patients, alpha)


def _around(estimate: float, errors: Floats, patients: NDArray[np.int64] | None, alpha: float) -> Interval:
    sums = errors if patients is None else np.bincount(patients, weights=errors)
    if patients is not None:
        sums = sums[np.bincount(patients) > 0]
    if len(sums) < 2:
        return Interval(estimate, -math.inf, math.inf)
    spread = math.sqrt(len(sums) / (len(sums) - 1) * float(sums @ sums)) / len(errors)
    half = NormalDist().inv_cdf(1 - alpha / 2) * spread
    return Interval(estimate, estimate - half, estimate + half)
