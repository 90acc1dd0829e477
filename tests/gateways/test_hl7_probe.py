"""Trying an endpoint says which step fails and what to do about it."""

from __future__ import annotations

import ssl
import time
from ipaddress import ip_network
from pathlib import Path
from uuid import uuid4

import pytest

from dispatchlog.gateways.hl7_exchange import Exchange, server_context
from dispatchlog.gateways.hl7_exchange_script import Answer
from dispatchlog.gateways.hl7_exchange_servers import HttpSide, MllpSide
from dispatchlog.gateways.hl7_probe import Trial, Verdict, try_endpoint
from dispatchlog.reach import Reach
from tests.ports import free_port

from .hl7_certificates import Authority
from .hl7_rigs import https_endpoint, mllp_endpoint, mllp_rig
from .rigs import visit

AUTHORITY, STRANGER = Authority("Authority"), Authority("Stranger")


def told(trial: Trial) -> dict[str, str]:
    return {step.name: str(step.verdict) for step in trial.steps}


def context_of(folder: Path, *, days: int = 2, asks: bool = False) -> ssl.SSLContext:
    certificate, key = AUTHORITY.sign("exchange.test", days=days).write(folder, "server")
    (folder / "ca.pem").write_text(AUTHORITY.certificate)
    return server_context(certificate, key, folder / "ca.pem" if asks else None)


def test_a_plain_endpoint_passes_every_step_beside_the_connection_in_use() -> None:
    with mllp_rig() as rig:
        rig.send(visit(uuid4()))
        trial = try_endpoint(mllp_endpoint(rig.side.port), message=visit(uuid4()).body)
        assert told(trial) == dict.fromkeys(("Name", "Connection", "TLS", "Test message"), "PASSED")
        assert trial.works
        assert "MSA|AA|" in trial.acknowledgement
        rig.send(visit(uuid4()))
        # One kept by the gateway, one to see that it connects, one for the message.
        assert rig.side.connections == 3


def test_nothing_is_sent_unless_asked() -> None:
    with mllp_rig() as rig:
        assert try_endpoint(mllp_endpoint(rig.side.port)).works
        assert rig.exchange.taken == 0


def test_a_certificate_is_described_with_its_end(tmp_path: Path) -> None:
    with mllp_rig(context_of(tmp_path, days=40), ca_pem=AUTHORITY.certificate) as rig:
        trial = try_endpoint(mllp_endpoint(rig.side.port, tls=True, ca_pem=AUTHORITY.certificate))
        assert trial.certificate is not None
        assert (trial.certificate.subject, trial.certificate.issuer) == ("exchange.test", "Authority")
        assert "localhost" in trial.certificate.names
        assert trial.certificate.days_left == 39
        assert told(trial)["TLS"] == "PASSED"


def test_a_certificate_that_soon_expires_is_a_warning(tmp_path: Path) -> None:
    with mllp_rig(context_of(tmp_path, days=5), ca_pem=AUTHORITY.certificate) as rig:
        trial = try_endpoint(mllp_endpoint(rig.side.port, tls=True, ca_pem=AUTHORITY.certificate))
        assert (told(trial)["TLS"], trial.works) == ("WARNING", True)


def test_a_certificate_of_somebody_else_is_shown_and_gets_nothing(tmp_path: Path) -> None:
    with mllp_rig(context_of(tmp_path), ca_pem=AUTHORITY.certificate) as rig:
        endpoint = mllp_endpoint(rig.side.port, tls=True, ca_pem=STRANGER.certificate)
        trial = try_endpoint(endpoint, message=visit(uuid4()).body)
        assert told(trial) == {"Name": "PASSED", "Connection": "PASSED", "TLS": "FAILED"}
        assert trial.code == "TLS_CERTIFICATE"
        assert "authority that signed it" in trial.steps[-1].words
        assert trial.certificate is not None
        assert trial.certificate.issuer == "Authority"
        assert rig.exchange.taken == 0


@pytest.mark.parametrize(("settings", "advice"), [({"days": -1}, "renew it"), ({}, "another name")])
def test_an_expired_certificate_and_a_wrong_name_are_told_apart(
    tmp_path: Path, settings: dict[str, int], advice: str
) -> None:
    name = "" if settings else "elsewhere.test"
    with mllp_rig(context_of(tmp_path, **settings), ca_pem=AUTHORITY.certificate) as rig:
        endpoint = mllp_endpoint(rig.side.port, tls=True, ca_pem=AUTHORITY.certificate, server_name=name)
        assert advice in try_endpoint(endpoint).steps[-1].words


def test_a_missing_client_certificate_is_asked_for(tmp_path: Path) -> None:
    with mllp_rig(context_of(tmp_path, asks=True), ca_pem=AUTHORITY.certificate) as rig:
        trial = try_endpoint(mllp_endpoint(rig.side.port, tls=True, ca_pem=AUTHORITY.certificate))
        assert trial.code == "TLS_FAILED"
        assert "client certificate" in trial.steps[-1].words


def test_a_server_without_tls_is_a_failed_handshake() -> None:
    with mllp_rig() as rig:
        trial = try_endpoint(mllp_endpoint(rig.side.port, tls=True, deadline_seconds=3.0))  # silence lasts so long
        assert trial.steps[-1].name == "TLS"
        assert trial.code == "TLS_FAILED"


def test_nobody_listening_and_no_such_name_are_told_apart() -> None:
    refused = try_endpoint(mllp_endpoint(free_port()))
    assert (refused.steps[-1].name, refused.code) == ("Connection", "CONNECT_FAILED")
    unknown = try_endpoint(mllp_endpoint(2575, host="no-such-host.invalid"))
    assert unknown.steps[-1].name == "Name"
    assert not unknown.works


def test_silence_ends_with_the_deadline() -> None:
    with mllp_rig() as rig:
        rig.arm(Answer("mute"))
        begun = time.monotonic()
        trial = try_endpoint(mllp_endpoint(rig.side.port, deadline_seconds=2), message=visit(uuid4()).body)
        assert time.monotonic() - begun < 30
        assert (trial.code, trial.steps[-1].verdict) == ("TIMEOUT", Verdict.FAILED)


def test_a_refusal_comes_with_its_acknowledgement() -> None:
    with mllp_rig() as rig:
        rig.arm(Answer(code="AR", error="202", accept=False))
        trial = try_endpoint(mllp_endpoint(rig.side.port), message=visit(uuid4()).body)
        assert (trial.code, trial.works) == ("ACK_AR_202", False)
        assert "MSA|AR|" in trial.acknowledgement


def test_a_wrong_api_key_is_named_and_never_repeated() -> None:
    side = HttpSide(Exchange(), api_key="right-key")
    try:
        body = visit(uuid4()).body
        wrong = try_endpoint(https_endpoint(side.port, api_key="wrong-key"), message=body)
        assert wrong.code == "ENDPOINT_REFUSED_CREDENTIALS"
        assert "wrong-key" not in repr(wrong)
        assert try_endpoint(https_endpoint(side.port, api_key="right-key"), message=body).works
    finally:
        side.close()


def test_an_answer_that_repeats_the_api_key_does_not_show_it() -> None:
    exchange = Exchange()
    side = HttpSide(exchange)
    try:
        exchange.script.set([Answer(code="AE", text="key s3cret-key is old", accept=False)])
        trial = try_endpoint(https_endpoint(side.port, api_key="s3cret-key"), message=visit(uuid4()).body)
        assert "[API key] is old" in trial.acknowledgement
        assert "s3cret-key" not in repr(trial)
    finally:
        side.close()


def test_a_line_without_tls_elsewhere_is_a_warning() -> None:
    side = MllpSide(Exchange(), "0.0.0.0")  # noqa: S104  (an address that is not the loopback)
    try:
        reach = Reach((ip_network("0.0.0.0/8"),))
        trial = try_endpoint(mllp_endpoint(side.port, host="0.0.0.0", reach=reach))  # noqa: S104
        assert (told(trial)["TLS"], trial.works) == ("WARNING", True)
    finally:
        side.close()
