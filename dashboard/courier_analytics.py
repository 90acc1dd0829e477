"""How couriers do: figures and charts of a range of days, and the figures as a file. Shows; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for

from dashboard.access import EXPORT, READ, needs
from dashboard.cause_wording import cause_words
from dashboard.context import acting_person
from dashboard.courier_charts import cause_chart, day_chart, leg_chart, percent, span
from dashboard.courier_figures import MOST_DISPATCHES, Figures, every_courier, figures
from dashboard.courier_wording import courier_title
from dashboard.csv_file import csv_pages
from dashboard.days import parse_day
from dashboard.export import attachment
from dispatchlog.engine.operator import log_action

pages = Blueprint("courier_analytics", __name__, url_prefix="/orders/analytics")

USUAL_DAYS = 30
MOST_DAYS = 92
PERIODS = (7, 30, 90)
NO_CAUSE = "NO_CAUSE"


@dataclass(frozen=True, slots=True)
class Range:
    """The days and the courier that the address asks for, and what could not be read of it."""

    since: date
    until: date
    courier: str
    problems: tuple[str, ...]

    def arguments(self) -> dict[str, str]:
        found = {"from": self.since.isoformat(), "to": self.until.isoformat(), "courier": self.courier}
        return {name: value for name, value in found.items() if value}


@pages.get("")
@needs(READ)
def show() -> str:
    """The figures, drawn and in tables."""
    couriers = every_courier()
    wanted = _wanted(couriers)
    found = figures(wanted.since, wanted.until, courier=wanted.courier)
    causes = [(_cause(code), number) for code, number in _summed(found).items()]
    return render_template(
        "courier_analytics.html",
        wanted=wanted,
        couriers=couriers,
        figures=found,
        causes=causes,
        day_chart=day_chart(found.days),
        leg_chart=leg_chart(found.total.legs),
        cause_chart=cause_chart(causes),
        periods=[(days, _period(days, wanted.courier), _is_period(wanted, days)) for days in PERIODS],
        percent=percent,
        span=span,
        most=MOST_DISPATCHES,
    )


@pages.post("/export")
@needs(EXPORT)
def export() -> Response:
    """The figures of the range as CSV, a line per figure."""
    wanted = _wanted(every_courier())
    if wanted.problems:
        abort(400, " ".join(wanted.problems))
    found = figures(wanted.since, wanted.until, courier=wanted.courier)
    log_action(acting_person(), "export", detail={"list": "courier figures", "format": "csv", **wanted.arguments()})
    head = ("from", "to", "courier", "figure", "about", "value", "unit")
    return attachment(csv_pages(head, [[*_lines(wanted, found)]]), "couriers", "csv")


def _wanted(couriers: list[str]) -> Range:
    problems: list[str] = []
    today = datetime.now(UTC).date()
    until = parse_day("To", request.args.get("to", ""), problems) or today
    since = parse_day("From", request.args.get("from", ""), problems) or until - timedelta(days=USUAL_DAYS - 1)
    if since > until:
        problems.append("The first day is after the last one; showing the usual range before the last.")
        since = until - timedelta(days=USUAL_DAYS - 1)
    if (until - since).days >= MOST_DAYS:
        problems.append(f"A range holds {MOST_DAYS} days at the most; showing its last {MOST_DAYS}.")
        since = until - timedelta(days=MOST_DAYS - 1)
    courier = request.args.get("courier", "")
    if courier and courier not in couriers:
        problems.append(f"Courier “{courier[:40]}” is not known; showing all of them.")
        courier = ""
    return Range(since, until, courier, tuple(problems))


def _period(days: int, courier: str) -> str:
    today = datetime.now(UTC).date()
    arguments: dict[str, Any] = {"from": (today - timedelta(days=days - 1)).isoformat(), "courier": courier or None}
    return url_for("courier_analytics.show", **arguments)


def _is_period(wanted: Range, days: int) -> bool:
    return wanted.until == datetime.now(UTC).date() and (wanted.until - wanted.since).days == days - 1


def _summed(found: Figures) -> dict[str, int]:
    """The causes over all couriers, most frequent first."""
    sums: dict[str, int] = {}
    for _, code, number in found.causes:
        sums[code] = sums.get(code, 0) + number
    return dict(sorted(sums.items(), key=lambda each: (-each[1], each[0])))


def _cause(code: str) -> str:
    if code == NO_CAUSE:
        return "The courier gave no cause"
    return cause_words(code) or code.replace("_", " ").capitalize()


def _lines(wanted: Range, found: Figures) -> Iterator[list[Any]]:
    since = found.counted_from.date() if found.counted_from else wanted.since
    for each in (found.total, *found.couriers):
        begin = [since.isoformat(), wanted.until.isoformat(), courier_title(each.courier) if each.courier else "All"]
        for name in ("ended", "delivered", "failed", "canceled", "repeated", "promised", "in_time"):
            yield [*begin, name, "", getattr(each, name), "dispatches"]
        for name in ("on_time_rate", "failure_rate", "repeat_rate"):
            share = getattr(each, name)
            yield [*begin, name, "", "" if share is None else round(share, 4), "share"]
        for who, number in each.confirmed.items():
            yield [*begin, "confirmed_by", who, number, "dispatches"]
        for leg in each.legs:
            for name, seconds in (("median", leg.median), ("nine_of_ten", leg.most)):
                yield [*begin, f"time_{name}", leg.key, "" if seconds is None else round(seconds, 1), "seconds"]
    for courier, code, number in found.causes:
        yield [
            since.isoformat(),
            wanted.until.isoformat(),
            courier_title(courier),
            "failed_for",
            code,
            number,
            "dispatches",
        ]
    for day in found.days:
        for name in ("delivered", "failed", "canceled"):
            yield [
                day.day.isoformat(),
                day.day.isoformat(),
                "All",
                f"{name}_on_day",
                "",
                getattr(day, name),
                "dispatches",
            ]
