"""What the optimiser says of one message: the hour, the channel, the text, with the probability of each. Owns the policy.

Only arms that consent, hours and limits permit are given to it. A patient of the permanent hold-out (drawn once by
`buckets`) gets an arm at random of the same day, for ever; in mode `learning` everybody else does so with the floor's
share and otherwise goes as if it were off; in mode `on` Thompson sampling decides with the floor. `off` chooses nothing,
for nobody. What the patient said themselves (best hour, preferred channel) goes before it.

Reads and writes nothing: the same seed and the same evidence give the same choice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

import numpy as np

from dispatchlog.systems.outreach.buckets import BUCKETS, bucket
from dispatchlog.systems.outreach.optimiser.learning import STRENGTHS, Floats, Level, probabilities, spread_level

HOLD_OUT_PERCENT = 10
# Of the messages of all others so many are drawn evenly too, so that what another rule would have done can be estimated.
FLOOR = 0.05
HOUR, CHANNEL, CONTENT = "hour", "channel", "content"
KINDS = (HOUR, CHANNEL, CONTENT)
OFF, LEARNING, ON = "off", "learning", "on"
MODES = (OFF, LEARNING, ON)
HOLDOUT, EXPLORE, OPTIMISER = "holdout", "explore", "optimiser"
_SALT = "optimiser:holdout"
_NOTHING: Level = MappingProxyType({})

# From which levels it is learned, everybody's first: the scope, and whether it is kept apart for each context. What a
# patient does is too little to be kept apart by weekday; two templates' texts have nothing in common but their names.
SCOPES: Mapping[str, Sequence[tuple[str, bool]]] = MappingProxyType(
    {
        HOUR: (("global", False), ("global", True), ("organization", True), ("patient", False)),
        CHANNEL: (("global", False), ("global", True), ("organization", True), ("patient", False)),
        CONTENT: (("global", True), ("organization", True), ("patient", True)),
    }
)

_WORDS = MappingProxyType(
    {
        HOLDOUT: "{what} was drawn at random: this patient belongs to those with whom everybody else is compared.",
        EXPLORE: "{what} may be another one than usual, in {share:.0%} of the messages, to learn what patients answer to.",
        OPTIMISER: "{what} was drawn by how often patients answered so far, this one above all.",
    }
)
_WHAT = MappingProxyType({HOUR: "The hour", CHANNEL: "The channel", CONTENT: "The text"})


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen of `arms` (each with its probability), under which policy: holdout, explore, optimiser; `words` for
    whoever asks why. `context`: under which it is learned."""

    kind: str
    context: str
    arm: str
    policy: str
    propensity: float
    arms: Mapping[str, float]
    words: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What the optimiser may say of one message: the modes and what is known (by kind, scope, whose and context)."""

    modes: Mapping[str, str]
    known: Mapping[tuple[str, str, UUID, str], Level]
    patient_id: UUID
    organization_id: UUID | None
    seed: UUID

    def choose(self, kind: str, arms: Sequence[str], *, context: str, default: str) -> Choice | None:
        """As `choose` below."""
        keys = keys_of(kind, context, self.patient_id, self.organization_id)
        return choose(
            kind,
            self.patient_id,
            arms,
            mode=self.modes.get(kind, OFF),
            levels=[self.known.get((kind, *key), _NOTHING) for key in keys],
            context=context,
            default=default,
            seed=self.seed,
        )


def is_held_out(patient_id: UUID) -> bool:
    """Whether the patient is of the permanent hold-out."""
    return bucket(patient_id, _SALT) < BUCKETS * HOLD_OUT_PERCENT // 100


def policy_of(mode: str, *, held_out: bool) -> str | None:
    """Which policy chooses in this mode; None: none does."""
    if mode == OFF:
        return None
    if held_out:
        return HOLDOUT
    return OPTIMISER if mode == ON else EXPLORE


def choose(
    kind: str,
    patient_id: UUID,
    arms: Sequence[str],
    *,
    mode: str,
    levels: Sequence[Level],
    context: str,
    default: str,
    seed: UUID,
) -> Choice | None:
    """Choose among the permitted arms; None: it has no say, and `default` (one of them) holds. Fewer than two arms: None.

    `levels` as SCOPES names them, what is known of the arms there; `seed` is the message's id, so that the same message
    draws the same lot.
    """
    policy = policy_of(mode, held_out=is_held_out(patient_id))
    if policy is None or len(arms) < 2:
        return None
    rng = _lots(kind, seed)
    shares = shares_of(policy, kind, arms, levels, default=default, rng=rng)
    drawn = int(rng.choice(len(arms), p=shares))
    words = _WORDS[policy].format(what=_WHAT[kind], share=FLOOR)
    arms_with = dict(zip(arms, (float(each) for each in shares), strict=True))
    return Choice(kind, context, arms[drawn], policy, float(shares[drawn]), arms_with, words)


def shares_of(
    policy: str, kind: str, arms: Sequence[str], levels: Sequence[Level], *, default: str, rng: np.random.Generator
) -> Floats:
    """With which probability a policy takes each arm; they sum to one."""
    evenly = np.full(len(arms), 1 / len(arms))
    if policy == HOLDOUT:
        return evenly
    if policy == EXPLORE:
        return FLOOR * evenly + (1 - FLOOR) * np.array([arm == default for arm in arms], dtype=float)
    shares = probabilities(arms, smoothed(kind, levels), floor=FLOOR, rng=rng, strengths=strengths_of(kind))
    return shares / shares.sum()


def strengths_of(kind: str) -> Sequence[float]:
    """One for each of the kind's levels."""
    return STRENGTHS[-len(SCOPES[kind]) :]


def smoothed(kind: str, levels: Sequence[Level]) -> Sequence[Level]:
    """Of hours, what the patient did at one of them tells of those beside it."""
    return (*levels[:-1], spread_level(levels[-1])) if kind == HOUR else levels


def keys_of(kind: str, context: str, patient_id: UUID, organization_id: UUID | None) -> list[tuple[str, UUID, str]]:
    """Where a kind's evidence is kept: scope, whose, context."""
    whose = {"global": EVERYBODY, "organization": organization_id or EVERYBODY, "patient": patient_id}
    return [(scope, whose[scope], context if has_context else "") for scope, has_context in SCOPES[kind]]


# Whose id stands where it is everybody's, or of those without an organisation.
EVERYBODY = UUID(int=0)


def _lots(kind: str, seed: UUID) -> np.random.Generator:
    digest = hashlib.sha256(seed.bytes + kind.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
