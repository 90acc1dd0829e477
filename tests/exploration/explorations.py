"""Which explorations there are: how much may happen in each. The short ones are part of the tests."""

from __future__ import annotations

from dataclasses import replace

from dispatchlog.engine.gateway import GatewayKind
from tests.exploration.state import ACTS, Bounds

# With three dispatches a schedule may have all of: two killed processes, a pause and a cancel.
_THREE = Bounds(
    deliveries=3, batch=3, days=2, troubles=4, kills=2, pauses=1, acts=1, which_acts=frozenset({"cancel"}),
    locks=0, replies=0, commits=0,
)  # fmt: skip
_ONE = Bounds(deliveries=1, days=2, troubles=3, kills=2, pauses=2, acts=1, locks=1, replies=1, commits=1)
_STATEMENTS = replace(_ONE, troubles=2, kills=1, commits=0, statements=True)

SHORT = {
    "three dispatches": _THREE,
    "one dispatch, every fault": _ONE,
    "one dispatch, between any two statements": _STATEMENTS,
}
LONG = {
    "three dispatches, every act": replace(_THREE, which_acts=ACTS, expiring=True),
    "two dispatches, every fault": replace(_ONE, deliveries=2, expiring=True),
    "one dispatch, four troubles": replace(_ONE, troubles=4, replies=2, acts=2, expiring=True),
    "one dispatch, between any two statements": replace(_STATEMENTS, troubles=3),
}
# What an IDEMPOTENT provider forgets after two and a half days must have time to be forgotten.
_DAYS_TO_FORGET = 4


def bounds_of(name: str, kind: GatewayKind, *, long: bool = False) -> Bounds:
    """The bounds of an exploration for a provider of this kind."""
    bounds = (LONG if long else SHORT)[name]
    forgets = kind is GatewayKind.IDEMPOTENT and bounds.deliveries == 1 and not bounds.statements
    return replace(bounds, days=_DAYS_TO_FORGET) if forgets else bounds
