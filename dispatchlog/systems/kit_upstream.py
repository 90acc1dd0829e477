"""Reading orders from an upstream service's API, where DISPATCHLOG_ORDERS_API_URL names one. Stores them as our own copy;
decides nothing about them."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from uuid import UUID

import structlog

from dispatchlog.engine.errors import GatewayError
from dispatchlog.gateways.orders_api import OrderDocument, OrdersApi
from dispatchlog.settings import get_settings
from dispatchlog.systems.kit_orders import KitInput, OrderError, OrderInput, PractitionerInput, put_order

log = structlog.get_logger(__name__)

SOURCE = "orders-api"


@lru_cache(maxsize=1)
def _api() -> OrdersApi | None:
    settings = get_settings()
    if not settings.orders_api_url:
        return None
    return OrdersApi(settings.orders_api_url, settings.orders_api_token.get_secret_value())


def forget() -> None:
    """Close the client; the next use makes one from the settings then in force. For tests."""
    if _api.cache_info().currsize and (api := _api()) is not None:
        api.close()
    _api.cache_clear()


def refresh_from_upstream(order_id: UUID) -> bool:
    """Fetch the order and store it; False when no API is set, it has no such order, or it cannot answer now.

    Not an error for the caller: the order may be stored already, and the sweep asks again.
    """
    api = _api()
    if api is None:
        return False
    try:
        document = api.fetch_order(str(order_id))
        if document is None:
            return False
        put_order(order_input(document), source=SOURCE)
    except (GatewayError, OrderError) as error:
        log.warning("UPSTREAM_ORDER_NOT_READ", order_id=str(order_id), code=error.code)
        return False
    return True


def read_shipped_since(since: datetime) -> int:
    """Store every order that upstream says was shipped and changed since; how many were stored comes back."""
    api = _api()
    if api is None:
        return 0
    stored = 0
    cursor: str | None = None
    while True:
        try:
            page = api.list_shipped(since, cursor)
        except GatewayError as error:
            log.warning("UPSTREAM_ORDERS_NOT_READ", code=error.code)
            return stored
        for malformed in page.malformed:
            log.warning("UPSTREAM_ORDER_REFUSED", order_id=malformed.order_id, field=malformed.field)
        for document in page.orders:
            try:
                put_order(order_input(document), source=SOURCE)
                stored += 1
            except OrderError as error:
                log.warning("UPSTREAM_ORDER_REFUSED", order_id=document.order_id, code=error.code, field=error.field)
        cursor = page.next_cursor
        if cursor is None:
            return stored


def order_input(document: OrderDocument) -> OrderInput:
    """Upstream's document in our terms.

    Raises:
        OrderError: an id is not a uuid.
    """
    practitioner = document.practitioner
    return OrderInput(
        order_id=_uuid(document.order_id, "orderId"),
        order_number=document.order_number,
        practitioner=None
        if practitioner is None
        else PractitionerInput(_uuid(practitioner.id, "practitioner.id"), practitioner.name or "", practitioner.email),
        status="cancelled" if document.cancelled_at else document.status.lower(),
        shipping_date=document.shipping_date,
        tracking_number=document.tracking_number,
        tracking_url=document.tracking_url,
        kits=tuple(KitInput(kit.kit_id, kit.recipient_email) for kit in document.kits),
    )


def _uuid(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise OrderError("this is not a uuid", code="INVALID_UUID", field=field) from None
