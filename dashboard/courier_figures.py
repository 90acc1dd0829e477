"""Couriers in figures: how long each leg takes, what fails, what is in time. Owns the SQL; changes nothing.

Of a range the newest dispatches that ended in it are read, up to a limit, by the index on `ended_at`; where there are more
the figures say from when on they count. All comes from one statement, so the parts of a page agree with each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from dashboard.days import begin_of, end_of
from dashboard.queries import Query
from dispatchlog.engine.database import fetch_all, fetch_dicts

MOST_DISPATCHES = 5_000
MOST_CAUSES = 10

# From which instant to which; the last two only of what was delivered.
LEGS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "booking": ("Booking", "requested_at", "booked_at"),
        "assigning": ("Finding a driver", "booked_at", "assigned_at"),
        "fetching": ("To the pharmacy", "assigned_at", "picked_up_at"),
        "leaving": ("Leaving the pharmacy", "picked_up_at", "in_transit_at"),
        "bringing": ("To the patient", "in_transit_at", "delivered_at"),
        "whole": ("All of it", "requested_at", "delivered_at"),
    }
)


@dataclass(frozen=True, slots=True)
class Leg:
    """How long one leg took: half of them at most `median`, nine of ten at most `most` (seconds); None: it was not seen."""

    key: str
    title: str
    number: int
    median: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class CourierFigures:
    """One courier, or all of them together (`courier` is "")."""

    courier: str
    ended: int
    delivered: int
    failed: int
    canceled: int
    repeated: int
    promised: int
    in_time: int
    confirmed: Mapping[str, int]
    legs: Sequence[Leg]

    @property
    def on_time_rate(self) -> float | None:
        """Of what was promised and delivered, the part that came in time."""
        return self.in_time / self.promised if self.promised else None

    @property
    def failure_rate(self) -> float | None:
        """Of what ended with the courier (not what was canceled), the part that failed."""
        tried = self.delivered + self.failed
        return self.failed / tried if tried else None

    @property
    def repeat_rate(self) -> float | None:
        """The part that was not an order's first dispatch."""
        return self.repeated / self.ended if self.ended else None


@dataclass(frozen=True, slots=True)
class Day:
    """What ended on one day (UTC)."""

    day: date
    delivered: int
    failed: int
    canceled: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A range in figures. `counted_from` is set where older dispatches of the range were left out."""

    total: CourierFigures
    couriers: Sequence[CourierFigures]
    days: Sequence[Day]
    causes: Sequence[tuple[str, str, int]]
    counted_from: datetime | None


def figures(since: date, until: date, *, courier: str = "") -> Figures:
    """What ended from `since` to `until` (UTC, both included), at one courier or all ("")."""
    sql, params = figures_query(since, until, courier=courier)
    ((sums, days, causes, number, oldest),) = fetch_all(sql, params)
    by_courier = [_figures(row) for row in sums or [] if row["courier"] is not None]
    total = next((_figures(row) for row in sums or [] if row["courier"] is None), _nothing())
    return Figures(
        total=total,
        couriers=sorted(by_courier, key=lambda each: each.courier),
        days=_every_day(since, until, days or []),
        causes=[(row["courier"], row["code"], row["number"]) for row in causes or []],
        counted_from=oldest if number >= MOST_DISPATCHES else None,
    )


def figures_query(since: date, until: date, *, courier: str = "") -> Query:
    """One row: sums per courier (and of all, without one), days, causes, how many were read and since when."""
    legs = ", ".join(
        f"count({key}) AS {key}_number, percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY {key}) AS {key}_times"
        for key in LEGS
    )
    spans = ", ".join(f"extract(epoch FROM {end} - {begin})::float8 AS {key}" for key, (_, begin, end) in LEGS.items())
    only = " AND d.courier = %s" if courier else ""
    sql = f"""
WITH ended AS MATERIALIZED (
    SELECT *, {spans} FROM (
        SELECT d.courier, d.status, d.attempt, d.confirmed_by, d.failure_code, d.requested_at, d.booked_at, d.assigned_at,
            d.picked_up_at, d.in_transit_at, d.ended_at, o.deliver_by,
            CASE WHEN d.status = 'DELIVERED' THEN d.ended_at END AS delivered_at
        FROM (SELECT * FROM courier_dispatches d WHERE d.ended_at >= %s AND d.ended_at < %s{only}
            ORDER BY d.ended_at DESC LIMIT %s) d
        JOIN pharmacy_orders o ON o.id = d.order_id) e
), sums AS (
    SELECT courier, count(*) AS ended, count(delivered_at) AS delivered,
        count(*) FILTER (WHERE status = 'FAILED') AS failed, count(*) FILTER (WHERE status = 'CANCELED') AS canceled,
        count(*) FILTER (WHERE attempt > 1) AS repeated,
        count(delivered_at) FILTER (WHERE deliver_by IS NOT NULL) AS promised,
        count(delivered_at) FILTER (WHERE delivered_at <= deliver_by) AS in_time,
        count(*) FILTER (WHERE confirmed_by = 'otp') AS by_otp,
        count(*) FILTER (WHERE confirmed_by = 'courier') AS by_courier,
        count(*) FILTER (WHERE confirmed_by = 'staff') AS by_staff, {legs}
    FROM ended GROUP BY GROUPING SETS ((courier), ())
), days AS (
    SELECT (ended_at AT TIME ZONE 'UTC')::date AS day, count(delivered_at) AS delivered,
        count(*) FILTER (WHERE status = 'FAILED') AS failed, count(*) FILTER (WHERE status = 'CANCELED') AS canceled
    FROM ended GROUP BY 1
), causes AS (
    SELECT courier, coalesce(nullif(failure_code, ''), 'NO_CAUSE') AS code, count(*) AS number FROM ended
    WHERE status = 'FAILED' GROUP BY 1, 2 ORDER BY number DESC, code, courier LIMIT %s
)
SELECT (SELECT json_agg(sums) FROM sums), (SELECT json_agg(days) FROM days), (SELECT json_agg(causes) FROM causes),
    (SELECT count(*) FROM ended), (SELECT min(ended_at) FROM ended)
"""
    params: list[Any] = [begin_of(since), end_of(until), *([courier] if courier else []), MOST_DISPATCHES, MOST_CAUSES]
    return sql, params


def every_courier() -> list[str]:
    """The couriers that dispatches were ever booked with."""
    # A step from one name to the next: the index on (courier, courier_reference) is walked, not read through.
    rows = fetch_dicts(
        "WITH RECURSIVE names AS ("
        " (SELECT courier FROM courier_dispatches WHERE courier_reference IS NOT NULL ORDER BY courier LIMIT 1)"
        " UNION ALL SELECT (SELECT courier FROM courier_dispatches WHERE courier_reference IS NOT NULL"
        "  AND courier > names.courier ORDER BY courier LIMIT 1) FROM names WHERE names.courier IS NOT NULL)"
        " SELECT courier FROM names WHERE courier IS NOT NULL"
    )
    return [row["courier"] for row in rows]


def _figures(row: Mapping[str, Any]) -> CourierFigures:
    legs = []
    for key, (title, _, _) in LEGS.items():
        median, most = row[f"{key}_times"] or (None, None)
        legs.append(Leg(key, title, row[f"{key}_number"], median, most))
    return CourierFigures(
        courier=row["courier"] or "",
        **{name: row[name] for name in ("ended", "delivered", "failed", "canceled", "repeated", "promised", "in_time")},
        confirmed={"otp": row["by_otp"], "courier": row["by_courier"], "staff": row["by_staff"]},
        legs=legs,
    )


def _nothing() -> CourierFigures:
    legs = [Leg(key, title, 0, None, None) for key, (title, _, _) in LEGS.items()]
    return CourierFigures("", 0, 0, 0, 0, 0, 0, 0, {"otp": 0, "courier": 0, "staff": 0}, legs)


def _every_day(since: date, until: date, rows: Sequence[Mapping[str, Any]]) -> list[Day]:
    known = {date.fromisoformat(row["day"]): row for row in rows}
    days = [since + timedelta(days=number) for number in range((until - since).days + 1)]
    nothing: Mapping[str, Any] = {"delivered": 0, "failed": 0, "canceled": 0}
    return [Day(day, *((known.get(day) or nothing)[name] for name in nothing)) for day in days]
