"""SMTP: what each stage's failure means, on a scripted server, and STARTTLS with AUTH against aiosmtpd."""

from __future__ import annotations

import json
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import FenceLost, GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Parcel, Receipt
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.gateways.smtp_endpoint import SmtpEndpoint, Tls
from tests.lateness import within
from tests.ports import free_port

from .rigs import letter
from .servers import LOOPBACK, Certificate, RawServer, drip, raw_server, reset

GOOD = {"greet": "220 hi", "EHLO": "250-host\r\n250 SIZE", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go"}
Step = str | Callable[[socket.socket, RawServer], None]


def conversation(messages: int = 99, **changed: Any) -> Callable[[socket.socket, RawServer], None]:
    """A server that follows the good conversation but for the changed steps; `dot` answers the content."""
    steps: dict[str, Step] = {**GOOD, "dot": "250 2.0.0 queued as 7", "QUIT": "221 bye", **changed}

    def do(step: str, connection: socket.socket, server: RawServer) -> None:
        action = steps.get(step, "500 what")
        if callable(action):
            action(connection, server)
            raise ConnectionResetError
        connection.sendall(action.encode() + b"\r\n")

    def talk(connection: socket.socket, server: RawServer) -> None:
        do("greet", connection, server)
        taken = 0
        while taken < messages:
            verb = server.take(connection, b"\r\n")[:4].decode()
            do(verb, connection, server)
            if verb == "DATA" and str(steps["DATA"]).startswith("354"):
                server.take(connection, b"\r\n.\r\n")
                do("dot", connection, server)
                taken += 1

    return talk


def changed(step: str, to: Step) -> dict[str, Any]:
    return {step: to}


@contextmanager
def gateway_of(server: RawServer, query: str = "tls=none", **more: Any) -> Iterator[SmtpGateway]:
    gateway = SmtpGateway(f"smtp://{LOOPBACK}:{server.port}?{query}", deadline_seconds=30, **more)
    try:
        yield gateway
    finally:
        gateway.close()


def send(gateway: SmtpGateway, parcel: Parcel | None = None, seconds: float = 30, **more: Any) -> Receipt:
    more.setdefault("before_write", lambda: None)
    return gateway.send(parcel or letter(uuid4()), deadline=Deadline(seconds), **more)


def failing(talk: Callable[[socket.socket, RawServer], None], parcel: Parcel | None = None) -> GatewayError:
    with raw_server(talk) as server, gateway_of(server) as gateway, pytest.raises(GatewayError) as failed:
        send(gateway, parcel)
    return failed.value


def test_the_receipt_is_our_message_id_with_the_servers_words_as_evidence() -> None:
    parcel = letter(uuid4())
    with raw_server(conversation()) as server, gateway_of(server) as gateway:
        receipt = send(gateway, parcel)
    assert receipt.provider_message_id == f"{parcel.dispatch_id}@dispatchlog.test"
    assert receipt.evidence == {"code": 250, "reply": "2.0.0 queued as 7", "host": LOOPBACK}


def test_dots_are_stuffed_and_only_the_last_line_is_a_lone_dot() -> None:
    with raw_server(conversation()) as server, gateway_of(server) as gateway:
        send(gateway)
        wire = bytes(server.taken)
    assert b"\r\nHello\r\n..\r\n...dots\r\n.\r\n" in wire
    assert wire.count(b"\r\n.\r\n") == 1


def test_before_write_comes_after_354_and_before_the_content() -> None:
    seen: list[bytes] = []
    with raw_server(conversation()) as server, gateway_of(server) as gateway:
        send(gateway, before_write=lambda: seen.append(bytes(server.taken)))
    assert seen[0].endswith(b"DATA\r\n")


def test_a_lost_fence_closes_the_connection_and_the_server_never_sees_content() -> None:
    def lose() -> None:
        raise FenceLost("The lock is gone.")

    with raw_server(conversation()) as server, gateway_of(server) as gateway:
        with pytest.raises(FenceLost):
            send(gateway, before_write=lose)
        time.sleep(0.1)
        assert bytes(server.taken).endswith(b"DATA\r\n")


@pytest.mark.parametrize(
    ("step", "reply", "kind", "code"),
    [
        ("greet", "554 no service", Transient, "SMTP_554"),
        ("greet", "421 busy", Transient, "SMTP_421"),
        ("greet", "hello there", Transient, "SMTP_GARBAGE"),
        ("MAIL", "451 later", Transient, "SMTP_451"),
        ("MAIL", "550 not you", Permanent, "SMTP_550"),
        ("MAIL", "530 log in first", Transient, "SMTP_AUTH"),
        ("RCPT", "450 mailbox busy", Transient, "SMTP_450"),
        ("RCPT", "550 no such user", Permanent, "SMTP_550"),
        ("RCPT", "\x00\x01", Transient, "SMTP_GARBAGE"),
        ("DATA", "452 full", Transient, "SMTP_452"),
        ("DATA", "554 no", Permanent, "SMTP_554"),
        ("DATA", "250 what", Transient, "SMTP_250"),
        ("dot", "451 later", Transient, "SMTP_451"),
        ("dot", "421 closing", Transient, "SMTP_421"),
        ("dot", "552 too big", Permanent, "SMTP_552"),
        ("dot", "354 go on", OutcomeUnknown, "SMTP_GARBAGE"),
        ("dot", "25", OutcomeUnknown, "SMTP_GARBAGE"),
        ("dot", "\x16\x03garbage", OutcomeUnknown, "SMTP_GARBAGE"),
    ],
)
def test_each_reply_means_what_its_stage_says(step: str, reply: str, kind: type[GatewayError], code: str) -> None:
    error = failing(conversation(**changed(step, reply)))
    assert (type(error), error.code) == (kind, code)


def hang_up(connection: socket.socket, server: RawServer) -> None:
    connection.close()


def hard_reset(connection: socket.socket, server: RawServer) -> None:
    reset(connection)


@pytest.mark.parametrize("step", ["greet", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("how", [hang_up, hard_reset])
def test_a_connection_lost_before_the_content_is_a_definite_no(step: str, how: Step) -> None:
    error = failing(conversation(**changed(step, how)))
    assert (type(error), error.code) == (Transient, "SMTP_CONNECT")


@pytest.mark.parametrize("how", [hang_up, hard_reset])
def test_a_connection_lost_between_the_final_dot_and_its_reply_is_unknown(how: Step) -> None:
    error = failing(conversation(dot=how))
    assert (type(error), error.code) == (OutcomeUnknown, "SMTP_LOST_REPLY")


def test_a_connection_lost_in_the_middle_of_the_content_is_a_definite_no() -> None:
    def cut(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(b"354 go\r\n")
        connection.recv(1000)
        reset(connection)

    parcel = letter(uuid4(), "\r\n".join(["x" * 900] * 20_000))
    error = failing(conversation(DATA=cut), parcel)
    assert type(error) is Transient


def test_a_server_that_never_reads_the_content_is_a_definite_no_within_the_deadline() -> None:
    def stop_reading(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(b"354 go\r\n")
        server.stopped.wait(10)

    parcel = letter(uuid4(), "\r\n".join(["x" * 900] * 20_000))
    with (
        raw_server(conversation(DATA=stop_reading)) as server,
        gateway_of(server) as gateway,
        within(1.5),
        pytest.raises(Transient) as late,
    ):
        send(gateway, parcel, 1)
    assert late.value.code == "SMTP_TIMEOUT"


def test_a_deadline_that_passes_in_before_write_is_a_definite_no() -> None:
    with raw_server(conversation()) as server, gateway_of(server) as gateway:
        with pytest.raises(Transient) as late:
            send(gateway, None, 1, before_write=lambda: time.sleep(1.1))
        assert bytes(server.taken).endswith(b"DATA\r\n")
    assert late.value.code == "SMTP_TIMEOUT"


@pytest.mark.parametrize(("step", "kind"), [("greet", Transient), ("RCPT", Transient), ("dot", OutcomeUnknown)])
def test_the_total_deadline_holds_against_a_drip_at_any_stage(step: str, kind: type[GatewayError]) -> None:
    def slowly(connection: socket.socket, server: RawServer) -> None:
        drip(connection, b"250-" + b"x" * 400, server)

    with (
        raw_server(conversation(**changed(step, slowly))) as server,
        gateway_of(server) as gateway,
        within(1.5, least_seconds=0.9),
        pytest.raises(kind) as late,
    ):
        send(gateway, None, 1)
    assert late.value.code == "SMTP_TIMEOUT"


def test_an_endless_reply_is_garbage_and_not_a_full_memory() -> None:
    def endless(connection: socket.socket, server: RawServer) -> None:
        while not server.stopped.is_set():
            connection.sendall(b"250-more\r\n" * 100)

    assert failing(conversation(EHLO=endless)).code == "SMTP_GARBAGE"


def test_nothing_listens_is_transient() -> None:
    gateway = SmtpGateway(f"smtp://{LOOPBACK}:{free_port()}?tls=none", deadline_seconds=5)
    with pytest.raises(Transient) as refused:
        send(gateway)
    assert refused.value.code == "SMTP_CONNECT"


def test_an_old_server_without_ehlo_gets_helo() -> None:
    with raw_server(conversation(EHLO="502 what", HELO="250 hi")) as server, gateway_of(server) as gateway:
        send(gateway)
        assert b"HELO [127.0.0.1]\r\nMAIL FROM:<a@clinic.test>\r\n" in bytes(server.taken)


def test_a_connection_is_reused_and_one_that_the_server_closed_is_replaced_unnoticed() -> None:
    asked: list[int] = []
    with raw_server(conversation(messages=2)) as server, gateway_of(server) as gateway:
        for _ in range(5):
            send(gateway, before_write=lambda: asked.append(1))
            time.sleep(0.02)
        assert server.connections == 3
    assert asked == [1] * 5


def test_a_kept_connection_that_answers_421_to_mail_is_replaced_once() -> None:
    def talk(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(b"220 hi\r\n")
        for answer in (b"250 host\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            server.take(connection, b"\r\n")
            connection.sendall(answer)
        server.take(connection, b"\r\n.\r\n")
        connection.sendall(b"250 done\r\n")
        server.take(connection, b"\r\n")
        connection.sendall(b"421 enough for today\r\n")

    with raw_server(talk) as server, gateway_of(server) as gateway:
        for _ in range(2):
            send(gateway)
        assert server.connections == 2


def test_an_idle_connection_is_given_up_after_its_time() -> None:
    with raw_server(conversation()) as server, gateway_of(server, idle_seconds=0.05) as gateway:
        send(gateway)
        time.sleep(0.1)
        send(gateway)
        assert server.connections == 2
        assert b"QUIT\r\n" in bytes(server.taken)


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b.test>\r\nRCPT TO:<x@y.test", "a b@c.test", "a@b.test\n", "ü@b.test", "<a@b.test>"]
)
def test_an_address_that_is_not_plain_is_permanent(address: str) -> None:
    error = failing(conversation(), replace(letter(uuid4()), recipient=address))
    assert (type(error), error.code) == (Permanent, "BAD_ADDRESS")


def test_smtputf8_and_8bitmime_are_used_only_where_offered() -> None:
    parcel = replace(letter(uuid4(), "Grüße"), recipient="ü@b.test")
    offers = "250-host\r\n250-SMTPUTF8\r\n250 8BITMIME"
    with raw_server(conversation(EHLO=offers)) as server, gateway_of(server) as gateway:
        send(gateway, parcel)
        assert b"MAIL FROM:<a@clinic.test> BODY=8BITMIME SMTPUTF8\r\n" in bytes(server.taken)
    assert failing(conversation(), letter(uuid4(), "Grüße")).code == "BAD_MESSAGE"


@pytest.mark.parametrize(
    "body",
    [
        b"Message-ID: <a@b>\r\n\r\nsmuggled\n.\nMAIL FROM:<x@y.test>\r\n",
        b"Message-ID: <a@b>\r\n\r\nsmuggled\r.\r\r\n",
        b"Message-ID: <a@b>\r\n\r\nnul\x00\r\n",
        b"Message-ID: <a@b>\r\n\r\n" + b"x" * 1001 + b"\r\n",
        b"Subject: no id\r\n\r\nMessage-ID: <a@b>\r\n",
    ],
)
def test_a_message_that_servers_could_read_differently_is_refused(body: bytes) -> None:
    error = failing(conversation(), replace(letter(uuid4()), body=body))
    assert (type(error), error.code) == (Permanent, "BAD_MESSAGE")


def test_the_recipients_address_stays_out_of_errors_and_evidence() -> None:
    error = failing(conversation(RCPT="550 5.1.1 <B@home.test> unknown"))
    assert "home.test" not in f"{error} {json.dumps(dict(error.evidence))}".lower()
    assert "5.1.1 <recipient> unknown" in str(error)


class Mailbox:
    """aiosmtpd's handler: keeps what came."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str | None, bool]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        login = session.auth_data.decode() if isinstance(session.auth_data, bytes) else None
        self.taken.append((envelope.content, login, session.ssl is not None))
        return "250 ok"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and data == LoginPassword(b"us:er", "pä ss@word".encode())
    return AuthResult(success=good, handled=good, auth_data=data.login if good else None)


@contextmanager
def starttls_server(certificate: Certificate, **options: Any) -> Iterator[tuple[Mailbox, int]]:
    mailbox, port = Mailbox(), free_port()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aiosmtpd warns of every unusual set-up; these are on purpose
        controller = Controller(
            mailbox,
            hostname=LOOPBACK,
            port=port,
            ready_timeout=120,
            tls_context=certificate.server_context(),
            authenticator=authenticate,
            auth_required=True,
            require_starttls=True,
            **options,
        )
        controller.start()
        try:
            yield mailbox, port
        finally:
            controller.stop()


@pytest.mark.parametrize("excluded", [[], ["PLAIN"]])
def test_starttls_and_auth_work_together_with_percent_encoded_credentials(
    certificate: Certificate, excluded: list[str]
) -> None:
    with starttls_server(certificate, auth_exclude_mechanism=excluded) as (mailbox, port):
        url = f"smtp://us%3Aer:p%C3%A4%20ss%40word@localhost:{port}"
        gateway = SmtpGateway(url, deadline_seconds=5, ca_file=certificate.certificate)
        parcels = [letter(uuid4()), letter(uuid4())]
        for parcel in parcels:
            send(gateway, parcel)
        gateway.close()
    assert mailbox.taken == [(parcel.body, "us:er", True) for parcel in parcels]


def test_a_wrong_password_is_transient_and_appears_nowhere(certificate: Certificate) -> None:
    with starttls_server(certificate) as (mailbox, port):
        url = f"smtp://user:hunter22@localhost:{port}?tls=starttls"
        gateway = SmtpGateway(url, deadline_seconds=5, ca_file=certificate.certificate)
        with pytest.raises(Transient) as refused:
            send(gateway)
    assert refused.value.code == "SMTP_AUTH"
    assert "hunter22" not in f"{refused.value} {refused.value.evidence} {gateway.__dict__}"
    assert mailbox.taken == []


def test_an_untrusted_certificate_is_transient(certificate: Certificate) -> None:
    with starttls_server(certificate) as (_, port):
        gateway = SmtpGateway(f"smtp://localhost:{port}", deadline_seconds=5)
        with pytest.raises(Transient) as refused:
            send(gateway)
    assert refused.value.code == "SMTP_CERTIFICATE"


def test_a_server_without_starttls_is_never_spoken_to_in_clear_text() -> None:
    with raw_server(conversation()) as server, gateway_of(server, "tls=starttls") as gateway:
        with pytest.raises(Transient) as refused:
            send(gateway)
        assert b"MAIL" not in bytes(server.taken)
    assert refused.value.code == "SMTP_TLS"


def test_clear_text_slipped_in_behind_starttls_is_refused() -> None:
    injected = conversation(EHLO="250-host\r\n250 STARTTLS", STAR="220 go\r\n250 injected")
    with (
        raw_server(injected) as server,
        gateway_of(server, "tls=starttls") as gateway,
        pytest.raises(Transient) as refused,
    ):
        send(gateway)
    assert refused.value.code == "SMTP_GARBAGE"


def test_implicit_tls_speaks_tls_from_the_first_byte(certificate: Certificate) -> None:
    with raw_server(conversation(), certificate.server_context()) as server:
        url = f"smtp://localhost:{server.port}?tls=implicit"
        gateway = SmtpGateway(url, deadline_seconds=5, ca_file=certificate.certificate)
        assert send(gateway).evidence["code"] == 250
        gateway.close()


def test_the_url_is_parsed_and_its_repr_hides_the_credentials() -> None:
    endpoint = SmtpEndpoint.parse("smtp://me%40x:se%2Fcret@mail.test?tls=implicit&helo=desk.test")
    assert endpoint == SmtpEndpoint("mail.test", 465, Tls.IMPLICIT, "me@x", "se/cret", "desk.test")
    assert "cret" not in repr(endpoint)
    assert SmtpEndpoint.parse("smtp://mail.test").tls is Tls.STARTTLS


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://u:pw@h?tls=maybe", "smtp://u:pw@h/p", "smtp://h?x=1"])
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="SMTP URL") as refused:
        SmtpEndpoint.parse(url)
    assert "pw" not in str(refused.value)
