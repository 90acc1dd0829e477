"""Owns running programs of other makers under Node: installed once into a cache outside the repository, never vendored."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dispatchlog.engine.deadline import Deadline

from .servers import LOOPBACK, free_port

_FOLDER = Path(__file__).parent / "independent"
_INSTALL_SECONDS = 100
_START_SECONDS = 20


def installed(folder: Path) -> Path:
    """The modules of the folder's package; their versions are those of its lock file."""
    name = folder.name
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is missing: these tests need Node.js 18 or newer (apt-get install nodejs npm).")
    lock = (folder / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dispatchlog-tests"
    target = cache / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{target.name}.lock").open("w") as turn:  # one installation at a time, over all test processes
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (target / "complete").exists():
            _install(folder, target)
    return target / "node_modules"


def _install(folder: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for file in ("package.json", "package-lock.json"):
        shutil.copy(folder / file, target)
    command = ["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        pytest.fail(f"npm could not install {folder.name}: {done.stderr[-600:]}")
    (target / "complete").touch()


@dataclass
class NodeServer:
    """A running server; `took` is what it has printed so far."""

    port: int
    took: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def taken(self, count: int) -> list[dict[str, Any]]:
        """The first `count` messages, waited for; fails when they do not come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.took) >= count, timeout=10), self.took
            return list(self.took)


@contextmanager
def node_server(name: str, *arguments: str | Path) -> Iterator[NodeServer]:
    """`independent/NAME/server.js` on a port of its own."""
    modules = installed(_FOLDER / name)
    server = NodeServer(free_port())
    command = ["node", _FOLDER / name / "server.js", str(server.port), *arguments]
    environment = {**os.environ, "NODE_PATH": str(modules)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    reader = threading.Thread(target=_read, args=(process, server), daemon=True)
    reader.start()
    try:
        _wait_until_listening(process, server.port)
        yield server
    finally:
        process.terminate()
        process.wait(10)
        reader.join(5)
        assert process.stdout is not None
        process.stdout.close()


def _read(process: subprocess.Popen[str], server: NodeServer) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        with server.changed:
            server.took.append(json.loads(line))
            server.changed.notify_all()


def _wait_until_listening(process: subprocess.Popen[str], port: int) -> None:
    deadline = Deadline(_START_SECONDS)
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "the server ended by itself"
            assert not deadline.passed, "the server does not listen"
            threading.Event().wait(0.05)
        else:
            return
