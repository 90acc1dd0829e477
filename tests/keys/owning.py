"""Owns what only the tables' owner may do to keys, as `dispatchlog keys` does it; the process goes on as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from dispatchlog.engine.database import configure, connected, execute
from dispatchlog.keys import rotation
from dispatchlog.keys.rotation import Rotation
from dispatchlog.settings import get_settings

AT_ONCE = timedelta(0)


@contextmanager
def as_owner() -> Iterator[None]:
    """This process's pool as the tables' owner."""
    settings = get_settings()
    configure(settings.database_url, role="", name="test")
    try:
        yield
    finally:
        configure(settings.database_url, role=settings.application_role, max_connections=60)


def rotate(**options: Any) -> Rotation:
    """A rotation of the data key that waits for no other process."""
    with as_owner():
        return rotation.rotate_data(**{"actor": "test", "noticed_seconds": 0.0, **options})


def rotate_secret() -> list[int]:
    with as_owner():
        return rotation.rotate_secret(actor="test")


def retire(number: int, *, settled: timedelta = AT_ONCE) -> None:
    with as_owner():
        rotation.retire(number, actor="test", settled=settled)


def change_keys(statement: str) -> int:
    """Run a statement on `data_keys`; how many rows it changed."""
    with as_owner(), connected():
        return int(execute(statement).rowcount)
