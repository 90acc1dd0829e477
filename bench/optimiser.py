"""Whether the optimiser of hours earns its place: `python -m bench.optimiser [--seeds N] [--patients N] [--messages N]`.

Made-up patients of whom the truth is known get a message every four days. The optimiser's own code decides for nine in ten
of them, the others are its hold-out; the same patients live the same time with other policies. Prints, over several seeds:

- regret: what is lost against each patient's best hour, as a share of what an even draw loses;
- the win over the best hour for everybody by weekday and channel, in truth, in a trial, and as the product's proof has it;
- that nothing is found where there is nothing: the hold-out against itself, and shuffled rewards;
- how often off-policy intervals have the truth in them; and opt-outs per 1,000 messages.

The exit code is 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from bench.optimiser_world import DAYS_BETWEEN, EVENLY, FIXED, LEARNING, ON, UNIFORM, World, Year
from dispatchlog.local.simulator import HOURS, Floats
from dispatchlog.systems.outreach.experiments.off_policy import Columns, doubly_robust, ips, snips
from dispatchlog.systems.outreach.experiments.sequential import Interval
from dispatchlog.systems.outreach.optimiser.proving import win_of, with_shuffled_rewards
from dispatchlog.systems.outreach.optimiser.replay import Log, replay

YEAR = 365 // DAYS_BETWEEN
GOAL_REGRET = 0.25
# Two-sided 95 % of Student's t by degrees of freedom; the normal one after these.
_T = (math.inf, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
ESTIMATORS = {"IPS": ips, "SNIPS": snips, "DR": doubly_robust}


@dataclass(frozen=True, slots=True)
class Seed:
    """One seed's figures. Wins are in answers per message; `held`: off-policy intervals with the truth in them."""

    seed: int
    regret_by_quarter: list[float]
    regret_first_year: float
    regret_last_quarter: float
    regret_fixed: float
    win_in_truth: float
    win_in_trial: Interval
    proof_on: Interval
    proof_learning: Interval
    shuffled: Interval
    learned_from_shuffled: float
    aa: Interval
    held: dict[str, tuple[int, int]]
    opt_outs: dict[str, float]


def measure(seed: int, *, patients: int, messages: int) -> Seed:
    """Everything for one seed."""
    world = World(patients=patients, seed=seed)
    lived = world.year(ON, messages=messages)
    fixed = world.year(FIXED, messages=messages)
    decided = lived.only(~lived.held_out)
    first_year = lived.only(lived.message < YEAR)
    log = first_year.log()
    return Seed(
        seed=seed,
        regret_by_quarter=[regret(part) for part in _quarters(decided)],
        regret_first_year=regret(decided.only(decided.message < YEAR)),
        regret_last_quarter=regret(decided.only(decided.message >= messages - YEAR // 4)),
        regret_fixed=regret(fixed),
        win_in_truth=float((decided.expected - _at(decided, world.best_for_all)).mean()),
        win_in_trial=apart(decided, fixed),
        proof_on=win_of(log, seed=seed),
        proof_learning=win_of(world.year(LEARNING, messages=YEAR).log(), seed=seed),
        shuffled=win_of(with_shuffled_rewards(log, seed=seed), seed=seed),
        learned_from_shuffled=_learned_from_shuffled(world),
        aa=a_against_a(lived),
        held=held(world, first_year, log, seed=seed),
        opt_outs={
            "optimiser": 1000 * float(decided.opted_out.mean()),
            "hold-out": 1000 * float(lived.opted_out[lived.held_out].mean()),
            "best hour for all": 1000 * float(fixed.opted_out.mean()),
            "even draw": 1000 * float(world.year(UNIFORM, messages=messages).opted_out.mean()),
        },
    )


def regret(year: Year) -> float:
    """What was lost against each patient's best hour, as a share of what an even draw loses, by the true shares."""
    return float((year.best - year.expected).sum() / (year.best - year.evenly).sum())


def apart(one: Year, other: Year) -> Interval:
    """How many more of its messages one's patients answered, with a 95 % interval that takes each patient as one."""
    shares = [_answered(year.reward, year.patients) for year in (one, other)]
    return _less(*shares)


def a_against_a(year: Year) -> Interval:
    """Two halves of the hold-out, drawn by lot, against each other: nothing is to be found."""
    of_first = np.random.default_rng(int(year.patients.max())).random(int(year.patients.max()) + 1) < 0.5
    halves = (year.held_out & of_first[year.patients], year.held_out & ~of_first[year.patients])
    return _less(*(_answered(year.reward[half], year.patients[half]) for half in halves))


def held(world: World, year: Year, log: Log, *, seed: int) -> dict[str, tuple[int, int]]:
    """Of how many estimates of three other policies from this log the interval has the truth in it."""
    replayed = replay(log, judged_from=len(log) // 2, seed=seed)
    at = replayed.at
    policies = (
        np.broadcast_to(EVENLY, (len(at), HOURS)),
        np.eye(HOURS)[world.best_for_all[year.contexts[at]]],
        replayed.optimiser,
    )
    found = {name: [0, 0] for name in ESTIMATORS}
    for policy in policies:
        truth = float((policy * year.likely[at]).sum(axis=1).mean())
        columns = _columns(year, at, policy, replayed.expected)
        for name, estimate in ESTIMATORS.items():
            interval = estimate(columns)
            found[name][0] += interval.low <= truth <= interval.high
            found[name][1] += 1
    return {name: (inside, tried) for name, (inside, tried) in found.items()}


def _columns(year: Year, at: NDArray[np.int64], policy: Floats, expected: Floats) -> Columns:
    taken = np.arange(len(at)), year.taken[at]
    return Columns(
        propensity=year.propensity[at],
        reward=year.reward[at],
        target=np.asarray(policy[taken]),
        expected_taken=np.asarray(expected[taken]),
        expected_policy=np.asarray((policy * expected).sum(axis=1)),
        patients=year.patients[at],
    )


def _learned_from_shuffled(world: World) -> float:
    """By how much a policy that learned from each other's rewards is better than an even draw, in truth: not at all."""
    year = world.year(ON, messages=YEAR, shuffled=True)
    decided = year.only(~year.held_out & (year.message >= YEAR // 2))
    return float((decided.expected - decided.evenly).mean())


def _at(year: Year, hours: NDArray[np.int64]) -> Floats:
    return np.asarray(year.likely[np.arange(len(year.taken)), hours[year.contexts]])


def _quarters(year: Year) -> Iterable[Year]:
    quarter = YEAR // 4
    for begins in range(0, int(year.message.max()) + 1 - quarter // 2, quarter):
        yield year.only((year.message >= begins) & (year.message < begins + quarter))


def _answered(reward: Floats, patients: NDArray[np.int64]) -> Interval:
    """The share answered, each patient taken as one: an estimate of what was itself done, so all weights are one."""
    ones = np.ones_like(reward)
    return ips(Columns(ones, reward, ones, 0 * ones, 0 * ones, patients))


def _less(one: Interval, other: Interval) -> Interval:
    estimate = one.estimate - other.estimate
    half = math.hypot(one.high - one.estimate, other.high - other.estimate)
    return Interval(estimate, estimate - half, estimate + half)


def over_seeds(values: Sequence[float]) -> Interval:
    """Their mean with a 95 % interval (Student's t)."""
    if len(values) < 2:
        return Interval(values[0], -math.inf, math.inf)
    times = _T[len(values) - 1] if len(values) <= len(_T) else 1.96
    half = times * stdev(values) / math.sqrt(len(values))
    return Interval(mean(values), mean(values) - half, mean(values) + half)


def goals(seeds: Sequence[Seed]) -> dict[str, bool]:
    """Which are reached."""
    none_found = [one.shuffled.low <= 0 <= one.shuffled.high for one in seeds]
    inside, tried = (sum(one.held[name][n] for one in seeds for name in ESTIMATORS) for n in (0, 1))
    return {
        "regret of the first year below 25 % of an even draw's": over_seeds(
            [s.regret_first_year for s in seeds]
        ).estimate
        < GOAL_REGRET,
        "regret in the last quarter below 25 %": over_seeds([s.regret_last_quarter for s in seeds]).estimate
        < GOAL_REGRET,
        "beats the best hour for all, in every trial": all(one.win_in_trial.low > 0 for one in seeds),
        "and in every proof from its own log": all(one.proof_on.low > 0 for one in seeds),
        "nothing found with shuffled rewards": sum(none_found) >= 0.8 * len(seeds),
        "nothing found between halves of the hold-out": sum(s.aa.low <= 0 <= s.aa.high for s in seeds)
        >= 0.8 * len(seeds),
        "off-policy intervals have the truth in 90 % or more": inside >= 0.9 * tried,
        "no more opt-outs than with the best hour for all": mean(s.opt_outs["optimiser"] for s in seeds)
        <= 1.25 * mean(s.opt_outs["best hour for all"] for s in seeds),
    }


def table(seeds: Sequence[Seed]) -> list[str]:
    """The figures in words."""
    lines = [f"seeds {len(seeds)}; figures are means over seeds with 95 % intervals; wins in answers per 100 messages"]
    quarters = zip(*(one.regret_by_quarter for one in seeds), strict=True)
    lines += [f"regret in quarter {n}            {_share(over_seeds(found))}" for n, found in enumerate(quarters, 1)]
    for name, values in (
        ("regret of the first year", [one.regret_first_year for one in seeds]),
        ("regret of the best for all", [one.regret_fixed for one in seeds]),
    ):
        lines.append(f"{name:<32} {_share(over_seeds(values))}")
    lines.append(f"{'win in truth':<32} {_points(over_seeds([one.win_in_truth for one in seeds]))}")
    lines.append(
        f"{'learned from shuffled, in truth':<32} {_points(over_seeds([s.learned_from_shuffled for s in seeds]))}"
    )
    for name in ("win_in_trial", "proof_on", "proof_learning", "shuffled", "aa"):
        found: list[Interval] = [getattr(one, name) for one in seeds]
        above = sum(one.low > 0 for one in found)
        nothing = sum(one.low <= 0 <= one.high for one in found)
        lines.append(
            f"{name:<32} {_points(over_seeds([i.estimate for i in found]))}; above 0 in {above}, nothing in {nothing}"
        )
        lines += [f"    seed {one.seed}: {_points(each)}" for one, each in zip(seeds, found, strict=True)]
    for name in ESTIMATORS:
        inside, tried = (sum(one.held[name][n] for one in seeds) for n in (0, 1))
        lines.append(f"{name + ' has the truth':<32} {inside} of {tried}")
    for name in seeds[0].opt_outs:
        found_outs = over_seeds([one.opt_outs[name] for one in seeds])
        lines.append(
            f"opt-outs per 1,000, {name:<18} {found_outs.estimate:.2f} ({found_outs.low:.2f} to {found_outs.high:.2f})"
        )
    return lines


def _share(found: Interval) -> str:
    return f"{found.estimate:.1%} ({found.low:.1%} to {found.high:.1%})"


def _points(found: Interval) -> str:
    return f"{100 * found.estimate:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patients", type=int, default=600)
    parser.add_argument("--messages", type=int, default=2 * YEAR)
    wanted = parser.parse_args()
    seeds = [measure(seed, patients=wanted.patients, messages=wanted.messages) for seed in range(1, wanted.seeds + 1)]
    print("\n".join(table(seeds)))
    reached = goals(seeds)
    for name, is_reached in reached.items():
        print(f"{'reached' if is_reached else 'MISSED '}  {name}")
    print(json.dumps({"seeds": [asdict(one) for one in seeds], "goals": reached}))
    return int(not all(reached.values()))


if __name__ == "__main__":
    sys.exit(main())
