"""Pictures of a campaign, as shapes to be drawn as SVG: each step's funnel, the test's intervals, the calendar. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from dashboard.charts import Bar, Chart, Word, day_words, percent
from dispatchlog.systems.outreach.campaigns.preview import Day
from dispatchlog.systems.outreach.campaigns.report import VariantReport

ROW, BAR = 38, 10
DAY_TOP, DAY_HEIGHT, DAY_FOOT = 22, 96, 24
# As many steps as have a colour of their own; those after them begin again.
COLOURS = 5
FUNNEL = (
    ("sent", "Sent"),
    ("delivered", "Delivered"),
    ("opened", "Opened"),
    ("clicked", "Link opened"),
    ("replied", "Answered"),
)


def funnel_chart(counts: Mapping[str, int], *, most: int) -> Chart:
    """A bar per thing heard of a step's messages, as a part of `most`, so that the steps can be compared."""
    sent = counts.get("sent", 0)
    bars: list[Bar] = []
    words: list[Word] = []
    for place, (name, title) in enumerate(FUNNEL):
        number = counts.get(name, 0)
        top = place * ROW
        share = f" · {percent(number / sent)}" if sent and name != "sent" else ""
        words += [Word(0, top + 14, title), Word(100, top + 14, f"{number:,}{share}", "end")]
        bars.append(Bar(0, top + 20, 100, BAR, "rest"))
        if number:
            bars.append(Bar(0, top + 20, round(max(0.6, min(100.0, 100 * number / max(most, 1))), 2), BAR, "dark"))
    said = "; ".join(f"{title}: {counts.get(name, 0):,}" for name, title in FUNNEL)
    return Chart(len(FUNNEL) * ROW, bars, words, [], f"{said}.")


def interval_chart(variants: Sequence[VariantReport], *, winner: str | None) -> Chart:
    """For each variant its share as a mark in the interval in which it lies."""
    most = min(1.0, max((each.high or 0.0 for each in variants), default=0.0) * 1.08) or 1.0
    bars: list[Bar] = []
    words: list[Word] = []
    for place, each in enumerate(variants):
        top = place * (ROW + 6)
        words += [Word(0, top + 14, each.key), Word(100, top + 14, share_words(each), "end")]
        bars.append(Bar(0, top + 20, 100, BAR + 4, "rest"))
        if each.share is None or each.low is None or each.high is None:
            continue
        low, high = (round(100 * value / most, 2) for value in (each.low, each.high))
        bars.append(
            Bar(low, top + 20, max(0.6, round(high - low, 2)), BAR + 4, "best" if each.key == winner else "wide")
        )
        bars.append(Bar(max(0.0, round(100 * each.share / most, 2) - 0.35), top + 18, 0.7, BAR + 8, "mark"))
    said = "; ".join(f"{each.key}: {share_words(each)}" for each in variants)
    return Chart(len(variants) * (ROW + 6), bars, words, [], f"{said}.")


def share_words(each: VariantReport) -> str:
    """`18.2 % (15.1 to 21.8 %)`."""
    if each.share is None or each.low is None or each.high is None:
        return "nobody yet"
    return f"{100 * each.share:.1f} % ({100 * each.low:.1f} to {100 * each.high:.1f} %)"


def calendar_chart(days: Sequence[Day], steps: Sequence[str]) -> Chart:
    """A bar per day, each step on top of the one before."""
    if not days:
        return Chart(0, [], [], [], "No day has a message.")
    first, last = min(each.date for each in days), max(each.date for each in days)
    slots = (last - first).days + 1
    per_day: dict[date, list[tuple[int, int]]] = {}
    for each in days:
        per_day.setdefault(each.date, []).append((steps.index(each.step) if each.step in steps else 0, each.number))
    most = max(sum(number for _, number in day) for day in per_day.values()) or 1
    width = 100 / max(slots, 8)
    bottom = float(DAY_TOP + DAY_HEIGHT)
    bars: list[Bar] = []
    for day, found in per_day.items():
        foot = bottom
        for step, number in sorted(found):
            height = round(max(1.5, DAY_HEIGHT * number / most), 2)
            foot -= height
            x = round((day - first).days * width, 3)
            bars.append(Bar(x, round(foot, 2), round(max(width * 0.84, 0.4), 3), height, f"step-{step % COLOURS}"))
    words = [Word(0, bottom + 17, day_words(first))]
    if slots > 1:
        words.append(Word(round(min(100.0, slots * width), 2), bottom + 17, day_words(last), "end"))
    words.append(Word(100, 12, f"{most:,} a day at most", "end"))
    said = f"From {day_words(first)} to {day_words(last)}, {most:,} messages on the busiest day."
    return Chart(int(bottom) + DAY_FOOT, bars, words, [bottom], said)
