"""What the optimiser may decide, what speaks for it and what it decided lately; turning it on and off."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import CAMPAIGNS, OUTREACH, may, needs
from dashboard.context import line_given, reason_given
from dashboard.optimiser_charts import hours_chart, opt_out_chart, shares_chart, win_chart
from dashboard.optimiser_queries import latest, learned, learned_texts
from dashboard.optimiser_words import KIND_WORDS, MODE_WORDS, arm_words, outcome, policy_words, proof_state
from dashboard.outreach_asking import outreach_asker
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.optimiser import switching
from dispatchlog.systems.outreach.optimiser.choosing import CONTENT, FLOOR, HOLD_OUT_PERCENT, HOUR, KINDS
from dispatchlog.systems.outreach.optimiser.proving import LEAST_DECISIONS, LEAST_HELD_OUT
from dispatchlog.systems.outreach.optimiser.rewards import REWARD_HOURS

pages = Blueprint("optimiser", __name__, url_prefix="/outreach/optimiser")


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """One kind of decision, the hour unless the address names another."""
    kind = request.args.get("kind", HOUR)
    if kind not in KINDS:
        abort(404)
    standings = {each.kind: each for each in switching.every_standing()}
    evidence = standings[kind].evidence
    arms = [] if kind == CONTENT else learned(kind)
    return render_template(
        "optimiser.html",
        kind=kind,
        standings=standings,
        standing=standings[kind],
        evidence=evidence,
        judged_at=datetime.fromisoformat(evidence["at"]) if evidence else None,
        state=proof_state(evidence),
        kinds=KIND_WORDS,
        modes=MODE_WORDS,
        policy=policy_words,
        arm_words=arm_words,
        outcome=outcome,
        win=win_chart(evidence) if evidence.get("win") else None,
        opt_outs=opt_out_chart(evidence["opt_outs"]) if evidence.get("opt_outs") else None,
        learned=(hours_chart(arms) if kind == HOUR else shares_chart(arms)) if arms else None,
        texts=learned_texts() if kind == CONTENT else [],
        rows=latest(kind),
        hold_out=HOLD_OUT_PERCENT,
        floor=FLOOR,
        reward_days=REWARD_HOURS // 24,
        least=LEAST_DECISIONS,
        least_held_out=LEAST_HELD_OUT,
        may_change=may(CAMPAIGNS),
    )


@pages.post("/<kind>")
@needs(CAMPAIGNS)
def change(kind: str) -> Response:
    """Another mode, with a reason; on only where the log proves that it helps."""
    if kind not in KINDS:
        abort(404)
    mode = line_given("mode", most=16)
    back = redirect(url_for("optimiser.show", kind=kind), 303)
    if not (reason := reason_given()):
        flash("Say why: the reason stays with the change.", "bad")
        return back
    try:
        switching.set_mode(kind, mode, based_on=_version(), asker=outreach_asker(), reason=reason)
    except OutreachError as error:
        flash(f"Nothing changed: {error.message.rstrip('.')}.", "bad")
        return back
    flash(f"{KIND_WORDS[kind].title}: {MODE_WORDS[mode].done}", "good")
    return back


def _version() -> int:
    given = line_given("version", most=18)
    return int(given) if given.isdecimal() else 0
