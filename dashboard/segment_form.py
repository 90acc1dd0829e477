"""A segment's page while it is written: the draft, what is wrong with it and where, how many patients it means now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dashboard.presentation import upper_first
from dashboard.segment_draft import Document, finished, new_group, read, shown, unfinished
from dashboard.segment_places import acted, control_of
from dashboard.segment_words import meaning
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import membership, rules
from dispatchlog.systems.outreach.segments.fields import every_field
from dispatchlog.systems.outreach.segments.membership import Counted
from dispatchlog.systems.outreach.segments.store import Segment, SegmentInput

SAMPLE = 8
LONGEST_JSON = 200_000
_LONGEST_NAME = 255
_LONGEST_DESCRIPTION = 2_000
_OWN_FIELDS = {"name": "name", "description": "description", "organization_id": "organization"}


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form says. `place` is where somebody goes on working; `said` what was done, for whoever does not see it.

    `faults` are by the control they belong to; `open` what is unfinished, likewise.
    """

    document: Document
    name: str = ""
    description: str = ""
    organization: str = ""
    based_on: int = 0
    place: str = ""
    said: str = ""
    pasted: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)

    @property
    def organization_id(self) -> UUID | None:
        try:
            return UUID(self.organization)
        except ValueError:
            return None

    @property
    def as_input(self) -> SegmentInput:
        return SegmentInput(
            name=self.name,
            rules=self.document,
            description=self.description,
            organization_id=self.organization_id,
        )

    @property
    def as_json(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Judged:
    """A draft, and whom it means: `counted` and the `meaning` of what is finished of it; None where that is wrong."""

    draft: Draft
    counted: Counted | None = None
    meaning: str = ""
    problem: str = ""


def draft_of(segment: Segment) -> Draft:
    """A stored segment as a draft."""
    return Draft(
        shown(segment.rules, every_field()),
        name=segment.name,
        description=segment.description,
        organization=str(segment.organization_id or ""),
        based_on=segment.version,
    )


def draft_from(document: Mapping[str, Any] | None = None, *, name: str = "", organization: str = "") -> Draft:
    """A draft with these rules; without: with none."""
    wanted = shown(document, every_field()) if document else new_group()
    return Draft(wanted, name=name, organization=organization)


def draft_entered(form: MultiDict[str, str]) -> Draft:
    """What was entered, after the button that was pressed.

    Raises:
        OutreachError: INVALID_RULES where there is far too much.
    """
    based_on, act = form.get("based_on", ""), form.get("act", "")
    draft = Draft(
        read(form, every_field()),
        name=" ".join(form.get("name", "").replace("\x00", "").split())[: _LONGEST_NAME + 1],
        description=form.get("description", "")
        .replace("\x00", "")
        .replace("\r\n", "\n")
        .strip()[:_LONGEST_DESCRIPTION],
        organization=form.get("organization", "")[:64],
        based_on=int(based_on) if based_on.isascii() and based_on.isdecimal() and len(based_on) < 9 else 0,
    )
    if act == "read-json":
        return _pasted(draft, form.get("json", ""))
    document, place = acted(draft.document, act)
    return replace(draft, document=document, place=place, said=_SAID.get(act.partition("@")[0], "") if place else "")


_SAID = {
    "add-rule": "A rule was added.",
    "add-group": "A group was added.",
    "copy": "It was copied.",
    "remove": "It was removed.",
    "off": "It was changed.",
}


def judge(draft: Draft, *, but: UUID | None = None) -> Judged:
    """Whom the finished part of the draft means, or what is wrong with it and where."""
    left = unfinished(draft.document, every_field())
    done = finished(draft.document, left)
    draft = replace(draft, open=left)
    try:
        counted = membership.count(done, organization_id=draft.organization_id, sample=SAMPLE, but=but)
    except OutreachError as error:
        return _wrong(draft, error)
    return Judged(draft, counted, meaning(done))


def uncounted(draft: Draft) -> Judged:
    """A draft that nobody has changed yet: what it means, without asking how many that is."""
    return Judged(draft, meaning=meaning(draft.document))


def refused(draft: Draft, error: OutreachError, *, but: UUID | None = None) -> Judged:
    """The draft that could not be kept, with what is wrong where it is."""
    name = error.field.partition(".")[0].partition("[")[0]
    if name in _OWN_FIELDS:
        judged = judge(draft, but=but)
        return replace(judged, draft=replace(judged.draft, faults={_OWN_FIELDS[name]: sentence(error)}))
    return _wrong(draft, error)


def sentence(error: OutreachError) -> str:
    """A refusal as a sentence."""
    if error.code == "SEGMENT_CYCLE":
        return "These segments would mean each other: " + " → ".join(map(str, error.present.get("names", ()))) + "."
    words = _PLAIN.get(error.message, error.message)
    return f"{upper_first(words).rstrip('.')}."


# For whoever fills in a form rather than writes a document.
_PLAIN = {
    "a whole number, without quotation marks": "a whole number is needed",
    "a list of values is needed": "say which",
    "a day such as 2026-03-31": "a date is needed",
    "the first value is above the second": "the first is above the second",
}


def _wrong(draft: Draft, error: OutreachError) -> Judged:
    if error.code == "SEGMENT_TOO_SLOW":
        return Judged(draft, problem=sentence(error))
    return Judged(replace(draft, faults={control_of(draft.document, error.field): sentence(error)}))


def _pasted(draft: Draft, text: str) -> Draft:
    """The draft with the document that was pasted, where that can be read; else as it was, with what is wrong."""
    try:
        document = json.loads(text[:LONGEST_JSON])
        rules.parse(document)
    except (ValueError, RecursionError):
        return replace(draft, pasted=text, faults={"json": "This is no JSON document."})
    except OutreachError as error:
        where = f"{error.field}: " if error.field else ""
        return replace(draft, pasted=text, faults={"json": f"{where}{sentence(error)}"})
    return replace(draft, document=shown(document, every_field()), said="The document was read.")


def places_said(faults: Mapping[str, str]) -> Sequence[tuple[str, str, str]]:
    """Each fault with its control and where that is, such as ("all.rules.2.value", "Rule 3", "Say which.")."""
    ordered = sorted(faults.items(), key=lambda fault: _numbers(fault[0]))
    return [(control, where(control), words) for control, words in ordered]


def where(control: str) -> str:
    """The place of a control in words: "all.rules.2.value.rules.0.field" is of rule 3.1."""
    numbers = _numbers(control)
    return f"Rule {'.'.join(str(each + 1) for each in numbers)}" if numbers else ""


def _numbers(control: str) -> list[int]:
    return [int(part) for part in control.split(".") if part.isdecimal()]
