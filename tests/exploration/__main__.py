"""`python -m tests.exploration`: explores, prints how much there was, and the shortest counter-example if any."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dispatchlog.engine.gateway import GatewayKind
from tests.exploration.actors import engine_on_stand_ins
from tests.exploration.explorations import LONG, SHORT, bounds_of
from tests.exploration.planted import BUGS, planted
from tests.exploration.search import explore
from tests.exploration.world import World


def main(arguments: Sequence[str]) -> int:
    """Explore as told; 1 when something was found that should not be, or a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.exploration", description=__doc__)
    parser.add_argument("--kind", type=GatewayKind, choices=list(GatewayKind), help="one kind of provider only")
    parser.add_argument("--long", action="store_true", help="further bounds: minutes instead of seconds")
    parser.add_argument(
        "--planted", choices=sorted(BUGS), metavar="NAME", help="put this bug into the engine and find it"
    )
    parser.add_argument("--list", action="store_true", help="the planted bugs, each in a sentence")
    options = parser.parse_args(arguments)
    if options.list:
        for name, bug in BUGS.items():
            print(f"{name}: {bug.sentence}")
        return 0
    if options.planted:
        return _find(options.planted)
    kinds = [options.kind] if options.kind else list(GatewayKind)
    results = [_explore(kind, name, long=options.long) for kind in kinds for name in (LONG if options.long else SHORT)]
    return max(results)


def _explore(kind: GatewayKind, name: str, *, long: bool) -> int:
    with engine_on_stand_ins():
        found = explore(World(kind, bounds_of(name, kind, long=long)))
    print(f"{kind}, {name}: {found}", flush=True)
    return int(bool(found.wrong))


def _find(name: str) -> int:
    bug = BUGS[name]
    with engine_on_stand_ins(), planted(bug):
        found = explore(World(bug.kind, bug.bounds))
    print(f"{bug.kind}, with a bug planted: {bug.sentence}\n{found}")
    return int(not found.wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
