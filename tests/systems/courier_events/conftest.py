"""The database of the events' tests, and what codes and messages were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dispatchlog.engine.database import configure, database
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import codes, messages
from tests.systems.courier_events.samples import COURIER, Tester


@dataclass
class Asked:
    """Which dispatches were given a code, and which were told of, at what status."""

    codes: list[Any] = field(default_factory=list)
    updates: list[tuple[Any, str]] = field(default_factory=list)


@pytest.fixture
def asked(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    found = Asked()
    monkeypatch.setattr(codes, "issue_code", lambda dispatch: found.codes.append(dispatch["id"]))
    monkeypatch.setattr(
        messages, "enqueue_updates", lambda dispatch, status: found.updates.append((dispatch["id"], str(status)))
    )
    configure(settings_env.database_url, role=settings_env.application_role, name="test", max_connections=30)
    yield found
    if not database.is_closed():
        database.close()
    database.close_all()


@pytest.fixture
def courier(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> Tester:
    from dispatchlog.systems.courier import couriers

    found = Tester()
    monkeypatch.setattr(couriers, "couriers", lambda: {COURIER: found})
    return found


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    from dispatchlog.engine.database import execute, fetch_dicts
    from dispatchlog.systems.courier import orders

    def lock(order_id):
        return fetch_dicts("SELECT * FROM pharmacy_orders WHERE id = %s FOR NO KEY UPDATE", (order_id,))[0]

    def note(order_id, what, **columns):
        sets = "".join(f", {c} = %s" for c in columns)
        row = fetch_dicts(
            f"UPDATE pharmacy_orders SET version = version + 1{sets} WHERE id = %s RETURNING *",
            (*columns.values(), order_id),
        )[0]
        execute(
            "INSERT INTO order_changes (order_id, version, what, payload, trace_id) VALUES (%s, %s, %s, '{}', 'x')",
            (order_id, row["version"], what),
        )
        return row

    monkeypatch.setattr(orders, "lock_order", lock)
    monkeypatch.setattr(orders, "note_change", note)
