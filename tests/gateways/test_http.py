"""The HTTP client: where the line between "nothing was sent" and "who knows" runs, on raw sockets and under TLS."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import FenceLost, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.http import MAX_REPLY_BYTES, HttpClient
from dispatchlog.gateways.http_replies import HttpReply
from tests.engine.processes import until
from tests.lateness import within

from .servers import LOOPBACK, Certificate, RawServer, drip, raw_server, reset

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Talk = Callable[[socket.socket, RawServer], None]


@contextmanager
def client_of(server: RawServer) -> Iterator[HttpClient]:
    client = HttpClient(f"http://{LOOPBACK}:{server.port}/base")
    try:
        yield client
    finally:
        client.close()


def post(client: HttpClient, deadline_seconds: float = 30, **more: Any) -> HttpReply:
    return client.request("POST", "/things", content=b"BODY", deadline=Deadline(deadline_seconds), **more)


def answering(*answers: bytes) -> Talk:
    def talk(connection: socket.socket, server: RawServer) -> None:
        for answer in answers:
            server.take(connection, b"BODY")
            connection.sendall(answer)
        server.stopped.wait(60)

    return talk


def test_the_request_reaches_the_path_below_the_base_url_with_host_and_length() -> None:
    with raw_server(answering(OK)) as server, client_of(server) as client:
        reply = post(client)
        head = bytes(server.taken).decode()
    assert reply == HttpReply(200, {"content-length": "2"}, b"{}")
    assert head.startswith("POST /base/things HTTP/1.1\r\n")
    assert f"Host: {LOOPBACK}:{server.port}\r\n" in head
    assert "Content-Length: 4\r\n" in head


def test_connections_are_reused() -> None:
    with raw_server(answering(OK, OK, OK)) as server, client_of(server) as client:
        for _ in range(3):
            post(client)
        assert server.connections == 1


def test_not_one_byte_has_reached_the_server_when_before_write_is_asked_or_fails() -> None:
    seen: list[bytes] = []

    def lose() -> None:
        time.sleep(0.1)
        seen.append(bytes(server.taken))
        raise FenceLost("The lock is gone.")

    with raw_server(answering(OK)) as server, client_of(server) as client:
        with pytest.raises(FenceLost):
            post(client, before_write=lose)
        time.sleep(0.1)
        assert seen == [b""]
        assert bytes(server.taken) == b""
        assert server.connections == 1


def test_a_connection_closed_while_idle_is_replaced_before_anything_is_written() -> None:
    def talk_once(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"BODY")
        connection.sendall(OK)

    with raw_server(talk_once) as server, client_of(server) as client:
        for number in range(3):
            assert post(client).status == 200
            until(lambda number=number: server.ended == number + 1, what="its end")
        assert server.connections == 3


def test_a_connection_closed_while_before_write_takes_its_time_is_a_definite_no() -> None:
    told = threading.Event()

    def close_when_told(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"BODY")
        connection.sendall(OK)
        told.wait(60)

    def take_time() -> None:
        told.set()
        until(lambda: server.ended == 1, what="its end")

    with raw_server(close_when_told) as server, client_of(server) as client:
        post(client)
        with pytest.raises(Transient) as stale:
            post(client, before_write=take_time)
    assert stale.value.code == "CONNECTION_STALE"


def test_a_deadline_that_passes_in_before_write_is_a_definite_no() -> None:
    with raw_server(answering(OK)) as server, client_of(server) as client:
        with pytest.raises(Transient) as late:
            post(client, 0.2, before_write=lambda: time.sleep(0.3))
        assert bytes(server.taken) == b""
    assert late.value.code == "TIMEOUT"


def answer_nothing(connection: socket.socket, server: RawServer) -> None:
    server.take(connection, b"BODY")


def answer_with_reset(connection: socket.socket, server: RawServer) -> None:
    server.take(connection, b"BODY")
    reset(connection)


def answer_half(connection: socket.socket, server: RawServer) -> None:
    server.take(connection, b"BODY")
    connection.sendall(OK[:-1])


@pytest.mark.parametrize("talk", [answer_nothing, answer_with_reset, answer_half])
def test_a_connection_lost_after_the_request_is_unknown_and_never_resent(talk: Talk) -> None:
    with raw_server(talk) as server, client_of(server) as client:
        with pytest.raises(OutcomeUnknown) as lost:
            post(client)
        assert server.connections == 1
    assert lost.value.code == "CONNECTION_LOST"


def test_garbage_is_a_malformed_reply() -> None:
    garbage = answering(b"\x16\x03 what\r\n\r\n")
    with raw_server(garbage) as server, client_of(server) as client, pytest.raises(OutcomeUnknown) as broken:
        post(client)
    assert broken.value.code == "MALFORMED_REPLY"


def test_a_reply_over_the_limit_is_not_read_to_its_end() -> None:
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * (MAX_REPLY_BYTES + 1)
    with raw_server(answering(huge)) as server, client_of(server) as client, pytest.raises(OutcomeUnknown) as big:
        post(client)
    assert big.value.code == "REPLY_TOO_LARGE"


@pytest.mark.parametrize("dripped", [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500])
def test_the_total_deadline_holds_while_every_single_read_is_quick(dripped: bytes) -> None:
    def talk(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"BODY")
        drip(connection, dripped, server)

    with (
        raw_server(talk) as server,
        client_of(server) as client,
        within(1.5, least_seconds=0.9),
        pytest.raises(OutcomeUnknown) as late,
    ):
        post(client, 1)
    assert late.value.code == "TIMEOUT"


def test_the_total_deadline_holds_against_a_server_that_never_reads() -> None:
    def talk(connection: socket.socket, server: RawServer) -> None:
        server.stopped.wait(10)

    with raw_server(talk) as server, client_of(server) as client, within(1.5), pytest.raises(OutcomeUnknown):
        client.request("POST", "/", content=b"x" * 30_000_000, deadline=Deadline(1))


def test_an_early_answer_of_a_server_that_stops_reading_is_heard() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def talk(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"\r\n\r\nBODY")
        connection.sendall(refusal)

    with raw_server(talk) as server, client_of(server) as client:
        assert post(client).status == 413


def test_a_redirect_is_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with raw_server(answering(moved)) as server, client_of(server) as client:
        assert post(client).status == 302
        assert server.connections == 1


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "naïve ☃"])
def test_a_header_that_is_not_http_is_permanent_and_nothing_is_sent(value: str) -> None:
    with raw_server(answering(OK)) as server, client_of(server) as client:
        with pytest.raises(Permanent) as refused:
            client.request("POST", "/", headers={"X-Key": value}, content=b"BODY", deadline=Deadline(2))
        assert bytes(server.taken) == b""
    assert refused.value.code == "BAD_REQUEST"


def test_an_unknown_host_is_a_connection_that_failed() -> None:
    client = HttpClient("http://no-such-host.invalid")
    with pytest.raises(Transient) as unknown:
        post(client)
    client.close()
    assert unknown.value.code == "CONNECT_FAILED"


@pytest.mark.parametrize("url", ["ftp://host", "host", "http://", "https://u:p@host/", "http://host/?q=1"])
def test_a_base_url_is_http_without_credentials_and_the_error_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ValueError, match="base URL") as refused:
        HttpClient(url)
    assert "u:p" not in str(refused.value)


def test_tls_with_a_trusted_certificate_carries_requests_on_one_connection(certificate: Certificate) -> None:
    with raw_server(answering(OK, OK), certificate.server_context()) as server:
        client = HttpClient(f"https://localhost:{server.port}", ca_file=certificate.certificate)
        assert [post(client).status, post(client).status] == [200, 200]
        assert server.connections == 1
        client.close()


def test_an_untrusted_certificate_is_transient_with_its_own_code_and_nothing_is_sent(certificate: Certificate) -> None:
    asked: list[int] = []
    with raw_server(answering(OK), certificate.server_context()) as server:
        client = HttpClient(f"https://localhost:{server.port}")
        with pytest.raises(Transient) as refused:
            post(client, before_write=lambda: asked.append(1))
        client.close()
        assert bytes(server.taken) == b""
    assert (refused.value.code, asked) == ("TLS_CERTIFICATE", [])


def test_a_certificate_for_another_name_is_refused(certificate: Certificate) -> None:
    with raw_server(answering(OK), certificate.server_context()) as server:
        client = HttpClient(f"https://127.0.0.2:{server.port}", ca_file=certificate.certificate, connect_seconds=1)
        with pytest.raises(Transient):
            post(client)
        client.close()


def hang_up(connection: socket.socket, server: RawServer) -> None:
    connection.recv(10)


def speak_no_tls(connection: socket.socket, server: RawServer) -> None:
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def drip_forever(connection: socket.socket, server: RawServer) -> None:
    drip(connection, b"\x16\x03\x03\x40\x00" + b"x" * 500, server)


@pytest.mark.parametrize("talk", [hang_up, speak_no_tls, drip_forever])
def test_a_handshake_that_fails_or_drips_is_transient_within_the_deadline(talk: Talk) -> None:
    with raw_server(talk) as server:
        client = HttpClient(f"https://localhost:{server.port}")
        with within(1.5), pytest.raises(Transient) as failed:
            post(client, 1)
        client.close()
    assert failed.value.code == "TLS_FAILED"


def test_the_deadline_holds_under_tls_too(certificate: Certificate) -> None:
    def talk(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"BODY")
        drip(connection, OK, server)

    with raw_server(talk, certificate.server_context()) as server:
        client = HttpClient(f"https://localhost:{server.port}", ca_file=certificate.certificate)
        with within(1.5), pytest.raises(OutcomeUnknown):
            post(client, 1)
        client.close()
