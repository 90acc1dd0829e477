"""A year of messages to made-up patients, decided by the optimiser's own code or by what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatchlog.local.simulator import CHANNELS, DAYTIME, HOURS, Floats, Patience, Population, Whole
from dispatchlog.systems.outreach.optimiser.choosing import FLOOR, HOLD_OUT_PERCENT, HOUR, SCOPES, strengths_of
from dispatchlog.systems.outreach.optimiser.learning import discount, shrunk, spread, thompson
from dispatchlog.systems.outreach.optimiser.replay import Log

# One message to everybody every four days: each weekday has its turn, and the time for an answer (72 h) is over.
DAYS_BETWEEN = 4
ORGANIZATIONS = 10
UNIFORM, FIXED, LEARNING, ON = "uniform", "fixed", "learning", "on"
# What is usual where nothing is chosen: from 10 to 12.
USUAL = 5
_OPEN = np.isin(np.arange(HOURS), DAYTIME)
EVENLY = _OPEN / _OPEN.sum()


@dataclass(frozen=True, slots=True)
class Year:
    """What was sent, in the order of time, one row each. `likely`: how likely an answer was in truth at each hour;
    `shares`: with which probability each hour was taken; `best`: what the patient's best hour would have given."""

    patients: Whole
    message: Whole
    contexts: Whole
    owners: tuple[Whole, ...]
    held_out: NDArray[np.bool_]
    taken: Whole
    reward: Floats
    opted_out: NDArray[np.bool_]
    shares: Floats
    likely: Floats

    @property
    def propensity(self) -> Floats:
        return np.asarray(self.shares[np.arange(len(self.taken)), self.taken])

    @property
    def best(self) -> Floats:
        return np.asarray(self.likely[:, _OPEN].max(axis=1))

    @property
    def evenly(self) -> Floats:
        return np.asarray(self.likely @ EVENLY)

    @property
    def expected(self) -> Floats:
        return np.asarray((self.shares * self.likely).sum(axis=1))

    def only(self, which: NDArray[np.bool_]) -> Year:
        """These messages of it."""
        owners = tuple(own[which] for own in self.owners)
        values = {name: getattr(self, name)[which] for name in self.__slots__ if name != "owners"}
        return Year(owners=owners, **values)

    def log(self) -> Log:
        """As the product keeps it."""
        chosen_at = DAYS_BETWEEN * self.message.astype(float)
        return Log(
            kind=HOUR,
            owners=self.owners,
            permitted=np.broadcast_to(_OPEN, self.likely.shape),
            taken=self.taken,
            propensity=self.propensity,
            reward=self.reward,
            patients=self.patients,
            held_out=self.held_out,
            chosen_at=chosen_at,
            closed_at=chosen_at + DAYS_BETWEEN - 0.5,
        )


class World:
    """The same patients, year after year."""

    def __init__(self, *, patients: int, seed: int) -> None:
        self.seed = seed
        self.population = Population(patients, seed)
        rng = np.random.default_rng([seed, 1])
        everybody = np.arange(patients)
        self.channel = self.population.favourite_channel(everybody)
        self.organization = rng.integers(ORGANIZATIONS, size=patients)
        self.held_out = rng.permutation(patients) < patients * HOLD_OUT_PERCENT // 100
        self.best_for_all = np.array(
            [
                self.population.best_hour_for_all(weekday=weekday, channel=channel)
                for channel in range(len(CHANNELS))
                for weekday in range(7)
            ]
        )

    def owners(self, who: Whole, weekday: int) -> tuple[Whole, ...]:
        """Whose evidence counts for each patient's message, level by level, as the optimiser has them for hours."""
        context = self.channel[who] * 7 + weekday
        whose = {"global": np.zeros_like(who), "organization": self.organization[who], "patient": who}
        contexts = len(CHANNELS) * 7
        return tuple(
            np.asarray(whose[scope] * contexts + context if has_context else whose[scope])
            for scope, has_context in SCOPES[HOUR]
        )

    def year(self, policy: str, *, messages: int, run: int = 0, shuffled: bool = False) -> Year:
        """So many messages to each who has not had enough. `shuffled`: it learns from each other's rewards."""
        rng = np.random.default_rng([self.seed, 2, run, len(policy)])
        patience, learner, parts = Patience(self.population.size), _Learner(self), []
        for message in range(messages):
            patience.rest(DAYS_BETWEEN)
            who = np.flatnonzero(~patience.has_left)
            weekday = DAYS_BETWEEN * message % 7
            owners, channel = self.owners(who, weekday), self.channel[who]
            likely = self.population.by_hour(who, weekday=weekday, channel=channel, fatigue=patience.fatigue[who])
            shares = self._shares(policy, who, channel * 7 + weekday, owners, learner, rng)
            taken = (shares.cumsum(axis=1) > rng.random((len(who), 1))).argmax(axis=1)
            found = patience.send(who, likely[np.arange(len(who)), taken], rng)
            reward = found.answered.astype(float)
            learner.learn(owners, taken, rng.permutation(reward) if shuffled else reward)
            parts.append(
                (
                    who,
                    np.full(len(who), message),
                    channel * 7 + weekday,
                    *owners,
                    taken,
                    reward,
                    found.opted_out,
                    shares,
                    likely,
                )
            )
        who, number, contexts, *owners_, taken, reward, opted_out, shares, likely = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        held_out = self.held_out[who] & (policy in (LEARNING, ON))
        return Year(who, number, contexts, tuple(owners_), held_out, taken, reward, opted_out, shares, likely)

    def _shares(
        self,
        policy: str,
        who: Whole,
        contexts: Whole,
        owners: tuple[Whole, ...],
        learner: _Learner,
        rng: np.random.Generator,
    ) -> Floats:
        evenly = np.broadcast_to(EVENLY, (len(who), HOURS))
        if policy == UNIFORM:
            return evenly
        if policy == FIXED:
            return np.eye(HOURS)[self.best_for_all[contexts]]
        usual = FLOOR * evenly + (1 - FLOOR) * np.eye(HOURS)[USUAL]
        chosen = usual if policy == LEARNING else learner.shares(owners, rng)
        return np.where(self.held_out[who, None], evenly, chosen)


class _Learner:
    """What was learned, level by level; the same steps as the product's, for all patients at once."""

    def __init__(self, world: World) -> None:
        everybody = np.arange(world.population.size)
        sizes = [0] * len(SCOPES[HOUR])
        for weekday in range(7):
            sizes = [
                max(size, int(own.max()) + 1) for size, own in zip(sizes, world.owners(everybody, weekday), strict=True)
            ]
        contexts = len(CHANNELS) * 7
        self._tries = [np.zeros((max(size, contexts), HOURS)) for size in sizes]
        self._wins = [np.zeros_like(level) for level in self._tries]

    def learn(self, owners: tuple[Whole, ...], taken: Whole, reward: Floats) -> None:
        fades = float(discount(DAYS_BETWEEN))
        for own, tries, wins in zip(owners, self._tries, self._wins, strict=True):
            for level in (tries, wins):
                np.multiply(level, fades, out=level)
            np.add.at(tries, (own, taken), 1.0)
            np.add.at(wins, (own, taken), reward)

    def shares(self, owners: tuple[Whole, ...], rng: np.random.Generator) -> Floats:
        tries = [level[own] for level, own in zip(self._tries, owners, strict=True)]
        wins = [level[own] for level, own in zip(self._wins, owners, strict=True)]
        tries[-1], wins[-1] = spread(tries[-1], wins[-1])
        alpha, beta = shrunk(
            [level[:, _OPEN] for level in tries], [level[:, _OPEN] for level in wins], strengths_of(HOUR)
        )
        shares = np.zeros((len(alpha), HOURS))
        shares[:, _OPEN] = thompson(alpha, beta, floor=FLOOR, rng=rng)
        return shares
