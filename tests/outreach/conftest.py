"""Fixtures of outreach's tests: a worker inside the test's own process, and the lane with gateways that reach nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine import delivery
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Letter, Route, Row
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.row_content import COMM_JOBS, PAYLOADS
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach import gate
from models import CommJob

ROUTES = ("email-smtp", "sms-twilio", "whatsapp-cloud")


@dataclass
class Desk:
    """One in-process worker, the lane, and what its gateways were given.

    `before_mark` is called with each row that is claimed and not yet marked as leaving.
    """

    runtime: Runtime
    before_mark: Callable[[Row], None] = lambda _: None
    gateways: dict[str, FakeGateway] = field(
        default_factory=lambda: {name: FakeGateway(GatewayKind.LOOKUP, name=name) for name in ROUTES}
    )

    def __post_init__(self) -> None:
        self.routes = {
            name: Route(name, gateway, retry=RetryPolicy(max_attempts=6, first_delay_seconds=1, jitter=0))
            for name, gateway in self.gateways.items()
        }
        self.lane = Lane(
            name="comm_job",
            title="Messages to patients",
            model=CommJob,
            build_gateway=lambda: FakeGateway(name="outreach"),
            compose=self.compose,
            slots=4,
            routes=lambda: self.routes,
            in_turn=False,
            may_leave=gate.may_leave,
            audience="outreach",
            seal=PAYLOADS,
            row_seal=COMM_JOBS,
        )

    def compose(self, row: Row) -> Letter:
        """The text as it stands."""
        self.before_mark(row)
        return Letter(str(row["recipient"]), str(row["body"]).encode(), "text/plain")

    def drain(self) -> None:
        delivery.drain(self.lane, self.runtime)

    @property
    def left(self) -> list[str]:
        """The addresses of what left, by whichever way."""
        return [entry.recipient for gateway in self.gateways.values() for entry in gateway.accepted]


@pytest.fixture(autouse=True)
def drains_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a drain gets done in its second depends on the machine."""
    monkeypatch.setattr(delivery, "DRAIN_SECONDS", 30.0)


@pytest.fixture
def application(settings_env: Settings) -> Iterator[Settings]:
    """The process's pool on this test's database, as the application's role."""
    for cache in (get_broker, get_waker):
        cache.cache_clear()
    registry.forget()
    configure(
        settings_env.database_url,
        role=settings_env.application_role,
        max_connections=60,
        statement_timeout_ms=60_000,
        by_index=True,
    )
    yield settings_env
    if not database.is_closed():
        database.close()
    database.close_all()
    for cache in (get_broker, get_waker):
        cache.cache_clear()
    registry.forget()


@pytest.fixture
def desk(application: Settings) -> Iterator[Desk]:
    presence = Presence(application.database_url, role=application.application_role)
    presence.open()
    yield Desk(Runtime(presence, get_waker(), Breaker(application.effective_redis_url)))
    presence.close()
