"""Owns what is said about a server that goes away: one line then and one when it is back, however often it is missed."""

from __future__ import annotations

import threading
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Contact:
    """Whether one server answers this process. Thread-safe.

    Args:
        name: of the server, in capitals; the events are `<name>_AWAY` and `<name>_BACK`.
        meanwhile: what goes on without it, for whoever reads the first line.
    """

    def __init__(self, name: str, *, meanwhile: str) -> None:
        self._name = name
        self._meanwhile = meanwhile
        self._guard = threading.Lock()
        self._away = False

    def lost(self, error: Exception, **fields: Any) -> None:
        """It did not answer; only the first time in a row is logged."""
        with self._guard:
            first, self._away = not self._away, True
        if first:
            log.warning(f"{self._name}_AWAY", error=type(error).__name__, meanwhile=self._meanwhile, **fields)

    def found(self) -> None:
        """It answered; logged if it had been lost."""
        if self._away:
            with self._guard:
                was_away, self._away = self._away, False
            if was_away:
                log.info(f"{self._name}_BACK")
