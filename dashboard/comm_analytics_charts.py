"""Charts of the figures of messages. Owns what they show; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from dashboard.charts import ROW_HEIGHT, Bar, Chart, day_columns, percent, share_rows
from dispatchlog.systems.outreach.stats.outcomes import Missed, Outcomes

Counts = Mapping[str, Any]
FUNNEL = (
    ("sent", "Sent", "dark"),
    ("delivered", "Delivered", "dark"),
    ("opened", "Opened", "wide"),
    ("clicked", "Link opened", "dark"),
    ("replied", "Answered", "dark"),
)


def funnel_chart(total: Counts) -> Chart:
    """A bar for each step of a message, as a share of what was sent; opens are light, for they are a hint only."""
    sent = total["sent"]
    rows = [
        (
            title,
            f"{total[name]:,} · {percent(total[name] / sent if sent else None)}",
            total[name] / sent if sent else 0,
            kind,
        )
        for name, title, kind in FUNNEL
    ]
    said = "; ".join(f"{title}: {end}" for title, end, _, _ in rows)
    return share_rows(rows, said=f"{said}.")


def every_day(rows: Sequence[Counts], first: date, last: date, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with a row of nothing for each day that has none."""
    by_day = {row["date"]: dict(row) for row in rows}
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [by_day.get(day, {"date": day, **dict.fromkeys(names, 0)}) for day in days]


def trend_chart(days: Sequence[Counts]) -> Chart:
    """A column per day: delivered, nothing heard yet, came back."""
    columns = [(day["date"], _column(day)) for day in days]
    sent = sum(day["sent"] for day in days)
    delivered, bounced = sum(day["delivered"] for day in days), sum(day["bounced"] for day in days)
    return day_columns(columns, said=f"{sent:,} sent, {delivered:,} of them delivered, {bounced:,} came back")


def _column(day: Counts) -> tuple[tuple[str, int], ...]:
    """What came back may have been told as delivered before; it came back."""
    bounced = min(day["bounced"], day["sent"])
    delivered = min(day["delivered"], day["sent"] - bounced)
    return ("good", delivered), ("off", day["sent"] - delivered - bounced), ("bad", bounced)


def missed_rows(found: Outcomes) -> list[tuple[str, Missed]]:
    """Who is compared with whom."""
    return [
        ("With a reminder", found.reminded),
        ("With a reminder, confirmed by the patient", found.confirmed),
        ("Without a reminder", found.not_reminded),
    ]


def missed_chart(rows: Sequence[tuple[str, Missed]]) -> Chart:
    """A bar for each share that was missed, and over it the span in which it lies with 95 % certainty."""
    seen = [(title, each) for title, each in rows if each.share is not None]
    widest = max((each.high or 0 for _, each in seen), default=0) or 1
    chart = share_rows(
        [(title, percent(each.share), (each.share or 0) / widest, "wide") for title, each in seen],
        said="; ".join(f"{title}: {percent(each.share)} missed, {between(each)}" for title, each in seen)
        or "Nothing yet.",
    )
    spans = [
        Bar(
            round(100 * (each.low or 0) / widest, 2),
            place * ROW_HEIGHT + 27,
            round(max(0.4, 100 * ((each.high or 0) - (each.low or 0)) / widest), 2),
            4,
            "span",
        )
        for place, (_, each) in enumerate(seen)
    ]
    return Chart(chart.height, [*chart.bars, *spans], chart.words, chart.lines, chart.said)


def between(found: Missed) -> str:
    """`8.1 % to 9.4 %`."""
    return f"{percent(found.low)} to {percent(found.high)}"
