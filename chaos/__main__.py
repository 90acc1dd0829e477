"""`python -m chaos --seconds 60 --seed 1`: owns the command line and the last line of the output; runs nothing itself."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

from chaos.run import Plan, run

PROGRAM = "python -m chaos"
WHAT = "Real processes under random faults, compared with what was accepted."
Runs = Callable[[Plan], tuple[bool, dict[str, Any]]]


def main(argv: list[str] | None = None, *, runs: Runs = run, program: str = PROGRAM, what: str = WHAT) -> int:
    """Run; 0 when everything held, else 1. The last line printed is one JSON object."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog=program, description=what)
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="how long faults happen")
    parser.add_argument("--seed", type=int, default=plan.seed, help="draws every fault")
    parser.add_argument("--workers", type=int, default=plan.workers, help="worker processes")
    parser.add_argument("--gap-seconds", type=float, default=plan.gap_seconds, help="between two faults, on average")
    parser.add_argument("--per-second", type=float, default=plan.per_second, help="the most that is enqueued")
    parser.add_argument("--keep", action="store_true", help="keep the data directory in any case")
    # Ended from outside it still stops its servers: SIGTERM becomes an ordinary exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    holds, figures = runs(Plan(**vars(parser.parse_args(argv))))
    print(json.dumps(figures), flush=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
