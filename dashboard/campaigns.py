"""Campaigns, for staff: which there are and how far, one with its figures, and its moves. The rules are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard import campaign_queries as queries
from dashboard.access import CAMPAIGNS, EXPORT, OUTREACH, REACH, may, needs
from dashboard.campaign_charts import interval_chart
from dashboard.campaign_file import HEAD, report_lines
from dashboard.campaign_progress import expansion_of, group_lines, progress_of, steps_shown
from dashboard.campaign_words import (
    COUNT_WORDS,
    ENDINGS,
    EXIT_WORDS,
    GOAL_WORDS,
    MOVES,
    OVERLAP_WORDS,
    STATUSES,
    booked_words,
    rule_words,
)
from dashboard.context import acting_person, line_given, reason_given
from dashboard.csv_file import csv_pages
from dashboard.export import attachment
from dashboard.filters import Position, parse_position
from dashboard.outreach_asking import outreach_asker
from dashboard.presentation import upper_first
from dashboard.segment_words import meaning
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.outreach.campaigns import lifecycle, store
from dispatchlog.systems.outreach.campaigns.report import Report, report
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import store as segments
from dispatchlog.systems.outreach.states import CHANNEL_WORDS

pages = Blueprint("campaigns", __name__, url_prefix="/outreach/campaigns")

PAGE_ROWS = 30
STOP_WORD = "STOP"


@pages.get("")
@needs(OUTREACH)
def every_campaign() -> str:
    """The campaigns of a status, the latest first, each with how far it is."""
    problems: list[str] = []
    position = parse_position(request.args.get("at", ""), problems)
    status = request.args.get("status", "")
    status = status if status in STATUSES else ""
    before = (position.at, position.id) if position else None
    found = store.find(status=status or None, limit=PAGE_ROWS + 1, before=before)
    rows = found[:PAGE_ROWS]
    sent = queries.sent_by_step([one.id for one in rows])
    return render_template(
        "campaigns.html",
        rows=rows,
        older=Position(rows[-1].created_at, rows[-1].id) if len(found) > PAGE_ROWS else None,
        begun=position is not None,
        problems=problems,
        status=status,
        statuses=STATUSES,
        numbers=queries.numbers_by_status(),
        most_counted=queries.MOST_COUNTED,
        segments=queries.segment_names(list({one.segment_id for one in rows})),
        progress={one.id: progress_of(one, sent.get(one.id, {})) for one in rows},
        endings=ENDINGS,
        stop_word=STOP_WORD,
        may_write=may(CAMPAIGNS),
        may_reach=may(REACH),
    )


@pages.get("/<uuid:campaign_id>")
@needs(OUTREACH)
def show(campaign_id: UUID) -> AnyResponse | str:
    """One campaign: its plan with what became of each step, its test, its control group, and what was done to it."""
    one = _campaign(campaign_id)
    if one.status == "draft":
        return redirect(url_for("campaign_preview.show", campaign_id=campaign_id), 303)
    found = report(campaign_id)
    segment = segments.segment(one.segment_id)
    moves = queries.moves_of(campaign_id)
    return render_template(
        "campaign.html",
        campaign=one,
        state=STATUSES[one.status],
        segment=segment,
        segment_said=meaning(segment.rules),
        report=found,
        steps=steps_shown(one, found),
        totals=_totals(found),
        expansion=expansion_of(one, found),
        rules=rule_words(one.plan),
        overlap=OVERLAP_WORDS[one.overlap],
        goals=GOAL_WORDS,
        chart=interval_chart(found.test.variants, winner=found.test.winner) if found.test else None,
        exits=[(EXIT_WORDS.get(rule, rule), number) for rule, number in found.exits.items()],
        groups=group_lines(found),
        booked=booked_words(found),
        taken_at=found.extra.get("taken_at"),
        ending=ENDINGS.get(one.ended_reason, ""),
        moves=[_move(row) for row in moves],
        pause=next((row for row in moves if row["action"] == "pause_campaign"), None),
        counts=COUNT_WORDS,
        channel_names={str(channel): words for channel, words in CHANNEL_WORDS.items()},
        may_write=may(CAMPAIGNS),
        may_reach=may(REACH),
    )


@pages.post("/<uuid:campaign_id>/pause")
@needs(REACH)
def pause(campaign_id: UUID) -> AnyResponse:
    """Nothing of it leaves until it is resumed."""
    return _moved(campaign_id, lifecycle.pause, "Paused. Nothing of it leaves any more until somebody resumes it.")


@pages.post("/<uuid:campaign_id>/resume")
@needs(CAMPAIGNS)
def resume(campaign_id: UUID) -> AnyResponse:
    """Go on."""
    return _moved(campaign_id, lifecycle.resume, "It goes on. What became due meanwhile is due now.")


@pages.post("/<uuid:campaign_id>/stop")
@needs(CAMPAIGNS)
def stop(campaign_id: UUID) -> AnyResponse:
    """For good."""
    return _moved(campaign_id, lifecycle.stop, "Stopped for good. What waited is cancelled.")


@pages.post("/stop-everything")
@needs(REACH)
def stop_everything() -> AnyResponse:
    """Pause every active campaign, where the word was typed."""
    reason = reason_given()
    if line_given("word", most=20) != STOP_WORD:
        return _back_to_list(f"Nothing was stopped: type {STOP_WORD} in capitals to do it.", "bad")
    if not reason:
        return _back_to_list("Nothing was stopped: say why, everybody who looks at it sees the reason.", "bad")
    stopped = lifecycle.stop_everything(asker=outreach_asker(), reason=reason)
    if not stopped:
        return _back_to_list("No campaign was active, so nothing had to be stopped.", "warn")
    number = "1 campaign is" if len(stopped) == 1 else f"{len(stopped):,} campaigns are"
    return _back_to_list(f"{number} paused. Nothing of any campaign leaves any more.", "good")


@pages.post("/<uuid:campaign_id>/copy")
@needs(CAMPAIGNS)
def copy(campaign_id: UUID) -> AnyResponse:
    """A draft with the same plan."""
    one = _campaign(campaign_id)
    name = line_given("name", most=255) or f"{one.name[:240]} (copy)"
    try:
        made = store.copy(campaign_id, name=name, asker=outreach_asker())
    except OutreachError as error:
        flash(f"Nothing was copied: {error.message.rstrip('.')}.", "bad")
        return redirect(url_for("campaigns.show", campaign_id=campaign_id), 303)
    flash("This is a new draft with the same plan.", "good")
    return redirect(url_for("campaign_editor.edit", campaign_id=made.id), 303)


@pages.post("/<uuid:campaign_id>/winner")
@needs(CAMPAIGNS)
def choose_winner(campaign_id: UUID) -> AnyResponse:
    """Everybody whose first step is not made yet gets this variant."""
    one = _campaign(campaign_id)
    variant = line_given("variant", most=50)
    try:
        lifecycle.choose_winner(one.id, variant, asker=outreach_asker())
    except OutreachError as error:
        flash(f"Nothing changed: {error.message.rstrip('.')}.", "bad")
    else:
        flash(f"From now on everybody who was not written to yet gets {variant}.", "good")
    return redirect(url_for("campaigns.show", campaign_id=campaign_id) + "#test", 303)


@pages.post("/<uuid:campaign_id>/export")
@needs(EXPORT)
def export(campaign_id: UUID) -> Response:
    """The report as CSV, a line per figure."""
    if not may(OUTREACH):
        abort(403)
    one = _campaign(campaign_id)
    found = report(campaign_id)
    detail = {"list": "campaign report", "format": "csv", "campaign_id": str(campaign_id)}
    log_action(acting_person(), "export", detail=detail)
    return attachment(csv_pages(HEAD, [report_lines(one, found)]), "campaign", "csv")


def _moved(campaign_id: UUID, move: Callable[..., Campaign], sentence: str) -> AnyResponse:
    one, reason = _campaign(campaign_id), reason_given()
    if not reason:
        flash("Nothing changed: say why, everybody who looks at it sees the reason.", "bad")
    else:
        try:
            move(one.id, asker=outreach_asker(), reason=reason)
            flash(sentence, "good")
        except OutreachError as error:
            flash(f"Nothing changed: {error.message.rstrip('.')}.", "warn")
    return redirect(url_for("campaigns.show", campaign_id=campaign_id), 303)


def _totals(found: Report) -> dict[str, int]:
    """What all steps' messages came to together."""
    return {name: sum(step.counts.get(name, 0) for step in found.steps) for name in COUNT_WORDS}


def _move(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the history."""
    key = str(row["action"]).removesuffix("_campaign")
    title, icon, tone = MOVES.get(key, (upper_first(key.replace("_", " ")), "edit", "off"))
    variant = row["detail"].get("variant") or row["detail"].get("winner")
    return {**row, "title": f"{title}: {variant}" if variant else title, "icon": icon, "tone": tone}


def _back_to_list(sentence: str, tone: str) -> AnyResponse:
    flash(sentence, tone)
    return redirect(url_for("campaigns.every_campaign"), 303)


def _campaign(campaign_id: UUID) -> Campaign:
    try:
        return store.campaign(campaign_id)
    except OutreachError:
        abort(404)
