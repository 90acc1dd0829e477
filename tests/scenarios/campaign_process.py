"""A worker's turn at campaigns as a process of its own: `python -m tests.scenarios.campaign_process STATEMENTS`.

Goes on until nothing is due, in small batches; after so many statements it dies as by the kernel's hand, before whatever it
was in the middle of is committed (0: it lives).
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import Any

from dispatchlog.engine.database import configure, database
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.campaigns import expansion, intake, release


def die_after(statements: int) -> None:
    """End this process when so many statements have been run."""
    execute, numbers = database.execute_sql, count(1)

    def counted(*args: Any, **kwargs: Any) -> Any:
        cursor = execute(*args, **kwargs)
        if next(numbers) == statements:
            os.kill(os.getpid(), signal.SIGKILL)
        return cursor

    database.execute_sql = counted


def main() -> int:
    settings = get_settings()
    configure(settings.database_url, role=settings.application_role, name="campaigns", by_index=True)
    expansion.BATCH, release.BATCH, intake.AT_ONCE = 10, 5, 10
    die_after(int(sys.argv[1]))
    with database.connection_context():
        while expansion.expand_all(batches=1) + release.release(limit=10) + intake.empty():
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
