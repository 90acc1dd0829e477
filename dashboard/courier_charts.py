"""Charts of the couriers' figures. Owns what they show; pure."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.charts import ROW_HEIGHT, Bar, Chart, Word, day_columns, percent, share_rows
from dashboard.courier_figures import Day, Leg

__all__ = ["Bar", "Chart", "Word", "cause_chart", "day_chart", "leg_chart", "percent", "span"]


def day_chart(days: Sequence[Day]) -> Chart:
    """A bar per day: delivered below, failed above it, canceled on top."""
    delivered, failed = sum(day.delivered for day in days), sum(day.failed for day in days)
    return day_columns(
        [(day.day, (("good", day.delivered), ("bad", day.failed), ("off", day.canceled))) for day in days],
        said=f"{delivered:,} delivered, {failed:,} failed",
    )


def leg_chart(legs: Sequence[Leg]) -> Chart:
    """Two bars per leg, one in the other: half of them took at most the dark one, nine of ten at most the light one."""
    seen = [leg for leg in legs if leg.most is not None and leg.median is not None]
    longest = max((leg.most or 0 for leg in seen), default=0)
    bars: list[Bar] = []
    words: list[Word] = []
    for number, leg in enumerate(seen):
        top = number * ROW_HEIGHT
        words.append(Word(0, top + 15, leg.title))
        words.append(Word(100, top + 15, f"{span(leg.median)} · {span(leg.most)}", "end"))
        for kind, seconds in (("wide", leg.most or 0), ("dark", leg.median or 0)):
            share = max(0.6, 100 * seconds / longest) if longest else 0.6
            bars.append(Bar(0, top + 23, round(share, 2), 12, kind))
    said = "; ".join(
        f"{leg.title}: half within {span(leg.median)}, nine of ten within {span(leg.most)}" for leg in seen
    )
    return Chart(max(len(seen), 1) * ROW_HEIGHT, bars, words, [], f"{said}." if said else "Nothing was timed.")


def cause_chart(causes: Sequence[tuple[str, int]]) -> Chart:
    """A bar per cause of failure, with how many failed for it."""
    most = max((number for _, number in causes), default=0)
    said = "; ".join(f"{title}: {number:,}" for title, number in causes)
    rows = [(title, f"{number:,}", number / most, "bad") for title, number in causes]
    return share_rows(rows, said=f"{said}." if said else "Nothing failed.")


def span(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 5 min`; a dash where it was not seen."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
