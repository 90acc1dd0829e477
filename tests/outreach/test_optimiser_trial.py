"""Tests that the optimiser of hours earns its place, against patients of whom the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.optimiser import a_against_a, apart, held, regret
from bench.optimiser_world import DAYS_BETWEEN, FIXED, ON, World, Year
from dispatchlog.systems.outreach.optimiser.choosing import FLOOR, HOUR, OPTIMISER, SCOPES, shares_of
from dispatchlog.systems.outreach.optimiser.learning import HOUR_ARMS, Level, Tried, discount
from dispatchlog.systems.outreach.optimiser.proving import win_of, with_shuffled_rewards

MESSAGES = 60


@pytest.fixture(scope="module")
def world() -> World:
    return World(patients=250, seed=1)


@pytest.fixture(scope="module")
def lived(world: World) -> Year:
    return world.year(ON, messages=MESSAGES)


def test_it_loses_less_and_less_against_each_patients_best_hour(lived: Year) -> None:
    decided = lived.only(~lived.held_out)
    early, late = (decided.only(decided.message // 20 == third) for third in (0, 2))

    assert regret(late) < 0.45
    assert regret(late) < 0.7 * regret(early)


def test_it_beats_the_best_hour_for_all_by_weekday_and_channel(world: World, lived: Year) -> None:
    """Which is taken from the truth, so nobody could do better without telling patients apart."""
    fixed = world.year(FIXED, messages=MESSAGES)
    late = [year.only(year.message >= MESSAGES // 2) for year in (lived.only(~lived.held_out), fixed)]

    assert apart(*late).low > 0


def test_its_own_log_proves_it_and_proves_nothing_with_shuffled_rewards(lived: Year) -> None:
    log = lived.log()
    shuffled = win_of(with_shuffled_rewards(log, seed=1), seed=1)

    assert win_of(log, seed=1).low > 0
    assert shuffled.low <= 0 <= shuffled.high


def test_nothing_is_found_between_two_halves_of_the_hold_out(lived: Year) -> None:
    found = a_against_a(lived)

    assert found.low <= 0 <= found.high


def test_the_truth_about_other_policies_is_in_their_intervals(world: World, lived: Year) -> None:
    """In nine of ten at least; the estimates of one log miss it together."""
    others = [World(patients=250, seed=seed) for seed in (2, 3, 4)]
    found = [held(world, lived, lived.log(), seed=1)]
    for other in others:
        year = other.year(ON, messages=MESSAGES)
        found.append(held(other, year, year.log(), seed=other.seed))
    inside, tried = (sum(each[n] for one in found for each in one.values()) for n in (0, 1))

    assert tried == 36
    assert inside >= 0.9 * tried


def test_what_is_decided_for_many_at_once_is_what_is_decided_for_one(lived: Year) -> None:
    """The trial's learner and the one that decides about a message have the same probabilities from the same evidence."""
    before, last = lived.only(lived.message < MESSAGES - 1), lived.message == MESSAGES - 1
    arms = [HOUR_ARMS[hour] for hour in range(4, 10)]
    for row in np.flatnonzero(last & ~lived.held_out)[:12]:
        levels = [known(before, before.owners[n] == lived.owners[n][row]) for n in range(len(SCOPES[HOUR]))]
        one = shares_of(OPTIMISER, HOUR, arms, levels, default=arms[0], rng=np.random.default_rng(1))

        assert lived.shares[row, 4:10] == pytest.approx(one, abs=0.2)
        assert one.min() >= FLOOR / len(arms) - 1e-9


def known(before: Year, which: NDArray[np.bool_]) -> Level:
    age = discount(DAYS_BETWEEN * (MESSAGES - 1.0 - before.message[which]))
    tries = np.bincount(before.taken[which], weights=age, minlength=len(HOUR_ARMS))
    wins = np.bincount(before.taken[which], weights=age * before.reward[which], minlength=len(HOUR_ARMS))
    return {arm: Tried(float(n), float(w)) for arm, n, w in zip(HOUR_ARMS, tries, wins, strict=True)}
