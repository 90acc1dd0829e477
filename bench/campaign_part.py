"""A process that writes out or releases campaigns, timed and killed by `bench.campaigns`. Its only line of output is JSON:
how much it did in how many seconds.
"""

from __future__ import annotations

import json
import sys
import time
from uuid import UUID

from dispatchlog.engine.database import configure, connected
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.campaigns import expansion, intake, release


def main() -> int:
    what, campaign_id = sys.argv[1], UUID(sys.argv[2])
    settings = get_settings()
    configure(settings.database_url, role=settings.application_role, name="bench", max_connections=4, by_index=True)
    # All that is due at once: what is measured is the making, not how little is made ahead.
    release.AHEAD = release.BATCH * 100_000
    done, began = 0, time.perf_counter()
    with connected():
        if what == "expand":
            done = expansion.expand(campaign_id)
        elif what == "empty":
            while gone := intake.empty():
                done += gone
        else:
            while made := release.release():
                done += made
    print(json.dumps({"done": done, "seconds": time.perf_counter() - began}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
