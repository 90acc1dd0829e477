"""Pharmacy orders as the API and the pages read them. Owns the SQL of one order and of the API's list; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order with everything about it, as rows by column name.

    `dispatch` is the newest courier dispatch with its `booking` row (None: none), `dispatches` all attempts, newest first,
    each with its `booking` and its `cancellations`, `events` those of all attempts, oldest first.
    """

    order: Mapping[str, Any]
    pharmacy: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    dispatch: Mapping[str, Any] | None
    dispatches: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    waiting_for: Sequence[str]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One page of orders, newest first; `total` is exact up to `most`, then `most`."""

    orders: Sequence[Mapping[str, Any]]
    total: int
    total_is_exact: bool


def order_state(order_id: UUID) -> OrderState:
    """The order as it stands.

    Raises:
        CourierError: ORDER_NOT_FOUND.
    """
    raise NotImplementedError


def order_page(*, page: int, page_size: int, status: str | None = None) -> OrderPage:
    """Page `page` (from 1) of `page_size` orders whose `dispatch_status` is `status` (None: all)."""
    raise NotImplementedError


def order_of_dispatch(dispatch_id: UUID) -> UUID:
    """The id of the order that this courier dispatch belongs to.

    Raises:
        CourierError: DISPATCH_NOT_FOUND.
    """
    raise NotImplementedError
