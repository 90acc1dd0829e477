"""Our MLLP against servers of two other makers, plain, under TLS and mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Gateway, Parcel, Receipt
from dispatchlog.gateways.hl7 import open_gateway

from .hl7_certificates import Authority
from .hl7_rigs import mllp_endpoint
from .node_servers import NodeServer, node_server
from .rigs import control_id, visit

# It keeps what it read of a connection's earlier messages before the next one, so it answers only the first rightly.
ONE_MESSAGE_A_CONNECTION = {"node-hl7-server": {"idle_seconds": 0}, "simple-hl7": {}}


@pytest.fixture(scope="module", params=["simple-hl7", "node-hl7-server"])
def plain(request: pytest.FixtureRequest) -> Iterator[tuple[NodeServer, Gateway]]:
    with node_server(request.param) as server:
        settings = ONE_MESSAGE_A_CONNECTION[request.param]
        gateway = open_gateway(mllp_endpoint(server.port, **settings))
        yield server, gateway
        gateway.close()


def send(gateway: Gateway, parcel: Parcel) -> Receipt:
    return gateway.send(parcel, deadline=Deadline(10), before_write=lambda: None)


def named(name: str) -> Parcel:
    parcel = visit(uuid4())
    return replace(parcel, body=parcel.body.replace("القاسمي".encode(), name.encode()))


def test_another_makers_server_takes_and_acknowledges_our_messages(plain: tuple[NodeServer, Gateway]) -> None:
    server, gateway = plain
    before = len(server.took)
    parcels = [visit(uuid4()) for _ in range(5)]
    for parcel in parcels:
        assert send(gateway, parcel).provider_message_id == control_id(parcel)
    took = server.taken(before + 5)[before:]
    assert [one["controlId"] for one in took] == [control_id(parcel) for parcel in parcels]
    assert {(one["name"], one["type"], one["event"]) for one in took} == {("القاسمي", "ADT", "A04")}


@pytest.mark.parametrize(("name", "error"), [("REFUSED", Permanent), ("LATER", Transient)])
def test_another_makers_refusal_is_understood(
    plain: tuple[NodeServer, Gateway], name: str, error: type[Permanent | Transient]
) -> None:
    _, gateway = plain
    with pytest.raises(error) as no:
        send(gateway, named(name))
    assert no.value.code == f"ACK_{no.value.evidence['code']}"
    send(gateway, visit(uuid4()))


def test_an_acknowledgement_for_the_connections_first_message_is_not_the_seconds() -> None:
    """What a server does that never empties its buffer: our second message is not taken for acknowledged."""
    with node_server("node-hl7-server") as server:
        gateway = open_gateway(mllp_endpoint(server.port))
        send(gateway, visit(uuid4()))
        second = visit(uuid4())
        with pytest.raises(OutcomeUnknown) as unknown:
            send(gateway, second)
        assert unknown.value.code == "ACKNOWLEDGEMENT_MISMATCH"
        assert send(gateway, second).provider_message_id == control_id(second)
        gateway.close()


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual-tls"])
def test_another_makers_server_under_tls(tmp_path: Path, *, mutual: bool) -> None:
    authority = Authority("Authority")
    certificate, key = authority.sign("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    with node_server("node-hl7-server", certificate, key, *([tmp_path / "ca.pem"] if mutual else [])) as server:
        settings = {"tls": True, "ca_pem": authority.certificate, "idle_seconds": 0}
        client = authority.sign("clinic")
        mine = {"client_certificate_pem": client.certificate, "client_key_pem": client.key}
        gateway = open_gateway(mllp_endpoint(server.port, **settings, **mine))
        parcels = [visit(uuid4()) for _ in range(3)]
        for parcel in parcels:
            assert send(gateway, parcel).provider_message_id == control_id(parcel)
        assert [one["controlId"] for one in server.taken(3)] == [control_id(parcel) for parcel in parcels]
        if mutual:
            nobody = open_gateway(mllp_endpoint(server.port, **settings))
            with pytest.raises(Transient) as refused:
                send(nobody, visit(uuid4()))
            assert refused.value.code == "TLS_FAILED"
            assert len(server.took) == 3
