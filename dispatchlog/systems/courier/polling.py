"""Asking couriers where their jobs are: the primary source of those that tell nothing, and the net under those that do."""

from __future__ import annotations


def poll_due(*, limit: int = 50) -> int:
    """Ask about the dispatches whose `poll_at` has come; how many were asked. No transaction is open meanwhile.

    What is found goes through `events` like a webhook. Where the courier's answer stays apart from what its webhooks said
    (`polls_apart` reaches 2), `disagreement` says so and an alert follows.
    """
    raise NotImplementedError
