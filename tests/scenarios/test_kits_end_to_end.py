"""Orders go from import to mail through real processes, with and without workers being killed on the way."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_one
from dispatchlog.importing import import_orders
from dispatchlog.sample import write_sample
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.kit_orders import (
    KitInput,
    OrderInput,
    PractitionerInput,
    ShipmentInput,
    put_order,
    report_shipment,
)
from tests.scenarios.processes import mailbox, mails_per_dispatch, running, wait_for, worker_pids


@dataclass
class Product:
    """One running product with its own database and mailbox."""

    env: dict[str, str]
    mail: Path
    log: Path
    stack: ExitStack

    def start_worker(self, processes: int = 2) -> object:
        return self.stack.enter_context(
            running("-m", "dispatchlog.cli", "worker", "--processes", str(processes), env=self.env, log=self.log)
        )


@pytest.fixture
def mail_deadline_seconds() -> int:
    """As it is by default: a machine that is held up must not turn a sent mail into a doubt."""
    return 20


@pytest.fixture
def product(
    settings_env: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mail_deadline_seconds: int
) -> Iterator[Product]:
    """Mailbox and clock run; the day is 3 seconds and the hour 1."""
    log = tmp_path / "log"
    with ExitStack() as stack:
        mail = tmp_path / "mail"
        port = stack.enter_context(mailbox(mail, env={}, log=log))
        quick = {
            "DISPATCHLOG_SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none",
            "DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS": "3",
            "DISPATCHLOG_SWEEP_SECONDS": "1",
            "DISPATCHLOG_MAIL_DEADLINE_SECONDS": str(mail_deadline_seconds),
        }
        for name, value in quick.items():
            monkeypatch.setenv(name, value)
        env = {**quick, "DATABASE_URL": settings_env.database_url, "REDIS_URL": settings_env.redis_url}
        stack.enter_context(running("-m", "dispatchlog.cli", "scheduler", env=env, log=log))
        configure(settings_env.database_url, role=settings_env.application_role, name="test", max_connections=40)
        registry.forget()
        yield Product(env, mail, log, stack)
        database.close_all()


def statuses() -> dict[str, int]:
    with connected():
        return dict(
            fetch_all(
                "SELECT CASE WHEN in_doubt THEN 'IN_DOUBT' ELSE status END, count(*)"
                " FROM health_information_dispatch_logs GROUP BY 1"
            )
        )


def shipped_kits() -> int:
    """Kits that must get a form: of shipped, uncancelled orders of practitioners."""
    with connected():
        return int(
            fetch_one(
                "SELECT count(*) FROM order_kits k JOIN orders o ON o.id = k.order_id WHERE o.practitioner_id IS NOT NULL"
                " AND o.status <> 'cancelled' AND (o.status IN ('shipped', 'delivered') OR o.shipping_date IS NOT NULL"
                " OR o.tracking_number IS NOT NULL OR o.tracking_url IS NOT NULL)"
            )[0]
        )


def settled(expected: int) -> bool:
    now = statuses()
    return sum(now.values()) == expected and not {"PENDING", "QUEUED"} & now.keys()


def test_a_shipped_order_becomes_registered_kits_and_one_mail_each(product: Product) -> None:
    product.start_worker(processes=1)
    order_id = uuid4()
    kits = (KitInput("KIT-1", "first@example.com"), KitInput("KIT-2"))
    practitioner = PractitionerInput(uuid4(), "Dr. Example", "practice@example.org")
    put_order(OrderInput(order_id, "ORD-1", practitioner, kits=kits), source="vitract-orders")
    state = report_shipment(order_id, ShipmentInput(tracking_number="T-1"), source="vitract-orders")
    assert state.registration is not None
    wait_for(lambda: settled(2))
    assert statuses() == {"SENT": 2}
    assert set(mails_per_dispatch(product.mail).values()) == {1}


def test_a_hundred_kits_reported_twenty_times_at_once_by_two_services_get_a_hundred_rows_and_mails(
    product: Product,
) -> None:
    product.start_worker()
    order_id = uuid4()
    practitioner = PractitionerInput(uuid4(), "Dr. Example", "practice@example.org")
    kits = tuple(KitInput(f"KIT-{number}", f"person{number}@example.com") for number in range(100))
    put_order(OrderInput(order_id, "ORD-100", practitioner, kits=kits), source="vitract-orders")

    def report(number: int) -> None:
        source = ("vitract-orders", "vitract-kit-api-v1")[number % 2]
        report_shipment(order_id, ShipmentInput(status="shipped", tracking_number="T-100"), source=source)

    with ThreadPoolExecutor(20) as reporters:
        list(reporters.map(report, range(20)))
    wait_for(lambda: settled(100))
    assert statuses() == {"SENT": 100}
    mails = mails_per_dispatch(product.mail)
    assert len(mails) == 100
    assert set(mails.values()) == {1}


def import_thousand(path: Path) -> None:
    write_sample(path, orders=1000, seed=11)
    report = import_orders(path, source="vitract-orders")
    assert not report.errors


def ship_everything() -> None:
    with connected():
        waiting = [
            row[0] for row in fetch_all("SELECT id FROM orders WHERE status IN ('created', 'paid', 'processing')")
        ]
    for order_id in waiting:
        report_shipment(order_id, ShipmentInput(status="shipped"), source="vitract-kit-api-v1")


def test_a_thousand_orders_without_a_kill_get_exactly_one_mail_per_kit(product: Product, tmp_path: Path) -> None:
    product.start_worker()
    import_thousand(tmp_path / "orders.json")
    ship_everything()
    expected = shipped_kits()
    wait_for(lambda: settled(expected), every=0.5)
    without_recipient = statuses().get("FAILED", 0)
    with connected():
        codes = fetch_all(
            "SELECT DISTINCT last_error_code FROM health_information_dispatch_logs WHERE status = 'FAILED'"
        )
    assert codes == [("NO_RECIPIENT",)]
    assert statuses() == {"SENT": expected - without_recipient, "FAILED": without_recipient}
    mails = mails_per_dispatch(product.mail)
    assert len(mails) == expected - without_recipient
    assert set(mails.values()) == {1}


@pytest.mark.parametrize("mail_deadline_seconds", [2])  # a killed worker's rows are taken over after it
def test_a_thousand_orders_with_workers_killed_never_get_two_mails_and_every_doubt_is_settled_by_one_act(
    product: Product, tmp_path: Path
) -> None:
    supervisor = product.start_worker()
    chance = random.Random(20)  # noqa: S311 - repeatable on purpose

    def upstream() -> None:
        import_thousand(tmp_path / "orders.json")
        ship_everything()

    with ThreadPoolExecutor(1) as services:
        shipped = services.submit(upstream)
        kills = 0
        ends = time.monotonic() + 25
        while time.monotonic() < ends or kills < 10:  # a busy machine is slow to put another in its place
            time.sleep(chance.uniform(0.2, 0.9))
            victims = worker_pids(supervisor)  # type: ignore[arg-type]
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    kills += 1
        shipped.result()
    expected = shipped_kits()
    wait_for(lambda: settled(expected), every=0.5)
    mails = mails_per_dispatch(product.mail)
    assert set(mails.values()) == {1}, "a kit got two mails"
    settle_doubts(mails.keys())
    wait_for(lambda: settled(expected), every=0.5)
    mails = mails_per_dispatch(product.mail)
    assert set(mails.values()) == {1}, "settling a doubt sent a second mail"
    with connected():
        sent = {
            str(row[0]) for row in fetch_all("SELECT id FROM health_information_dispatch_logs WHERE status = 'SENT'")
        }
        unsent = fetch_all(
            "SELECT last_error_code FROM health_information_dispatch_logs WHERE status <> 'SENT' GROUP BY 1"
        )
    assert sent == set(mails)
    assert unsent == [("NO_RECIPIENT",)]


def settle_doubts(delivered: object) -> None:
    """What a person does at the desk: looks whether the mail arrived, then one act per row."""
    lane = registry.lane("health_information")
    with connected():
        doubtful: list[UUID] = [row[0] for row in fetch_all(f"SELECT id FROM {lane.table} WHERE in_doubt")]
    for dispatch_id in doubtful:
        arrived = str(dispatch_id) in delivered  # type: ignore[operator]
        act = operator.confirm_sent if arrived else operator.confirm_not_sent
        result = act(lane, dispatch_id, actor="test", reason="looked into the mailbox")
        assert result.changed
