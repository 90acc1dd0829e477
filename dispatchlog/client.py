"""What an upstream Python service needs to reach the dispatch log: its broker, or its JSON API. Owns no table.

It imports neither models, nor tasks, nor the database layer: a service that only reports has no use for them.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote
from uuid import UUID

import dramatiq
import httpx
import redis
from dramatiq.brokers.redis import RedisBroker

ACTOR = "auto_register_practitioner_order_kits"
QUEUE = "AUTO_REGISTER_PRACTIONER_ORDER_KITS"
ORDERS_QUEUE = "PHARMACY_ORDERS"
_BROKER_SECONDS = 5.0


class ClientError(Exception):
    """Base of what these clients raise."""


class BrokerUnavailable(ClientError):
    """The broker did not take the message. Nothing is lost for good: the dispatch log's sweep finds shipped orders."""


class ApiRefused(ClientError):
    """The API refused the request (4xx); sending it again unchanged will be refused again. `code` is stable.

    `faults` is everything found wrong with the body, each with `code`, `message` and `field`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None,
        trace_id: str | None,
        faults: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(f"{code}: {message} (trace {trace_id})")
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.trace_id = trace_id
        self.faults = tuple(faults)


class OrderNotFound(ApiRefused):
    """The dispatch log knows no such order (ORDER_NOT_FOUND)."""


class VisitExists(ApiRefused):
    """Another visit was reported under this id; a correction is a visit of its own, of kind UPDATE (VISIT_EXISTS)."""


class NotAuthorised(ApiRefused):
    """The token is missing, unknown or revoked, or lacks the scope (UNAUTHENTICATED, FORBIDDEN_SCOPE)."""


class ApiUnavailable(ClientError):
    """No usable answer (5xx, or none). Send it again after `retry_after_seconds`: every call here may be repeated."""

    def __init__(self, message: str, *, trace_id: str | None = None, retry_after_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.trace_id = trace_id
        self.retry_after_seconds = retry_after_seconds


class Client:
    """Sends hints over the broker. Thread-safe; make one per process.

    Args:
        broker_url: `redis://`, `rediss://` or `amqp://`, the same as the dispatch log's.
        source: your service's name, kept with the order; without it the order shows `queue`.
    """

    def __init__(self, broker_url: str, *, source: str = "") -> None:
        self._broker = _make_broker(broker_url)
        self._source = source

    def auto_register_practitioner_order_kits(self, order_id: UUID | str) -> str:
        """Say that the order was shipped; the message's id comes back. Any number of messages has the effect of one.

        Raises:
            ValueError: `order_id` is not a UUID.
            BrokerUnavailable: the broker did not take it.
        """
        return self._send(ACTOR, str(UUID(str(order_id))), queue=QUEUE)

    def capture_pharmacy_payment(self, payment: Mapping[str, Any]) -> str:
        """Report what became of an order's payment: the API's document with `orderId`; the message's id comes back.

        What is wrong with it only the log will say: use `HttpClient.put_payment` to be answered. The order itself, which
        names its patient, is reported by `HttpClient.put_pharmacy_order`: a broker keeps what it is given.

        Raises:
            BrokerUnavailable: the broker did not take it, so nobody knows of the payment; report it again.
        """
        return self._send("capture_pharmacy_payment", dict(payment), queue=ORDERS_QUEUE)

    def mark_pharmacy_order_ready(self, order_id: UUID | str) -> str:
        """Say that the pharmacist has prepared the order. As `capture_pharmacy_payment`.

        Raises:
            ValueError: `order_id` is not a UUID.
        """
        return self._send("mark_pharmacy_order_ready", str(UUID(str(order_id))), queue=ORDERS_QUEUE)

    def _send(self, actor: str, said: object, *, queue: str) -> str:
        message = dramatiq.Message[None](
            queue_name=queue,
            actor_name=actor,
            args=(said,),
            kwargs={"source": self._source} if self._source else {},
            options={},
        )
        try:
            return str(self._broker.enqueue(message).message_id)
        except (redis.RedisError, dramatiq.DramatiqError, OSError) as error:
            raise BrokerUnavailable(f"the broker did not take the message: {type(error).__name__}") from error

    def close(self) -> None:
        """Close the connections to the broker."""
        self._broker.close()


def _make_broker(url: str) -> dramatiq.Broker:
    """Without middleware: nothing is consumed here, and a process's own global broker is left alone."""
    if url.startswith("amqp"):
        from dramatiq.brokers.rabbitmq import RabbitmqBroker  # noqa: PLC0415  (an extra that few install)

        return RabbitmqBroker(url=url, middleware=[])
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=_BROKER_SECONDS, socket_connect_timeout=_BROKER_SECONDS, health_check_interval=15
    )
    return RedisBroker(client=redis.Redis(connection_pool=pool), middleware=[])  # type: ignore[no-untyped-call]


class HttpClient:
    """Calls the JSON API. Use it as a context manager, or close it. Thread-safe.

    Args:
        base_url: where the dashboard is, such as `https://dispatch.example.org`.
        token: a service token, `dlk_...`.
        timeout_seconds: for each of connecting, sending and waiting.
        verify: for a private authority's certificate.
    """

    def __init__(
        self, base_url: str, token: str, *, timeout_seconds: float = 10.0, verify: ssl.SSLContext | bool = True
    ) -> None:
        self._http = httpx.Client(
            base_url=f"{base_url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_seconds,
            verify=verify,
        )

    def put_order(
        self, order_id: UUID | str, order: Mapping[str, Any], *, trace_id: str | None = None
    ) -> dict[str, Any]:
        """Create or update an order (camelCase, see docs/api.md); the order as it now stands comes back.

        Raises:
            ApiRefused, ApiUnavailable
        """
        return self._call("PUT", _order_path(order_id), dict(order), trace_id)

    def report_shipment(
        self, order_id: UUID | str, shipment: Mapping[str, Any], *, trace_id: str | None = None
    ) -> dict[str, Any]:
        """Add what is known of a shipment; the order as it now stands comes back.

        Raises:
            OrderNotFound, ApiRefused, ApiUnavailable
        """
        return self._call("PATCH", f"{_order_path(order_id)}/shipment", dict(shipment), trace_id)

    def get_order(self, order_id: UUID | str, *, trace_id: str | None = None) -> dict[str, Any]:
        """The order, its kits and what became of each.

        Raises:
            OrderNotFound, ApiRefused, ApiUnavailable
        """
        return self._call("GET", _order_path(order_id), None, trace_id)

    def report_visit(
        self, visit_id: UUID | str, visit: Mapping[str, Any], *, trace_id: str | None = None
    ) -> dict[str, Any]:
        """Report a clinic's visit (camelCase, see docs/api.md); its number, messages and warnings come back.

        It is stored when this returns, and its message leaves later. The same call may be made again under the same id.

        Raises:
            VisitExists: another visit has this id.
            ApiRefused, ApiUnavailable
        """
        return self._call("POST", "/visits", {**visit, "visitId": str(UUID(str(visit_id)))}, trace_id)

    def get_visit(self, visit_id: UUID | str, *, trace_id: str | None = None) -> dict[str, Any]:
        """The visit and what became of its messages.

        Raises:
            ApiRefused, ApiUnavailable
        """
        return self._call("GET", f"/visits/{UUID(str(visit_id))}", None, trace_id)

    def put_pharmacy(self, code: str, pharmacy: Mapping[str, Any], *, trace_id: str | None = None) -> dict[str, Any]:
        """Create or update the pharmacy of this code (camelCase, see docs/courier.md); as it is stored it comes back.

        Raises:
            ApiRefused, ApiUnavailable
        """
        return self._call("PUT", f"/pharmacies/{quote(code, safe='')}", dict(pharmacy), trace_id)

    def put_pharmacy_order(
        self, order_id: UUID | str, order: Mapping[str, Any], *, trace_id: str | None = None
    ) -> dict[str, Any]:
        """Report a pharmacy order; as it now stands it comes back. The same call may be made again under the same id.

        Raises:
            ApiRefused, ApiUnavailable
        """
        return self._call("PUT", _pharmacy_order_path(order_id), dict(order), trace_id)

    def put_payment(
        self, order_id: UUID | str, payment: Mapping[str, Any], *, trace_id: str | None = None
    ) -> dict[str, Any]:
        """Report what became of the order's payment; Paid books a courier where the order is ready.

        Raises:
            OrderNotFound, ApiRefused, ApiUnavailable
        """
        return self._call("PUT", f"{_pharmacy_order_path(order_id)}/payment", dict(payment), trace_id)

    def mark_order_ready(self, order_id: UUID | str, *, trace_id: str | None = None) -> dict[str, Any]:
        """Say that the pharmacist has prepared the order; `waitingFor` says what a booking still waits for.

        Raises:
            OrderNotFound, ApiRefused, ApiUnavailable
        """
        return self._call("POST", f"{_pharmacy_order_path(order_id)}/ready", {}, trace_id)

    def get_pharmacy_order(self, order_id: UUID | str, *, trace_id: str | None = None) -> dict[str, Any]:
        """The order, its dispatches and what was heard of them.

        Raises:
            OrderNotFound, ApiRefused, ApiUnavailable
        """
        return self._call("GET", _pharmacy_order_path(order_id), None, trace_id)

    def cancel_dispatch(self, order_id: UUID | str, *, reason: str = "", trace_id: str | None = None) -> dict[str, Any]:
        """Cancel the order's newest dispatch, before it was picked up; the order as it now stands comes back.

        Raises:
            OrderNotFound, ApiRefused, ApiUnavailable
        """
        return self._call("POST", f"{_pharmacy_order_path(order_id)}/dispatch/cancel", {"reason": reason}, trace_id)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None, trace_id: str | None) -> dict[str, Any]:
        headers = {"X-Trace-Id": trace_id} if trace_id else {}
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ApiUnavailable(f"no answer: {type(error).__name__}", trace_id=trace_id) from error
        return _read(answer)


def _order_path(order_id: UUID | str) -> str:
    return f"/kit-orders/{UUID(str(order_id))}"


def _pharmacy_order_path(order_id: UUID | str) -> str:
    return f"/orders/{UUID(str(order_id))}"


def _read(answer: httpx.Response) -> dict[str, Any]:
    trace_id = answer.headers.get("X-Trace-Id")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or answer.status_code >= 500:
        retry_after = answer.headers.get("Retry-After", "")
        seconds = float(retry_after) if retry_after.isdecimal() else 5.0
        message = f"the API answered {answer.status_code}"
        raise ApiUnavailable(message, trace_id=trace_id, retry_after_seconds=seconds)
    if answer.is_success:
        return body
    raise _refusal(answer.status_code, body.get("error"), trace_id)


def _refusal(status: int, detail: object, trace_id: str | None) -> ApiRefused:
    error = detail if isinstance(detail, dict) else {}
    code = str(error.get("code", "UNKNOWN"))
    kind = {
        "ORDER_NOT_FOUND": OrderNotFound,
        "VISIT_EXISTS": VisitExists,
        "UNAUTHENTICATED": NotAuthorised,
        "FORBIDDEN_SCOPE": NotAuthorised,
    }
    refused = kind.get(code, ApiRefused)
    message = str(error.get("message", f"the API answered {status}"))
    return refused(
        status,
        code,
        message,
        field=error.get("field"),
        trace_id=error.get("traceId", trace_id),
        faults=error.get("faults") or (),
    )
