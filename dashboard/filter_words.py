"""A list's filter in words: one chip per part, each with what the list would be without it. Reads no row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboard.filters import NO_DEADLINE, OVER, SPANS, ListFilter
from dashboard.masking import mask, mask_text
from dashboard.wording import states_of


@dataclass(frozen=True, slots=True)
class Chip:
    """One part of a filter: its words, and the changes that take it away."""

    words: str
    without: Mapping[str, Any] = field(default_factory=dict)


def chips(wanted: ListFilter) -> list[Chip]:
    """The parts of the filter that narrow it, in the form's order."""
    found: list[Chip] = []
    if wanted.text:
        found.append(Chip(f"Search: {_search(wanted)}", {"text": "", "found": ""}))
    if wanted.lane is not None:
        found.append(Chip(wanted.lane.title, {"lane": None}))
    states = states_of(wanted.lane.name if wanted.lane else "")
    for state in wanted.states:
        others = tuple(other for other in wanted.states if other != state)
        found.append(Chip(f"Status: {states[state].label}", {"states": others}))
    found += _changed(wanted)
    if wanted.cause:
        found.append(Chip(f"Cause: {wanted.cause}", {"cause": ""}))
    if wanted.gateway:
        found.append(Chip(f"Provider: {wanted.gateway}", {"gateway": ""}))
    if wanted.age:
        found.append(Chip(f"Waiting longer than {SPANS[wanted.age][0]}", {"age": ""}))
    if wanted.left:
        found.append(Chip(_left(wanted.left), {"left": ""}))
    return found


def in_words(wanted: ListFilter) -> str:
    """The whole filter as one line, without anybody's address."""
    return " · ".join(chip.words for chip in chips(wanted)) or "All dispatches"


def _changed(wanted: ListFilter) -> list[Chip]:
    found: list[Chip] = []
    if wanted.since:
        found.append(Chip(f"Changed from {wanted.since.isoformat()}", {"since": None}))
    if wanted.until:
        found.append(Chip(f"Changed to {wanted.until.isoformat()}", {"until": None}))
    if wanted.within:
        found.append(Chip(f"Changed in the last {SPANS[wanted.within][0]}", {"within": ""}))
    return found


def _search(wanted: ListFilter) -> str:
    """A search that was kept out of the address for being somebody's is masked here too, however it is written."""
    return mask(wanted.text) if wanted.found else mask_text(wanted.text)


def _left(left: str) -> str:
    if left in (OVER, NO_DEADLINE):
        return {OVER: "Past its deadline", NO_DEADLINE: "Without a deadline"}[left]
    return f"Less than {SPANS[left][0]} left"
