"""Chooses ports for what a test starts itself, or for nobody. Listens on none."""

from __future__ import annotations

import random

from dispatchlog.local.directory import port_is_free

_chance = random.SystemRandom()  # Hypothesis gives every test the same numbers of `random`


def free_port() -> int:
    """A port where nothing listens, below those for outgoing connections, one of which could take it meanwhile."""
    candidates = iter(lambda: _chance.randint(15_000, 30_000), 0)
    return next(candidate for candidate in candidates if port_is_free(candidate))
