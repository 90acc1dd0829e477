"""Tests of estimating another policy from a log: the truth is in the interval about as often as is promised."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from dispatchlog.systems.outreach.experiments.off_policy import (
    Columns,
    Logged,
    columns,
    doubly_robust,
    gain,
    ips,
    snips,
)
from dispatchlog.systems.outreach.experiments.sequential import Interval

ARMS = 7
RUNS = 400
Estimator = Callable[[Columns], Interval]


def simulated(seed: int, *, patients: int = 1_500, each: int = 3) -> tuple[Columns, float]:
    """A log of a policy with a floor, and what the policy in question would earn of these patients on average."""
    rng = np.random.default_rng(seed)
    best = rng.integers(ARMS, size=patients).repeat(each)
    # How likely one patient answers at all is the same each time, so decisions about them are not independent.
    level = rng.beta(1, 12, size=patients).repeat(each)
    answers = np.clip(level[:, None] * np.where(np.arange(ARMS) == best[:, None], 2.0, 0.7), 0, 1)
    logging = 0.9 * rng.dirichlet(np.ones(ARMS), size=patients * each) + 0.1 / ARMS
    target = np.where(np.arange(ARMS) == best[:, None], 0.7, 0.3 / (ARMS - 1))
    arm = (logging.cumsum(axis=1) > rng.random(patients * each)[:, None]).argmax(axis=1)
    taken = np.arange(patients * each), arm
    model = np.clip(answers + rng.normal(0, 0.02, answers.shape), 0, 1)
    log = Columns(
        propensity=logging[taken],
        reward=(rng.random(patients * each) < answers[taken]).astype(float),
        target=target[taken],
        expected_taken=model[taken],
        expected_policy=(target * model).sum(axis=1),
        patients=np.arange(patients).repeat(each),
    )
    # Of all patients of whom these are a sample.
    return log, (0.7 * 2.0 + 0.3 * 0.7) / 13


@pytest.mark.parametrize("estimator", [ips, snips, doubly_robust])
def test_the_truth_is_in_the_interval_about_as_often_as_is_promised(estimator: Estimator) -> None:
    held = 0
    for seed in range(RUNS):
        log, truth = simulated(seed)
        found = estimator(log)
        held += found.low <= truth <= found.high

    assert 0.92 <= held / RUNS <= 0.98


def test_decisions_about_the_same_patient_are_not_counted_as_independent() -> None:
    """A log in which everything stands twice knows no more than the log itself."""
    log, _ = simulated(1)
    assert log.patients is not None
    twice = Columns(*(np.concatenate([column, column]) for column in every(log)), np.tile(log.patients, 2))

    for estimator in (ips, snips, doubly_robust):
        assert width(estimator(twice)) == pytest.approx(width(estimator(log)))


def test_a_model_that_is_right_makes_the_interval_narrower() -> None:
    log, _ = simulated(1)

    assert width(doubly_robust(log)) < width(ips(log))


def test_a_policy_gains_nothing_over_itself() -> None:
    log, _ = simulated(1)

    assert gain(log, log) == Interval(0.0, 0.0, 0.0)


def test_what_is_read_line_by_line_is_what_is_read_as_columns() -> None:
    log, _ = simulated(1, patients=200)
    assert log.patients is not None
    lines = [
        Logged(*map(float, values), patient=f"patient {patient}")
        for *values, patient in zip(*every(log), log.patients, strict=True)
    ]

    for estimator in (ips, snips, doubly_robust):
        found, same = estimator(lines), estimator(log)
        assert (found.estimate, found.low, found.high) == pytest.approx((same.estimate, same.low, same.high))


def test_of_nothing_nothing_is_known() -> None:
    for estimator in (ips, snips, doubly_robust):
        assert (estimator([]).low, estimator([]).high) == (-math.inf, math.inf)


def test_a_decision_without_its_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="without the probability"):
        columns([Logged(0.0, 1.0, 1.0)])


def width(found: Interval) -> float:
    return found.high - found.low


def every(log: Columns) -> tuple[np.ndarray, ...]:
    return log.propensity, log.reward, log.target, log.expected_taken, log.expected_policy
