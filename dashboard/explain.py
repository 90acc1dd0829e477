"""Why a dispatch is where it is, in plain words. Owns the sentences; reads what it is given and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from dashboard.dispatch_queries import in_front, is_expired, is_first_try, last_sweep_at, next_sweep_at
from dashboard.health import processes
from dashboard.masking import mask_text
from dashboard.wording import DOUBTS, NEXT_STEPS, REFUSED_BY_MAIL_SERVER, Verb, actor, subject_word, verb_of
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.holds import LANE, Hold
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import key_still_known


@dataclass(frozen=True, slots=True)
class Holding:
    """What to know of a dispatch: a sentence, and where there are any the instant it ends in, or the dispatch in front."""

    sentence: str
    at: datetime | None = None
    behind: UUID | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the explanation needs besides the row: the circuit of its gateway, the sweep's period, whether the reader may
    act, the deeds by which a person confirmed or cancelled it, if one did, and what people have paused of its lane or
    provider.
    """

    circuit: BreakerState
    sweep_seconds: int
    may_act: bool
    confirmed: Row | None = None
    cancelled: Row | None = None
    held: Sequence[Hold] = ()


def explain(lane: Lane, row: Row, around: Circumstances) -> list[Holding]:
    """What to know about the row's state: for a waiting one every rule that holds it, the last to give way first."""
    verb = verb_of(lane.name)
    if row["status"] == "PENDING":
        return _why_waiting(lane, row, around)
    if row["status"] == "QUEUED":
        return [
            Holding(
                f"Worker {row['claimed_by']} took it and is {verb.present} it. If that worker ends, another takes over."
            )
        ]
    if row["status"] == "FAILED":
        reasons = _why_in_doubt(lane, row, around) if row["in_doubt"] else _why_failed(row)
        return reasons if around.may_act else [*reasons, _SOMEBODY_ELSE]
    if row["status"] == "SENT":
        return _how_sent(lane, row, around.confirmed)
    return _why_cancelled(row, verb, around.cancelled)


_SOMEBODY_ELSE = Holding("Your role can look at it only. Somebody with the role support or admin can act.")


def _how_sent(lane: Lane, row: Row, confirmed: Row | None) -> list[Holding]:
    verb = verb_of(lane.name)
    if confirmed is None:
        provider = row["provider"] or "the provider"
        return [Holding(f"Accepted by {provider}. It leaves only once, so it cannot be {verb.past} again.")]
    who, why = actor(confirmed["actor"]), mask_text(confirmed["reason"])
    return [
        Holding(f"{who} confirmed that it was {verb.past}: “{why}”", at=confirmed["at"]),
        Holding(f"No answer of the provider is known. It is final, so it cannot be {verb.past} again."),
    ]


def _why_cancelled(row: Row, verb: Verb, deed: Row | None) -> list[Holding]:
    final = Holding(f"It will never be {verb.past}. For that, a new dispatch would have to be made.")
    if deed is not None:
        who, why = actor(deed["actor"]), mask_text(deed["reason"])
        return [Holding(f"{who} cancelled it: “{why}”", at=deed["at"]), final]
    if row["last_error_code"] == "EXPIRED":
        return [Holding(f"It was not {verb.past} in time: it was of use until", at=row["expires_at"]), final]
    why = mask_text(row["last_error"])
    return [Holding(f"{why[:1].upper()}{why[1:].rstrip('.')}."), final] if why else [final]


def _why_waiting(lane: Lane, row: Row, around: Circumstances) -> list[Holding]:
    running = processes()
    reasons = [*_shut(lane), *(_paused(lane, held) for held in around.held)]
    if (front := in_front(lane, row)) is not None:
        reasons.append(_behind(lane, row, front))
    reasons += _not_due(lane, row, around.sweep_seconds)
    if around.circuit.state == "open":
        reasons.append(
            Holding(f"Calls to {lane.gateway.name} are paused: it has been failing. It is tried again by itself.")
        )
    if not running["worker"].serves(lane.name):
        others = running["worker"].alive > 0
        none = f"No worker of lane {lane.title} is running" if others else "No worker is running"
        reasons.append(Holding(f"{none}, so nothing leaves. Tell whoever operates the system."))
    reasons = reasons or [_due_now(lane)]
    if row.get("stale_at") is not None:
        reasons.append(
            Holding("It fails as too old, for a person to decide, if it has not left by", at=row["stale_at"])
        )
    return reasons


def _shut(lane: Lane) -> list[Holding]:
    if lane.is_routed:
        return [Holding("There is no endpoint for it, so it cannot leave. An administrator has to set one up.")]
    return [Holding(lane.route.closed)] if lane.route is not None and lane.route.closed else []


def _not_due(lane: Lane, row: Row, sweep_seconds: int) -> list[Holding]:
    now = datetime.now(UTC)
    reasons: list[Holding] = []
    if row["due_at"] > now:
        tried = row["attempts"] > row["attempts_forgiven"]
        words = "The last try did not get through. It is tried again" if tried else "It is not due before"
        reasons.append(Holding(words, at=row["due_at"]))
    last = last_sweep_at(lane)
    if lane.waits_for_sweep and is_first_try(row) and (last is None or row["due_at"] > last):
        following = next_sweep_at(last, period_seconds=sweep_seconds, after=max(now, row["due_at"]))
        words = "It leaves with the first sweep after that." if reasons else "It leaves with the next sweep."
        soon_after = reasons and following is not None and following - row["due_at"] < timedelta(minutes=1)
        reasons.append(Holding(words, at=None if soon_after else following))
        if processes()["scheduler"].alive == 0:
            reasons.append(Holding("No scheduler is running, so no sweep comes. Tell whoever operates the system."))
    return reasons


def _due_now(lane: Lane) -> Holding:
    rate = lane.rate_per_second
    if lane.route is None or rate is None:
        return Holding("It is due now. A worker takes it within seconds.")
    pace = f"{rate:g} a second" if rate >= 1 else f"one in {1 / rate:.0f} seconds"
    return Holding(f"It is due now and leaves in its turn: the endpoint is sent {pace} at the most, oldest first.")


def _behind(lane: Lane, row: Row, front: Row) -> Holding:
    whose = subject_word(lane.name) if front["ordering_key"] == row["ordering_key"] else "endpoint"
    earlier = f"It waits behind an earlier one of the same {whose}"
    if front["status"] == "FAILED":
        return Holding(f"{earlier}, which failed. It follows once that is sent or cancelled.", behind=front["id"])
    if lane.route is not None and front["due_at"] > datetime.now(UTC):
        return Holding(f"{earlier}, which is tried again first", at=front["due_at"], behind=front["id"])
    return Holding(f"{earlier}, which has to leave first.", behind=front["id"])


def _paused(lane: Lane, held: Hold) -> Holding:
    what = f"Lane {lane.title}" if held.scope == LANE else f"Everything that leaves through {held.name}"
    who, why = actor(held.held_by), mask_text(held.reason)
    return Holding(f"{what} is paused until somebody resumes it. {who} paused it: “{why}”", at=held.held_at)


def _why_in_doubt(lane: Lane, row: Row, around: Circumstances) -> list[Holding]:
    verb = verb_of(lane.name)
    reasons = [Holding(f"We may or may not have {verb.past} this: a try ended without an answer that proves either.")]
    if note := DOUBTS.get(row["last_error_code"] or ""):
        reasons.append(Holding(note))
    if is_expired(row):
        reasons.append(Holding(f"It would not be {verb.past} any more: it was of use until", at=row["expires_at"]))
    elif key_still_known(lane, row):
        settles = "A retry settles it: the provider recognises the earlier try, so it cannot take effect twice."
        return [*reasons, Holding(settles)]
    if lane.gateway.kind is GatewayKind.LOOKUP and row["lookup_at"] is not None:
        reasons.append(Holding("The provider will be asked by itself.", at=row["lookup_at"]))
    elif around.may_act:
        find_out = "Find out whether it arrived, then say so here."
        reasons.append(Holding(f"{find_out} Until then it is not {verb.past} again."))
    else:
        reasons.append(Holding(f"A person has to find out whether it arrived. Until then it is not {verb.past} again."))
    return reasons


def _why_failed(row: Row) -> list[Holding]:
    code = row["last_error_code"] or ""
    known = NEXT_STEPS.get(code) or (REFUSED_BY_MAIL_SERVER if code.startswith("SMTP_5") else None)
    said = mask_text(row["last_error"]) or "No cause was recorded."
    reasons = [Holding(said[:1].upper() + said[1:])]
    if is_expired(row):
        return [*reasons, Holding("Trying again would be of no use: it was of use until", at=row["expires_at"])]
    return [*reasons, Holding(known or "Put right what the provider complains about, then retry.")]
