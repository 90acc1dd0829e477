"""What a reader of the documentation has before they begin: orders, schools, a patient. Asserts nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine import holds
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.importing import import_orders
from dispatchlog.people import create_user
from dispatchlog.sample import write_sample
from dispatchlog.systems import registry
from dispatchlog.systems.courier.inputs import PharmacyInput, Place
from dispatchlog.systems.courier.pharmacies import put_pharmacy
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.visits import record_visit
from dispatchlog.systems.kit_orders import KitInput, OrderInput, PractitionerInput, put_order
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from dispatchlog.systems.tickets.inputs import PartyInput
from dispatchlog.systems.tickets.parties import put_party
from tests.outreach import builders
from tests.scenarios.processes import wait_for
from tests.systems.hl7.visits import VISIT

KIT_ORDER = "2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11"
PHARMACY_ORDER = "2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a12"
PERSON = "2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a13"
OTHER_PERSON = "2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a14"
PHARMACY = "2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a15"
REPORTED = "0190a7a8-0000-7000-8000-000000000001"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_numbers = itertools.count(1)


def prepare(folder: Path, *, exchange_port: int) -> None:
    """Files and rows that pages take for granted."""
    write_sample(folder / "orders.csv", orders=3, seed=1)
    import_orders(folder / "orders.csv", source="docs")
    schools.add_school("SCH-01", "First school", actor="docs")
    schools.add_school("SCH-09", "Its exchange is elsewhere", actor="docs")
    changes = {"enabled": True, "host": "127.0.0.1", "port": exchange_port, "tls": False}
    schools.change_endpoint("SCH-01", changes, actor="docs")
    record_visit("SCH-01", replace(VISIT, id=uuid4()), source="docs", trace_id=TRACE)
    builders.patient(id=UUID(KIT_ORDER), email="jo@example.org")
    place = Place("1 Harbour Road", 25.2, 55.27)
    put_pharmacy(PharmacyInput("AL-NOOR", "Al Noor Pharmacy", "+97145550100", place), source="docs")
    put_party(PartyInput(UUID(PHARMACY), "pharmacy", "Al Noor Pharmacy"), source="docs")
    practice = PractitionerInput(UUID(PERSON), "Lakeside Clinic", "desk@example.com")
    put_order(OrderInput(UUID(KIT_ORDER), "VT-1", practice, kits=(KitInput("KIT-1", None),)), source="docs")
    ensure_standard_templates()
    (folder / "visits.json").write_text(json.dumps([]))
    (folder / "outreach.json").write_text("{}")


def filled(command: str) -> str:
    """The command with something of this world in every place that the documentation leaves open."""
    for name, value in _values(command):
        if name in command:
            command = command.replace(name, value() if callable(value) else value)
    return command


def _values(command: str) -> Iterator[tuple[str, str | Callable[[], str]]]:
    if "/redispatch" in command:
        yield "$ORDER_ID", lambda: _first("SELECT order_id FROM courier_dispatches WHERE status = 'CANCELED'")
    yield "$ORDER_ID", KIT_ORDER if "kit-orders" in command else PHARMACY_ORDER
    yield "$OTHER_PERSON_ID", OTHER_PERSON
    yield "$PERSON_ID", PERSON
    yield "$VISIT_ID", REPORTED
    yield "'$PHARMACY_ID'", PHARMACY
    yield "$MESSAGE_ID", _message
    yield "MESSAGE_ID ...", _message
    yield "MESSAGE_ID", _message
    yield "$DISPATCH_ID", lambda: _first(_DISPATCH if "/dispatches/" in command else _COURIER)
    yield "[LANE]", "health_information"
    yield " LANE", " health_information"
    yield "trace ID", f"trace {TRACE}"
    yield "NUMBER", "2"
    yield "WHY", "planned"
    yield "DAY", (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    yield "--visits FILE", "--visits visits.json"
    yield "FILE", "orders.csv" if "import" in command else "kept"
    yield "EMAIL", _new_email if "users add" in command else _account
    yield "CODE-OR-ID", lambda: _first("SELECT code FROM pharmacies")
    if "pharmacy" in command:
        yield "CODE", lambda: _first("SELECT code FROM pharmacies")
    if "school add" in command:
        yield "CODE NAME", "SCH-02 'Second school'"
    yield "CODE", "SCH-09" if "school set" in command or "school test" in command else "SCH-01"
    yield "add NAME", f"add service-{next(_numbers)}"


_DISPATCH = f"SELECT id FROM health_information_dispatch_logs WHERE order_id = '{KIT_ORDER}' ORDER BY kit_id"
_COURIER = f"SELECT id FROM courier_dispatches WHERE order_id = '{PHARMACY_ORDER}'"


def go_on() -> None:
    """End every pause, for a command in a table stands for itself."""
    for hold in holds.open_holds():
        target = holds.Target(hold.scope, hold.name)
        holds.release(target, actor="docs", reason="planned", lanes=registry.lanes(), waker=None)


def _first(sql: str) -> str:
    """The first value found; a worker may still be about to write it, so what is asked for has to come for certain."""

    def found() -> list[tuple[Any, ...]]:
        with connected():
            return fetch_all(sql)

    wait_for(lambda: bool(found()))
    return str(found()[0][0])


def _message() -> str:
    return _first("SELECT id FROM hl7_messages ORDER BY created_at")


def _new_email() -> str:
    return f"reader-{next(_numbers)}@example.org"


def _account() -> str:
    email = _new_email()
    create_user(email, roles=["viewer"])
    return email
