"""The kit registry: what goes over the wire, and what each of its answers means."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.http_replies import HttpReply, retry_after_seconds
from dispatchlog.gateways.kit_registry import HttpKitRegistry, LocalKitRegistry

from .rigs import registration
from .servers import LOOPBACK, Provider, raw_server


def refusal(provider: Provider, **play: Any) -> GatewayError:
    provider.script("registrations", {"do": "status", **play})
    registry = HttpKitRegistry(provider.http_url, "t", key_retention_seconds=60)
    with pytest.raises(GatewayError) as refused:
        registry.send(registration(uuid4()), deadline=Deadline(3), before_write=lambda: None)
    registry.close()
    return refused.value


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Permanent, "HTTP_400"),
        (404, Permanent, "HTTP_404"),
        (422, Permanent, "HTTP_422"),
        (401, Transient, "UNAUTHORISED"),
        (403, Transient, "UNAUTHORISED"),
        (408, Transient, "HTTP_408"),
        (409, OutcomeUnknown, "HTTP_409"),
        (429, Transient, "HTTP_429"),
        (503, Transient, "HTTP_503"),
        (500, OutcomeUnknown, "HTTP_500"),
        (502, OutcomeUnknown, "HTTP_502"),
        (504, OutcomeUnknown, "HTTP_504"),
        (302, OutcomeUnknown, "HTTP_302"),
        (204, OutcomeUnknown, "HTTP_204"),
    ],
)
def test_each_status_means_what_the_table_says(
    provider: Provider, status: int, kind: type[GatewayError], code: str
) -> None:
    error = refusal(provider, status=status, body={} if status != 204 else "")
    assert (type(error), error.code, error.evidence["status"]) == (kind, code, status)


@pytest.mark.parametrize("nested", [True, False])
def test_a_refusal_carries_the_registrys_own_code(provider: Provider, nested: bool) -> None:
    body = {"code": "KIT_ALREADY_REGISTERED", "message": "x" * 900}
    error = refusal(provider, status=422, body={"error": body} if nested else body)
    assert error.code == "KIT_ALREADY_REGISTERED"
    assert len(error.evidence["message"]) == 200


@pytest.mark.parametrize("code", [7, None, "", "no spaces allowed", "x" * 65, ["A"]])
def test_a_code_that_is_none_is_replaced_by_the_status(provider: Provider, code: object) -> None:
    assert refusal(provider, status=422, body={"code": code}).code == "HTTP_422"


@pytest.mark.parametrize("body", ["not json", "[]", '{"registrationId": 7}', '{"registrationId": ""}', "[" * 100_000])
@pytest.mark.parametrize("status", [200, 201])
def test_a_yes_without_a_registration_is_unknown(provider: Provider, status: int, body: str) -> None:
    error = refusal(provider, status=status, body=body)
    assert (type(error), error.code) == (OutcomeUnknown, "MALFORMED_REPLY")


def test_retry_after_travels_with_the_error(provider: Provider) -> None:
    assert refusal(provider, status=429, headers={"Retry-After": "17"}).retry_after_seconds == 17
    assert refusal(provider, status=503).retry_after_seconds is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": "99999999"}, 86_400),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2020 07:28:30 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_measured_on_the_servers_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(HttpReply(503, headers, b"")) == seconds


def test_key_trace_and_token_go_in_headers_and_the_body_is_the_stored_bytes() -> None:
    answer = json.dumps({"registrationId": "r-1"}).encode()
    parcel = registration(uuid4())

    def talk(connection: Any, server: Any) -> None:
        server.take(connection, parcel.body)
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        server.stopped.wait(60)

    with raw_server(talk) as server:
        registry = HttpKitRegistry(f"http://{LOOPBACK}:{server.port}/v1/", "s3cret", key_retention_seconds=60)
        receipt = registry.send(parcel, deadline=Deadline(3), before_write=lambda: None)
        head, _, body = bytes(server.taken).partition(b"\r\n\r\n")
        registry.close()
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/registrations HTTP/1.1"
    assert {f"Idempotency-Key: {parcel.idempotency_key}", "X-Trace-Id: trace-1", "Authorization: Bearer s3cret"} <= set(
        lines
    )
    assert body == parcel.body
    assert receipt.provider_message_id == "r-1"
    assert "s3cret" not in json.dumps(dict(receipt.evidence))


def test_the_local_registry_gives_the_same_kit_of_the_same_order_the_same_registration_in_every_process() -> None:
    registry = LocalKitRegistry()

    def register(order_id: str, kit_id: str) -> str | None:
        parcel = registration(uuid4())
        body = json.dumps({"orderId": order_id, "kitId": kit_id}).encode()
        parcel = type(parcel)(parcel.dispatch_id, parcel.idempotency_key, kit_id, body)
        return registry.send(parcel, deadline=Deadline(1), before_write=lambda: None).provider_message_id

    assert register("o1", "K1") == register("o1", "K1") == "2cbd9d85-0084-5cb8-a87e-d601c4c51852"
    assert len({register("o1", "K1"), register("o1", "K2"), register("o2", "K1")}) == 3


@pytest.mark.parametrize("kit_id", ["", "a b", "x" * 65, "k/1", "k\n", "kít", 7, None])
def test_the_local_registry_refuses_a_malformed_kit_id_before_the_last_word(kit_id: object) -> None:
    asked: list[int] = []
    parcel = registration(uuid4())
    parcel = type(parcel)(parcel.dispatch_id, "k", "k", json.dumps({"kitId": kit_id}).encode())
    with pytest.raises(Permanent) as refused:
        LocalKitRegistry().send(parcel, deadline=Deadline(1), before_write=lambda: asked.append(1))
    assert (refused.value.code, asked) == ("KIT_ID_INVALID", [])


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{"])
def test_the_local_registry_refuses_a_body_that_is_no_json_object(body: bytes) -> None:
    parcel = registration(uuid4())
    with pytest.raises(Permanent) as refused:
        LocalKitRegistry().send(
            type(parcel)(parcel.dispatch_id, "k", "k", body), deadline=Deadline(1), before_write=lambda: None
        )
    assert refused.value.code == "MALFORMED_BODY"
