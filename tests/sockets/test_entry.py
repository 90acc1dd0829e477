"""Who is let in, who is not, and who is sent out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from dashboard.sockets import tickets
from dashboard.sockets.clients import MOST_CONNECTIONS, MOST_ROOMS
from dashboard.sockets.server import MOST_MESSAGE_BYTES
from dashboard.sockets.tickets import issue_ticket, read_ticket
from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.people import disable_user, sign_out_everywhere
from dispatchlog.service_tokens import create_token, revoke_token
from dispatchlog.settings import Settings
from tests.sockets.care import token_of
from tests.sockets.conftest import ORIGIN, Desk
from tests.sockets.samples import change, place
from tests.systems.ticket_samples import make_care

SIGN_IN_AGAIN = "You are not signed in any more; sign in again."


def test_whoever_shows_nothing_valid_is_refused_and_told_why(desk: Desk, settings_env: Settings) -> None:
    order = place("RX-1")
    signed_out = desk.dash.as_("viewer")
    cookie = f"dispatchlog={signed_out.client.get_cookie('dispatchlog').value}"  # type: ignore[union-attr]
    signed_out.post("/sign-out")
    half_way = desk.cookie("support")
    with transaction("test"):
        execute("UPDATE staff_users SET password_chosen_at = NULL WHERE email = 'support@example.org'")
    other_scope = create_token("other", ["orders:read"], "test")
    valid = issue_ticket(order, settings=settings_env).text
    over = issue_ticket(order, settings=settings_env, seconds=-1).text
    no_origin = {"Cookie": desk.cookie("admin")["Cookie"]}
    refused: list[dict[str, Any]] = [
        {},
        {"headers": {"Cookie": cookie, "Origin": ORIGIN}},
        {"headers": half_way},
        {"headers": no_origin},
        {"auth": {"token": other_scope}},
        {"auth": {"token": "dlk_nonsense"}},
        {"auth": {"ticket": over}},
        {"auth": {"ticket": valid.replace(order.hex, uuid4().hex)}},
        # What is shown counts alone: a good session does not help a bad ticket.
        {"auth": {"ticket": "x"}, "headers": desk.cookie("auditor")},
    ]
    clients = [desk.client(**options) for options in refused]
    errors = [client.wait_for("connect_error")[0] for client in clients]
    assert [error["data"]["code"] for error in errors] == ["SOCKET_AUTH_FAILED"] * len(refused)
    assert [error["data"]["message"] for error in errors[:4]] == [SIGN_IN_AGAIN] * 4
    assert all(error["message"] == error["data"]["message"] for error in errors)
    assert not any(client.all_of("connect") for client in clients)


def test_pages_of_other_sites_get_no_connection(desk: Desk) -> None:
    cookie = {"Cookie": desk.cookie()["Cookie"]}
    address = f"127.0.0.1:{desk.port}/socket.io/?EIO=4&transport="
    for origin in ("https://evil.example.org", "http://127.0.0.1:8000.evil.example.org", "null"):
        assert httpx.get(f"http://{address}polling", headers={**cookie, "Origin": origin}).status_code == 400
        with (
            pytest.raises(InvalidStatus),
            connect(f"ws://{address}websocket", origin=Origin(origin), additional_headers=cookie),
        ):
            pass


def test_a_listed_site_gets_one(quiet_desk: Desk, settings_env: Settings) -> None:
    from tests.sockets.samples import sockets

    order, shop = place("RX-1"), "https://shop.example.org"
    with sockets(quiet_desk.port, DISPATCHLOG_SOCKET_ORIGINS=f"{shop}, https://b.example.org:444"):
        ticket = issue_ticket(order, settings=settings_env)
        page = quiet_desk.connected(auth={"ticket": ticket.text}, headers={"Origin": shop})
        assert page.join(ticket.room)["ok"]


def test_whoever_may_listen_no_longer_hears_nothing_more(desk: Desk, settings_env: Settings) -> None:
    order = place("RX-1")
    leaving = desk.dash.as_("viewer")
    cookie = f"dispatchlog={leaving.client.get_cookie('dispatchlog').value}"  # type: ignore[union-attr]
    lasting = create_token("stays", ["pharmacy:read"], "test")
    clients = [
        desk.connected(headers={"Cookie": cookie, "Origin": ORIGIN}),
        desk.connected(headers=desk.cookie("support")),
        desk.connected(headers=desk.cookie("auditor")),
        desk.connected(auth={"token": create_token("shop", ["pharmacy:read"], "test")}),
    ]
    stays = desk.connected(auth={"token": lasting})
    for client in [*clients, stays]:
        assert client.join(f"order:{order}")["ok"]
    leaving.post("/sign-out")
    with connected():
        disable_user("support@example.org")
        sign_out_everywhere("auditor@example.org")
        revoke_token("shop")
    for client in clients:
        assert client.wait_for("disconnect")[0]["reason"] == "io server disconnect"
    change(order, 1)
    assert stays.versions(1) == [1]
    assert [client.all_of("order.updated") for client in clients] == [[]] * 4
    assert stays.all_of("disconnect") == []


def test_nobody_takes_more_than_their_share(desk: Desk, settings_env: Settings) -> None:
    ticket = {"ticket": issue_ticket(place("RX-0"), settings=settings_env).text}
    for _ in range(MOST_CONNECTIONS["ticket"]):
        said = desk.stack.enter_context(connect(f"ws://127.0.0.1:{desk.port}/socket.io/?EIO=4&transport=websocket"))
        said.recv()
        said.send(f'40{{"ticket":"{ticket["ticket"]}"}}')
        assert str(said.recv()).startswith("40")
    assert desk.client(auth=ticket).wait_for("connect_error")[0]["data"]["code"] == "SOCKET_TOO_MANY"
    said.close()
    service = desk.connected(auth={"token": create_token("shop", ["pharmacy:read"], "test")})
    for number in range(MOST_ROOMS):
        assert service.join(f"order:{place(f'RX-{number + 1}')}")["ok"]
    assert service.join("orders") == {"ok": False, "code": "SOCKET_TOO_MANY"}


def until_closed(said: ClientConnection) -> None:
    """Hear whatever comes before the server ends it."""
    try:
        while True:
            said.recv(timeout=60)
    except ConnectionClosed:
        return


def of_an_order(settings: Settings, seconds: int) -> dict[str, str]:
    return {"ticket": issue_ticket(place(f"RX-{seconds}"), settings=settings, seconds=seconds).text}


def of_a_person(_settings: Settings, seconds: int) -> dict[str, str]:
    return token_of(make_care().doctor, seconds)


@pytest.mark.parametrize("auth", [of_an_order, of_a_person])
def test_whoever_comes_for_a_time_is_cut_off_when_it_is_over_and_may_come_again(
    desk: Desk, settings_env: Settings, auth: Callable[[Settings, int], dict[str, str]]
) -> None:
    for seconds in (3, 10, 30):  # however long a loaded machine takes to connect
        with connect(f"ws://127.0.0.1:{desk.port}/socket.io/?EIO=4&transport=websocket") as said:
            said.recv()
            said.send(f"40{json.dumps(auth(settings_env, seconds))}")
            if str(said.recv()).startswith("40"):
                until_closed(said)
                return
    pytest.fail("nothing was good for long enough")


def test_whoever_says_too_much_or_not_who_they_are_is_cut_off(desk: Desk) -> None:
    address = f"127.0.0.1:{desk.port}/socket.io/?EIO=4&transport="
    with connect(f"ws://{address}websocket") as silent, connect(f"ws://{address}websocket") as loud:
        loud.recv()
        loud.send("4" + "x" * MOST_MESSAGE_BYTES)
        with pytest.raises(ConnectionClosed):
            loud.recv()
        large = "4" + "x" * MOST_MESSAGE_BYTES
        assert httpx.post(f"http://{address}polling", content=large).status_code == 413
        assert httpx.post(f"http://{address}polling", content=iter([b"x"])).status_code == 413
        until_closed(silent)


def test_a_ticket_says_what_it_was_made_for_and_a_changed_one_nothing(
    settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = uuid4()
    ticket = issue_ticket(order, settings=settings_env)
    assert read_ticket(ticket.text, settings=settings_env) == ticket
    assert 0 < (ticket.expires_at - datetime.now(UTC)).total_seconds() <= tickets.TICKET_SECONDS
    other = settings_env.model_copy(update={"secret_key": type(settings_env.secret_key)("another")})
    assert read_ticket(ticket.text, settings=other) is None
    later = ticket.text.replace(str(int(ticket.expires_at.timestamp())), str(int(ticket.expires_at.timestamp()) + 9))
    assert [read_ticket(text, settings=settings_env) for text in (later, ticket.text[:-1], "", "é", "x" * 500)] == [
        None
    ] * 5
