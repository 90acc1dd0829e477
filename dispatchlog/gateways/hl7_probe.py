"""Owns trying an HL7 endpoint step by step, each step's result in words: name, connection, TLS, and a message if wished.

It has connections of its own, never a sending gateway's, and one deadline for everything. A certificate that is not
trusted is read over a second connection by which nothing is sent, so that somebody can see what is wrong with it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from time import perf_counter
from urllib.parse import urlsplit
from uuid import uuid4

from cryptography import x509

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways import wire
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_endpoint import EndpointError, Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_mllp import SETTLE_SECONDS
from dispatchlog.reach import OutOfReach, is_this_machine

# Somebody waits for the answer in front of a page.
MOST_SECONDS = 20.0
SOON_DAYS = 30
_OUT_OF_REACH = "If it is one of your own, its operator names it in DISPATCHLOG_PRIVATE_NETWORKS."


class Verdict(StrEnum):
    """How a step ended."""

    PASSED = "PASSED"
    WARNING = "WARNING"  # it works now, and somebody should look at it
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the endpoint shows of itself."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    expires_at: datetime

    @property
    def days_left(self) -> int:
        """Whole days until it expires, negative after that."""
        return (self.expires_at - datetime.now(UTC)).days


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name, how it ended, a sentence or two, and how long it took."""

    name: str
    verdict: Verdict
    words: str
    seconds: float = 0.0


@dataclass(slots=True)
class Trial:
    """What a trial found; `code` is that of the error that ended it, `acknowledgement` what the endpoint answered."""

    steps: list[Step] = field(default_factory=list)
    certificate: Certificate | None = None
    acknowledgement: str = ""
    code: str = ""

    @property
    def works(self) -> bool:
        return bool(self.steps) and all(step.verdict is not Verdict.FAILED for step in self.steps)


class _Failed(Exception):
    """A step failed; the ones after it make no sense."""

    def __init__(self, words: str, code: str) -> None:
        super().__init__(words)
        self.code = code


def try_endpoint(endpoint: Hl7Endpoint, *, message: bytes | None = None) -> Trial:
    """Connect as a send would and say what each step gave; with `message`, send it and wait for its acknowledgement.

    It takes the endpoint's deadline at the most, and never more than MOST_SECONDS.
    """
    return _Walk(endpoint, message).trial


class _Walk:
    def __init__(self, endpoint: Hl7Endpoint, message: bytes | None) -> None:
        self.trial = Trial()
        self._endpoint = endpoint
        self._deadline = Deadline(min(endpoint.deadline_seconds, MOST_SECONDS))
        self._host, self._port = _address(endpoint)
        steps = [("Name", self._name), ("Connection", self._connection)]
        steps += [("TLS", self._tls)] if endpoint.secure else [("TLS", self._no_tls)]
        if message is not None:
            self._message = message
            steps.append(("Test message", self._send))
        for name, step in steps:
            if not self._took(name, step):
                break

    def _took(self, name: str, step: Callable[[], tuple[Verdict, str]]) -> bool:
        begun = perf_counter()
        try:
            verdict, words = step()
        except _Failed as error:
            verdict, words = Verdict.FAILED, str(error)
            self.trial.code = error.code
        self.trial.steps.append(Step(name, verdict, words, perf_counter() - begun))
        return verdict is not Verdict.FAILED

    def _name(self) -> tuple[Verdict, str]:
        try:
            found = wire.resolve(self._host, self._port, deadline=self._deadline)
            wire.within(self._endpoint.reach, self._host, found)
        except OutOfReach as error:
            words = f"{self._host} is in a network that may not be reached. {_OUT_OF_REACH}"
            raise _Failed(words, "DESTINATION_REFUSED") from error
        except TimeoutError as error:
            raise _Failed(f"Nobody said in time where {self._host} is. Check the name service.", "TIMEOUT") from error
        except OSError as error:
            words = f"{self._host} is not known here ({_reason(error)}). Check how it is written, and the name service."
            raise _Failed(words, "NAME_UNKNOWN") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if addresses == [self._host]:
            return Verdict.PASSED, f"{self._host} is an address; no name has to be looked up."
        return Verdict.PASSED, f"{self._host} is {', '.join(addresses[:4])}."

    def _connection(self) -> tuple[Verdict, str]:
        self._open().close()
        return Verdict.PASSED, f"Port {self._port} takes connections."

    def _open(self) -> socket.socket:
        where, limit = f"{self._host} port {self._port}", self._endpoint.connect_seconds
        try:
            return wire.open_socket(
                self._host, self._port, deadline=self._deadline, limit_seconds=limit, reach=self._endpoint.reach
            )
        except OutOfReach as error:
            raise _Failed(
                f"{where} is in a network that may not be reached. {_OUT_OF_REACH}", "DESTINATION_REFUSED"
            ) from error
        except TimeoutError as error:
            words = f"{where} does not answer. Check the address, and that a firewall or VPN lets us through."
            raise _Failed(words, "CONNECT_FAILED") from error
        except ConnectionRefusedError as error:
            words = f"{where} refuses connections: nothing listens there. Check the port with the exchange."
            raise _Failed(words, "CONNECT_FAILED") from error
        except OSError as error:
            raise _Failed(f"{where} cannot be reached ({_reason(error)}).", "CONNECT_FAILED") from error

    def _no_tls(self) -> tuple[Verdict, str]:
        if is_this_machine(self._host):
            return Verdict.PASSED, "Not used; the endpoint is on this machine."
        return Verdict.WARNING, "Not used: whoever is on the way can read the messages. Only a private line bears that."

    def _tls(self) -> tuple[Verdict, str]:
        try:
            context = self._endpoint.tls_context()
        except EndpointError as error:
            raise _Failed(str(error), error.code) from error
        assert context is not None  # noqa: S101  (for the type checker: this step is taken where TLS is used)
        try:
            secured = self._handshake(self._open(), context)
        except ssl.SSLCertVerificationError as error:
            self.trial.certificate = self._seen()
            words = f"The endpoint's certificate is not trusted: {error.verify_message.rstrip('.')}."
            raise _Failed(f"{words} {_advice(error)}", "TLS_CERTIFICATE") from error
        except TimeoutError as error:
            words = "The endpoint did not answer the TLS handshake in time. Does it speak TLS on this port?"
            raise _Failed(words, "TLS_FAILED") from error
        except OSError as error:
            words = f"The TLS handshake failed ({_reason(error)})."
            raise _Failed(f"{words} {self._handshake_advice()}", "TLS_FAILED") from error
        with secured:
            self.trial.certificate = _certificate(secured.getpeercert(binary_form=True))
            return self._judged(secured.version() or "TLS")

    def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        return wire.start_tls(
            sock,
            context,
            host=self._endpoint.server_name or self._host,
            deadline=self._deadline,
            limit_seconds=self._endpoint.connect_seconds,
            settle_seconds=SETTLE_SECONDS,
        )

    def _handshake_advice(self) -> str:
        if self._endpoint.client_certificate_pem:
            return "Does the exchange know our client certificate?"
        return "Does it speak TLS on this port, and does it want a client certificate?"

    def _seen(self) -> Certificate | None:
        """The certificate of an endpoint that is not trusted; nothing is sent to it."""
        unsafe = ssl.create_default_context()
        unsafe.check_hostname = False  # nosemgrep: peer-not-verified  (its certificate is shown to whoever decides)
        unsafe.verify_mode = ssl.CERT_NONE  # nosemgrep: peer-not-verified
        try:
            with self._handshake(self._open(), unsafe) as secured:
                return _certificate(secured.getpeercert(binary_form=True))
        except (OSError, _Failed):
            return None

    def _judged(self, version: str) -> tuple[Verdict, str]:
        certificate = self.trial.certificate
        ours = " Ours was accepted." if self._endpoint.client_certificate_pem else ""
        if certificate is None:
            return Verdict.PASSED, f"{version}.{ours}"
        until = f"{certificate.expires_at:%d %b %Y}"
        words = f"{version}, certificate of {certificate.subject} until {until} ({_days(certificate.days_left)}).{ours}"
        if certificate.days_left < SOON_DAYS:
            return Verdict.WARNING, f"{words} Ask the exchange when it is renewed: after that day nothing leaves."
        return Verdict.PASSED, words

    def _send(self) -> tuple[Verdict, str]:
        gateway = open_gateway(replace(self._endpoint, idle_seconds=0))
        parcel = Parcel(uuid4(), "", self._endpoint.name, self._message, "application/hl7-v2; charset=utf-8")
        try:
            receipt = gateway.send(parcel, deadline=self._deadline, before_write=_nothing)
        except GatewayError as error:
            self.trial.acknowledgement = self._shown(error.evidence.get("acknowledgement", ""))
            words = error.message if isinstance(error, OutcomeUnknown) else f"Not accepted. {error.message}"
            raise _Failed(words, error.code) from error
        finally:
            gateway.close()
        self.trial.acknowledgement = self._shown(receipt.evidence.get("acknowledgement", ""))
        return Verdict.PASSED, f"Accepted ({receipt.evidence.get('code', 'acknowledged')})."

    def _shown(self, acknowledgement: object) -> str:
        """What was answered, one segment a line; an answer that repeats our key does not show it."""
        said = str(acknowledgement).replace("\r\n", "\r").replace("\r", "\n").strip()
        return said.replace(self._endpoint.api_key, "[API key]") if self._endpoint.api_key else said


def _nothing() -> None:
    """A trial's message stands in no log."""


def _address(endpoint: Hl7Endpoint) -> tuple[str, int]:
    if endpoint.transport == Transport.MLLP:
        return endpoint.host, endpoint.port
    parts = urlsplit(endpoint.url)
    return parts.hostname or "", parts.port or (443 if endpoint.secure else 80)


def _certificate(der: bytes | None) -> Certificate | None:
    if not der:
        return None
    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(
            _bearer(found.subject),
            _bearer(found.issuer),
            tuple(_names(found)),
            found.not_valid_after_utc,
        )
    except ValueError:
        return None


def _bearer(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string() or "nobody"


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from names.get_values_for_type(x509.DNSName)
    yield from map(str, names.get_values_for_type(x509.IPAddress))


def _advice(error: ssl.SSLCertVerificationError) -> str:
    """What to do, by X509_verify_cert's codes (openssl-verification-options)."""
    if error.verify_code == 10:
        return "It has expired: the exchange has to renew it."
    if error.verify_code in (62, 64):
        return "It is for another name: set the name in the certificate, if that is the exchange's."
    return "Enter the certificate of the authority that signed it."


def _days(days: int) -> str:
    return "1 day left" if days == 1 else f"{days} days left"


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
