"""Owns many dispatches at once, made by SQL through the lanes' own triggers, for lists, bulk actions and plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.systems import registry

_EXTRA = {
    "health_information_dispatch_logs": (
        "order_id, kit_id, order_number, practitioner_id, recipient_email, registered_at",
        "gen_random_uuid(), 'KIT-' || n, 'VO-' || n, gen_random_uuid(), 'someone' || n || '@example.org', now()",
    ),
    "kit_registrations": (
        "order_id, kit_id, order_number, practitioner_id, recipient_email",
        "gen_random_uuid(), 'KIT-' || n, 'VO-' || n, gen_random_uuid(), 'someone' || n || '@example.org'",
    ),
    "parcels": ("body_text", "'parcel ' || n"),
}


def crowd(lane: Lane | str, number: int, *, first: int = 1) -> None:
    """`number` waiting dispatches called VO-<n>, KIT-<n>; every other one with a deadline within ten days."""
    lane = registry.lane(lane) if isinstance(lane, str) else lane
    columns, values = _EXTRA[lane.table]
    with transaction("crowd"):
        execute(
            f"INSERT INTO {lane.table} (id, search_keys, due_at, expires_at, created_at, updated_at, {columns})"
            " SELECT gen_random_uuid(), ARRAY['VO-' || n, 'KIT-' || n, 'someone' || n || '@example.org'],"
            " now() - n %% 500 * interval '10 min', CASE WHEN n %% 2 = 0 THEN now() + n %% 240 * interval '1 h' END,"
            f" now() - interval '1 day', now() - n * interval '1 s', {values}"
            " FROM generate_series(%s, %s) n",
            (first, first + number - 1),
        )


def spread(lane: Lane) -> None:
    """Of a crowd: nine in ten sent, the others in every other state, a few of them with one of three causes."""
    error = "last_error = 'refused', last_error_code = 'CODE_' || seq %% 3"
    with transaction("crowd"):
        execute(f"UPDATE {lane.table} SET status = 'SENT', sent_at = updated_at WHERE seq %% 10 <> 0")
        execute(f"UPDATE {lane.table} SET status = 'CANCELLED' WHERE seq %% 50 = 0")
        execute(f"UPDATE {lane.table} SET status = 'FAILED', {error} WHERE status = 'PENDING' AND seq %% 20 = 0")
        execute(
            f"UPDATE {lane.table} SET status = 'FAILED', {error}, in_doubt = true"
            " WHERE status = 'PENDING' AND seq %% 70 = 0"
        )
        execute(
            f"UPDATE {lane.table} SET status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 1,"
            " claimed_at = now() WHERE status = 'PENDING' AND seq %% 110 = 0"
        )


def fail_all(lane_name: str, *, code: str = "SMTP_550", in_doubt: bool = False) -> None:
    """Everything that waits in the lane fails."""
    table = registry.lane(lane_name).table
    with transaction("crowd"):
        execute(
            f"UPDATE {table} SET status = 'FAILED', last_error = 'refused', last_error_code = %s, in_doubt = %s"
            " WHERE status = 'PENDING'",
            (code, in_doubt),
        )


def failed_forms(number: int, *, code: str = "SMTP_550", first: int = 1) -> None:
    """`number` health-information forms that failed with a definite no, of no deadline."""
    crowd("health_information", number, first=first)
    with transaction("crowd"):
        execute("UPDATE health_information_dispatch_logs SET expires_at = NULL WHERE status = 'PENDING'")
    fail_all("health_information", code=code)


def ids(lane_name: str, where: str = "true") -> list[UUID]:
    """The ids of a lane's dispatches, oldest first."""
    table = registry.lane(lane_name).table
    with transaction("crowd"):
        return [row[0] for row in fetch_all(f"SELECT id FROM {table} WHERE {where} ORDER BY seq")]


def set_all(lane_name: str, assignments: str, where: str = "true", params: Sequence[Any] = ()) -> None:
    """Change columns by hand: how tests let time pass."""
    table = registry.lane(lane_name).table
    with transaction("crowd"):
        execute(f"UPDATE {table} SET {assignments} WHERE {where}", params)


def how_many(table: str, where: str = "true") -> int:
    """A plain count."""
    with transaction("crowd"):
        return int(fetch_one(f"SELECT count(*) FROM {table} WHERE {where}")[0])
