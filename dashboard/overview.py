"""The overview: what sending needs, a card per lane, incidents, providers and the latest moves. Shows; changes nothing."""

from __future__ import annotations

from flask import Blueprint, render_template

from dashboard.access import READ, needs
from dashboard.health import broker_health, parts, processes
from dashboard.hours import BAR_WIDTH, DOWN, HOURS, UP
from dashboard.incident_queries import incidents, open_replays, window_since
from dashboard.incidents import REPLAY_STATES
from dashboard.overview_queries import lane_card, recent_moves, today
from dashboard.standing_alerts import banner
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.systems import registry

pages = Blueprint("overview", __name__)

# The window of the incidents, in days before today; the same as the incidents page's first.
INCIDENT_DAYS = 1
MOST_INCIDENTS = 4


@pages.get("/")
@needs(READ)
def show() -> str:
    """How everything stands."""
    lanes = registry.lanes()
    broker = broker_health()
    held = open_holds()
    cards = [lane_card(lane, broker.circuit(lane)) for lane in lanes]
    gateways: dict[str, list[str]] = {}
    for lane in lanes:
        gateways.setdefault(lane.gateway.name, []).append(lane.title)
    since = window_since(INCIDENT_DAYS)
    return render_template(
        "overview.html",
        alerts=banner(),
        cards=cards,
        health=parts(broker, processes()),
        moves=recent_moves(lanes),
        titles={lane.name: lane.title for lane in lanes},
        held={lane.name: holds_on(lane, held) for lane in lanes},
        paused=bool(held),
        today=today().isoformat(),
        in_doubt=sum(card.counts["IN_DOUBT"].number for card in cards),
        failed=sum(card.counts["FAILED"].number for card in cards),
        gateways=[(name, titles, broker.circuits.get(name)) for name, titles in gateways.items()],
        incidents=incidents(lanes, since=since, most=MOST_INCIDENTS),
        since=since.date().isoformat(),
        replays=[*open_replays().values()],
        replay_states=REPLAY_STATES,
        spark={"bar": BAR_WIDTH, "width": BAR_WIDTH * HOURS, "up": UP, "height": UP + DOWN + 2},
    )
