"""Charts as shapes to be drawn as SVG: across in per cent, down in pixels, with their words. Pure; knows no figure.

So a chart is as wide as its place while its words keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

DAY_HEIGHT, DAY_TOP, DAY_FOOT = 150, 26, 24
ROW_HEIGHT = 46
# What is there is seen, however little it is.
_LEAST = 0.6


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


def day_columns(days: Sequence[tuple[date, Sequence[tuple[str, int]]]], *, said: str) -> Chart:
    """A column per day of what it has of each kind, the first kind at its foot; `said` follows the busiest day's number."""
    most = max((sum(amount for _, amount in parts) for _, parts in days), default=0)
    scale = DAY_HEIGHT / most if most else 0
    slot = 100 / max(len(days), 1)
    bottom = DAY_TOP + DAY_HEIGHT
    bars: list[Bar] = []
    for number, (_, parts) in enumerate(days):
        foot = float(bottom)
        for kind, amount in parts:
            if amount:
                height = round(amount * scale, 2)
                foot -= height
                place = round(number * slot + slot * 0.1, 3)
                bars.append(Bar(place, round(foot, 2), round(slot * 0.8, 3), height, kind))
    words = []
    if days:
        words = [Word(0, bottom + 18, day_words(days[0][0])), Word(100, bottom + 18, day_words(days[-1][0]), "end")]
    if most:
        words.append(Word(100, 13, f"{most:,} a day at most", "end"))
    return Chart(
        bottom + DAY_FOOT, bars, words, [float(bottom)], f"{len(days)} days: {said}; {most:,} on the busiest day."
    )


def share_rows(rows: Sequence[tuple[str, str, float, str]], *, said: str) -> Chart:
    """A bar per row: its title, the words at its end, how far it reaches (0 to 1), its kind."""
    bars = [
        Bar(0, place * ROW_HEIGHT + 23, round(max(_LEAST, 100 * share), 2) if share else 0, 12, kind)
        for place, (_, _, share, kind) in enumerate(rows)
    ]
    words = [
        word
        for place, (title, end, _, _) in enumerate(rows)
        for word in (Word(0, place * ROW_HEIGHT + 15, title), Word(100, place * ROW_HEIGHT + 15, end, "end"))
    ]
    return Chart(max(len(rows), 1) * ROW_HEIGHT, bars, words, [], said)


def percent(share: float | None) -> str:
    """`94 %`; of little the tenths too; a dash where there is nothing to count."""
    if share is None:
        return "\N{EN DASH}"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f} %"


def day_words(day: date) -> str:
    """`4 Mar`."""
    return f"{day.day} {day:%b}"
