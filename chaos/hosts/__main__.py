"""`python -m chaos.hosts --seconds 60 --seed 1`: owns the command line of a run over several hosts; runs nothing itself."""

from __future__ import annotations

import sys

from chaos.__main__ import main
from chaos.hosts.network import why_not
from chaos.hosts.run import run_over_hosts

WHAT = "Hosts in network namespaces, cut off from each other and lost at random, compared with what was accepted."

if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"This cannot run here: {reason}.")
    sys.exit(main(runs=run_over_hosts, program="python -m chaos.hosts", what=WHAT))
