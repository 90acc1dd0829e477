"""Owns the scenarios' three lanes, one per kind of provider: those of the random run, with more room and more patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from chaos.gateways import MessageGateway
from chaos.lanes import MAIL, MESSAGE, REGISTRATION, Kind, Outside, chaos_lanes
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.gateway import Gateway, GatewayKind
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.kit_registry import HttpKitRegistry
from dispatchlog.gateways.smtp import SmtpGateway

KINDS: dict[GatewayKind, Kind] = {kind.kind: kind for kind in (REGISTRATION, MESSAGE, MAIL)}
# A busy machine must not turn a good network into a slow one.
DEADLINE_SECONDS = 3.0
# Longer than the provider's by so much that a proxy that is held up does not pass a message on after the question for it.
INDEXING_DELAY = timedelta(seconds=6)
# So many tries that only what no retry can cure ends as FAILED.
RETRY = RetryPolicy(max_attempts=10, first_delay_seconds=0.2, longest_delay_seconds=1.0, jitter=0)


def fault_lanes(outside: Outside, *, deadline_seconds: float = DEADLINE_SECONDS) -> dict[str, Lane]:
    """The lanes by name; a send that hangs holds up no other."""
    gateways: dict[str, Callable[[], Gateway]] = {
        REGISTRATION.name: partial(
            HttpKitRegistry, outside.http_url, "", key_retention_seconds=86_400, deadline_seconds=deadline_seconds
        ),
        MESSAGE.name: partial(_messages, outside.http_url, deadline_seconds),
        MAIL.name: partial(SmtpGateway, outside.smtp_url, deadline_seconds=deadline_seconds),
    }
    lanes = chaos_lanes(outside)
    return {
        name: replace(
            lanes[name],
            build_gateway=gateway,
            compose=partial(_compose, lanes[name].compose),
            retry=RETRY,
            batch=1,
            slots=12,
        )
        for name, gateway in gateways.items()
    }


def _compose(compose: Callable[[Row], Letter], row: Row) -> Letter:
    """As it is, but for a row that says of itself how it is bad."""
    if row["recipient"].startswith("uncomposable"):
        raise CannotCompose("it has no recipient", code="NO_RECIPIENT")
    if row["recipient"].startswith("defective"):
        raise KeyError("what its composing did not expect")
    return compose(row)


def _messages(base_url: str, deadline_seconds: float) -> MessageGateway:
    gateway = MessageGateway(base_url)
    gateway.deadline_seconds = deadline_seconds
    gateway.indexing_delay = INDEXING_DELAY
    return gateway
