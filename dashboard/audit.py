"""Who did what: every action of people and services, newest first, and its export. Shows; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import AUDIT, EXPORT, may, needs
from dashboard.audit_filter import AuditFilter, parse_audit_filter
from dashboard.audit_queries import (
    emails_of,
    every_action,
    keys_of,
    known_actions,
    known_actors,
    list_actions,
)
from dashboard.audit_wording import KINDS, about, title_of
from dashboard.context import acting_person
from dashboard.csv_file import csv_pages
from dashboard.lanes import visible_lanes
from dashboard.masking import mask_text
from dashboard.presentation import business_keys
from dashboard.wording import actor
from dispatchlog.audit.standing import standing
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import log_action

pages = Blueprint("audit", __name__, url_prefix="/audit")

HEADER = ("When (UTC)", "Who", "What", "About", "Reason", "Lane", "Dispatch", "Dispatch id", "Action")


@pages.get("")
@needs(AUDIT)
def show() -> str:
    """The actions that the filter lets through, a page at a time."""
    wanted = parse_audit_filter(request.args)
    actors = known_actors()
    page = list_actions(wanted, actors)
    emails, keys = emails_of(page.rows), keys_of(page.rows, visible_lanes())
    return render_template(
        "audit.html",
        wanted=wanted,
        page=page,
        actors=sorted(((name, actor(who)) for name, who in actors.items()), key=lambda pair: pair[1].lower()),
        actions=sorted(((action, title_of(action)) for action in known_actions()), key=lambda pair: pair[1]),
        kinds=KINDS,
        titles={lane.name: lane.title for lane in visible_lanes()},
        link=_link,
        title_of=title_of,
        actor=actor,
        keys_of=lambda row: business_keys(keys.get(row["dispatch_id"])),
        is_known=lambda row: row["dispatch_id"] in keys,
        about=lambda row: about(row["detail"], emails, actor=row["actor"]),
        may_export=may(EXPORT),
        chain=standing(),
    )


@pages.post("/search")
@needs(AUDIT)
def search() -> Response:
    """To the list that the form asks for; what cannot be read is said and left out of the address."""
    wanted = parse_audit_filter(request.form)
    for problem in wanted.problems:
        flash(problem, "warn")
    return redirect(_link(wanted), 303)


@pages.post("/export")
@needs(AUDIT)
def export() -> Response:
    """The same list as a file, whole. That it was exported is kept."""
    if not may(EXPORT):
        abort(403)
    wanted = parse_audit_filter(request.form)
    if wanted.problems:
        abort(400, wanted.problems[0])
    actors = known_actors()
    log_action(acting_person(), "export_audit", detail={"filter": _said(wanted, actors)} if wanted.is_narrowed else {})
    name = f"who-did-what-{datetime.now(UTC):%Y%m%d-%H%M}.csv"
    answer = Response(csv_pages(HEADER, _lots(every_action(wanted, actors), visible_lanes())), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _link(wanted: AuditFilter, **changes: Any) -> str:
    return url_for("audit.show", **wanted.arguments(**changes))


def _said(wanted: AuditFilter, actors: dict[str, str]) -> str:
    """The filter for the log: names instead of hashes."""
    named = {**wanted.arguments(), **({"by": actors.get(wanted.by, wanted.by)} if wanted.by else {})}
    return " ".join(f"{name}={value}" for name, value in named.items())


def _lots(lots: Iterable[list[Row]], lanes: Sequence[Lane]) -> Iterator[list[tuple[object, ...]]]:
    for rows in lots:
        emails, keys = emails_of(rows), keys_of(rows, lanes)
        yield [
            (
                f"{row['at']:%Y-%m-%dT%H:%M:%SZ}",
                actor(row["actor"]),
                title_of(row["action"], row["lane"]),
                about(row["detail"], emails, actor=row["actor"]),
                mask_text(row["reason"]),
                row["lane"],
                " ".join(business_keys(keys.get(row["dispatch_id"]))),
                row["dispatch_id"],
                row["action"],
            )
            for row in rows
        ]
