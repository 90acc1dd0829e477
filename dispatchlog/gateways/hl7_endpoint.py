"""Owns what is known of one endpoint that takes HL7 v2 messages, and refuses what cannot work; never connects."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn
from urllib.parse import urlsplit

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.gateways.hl7_acknowledgement import BadDecisionTableError, DecisionTable
from dispatchlog.reach import LOOPBACK, Reach, is_this_machine, literal_address


class EndpointError(DispatchlogError):
    """The endpoint's settings cannot work; `field` is the one to correct."""

    code = "BAD_ENDPOINT"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class Transport(StrEnum):
    """How messages travel."""

    MLLP = "MLLP"
    HTTPS = "HTTPS"


@dataclass(frozen=True, slots=True)
class Hl7Endpoint:
    """One endpoint; its repr shows no secrets.

    Attributes:
        name: the gateway's name, as breakers and holds know it.
        host, port, tls: for MLLP.
        url: for HTTPS; plain http is for a test exchange on the same machine, and refused elsewhere.
        ca_pem: the only authorities to trust (default: the machine's).
        client_certificate_pem, client_key_pem: what we show of ourselves, where the endpoint asks (mutual TLS).
        server_name: the name its certificate bears, where that is not the host's.
        api_key, api_key_header: for HTTPS; in `Authorization` the key is sent as a bearer token.
        deadline_seconds: for one whole send; connect_seconds: for a connect or handshake within it.
        idle_seconds: how long an unused connection is kept; 0 opens one for each message.
        dedupes: whether it takes a resend with the same MSH-10 for the same message.
        acknowledgements: what differs from the usual decisions (`DecisionTable`).
        reach: which addresses may be connected to; by default public ones and this machine.

    Raises:
        EndpointError: a field is missing or out of range.
    """

    name: str
    transport: Transport
    host: str = ""
    port: int = 0
    url: str = ""
    tls: bool = False
    ca_pem: str = field(default="", repr=False)
    client_certificate_pem: str = field(default="", repr=False)
    client_key_pem: str = field(default="", repr=False)
    server_name: str = ""
    api_key: str = field(default="", repr=False)
    api_key_header: str = "X-API-Key"
    deadline_seconds: float = 30.0
    connect_seconds: float = 5.0
    idle_seconds: float = 30.0
    max_reply_bytes: int = 65_536
    dedupes: bool = True
    acknowledgements: Mapping[str, str] = field(default_factory=dict)
    reach: Reach = field(default=Reach(LOOPBACK))

    def __post_init__(self) -> None:
        if self.transport not in list(Transport):
            _refuse("The transport must be MLLP or HTTPS.", "transport")
        if self.transport == Transport.MLLP:
            self._check_address()
        else:
            self._check_url()
        if bool(self.client_certificate_pem) != bool(self.client_key_pem):
            missing = "client_key_pem" if self.client_certificate_pem else "client_certificate_pem"
            _refuse("A client certificate and its key belong together.", missing)
        self._check_limits()
        self.decisions()

    def _check_address(self) -> None:
        if not self.host or any(character.isspace() or character in "/@" for character in self.host):
            _refuse("The host must be a plain name or address.", "host")
        if not 1 <= self.port <= 65_535:
            _refuse("The port must be between 1 and 65535.", "port")
        self._check_reach(self.host, "host")

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or not self.url.isascii() or any(character.isspace() for character in self.url):
            _refuse("The URL must look like https://host/path.", "url")
        if parts.username is not None or parts.password is not None or parts.fragment:
            _refuse("The URL holds no credentials and no fragment.", "url")
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            _refuse("The API key must be printable ASCII.", "api_key")
        if not self.api_key_header.replace("-", "").isalnum() or not self.api_key_header.isascii():
            _refuse("The API key's header must be a header name.", "api_key_header")
        if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
            _refuse("Without TLS only a test exchange on this machine is spoken to; begin with https://.", "url")
        self._check_reach(parts.hostname or "", "url")

    def _check_reach(self, host: str, field_name: str) -> None:
        """Addresses are judged here; what a name leads to is judged whenever it is connected to."""
        address = literal_address(host)
        if address is not None and not self.reach.allows(address):
            named = "DISPATCHLOG_PRIVATE_NETWORKS names those that may"
            _refuse(f"This address is in a network that may not be reached; {named}.", field_name)

    def _check_limits(self) -> None:
        for name in ("deadline_seconds", "connect_seconds", "max_reply_bytes"):
            if not getattr(self, name) > 0:
                _refuse(f"{name} must be more than 0.", name)
        if not self.idle_seconds >= 0:
            _refuse("idle_seconds must be 0 or more.", "idle_seconds")

    def decisions(self) -> DecisionTable:
        """What each acknowledgement means here."""
        try:
            return DecisionTable.with_changes(self.acknowledgements)
        except BadDecisionTableError as error:
            raise EndpointError(str(error), field="acknowledgements") from error

    @property
    def kind(self) -> GatewayKind:
        return GatewayKind.IDEMPOTENT if self.dedupes else GatewayKind.BLIND

    @property
    def secure(self) -> bool:
        return self.tls if self.transport == Transport.MLLP else self.url.lower().startswith("https:")

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS needs, None where the connection is plain. The private key never reaches the disk on Linux.

        Raises:
            EndpointError: a certificate or key cannot be read, or they do not fit each other.
        """
        if not self.secure:
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca_pem or None)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise EndpointError("The authorities' certificates cannot be read.", field="ca_pem") from error
        if self.client_certificate_pem:
            self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        try:
            with _private_file(f"{self.client_certificate_pem}\n{self.client_key_pem}\n") as path:
                context.load_cert_chain(path, password=_no_passphrase)
        except (OSError, ValueError) as error:
            message = "The client certificate and its key cannot be read, or do not fit each other."
            raise EndpointError(message, field="client_certificate_pem") from error


def _no_passphrase() -> NoReturn:
    """OpenSSL would ask on the terminal, for ever."""
    raise EndpointError("The client key has a passphrase; store it without one.", field="client_key_pem")


@contextmanager
def _private_file(text: str) -> Iterator[str]:
    """A path that OpenSSL can read `text` from (it takes keys from files only): memory where the system offers it."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("client-key", os.MFD_CLOEXEC), "w") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile("w") as file:  # readable by this user only, gone at the end
            file.write(text)
            file.flush()
            yield file.name


def _refuse(message: str, field_name: str) -> NoReturn:
    raise EndpointError(message, field=field_name)
