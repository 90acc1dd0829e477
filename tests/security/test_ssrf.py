"""Item 26: destinations that people enter lead to public addresses and to the networks that were named, nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dispatchlog.engine.database import configure, connected, database, fetch_dicts
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Transient
from dispatchlog.gateways import wire
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_endpoint import EndpointError, Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_probe import try_endpoint
from dispatchlog.gateways.http import HttpClient
from dispatchlog.reach import LOOPBACK, OutOfReach, Reach, literal_address
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import endpoints, schools
from tests.gateways.rigs import visit
from tests.gateways.servers import LOOPBACK as HERE

PUBLIC = Reach()
INSIDE = (
    "0.0.0.0",  # noqa: S104  nothing is bound
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::ffff:10.1.2.3",  # IPv4-mapped
    "::ffff:169.254.169.254",
    "64:ff9b::10.1.2.3",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",  # NAT64 of a local prefix, RFC 8215
    "2001:0:a00:1::1",  # Teredo
    "2001:db8::1",
    "2002:a01:203::1",  # 6to4 of 10.1.2.3
    "2002:808:808::1",  # 6to4 of 8.8.8.8: through whoever relays it
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",  # site-local
    "ff02::1",
)
OUTSIDE = ("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8")


@pytest.mark.parametrize("address", INSIDE)
def test_item_26_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not PUBLIC.allows(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_item_26_a_public_address_is_allowed_however_it_is_wrapped(address: str) -> None:
    assert PUBLIC.allows(address)


def test_item_26_a_named_network_is_reached_and_no_other_one() -> None:
    reach = Reach((ip_network("10.20.0.0/16"), ip_network("fd12::/16")))
    for address in ("10.20.3.4", "::ffff:10.20.3.4", "64:ff9b::10.20.3.4", "fd12::9"):
        assert reach.allows(address), address
    for address in ("10.21.0.1", "127.0.0.1", "169.254.169.254", "2002:a14:304::1", "fd13::9"):
        assert not reach.allows(address), address


def test_item_26_no_network_that_is_named_opens_a_metadata_service() -> None:
    everything = Reach(tuple(map(ip_network, ("10.0.0.0/8", "100.64.0.0/10", "fc00::/7"))))
    for address in ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "169.254.169.254"):
        assert not everything.allows(address), address
    assert everything.allows("100.100.100.201")


SPELT = ("2130706433", "0177.0.0.1", "0x7f000001", "0x7f.1", "127.1", "017700000001", "127.0.0.1")


@pytest.mark.parametrize("host", SPELT)
def test_item_26_decimal_octal_and_short_addresses_are_judged_as_what_they_are(host: str) -> None:
    assert literal_address(host) == "127.0.0.1"
    with pytest.raises(EndpointError) as refused:
        Hl7Endpoint("hl7:SCH-01", Transport.MLLP, host=host, port=2575, reach=PUBLIC)
    assert refused.value.field == "host"
    with pytest.raises(EndpointError) as refused:
        Hl7Endpoint("hl7:SCH-01", Transport.HTTPS, url=f"https://{host}/hl7", reach=PUBLIC)
    assert refused.value.field == "url"
    with pytest.raises(OutOfReach):
        wire.open_socket(host, 2575, deadline=Deadline(10), reach=PUBLIC)


@pytest.mark.parametrize("url", ["https://[::1]/", "https://[::ffff:7f00:1]/", "https://[64:ff9b::7f00:1]/"])
def test_item_26_addresses_in_brackets_are_judged_too(url: str) -> None:
    with pytest.raises(EndpointError):
        Hl7Endpoint("hl7:SCH-01", Transport.HTTPS, url=url, reach=PUBLIC)


class Names:
    """A name service of the test: what it answers next, and how often it was asked."""

    def __init__(self, port: int, *answers: tuple[str, ...]) -> None:
        self.asked = 0
        self._port = port
        self._answers = list(answers)

    def __call__(self, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, self._port)) for address in found]


@contextmanager
def listening() -> Iterator[tuple[int, list[Any]]]:
    """A port of this machine that notes who connects."""
    came: list[Any] = []
    with socket.create_server((HERE, 0)) as server:
        server.settimeout(0.2)
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                came.append(address)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1], came
        finally:
            ended.set()
            thread.join()


def test_item_26_a_name_is_looked_up_once_and_the_judged_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as (port, _):
        names = Names(port, (HERE,), ("10.0.0.1",))
        monkeypatch.setattr(socket, "getaddrinfo", names)
        with wire.open_socket("rebinds.example.org", port, deadline=Deadline(10), reach=Reach(LOOPBACK)) as found:
            assert found.getpeername() == (HERE, port)
        assert names.asked == 1


def test_item_26_a_name_that_turns_inward_afterwards_is_refused_at_the_next_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as (port, came):
        monkeypatch.setattr(socket, "getaddrinfo", Names(port, (HERE,)))
        endpoint = Hl7Endpoint("hl7:SCH-01", Transport.MLLP, host="rebinds.example.org", port=port, reach=PUBLIC)
        gateway = open_gateway(endpoint)
        with pytest.raises(Transient) as refused:
            gateway.send(visit(uuid4()), deadline=Deadline(10), before_write=lambda: None)
        gateway.close()
        assert refused.value.code == "DESTINATION_REFUSED"
        assert came == []


def test_item_26_of_several_addresses_only_those_allowed_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as (port, _):
        monkeypatch.setattr(socket, "getaddrinfo", Names(port, ("10.0.0.1", HERE, "169.254.169.254")))
        with wire.open_socket("many.example.org", port, deadline=Deadline(10), reach=Reach(LOOPBACK)) as found:
            assert found.getpeername() == (HERE, port)


@pytest.mark.parametrize("transport", list(Transport))
def test_item_26_trying_an_endpoint_judges_as_sending_does(
    monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    with listening() as (port, came):
        monkeypatch.setattr(socket, "getaddrinfo", Names(port, (HERE,)))
        host = "inward.example.org"
        where: dict[str, Any] = {"url": f"https://{host}:{port}/hl7"}
        if transport is Transport.MLLP:
            where = {"host": host, "port": port}
        found = try_endpoint(Hl7Endpoint("hl7:SCH-01", transport, reach=PUBLIC, **where))
        assert (found.code, [step.name for step in found.steps]) == ("DESTINATION_REFUSED", ["Name"])
        assert "DISPATCHLOG_PRIVATE_NETWORKS" in found.steps[0].words
        assert HERE not in found.steps[0].words
        assert came == []


def test_item_26_trying_an_endpoint_whose_name_turns_inward_meanwhile_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as (port, came):
        monkeypatch.setattr(socket, "getaddrinfo", Names(port, ("8.8.8.8",), (HERE,)))
        found = try_endpoint(
            Hl7Endpoint("hl7:SCH-01", Transport.MLLP, host="turns.example.org", port=port, reach=PUBLIC)
        )
        assert (found.code, [step.name for step in found.steps]) == ("DESTINATION_REFUSED", ["Name", "Connection"])
        assert came == []


@contextmanager
def web(status: int, location: str = "") -> Iterator[tuple[int, list[str]]]:
    """A web server that answers everything so, and notes what it was asked."""
    asked: list[str] = []

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to be printed."""

    server = ThreadingHTTPServer((HERE, 0), Web)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_item_26_no_redirect_is_followed(status: int) -> None:
    with web(204) as (inside, reached), web(status, f"http://{HERE}:{inside}/admin") as (port, asked):
        client = HttpClient(f"http://{HERE}:{port}", reach=Reach(LOOPBACK))
        answer = client.request("POST", "/hook", content=b"{}", headers={"Content-Length": "2"}, deadline=Deadline(10))
        client.close()
        assert (answer.status, asked, reached) == (status, ["/hook"], [])


def test_item_26_production_reaches_this_machine_only_where_it_is_named(settings_env: Settings) -> None:
    production = settings_env.model_copy(update={"environment": "production"})
    assert Reach(settings_env.reachable_networks).allows(HERE)
    assert not Reach(production.reachable_networks).allows(HERE)
    named = production.model_copy(update={"private_networks": "127.0.0.1/32, 10.20.0.0/16"})
    assert Reach(named.reachable_networks).allows(HERE)
    assert Reach(named.reachable_networks).allows("10.20.0.1")


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0/0", "::/0", "8.8.8.0/24", "169.254.0.0/16", "10.1.2.3/8", "10.0.0.0/8;", "::ffff:0:0/96", "private"],
)
def test_item_26_only_private_networks_can_be_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DISPATCHLOG_PRIVATE_NETWORKS", text)
    with pytest.raises(ValidationError, match="private networks"):
        Settings()


def test_item_26_an_endpoint_in_no_named_network_is_not_switched_on_and_one_that_was_waits(
    settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    schools.add_school("SCH-01", "First school", actor="test")
    there = {"host": "10.20.0.9", "port": 2575, "tls": False, "enabled": True}
    with pytest.raises(schools.SchoolError) as refused:
        schools.change_endpoint("SCH-01", there, actor="test")
    assert (refused.value.code, refused.value.field) == ("INVALID_SETTING", "host")

    named = settings_env.model_copy(update={"private_networks": "10.20.0.0/16"})
    with monkeypatch.context() as patch:
        patch.setattr(endpoints, "get_settings", lambda: named)
        schools.change_endpoint("SCH-01", there, actor="test")
    with connected():
        (row,) = fetch_dicts(endpoints.SELECT)
    assert "may not be reached" in endpoints.route_of(row).closed
    database.close_all()
