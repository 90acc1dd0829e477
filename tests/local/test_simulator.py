"""Tests of the made-up patients: what is known of them is what they do, and the same seed makes the same ones."""

from __future__ import annotations

import numpy as np

from dispatchlog.local.simulator import DAYTIME, Patience, Population

EVERYBODY = np.arange(4_000)


def test_patients_answer_as_often_as_is_known_of_them() -> None:
    population, rng = Population(4_000, 1), np.random.default_rng(5)
    channel = population.favourite_channel(EVERYBODY)
    likely = population.by_hour(EVERYBODY, weekday=2, channel=channel)[:, 9]

    answered = Patience(4_000).send(EVERYBODY, likely, rng).answered

    assert abs(answered.mean() - likely.mean()) < 4 * float(np.sqrt((likely * (1 - likely)).sum())) / 4_000


def test_there_are_people_of_the_morning_and_of_the_evening() -> None:
    population = Population(4_000, 1)
    channel = population.favourite_channel(EVERYBODY)
    hours, likely = population.best_hours(EVERYBODY, weekday=1, channel=channel)
    evenly = population.by_hour(EVERYBODY, weekday=1, channel=channel)[:, DAYTIME].mean()

    assert min((hours == DAYTIME[0]).mean(), (hours == DAYTIME[-1]).mean()) > 0.1
    assert likely.mean() > 1.5 * evenly


def test_the_best_hour_for_all_is_none_better() -> None:
    population = Population(4_000, 1)
    best = population.best_hour_for_all(weekday=6, channel=1)
    means = population.by_hour(EVERYBODY, weekday=6, channel=np.ones(4_000, dtype=int)).mean(axis=0)

    assert all(means[best] >= means[hour] for hour in DAYTIME)


def test_unanswered_messages_tire_and_rest_mends() -> None:
    population, patience, rng = Population(4_000, 1), Patience(4_000), np.random.default_rng(5)
    channel = population.favourite_channel(EVERYBODY)

    def share() -> float:
        return float(population.by_hour(EVERYBODY, weekday=0, channel=channel, fatigue=patience.fatigue).mean())

    rested = share()
    opted_out = [patience.send(EVERYBODY, np.zeros(4_000), rng).opted_out.sum() for _ in range(12)]
    tired = share()
    patience.rest(90)

    assert tired < 0.7 * rested < rested
    assert abs(share() - rested) < 0.01 * rested
    assert sum(opted_out[6:]) > sum(opted_out[:6])
