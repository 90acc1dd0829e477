"""Owns a throw-away lane divided into routes, `letter`, and its endpoints as fakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from peewee import TextField

from dispatchlog.engine import ledger
from dispatchlog.engine.database import transaction
from dispatchlog.engine.lanes import Lane, Route
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.tables import RoutedDispatch, routed_lane_table
from dispatchlog.gateways.fake import FakeGateway

from .lane import compose, read

RETRY = RetryPolicy(max_attempts=3, first_delay_seconds=60, jitter=0)
INSTALL = """
CREATE TABLE letters (LIKE dispatch_template INCLUDING ALL, route varchar(64) NOT NULL, stale_at timestamptz,
    body_text text);
SELECT dispatchlog_divide_lane('letters');
SELECT dispatchlog_install_lane('letters', 'letter');
"""


@routed_lane_table
class LetterDispatch(RoutedDispatch):
    """A letter to one of several endpoints."""

    body_text = TextField(null=True)

    class Meta:
        table_name = "letters"


class Post:
    """The lane, its endpoints as fakes, and which routes are in force."""

    def __init__(self) -> None:
        self.gateways = {name: FakeGateway(name=f"post:{name}") for name in ("north", "south")}
        self.in_force = {name: Route(name, gateway, retry=RETRY) for name, gateway in self.gateways.items()}
        self.lane = Lane(
            name="letter",
            title="Letters",
            model=LetterDispatch,
            build_gateway=lambda: FakeGateway(name="post"),
            compose=compose,
            failed_blocks=True,
            routes=lambda: self.in_force,
            goes_stale=True,
        )

    def put(self, route: str, *keys: str, **columns: Any) -> list[UUID]:
        with transaction("test"):
            return ledger.enqueue(
                self.lane,
                [
                    {"body_text": f"{key} {n}", "route": route, "ordering_key": f"{route}:{key}", **columns}
                    for n, key in enumerate(keys)
                ],
            )

    def set(self, name: str, **changes: Any) -> None:
        self.in_force[name] = replace(self.in_force[name], **changes)

    def left(self, name: str) -> list[UUID]:
        return [acceptance.dispatch_id for acceptance in self.gateways[name].accepted]

    def status(self, *ids: UUID) -> list[str]:
        return [str(read(self.lane, each)["status"]) for each in ids]
