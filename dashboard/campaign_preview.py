"""What a campaign would do, before anybody starts it, and the start itself: with the number of patients typed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import CAMPAIGNS, OUTREACH, may, needs
from dashboard.campaign_charts import calendar_chart
from dashboard.campaign_places import id_of, words_of
from dashboard.campaign_texts import families
from dashboard.campaign_words import OVERLAP_WORDS, channel_word, condition_words, rule_words, text_words, when_words
from dashboard.comm_template_preview import Preview as TextPreview
from dashboard.comm_template_preview import preview_of_stored
from dashboard.comm_template_words import language_word
from dashboard.outreach_asking import outreach_asker
from dashboard.presentation import upper_first
from dashboard.segment_words import meaning
from dispatchlog.systems.outreach import times
from dispatchlog.systems.outreach.campaigns import lifecycle, preview, store
from dispatchlog.systems.outreach.campaigns.plans import Step
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.states import CHANNEL_WORDS
from dispatchlog.systems.outreach.template_values import Template

pages = Blueprint("campaign_preview", __name__, url_prefix="/outreach/campaigns")

# Texts of one step that are drawn; a family in seven languages and three channels has as many.
MOST_TEXTS = 24


@dataclass(frozen=True, slots=True)
class ShownText:
    """One text of a step as its patients would get it."""

    template: Template
    where: str
    shown: TextPreview


@pages.get("/<uuid:campaign_id>/preview")
@needs(OUTREACH)
def show(campaign_id: UUID) -> Response | str:
    """The preview of a draft; what has begun has a page of its own."""
    one = _campaign(campaign_id)
    if one.status != "draft":
        return redirect(url_for("campaigns.show", campaign_id=campaign_id), 303)
    return _page(one)


@pages.post("/<uuid:campaign_id>/start")
@needs(CAMPAIGNS)
def start(campaign_id: UUID) -> Response | tuple[str, int]:
    """Begin the version that was looked at, where the number of patients was typed as it was shown."""
    one = _campaign(campaign_id)
    if one.status != "draft":
        flash("It had already begun; nothing was begun twice.", "warn")
        return redirect(url_for("campaigns.show", campaign_id=campaign_id), 303)
    shown, typed = _number("audience"), _number("number")
    if shown is None or typed != shown:
        return _page(one, problem="Type the number of patients as it stands in the sentence above."), 400
    try:
        lifecycle.start(campaign_id, based_on=_number("based_on") or 0, asker=outreach_asker())
    except OutreachError as error:
        words = upper_first(error.message.rstrip("."))
        if error.code == "VERSION_CONFLICT":
            words = "Somebody changed it in the meantime. Look at it as it is now, then start it"
        return _page(one, problem=f"{words}."), 409
    flash(f"Started for {shown:,} {'patient' if shown == 1 else 'patients'}.", "good")
    return redirect(url_for("campaigns.show", campaign_id=campaign_id), 303)


def _page(one: Campaign, *, problem: str = "") -> str:
    found, error = None, problem
    try:
        found = preview.preview(store.input_of(one), campaign_id=one.id)
    except OutreachError as refused:
        error = error or f"{upper_first(refused.message.rstrip('.'))}."
    segment = segments.segment(one.segment_id)
    names = {step.key: step.name or step.key for step in one.plan.steps}
    return render_template(
        "campaign_preview.html",
        campaign=one,
        segment=segment,
        segment_said=meaning(segment.rules),
        preview=found,
        problem=error,
        problems=[_placed(each) for each in found.problems] if found else [],
        treated=found.audience - found.control if found else 0,
        steps=one.plan.steps,
        names=names,
        when=when_words,
        what=text_words,
        how=channel_word,
        said=condition_words,
        rules=rule_words(one.plan),
        overlap=OVERLAP_WORDS[one.overlap],
        texts=_texts(one),
        chart=calendar_chart(found.calendar, [step.key for step in one.plan.steps]) if found else None,
        days=_days(found.calendar) if found else [],
        channels=[(upper_first(words), channel) for channel, words in CHANNEL_WORDS.items()],
        language_word=language_word,
        begins_later=bool(one.start_date and one.start_date > datetime.now(times.zone(one.timezone)).date()),
        may_start=may(CAMPAIGNS),
        now_at=datetime.now(UTC),
    )


def _placed(problem: Mapping[str, Any]) -> dict[str, str]:
    path = str(problem.get("field") or "")
    words = upper_first(str(problem["message"]).rstrip("."))
    return {"id": id_of(path), "place": words_of(path), "words": words, "code": str(problem["code"])}


def _texts(one: Campaign) -> dict[str, Sequence[ShownText]]:
    known = families(one.organization_id)
    return {step.key: _of_step(step, known) for step in one.plan.steps}


def _of_step(step: Step, known: Mapping[str, Any]) -> Sequence[ShownText]:
    family = known.get(f"{step.purpose}:{step.family}")
    found = [each for each in (family.texts if family else ()) if step.channel in (None, each.channel)]
    return [
        ShownText(
            each,
            f"{upper_first(CHANNEL_WORDS[each.channel])}, {language_word(each.language)}",
            preview_of_stored(each, _given(each, step)),
        )
        for each in found[:MOST_TEXTS]
    ]


def _given(template: Template, step: Step) -> dict[str, Any]:
    declared = {each.name for each in template.variables}
    return {name: value for name, value in step.variables.items() if name in declared}


def _days(calendar: Sequence[preview.Day]) -> list[tuple[Any, dict[str, int]]]:
    """The calendar with one line per day, the numbers by step."""
    by_day: dict[Any, dict[str, int]] = {}
    for each in calendar:
        steps = by_day.setdefault(each.date, {})
        steps[each.step] = steps.get(each.step, 0) + each.number
    return sorted(by_day.items())


def _number(name: str) -> int | None:
    """The number in a field, with or without the marks between its thousands."""
    text = request.form.get(name, "").translate(str.maketrans("", "", ", .\u00a0\u202f'"))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _campaign(campaign_id: UUID) -> Campaign:
    try:
        return store.campaign(campaign_id)
    except OutreachError:
        abort(404)
