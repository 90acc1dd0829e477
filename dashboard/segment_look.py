"""What the builder of a segment shows of a draft: labels, controls, choices, and faults at their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from uuid import UUID

from dashboard.comm_template_words import LANGUAGE_WORDS
from dashboard.presentation import upper_first
from dashboard.segment_draft import ROOT, by_name
from dashboard.segment_form import Draft, places_said, where
from dashboard.segment_phrases import choice_word
from dashboard.segment_queries import NAMED, choices, named_in, names_of
from dashboard.segment_shapes import shape_of
from dispatchlog.systems.outreach.segments.fields import (
    BOOLEAN,
    COLLECTION,
    SET,
    UNITS,
    Field,
    every_field,
    operator_words,
)
from dispatchlog.systems.outreach.segments.rules import MOST_DEPTH

JOIN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "and": "All of these",
        "or": "At least one of these",
        "not-and": "Not all of these",
        "not-or": "None of these",
    }
)
MODE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "some": "at least one",
        "none": "none",
        "all": "every one, if any",
        "atLeast": "at least …",
        "atMost": "at most …",
        "exactly": "exactly …",
    }
)
_TAG_WORDS = MappingProxyType(
    {
        "contains": "have",
        "doesNotContain": "do not have",
        "containsAll": "have all of",
        "in": "have one of",
        "notIn": "have none of",
    }
)


@dataclass(frozen=True, slots=True)
class Look:
    """One page's answers to its templates."""

    draft: Draft
    but: UUID | None
    strict: bool
    fields: Sequence[Field] = field(default_factory=every_field)
    _names: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    root = ROOT
    joins = JOIN_WORDS
    modes = MODE_WORDS
    units = tuple(UNITS)
    deepest = MOST_DEPTH
    languages = tuple(LANGUAGE_WORDS.items())

    @property
    def faults(self) -> Mapping[str, str]:
        """What is wrong; what is unfinished counts only where somebody wanted to save it."""
        return {**(self.draft.open if self.strict else {}), **self.draft.faults}

    @property
    def summary(self) -> Sequence[tuple[str, str, str]]:
        return places_said(self.faults)

    def fault(self, control: str) -> str:
        return self.faults.get(control, "")

    def where(self, place: str) -> str:
        return where(place) or "The outermost group"

    def label(self, of: Field) -> str:
        """Its words, as short as a list needs them."""
        return of.label.removesuffix(" (chosen or reported)").removesuffix(" that were sent")

    def attributes(self, fields: Sequence[Field]) -> list[Field]:
        return [each for each in fields if each.kind != COLLECTION]

    def collections(self, fields: Sequence[Field]) -> list[Field]:
        return [each for each in fields if each.kind == COLLECTION]

    def field(self, fields: Sequence[Field], name: str) -> Field | None:
        return by_name(fields).get(name)

    def operators(self, of: Field, chosen: str) -> list[tuple[str, str]]:
        """The operators that are offered; "is not" of a yes or no only where it stands already."""
        words = {**operator_words(), **(_TAG_WORDS if of.kind == SET else {})}
        offered = [each for each in of.operators if of.kind != BOOLEAN or each in ("=", chosen)]
        return [(each, words.get(each, each)) for each in offered]

    def shape(self, of: Field, operator: str) -> str:
        return str(shape_of(of, operator))

    def choices(self, of: Field, value: Any) -> list[tuple[str, str]]:
        """What can be chosen, and what is chosen though it is not among that."""
        offered = [(each, upper_first(choice_word(of.name, each))) for each in of.choices] or self._named(of.kind)
        known = {each for each, _ in offered}
        chosen = [str(each) for each in (value if isinstance(value, list) else [value]) if each]
        return [*offered, *((each, "Not known any more") for each in chosen if each not in known)]

    def has_list(self, of: Field) -> bool:
        """Whether there are words to choose from for a field of free text."""
        return of.name == "language"

    def _named(self, kind: str) -> list[tuple[str, str]]:
        if kind not in NAMED:
            return []
        if kind not in self._names:
            listed = choices(kind, but=self.but)
            known = {each for each, _ in listed}
            others = [each for each in named_in(self.draft.document).get(kind, ()) if str(each) not in known]
            self._names[kind] = [*listed, *names_of(kind, others).items()]
        return self._names[kind]


def look_of(draft: Draft, *, but: UUID | None, strict: bool) -> Look:
    """What the page shows of this draft; `strict`: with what is unfinished marked."""
    return Look(draft, but, strict)
