"""Each school's endpoint as the engine sees it: a route with its gateway, pace and retries. Sends nothing itself.

The configuration is read again when a second old; an endpoint's gateway, and with it its connection, stays until its
configuration changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from dispatchlog import sealing
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.deadline import Deadline, boottime
from dispatchlog.engine.errors import DispatchlogError, Transient
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.engine.lanes import Route
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_endpoint import EndpointError, Hl7Endpoint, Transport
from dispatchlog.keys.columns import API_KEYS, CLIENT_KEYS
from dispatchlog.reach import Reach
from dispatchlog.settings import get_settings
from dispatchlog.systems.hl7.identity import AUTHORITIES, Authority, Identity, IdentityError

FRESH_SECONDS = 1.0
SWITCHED_OFF = "The school's endpoint is switched off."
SELECT = "SELECT e.*, s.code, s.name FROM hl7_endpoints e JOIN schools s ON s.id = e.school_id"


def gateway_name(code: str) -> str:
    """What a school's endpoint is called in attempts, breakers, rates and holds."""
    return f"hl7:{code}"


def endpoint_of(row: Mapping[str, Any]) -> Hl7Endpoint:
    """The gateway's own view of a stored endpoint, its secrets open.

    Raises:
        EndpointError: it cannot work as it is configured.
        CannotUnsealError: its secrets were sealed under another secret key.
    """
    return Hl7Endpoint(
        name=gateway_name(row["code"]),
        transport=Transport(row["transport"]),
        host=row["host"],
        port=row["port"],
        url=row["url"],
        tls=row["tls"],
        ca_pem=row["ca_pem"],
        client_certificate_pem=row["client_certificate_pem"],
        client_key_pem=_open(row, "client_key_sealed", CLIENT_KEYS),
        server_name=row["server_name"],
        api_key=_open(row, "api_key_sealed", API_KEYS),
        api_key_header=row["api_key_header"],
        deadline_seconds=row["deadline_seconds"],
        connect_seconds=row["connect_seconds"],
        idle_seconds=row["idle_seconds"],
        max_reply_bytes=row["max_reply_bytes"],
        dedupes=row["dedupes"],
        acknowledgements=row["acknowledgements"],
        reach=Reach(get_settings().reachable_networks),
    )


def identity_of(row: Mapping[str, Any]) -> Identity:
    """Who sends to whom, as a stored endpoint has it.

    Raises:
        IdentityError: it cannot stand in a message.
    """
    return Identity(
        **{name: _authority(row, name) for name in AUTHORITIES},
        message_type_form=row["message_type_form"],
        control_id_length=row["control_id_length"],
        processing_id=row["processing_id"],
    )


def _authority(row: Mapping[str, Any], name: str) -> Authority:
    try:
        return Authority.parse(row[name])
    except IdentityError as error:
        raise IdentityError(str(error), field=name) from error


def sealed(secret: str, *, purpose: str, school_id: object) -> bytes | None:
    """A key as the endpoint's row keeps it; None for none."""
    if not secret:
        return None
    return sealing.seal(secret, purpose=purpose, owner=str(school_id))


def _open(row: Mapping[str, Any], column: str, purpose: str) -> str:
    if row[column] is None:
        return ""
    return sealing.unseal(bytes(row[column]), purpose=purpose, owner=str(row["school_id"]))


class AnyEndpoint:
    """Stands for all endpoints together, and for one that cannot be opened; nothing leaves by it."""

    kind = GatewayKind.IDEMPOTENT
    deadline_seconds = 15.0
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(self, name: str = "hl7") -> None:
        self.name = name

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:  # noqa: ARG002
        """Never reached: what has no open route is not claimed."""
        raise Transient("there is no endpoint for it", code="NO_ENDPOINT")

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class _Known:
    written: tuple[Any, ...]
    route: Route


class Routes:
    """The routes in force in this process. Thread-safe."""

    def __init__(self, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._fresh_seconds = fresh_seconds
        self._guard = threading.Lock()
        self._read_at = float("-inf")
        self._known: dict[str, _Known] = {}
        self._routes: Mapping[str, Route] = MappingProxyType({})

    def __call__(self) -> Mapping[str, Route]:
        """By school code.

        Raises:
            peewee.DatabaseError: it could not be read; then nothing may leave either.
        """
        with self._guard:
            now = boottime()
            if now - self._read_at >= self._fresh_seconds:
                with connected():
                    rows = fetch_dicts(SELECT)
                self._routes = MappingProxyType({row["code"]: self._route(row) for row in rows})
                self._read_at = now
            return self._routes

    def forget(self) -> None:
        """Read anew at the next look."""
        with self._guard:
            self._read_at = float("-inf")

    def _route(self, row: Mapping[str, Any]) -> Route:
        known = self._known.get(row["code"])
        # Not the version alone: in a database that was restored another change may have the same one.
        written = (row["school_id"], row["version"], row["updated_at"])
        if known is not None and known.written == written:
            return known.route
        if known is not None:
            known.route.gateway.close()
        route = route_of(row)
        self._known[row["code"]] = _Known(written, route)
        return route


def route_of(row: Mapping[str, Any]) -> Route:
    """The route that a stored endpoint is; closed, with the reason, where nothing can leave by it."""
    closed = "" if row["enabled"] else SWITCHED_OFF
    gateway: Gateway
    try:
        gateway = open_gateway(endpoint_of(row))
    except (EndpointError, sealing.CannotUnsealError) as error:
        gateway = AnyEndpoint(gateway_name(row["code"]))
        closed = closed or f"The school's endpoint cannot work as it is configured: {_sentence(error)}"
    return Route(
        name=row["code"],
        gateway=gateway,
        retry=RetryPolicy(max_attempts=row["max_retries"] + 1, first_delay_seconds=row["first_retry_seconds"]),
        batch=row["batch"],
        rate_per_second=row["rate_per_second"],
        in_line=row["in_line"],
        closed=closed,
    )


def _sentence(error: DispatchlogError) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."


routes = Routes()
