"""Items 13 and 34: every event that the socket's server takes, by everybody who can open one. An event that is not listed
here fails the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from socketio.exceptions import ConnectionRefusedError as Refusal

from dashboard.person_tokens import issue_person_token
from dashboard.sockets import rooms
from dashboard.sockets.addresses import allowed_origins
from dashboard.sockets.clients import Clients
from dashboard.sockets.order_topic import OrderTopic
from dashboard.sockets.server import SocketServer
from dashboard.sockets.ticket_topic import TicketTopic
from dashboard.sockets.tickets import issue_ticket
from dispatchlog.engine.database import database
from dispatchlog.service_tokens import SCOPES, create_token
from dispatchlog.settings import Settings
from tests.dashboard.browsing import ROLES, Dashboard
from tests.dashboard.ticket_accounts import link_accounts, ticket
from tests.sockets.samples import place
from tests.systems.ticket_samples import Care

CONNECTING = ("connect", "disconnect")
JOINING = ("join", "order:join")
LEAVING = ("leave", "order:leave")
ORIGIN = "http://127.0.0.1:8000"

ORDERS = ("orders", "order", "other order")
TICKETS = ("tickets", "ticket")
# Whoever opens a socket -> what they may join of: the list of orders, two orders, the list of tickets, a ticket of theirs,
# one of others', the staff's list.
MATRIX: dict[str, tuple[str, ...]] = {
    "session:viewer": (*ORDERS, "overview"),
    "session:support": (*ORDERS, "overview"),
    "session:auditor": (*ORDERS, "overview"),
    "session:admin": (*ORDERS, "overview"),
    "session:pharmacist": (*ORDERS, *TICKETS),
    "session:doctor": TICKETS,
    "session:patient": TICKETS,
    "token": ORDERS,
    "ticket": ("order",),
    "person:doctor": TICKETS,
    "person:pharmacy": TICKETS,
    "person:patient": TICKETS,
}


@dataclass
class Place:
    """A socket's server without its transport, and what there is to listen to."""

    settings: Settings
    dash: Dashboard
    care: Care
    server: SocketServer
    clients: Clients
    asked: dict[str, Any]
    told: list[Any] = field(default_factory=list)

    def handle(self, event: str, sid: str, *said: Any) -> Any:
        return asyncio.run(self.server.sio.handlers["/"][event](sid, *said))

    def connect(self, *, auth: Any = None, cookie: str = "", origin: str = ORIGIN) -> str:
        """The name of a new client. Raises Refusal: it is not let in."""
        sid = uuid4().hex
        self.handle("connect", sid, {"HTTP_COOKIE": cookie, "HTTP_ORIGIN": origin}, auth)
        return sid

    def connect_as(self, who: str) -> str:
        kind, _, name = who.partition(":")
        if kind == "session":
            return self.connect(cookie=self.cookie(name))
        if kind == "person":
            person_id = getattr(self.care, name).person_id
            return self.connect(auth={"token": issue_person_token(person_id, settings=self.settings).text}, origin="")
        if kind == "token":
            return self.connect(auth={"token": create_token("listens", ["pharmacy:read"], "test")}, origin="")
        order = UUID(self.asked["order"]["orderId"])
        return self.connect(auth={"ticket": issue_ticket(order, settings=self.settings).text}, origin="")

    def cookie(self, role: str) -> str:
        cookie = self.dash.as_(role).client.get_cookie("dispatchlog")
        assert cookie is not None
        return f"dispatchlog={cookie.value}"


@pytest.fixture
def there(dash: Dashboard, settings_env: Settings) -> Iterator[Place]:
    care = link_accounts()
    theirs = ticket(care)
    others = ticket(care, patient=care.patient2, doctor=care.doctor2, receiver=care.pharmacy2)
    with serving(settings_env) as (server, clients):
        asked = {
            "orders": {"room": rooms.ORDERS},
            "order": {"orderId": str(place("RX-1"))},
            "other order": {"orderId": str(place("RX-2"))},
            "tickets": {"room": rooms.TICKETS},
            "ticket": {"ticketId": str(theirs["id"])},
            "other ticket": {"ticketId": str(others["id"])},
            "overview": {"room": rooms.OVERVIEW},
        }
        found = Place(settings_env, dash, care, server, clients, asked)

        async def tell(telling: Any) -> None:
            found.told.append(telling)

        server.tell = tell
        yield found


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[SocketServer, Clients]]:
    clients = Clients()
    server = SocketServer(settings, clients, (OrderTopic(), TicketTopic()))
    try:
        yield server, clients
    finally:
        server.close()
        database.close_all()


def test_item_34_the_server_takes_these_events_and_no_other(there: Place) -> None:
    sio = there.server.sio
    assert {space: set(handlers) for space, handlers in sio.handlers.items()} == {
        "/": {*CONNECTING, *JOINING, *LEAVING}
    }
    assert sio.namespace_handlers == {}


def test_item_34_the_matrix_has_every_role(there: Place) -> None:
    assert {who.partition(":")[2] for who in MATRIX if who.startswith("session:")} == set(ROLES)


@pytest.mark.parametrize("event", JOINING)
def test_item_34_everybody_joins_what_the_matrix_says_and_nothing_else(there: Place, event: str) -> None:
    found = {who: joined(there, event, who) for who in MATRIX}
    assert found == {who: set(allowed) for who, allowed in MATRIX.items()}


def joined(there: Place, event: str, who: str) -> set[str]:
    """What this caller may join. Whoever may not is not told how it stands, and is in no room afterwards."""
    sid = there.connect_as(who)
    client = there.clients.find(sid)
    assert client is not None
    found = set()
    for name, asked in there.asked.items():
        rooms_before, told_before = set(client.rooms), len(there.told)
        answer = there.handle(event, sid, asked)
        if answer["ok"]:
            found.add(name)
        else:
            assert answer["code"] in ("SOCKET_ROOM_FORBIDDEN", "TICKET_NOT_FOUND"), (who, name, answer)
            assert client.rooms == rooms_before, (who, name)
            assert len(there.told) == told_before, (who, name)
    there.handle("disconnect", sid)
    return found


def test_item_34_what_is_not_theirs_is_answered_as_what_is_not_there(there: Place) -> None:
    for who in ("person:doctor", "session:patient"):
        sid = there.connect_as(who)
        nothing = there.handle("join", sid, {"ticketId": str(uuid4())})
        assert there.handle("join", sid, there.asked["other ticket"]) == nothing == no("TICKET_NOT_FOUND")


@pytest.mark.parametrize("event", LEAVING)
def test_item_34_leaving_tells_nobody_anything(there: Place, event: str) -> None:
    sid = there.connect_as("person:doctor")
    answers = [there.handle(event, sid, asked) for asked in (*there.asked.values(), {"ticketId": str(uuid4())})]
    assert {answer["ok"] for answer in answers} == {True}
    assert there.told == []


@pytest.mark.parametrize("event", [*JOINING, *LEAVING])
def test_item_34_whoever_was_not_let_in_can_say_nothing(there: Place, event: str) -> None:
    for asked in there.asked.values():
        assert there.handle(event, uuid4().hex, asked) == no("SOCKET_ROOM_UNKNOWN")
    assert len(there.clients) == 0
    assert there.told == []


NO_ROOMS = (None, 7, [], {}, {"room": 7}, {"orderId": None}, "order:", "'; --", "x" * 200, {"room": {"a": []}})


def test_item_34_what_is_no_room_is_refused_at_every_event(there: Place) -> None:
    sid = there.connect_as("session:viewer")
    for event in (*JOINING, *LEAVING):
        for asked in NO_ROOMS:
            answer = there.handle(event, sid, asked, "more", {"than": "wanted"})
            assert answer == no("SOCKET_ROOM_UNKNOWN"), (event, asked)


NOBODY: Mapping[str, Any] = {
    "nothing": {},
    "no origin": {"origin": ""},
    "a made-up session": {"cookie": "dispatchlog=made-up"},
    "a made-up token": {"auth": {"token": "dlk_000000000000_" + "0" * 64}},
    "a made-up person": {"auth": {"token": "dlp_" + "0" * 80}},
    "a made-up ticket": {"auth": {"ticket": "0" * 80}},
    "another kind of value": {"auth": {"ticket": {"a": 1}, "token": ["b"]}},
    "no mapping": {"auth": "dlk_x"},
}


def test_item_34_a_stranger_gets_no_connection(there: Place) -> None:
    codes = {}
    for who, shown in NOBODY.items():
        with pytest.raises(Refusal) as refused:
            there.connect(**shown)
        codes[who] = refused.value.error_args["data"]["code"]
    assert codes == dict.fromkeys(NOBODY, "SOCKET_AUTH_FAILED")
    assert len(there.clients) == 0


def test_item_34_a_cookie_without_an_origin_opens_nothing(there: Place) -> None:
    cookie = there.cookie("admin")
    with pytest.raises(Refusal):
        there.connect(cookie=cookie, origin="")
    assert there.connect(cookie=cookie)


def test_item_34_a_token_of_every_scope_but_the_one_opens_nothing(there: Place) -> None:
    token = create_token("other", sorted(set(SCOPES) - {"pharmacy:read"}), "test")
    with pytest.raises(Refusal):
        there.connect(auth={"token": token}, origin="")


def test_item_34_an_origin_is_one_of_those_that_are_listed(there: Place) -> None:
    for origin in ("null", "https://evil.example.org", f"{ORIGIN}.evil.example.org", ORIGIN.upper(), ""):
        assert not there.server._allows(origin)
    assert ORIGIN in allowed_origins(there.settings)
    assert there.server._allows(ORIGIN)


def no(code: str) -> dict[str, Any]:
    return {"ok": False, "code": code}
