"""Made-up orders for demonstrations and tests. Owns their variety; the same seed gives the same orders. Stores nothing.

Names and addresses belong to nobody: the domains are reserved for examples (RFC 2606 section 3).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TextIO
from uuid import UUID

from dispatchlog.import_files import COLUMNS

_GIVEN = ("Amara", "Bruno", "Chiara", "Daniel", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Keiko", "Leila")
_FAMILY = ("Abara", "Bergmann", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ivanova", "Jensen")
_PLACES = ("Lakeside", "Old Town", "Riverbank", "Northgate", "Harbour", "Meadow")
_KINDS = ("Clinic", "Family Practice", "Nutrition Centre", "Health Centre")
_FIRST_DAY = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_KIT_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without I, O, 0 and 1, which look alike on a label


def sample_orders(n: int, seed: int) -> Iterator[dict[str, Any]]:
    """`n` orders as the API takes them, some of every sort.

    Of a hundred about 8 belong to no practitioner, 12 have not been shipped, 4 were cancelled and 3 have no kits; every
    tenth kit has no recipient, and every twelfth practitioner has no address.
    """
    chance = Random(seed)  # noqa: S311  (repeatable on purpose; nothing secret is made from it)
    practitioners = [_practitioner(chance, number) for number in range(max(3, n // 8))]
    for number in range(n):
        yield _order(chance, number, practitioners)


def write_sample(path: Path, *, orders: int, seed: int) -> None:
    """Write sample orders to a .json, .jsonl or .csv file, which `import_orders` reads.

    Raises:
        ValueError: another kind of file.
    """
    writers = {".json": _write_json, ".jsonl": _write_json_lines, ".csv": _write_csv}
    write = writers.get(path.suffix.lower())
    if write is None:
        raise ValueError("a sample is written as .json, .jsonl or .csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        write(file, sample_orders(orders, seed))


def _practitioner(chance: Random, number: int) -> dict[str, Any]:
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    in_clinic = chance.random() < 0.25
    clinic = f"{chance.choice(_PLACES)} {chance.choice(_KINDS)}"
    document = {"id": _uuid(chance), "name": clinic if in_clinic else f"Dr. {given} {family}"}
    if chance.random() >= 1 / 12:
        document["email"] = f"{given}.{family}.{number}@example.com".lower()
    return document


def _order(chance: Random, number: int, practitioners: list[dict[str, Any]]) -> dict[str, Any]:
    order: dict[str, Any] = {"orderId": _uuid(chance), "orderNumber": f"VT-{20_000 + number}"}
    if chance.random() >= 0.08:
        order["practitioner"] = chance.choice(practitioners)
    fate = chance.random()
    if fate < 0.12:
        order["status"] = chance.choice(("created", "paid", "processing"))
    elif fate < 0.16:
        order["status"] = "cancelled"
    else:
        order |= _shipment(chance)
    kits = 0 if chance.random() < 0.03 else chance.choices((1, 2, 3, 4), weights=(60, 25, 10, 5))[0]
    order["kits"] = [_kit(chance) for _ in range(kits)]
    return order


def _shipment(chance: Random) -> dict[str, str]:
    shipped_at = _FIRST_DAY + timedelta(minutes=chance.randrange(60 * 24 * 60))
    tracking_number = f"1Z{chance.randrange(10**10):010d}"
    return {
        "status": "delivered" if chance.random() < 0.3 else "shipped",
        "shippingDate": shipped_at.isoformat().replace("+00:00", "Z"),
        "trackingNumber": tracking_number,
        "trackingUrl": f"https://tracking.example.com/{tracking_number}",
    }


def _kit(chance: Random) -> dict[str, str]:
    kit = {"kitId": "".join(chance.choices(_KIT_LETTERS, k=10))}
    if chance.random() >= 0.1:
        name = f"{chance.choice(_GIVEN)}.{chance.choice(_FAMILY)}{chance.randrange(1000)}".lower()
        kit["recipientEmail"] = f"{name}@example.org"
    return kit


def _uuid(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


def _write_json(file: TextIO, orders: Iterator[dict[str, Any]]) -> None:
    file.write("[")
    for number, order in enumerate(orders):
        file.write((",\n" if number else "\n") + json.dumps(order))
    file.write("\n]\n")


def _write_json_lines(file: TextIO, orders: Iterator[dict[str, Any]]) -> None:
    file.writelines(json.dumps(order) + "\n" for order in orders)


def _write_csv(file: TextIO, orders: Iterator[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for order in orders:
        who = order.get("practitioner", {})
        line = {
            "order_id": order["orderId"],
            "order_number": order["orderNumber"],
            "practitioner_id": who.get("id"),
            "practitioner_name": who.get("name"),
            "practitioner_email": who.get("email"),
            "status": order["status"],
            "shipping_date": order.get("shippingDate"),
            "tracking_number": order.get("trackingNumber"),
            "tracking_url": order.get("trackingUrl"),
        }
        for kit in order["kits"] or [{}]:
            writer.writerow({**line, "kit_id": kit.get("kitId"), "recipient_email": kit.get("recipientEmail")})
