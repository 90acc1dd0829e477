"""What a template makes of its examples, as the pages show it. Stores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dashboard.comm_template_words import field_word, segment_words, withheld_words
from dashboard.presentation import upper_first
from dispatchlog.systems.outreach.gsm import count_segments
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.local_words import words_of
from dispatchlog.systems.outreach.rendering import as_counted, preview, with_link
from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.template_checks import as_template, checked
from dispatchlog.systems.outreach.template_values import Template, TemplateInput

LINK_SHOWN = "https://…/p/…"


@dataclass(frozen=True, slots=True)
class Shown:
    """One text as a patient would get it. `share` is that of a variant in per cent; None where there are none."""

    title: str
    subject: str | None
    body: str
    behind: str
    length: str
    withheld: str
    share: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """All texts, or why there are none."""

    texts: tuple[Shown, ...] = ()
    problem: str = ""
    field: str = ""
    direction: str = "ltr"


def preview_of(wanted: TemplateInput) -> Preview:
    """The preview of what somebody entered; a problem where it could not be kept."""
    try:
        return preview_of_stored(as_template(checked(wanted)))
    except OutreachError as error:
        return Preview(problem=problem_words(error), field=error.field)


def preview_of_stored(template: Template, variables: Mapping[str, Any] | None = None) -> Preview:
    """The preview of a template as it stands, with its examples where no value is given."""
    given = variables or {}
    direction = "rtl" if words_of(template.language).right_to_left else "ltr"
    try:
        if not template.variants:
            return Preview((_shown(template, given),), direction=direction)
        total = sum(each.weight for each in template.variants)
        texts = [
            replace(_shown(template, given, variant=each.name), title=each.name, share=round(100 * each.weight / total))
            for each in template.variants
        ]
    except OutreachError as error:
        return Preview(problem=problem_words(error), field=error.field)
    return Preview(tuple(texts), direction=direction)


def problem_words(error: OutreachError) -> str:
    """A refusal in one sentence, with its field as the form calls it."""
    return f"{field_word(error.field)}: {upper_first(error.message)}."


def _shown(template: Template, variables: Mapping[str, Any], *, variant: str | None = None) -> Shown:
    found = preview(template, variables, variant=variant)
    is_sms = template.channel is Channel.SMS
    return Shown(
        title="",
        subject=found.subject,
        body=with_link(found, LINK_SHOWN).body,
        behind=found.portal_text,
        length=segment_words(count_segments(as_counted(found.body))) if is_sms else "",
        withheld=withheld_words(found) if found.portal_mark else "",
    )
