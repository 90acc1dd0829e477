"""Owns what a running `dispatchlog up` tells the other commands of its folder: that it runs, and with which settings.

Needs nothing of the local servers, for every command asks, also where none of them is installed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dispatchlog.local.directory import LocalServerError, is_locked, lock_directory, write_private
from dispatchlog.settings import Settings, get_settings

_FILE = "running.json"
_WITHOUT_PREFIX = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "BROKER_URL", "PORT"}


@dataclass(frozen=True)
class Running:
    """What is told: every setting as it is in the environment, and which of the URLs are servers it keeps itself."""

    settings: Mapping[str, str]
    keeps: Sequence[str]


@contextmanager
def only_one_here(var: Path) -> Iterator[None]:
    """Be the one `dispatchlog up` of this folder until the end.

    Raises:
        LocalServerError: another one runs.
    """
    var.mkdir(parents=True, exist_ok=True)
    try:
        lock = lock_directory(var)
    except LocalServerError:
        raise LocalServerError(
            f"dispatchlog up runs already with the data in {var}; stop it with Ctrl-C where it runs, or start another"
            " one beside it with DISPATCHLOG_VAR_DIR=other PORT=8001",
            code="RUNS_ALREADY",
        ) from None
    with lock:
        (var / _FILE).unlink(missing_ok=True)  # a killed run leaves it
        try:
            yield
        finally:
            (var / _FILE).unlink(missing_ok=True)


def announce(var: Path, *, keeps: Sequence[str]) -> None:
    """Tell other commands this process's settings; `keeps` names the URLs of servers that it keeps running."""
    settings = {name: value for name, value in os.environ.items() if _is_setting(name)}
    write_private(var / _FILE, json.dumps(asdict(Running(settings, keeps)), indent=2))


def running_in(var: Path) -> Running | None:
    """What the `dispatchlog up` of this folder told, or None while none runs."""
    try:
        told = json.loads((var / _FILE).read_text())
    except OSError:
        return None
    return Running(**told) if is_locked(var) else None


def adopt_settings() -> set[str]:
    """Give this process the settings of the `dispatchlog up` of its folder, except those it was given itself.

    Back come the names of those that it took over.

    So that `dispatchlog users`, `worker` and the rest do the same in a second terminal as its own processes do. One
    that names another database is on its own.
    """
    running = running_in(get_settings().var_dir)
    if running is None:
        return set()
    if os.environ.get("DATABASE_URL") not in (None, "", running.settings["DATABASE_URL"]):
        return set()
    adopted = {name for name in running.settings if not os.environ.get(name)}
    os.environ.update({name: running.settings[name] for name in adopted})
    get_settings.cache_clear()
    return adopted


def advice(settings: Settings, name: str, otherwise: str) -> str:
    """What to do when the server of the setting `name` does not answer: `otherwise`, unless it is kept running here."""
    running = running_in(settings.var_dir)
    kept = running is not None and name in running.keeps and running.settings[name] == os.environ.get(name)
    return "dispatchlog up starts it again in a moment; see its lines" if kept else otherwise


def _is_setting(name: str) -> bool:
    return name.startswith("DISPATCHLOG_") or name in _WITHOUT_PREFIX
