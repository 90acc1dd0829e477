"""Schools and their endpoints, for administrators: adding one, its settings, and trying it. The rules are elsewhere.

A key that was stored is never shown. The test's answer is shown once, in the page that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import MANAGE, needs
from dashboard.connection import close_connection, open_connection
from dashboard.context import acting_person, line_given, reason_given
from dashboard.health import broker_health
from dashboard.hl7_endpoint_form import LABELS, MESSAGE_CHOICES, PARTS, USUAL, entered, in_words, shown
from dashboard.hl7_endpoint_history import changes_of
from dashboard.hl7_endpoint_queries import (
    HISTORY_ROWS,
    MOST_COUNTED,
    PAGE_ROWS,
    endpoint_row,
    figures,
    history_of,
    schools_from,
)
from dashboard.presentation import upper_first
from dashboard.wording import actor
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.hl7.endpoint_test import EndpointTest, run_test
from dispatchlog.systems.hl7.endpoints import gateway_name
from dispatchlog.systems.hl7.schools import SECRETS, SchoolError, add_school, change_endpoint

pages = Blueprint("hl7_endpoints", __name__, url_prefix="/admin/hl7/endpoints")

SAY_WHY = "Say why: the reason is kept with the change."


@pages.get("")
@needs(MANAGE)
def every_school() -> str:
    """The schools by code, with what waits at each."""
    return _list_page()


@pages.post("")
@needs(MANAGE)
def add() -> Response | tuple[str, int]:
    """A school with an endpoint that is off."""
    code, name = line_given("code"), line_given("name")
    try:
        school = add_school(code, name, actor=acting_person())
    except SchoolError as error:
        return _list_page(problem=in_words(error), field=error.field, given=(code, name)), 400
    flash(f"{school.name} is added. Say where its messages go, try it, and switch it on.", "good")
    return redirect(url_for("hl7_endpoints.show", code=school.code), 303)


@pages.get("/<code>")
@needs(MANAGE)
def show(code: str) -> str:
    """One endpoint: how it stands and every setting."""
    row = _row(code)
    return _page(row, shown(row))


@pages.post("/<code>")
@needs(MANAGE)
def change(code: str) -> Response | tuple[str, int]:
    """Other settings; a reason is needed, and nothing is changed where one of them is wrong."""
    row = _row(code)
    found = entered(request.form, row)
    version = request.form.get("version", "")
    if not found.problems and not found.changes and version == str(row["version"]):
        flash("Nothing was changed: the settings are those that it has already.", "warn")
        return redirect(url_for("hl7_endpoints.show", code=code), 303)
    if not reason_given():
        found.problems["reason"] = SAY_WHY
    if found.problems:
        return _page(row, found.texts, problems=found.problems, version=version), 400
    try:
        change_endpoint(
            code,
            found.changes,
            actor=acting_person(),
            reason=reason_given(),
            version=int(version) if version.isdecimal() and len(version) < 10 else 0,
        )
    except SchoolError as error:
        if error.code == "CHANGED_MEANWHILE":
            words = f"Nothing was changed. {actor(_row(code)['updated_by'])} has changed it in the meantime."
            return _page(row, found.texts, problems={"version": words}, version=version), 409
        return _page(row, found.texts, problems={error.field or "version": in_words(error)}, version=version), 400
    except DispatchlogError as error:
        said = {"version": f"{upper_first(error.message).rstrip('.')}."}
        return _page(row, found.texts, problems=said, version=version), 400
    flash("Saved. Workers use it within two seconds.", "good")
    return redirect(url_for("hl7_endpoints.show", code=code), 303)


@pages.post("/<code>/test")
@needs(MANAGE)
def test(code: str) -> str | tuple[str, int]:
    """Try the endpoint as it is stored; the answer is in this page only."""
    row = _row(code)
    who, with_message = acting_person(), bool(request.form.get("message"))
    close_connection()  # it may take a while, and others need the connection
    try:
        found = run_test(code, actor=who, with_message=with_message)
    except DispatchlogError as error:
        open_connection()
        words = f"{upper_first(error.message).rstrip('.')}. Nothing was tried."
        return _page(row, shown(row), untried=words), 400
    open_connection()
    return _page(row, shown(row), tested=found)


def _row(code: str) -> Mapping[str, Any]:
    row = endpoint_row(code) if "\x00" not in code else None
    if row is None:
        abort(404)
    return row


def _list_page(*, problem: str = "", field: str = "", given: tuple[str, str] = ("", "")) -> str:
    text = " ".join(request.args.get("q", "").replace("\x00", "").split())[:100]
    after = request.args.get("after", "").replace("\x00", "")[:40]
    found = schools_from(after, text=text)
    return render_template(
        "hl7_endpoints.html",
        schools=found[:PAGE_ROWS],
        more=len(found) > PAGE_ROWS,
        text=text,
        after=after,
        circuits=broker_health().circuits,
        gateway_name=gateway_name,
        most=MOST_COUNTED,
        problem=problem,
        field=field,
        given=given,
    )


def _page(
    row: Mapping[str, Any],
    texts: Mapping[str, str],
    *,
    problems: Mapping[str, str] | None = None,
    version: str = "",
    tested: EndpointTest | None = None,
    untried: str = "",
) -> str:
    name = gateway_name(row["code"])
    before = request.args.get("before", "")
    older_than = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None
    history = history_of(row["code"], before=older_than)
    return render_template(
        "hl7_endpoint.html",
        row=row,
        gateway=name,
        texts=texts,
        parts=PARTS,
        labels=LABELS,
        usual=USUAL,
        choices=MESSAGE_CHOICES,
        chosen=dict(line.split(" ", 1) for line in texts["messages"].splitlines() if " " in line),
        secrets={each: row[column] is not None for each, (column, _) in SECRETS.items()},
        problems=problems or {},
        version=version or row["version"],
        reason=reason_given(),
        tested=tested,
        untried=untried,
        circuit=broker_health().circuits.get(name),
        figures=figures(row["code"]),
        most=MOST_COUNTED,
        changed_by=actor(row["updated_by"]),
        history=changes_of(history[:HISTORY_ROWS]),
        older=history[HISTORY_ROWS - 1]["id"] if len(history) > HISTORY_ROWS else None,
        newest=older_than is None,
    )
