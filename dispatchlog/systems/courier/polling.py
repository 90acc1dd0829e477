"""Asking couriers where their jobs are: the primary source of those that tell nothing, and the net under those that do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, Permanent
from dispatchlog.gateways.courier import Courier, Report
from dispatchlog.systems.courier import couriers, events
from dispatchlog.systems.courier.states import ENDED, DispatchStatus

log = structlog.get_logger(__name__)

ASK_SECONDS = 10.0
AT_ONCE = 8
MOST = 50
APART_AT = 2
# Of a courier that is not configured any more nobody can be asked.
_WITHOUT_COURIER_SECONDS = 900.0
# For so long after an end, and after anything new was heard, its word is still compared.
_COMPARED_FOR = "1 day"

_ANY_DUE = "SELECT FROM courier_dispatches WHERE poll_at <= clock_timestamp() LIMIT 1"
# Taken by moving the next time on, so that several processes never ask the same; one that dies costs that time.
_TAKE = """
UPDATE courier_dispatches d SET polled_at = clock_timestamp(),
    poll_at = clock_timestamp() + make_interval(secs => coalesce((%s::jsonb ->> courier)::float8, %s))
WHERE id IN (SELECT id FROM courier_dispatches WHERE poll_at <= clock_timestamp() ORDER BY poll_at LIMIT %s
    FOR NO KEY UPDATE SKIP LOCKED)
RETURNING *
"""
_NOW = """
SELECT d.*, EXISTS (SELECT FROM courier_dispatches n WHERE n.order_id = d.order_id AND n.attempt > d.attempt) AS superseded
FROM courier_dispatches d WHERE d.id = ANY (%s::uuid[])
"""
_AGREES = """
UPDATE courier_dispatches SET polls_apart = 0, disagreement = NULL, updated_at = clock_timestamp()
WHERE id = %s AND status = %s AND (polls_apart <> 0 OR disagreement IS NOT NULL)
"""
_APART = """
UPDATE courier_dispatches SET polls_apart = polls_apart + 1,
    disagreement = CASE WHEN polls_apart + 1 >= %s THEN %s ELSE disagreement END,
    updated_at = CASE WHEN polls_apart + 1 = %s THEN clock_timestamp() ELSE updated_at END
WHERE id = %s AND status = %s RETURNING polls_apart
"""
_ASK_NO_MORE = f"""
UPDATE courier_dispatches SET poll_at = NULL WHERE id = %s AND status = %s
    AND (%s OR coalesce(heard_at, ended_at) < clock_timestamp() - interval '{_COMPARED_FOR}')
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What asking about one dispatch came to: a report, that the courier does not know it, or (neither) nothing."""

    dispatch: Mapping[str, Any]
    report: Report | None = None
    is_unknown: bool = False


def poll_due(*, limit: int = MOST) -> int:
    """Ask about the dispatches whose `poll_at` has come; how many were asked. No transaction is open meanwhile.

    What is found goes through `events` like a webhook. Where the courier's answer stays apart from what was heard
    (`polls_apart` reaches 2), `disagreement` says so and an alert follows.
    """
    with connected():
        if not fetch_all(_ANY_DUE):
            return 0
    known = couriers.couriers()
    seconds = json.dumps({name: courier.poll_seconds for name, courier in known.items()})
    with connected():
        taken = fetch_dicts(_TAKE, (seconds, _WITHOUT_COURIER_SECONDS, limit))
    askable = [row for row in taken if row["courier"] in known and row["courier_reference"]]
    if not askable:
        return 0
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(askable)), thread_name_prefix="courier-poll") as pool:
        answers = list(pool.map(lambda row: _ask(known[row["courier"]], row), askable))
    with connected():
        for answer in answers:
            _store(known[answer.dispatch["courier"]], answer)
        events.apply_open()
        _compare(answers)
    return len(askable)


def poll_all() -> None:
    """Ask about whatever is due, for workers."""
    while poll_due(limit=MOST) >= MOST:
        pass


def _ask(courier: Courier, dispatch: Mapping[str, Any]) -> Answer:
    """One question. Runs in a thread without a connection."""
    try:
        report = courier.ask(
            dispatch["courier_reference"], dispatch["job_references"] or {}, deadline=Deadline(ASK_SECONDS)
        )
    except Permanent:
        return Answer(dispatch, is_unknown=True)
    except GatewayError as error:
        code = error.code
    except Exception as error:  # noqa: BLE001  (one courier's odd answer must not end the round for all)
        code = type(error).__name__
    else:
        return Answer(dispatch, report)
    log.warning("COURIER_NOT_ASKED", courier=courier.name, code=code, trace_id=dispatch["trace_id"])
    return Answer(dispatch)


def _store(courier: Courier, answer: Answer) -> None:
    if answer.report is not None:
        trace_id = answer.dispatch["trace_id"]
        events.store_reports(courier.name, "poll", [answer.report], trace_id=trace_id, tells=courier.tells)


def _compare(answers: Sequence[Answer]) -> None:
    """Note where the courier's answer and the dispatch, after the answer was applied, are two things."""
    now = {row["id"]: row for row in fetch_dicts(_NOW, ([answer.dispatch["id"] for answer in answers],))}
    for answer in answers:
        dispatch = now[answer.dispatch["id"]]
        said = _said(answer)
        if said is None:
            continue
        agrees = said == dispatch["status"] or dispatch["confirmed_by"] in ("otp", "staff")
        if not dispatch["superseded"]:
            if agrees:
                execute(_AGREES, (dispatch["id"], dispatch["status"]))
            else:
                _note_apart(dispatch, said)
        if dispatch["status"] in ENDED:
            execute(_ASK_NO_MORE, (dispatch["id"], dispatch["status"], agrees))


def _said(answer: Answer) -> str | None:
    if answer.is_unknown:
        return ""
    return answer.report.status if answer.report else None


def _note_apart(dispatch: Mapping[str, Any], said: str) -> None:
    words = said or "that it does not know this booking"
    disagreement = f"Here it is {DispatchStatus(dispatch['status'])}, but asked, the courier answers {words}."
    rows = execute(_APART, (APART_AT, disagreement, APART_AT, dispatch["id"], dispatch["status"])).fetchall()
    if rows and rows[0][0] == APART_AT:
        log.warning(
            "COURIER_DISAGREES",
            dispatch_id=str(dispatch["id"]),
            status=dispatch["status"],
            answered=said or None,
            trace_id=dispatch["trace_id"],
        )
