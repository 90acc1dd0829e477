"""Writing a campaign: a new draft, or one anew. The rules are the system's; a button changes the form and keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import CAMPAIGNS, needs
from dashboard.campaign_form import (
    FREQUENCIES,
    MOST_CONDITIONS,
    Fields,
    beginning,
    changed,
    documents,
    fields_entered,
    fields_of,
)
from dashboard.campaign_places import id_of, words_of
from dashboard.campaign_texts import Family, by_purpose, families, offered_variants, usual_text
from dashboard.campaign_words import CONDITION_WORDS, EXIT_WORDS, GOAL_WORDS, OVERLAP_WORDS, STATUSES
from dashboard.comm_template_words import KIND_WORDS
from dashboard.outreach_asking import outreach_asker
from dashboard.presentation import upper_first
from dashboard.segment_words import meaning
from dispatchlog.systems.outreach.campaigns import store
from dispatchlog.systems.outreach.campaigns.plans import MOST_STEPS, CampaignInput
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.segments.store import Segment
from dispatchlog.systems.outreach.states import CHANNEL_WORDS

pages = Blueprint("campaign_editor", __name__, url_prefix="/outreach/campaigns")

USUAL_ZONE = "America/New_York"
ZONES = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Phoenix"),
    *("America/Anchorage", "Pacific/Honolulu", "Europe/London", "Europe/Berlin", "Asia/Dubai", "Asia/Kolkata", "UTC"),
)
_AGAIN = "somebody wrote version {version} in the meantime; what you wrote is still here"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing was saved, and at which field of the form."""

    id: str
    place: str
    words: str
    is_conflict: bool = False


@pages.get("/new")
@needs(CAMPAIGNS)
def new() -> str:
    """An empty form with one step."""
    fields = beginning(timezone=USUAL_ZONE, text=usual_text(families(None)))
    wanted = request.args.get("segment", "")
    return _page(None, replace(fields, texts={**fields.texts, "segment_id": wanted[:36]}))


@pages.post("/new")
@needs(CAMPAIGNS)
def create() -> Response | str | tuple[str, int]:
    """Show what was entered with what a button changed, or keep it as a draft."""
    fields = fields_entered(request.form)
    if (what := request.form.get("do", "")) != "save":
        return _page(None, changed(fields, what), done=what)
    try:
        made = store.create(_read(fields), asker=outreach_asker())
    except OutreachError as error:
        return _page(None, fields, problem=_problem(error)), 400
    flash("The draft is kept. Look at what it would do, then start it.", "good")
    return redirect(url_for("campaign_preview.show", campaign_id=made.id), 303)


@pages.get("/<uuid:campaign_id>/edit")
@needs(CAMPAIGNS)
def edit(campaign_id: UUID) -> Response | str:
    """The form with the draft; what has begun is not changed any more."""
    one = _campaign(campaign_id)
    if one.status != "draft":
        flash("It has begun, so it is not changed any more. Copy it to write the next one.", "warn")
        return redirect(url_for("campaigns.show", campaign_id=campaign_id), 303)
    return _page(one, fields_of(one))


@pages.post("/<uuid:campaign_id>/edit")
@needs(CAMPAIGNS)
def write(campaign_id: UUID) -> Response | str | tuple[str, int]:
    """Show what was entered with what a button changed, or keep it."""
    one = _campaign(campaign_id)
    fields = fields_entered(request.form)
    if (what := request.form.get("do", "")) != "save":
        return _page(one, changed(fields, what), done=what)
    based_on = fields.texts["based_on"]
    number = int(based_on) if based_on.isascii() and based_on.isdecimal() and len(based_on) < 9 else 0
    try:
        store.change(campaign_id, _read(fields), based_on=number, asker=outreach_asker())
    except OutreachError as error:
        status = 409 if error.code in ("VERSION_CONFLICT", "CAMPAIGN_BEGUN") else 400
        return _page(one, fields, problem=_problem(error)), status
    flash("The draft is kept.", "good")
    return redirect(url_for("campaign_preview.show", campaign_id=campaign_id), 303)


def _read(fields: Fields) -> CampaignInput:
    """What the fields say; the system judges the rest.

    Raises:
        OutreachError: where a field is none of those offered, or no day or number.
    """
    texts = fields.texts
    segment = _segment(texts["segment_id"])
    if segment is None:
        raise OutreachError("choose who is meant", code="SEGMENT_NOT_FOUND", field="segment_id")
    percent = texts["control_percent"] or "0"
    if not (percent.isascii() and percent.isdecimal() and int(percent[:4]) <= 50):
        raise OutreachError("it takes a number from 0 to 50", code="WRONG_TYPE", field="control_percent")
    return CampaignInput(
        name=texts["name"],
        segment_id=segment.id,
        description=texts["description"],
        overlap=texts["overlap"],
        language_fallback=fields.language_fallback,
        control_percent=int(percent),
        timezone=texts["timezone"],
        organization_id=segment.organization_id,
        start_date=_day(texts["start_date"], "start_date"),
        end_date=_day(texts["end_date"], "end_date"),
        **documents(fields),
    )


def _day(text: str, name: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise OutreachError("a day is such as 2026-11-30", code="WRONG_TYPE", field=name) from None


def _segment(text: str) -> Segment | None:
    try:
        return segments.segment(UUID(text))
    except (ValueError, OutreachError):
        return None


def _problem(error: OutreachError) -> Problem:
    if error.code == "VERSION_CONFLICT":
        return Problem("", "", upper_first(_AGAIN.format(version=error.present.get("version", ""))), is_conflict=True)
    return Problem(id_of(error.field), words_of(error.field), upper_first(error.message.rstrip(".")))


def _page(one: Campaign | None, fields: Fields, *, problem: Problem | None = None, done: str = "") -> str:
    segment = _segment(fields.texts["segment_id"])
    known = families(segment.organization_id if segment else None)
    chosen = [known[step.texts["text"]] for step in fields.steps if step.texts["text"] in known]
    offered = offered_variants(chosen)
    return render_template(
        "campaign_edit.html",
        campaign=one,
        fields=fields,
        problem=problem,
        done=done,
        segments=segments.every_segment(),
        segment=segment,
        segment_said=meaning(segment.rules) if segment else "",
        families=known,
        by_purpose=by_purpose(known),
        variants=[*offered, *(name for name in fields.shares if name not in offered)],
        offered=offered,
        values=_values(fields, known),
        channels=CHANNEL_WORDS,
        conditions=CONDITION_WORDS,
        exits=EXIT_WORDS,
        goals=GOAL_WORDS,
        overlaps=OVERLAP_WORDS,
        frequencies=FREQUENCIES,
        kinds=KIND_WORDS,
        zones=ZONES,
        statuses=STATUSES,
        most_steps=MOST_STEPS,
        most_conditions=MOST_CONDITIONS,
    )


def _values(fields: Fields, known: Mapping[str, Family]) -> list[list[dict[str, Any]]]:
    """For each step the values that its texts take, and those given that none takes any more."""
    found: list[list[dict[str, Any]]] = []
    for step in fields.steps:
        family = known.get(step.texts["text"])
        declared = family.variables if family else {}
        rows = [
            {"name": name, "value": step.variables.get(name, ""), "is": variable} for name, variable in declared.items()
        ]
        rows += [
            {"name": n, "value": value, "is": None}
            for n, value in step.variables.items()
            if n not in declared and value
        ]
        found.append(rows)
    return found


def _campaign(campaign_id: UUID) -> Campaign:
    try:
        return store.campaign(campaign_id)
    except OutreachError:
        abort(404)
