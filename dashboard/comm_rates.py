"""What a message costs and what a kept appointment is worth, as a form. The system keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import CAMPAIGNS, OUTREACH, may, needs
from dashboard.comm_preference_queries import owner, owners
from dashboard.outreach_asking import outreach_asker
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.stats.outcomes import Rates, rates, set_rates

pages = Blueprint("comm_rates", __name__, url_prefix="/outreach/analytics/rates")

AMOUNTS = MappingProxyType(
    {
        "visit_value": "Value of a kept appointment",
        "email_cost": "Cost of an e-mail",
        "sms_cost": "Cost of an SMS",
        "whatsapp_cost": "Cost of a WhatsApp message",
    }
)
FIELDS = ("currency", *AMOUNTS, "baseline_no_show")
_NUMBER = "Write a number such as 0.05."


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """The form for everybody or for one clinic."""
    clinic = _clinic()
    return _page(clinic, _texts(_own(clinic)))


@pages.post("")
@needs(CAMPAIGNS)
def change() -> Response | tuple[str, int]:
    """Store them."""
    clinic = _clinic()
    given = {name: request.form.get(name, "").strip()[:40] for name in (*FIELDS, "version")}
    amounts, problems = _read(given)
    if not problems:
        try:
            set_rates(
                Rates(
                    organization_id=clinic["id"] if clinic else None,
                    currency=given["currency"].upper(),
                    version=int(given["version"] or 0),
                    **amounts,
                ),
                asker=outreach_asker(),
            )
        except OutreachError as error:
            problems = {
                error.field if error.field in FIELDS else "": f"{error.message[:1].upper()}{error.message[1:]}."
            }
            if error.code == "VERSION_CONFLICT":
                problems[""] = "Somebody else has saved these meanwhile. Look at theirs, then write yours again."
                given = _texts(_own(clinic))
    if problems:
        return _page(clinic, given, problems), 400
    flash("Saved. The analytics count with these from now on.", "good")
    return redirect(_address(clinic), 303)


def _read(given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The amounts, and what is none; the share is written in per cent, and may be left open."""
    amounts: dict[str, Any] = {}
    problems: dict[str, str] = {}
    if not (given["version"] or "0").isdecimal():
        abort(400)
    for name in (*AMOUNTS, "baseline_no_show"):
        text = given[name].replace(",", ".")
        try:
            amounts[name] = Decimal(text) if text or name != "baseline_no_show" else None
        except InvalidOperation:
            problems[name] = _NUMBER
    share = amounts.get("baseline_no_show")
    if share is not None:
        if share.is_finite() and 0 <= share <= 100:
            amounts["baseline_no_show"] = share / 100
        else:
            problems["baseline_no_show"] = "A number from 0 to 100."
    return amounts, problems


def _texts(found: Rates | None) -> dict[str, str]:
    """As the form shows them."""
    if found is None:
        return {**dict.fromkeys(FIELDS, ""), "version": "0"}
    share = found.baseline_no_show
    return {
        "currency": found.currency,
        **{name: f"{getattr(found, name).normalize():f}" for name in AMOUNTS},
        "baseline_no_show": f"{(share * 100).normalize():f}" if share is not None else "",
        "version": str(found.version),
    }


def _own(clinic: Row | None) -> Rates | None:
    """What is said at this very level."""
    organization_id: UUID | None = clinic["id"] if clinic else None
    found = rates(organization_id)
    return found if found and found.organization_id == organization_id else None


def _clinic() -> Row | None:
    text = request.values.get("clinic", "")
    if not text:
        return None
    try:
        found = owner("organization", UUID(text))
    except ValueError:
        found = None
    if found is None:
        abort(404)
    return found


def _address(clinic: Row | None) -> str:
    return url_for("comm_rates.show", clinic=clinic["id"] if clinic else None)


def _page(clinic: Row | None, given: Mapping[str, str], problems: Mapping[str, str] | None = None) -> str:
    return render_template(
        "comm_rates.html",
        clinic=clinic,
        clinics=owners("organization"),
        given=given,
        problems=problems or {},
        amounts=AMOUNTS,
        everybodys=_texts(rates(None)) if clinic and rates(None) else None,
        may_change=may(CAMPAIGNS),
    )
