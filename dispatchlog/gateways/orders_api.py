"""Owns reading orders from the upstream order service; never writes there and keeps nothing.

Its JSON is camelCase: `orderId`, `orderNumber`, `status`, `practitioner {id, name, email}` (or a bare
`practitionerId`), `shippingDate`, `trackingNumber`, `trackingUrl`, `cancelledAt`, `kits [{kitId, recipientEmail}]`.
Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import NaiveInstant, Permanent, Transient
from dispatchlog.gateways.http import HttpClient


@dataclass(frozen=True, slots=True)
class PractitionerDocument:
    """Who ordered. Name and e-mail may be unknown upstream."""

    id: str
    name: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class OrderKitDocument:
    """One kit of an order and where its form goes; no e-mail yet is possible."""

    kit_id: str
    recipient_email: str | None = None


@dataclass(frozen=True, slots=True)
class OrderDocument:
    """One order as upstream tells it. `practitioner` is None for an order that no practitioner owns."""

    order_id: str
    order_number: str
    status: str
    practitioner: PractitionerDocument | None
    shipping_date: datetime | None
    tracking_number: str | None
    tracking_url: str | None
    cancelled_at: datetime | None
    kits: tuple[OrderKitDocument, ...]

    @property
    def cancelled(self) -> bool:
        return self.cancelled_at is not None or self.status.lower() in ("cancelled", "canceled")


@dataclass(frozen=True, slots=True)
class MalformedOrder:
    """An order of a page that could not be read and holds up no other; `order_id` if at least that was there."""

    order_id: str | None
    field: str


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Some orders and the cursor of the next page; None on the last one."""

    orders: tuple[OrderDocument, ...]
    next_cursor: str | None
    malformed: tuple[MalformedOrder, ...] = ()


class OrdersApi:
    """A client of the order service. Thread-safe.

    Every method raises Transient when the service cannot answer now (unreachable, slow, 5xx, 429, UNAUTHORISED) and
    Permanent MALFORMED_DOCUMENT when it answers nonsense; the message and the evidence then name the field.
    """

    def __init__(
        self, base_url: str, token: str, *, deadline_seconds: float = 10.0, ca_file: Path | None = None
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = HttpClient(base_url, ca_file=ca_file)

    def fetch_order(self, order_id: str) -> OrderDocument | None:
        """The order, or None when upstream has no such order."""
        document = self._get(f"/orders/{quote(order_id, safe='')}", {})
        return None if document is None else parse_order(document)

    def list_shipped(self, since: datetime, cursor: str | None = None) -> OrderPage:
        """One page of the orders that were shipped and changed since an aware instant.

        Raises:
            NaiveInstant: `since` has no time zone.
        """
        if since.tzinfo is None:
            raise NaiveInstant("list_shipped needs an aware instant.")
        query = {"status": "shipped", "updatedSince": since.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        document = self._get("/orders", query | ({"cursor": cursor} if cursor else {}))
        if document is None:
            raise Transient("The order service has no list of orders (HTTP 404).", code="HTTP_404")
        page = _object(document, "page")
        orders = page.get("orders")
        if not isinstance(orders, list):
            raise _malformed("orders")
        return _page(orders, _text(page, "nextCursor"))

    def _get(self, path: str, query: Mapping[str, str]) -> Any | None:
        return self._http.get_json(path, query=query, headers=self._headers, deadline=Deadline(self._deadline_seconds))

    def close(self) -> None:
        self._http.close()


def _page(documents: list[Any], next_cursor: str | None) -> OrderPage:
    orders, malformed = [], []
    for document in documents:
        try:
            orders.append(parse_order(document))
        except Permanent as error:
            order_id = document.get("orderId") if isinstance(document, dict) else None
            malformed.append(MalformedOrder(order_id if isinstance(order_id, str) else None, error.evidence["field"]))
    return OrderPage(tuple(orders), next_cursor, tuple(malformed))


def parse_order(document: Any) -> OrderDocument:
    """An order from its JSON.

    Raises:
        Permanent: MALFORMED_DOCUMENT; `evidence["field"]` names the field.
    """
    order = _object(document, "order")
    kits = order.get("kits", [])
    if not isinstance(kits, list):
        raise _malformed("kits")
    order_id = _required(order, "orderId")
    return OrderDocument(
        order_id=order_id,
        order_number=_text(order, "orderNumber") or order_id,
        status=_required(order, "status"),
        practitioner=_practitioner(order),
        shipping_date=_instant(order, "shippingDate"),
        tracking_number=_text(order, "trackingNumber"),
        tracking_url=_text(order, "trackingUrl"),
        cancelled_at=_instant(order, "cancelledAt"),
        kits=tuple(_kit(kit, f"kits[{index}]") for index, kit in enumerate(kits)),
    )


def _practitioner(order: Mapping[str, Any]) -> PractitionerDocument | None:
    nested = order.get("practitioner")
    if nested is None:
        practitioner_id = _text(order, "practitionerId")
        return None if practitioner_id is None else PractitionerDocument(practitioner_id)
    practitioner = _object(nested, "practitioner")
    return PractitionerDocument(
        _required(practitioner, "id", "practitioner."),
        _text(practitioner, "name", "practitioner."),
        _text(practitioner, "email", "practitioner."),
    )


def _kit(document: Any, where: str) -> OrderKitDocument:
    kit = _object(document, where)
    return OrderKitDocument(_required(kit, "kitId", f"{where}."), _text(kit, "recipientEmail", f"{where}."))


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(where)
    return value


def _required(document: Mapping[str, Any], field: str, prefix: str = "") -> str:
    text = _text(document, field, prefix)
    if text is None:
        raise _malformed(prefix + field)
    return text


def _text(document: Mapping[str, Any], field: str, prefix: str = "") -> str | None:
    """A string that is not blank, without the blanks around it; a blank one counts as missing."""
    value = document.get(field)
    if value is not None and not isinstance(value, str):
        raise _malformed(prefix + field)
    return (value or "").strip() or None


def _instant(document: Mapping[str, Any], field: str) -> datetime | None:
    """An ISO 8601 instant; a bare date or an instant without a zone is taken as UTC."""
    text = _text(document, field)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise _malformed(field) from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _malformed(field: str) -> Permanent:
    return Permanent(
        f"The order service's answer is malformed at {field}.", code="MALFORMED_DOCUMENT", evidence={"field": field}
    )
