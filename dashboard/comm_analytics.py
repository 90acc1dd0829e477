"""How messages to patients do: funnel, trend, by channel and purpose, missed appointments, and what comes back. Shows them,
also as a file; changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for

from dashboard.access import CAMPAIGNS, EXPORT, OUTREACH, may, needs
from dashboard.charts import percent
from dashboard.comm_analytics_charts import (
    FUNNEL,
    between,
    every_day,
    funnel_chart,
    missed_chart,
    missed_rows,
    trend_chart,
)
from dashboard.comm_analytics_filter import PERIODS, Asked, choices, parse_asked
from dashboard.comm_preference_queries import owner
from dashboard.context import acting_person
from dashboard.export import ListFile, attachment
from dashboard.money import money
from dispatchlog.engine.database import connected
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.stats import reading
from dispatchlog.systems.outreach.stats.outcomes import REMINDING, outcomes
from dispatchlog.systems.outreach.stats.reading import COLUMNS, COUNTS

pages = Blueprint("comm_analytics", __name__, url_prefix="/outreach/analytics")


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """The figures, drawn and in tables."""
    asked = parse_asked(request.args)
    wanted = asked.wanted
    # All of the page's figures come from one reading, so they agree with each other.
    cells = reading.by(wanted, "date", "channel", "purpose")
    days = every_day(summed(cells, "date"), wanted.first, wanted.last, COUNTS)
    total = summed(cells)[0] if cells else dict.fromkeys(COUNTS, 0)
    return _page(
        "comm_analytics.html",
        asked,
        total=total,
        funnel=FUNNEL,
        funnel_chart=funnel_chart(total),
        days=days,
        trend_chart=trend_chart(days),
        by_channel=[(CHANNEL_WORDS[Channel(row["channel"])], row) for row in summed(cells, "channel")],
        by_purpose=[(PURPOSE_WORDS[Purpose(row["purpose"])], row) for row in summed(cells, "purpose")],
        per_thousand=per_thousand,
    )


@pages.get("/appointments")
@needs(OUTREACH)
def appointments() -> str:
    """Missed appointments with and without a reminder, and what that is worth."""
    asked = parse_asked(request.args)
    found = outcomes(asked.wanted)
    compared = missed_rows(found)
    return _page(
        "comm_outcomes.html",
        asked,
        outcomes=found,
        compared=compared,
        missed_chart=missed_chart(compared),
        reminders_asked=asked.wanted.purpose is None or asked.wanted.purpose in REMINDING,
        may_set_rates=may(CAMPAIGNS),
        between=between,
        money=money,
    )


def _page(template: str, asked: Asked, **parts: Any) -> str:
    """One of both pages: they share the filter."""
    return render_template(
        template,
        asked=asked,
        choices=choices(asked),
        channels=CHANNEL_WORDS,
        purposes=PURPOSE_WORDS,
        periods=[
            (days, url_for(str(request.endpoint), **asked.period(days)), asked.is_period(days)) for days in PERIODS
        ],
        percent=percent,
        **parts,
    )


@pages.post("/export")
@needs(EXPORT)
def export() -> Response:
    """The daily rows as CSV: a line for each day, clinic, provider, channel and purpose."""
    if not may(OUTREACH):
        abort(403)
    asked = parse_asked(request.args)
    if asked.problems:
        # Half a filter would let out more than was meant.
        abort(400, " ".join(asked.problems))
    return attachment(DaysFile(asked, actor=acting_person()), "messages-by-day", "csv")


class DaysFile(ListFile):
    """The file of the daily rows."""

    fields = ("date", "clinic_id", "clinic", "provider_id", "provider", "channel", "purpose", *COUNTS)

    def __init__(self, asked: Asked, *, actor: str) -> None:
        self._asked = asked
        self._names: dict[tuple[str, Any], str] = {}
        super().__init__(form="csv", actor=actor)

    def about(self) -> tuple[str | None, dict[str, Any]]:
        return None, {"list": "figures of messages", **self._asked.arguments()}

    def pages(self) -> Generator[list[dict[str, Any]], None, None]:
        wanted = self._asked.wanted
        for number in range(self._asked.days):
            day = wanted.first + timedelta(days=number)
            rows = reading.by(replace(wanted, first=day, last=day), *COLUMNS)
            if page := [self._line(row) for row in rows if any(row[name] for name in COUNTS)]:
                yield page

    def _line(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "date": row["date"].isoformat(),
            "clinic_id": row["organization_id"],
            "clinic": self._name("organization", row["organization_id"]),
            "provider_id": row["provider_id"],
            "provider": self._name("provider", row["provider_id"]),
            **{name: row[name] for name in ("channel", "purpose", *COUNTS)},
        }

    def _name(self, level: str, owner_id: Any) -> str:
        if owner_id is None:
            return ""
        if (level, owner_id) not in self._names:
            with connected():
                found = owner(level, owner_id)
            self._names[level, owner_id] = str(found["name"]) if found else ""
        return self._names[level, owner_id]


def summed(cells: Any, name: str = "") -> list[dict[str, Any]]:
    """The counts for each value of one column, or of all."""
    sums: dict[Any, dict[str, Any]] = {}
    for cell in cells:
        value = cell[name] if name else None
        row = sums.setdefault(value, {**({name: value} if name else {}), **dict.fromkeys(COUNTS, 0)})
        for count in COUNTS:
            row[count] += cell[count]
    return [sums[value] for value in sorted(sums, key=str)] if name else [*sums.values()]


def per_thousand(number: int, of: int) -> str:
    """`3.4`; a dash where nothing was sent."""
    return f"{1000 * number / of:.1f}" if of else "\N{EN DASH}"
