"""Why a dispatch is where it is, in plain words. Owns the sentences; reads what it is given and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from dashboard.dispatch_queries import held_behind, is_first_try, last_sweep_at, next_sweep_at
from dashboard.masking import mask_text
from dashboard.overview_queries import workers
from dashboard.wording import NEXT_STEPS, REFUSED_BY_MAIL_SERVER
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Row


@dataclass(frozen=True, slots=True)
class Holding:
    """One rule that holds a dispatch back: a sentence, and where it knows them an instant or the dispatch in front."""

    sentence: str
    until: datetime | None = None
    behind: UUID | None = None


def explain(lane: Lane, row: Row, *, breaker: Breaker, sweep_seconds: int) -> list[Holding]:
    """What to know about the row's state: for a waiting one every rule that holds it, the last to give way first."""
    if row["status"] == "PENDING":
        return _why_waiting(lane, row, breaker=breaker, sweep_seconds=sweep_seconds)
    if row["status"] == "QUEUED":
        return [
            Holding(f"Worker {row['claimed_by']} took it and is sending it. If that worker ends, another takes over.")
        ]
    if row["status"] == "FAILED":
        return _why_in_doubt(lane, row) if row["in_doubt"] else _why_failed(row)
    if row["status"] == "SENT":
        return [
            Holding(
                f"Accepted by {row['provider'] or 'the provider'}. It leaves only once, so nothing can send it again."
            )
        ]
    return [Holding("It will never be sent. To send it after all, a new dispatch has to be made.")]


def _why_waiting(lane: Lane, row: Row, *, breaker: Breaker, sweep_seconds: int) -> list[Holding]:
    now = datetime.now(UTC)
    reasons: list[Holding] = []
    if row["due_at"] > now:
        tried = f"Try {row['attempts']} did not get through. " if row["attempts"] else ""
        reasons.append(Holding(f"{tried}It is not due before", until=row["due_at"]))
    last = last_sweep_at(lane)
    if lane.waits_for_sweep and is_first_try(row) and (last is None or row["due_at"] > last):
        following = next_sweep_at(last, period_seconds=sweep_seconds, after=max(now, row["due_at"]))
        reasons.append(
            Holding(
                "It leaves with the first sweep after that." if reasons else "It leaves with the next sweep.",
                until=following,
            )
        )
    state = breaker.state(lane.gateway.name)
    if state.state == "open":
        reasons.append(
            Holding(f"Calls to {lane.gateway.name} are paused: it has been failing. It is tried again by itself.")
        )
    front = held_behind(lane, row)
    if front is not None:
        reasons.append(Holding("An older one that has to leave first has not left yet.", behind=front))
    if workers().alive == 0:
        reasons.append(Holding("No worker is running, so nothing is being sent. Tell whoever operates the system."))
    return reasons or [Holding("It is due now. A worker takes it within seconds.")]


def _why_in_doubt(lane: Lane, row: Row) -> list[Holding]:
    reasons = [Holding("We may or may not have sent this: the try ended without an answer that proves either.")]
    if lane.gateway.kind is GatewayKind.LOOKUP and row["lookup_at"] is not None:
        reasons.append(Holding("The provider will be asked by itself.", until=row["lookup_at"]))
    else:
        reasons.append(Holding("Find out whether it arrived, then say so below. It is not sent again until you do."))
    return reasons


def _why_failed(row: Row) -> list[Holding]:
    code = row["last_error_code"] or ""
    known = NEXT_STEPS.get(code) or (REFUSED_BY_MAIL_SERVER if code.startswith("SMTP_5") else None)
    said = mask_text(row["last_error"]) or "No cause was recorded."
    return [
        Holding(said[:1].upper() + said[1:]),
        Holding(known or "Put right what the provider complains about, then retry."),
    ]
