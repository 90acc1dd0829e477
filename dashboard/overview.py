"""The overview: what sending needs, a card per lane, and the latest moves. Shows; changes nothing."""

from __future__ import annotations

from flask import Blueprint, render_template

from dashboard.access import READ, needs
from dashboard.health import broker_health, parts, processes
from dashboard.overview_queries import lane_card, recent_moves, today
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.systems import registry

pages = Blueprint("overview", __name__)


@pages.get("/")
@needs(READ)
def show() -> str:
    """How everything stands."""
    lanes = registry.lanes()
    broker = broker_health()
    held = open_holds()
    cards = [lane_card(lane, broker.circuit(lane)) for lane in lanes]
    return render_template(
        "overview.html",
        cards=cards,
        health=parts(broker, processes()),
        moves=recent_moves(lanes),
        titles={lane.name: lane.title for lane in lanes},
        held={lane.name: holds_on(lane, held) for lane in lanes},
        paused=bool(held),
        today=today().isoformat(),
        in_doubt=sum(card.counts["IN_DOUBT"].number for card in cards),
        failed=sum(card.counts["FAILED"].number for card in cards),
    )
