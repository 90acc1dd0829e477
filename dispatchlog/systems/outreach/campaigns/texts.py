"""The texts that a campaign's steps are written with: whether there are any, and whether each can be sent. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from dispatchlog.engine.database import fetch_all
from dispatchlog.systems.outreach import templates, variable_values
from dispatchlog.systems.outreach.campaigns.plans import Plan, Step
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.template_values import Template


def texts_of(plan: Plan, organization_id: UUID | None) -> Sequence[Sequence[Template]]:
    """For each step the active texts that may be taken for it; of an organisation's campaign no other organisation's."""
    strangers = _others_providers(organization_id)
    found = [each for each in templates.every_template() if each.is_active and each.provider_id not in strangers]
    found = [each for each in found if not organization_id or each.organization_id in (None, organization_id)]
    return [[text for text in found if _is_for(step, text)] for step in plan.steps]


def require_texts(plan: Plan, organization_id: UUID | None) -> None:
    """That each step has a text. Raises OutreachError: UNKNOWN_TEMPLATE."""
    for problem in missing_texts(plan, texts_of(plan, organization_id)):
        raise problem


def missing_texts(plan: Plan, texts: Sequence[Sequence[Template]]) -> Iterator[OutreachError]:
    """UNKNOWN_TEMPLATE for each step that has no text."""
    for n, (step, mine) in enumerate(zip(plan.steps, texts, strict=True)):
        if not mine:
            yield OutreachError(
                f"no active text of {step.family or 'what holds everywhere'} is for {step.purpose}"
                + (f" by {step.channel}" if step.channel else ""),
                code="UNKNOWN_TEMPLATE",
                field=f"steps[{n}].family",
            )


def unfit_texts(plan: Plan, texts: Sequence[Sequence[Template]], *, timezone: str) -> Iterator[OutreachError]:
    """MISSING_VARIANT for each text that lacks one of the campaign's variants; MISSING_VARIABLE, UNKNOWN_VARIABLE and
    INVALID_VARIABLE for each that a step's variables do not fill in."""
    for n, (step, mine) in enumerate(zip(plan.steps, texts, strict=True)):
        for text in mine:
            yield from _without_variants(plan, text, f"steps[{n}].family")
        # One mistake concerns many texts; it is said once.
        said = {(each.code, each.field): each for text in mine for each in _unfilled(step, text, mine, n, timezone)}
        yield from said.values()


def _others_providers(organization_id: UUID | None) -> frozenset[UUID]:
    if organization_id is None:
        return frozenset()
    rows = fetch_all(
        "SELECT DISTINCT v.id FROM comm_templates t JOIN comm_providers v ON v.id = t.provider_id"
        " WHERE t.is_active AND v.organization_id IS DISTINCT FROM %s",
        (organization_id,),
    )
    return frozenset(provider_id for (provider_id,) in rows)


def _is_for(step: Step, text: Template) -> bool:
    return (text.purpose, text.family) == (step.purpose, step.family) and step.channel in (None, text.channel)


def _without_variants(plan: Plan, text: Template, place: str) -> Iterator[OutreachError]:
    named = {each.name for each in text.variants}
    lacking = [key for key, _ in plan.variants.shares if key not in named]
    if lacking:
        yield OutreachError(
            f"{text.name} ({text.channel}, {text.language}) has no variant {', '.join(lacking)}",
            code="MISSING_VARIANT",
            field=place,
            present={"template_id": str(text.id), "variants": lacking},
        )


def _unfilled(
    step: Step, text: Template, texts: Sequence[Template], number: int, timezone: str
) -> Iterator[OutreachError]:
    # What only another channel's text has is none too many here.
    own = {each.name for each in text.variables}
    others = {each.name for one in texts if one.channel is not text.channel for each in one.variables} - own
    given = {name: value for name, value in step.variables.items() if name not in others}
    try:
        variable_values.read(text.variables, given, zone=timezone, language=text.language)
    except OutreachError as error:
        yield OutreachError(
            f"{text.name} ({text.channel}, {text.language}): {error.message}",
            code=error.code,
            field=f"steps[{number}].{error.field}",
            present={"template_id": str(text.id)},
        )
