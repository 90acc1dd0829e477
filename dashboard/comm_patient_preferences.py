"""Changing how a patient is reached on their behalf: with a reason, and their words where they say yes to marketing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import REACH, needs
from dashboard.comm_patients import found_patient
from dashboard.comm_preference_fields import CHOICES, SWITCHES, problem_of, read, shown
from dashboard.comm_words import LEVELS, channel_words
from dashboard.context import acting_person, line_given, reason_given
from dashboard.masking import mask_name
from dashboard.outreach_asking import outreach_asker
from dashboard.patient_texts import LANGUAGES
from dispatchlog.engine import operator
from dispatchlog.engine.database import transaction
from dispatchlog.systems.outreach import preferences
from dispatchlog.systems.outreach.inputs import OutreachError, PreferenceChange
from dispatchlog.systems.outreach.preferences import Preferences, Said
from dispatchlog.systems.outreach.states import Channel

pages = Blueprint("comm_patient_preferences", __name__, url_prefix="/outreach/patients")

ADDRESSES = {Channel.EMAIL: "email_address", Channel.SMS: "sms_number", Channel.WHATSAPP: "whatsapp_number"}
_WORDING_VERSION = "staff-1"


@pages.get("/<uuid:patient_id>/preferences")
@needs(REACH)
def ask(patient_id: UUID) -> str:
    """The form, as the patient's choices stand."""
    known = _known(patient_id)
    return _form(patient_id, known, {**shown(_own(known)), **_marketing(known)})


@pages.post("/<uuid:patient_id>/preferences")
@needs(REACH)
def change(patient_id: UUID) -> Response | tuple[str, int]:
    """Store what differs, with the reason; an address is only changed where another is typed in."""
    known = _known(patient_id)
    wanted = read(request.form, _own(known))
    values = {**wanted.values, **_switched_marketing(known), **_new_addresses()}
    problems, reason, wording = dict(wanted.problems), reason_given(), line_given("wording", most=2_000)
    if not reason:
        problems["reason"] = "Say who asked for it and how: the reason is kept with your name."
    if any(values.get(f"marketing_opt_in_{channel}") for channel in Channel) and not wording:
        problems["wording"] = "Write down what the patient agreed to, in the words that were said."
    if not values and not problems:
        problems[""] = "Nothing was changed: everything stands as it was."
    if not problems:
        try:
            _store(patient_id, values, wording=wording, language=known.language.value, reason=reason)
        except OutreachError as error:
            problems = problem_of(error.field, error.message)
    if problems:
        return _form(patient_id, known, request.form.to_dict(), problems), 400
    flash("Saved. It counts for everything that has not left yet.", "good")
    return redirect(url_for("comm_patients.show", patient_id=patient_id), 303)


def _store(patient_id: UUID, values: Mapping[str, Any], *, wording: str, language: str, reason: str) -> None:
    version = _WORDING_VERSION if wording else ""
    with transaction(acting_person(), reason):
        wanted = PreferenceChange(values, "staff", wording=wording, wording_version=version, language=language)
        preferences.change(patient_id, wanted, asker=outreach_asker())
        detail = {"patient_id": str(patient_id), "fields": sorted(values)}
        operator.log_action(acting_person(), "change_patient_preferences", reason=reason, detail=detail)


def _known(patient_id: UUID) -> Preferences:
    try:
        return preferences.resolve(patient_id)
    except OutreachError:
        abort(404)


def _own(known: Preferences) -> dict[str, Any]:
    """What the patient chose, not what is inherited."""
    return {name: said.value for name in CHOICES if (said := _said(known, name)).source == "patient"}


def _said(known: Preferences, name: str) -> Said[Any]:
    if name in SWITCHES:
        return known.channels[Channel(name.removeprefix("allow_"))].enabled
    found: Said[Any] = getattr(known, name)
    return found


def _marketing(known: Preferences) -> dict[str, str]:
    return {
        f"marketing_opt_in_{key}": "on" if one.marketing_opt_in.value else "off" for key, one in known.channels.items()
    }


def _switched_marketing(known: Preferences) -> dict[str, bool]:
    now = _marketing(known)
    return {
        name: request.form[name] == "on"
        for name in now
        if request.form.get(name) in ("on", "off") and request.form[name] != now[name]
    }


def _new_addresses() -> dict[str, str]:
    return {name: text for name in ADDRESSES.values() if (text := line_given(name, most=320))}


def _form(
    patient_id: UUID, known: Preferences, given: Mapping[str, str], problems: Mapping[str, str] | None = None
) -> str:
    return render_template(
        "comm_patient_preferences.html",
        patient_id=patient_id,
        name=mask_name(found_patient(patient_id).name),
        known=known,
        inherited={name: _said(known, name) for name in CHOICES},
        given=given,
        problems=problems or {},
        levels=LEVELS,
        languages=LANGUAGES,
        channels=list(Channel),
        addresses=ADDRESSES,
        channel_words=channel_words,
    )
