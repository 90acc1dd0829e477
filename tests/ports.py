"""Chooses ports for what a test starts itself, or for nobody. Listens on none."""

from __future__ import annotations

import os
import random

from dispatchlog.local.directory import port_is_free

_chance = random.SystemRandom()  # Hypothesis gives every test the same numbers of `random`
_given: set[int] = set()


def free_port() -> int:
    """A port where nothing listens, below those for outgoing connections, one of which could take it meanwhile.

    Never the same twice, and none that a test process beside this one could be given.
    """
    each = 15_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = 15_000 + each * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    candidates = iter(lambda: _chance.randrange(first, first + each), 0)
    port = next(candidate for candidate in candidates if candidate not in _given and port_is_free(candidate))
    _given.add(port)
    return port
