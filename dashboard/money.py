"""Amounts of money as people read them. Pure."""

from __future__ import annotations

from decimal import Decimal


def money(amount: Decimal | None, currency: str) -> str:
    """`1,234.50 USD`; more places where it is less than one; a dash where there is none."""
    if amount is None:
        return "\N{EN DASH}"
    if amount == 0 or abs(amount) >= 1:
        return f"{amount:,.2f} {currency}"
    return f"{amount.normalize():f} {currency}"
