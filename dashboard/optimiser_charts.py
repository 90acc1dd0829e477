"""Pictures of the optimiser, as shapes to be drawn as SVG: the win about nothing, opt-outs, what was learned. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.charts import Bar, Chart, Word, percent, share_rows
from dashboard.optimiser_words import arm_words
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach.optimiser.choosing import CHANNEL
from dispatchlog.systems.outreach.optimiser.learning import HOUR_ARMS

ROW, THICK = 50, 14
HOURS_TOP, HOURS_HEIGHT, HOURS_FOOT = 22, 110, 24
_WHOSE = {"others": "Everybody else", "holdout": "Those compared with"}
_ROOM = 1.12


def win_chart(evidence: Mapping[str, Any]) -> Chart:
    """The win and the same with shuffled rewards, each with its interval, about the line of no difference."""
    rows = [("Against the best fixed choice", evidence["win"]), ("With shuffled rewards", evidence["shuffled"])]
    rows = [(title, bounds) for title, bounds in rows if bounds]
    widest = max(max(abs(bounds[1]), abs(bounds[2])) for _, bounds in rows) * _ROOM or 1.0

    def place(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / widest)), 2)

    bars, words = [], []
    for number, (title, (estimate, low, high)) in enumerate(rows):
        top = number * ROW
        words += [Word(0, top + 14, title), Word(100, top + 14, _points(estimate, low, high), "end")]
        kind = "good" if low > 0 else "bad" if high < 0 else "wide"
        bars += [
            Bar(0, top + 22, 100, THICK, "rest"),
            Bar(place(low), top + 22, max(0.6, round(place(high) - place(low), 2)), THICK, kind),
            Bar(round(place(estimate) - 0.3, 2), top + 20, 0.6, THICK + 4, "mark"),
        ]
    bars.append(Bar(49.9, 20, 0.2, len(rows) * ROW - 20, "zero"))
    words.append(Word(50, len(rows) * ROW + 14, "no difference", "middle"))
    said = "; ".join(f"{title}: {_points(*bounds)}" for title, bounds in rows)
    return Chart(len(rows) * ROW + 20, bars, words, [], f"{said}.")


def opt_out_chart(found: Mapping[str, Sequence[float]]) -> Chart:
    """How many of 1,000 messages were followed by a wish for no more, with intervals."""
    rows = [(title, found[name]) for name, title in _WHOSE.items() if name in found]
    most = max(max(bounds[2] for _, bounds in rows) * _ROOM, 1.0)
    bars, words = [], []
    for number, (title, (estimate, low, high)) in enumerate(rows):
        top = number * ROW
        numbers = f"{estimate:.1f} of 1,000 (from {low:.1f} to {high:.1f})"
        words += [Word(0, top + 14, title), Word(100, top + 14, numbers, "end")]
        bars += [
            Bar(0, top + 22, 100, THICK, "rest"),
            Bar(round(100 * low / most, 2), top + 22, max(0.6, round(100 * (high - low) / most, 2)), THICK, "wide"),
            Bar(round(100 * estimate / most, 2), top + 20, 0.6, THICK + 4, "mark"),
        ]
    said = "; ".join(f"{title}: {bounds[0]:.1f} of 1,000" for title, bounds in rows)
    return Chart(len(rows) * ROW, bars, words, [], f"{said}.")


def hours_chart(rows: Sequence[Row]) -> Chart:
    """A column for each of the twelve hours: which part of what was sent in it was answered."""
    shares = {row["arm"]: row["wins"] / row["tries"] for row in rows if row["tries"]}
    most = max(shares.values(), default=0.0) or 1.0
    slot = 100 / len(HOUR_ARMS)
    bottom = HOURS_TOP + HOURS_HEIGHT
    bars, words = [], []
    for number, arm in enumerate(HOUR_ARMS):
        share = shares.get(arm, 0.0)
        height = round(HOURS_HEIGHT * share / most, 2)
        if height:
            kind = "dark" if share == most else "wide"
            bars.append(Bar(round(number * slot + slot * 0.1, 3), bottom - height, round(slot * 0.8, 3), height, kind))
        if number % 2 == 0:
            words.append(Word(round(number * slot, 2), bottom + 18, arm[:2]))
    best = max(shares, key=lambda arm: shares[arm], default="")
    if best:
        words.append(Word(0, 13, f"Most from {arm_words('hour', best)}: {percent(shares[best])}"))
    said = "; ".join(f"{arm_words('hour', arm)}: {percent(share)}" for arm, share in sorted(shares.items()))
    return Chart(bottom + HOURS_FOOT, bars, words, [float(bottom)], f"{said}.")


def shares_chart(rows: Sequence[Row]) -> Chart:
    """A bar for each channel."""
    shares = [(row["arm"], row["wins"] / row["tries"]) for row in rows if row["tries"]]
    most = max((share for _, share in shares), default=0.0) or 1.0
    lines = [
        (arm_words(CHANNEL, arm), percent(share), share / most, "dark" if share == most else "wide")
        for arm, share in shares
    ]
    return share_rows(lines, said="; ".join(f"{title}: {words}" for title, words, _, _ in lines) + ".")


def _points(estimate: float, low: float, high: float) -> str:
    return f"{100 * estimate:+.1f} of 100 (from {100 * low:+.1f} to {100 * high:+.1f})"
