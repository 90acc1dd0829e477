"""Tests of comparing shares at every look: what is promised holds for small shares, and where it can be said it is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.sequential import peeked, reached_by_z
from dispatchlog.systems.outreach.experiments.sequential import Arm, difference, judge, log_mixture, share


@pytest.mark.parametrize("truth", [0.01, 0.05, 0.3])
def test_looking_after_every_patient_names_no_winner_where_there_is_none(truth: float) -> None:
    seen = peeked([truth] * 3, patients=1_500, trials=200, seed=7)

    assert sum(one.winner_at is not None for one in seen) <= 10


def test_a_plain_test_that_is_looked_at_after_every_patient_often_names_one() -> None:
    seen = peeked([0.3] * 2, patients=1_500, trials=200, seed=7, reached=reached_by_z)

    assert sum(one.winner_at is not None for one in seen) > 40


def test_a_better_text_is_found_and_it_is_the_right_one() -> None:
    seen = peeked([0.05, 0.05, 0.15], patients=2_400, trials=12, seed=11)

    assert [one.winner for one in seen if one.winner is not None].count("2") >= 9
    assert all(one.winner in (None, "2") for one in seen)


@pytest.mark.parametrize("truth", [0.01, 0.02, 0.03, 0.3])
def test_the_bounds_of_a_share_hold_at_every_look(truth: float) -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        wins = np.cumsum(rng.random(2_000) < truth)
        worst = max(log_mixture(Arm(n, int(wins[n - 1])), np.array([truth]))[0] for n in range(1, 2_000, 13))
        missed += worst >= math.log(20)

    assert missed <= 10


@pytest.mark.parametrize(
    ("arm", "other"), [(Arm(200, 3), Arm(180, 11)), (Arm(40, 0), Arm(35, 0)), (Arm(9, 9), Arm(900, 1))]
)
def test_a_difference_reads_the_same_from_either_side(arm: Arm, other: Arm) -> None:
    one, turned = difference(arm, other), difference(other, arm)

    assert one.low <= one.estimate <= one.high
    assert (one.low, one.high) == pytest.approx((-turned.high, -turned.low))


def test_bounds_are_those_of_the_formula() -> None:
    """What is just inside of the bounds is possible, what is just outside is not."""
    arm = Arm(500, 12)
    found = share(arm)

    inside, outside = (log_mixture(arm, np.array([found.low + by, found.high - by])) for by in (1e-6, -1e-6))
    assert (inside < math.log(20)).all()
    assert (outside > math.log(20)).all()


def test_nothing_is_said_before_every_text_has_its_least_number_of_patients() -> None:
    arms = {"A": Arm(500, 20), "B": Arm(199, 150)}

    assert judge(arms, minimum=200).verdict == "too_few"
    assert judge({**arms, "B": Arm(200, 150)}, minimum=200).winner == "B"


def test_what_is_alike_is_undecided() -> None:
    verdict = judge({"A": Arm(5_000, 250), "B": Arm(5_000, 260)}, minimum=200)

    assert (verdict.verdict, verdict.winner) == ("undecided", None)
    assert verdict.difference is not None
    assert verdict.difference.low < 0 < verdict.difference.high


def test_nobody_yet_is_anything_at_all() -> None:
    verdict = judge({"A": Arm(0, 0), "B": Arm(0, 0)}, minimum=200)

    assert (verdict.verdict, verdict.difference) == ("too_few", None)
    assert (verdict.shares["A"].low, verdict.shares["A"].high) == (0.0, 1.0)


def test_more_who_reached_it_than_were_tried_is_refused() -> None:
    with pytest.raises(ValueError, match="no share"):
        Arm(3, 4)
