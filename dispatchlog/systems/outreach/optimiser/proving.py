"""What the log says of the optimiser: the win over the best fixed choice, the same with shuffled rewards, opt-outs. Reads.

The win is estimated off-policy (doubly robust) on the later half of the log, from the logged probabilities. Patients of the
hold-out and the others are estimated apart, since the hold-out's probabilities say so much more, and put together by their
precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispatchlog.engine.database import fetch_all
from dispatchlog.systems.outreach.experiments.off_policy import Columns, gain
from dispatchlog.systems.outreach.experiments.sequential import Arm, Interval, difference, share
from dispatchlog.systems.outreach.optimiser.choosing import EXPLORE, HOLDOUT, HOUR, OPTIMISER, keys_of
from dispatchlog.systems.outreach.optimiser.learning import HOUR_ARMS
from dispatchlog.systems.outreach.optimiser.replay import Log, Replayed, replay

# How many of the latest decisions are looked at, and how many it takes to say anything.
MOST_DECISIONS = 60_000
LEAST_DECISIONS = 2_000
LEAST_HELD_OUT = 200
_SEED = 20_261
Bounds = tuple[float, float, float]

_READ = """
SELECT context, patient_id, organization_id, arms, arm, propensity, reward, policy,
    extract(epoch FROM chosen_at)::float / 86400, extract(epoch FROM closed_at)::float / 86400
FROM comm_choices WHERE kind = %s AND reward IS NOT NULL ORDER BY chosen_at DESC, job_id DESC LIMIT %s
"""
_OPT_OUTS = """
SELECT policy, count(*), count(*) FILTER (WHERE opted_out) FROM (
    SELECT policy, opted_out FROM comm_choices WHERE kind = %s AND reward IS NOT NULL
    ORDER BY chosen_at DESC, job_id DESC LIMIT %s) c
WHERE opted_out IS NOT NULL GROUP BY policy
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the log says of the policy against the best fixed choice per context (for hours: weekday and channel): the win
    with its 95 % interval, the same with shuffled rewards (must show nothing), opt-outs per 1,000 of hold-out and others,
    how many decisions it rests on. `holds`: it may be turned on; `fails`: it must not stay on. `words`: why, or why not."""

    kind: str
    holds: bool
    fails: bool
    decisions: int
    held_out: int
    win: Bounds | None
    shuffled: Bounds | None
    opt_outs: Mapping[str, Bounds]
    words: Sequence[str]


def prove(kind: str) -> Proof:
    """What the log says now; some seconds' work."""
    log = read_log(kind)
    held_out = int(log.held_out.sum()) if log else 0
    opt_outs, worse = _opt_outs(kind)
    if log is None or len(log) < LEAST_DECISIONS or held_out < LEAST_HELD_OUT:
        known = len(log) if log else 0
        return Proof(kind, False, False, known, held_out, None, None, opt_outs, [_too_few(known, held_out)])
    win = win_of(log, seed=_SEED)
    shuffled = win_of(with_shuffled_rewards(log, seed=_SEED), seed=_SEED)
    words = _words(win, shuffled, worse)
    holds = win.low > 0 and shuffled.low <= 0 and not worse
    fails = win.low <= 0 or worse
    return Proof(kind, holds, fails, len(log), held_out, _bounds(win), _bounds(shuffled), opt_outs, words)


def read_log(kind: str) -> Log | None:
    """The latest closed decisions of a kind; None where there are none."""
    rows = fetch_all(_READ, (kind, MOST_DECISIONS))[::-1]
    if not rows:
        return None
    contexts, patients, organizations, arms, taken, propensity, reward, policy, chosen_at, closed_at = zip(
        *rows, strict=True
    )
    names = {
        arm: number for number, arm in enumerate(HOUR_ARMS if kind == HOUR else sorted({a for p in arms for a in p}))
    }
    keys = [keys_of(kind, *one) for one in zip(contexts, patients, organizations, strict=True)]
    permitted = np.zeros((len(rows), len(names)), dtype=bool)
    for number, each in enumerate(arms):
        permitted[number, [names[arm] for arm in each]] = True
    return Log(
        kind=kind,
        owners=[_numbered(level) for level in zip(*keys, strict=True)],
        permitted=permitted,
        taken=np.array([names[arm] for arm in taken], dtype=np.int64),
        propensity=np.array(propensity, dtype=float),
        reward=np.array(reward, dtype=float),
        patients=_numbered(patients),
        held_out=np.array([each == HOLDOUT for each in policy], dtype=bool),
        chosen_at=np.array(chosen_at, dtype=float),
        closed_at=np.array(closed_at, dtype=float),
    )


def win_of(log: Log, *, seed: int) -> Interval:
    """By how much of all messages more the optimiser's are answered than those of the best fixed choice, on the later half
    of the log."""
    replayed = replay(log, judged_from=len(log) // 2, seed=seed)
    held_out = log.held_out[replayed.at]
    parts = [_gain(log, replayed, which) for which in (held_out, ~held_out) if which.sum() > 1]
    known = [part for part in parts if np.isfinite(part.high) and part.high > part.low]
    if not known:
        return Interval(0.0, -1.0, 1.0)
    weights = np.array([(part.high - part.low) ** -2.0 for part in known])
    estimate = float(weights @ np.array([part.estimate for part in known]) / weights.sum())
    half = 0.5 / float(np.sqrt(weights.sum()))
    return Interval(estimate, estimate - half, estimate + half)


def with_shuffled_rewards(log: Log, *, seed: int) -> Log:
    """The same decisions with each other's rewards: there is nothing to learn from them."""
    return replace(log, reward=np.random.default_rng(seed).permutation(log.reward))


def _gain(log: Log, replayed: Replayed, which: NDArray[np.bool_]) -> Interval:
    rows = replayed.at[which]

    def columns(policy: NDArray[np.float64]) -> Columns:
        taken = np.arange(len(rows)), log.taken[rows]
        return Columns(
            propensity=log.propensity[rows],
            reward=log.reward[rows],
            target=policy[which][taken],
            expected_taken=replayed.expected[which][taken],
            expected_policy=(policy * replayed.expected)[which].sum(-1),
            patients=log.patients[rows],
        )

    return gain(columns(replayed.optimiser), columns(replayed.fixed))


def _opt_outs(kind: str) -> tuple[dict[str, Bounds], bool]:
    """Per 1,000, of the hold-out and of the others; and whether the others' are certainly more."""
    found = {policy: (number, stopped) for policy, number, stopped in fetch_all(_OPT_OUTS, (kind, MOST_DECISIONS))}
    arms = {
        name: Arm(*(sum(found.get(policy, (0, 0))[n] for policy in policies) for n in (0, 1)))
        for name, policies in (("holdout", (HOLDOUT,)), ("others", (EXPLORE, OPTIMISER)))
    }
    per_thousand = {name: _bounds(share(arm), 1_000) for name, arm in arms.items() if arm.tries}
    both = all(arm.tries for arm in arms.values())
    return per_thousand, both and difference(arms["others"], arms["holdout"]).low > 0


def _words(win: Interval, shuffled: Interval, worse: bool) -> list[str]:
    points = f"{100 * win.estimate:+.1f} answers in 100 messages (from {100 * win.low:+.1f} to {100 * win.high:+.1f})"
    words = [
        f"Against the best fixed choice: {points}." + ("" if win.low > 0 else " That may be chance."),
        "With shuffled rewards it shows a win too, so something is wrong with how it is judged."
        if shuffled.low > 0
        else "With shuffled rewards it shows none, as it must.",
    ]
    if worse:
        words.append("More of its patients than of those compared with want no more messages.")
    return words


def _too_few(known: int, held_out: int) -> str:
    return (
        f"There are {known:,} judged decisions, {held_out:,} of them with patients of the comparison; it takes"
        f" {LEAST_DECISIONS:,} and {LEAST_HELD_OUT:,} to say anything."
    )


def _bounds(found: Interval, times: float = 1.0) -> Bounds:
    return found.estimate * times, found.low * times, found.high * times


def _numbered(values: Sequence[Any]) -> NDArray[np.int64]:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
