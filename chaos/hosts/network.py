"""Owns hosts in network namespaces and the cables between them. Starts no program of the product and decides no fault.

A host is a network and a UTS namespace without a name: only this process's descriptors and the programs inside keep them.
So nothing is left behind, also after `kill -9`: the kernel removes what nobody holds. The machine's own network is never
touched; the switch is a bridge in a namespace of its own. A program is on a host when it was started `inside` it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CLONE_NEWUTS = 0x04000000
_CLONE_NEWNET = 0x40000000
_KINDS = {"net": _CLONE_NEWNET, "uts": _CLONE_NEWUTS}
_PREFIX = "10.77.0."
# Nobody has this address: what is sent to it is lost without a word, as behind a dead cable.
_NOBODY = "02:00:00:00:ff:ff"

_libc = ctypes.CDLL(None, use_errno=True)


class NetworkError(RuntimeError):
    """Namespaces or cables could not be made here; the message says what refused."""


def why_not() -> str:
    """Why hosts cannot be made on this machine; "" where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the program ip is missing (Debian: apt-get install iproute2)"
    try:
        with Network() as network:
            network.add("probe")
    except (NetworkError, OSError, AttributeError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


@dataclass(slots=True)
class Host:
    """One machine: its address, and the namespaces that are it."""

    name: str
    number: int
    namespaces: dict[str, int] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{_PREFIX}{self.number}"

    @property
    def hardware_address(self) -> str:
        """Always the same, so that neighbours know a host again that came back."""
        return f"02:00:00:00:00:{self.number:02x}"

    @property
    def cable(self) -> str:
        """The switch's end of its cable."""
        return f"port{self.number}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, is on the host."""
        before = _namespaces_of_this_thread()
        try:
            _enter(self.namespaces)
            yield
        finally:
            _enter(before)
            _close(before)

    def enter(self) -> None:
        """This thread, and every thread and process it starts from now on, is on the host for good."""
        _enter(self.namespaces)

    def ip(self, *arguments: str) -> None:
        """Run `ip` on the host.

        Raises:
            NetworkError: it refused.
        """
        with self.inside():
            done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
        if done.returncode:
            raise NetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """A switch and the hosts on it. Not thread-safe: one thread at a time changes it."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._switch = Host("switch", 0)
        self._cuts: set[tuple[str, str]] = set()
        self.lost: set[str] = set()

    def __enter__(self) -> Network:
        try:
            _boot(self._switch)
            self._switch.ip("link", "add", "switch", "type", "bridge")
            self._switch.ip("link", "set", "switch", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in (*self.hosts.values(), self._switch):
            _close(host.namespaces)

    def add(self, name: str) -> Host:
        """A new host that reaches all others."""
        host = self.hosts[name] = Host(name, len(self.hosts) + 1)
        self._plug(host)
        return host

    def cut(self, sender: Host, receiver: Host) -> None:
        """From now on nothing of the sender reaches the receiver, and nobody is told. The other way stays open."""
        self._cuts.add((sender.name, receiver.name))
        sender.ip("neigh", "replace", receiver.address, "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent")

    def mend(self, sender: Host, receiver: Host) -> None:
        """Undo `cut`; harmless where nothing is cut."""
        if (sender.name, receiver.name) in self._cuts:
            self._cuts.discard((sender.name, receiver.name))
            sender.ip("neigh", "del", receiver.address, "dev", "eth0")

    def pull(self, host: Host) -> None:
        """Take the host's cable out of the switch."""
        self._switch.ip("link", "set", host.cable, "down")

    def push(self, host: Host) -> None:
        """Put it back."""
        self._switch.ip("link", "set", host.cable, "up")

    def lose(self, host: Host) -> None:
        """The host's network card is gone. Kill its programs after this, and nobody hears their goodbyes."""
        for sender, receiver in list(self._cuts):
            if host.name in (sender, receiver):
                self.mend(self.hosts[sender], self.hosts[receiver])
        self._switch.ip("link", "del", host.cable)
        self.lost.add(host.name)

    def boot(self, host: Host) -> None:
        """A lost host comes back under its old name and address and knows of no connection."""
        _close(host.namespaces)
        self._plug(host)
        self.lost.discard(host.name)

    def mend_all(self) -> None:
        """Every cut is undone, every cable is in, every host is there."""
        for sender, receiver in list(self._cuts):
            self.mend(self.hosts[sender], self.hosts[receiver])
        for host in self.hosts.values():
            if host.name in self.lost:
                self.boot(host)
            else:
                self.push(host)

    def _plug(self, host: Host) -> None:
        _boot(host)
        at = f"/proc/{os.getpid()}/fd/{host.namespaces['net']}"
        self._switch.ip(
            *("link", "add", host.cable, "type", "veth"),
            *("peer", "name", "eth0", "address", host.hardware_address, "netns", at),
        )
        self._switch.ip("link", "set", host.cable, "master", "switch", "up")
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")


def _boot(host: Host) -> None:
    """Give the host fresh namespaces, made by a thread of their own: this one stays where it is."""

    def make() -> None:
        _call(_libc.unshare, _CLONE_NEWNET | _CLONE_NEWUTS)
        socket.sethostname(host.name)
        host.namespaces = _namespaces_of_this_thread()

    _in_a_thread(make)
    host.ip("link", "set", "lo", "up")


def _in_a_thread(work: Callable[[], None]) -> None:
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  handed to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="boot")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _namespaces_of_this_thread() -> dict[str, int]:
    of = f"/proc/self/task/{threading.get_native_id()}/ns"
    return {kind: os.open(f"{of}/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _KINDS}


def _enter(namespaces: dict[str, int]) -> None:
    for kind, descriptor in namespaces.items():
        _call(_libc.setns, descriptor, _KINDS[kind])


def _close(namespaces: dict[str, int]) -> None:
    for descriptor in namespaces.values():
        with suppress(OSError):
            os.close(descriptor)
    namespaces.clear()


def _call(function: Callable[..., int], *arguments: int) -> None:
    if function(*arguments) != 0:
        raise NetworkError(f"{function.__name__}: {os.strerror(ctypes.get_errno())}")
