"""The states of a dispatch and the legal moves between them. Owns the table; the database enforces the same one."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a dispatch is. Each comment says who moves it next."""

    PENDING = "PENDING"  # a worker, once it is due and nobody paused its lane; an operator may cancel it
    QUEUED = "QUEUED"  # the worker that holds its claim token; if that one died, the rescuer
    SENT = "SENT"  # nobody: the provider has it
    FAILED = "FAILED"  # an operator, or for rows in doubt a look-up or a late proof
    CANCELLED = "CANCELLED"  # nobody: it will never be sent


FINAL = frozenset({Status.SENT, Status.CANCELLED})

MOVES: dict[tuple[Status, Status], str] = {
    (Status.PENDING, Status.QUEUED): "claimed by a worker",
    (Status.PENDING, Status.FAILED): "cannot be sent as it stands (no recipient, too old); nothing was attempted",
    (Status.PENDING, Status.CANCELLED): "cancelled, or expired",
    (Status.PENDING, Status.SENT): "late proof that an earlier attempt was accepted",
    (Status.QUEUED, Status.PENDING): "retry later, or released unsent",
    (Status.QUEUED, Status.SENT): "accepted by the provider",
    (Status.QUEUED, Status.FAILED): "refused for good, attempts spent, or in doubt",
    (Status.FAILED, Status.PENDING): "retried by an operator, or a look-up proved that it never arrived",
    (Status.FAILED, Status.SENT): "proved or confirmed to have arrived",
    (Status.FAILED, Status.CANCELLED): "given up by an operator",
}


def is_legal(source: Status, target: Status) -> bool:
    """Whether the database accepts this move; staying where it is counts as no move."""
    return (source, target) in MOVES
