"""HL7 over TLS: trust, client certificates, and that a refusal is seen while nothing has been sent."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Transient
from dispatchlog.gateways.hl7_endpoint import EndpointError, Hl7Endpoint
from dispatchlog.gateways.hl7_exchange import server_context

from .hl7_certificates import Authority, Signed
from .hl7_rigs import Hl7Rig, https_rig, mllp_endpoint, mllp_rig
from .rigs import control_id, visit

_VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
_OPENERS = [mllp_rig, https_rig]
_Opener = Callable[..., AbstractContextManager[Hl7Rig]]


@dataclass(frozen=True)
class Pki:
    """Everybody's certificates."""

    authority: Authority
    stranger: Authority
    server: ssl.SSLContext
    asking_server: ssl.SSLContext
    client: Signed


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    authority, stranger = Authority("Authority"), Authority("Stranger")
    certificate, key = authority.sign("localhost").write(folder, "server")
    (folder / "ca.pem").write_text(authority.certificate)
    return Pki(
        authority,
        stranger,
        server_context(certificate, key),
        server_context(certificate, key, folder / "ca.pem"),
        authority.sign("clinic"),
    )


def _mine(signed: Signed) -> dict[str, str]:
    return {"client_certificate_pem": signed.certificate, "client_key_pem": signed.key}


@pytest.mark.parametrize("opener", _OPENERS)
def test_messages_travel_over_tls_on_one_connection(pki: Pki, opener: _Opener) -> None:
    with opener(pki.server, ca_pem=pki.authority.certificate) as rig:
        for parcel in (visit(uuid4()), visit(uuid4(), size=100_000), visit(uuid4())):
            assert rig.send(parcel).provider_message_id == control_id(parcel)
        assert rig.side.connections == 1
        assert rig.exchange.effects == 3


@pytest.mark.parametrize("opener", _OPENERS)
def test_mutual_tls_shows_our_certificate(pki: Pki, opener: _Opener) -> None:
    with opener(pki.asking_server, ca_pem=pki.authority.certificate, **_mine(pki.client)) as rig:
        rig.send(visit(uuid4()))
        assert rig.exchange.effects == 1


@pytest.mark.parametrize("opener", _OPENERS)
def test_a_server_of_another_authority_gets_nothing(pki: Pki, opener: _Opener) -> None:
    with opener(pki.server, ca_pem=pki.stranger.certificate) as rig:
        asked: list[int] = []
        with pytest.raises(Transient) as refused:
            _send_asking(rig, asked)
        assert (refused.value.code, asked) == ("TLS_CERTIFICATE", [])
        assert rig.exchange.counts()["received"] == 0


@pytest.mark.parametrize("opener", _OPENERS)
def test_the_certificates_name_must_be_the_endpoints(pki: Pki, opener: _Opener) -> None:
    with opener(pki.server, ca_pem=pki.authority.certificate, server_name="other.test") as rig:
        with pytest.raises(Transient) as refused:
            rig.send(visit(uuid4()))
        assert refused.value.code == "TLS_CERTIFICATE"
    with opener(pki.server, ca_pem=pki.authority.certificate, server_name="exchange.test") as rig:
        rig.send(visit(uuid4()))


@pytest.mark.parametrize("version", _VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("opener", _OPENERS)
@pytest.mark.parametrize("which", ["none", "expired", "of a stranger"])
def test_a_client_certificate_the_exchange_refuses_is_a_definite_no(
    pki: Pki, opener: _Opener, which: str, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine: dict[str, str] = {}
    if which != "none":
        signer = pki.authority if which == "expired" else pki.stranger
        mine = _mine(signer.sign("clinic", days=-1 if which == "expired" else 2))
    monkeypatch.setattr(pki.asking_server, "maximum_version", version)
    with opener(pki.asking_server, ca_pem=pki.authority.certificate, **mine) as rig:
        asked: list[int] = []
        with pytest.raises(Transient) as refused:
            _send_asking(rig, asked)
        assert (refused.value.code, asked) == ("TLS_FAILED", [])
        assert rig.exchange.counts()["received"] == 0


def _send_asking(rig: Hl7Rig, asked: list[int]) -> None:
    rig.gateway.send(visit(uuid4()), deadline=Deadline(5), before_write=lambda: asked.append(1))


def test_the_private_key_stays_off_the_disk(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not-there"))
    mllp_endpoint(1, tls=True, **_mine(pki.client)).tls_context()


def test_without_files_in_memory_a_private_one_is_gone_at_once(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mllp_endpoint(1, tls=True, **_mine(pki.client)).tls_context()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"ca_pem": "nonsense"}, "ca_pem"),
        ({"ca_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}, "ca_pem"),
        ({"client_certificate_pem": "nonsense", "client_key_pem": "nonsense"}, "client_certificate_pem"),
    ],
)
def test_a_certificate_that_cannot_be_read_names_its_field(settings: dict[str, str], field: str) -> None:
    with pytest.raises(EndpointError) as bad:
        mllp_endpoint(1, tls=True, **settings).tls_context()
    assert bad.value.field == field


def test_a_key_that_is_not_the_certificates_or_has_a_passphrase_is_refused(pki: Pki) -> None:
    other = pki.authority.sign("another")
    with pytest.raises(EndpointError, match="do not fit"):
        _endpoint(pki.client.certificate, other.key).tls_context()
    locked = pki.authority.sign("locked", passphrase=b"secret")
    with pytest.raises(EndpointError, match="passphrase") as bad:
        _endpoint(locked.certificate, locked.key).tls_context()
    assert bad.value.field == "client_key_pem"


def test_an_endpoint_shows_no_secrets(pki: Pki) -> None:
    shown = repr(mllp_endpoint(1, tls=True, api_key="s3cret", **_mine(pki.client)))
    assert "s3cret" not in shown
    assert "PRIVATE KEY" not in shown


def _endpoint(certificate: str, key: str) -> Hl7Endpoint:
    settings: dict[str, Any] = {"client_certificate_pem": certificate, "client_key_pem": key}
    return mllp_endpoint(1, tls=True, **settings)
