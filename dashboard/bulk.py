"""Actions on many dispatches: the preview of what would come of it, the run, and its report. Each view reads the form,
calls one function and shows; `dispatchlog.bulk` freezes and acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard import bulk_queries as queries
from dashboard.access import ACT, EXPORT, READ, may, needs
from dashboard.asked import read_filter
from dashboard.bulk_judgement import BLOCKED, REVIEW, SAFE, causes_of, judge
from dashboard.context import acting_person, back_or, reason_given
from dashboard.csv_file import csv_pages
from dashboard.export import attachment
from dashboard.filter_words import in_words
from dashboard.filters import parse_position
from dashboard.health import broker_health, processes
from dashboard.lanes import hidden_lanes, visible_lane, visible_lanes
from dashboard.presentation import business_keys, upper_first
from dashboard.queries import MATCH_LIMIT, matching_rows, rows_by_id
from dispatchlog import bulk, bulk_end
from dispatchlog.engine.errors import DispatchlogError, UnknownLane
from dispatchlog.engine.lanes import Row, gateway_names
from dispatchlog.engine.operator import ReasonRequired, log_action

# So many paused providers are named.
MOST_PAUSED = 10

pages = Blueprint("bulk", __name__, url_prefix="/bulk")

ACTIONS = MappingProxyType({bulk.RETRY: "Retry", bulk.CANCEL: "Cancel"})
# What became of a row, as its badge says it: word, icon, tone.
RESULTS = MappingProxyType(
    {
        "OPEN": ("To do", "clock", "wait"),
        "DONE": ("Done", "check", "good"),
        "MOVED": ("Moved meanwhile", "arrow", "doubt"),
        "REFUSED": ("Not possible", "x", "bad"),
        "GONE": ("Not there", "ban", "off"),
        "LEFT_OUT": ("Left out", "pause", "off"),
        "STOPPED": ("Not touched", "ban", "off"),
    }
)
STATES = MappingProxyType(
    {
        "PREVIEW": ("Preview", "eye", "wait"),
        "RUNNING": ("Running", "send", "busy"),
        "STOPPING": ("Stopping", "clock", "doubt"),
        "DONE": ("Done", "check", "good"),
        "STOPPED": ("Stopped", "ban", "doubt"),
    }
)
_FILE_ROWS = 1_000
_REPORT_HEAD = ("lane", "id", "keys", "status_before", "status_now", "group", "why", "result", "code", "message", "at")


@pages.get("")
@needs(READ)
def every_run() -> str:
    """The runs and previews, newest first."""
    problems: list[str] = []
    position = parse_position(request.args.get("at", ""), problems)
    runs, older = queries.list_runs(position, without=hidden_lanes())
    return render_template(
        "bulk_runs.html", runs=runs, older=older, problems=problems, actions=ACTIONS, state_words=_state_words
    )


@pages.post("")
@needs(ACT)
def prepare() -> Response:
    """Freeze what was ticked, or all that the filter lets through, and show what would come of acting on it."""
    action = request.form.get("action", "")
    if action not in ACTIONS:
        return _refused("Choose what to do: retry or cancel.")
    asked = read_filter()
    if asked.problems:
        # Half a filter would take in more than was meant.
        return _refused(" ".join(asked.problems))
    if request.form.get("scope") == "matching":
        rows = matching_rows(asked.wanted, asked.lanes, limit=MATCH_LIMIT + 1)
        selection = in_words(asked.wanted)
    else:
        rows = _ticked()
        selection = "Ticked in the list"
    if not rows:
        return _refused("Nothing is selected. Tick dispatches in the list, or act on all that match.")
    run_id = bulk.freeze(
        action,
        judge(action, rows[:MATCH_LIMIT]),
        selection=selection,
        more=len(rows) > MATCH_LIMIT,
        actor=acting_person(),
    )
    return redirect(_address(run_id), 303)


@pages.get("/<uuid:run_id>")
@needs(READ)
def show(run_id: UUID) -> str:
    """A preview to be decided on, or a run with what became of each dispatch."""
    run = _run(run_id)
    return _preview(run) if run["state"] == "PREVIEW" else _progress(run)


@pages.post("/<uuid:run_id>/begin")
@needs(ACT)
def begin(run_id: UUID) -> Response | tuple[str, int]:
    """Do it: to the safe ones, and to those under review that were ticked."""
    run = _run(run_id)
    try:
        chosen = bulk.begin(
            run_id,
            causes=request.form.getlist("include"),
            expected=_typed_number(),
            reason=reason_given(),
            actor=acting_person(),
        )
    except DispatchlogError as error:
        if error.code == "ALREADY_BEGUN":
            flash("It had already begun; nothing was begun twice.", "warn")
            return redirect(_address(run_id), 303)
        return _preview(run, problem=f"{upper_first(error.message)}.", code=error.code), 400
    if broker_health().answers:
        bulk.wake(run_id)
    flash(f"Begun for {chosen:,} {'dispatch' if chosen == 1 else 'dispatches'}.", "good")
    return redirect(_address(run_id), 303)


@pages.post("/<uuid:run_id>/stop")
@needs(READ)
def stop(run_id: UUID) -> Response:
    """Act on no further one of them. Open to those who may act, and to whoever began it, whatever their role is now."""
    run = queries.find_run(run_id, without=hidden_lanes())
    if not _may_stop(run):
        abort(403)
    try:
        bulk_end.stop(_run(run_id)["id"], reason=reason_given(), actor=acting_person())
    except ReasonRequired as error:
        flash(f"{upper_first(error.message)}.", "bad")
    except DispatchlogError as error:
        flash(f"Nothing was stopped: {error.message}.", "warn")
    else:
        flash("Stopped. What was done stays done; no further one is acted on.", "good")
    return redirect(_address(run_id), 303)


@pages.post("/<uuid:run_id>/report")
@needs(EXPORT)
def download(run_id: UUID) -> Response:
    """The whole report as CSV, without recipients."""
    run = _run(run_id)
    log_action(acting_person(), "export", detail={"bulk_run": run_id, "rows": run["total"], "format": "csv"})
    return attachment(csv_pages(_REPORT_HEAD, _report_pages(run)), f"bulk-{run['action']}", "csv")


def _preview(run: Row, *, problem: str = "", code: str = "") -> str:
    causes = causes_of(run["action"])
    found = queries.groups(run["id"])
    order = list(causes)
    found.sort(key=lambda group: order.index(group.cause))
    included = request.form.getlist("include")
    safe = sum(group.number for group in found if group.verdict == SAFE)
    ticked = sum(group.number for group in found if group.verdict == REVIEW and group.cause in included)
    return render_template(
        "bulk_preview.html",
        run=run,
        action=ACTIONS[run["action"]],
        causes=causes,
        sections={
            verdict: [group for group in found if group.verdict == verdict] for verdict in (SAFE, REVIEW, BLOCKED)
        },
        included=included,
        chosen=safe + ticked,
        safe=safe,
        confirm_above=bulk.CONFIRM_ABOVE,
        could_choose=safe + sum(group.number for group in found if group.verdict == REVIEW),
        paused=_paused(run),
        problem=problem,
        code=code,
        reason=request.form.get("reason", ""),
        match_limit=MATCH_LIMIT,
        here=_address(run["id"]),
        titles=_titles(),
        back=back_or(""),
        may_act=may(ACT),
    )


def _progress(run: Row) -> str:
    counts = queries.tally(run["id"])
    counts["OPEN"] = counts.pop("", 0)
    result = request.args.get("result", "")
    problems = [] if not result or result in RESULTS else [f"Result “{result[:40]}” is not known; showing all."]
    result = result if result in RESULTS else ""
    after = request.args.get("after", "0")
    page = queries.report(run["id"], result=result, after=int(after) if after.isdecimal() and len(after) < 9 else 0)
    return render_template(
        "bulk_run.html",
        run=run,
        action=ACTIONS[run["action"]],
        causes=causes_of(run["action"]),
        results=RESULTS,
        state_words=_state_words,
        may_stop=run["state"] == "RUNNING" and run["stopped_at"] is None and _may_stop(run),
        counts=counts,
        result=result,
        page=page,
        problems=problems,
        workers=processes()["worker"].alive if run["state"] == "RUNNING" else 1,
        address=lambda **more: _address(run["id"], **more),
        here=_address(run["id"], result=result or None, after=after if after != "0" else None),
        titles=_titles(),
        back=back_or(""),
    )


def _report_pages(run: Row) -> Iterator[list[list[Any]]]:
    rows = queries.whole_report(run["id"])
    causes = causes_of(run["action"])
    while page := list(islice(rows, _FILE_ROWS)):
        yield [_report_line(item, causes) for item in page]


def _report_line(item: Row, causes: Mapping[str, Any]) -> list[Any]:
    row = item["row"]
    return [
        item["lane"],
        item["dispatch_id"],
        " ".join(business_keys(row["search_keys"])) if row else "",
        item["seen_status"],
        ("IN_DOUBT" if row["in_doubt"] else row["status"]) if row else "",
        item["verdict"],
        causes[item["cause"]].title if item["cause"] in causes else item["cause"],
        item["result"],
        item["code"],
        item["message"],
        item["settled_at"] and item["settled_at"].isoformat(timespec="seconds"),
    ]


def _may_stop(run: Row | None) -> bool:
    return may(ACT) or (run is not None and run["started_by"] == acting_person())


def _state_words(run: Row) -> tuple[str, str, str]:
    """Its state as the badge says it: word, icon, tone."""
    return STATES["STOPPING" if run["state"] == "RUNNING" and run["stopped_at"] is not None else run["state"]]


def _ticked() -> list[Row]:
    """The dispatches whose boxes were ticked, as they stand; a value that names none is passed over."""
    by_lane: dict[str, list[UUID]] = {}
    for value in request.form.getlist("pick")[:MATCH_LIMIT]:
        name, _, identity = value.partition(":")
        try:
            by_lane.setdefault(visible_lane(name).name, []).append(UUID(identity))
        except (UnknownLane, ValueError):
            continue
    return [row for name, ids in by_lane.items() for row in rows_by_id(visible_lane(name), ids)]


def _paused(run: Row) -> list[str]:
    """The providers of the run's lanes to which calls are paused."""
    if run["action"] != bulk.RETRY:
        return []
    health = broker_health()
    known = {lane.name: lane for lane in visible_lanes()}
    lanes = [known[name] for name in run["lanes"] if name in known]
    return sorted(name for name in gateway_names(lanes) if health.circuit_of(name).state == "open")[:MOST_PAUSED]


def _typed_number() -> int | None:
    digits = request.form.get("number", "").replace(",", "").replace(" ", "").replace(".", "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else None


def _run(run_id: UUID) -> Row:
    """One with anything of a lane that they may not see is not there for them."""
    run = queries.find_run(run_id, without=hidden_lanes())
    if run is None:
        abort(404)
    return run


def _titles() -> dict[str, str]:
    return {lane.name: lane.title for lane in visible_lanes()}


def _address(run_id: UUID, **more: Any) -> str:
    return url_for("bulk.show", run_id=run_id, back=back_or("") or None, **more)


def _refused(sentence: str) -> Response:
    flash(sentence, "bad")
    return redirect(back_or(url_for("dispatches.every_lane")), 303)
