"""Where a courier says two things, in words for whoever looks at alerts. Reads only."""

from __future__ import annotations

from dispatchlog.engine.database import fetch_all

# An end that nobody can change any more is worth a look for so long.
_SHOWN_FOR = "1 day"
_NAMED = 3

# Of the newest attempts by courier, of older ones each: two couriers may have been at the same door.
_APART = f"""
SELECT d.courier, count(*), (array_agg(o.order_number ORDER BY d.updated_at DESC))[1:{_NAMED}]
FROM courier_dispatches d JOIN pharmacy_orders o ON o.id = d.order_id
WHERE d.disagreement IS NOT NULL AND o.dispatch_id = d.id
    AND (d.ended_at IS NULL OR d.updated_at > now() - interval '{_SHOWN_FOR}')
GROUP BY d.courier ORDER BY d.courier
"""
_DELIVERED_BEFORE = f"""
SELECT o.order_number, d.attempt, n.attempt, n.status
FROM courier_dispatches d JOIN pharmacy_orders o ON o.id = d.order_id JOIN courier_dispatches n ON n.id = o.dispatch_id
WHERE d.disagreement IS NOT NULL AND o.dispatch_id <> d.id AND d.updated_at > now() - interval '{_SHOWN_FOR}'
ORDER BY d.updated_at DESC LIMIT 50
"""


def apart() -> list[tuple[str, str]]:
    """Each courier that answers something else than what was heard, with a sentence."""
    return [(courier, _words(courier, count, numbers)) for courier, count, numbers in fetch_all(_APART)]


def _words(courier: str, count: int, numbers: list[str]) -> str:
    if count == 1:
        return f"Order {numbers[0]}: asked where it is, {courier} answers something else than what we have."
    more = f" and {count - len(numbers)} more" if count > len(numbers) else ""
    return (
        f"{count} orders: asked where they are, {courier} answers something else than what we have"
        f" ({', '.join(numbers)}{more})."
    )


def delivered_before() -> list[tuple[str, str]]:
    """Each order of which the courier says that an attempt was delivered which we had given up, with a sentence."""
    return [
        (
            number,
            f"Order {number}: the courier says that attempt {old} was delivered after all, and attempt {new} is {status}.",
        )
        for number, old, new, status in fetch_all(_DELIVERED_BEFORE)
    ]
