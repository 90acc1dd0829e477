"""How a bulk run ends: done, or stopped by a person. Settles the rows that a stop leaves untouched; acts on no dispatch.

A stop never waits for a worker. It first says that no further row is taken, and commits that; then it settles what nobody
has in hand. What a worker has in hand is acted on as a whole or not at all, and whoever is last ends the run. After a crash
in between, whoever goes on with the run next finishes the stop.
"""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine import operator
from dispatchlog.engine.database import execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Row


class StopRefused(DispatchlogError):
    """Nothing was stopped: RUN_NOT_FOUND, NOT_BEGUN, ALREADY_OVER, ALREADY_STOPPED."""


def stop(run_id: UUID, *, reason: str, actor: str) -> None:
    """Let no further row of a running bulk run be acted on. What was done stays done.

    Raises:
        ReasonRequired: without a reason.
        StopRefused: nothing changed, and why.
    """
    reason = reason.strip()
    if not reason:
        raise operator.ReasonRequired("say why: the reason stays with the bulk action")
    with transaction(actor, "bulk run stopped"):
        run = _running(run_id)
        execute(
            "UPDATE bulk_runs SET stopped_at = clock_timestamp(), stopped_by = %s, stop_reason = %s WHERE id = %s",
            (actor, reason, run_id),
        )
        detail = {"run": run_id, "chosen": run["chosen"], "acted_on_by_then": run["done"] + run["unchanged"]}
        operator.log_action(actor, "bulk_stop", reason=reason, detail=detail)
    settle_rest(run_id)


def settle_rest(run_id: UUID) -> None:
    """Report the rows of a stopped run that nobody has in hand as untouched, and end the run if none is left."""
    with transaction("service:bulk"):
        execute(
            "WITH untouched AS MATERIALIZED (SELECT run_id, position FROM bulk_items"
            " WHERE run_id = %s AND result IS NULL FOR UPDATE SKIP LOCKED)"
            " UPDATE bulk_items i SET result = 'STOPPED', code = 'STOPPED', settled_at = clock_timestamp(),"
            " message = 'not touched: stopped by ' || r.stopped_by FROM untouched u, bulk_runs r"
            " WHERE r.id = u.run_id AND r.stopped_at IS NOT NULL AND i.run_id = u.run_id AND i.position = u.position",
            (run_id,),
        )
    # Apart, so that of two who settle at once the later one sees that nothing is left.
    with transaction("service:bulk"):
        finish(run_id)


def finish(run_id: UUID) -> None:
    """Over, unless somebody has items of it in hand: they come here later. STOPPED if some are untouched."""
    execute(
        "UPDATE bulk_runs SET finished_at = clock_timestamp(), state = CASE WHEN EXISTS (SELECT FROM bulk_items"
        " WHERE run_id = %s AND result = 'STOPPED') THEN 'STOPPED' ELSE 'DONE' END"
        " WHERE id = %s AND state = 'RUNNING' AND NOT EXISTS (SELECT FROM bulk_items WHERE run_id = %s AND result IS NULL)",
        (run_id, run_id, run_id),
    )


def _running(run_id: UUID) -> Row:
    rows = fetch_dicts("SELECT * FROM bulk_runs WHERE id = %s FOR NO KEY UPDATE", (run_id,))
    if not rows:
        raise StopRefused(f"there is no bulk run {run_id}", code="RUN_NOT_FOUND")
    run = rows[0]
    if run["state"] == "PREVIEW":
        raise StopRefused("it has not begun", code="NOT_BEGUN")
    if run["state"] != "RUNNING":
        raise StopRefused("it is over already", code="ALREADY_OVER")
    if run["stopped_at"] is not None:
        raise StopRefused(f"{run['stopped_by']} has stopped it already", code="ALREADY_STOPPED")
    return run
