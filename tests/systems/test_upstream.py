"""Orders that belong to an upstream service: in tables of other names, or behind its API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog.settings import get_settings
from dispatchlog.systems import kit_upstream
from dispatchlog.systems.kit_orders import order_state
from dispatchlog.systems.kit_upstream import read_shipped_since, refresh_from_upstream
from tests.systems.conftest import Desk
from tests.test_cli import dispatchlog

UPSTREAM = """
CREATE TABLE shop_practitioners (id uuid PRIMARY KEY, name varchar(255) NOT NULL, email varchar(320),
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE shop_kits (id uuid PRIMARY KEY, order_id uuid NOT NULL, kit_id text,
    recipient_email varchar(320), registration_id varchar(255), registered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_id, kit_id));
CREATE TABLE shop_orders_of_old (order_uuid uuid PRIMARY KEY, number text NOT NULL, doctor uuid, state text NOT NULL,
    shipped timestamptz, tracking text, link text, reg_state varchar(32), reg_at timestamptz,
    made timestamptz NOT NULL DEFAULT now(), touched timestamptz NOT NULL DEFAULT now());
-- What cannot have our column names is shown to us through an updatable view.
CREATE VIEW shop_orders AS SELECT order_uuid AS id, number AS order_number, doctor AS practitioner_id, state AS status,
    shipped AS shipping_date, tracking AS tracking_number, link AS tracking_url, reg_state AS registration_status,
    reg_at AS registered_at, made AS created_at, touched AS updated_at FROM shop_orders_of_old;
INSERT INTO shop_practitioners (id, name, email) VALUES
    ('018f0000-0000-7000-8000-00000000000a', 'Dr. Hill', 'h@example.org');
INSERT INTO shop_orders_of_old (order_uuid, number, doctor, state) VALUES
    ('018f0000-0000-7000-8000-00000000000b', 'S-1', '018f0000-0000-7000-8000-00000000000a', 'shipped');
INSERT INTO shop_kits (id, order_id, kit_id) VALUES
    ('018f0000-0000-7000-8000-00000000000c', '018f0000-0000-7000-8000-00000000000b', 'K-1'),
    ('018f0000-0000-7000-8000-00000000000d', '018f0000-0000-7000-8000-00000000000b', repeat('K', 65)),
    ('018f0000-0000-7000-8000-00000000000e', '018f0000-0000-7000-8000-00000000000b', NULL);
"""


def test_tables_of_other_names_and_an_updatable_view_are_read_and_never_changed_in_form(
    tmp_path: Path, empty_database_url: str, redis_url: str
) -> None:
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(UPSTREAM)
    env = {
        "DATABASE_URL": empty_database_url,
        "REDIS_URL": redis_url,
        "DISPATCHLOG_ORDERS_TABLE": "shop_orders",
        "DISPATCHLOG_ORDER_KITS_TABLE": "shop_kits",
        "DISPATCHLOG_PRACTITIONERS_TABLE": "shop_practitioners",
    }
    up = dispatchlog("migrate", "up", cwd=tmp_path, **env)
    assert up.returncode == 0, up.stderr
    sweep = dispatchlog("sweep", cwd=tmp_path, **env)
    assert "1 shipped orders had kits without a registration" in sweep.stdout, sweep.stderr
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT order_number, kit_id, status FROM kit_registrations")
        assert cursor.fetchall() == [("S-1", "K-1", "PENDING")]
        cursor.execute("SELECT state, code, kits FROM order_registrations")
        assert cursor.fetchall() == [("REGISTERING", "INVALID_KIT_ID", 2)]
        cursor.execute("SELECT reg_state FROM shop_orders_of_old")
        assert cursor.fetchone() == ("registering",)
        cursor.execute("SELECT to_regclass('orders'), to_regclass('order_kits'), to_regclass('practitioners')")
        assert cursor.fetchone() == (None, None, None)


def test_a_malformed_table_name_is_refused(tmp_path: Path, empty_database_url: str) -> None:
    run = dispatchlog(
        "migrate", "up", cwd=tmp_path, DATABASE_URL=empty_database_url, DISPATCHLOG_ORDERS_TABLE="orders; DROP TABLE x"
    )
    assert run.returncode == 1
    assert "BAD_SETTING" in run.stderr


class OrderService:
    """An upstream order service with a real socket."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.down = False
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Tests do not chat."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        if self.down:
            status, body = 503, {"error": "away"}
        elif url.path == "/orders":
            assert parse_qs(url.query)["status"] == ["shipped"]
            status, body = 200, {"orders": list(self.orders.values()), "nextCursor": None}
        else:
            order = self.orders.get(url.path.rpartition("/")[2])
            status, body = (200, order) if order else (404, {"error": "unknown"})
        content = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def add(self, **changes: Any) -> UUID:
        order_id = uuid4()
        self.orders[str(order_id)] = {
            "orderId": str(order_id),
            "orderNumber": "UP-1",
            "status": "shipped",
            "practitioner": {"id": str(uuid4()), "name": "Dr. Lake", "email": "lake@example.org"},
            "shippingDate": "2026-03-01T09:00:00Z",
            "kits": [{"kitId": f"U-{order_id.hex[:6]}", "recipientEmail": "u@example.com"}],
            **changes,
        }
        return order_id


@pytest.fixture
def service(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrderService]:
    upstream = OrderService()
    monkeypatch.setenv("DISPATCHLOG_ORDERS_API_URL", upstream.url)
    get_settings.cache_clear()
    kit_upstream.forget()
    yield upstream
    kit_upstream.forget()
    upstream.server.shutdown()
    upstream.server.server_close()


def test_a_message_fetches_its_order_from_the_api_and_registers_its_kits(desk: Desk, service: OrderService) -> None:
    order_id = service.add()
    assert refresh_from_upstream(order_id)
    assert order_state(order_id).order["order_number"] == "UP-1"
    assert len(desk.rows("kit_registration")) == 1


def test_orders_that_no_message_told_of_are_read_from_the_list(desk: Desk, service: OrderService) -> None:
    service.add()
    service.add()
    service.add(kits="nonsense")
    assert read_shipped_since(datetime.now(UTC) - timedelta(hours=1)) == 2
    assert len(desk.rows("kit_registration")) == 2


def test_an_order_cancelled_upstream_registers_nothing(desk: Desk, service: OrderService) -> None:
    order_id = service.add(status="cancelled")
    assert refresh_from_upstream(order_id)
    assert desk.rows("kit_registration") == []
    registration = order_state(order_id).registration
    assert registration is not None
    assert registration["code"] == "ORDER_CANCELLED"


def test_an_api_that_is_down_or_does_not_know_the_order_harms_nothing(desk: Desk, service: OrderService) -> None:
    assert not refresh_from_upstream(uuid4())
    service.down = True
    assert not refresh_from_upstream(service.add())
    assert read_shipped_since(datetime.now(UTC)) == 0
    assert desk.rows("kit_registration") == []
