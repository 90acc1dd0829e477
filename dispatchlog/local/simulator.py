"""Made-up patients of whom everything is known: when, by what and to which text each answers, and when they have enough.

For judging the optimiser, and for samples. Knows nothing of how anything is learned; stores nothing. numpy throughout: one
call answers for many patients. Nobody is meant; the sizes of the effects are assumptions, not findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

HOURS = 12
"""Arms of two hours each, from midnight where the patient is."""
CHANNELS = ("email", "sms", "whatsapp")
VARIANTS = ("A", "B")
# What is lawful and outside the usual quiet hours: from 8 to 20.
DAYTIME = tuple(range(4, 10))

# Types of patients by the hour at which they like to answer: its middle, how many there are.
_TYPES = ((8.8, 0.30), (13.0, 0.20), (18.2, 0.50))
_PEAK_SPREAD = 1.0
# How much later everybody is on Saturdays and Sundays; by channel: mails are read earlier in the day.
_WEEKEND_LATER = 1.5
_CHANNEL_EARLIER = (1.0, 0.0, -0.5)
_CHANNEL_LIFT = (-0.3, 0.2, 0.0)
_VARIANT_LIFT = (0.0, 0.15)
_WEEKDAY_LIFT = (0.1, 0.05, 0.0, 0.0, -0.05, -0.25, -0.2)
_NARROWNESS = 5.0
# What one unanswered message takes from the next, in log odds; after so many days half of it is forgotten.
_WEIGHT_OF_FATIGUE = 0.12
_FATIGUE_HALF_LIFE_DAYS = 7.0
# Of 1,000 messages to somebody rested so many end in an opt-out; each unanswered one makes it a quarter more.
_OPT_OUTS = 0.0005
_OPT_OUT_GROWTH = 0.25


@dataclass(frozen=True, slots=True)
class Answers:
    """To each message: whether it was answered, after how many hours, and whether the patient wants no more."""

    answered: NDArray[np.bool_]
    after_hours: Floats
    opted_out: NDArray[np.bool_]


@dataclass(frozen=True)
class Population:
    """So many patients; the same seed makes the same ones."""

    size: int
    seed: int

    @cached_property
    def _drawn(self) -> dict[str, Floats]:
        rng = np.random.default_rng([self.seed, self.size])
        middle, share = np.array(_TYPES).T
        return {
            "peak": middle[rng.choice(len(middle), p=share, size=self.size)] + rng.normal(0, _PEAK_SPREAD, self.size),
            "base": rng.normal(-2.4, 0.6, self.size),
            "lift": rng.lognormal(np.log(2.0), 0.25, self.size),
            "channel": rng.normal(_CHANNEL_LIFT, 0.5, (self.size, len(CHANNELS))),
            "variant": rng.normal(_VARIANT_LIFT, 0.1, (self.size, len(VARIANTS))),
        }

    def by_hour(
        self, who: Whole, *, weekday: int, channel: Whole, variant: Whole | int = 0, fatigue: Floats | float = 0.0
    ) -> Floats:
        """How likely each of these patients answers a message of each hour, [patient, hour]. Monday is 0."""
        known = self._drawn
        peak = known["peak"][who] + _WEEKEND_LATER * (weekday >= 5) - np.array(_CHANNEL_EARLIER)[channel]
        apart = 2 * np.pi / 24 * (2 * np.arange(HOURS) + 1 - peak[:, None])
        bump = np.exp(_NARROWNESS * (np.cos(apart) - 1))
        level = (
            known["base"][who]
            + known["channel"][who, channel]
            + known["variant"][who, variant]
            + _WEEKDAY_LIFT[weekday]
            - _WEIGHT_OF_FATIGUE * fatigue
        )
        return 1 / (1 + np.exp(-(level[:, None] + known["lift"][who, None] * bump)))

    def best_hours(
        self, who: Whole, *, weekday: int, channel: Whole, permitted: Sequence[int] = DAYTIME
    ) -> tuple[Whole, Floats]:
        """Each patient's best permitted hour, and how likely they answer then."""
        likely = self.by_hour(who, weekday=weekday, channel=channel)[:, list(permitted)]
        return np.array(permitted)[likely.argmax(axis=1)], likely.max(axis=1)

    def best_hour_for_all(self, *, weekday: int, channel: int, permitted: Sequence[int] = DAYTIME) -> int:
        """The one permitted hour of this weekday and channel at which most of all patients answer."""
        everybody = np.arange(self.size)
        likely = self.by_hour(everybody, weekday=weekday, channel=np.full(self.size, channel))
        return int(permitted[int(likely[:, list(permitted)].mean(axis=0).argmax())])

    def favourite_channel(self, who: Whole) -> Whole:
        """By what each answers most."""
        return np.asarray(self._drawn["channel"][who].argmax(axis=1))


class Patience:
    """How tired of messages each patient is, and who wants no more; it changes with what is sent."""

    def __init__(self, size: int) -> None:
        self.fatigue = np.zeros(size)
        self.has_left = np.zeros(size, dtype=bool)

    def rest(self, days: float) -> None:
        """So many days pass."""
        self.fatigue *= 0.5 ** (days / _FATIGUE_HALF_LIFE_DAYS)

    def send(self, who: Whole, likely: Floats, rng: np.random.Generator) -> Answers:
        """One message to each of these (different) patients, who answer it as likely as given."""
        answered = rng.random(len(who)) < likely
        leaves = rng.random(len(who)) < np.minimum(0.5, _OPT_OUTS * np.exp(_OPT_OUT_GROWTH * self.fatigue[who]))
        opted_out = leaves & ~answered
        # An answer shows that it was welcome.
        self.fatigue[who] = np.where(answered, 0.5 * self.fatigue[who], self.fatigue[who] + 1)
        self.has_left[who] |= opted_out
        return Answers(answered, rng.gamma(1.2, 2.0, len(who)), opted_out)
