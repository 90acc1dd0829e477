"""Owns what lies beside the data in a directory of ours: its lock, notes, secrets, port and log. Starts no process."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import socket
from pathlib import Path
from typing import IO

from dispatchlog.engine.errors import DispatchlogError

LOG_TAIL_LINES = 15
_LARGEST_LOG_BYTES = 8_000_000


class LocalServerError(DispatchlogError):
    """Something of this machine could not be started or stopped; the message says why and what to do."""

    code = "LOCAL_SERVER"


def lock_directory(directory: Path) -> IO[bytes]:
    """Own the directory until the returned file is closed or this process dies, even by SIGKILL.

    Raises:
        LocalServerError: another living process owns it.
    """
    lock = (directory / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LocalServerError(f"another process runs the server in {directory}; stop it first") from None
    return lock


def is_locked(directory: Path) -> bool:
    """Whether a living process owns the directory."""
    try:
        lock = (directory / "lock").open("rb")
    except OSError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_note(path: Path) -> str:
    """What `choose_port` or `remember_secret` wrote.

    Raises:
        LocalServerError: nothing was written yet.
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise LocalServerError(f"no server has been started in {path.parent}") from None


def write_private(path: Path, text: str) -> None:
    """Put `text` into a file that only its owner can read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(new, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    new.rename(path)


def remember_secret(path: Path) -> str:
    """The secret in this file, which only its owner can read; made the first time."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text()


def choose_port(note: Path) -> int:
    """The port in the note if nobody else has it, else another one, remembered.

    Taken from below the range for outgoing connections: there a client that knocks while the server is down can be
    given the server's own port, connect to itself and keep the server out.
    """
    candidates = iter(lambda: random.randint(15_000, 30_000), 0)  # noqa: S311  a port, not a secret
    if note.exists() and port_is_free(remembered := int(note.read_text())):
        return remembered
    port = next(candidate for candidate in candidates if port_is_free(candidate))
    note.write_text(f"{port}\n")
    return port


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def open_log(path: Path) -> IO[bytes]:
    """The server's log, for appending; a long one is put aside and replaces the one put aside before."""
    if path.exists() and path.stat().st_size > _LARGEST_LOG_BYTES:
        path.replace(path.with_suffix(".old"))
    return path.open("ab")


def log_tail(path: Path) -> str:
    """Its last lines."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
