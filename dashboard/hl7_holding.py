"""What holds an HL7 message now, in sentences. Owns the words for messages that wait; the others are `explain`'s."""

from __future__ import annotations

from datetime import UTC, datetime

from dashboard.access import ACT, may
from dashboard.context import breaker, settings
from dashboard.dispatch_queries import timeline
from dashboard.explain import Circumstances, Holding, explain
from dashboard.health import broker_health, processes
from dashboard.hl7_queries import in_front
from dashboard.masking import mask_text
from dashboard.story import confirmation
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.holds import LANE, Hold, holds_on, open_holds
from dispatchlog.engine.lanes import Lane, Row


def holdings(lane: Lane, row: Row) -> list[Holding]:
    """What to know of the message as it stands; `lane` is the one of the row's route."""
    if row["status"] != "PENDING":
        around = Circumstances(BreakerState("unknown"), settings().sweep_seconds, may(ACT), _confirmation(row))
        return explain(lane, row, around)
    return _why_waiting(lane, row) or [Holding("It is due now and leaves with the next batch, within seconds.")]


def _confirmation(row: Row) -> Row | None:
    return confirmation(timeline(row["id"])) if row["status"] == "SENT" else None


def _why_waiting(lane: Lane, row: Row) -> list[Holding]:
    reasons: list[Holding] = []
    if lane.route is None:
        reasons.append(Holding("Its school has no endpoint, so it cannot leave. Set one up."))
    elif lane.route.closed:
        reasons.append(Holding(lane.route.closed))
    reasons += [_paused(held) for held in holds_on(lane, open_holds())]
    if (front := in_front(lane, row)) is not None:
        whose = "the same student" if front["same_student"] else "the same endpoint"
        state = "has failed" if front["status"] == "FAILED" else "waits to be tried again"
        said = f"It waits behind message {front['control_id']} of {whose}, which {state}."
        reasons.append(Holding(said, behind=front["id"]))
    if row["due_at"] > datetime.now(UTC):
        tried = row["attempts"] > row["attempts_forgiven"]
        reasons.append(
            Holding(
                "The last try did not get through. It is tried again" if tried else "It is not due before",
                at=row["due_at"],
            )
        )
    if broker_health().answers and breaker().state(lane.gateway.name).state == "open":
        reasons.append(Holding("The endpoint has been failing, so it is left alone for a moment and then tried again."))
    if processes()["worker"].alive == 0:
        reasons.append(Holding("No worker is running, so nothing leaves. Tell whoever operates the system."))
    return reasons


def _paused(held: Hold) -> Holding:
    what = "All HL7 messages are" if held.scope == LANE else "Everything to this endpoint is"
    said = f"{what} paused until somebody resumes it. {held.held_by} paused it: “{mask_text(held.reason)}”"
    return Holding(said, at=held.held_at)
