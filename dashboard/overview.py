"""The overview: what sending needs, a card per lane, incidents, providers and the latest moves. Shows; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flask import Blueprint, render_template

from dashboard.access import READ, needs
from dashboard.health import TROUBLE, BrokerHealth, broker_health, parts, processes, unserved
from dashboard.hours import BAR_WIDTH, DOWN, HOURS, UP
from dashboard.incident_queries import incidents, open_replays, window_since
from dashboard.incidents import REPLAY_STATES
from dashboard.lanes import hidden_lanes, visible_lanes
from dashboard.overview_queries import lane_card, recent_moves, today
from dashboard.standing_alerts import banner
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.engine.lanes import Lane

pages = Blueprint("overview", __name__)

# The window of the incidents, in days before today; the same as the incidents page's first.
INCIDENT_DAYS = 1
MOST_INCIDENTS = 4
# Of the endpoints in trouble so many are named; the page of incidents has what failed at each.
MOST_ENDPOINTS = 6


class ProviderLine(NamedTuple):
    """A provider, whose it is, and its circuit."""

    name: str
    titles: list[str]
    circuit: BreakerState


@pages.get("/")
@needs(READ)
def show() -> str:
    """How everything stands."""
    lanes = visible_lanes()
    broker = broker_health()
    held = [each for each in open_holds() if each.target.lanes_of(lanes)]
    running = processes()
    workers = running["worker"]
    cards = [lane_card(lane, broker.circuit(lane)) for lane in lanes]
    since = window_since(INCIDENT_DAYS)
    return render_template(
        "overview.html",
        alerts=banner(),
        cards=cards,
        health=parts(broker, running, lanes),
        unserved={lane.name for lane in unserved(workers, lanes)} if workers.alive else set(),
        moves=recent_moves(lanes),
        titles={lane.name: lane.title for lane in lanes},
        held={lane.name: holds_on(lane, held) for lane in lanes},
        paused=bool(held),
        today=today().isoformat(),
        in_doubt=sum(card.counts["IN_DOUBT"].number for card in cards),
        failed=sum(card.counts["FAILED"].number for card in cards),
        gateways=provider_lines(lanes, broker),
        incidents=incidents(lanes, since=since, most=MOST_INCIDENTS),
        since=since.date().isoformat(),
        replays=[*open_replays(without=hidden_lanes()).values()],
        replay_states=REPLAY_STATES,
        spark={"bar": BAR_WIDTH, "width": BAR_WIDTH * HOURS, "up": UP, "height": UP + DOWN + 2},
    )


def provider_lines(lanes: Sequence[Lane], broker: BrokerHealth) -> list[ProviderLine]:
    """One line per provider. Of endpoints those in trouble, a few at the most, and one line for the others together."""
    titles: dict[str, list[str]] = {}
    for lane in lanes:
        if not lane.is_routed:
            titles.setdefault(lane.gateway.name, []).append(lane.title)
    found = [ProviderLine(name, said, broker.circuit_of(name)) for name, said in titles.items()]
    for lane in lanes:
        found += _endpoint_lines(lane, broker) if lane.is_routed else []
    return found


def _endpoint_lines(lane: Lane, broker: BrokerHealth) -> list[ProviderLine]:
    circuits = {gateway.name: broker.circuit_of(gateway.name) for gateway in lane.gateways()}
    names = [name for name in sorted(circuits) if TROUBLE[circuits[name].state] > TROUBLE["unknown"]]
    ill = sorted(names, key=lambda name: -TROUBLE[circuits[name].state])
    shown = ill[:MOST_ENDPOINTS]
    found = [ProviderLine(name, [lane.title], circuits[name]) for name in shown]
    if others := len(circuits) - len(ill):
        words = "1 endpoint" if others == 1 else f"{others} endpoints"
        found.append(ProviderLine(words, [lane.title], BreakerState("closed" if broker.answers else "unknown")))
    if hidden := len(ill) - len(shown):
        found.insert(len(shown), ProviderLine(f"{hidden} more", [lane.title], circuits[ill[-1]]))
    return found
