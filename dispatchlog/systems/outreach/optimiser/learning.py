"""How an arm does, learned at several levels and shrunk from the patient over the organisation to everybody. Pure (numpy).

Beta-Bernoulli: the belief about an arm for a patient is Beta(k * m + wins, k * (1 - m) + losses), where m is what the
level above expects of that arm and k, the level's strength, is how many tries that expectation is worth; m comes about in
the same way, up to everybody's, whose m is the share over all arms. k follows from how much a level differs from the one
above: where shares about m vary with the variance v, k is m * (1 - m) / v - 1. Patients with shares about 0.2 that differ
by 0.16 from each other give k = 5; clinics that differ by 0.05 give k = 60.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Twelve arms of two hours each, by the clock where the patient is: "00-02" ... "22-24".
HOUR_ARMS: tuple[str, ...] = tuple(f"{hour:02}-{hour + 2:02}" for hour in range(0, 24, 2))

# Everybody, everybody in the context, the organisation in the context, the patient.
STRENGTHS = (20.0, 60.0, 60.0, 5.0)
# Before anything is known: one of ten answers, worth five tries.
_FIRST_WINS, _FIRST_TRIES = 0.5, 5.0
# Who answers at nine is likely to answer at eleven: what part of a patient's try counts for the arms one and two beside it.
NEIGHBOURS = (0.5, 0.15)
# Their evidence never counts for more tries than this, however much of it there is.
MOST_BORROWED = 10.0
# After so many days evidence counts half: habits last, and a message every few days is little to learn them from.
HALF_LIFE_DAYS = 730.0
# The draws are made as if there were so many times the evidence: the floor and the hold-out try out enough.
SHARPNESS = 10.0
DRAWS = 200
# So many unanswered messages of the last month make somebody as tired of them as the score can say.
MOST_UNANSWERED = 10
# How many rows are drawn at once; bounds the memory.
_ROWS = 500


@dataclass(frozen=True, slots=True)
class Tried:
    """How often an arm was tried and won; older ones may count for less, so these are no whole numbers."""

    tries: float = 0.0
    wins: float = 0.0


Level = Mapping[str, Tried]
"""What is known of each arm at one level."""


def discount(days: Floats | float) -> Floats:
    """What evidence of this age counts."""
    return np.asarray(0.5 ** (np.asarray(days, dtype=float) / HALF_LIFE_DAYS))


def beliefs(
    arms: Sequence[str], levels: Sequence[Level], strengths: Sequence[float] = STRENGTHS
) -> tuple[Floats, Floats]:
    """Alpha and beta of each arm's belief; `levels` from everybody's to the patient's own, one for each strength."""
    known = [[level.get(arm, Tried()) for arm in arms] for level in levels]
    tries = [np.array([each.tries for each in level]) for level in known]
    wins = [np.array([each.wins for each in level]) for level in known]
    return shrunk(tries, wins, strengths)


def shrunk(tries: Sequence[Floats], wins: Sequence[Floats], strengths: Sequence[float]) -> tuple[Floats, Floats]:
    """The same for many at once: each level's counts with the arms on the last axis, the other axes broadcast."""
    share = (wins[0].sum(-1, keepdims=True) + _FIRST_WINS) / (tries[0].sum(-1, keepdims=True) + _FIRST_TRIES)
    alpha, beta = share, 1 - share
    for tried, won, strength in zip(tries, wins, strengths, strict=True):
        expected = alpha / (alpha + beta)
        alpha = strength * expected + won
        beta = strength * (1 - expected) + (tried - won)
    return alpha, beta


def spread(tries: Floats, wins: Floats, weights: Sequence[float] = NEIGHBOURS) -> tuple[Floats, Floats]:
    """Tries and wins of the twelve hours (last axis), each with part of those of the hours beside it, round the clock."""
    borrowed, won = np.zeros_like(tries), np.zeros_like(wins)
    for distance, weight in enumerate(weights, start=1):
        borrowed += weight * (np.roll(tries, distance, -1) + np.roll(tries, -distance, -1))
        won += weight * (np.roll(wins, distance, -1) + np.roll(wins, -distance, -1))
    scale = MOST_BORROWED / np.maximum(borrowed, MOST_BORROWED)
    return tries + scale * borrowed, wins + scale * won


def spread_level(level: Level, weights: Sequence[float] = NEIGHBOURS) -> Level:
    """The same of one level of hours."""
    known = [level.get(arm, Tried()) for arm in HOUR_ARMS]
    found = spread(np.array([each.tries for each in known]), np.array([each.wins for each in known]), weights)
    return {arm: Tried(float(tries), float(wins)) for arm, tries, wins in zip(HOUR_ARMS, *found, strict=True)}


def probabilities(
    arms: Sequence[str],
    levels: Sequence[Level],
    *,
    floor: float,
    rng: np.random.Generator,
    draws: int = DRAWS,
    strengths: Sequence[float] = STRENGTHS,
) -> Floats:
    """With which probability Thompson sampling takes each arm, mixed with `floor` spread evenly, so that none is below
    floor / len(arms). These are the probabilities by which the arm is then drawn, so the propensity is known exactly."""
    alpha, beta = beliefs(arms, levels, strengths)
    return thompson(alpha, beta, floor=floor, rng=rng, draws=draws)


def thompson(
    alpha: Floats,
    beta: Floats,
    permitted: NDArray[np.bool_] | None = None,
    *,
    floor: float,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Floats:
    """The same for many at once, arms on the last axis: how often each permitted arm had the highest of `draws` draws of
    its belief (sharpened), mixed with the floor. Rows without a permitted arm are 0."""
    shape = np.broadcast_shapes(alpha.shape, beta.shape)
    open_to = np.ones(shape, dtype=bool) if permitted is None else np.broadcast_to(permitted, shape)
    alphas = np.broadcast_to(SHARPNESS * alpha, shape).reshape(-1, shape[-1])
    betas = np.broadcast_to(SHARPNESS * beta, shape).reshape(-1, shape[-1])
    open_rows = open_to.reshape(-1, shape[-1])
    pieces = [slice(at, at + _ROWS) for at in range(0, len(open_rows), _ROWS)]
    shares = [_highest(alphas[piece], betas[piece], open_rows[piece], rng, draws) for piece in pieces]
    taken = np.concatenate(shares).reshape(shape) if shares else np.zeros(shape)
    evenly = open_to / np.maximum(open_to.sum(-1, keepdims=True), 1)
    return (1 - floor) * taken + floor * evenly


def _highest(alpha: Floats, beta: Floats, open_to: NDArray[np.bool_], rng: np.random.Generator, draws: int) -> Floats:
    drawn = np.where(open_to, rng.beta(alpha, beta, size=(draws, *alpha.shape)), -1.0)
    best = drawn.argmax(-1)
    arms = alpha.shape[-1]
    counted = np.bincount((best + arms * np.arange(len(alpha))).ravel(), minlength=len(alpha) * arms)
    return np.where(open_to, counted.reshape(alpha.shape) / draws, 0.0)


def fatigue(unanswered_30_days: int) -> float:
    """From 0 to 1, how tired of messages somebody is: those of the last 30 days since they last opened, clicked or
    answered one, in tenths."""
    return min(1.0, unanswered_30_days / MOST_UNANSWERED)
