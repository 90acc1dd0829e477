"""Owns where the processes of a run are: an address, and how a process is started there. Starts none itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """A machine of the run.

    Attributes:
        address: under which the others reach what listens there.
        inside: what this thread starts within it is started there.
    """

    address: str = HOST
    inside: Callable[[], AbstractContextManager[None]] = nullcontext


HERE = Place()


def one_machine(name: str) -> Place:  # noqa: ARG001  (every name is here)
    """Everything is on this machine."""
    return HERE
