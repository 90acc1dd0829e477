"""Pharmacies, for administrators: who they are and where couriers fetch their orders. The courier system stores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import MANAGE, needs
from dashboard.context import acting_person, line_given
from dashboard.pharmacy_queries import PAGE_ROWS, find_pharmacy, pharmacies_from
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.courier.inputs import CourierError, PharmacyInput, Place
from dispatchlog.systems.courier.pharmacies import put_pharmacy

pages = Blueprint("pharmacies", __name__, url_prefix="/pharmacies")

FIELDS = ("code", "name", "phone", "email", "address", "city", "latitude", "longitude")
_LABELS = {"email": "e-mail address"}


@pages.get("")
@needs(MANAGE)
def every_pharmacy() -> str:
    """The pharmacies by code."""
    text = request.args.get("q", "").replace("\x00", "").strip()[:100]
    after = request.args.get("after", "").replace("\x00", "")[:40]
    rows = pharmacies_from(after, text)
    return render_template("pharmacies.html", rows=rows[:PAGE_ROWS], more=len(rows) > PAGE_ROWS, text=text, after=after)


@pages.get("/new")
@needs(MANAGE)
def new() -> str:
    """An empty form."""
    return _form({})


@pages.post("")
@needs(MANAGE)
def add() -> Response | tuple[str, int]:
    """Another pharmacy."""
    given = _given()
    if find_pharmacy(given["code"]) is not None:
        return _form(given, problems={"code": "There is a pharmacy of this code already."}), 400
    return _put(given, known=None)


@pages.get("/<code>")
@needs(MANAGE)
def show(code: str) -> str:
    """One pharmacy, to be changed."""
    row = _row(code)
    return _form({name: "" if row[name] is None else str(row[name]) for name in FIELDS}, known=row)


@pages.post("/<code>")
@needs(MANAGE)
def change(code: str) -> Response | tuple[str, int]:
    """Other contact or place; its code stays."""
    return _put({**_given(), "code": code}, known=_row(code))


def _put(given: Mapping[str, str], *, known: Mapping[str, Any] | None) -> Response | tuple[str, int]:
    problems = {name: f"Enter the {_LABELS.get(name, name)}." for name in _NEEDED if not given[name]}
    places = {name: _degrees(given[name]) for name in ("latitude", "longitude")}
    problems |= {
        name: "Write it in degrees, such as 6.4541." for name in places if given[name] and places[name] is None
    }
    if problems:
        return _form(given, known=known, problems=problems), 400
    try:
        put_pharmacy(_input(given, places), source=acting_person())
    except CourierError as error:
        return _form(given, known=known, problems=_problem_of(error)), 400
    log_action(acting_person(), "pharmacy_change" if known else "pharmacy_add", detail={"pharmacy": given["code"]})
    flash(f"{given['name']} is {'changed' if known else 'added'}.", "good")
    return redirect(url_for("pharmacies.every_pharmacy"), 303)


_NEEDED = ("code", "name", "phone", "address", "latitude", "longitude")


def _input(given: Mapping[str, str], places: Mapping[str, float | None]) -> PharmacyInput:
    return PharmacyInput(
        code=given["code"],
        name=given["name"],
        phone=given["phone"],
        place=Place(
            address=given["address"],
            latitude=places["latitude"] or 0.0,
            longitude=places["longitude"] or 0.0,
            city=given["city"],
        ),
        email=given["email"] or None,
    )


def _problem_of(error: CourierError) -> dict[str, str]:
    """The field at fault, as the form names it, with what is wrong; what names no field stands above all."""
    name = error.field.rpartition(".")[2].lower()
    if error.code == "INVALID_COORDINATES" and name not in ("latitude", "longitude"):
        name = "latitude"
    return {name if name in FIELDS else "": f"{error.message[:1].upper()}{error.message[1:].rstrip('.')}."}


def _given() -> dict[str, str]:
    return {name: line_given(name) for name in FIELDS}


def _degrees(text: str) -> float | None:
    try:
        found = float(text.replace(",", "."))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _row(code: str) -> Mapping[str, Any]:
    row = find_pharmacy(code)
    if row is None:
        abort(404)
    return row


def _form(
    given: Mapping[str, str], *, known: Mapping[str, Any] | None = None, problems: Mapping[str, str] | None = None
) -> str:
    return render_template("pharmacy.html", given=given, known=known, problems=problems or {})
