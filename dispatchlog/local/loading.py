"""Loading a sample of `dispatchlog up`: its connection, and what is said where PostgreSQL is away. Owns no sample."""

from __future__ import annotations

from collections.abc import Callable

import peewee
import psycopg2

from dispatchlog.engine.database import configure
from dispatchlog.logs import configure_logs
from dispatchlog.settings import Settings, get_settings


def load_sample(load: Callable[[Settings], object], *, what: str) -> int:
    """Report what is missing; the exit code comes back, and with 1 whoever called begins again."""
    settings = get_settings()
    configure_logs(settings.log_level)
    configure(settings.database_url, role=settings.application_role, name="dispatchlog sample", max_connections=2)
    try:
        load(settings)
    except (psycopg2.Error, peewee.PeeweeException) as error:
        print(f"PostgreSQL does not answer ({type(error).__name__}); {what} begin again", flush=True)
        return 1
    return 0
