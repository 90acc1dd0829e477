"""Segments, for staff: which there are, whom each means, writing one with a live count. What rules mean is the system's."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import CAMPAIGNS, OUTREACH, may, needs
from dashboard.outreach_asking import outreach_asker
from dashboard.segment_form import (
    SAMPLE,
    Draft,
    Judged,
    draft_entered,
    draft_from,
    draft_of,
    judge,
    refused,
    sentence,
    uncounted,
)
from dashboard.segment_look import look_of
from dashboard.segment_queries import MOST_CHOICES, choices, names_of, uses_of
from dashboard.segment_starters import STARTERS
from dashboard.segment_words import meaning
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import membership, store
from dispatchlog.systems.outreach.segments.store import Segment

pages = Blueprint("segments", __name__, url_prefix="/outreach/segments")

_SAVING = ("save", "save-over")
_AGAIN = (
    "Somebody changed it in the meantime, and it has version {version} now. Nothing was saved; what you wrote is here."
)
_UNFINISHED = "Finish the rules that are marked, or remove them."


@pages.get("")
@needs(OUTREACH)
def every_segment() -> str:
    """Those that are used, or those that are archived."""
    archived = request.args.get("show") == "archived"
    found = store.every_segment(archived=archived)
    return render_template(
        "segments.html",
        segments=found,
        archived=archived,
        owners=names_of("organization", [each.organization_id for each in found if each.organization_id]),
        uses=uses_of([each.id for each in found]),
        starters=STARTERS,
        may_write=may(CAMPAIGNS),
    )


@pages.get("/new")
@needs(CAMPAIGNS)
def new() -> str:
    """An empty builder, or one that begins with usual rules or another segment's (`like`)."""
    return _page(None, uncounted(_beginning(request.args.get("like", ""))))


@pages.post("/new")
@needs(CAMPAIGNS)
def create() -> Response | str | tuple[str, int]:
    """Show what was entered, or keep it as a new segment."""
    draft = _entered()
    if not _is_saving():
        return _page(None, judge(draft))
    if (judged := judge(draft)).draft.open or judged.draft.faults:
        return _page(None, judged, problem=_UNFINISHED), 400
    try:
        made = store.create(draft.as_input, asker=outreach_asker())
    except OutreachError as error:
        return _page(None, refused(draft, error), problem=sentence(error)), 400
    flash(f"“{made.name}” is written. It means {_patients(made.patient_count)} now.", "good")
    return redirect(url_for("segments.show", segment_id=made.id), 303)


@pages.get("/<uuid:segment_id>")
@needs(OUTREACH)
def show(segment_id: UUID) -> str:
    """The builder with the stored rules; what they mean, for whoever may not write."""
    one = _segment(segment_id)
    if may(CAMPAIGNS) and one.is_active:
        return _page(one, uncounted(draft_of(one)))
    return _reading(one)


@pages.post("/<uuid:segment_id>")
@needs(CAMPAIGNS)
def write(segment_id: UUID) -> Response | str | tuple[str, int]:
    """Show what was entered, or keep it as the segment's next version."""
    one, draft = _segment(segment_id), _entered()
    draft = replace(draft, organization=str(one.organization_id or ""))
    if not _is_saving():
        return _page(one, judge(draft, but=one.id))
    if (judged := judge(draft, but=one.id)).draft.open or judged.draft.faults:
        return _page(one, judged, problem=_UNFINISHED), 400
    try:
        made = store.change(one.id, draft.as_input, based_on=draft.based_on, asker=outreach_asker())
    except OutreachError as error:
        if error.code == "VERSION_CONFLICT":
            now = _segment(one.id).version
            return _page(one, judged, problem=_AGAIN.format(version=now), conflict=now), 409
        status = 409 if error.code == "SEGMENT_ARCHIVED" else 400
        return _page(one, refused(draft, error, but=one.id), problem=sentence(error)), status
    flash(f"Saved. It means {_patients(made.patient_count)} now.", "good")
    return redirect(url_for("segments.show", segment_id=one.id), 303)


@pages.post("/<uuid:segment_id>/count")
@needs(CAMPAIGNS)
def count(segment_id: UUID) -> Response:
    """Count the stored rules again and keep the number."""
    try:
        made = store.evaluate(_segment(segment_id).id)
    except OutreachError as error:
        flash(sentence(error), "bad")
    else:
        flash(f"It means {_patients(made.patient_count)} now.", "good")
    return redirect(url_for("segments.show", segment_id=segment_id), 303)


@pages.post("/<uuid:segment_id>/archive")
@needs(CAMPAIGNS)
def archive(segment_id: UUID) -> Response | tuple[str, int]:
    """Nobody can choose it any more."""
    one = _segment(segment_id)
    try:
        store.archive(one.id, asker=outreach_asker())
    except OutreachError as error:
        return _page(one, uncounted(draft_of(one)), problem=sentence(error)), 409
    flash(f"“{one.name}” is archived.", "good")
    return redirect(url_for("segments.every_segment"), 303)


def _is_saving() -> bool:
    return request.form.get("act") in _SAVING


def _entered() -> Draft:
    try:
        draft = draft_entered(request.form)
    except OutreachError as error:
        abort(413, sentence(error))
    if request.form.get("act") == "save-over":
        over = request.form.get("over", "")
        return replace(draft, based_on=int(over) if over.isascii() and over.isdecimal() and len(over) < 9 else 0)
    return draft


def _beginning(like: str) -> Draft:
    if like in STARTERS:
        name, document = STARTERS[like]
        return draft_from(document, name=name)
    if not like:
        return draft_from()
    try:
        other = store.segment(UUID(like))
    except (ValueError, OutreachError):
        abort(404)
    return draft_from(other.rules, name=f"{other.name} (copy)", organization=str(other.organization_id or ""))


def _page(one: Segment | None, judged: Judged, *, problem: str = "", conflict: int = 0) -> str:
    uses = uses_of([one.id])[one.id] if one else []
    return render_template(
        "segment_edit.html",
        segment=one,
        judged=judged,
        draft=judged.draft,
        look=look_of(judged.draft, but=one.id if one else None, strict=bool(problem)),
        problem=problem,
        conflict=conflict,
        uses=uses,
        owner=_owner(one),
        owners=choices("organization") if one is None else [],
        most_choices=MOST_CHOICES,
        starters=STARTERS if one is None else {},
        campaign_address=_campaign_address,
    )


def _reading(one: Segment) -> str:
    wanted = request.args.get("sample") == "1" and one.is_active
    counted, problem = None, ""
    if wanted:
        try:
            counted = membership.count(one.rules, organization_id=one.organization_id, sample=SAMPLE)
        except OutreachError as error:
            problem = sentence(error)
    return render_template(
        "segment.html",
        segment=one,
        meaning=meaning(one.rules, organization=_owner(one)),
        counted=counted,
        problem=problem,
        uses=uses_of([one.id])[one.id],
        owner=_owner(one),
        may_write=may(CAMPAIGNS),
        campaign_address=_campaign_address,
    )


def _owner(one: Segment | None) -> str:
    if one is None or one.organization_id is None:
        return ""
    return names_of("organization", [one.organization_id]).get(str(one.organization_id), "")


def _segment(segment_id: UUID) -> Segment:
    try:
        return store.segment(segment_id)
    except OutreachError:
        abort(404)


def _campaign_address(campaign_id: UUID) -> str:
    known = "campaigns.show" in current_app.view_functions
    return url_for("campaigns.show", campaign_id=campaign_id) if known else ""


def _patients(number: int) -> str:
    return f"{number:,} {'patient' if number == 1 else 'patients'}"
