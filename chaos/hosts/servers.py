"""Owns PostgreSQL and Valkey on hosts of their own: they listen on the host's address and let the network in."""

from __future__ import annotations

import threading
from pathlib import Path

from chaos.hosts.network import Host
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.valkey import LocalValkey

_LET_IN = "host all all samenet scram-sha-256\n"


class HostPostgres(LocalPostgres):
    """PostgreSQL on a host, with durable defaults."""

    def __init__(self, data_dir: Path, host: Host) -> None:
        super().__init__(data_dir)
        self._host = host

    def url(self, database: str = "dispatchlog") -> str:
        return super().url(database).replace("@127.0.0.1:", f"@{self._host.address}:")

    def start(self, *, same_port: bool = False, cancelled: threading.Event | None = None) -> None:
        with self._host.inside():
            super().start(same_port=same_port, cancelled=cancelled)

    def _initialise(self) -> None:
        super()._initialise()
        rules = self._cluster / "pg_hba.conf"
        if _LET_IN not in rules.read_text():
            with rules.open("a") as file:
                file.write(_LET_IN)

    def _command(self, port: int) -> list[str]:
        return [*super()._command(port), "-c", f"listen_addresses={self._host.address}"]


class HostValkey(LocalValkey):
    """Valkey on a host."""

    def __init__(self, data_dir: Path, host: Host) -> None:
        super().__init__(data_dir)
        self._host = host

    def url(self, database: int = 0) -> str:
        return super().url(database).replace("@127.0.0.1:", f"@{self._host.address}:")

    def start(self, *, same_port: bool = False, cancelled: threading.Event | None = None) -> None:
        with self._host.inside():
            super().start(same_port=same_port, cancelled=cancelled)

    def _command(self, port: int) -> list[str]:
        return [*super()._command(port), "--bind", self._host.address]
