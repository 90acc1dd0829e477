"""What clients of the official library hear: their rooms' changes, whatever happens to servers and transactions."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from dashboard.sockets.changes import MOST_CHANGES
from dashboard.sockets.tickets import issue_ticket
from dispatchlog.engine.database import configure, connected, database, execute, transaction
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.migrate import migrate_up
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings, get_settings
from tests.engine.processes import until
from tests.gateways.servers import free_port
from tests.sockets.conftest import Desk
from tests.sockets.samples import change, change_over, health, kill, place, sockets, start_sockets


def test_a_page_hears_how_its_order_stands_and_then_every_change_of_it_and_of_no_other(
    quiet_desk: Desk, tmp_path: Path
) -> None:
    order, other = place("RX-1"), place("RX-2")
    change(order, 1)
    change(order, 2, "BOOKED")
    log = tmp_path / "log"
    quiet_desk.stack.enter_context(sockets(quiet_desk.port, log=str(log)))
    page = quiet_desk.connected(headers=quiet_desk.cookie())
    assert page.join(f"order:{order}") == {"ok": True, "room": f"order:{order}"}
    assert page.versions(1) == [2]
    change(other, 1)
    change(order, 3, "ASSIGNED")
    assert page.versions(2) == [2, 3]
    told = page.wait_for("order.updated", 2)[-1]["data"]
    assert (told["orderId"], told["dispatchStatus"], told["traceId"]) == (str(order), "ASSIGNED", "trace-1")
    assert page.wait_for("order:updated")[0]["data"] == told
    assert page.wait_for("dispatch:updated")[0]["data"] == {
        "dispatchId": told["dispatchId"],
        "orderId": str(order),
        "status": "ASSIGNED",
        "dispatchStatus": "ASSIGNED",
        "traceId": "trace-1",
    }
    assert page.emit("leave", {"room": f"order:{order}"})["ok"]
    change(order, 4, "PICKED_UP")
    assert page.emit("order:join", str(other)) == {"ok": True, "room": f"order:{other}"}
    assert page.versions(3) == [2, 3, 1]
    emitted = [json.loads(line) for line in log.read_text().splitlines() if "SOCKET_EMIT" in line]
    told_of = [(line["socket_event"], line["receivers"]) for line in emitted if line.get("version") == 3]
    assert told_of == [("order.updated", 1), ("order:updated", 1), ("dispatch:updated", 1)]
    assert {line["trace_id"] for line in emitted} == {"trace-1"}
    assert {line["order_id"] for line in emitted} == {str(order), str(other)}


def test_a_service_hears_of_every_order_and_of_each_change_once(desk: Desk) -> None:
    order, other = place("RX-1"), place("RX-2")
    token = create_token("shop", ["pharmacy:read"], "test")
    service = desk.connected(auth={"token": token}, transports=["polling", "websocket"])
    assert service.emit("join", "orders") == {"ok": True, "room": "orders"}
    assert service.join(f"order:{order}")["ok"]
    change(order, 1)
    change(other, 5)
    heard = [(line["data"]["orderId"], line["data"]["version"]) for line in service.wait_for("order.updated", 2)]
    assert heard == [(str(order), 1), (str(other), 5)]
    assert service.join(f"order:{uuid4()}") == {"ok": False, "code": "ORDER_NOT_FOUND"}
    assert service.join("everything") == {"ok": False, "code": "SOCKET_ROOM_UNKNOWN"}
    assert service.emit("join") == {"ok": False, "code": "SOCKET_ROOM_UNKNOWN"}


def test_a_ticket_opens_the_room_of_its_order_alone(desk: Desk, settings_env: Settings) -> None:
    order, other = place("RX-1"), place("RX-2")
    change(order, 1)
    ticket = issue_ticket(order, settings=settings_env)
    app = desk.connected(auth={"ticket": ticket.text})
    assert app.join(f"order:{other}") == {"ok": False, "code": "SOCKET_ROOM_FORBIDDEN"}
    assert app.join("orders") == {"ok": False, "code": "SOCKET_ROOM_FORBIDDEN"}
    assert app.join(ticket.room) == {"ok": True, "room": f"order:{order}"}
    change(other, 1)
    change(order, 2)
    assert app.versions(2) == [1, 2]
    assert {line["data"]["orderId"] for line in app.all_of("order.updated")} == {str(order)}


def test_whatever_the_order_of_commits_every_change_arrives_once(desk: Desk, settings_env: Settings) -> None:
    orders = [place(f"RX-{number}") for number in range(6)]
    page = desk.connected(headers=desk.cookie())
    page.emit("join", "orders")
    with ExitStack() as stack:
        writers = [
            stack.enter_context(closing(psycopg2.connect(settings_env.database_url))) for _ in range(len(orders))
        ]
        for writer, order in zip(writers, orders, strict=True):
            change_over(writer, order, 1)
        for number, writer in enumerate(reversed(writers), 1):
            (writer.rollback if number == 4 else writer.commit)()
            heard = number - (number >= 4)
            page.wait_for("order.updated", heard)
    change(orders[0], 2)
    heard_of = [line["data"]["orderId"] for line in page.wait_for("order.updated", 6)]
    expected = [str(order) for place, order in enumerate(reversed(orders), 1) if place != 4]
    assert heard_of == [*expected, str(orders[0])]


def test_more_than_can_be_told_one_by_one_is_told_as_how_each_order_stands(desk: Desk) -> None:
    order = place("RX-1")
    page, everything = desk.connected(headers=desk.cookie()), desk.connected(headers=desk.cookie())
    page.join(f"order:{order}")
    everything.emit("join", "orders")
    with transaction("test"):
        execute(
            "INSERT INTO order_changes (order_id, version, what, payload, trace_id) SELECT %s, n, 'status',"
            " jsonb_build_object('orderId', %s::uuid, 'version', n), 't' FROM generate_series(1, %s) n",
            (order, order, MOST_CHANGES + 1),
        )
    everything.wait_for("orders.stale")
    assert page.versions(1) == [MOST_CHANGES + 1]
    change(order, MOST_CHANGES + 2)
    assert page.versions(2) == [MOST_CHANGES + 1, MOST_CHANGES + 2]
    assert everything.versions(1) == [MOST_CHANGES + 2]


def test_a_client_whose_server_is_killed_comes_back_and_misses_nothing(quiet_desk: Desk) -> None:
    order = place("RX-1")
    change(order, 1)
    first = start_sockets(quiet_desk.port)
    quiet_desk.stack.callback(lambda: kill(first))
    page = quiet_desk.connected(headers=quiet_desk.cookie())
    page.join(f"order:{order}")
    assert page.versions(1) == [1]
    kill(first)
    assert page.wait_for("disconnect")[0]["reason"] == "transport close"
    change(order, 2, "BOOKED")
    with sockets(quiet_desk.port) as second:
        page.wait_for("connect", 2)
        page.join(f"order:{order}")
        assert page.versions(2) == [1, 2]
        change(order, 3, "ASSIGNED")
        assert page.versions(3) == [1, 2, 3]
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
        assert page.wait_for("disconnect", 2)[1]["reason"] == "transport close"  # so that it comes back by itself


def test_each_of_two_servers_tells_its_own_clients_of_every_change(desk: Desk) -> None:
    order, second_port = place("RX-1"), free_port()
    desk.stack.enter_context(sockets(second_port))
    pages = [desk.connected(port=port, headers=desk.cookie()) for port in (desk.port, second_port)]
    for page in pages:
        page.join(f"order:{order}")
    change(order, 1)
    change(order, 2)
    assert [page.versions(2) for page in pages] == [[1, 2], [1, 2]]


def test_clients_stay_while_postgresql_is_away_and_then_hear_what_they_missed(
    settings_env: Settings, quiet_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as postgres, ExitStack() as stack:
        postgres.ensure_database("dispatchlog")
        migrate_up(postgres.url())
        monkeypatch.setenv("DATABASE_URL", postgres.url())
        get_settings.cache_clear()
        configure(postgres.url(), role=settings_env.application_role, name="test")
        stack.callback(database.close_all)
        order, other = place("RX-1"), place("RX-2")
        change(order, 1)
        with connected():
            token = create_token("shop", ["pharmacy:read"], "test")
        stack.enter_context(sockets(quiet_desk.port))
        room, everything = (quiet_desk.connected(auth={"token": token}) for _ in range(2))
        assert room.join(f"order:{order}")["ok"]
        assert everything.join("orders")["ok"]
        database.close_all()
        postgres.stop()
        until(lambda: health(quiet_desk.port).get("database") is False, seconds=60, what="it knows that it is away")
        assert health(quiet_desk.port)["clients"] == 2
        assert room.join(f"order:{other}") == {"ok": False, "code": "DATABASE_UNAVAILABLE"}
        late = quiet_desk.client(auth={"token": token})
        late.wait_for("disconnect")
        postgres.start(same_port=True)
        change(order, 2)
        change(other, 1)
        late.wait_for("connect")  # it was not sent away for good
        assert room.versions(2) == [1, 2]
        assert everything.versions(2) == [2, 1]
        assert room.join(f"order:{other}")["ok"]
        assert room.versions(3) == [1, 2, 1]
        assert [client.all_of("disconnect") for client in (room, everything)] == [[], []]
