"""Charts of the couriers' figures, as shapes to be drawn as SVG: across in per cent, down in pixels. Pure.

So a chart is as wide as its place while its words keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.courier_figures import Day, Leg

DAY_HEIGHT, DAY_TOP, DAY_FOOT = 150, 26, 24
ROW_HEIGHT = 46


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `kind` is its class."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Word:
    """A text at its place; `anchor` as SVG has it."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its height in pixels, what is drawn, and what it says in words for who does not see it."""

    height: int
    bars: Sequence[Bar]
    words: Sequence[Word]
    lines: Sequence[float]
    said: str


def day_chart(days: Sequence[Day]) -> Chart:
    """A bar per day: delivered below, failed above it, canceled on top."""
    most = max((day.delivered + day.failed + day.canceled for day in days), default=0)
    scale = DAY_HEIGHT / most if most else 0
    slot = 100 / max(len(days), 1)
    bars: list[Bar] = []
    for number, day in enumerate(days):
        foot = float(DAY_TOP + DAY_HEIGHT)
        for kind, amount in (("good", day.delivered), ("bad", day.failed), ("off", day.canceled)):
            if amount:
                height = round(amount * scale, 2)
                foot -= height
                bars.append(
                    Bar(round(number * slot + slot * 0.1, 3), round(foot, 2), round(slot * 0.8, 3), height, kind)
                )
    bottom = DAY_TOP + DAY_HEIGHT
    words = (
        [Word(0, bottom + 18, _day_words(days[0])), Word(100, bottom + 18, _day_words(days[-1]), "end")] if days else []
    )
    if most:
        words.append(Word(100, 13, f"{most:,} a day at most", "end"))
    delivered, failed = sum(day.delivered for day in days), sum(day.failed for day in days)
    said = f"{len(days)} days: {delivered:,} delivered, {failed:,} failed; {most:,} on the busiest day."
    return Chart(bottom + DAY_FOOT, bars, words, [float(bottom)], said)


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
    bars = [
        Bar(0, place * ROW_HEIGHT + 23, round(max(0.6, 100 * number / most), 2), 12, "bad")
        for place, (_, number) in enumerate(causes)
    ]
    words = [
        word
        for place, (title, number) in enumerate(causes)
        for word in (
            Word(0, place * ROW_HEIGHT + 15, title),
            Word(100, place * ROW_HEIGHT + 15, f"{number:,}", "end"),
        )
    ]
    said = "; ".join(f"{title}: {number:,}" for title, number in causes)
    return Chart(max(len(causes), 1) * ROW_HEIGHT, bars, words, [], f"{said}." if said else "Nothing failed.")


def span(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 5 min`; a dash where it was not seen."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(share: float | None) -> str:
    """`94 %`; of little the tenths too; a dash where there is nothing to count."""
    if share is None:
        return "\N{EN DASH}"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f} %"


def _day_words(day: Day) -> str:
    return f"{day.day.day} {day.day:%b}"
