"""Patients as messages know them: finding one, and one story of how they are reached, what was sent, what they answered and
who looked. What is changed here is changed by the outreach system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from dashboard.access import OUTREACH, REACH, REVEAL, may, needs
from dashboard.comm_patient_queries import (
    appointments_of,
    beginning_with,
    lines_of,
    looked_lately,
    newest_patients,
    planned,
    read_place,
    texts_of,
)
from dashboard.comm_story import masked_text, tell, who
from dashboard.comm_words import APPOINTMENTS, LEVELS, SOURCES, channel_words, clock, clock_there
from dashboard.content import mask_patients_links
from dashboard.context import acting_person, back_or, line_given, reason_given
from dashboard.dispatch_list import remember_search
from dashboard.dispatch_page import content_is_revealed, reveal_content
from dashboard.filters import parse_position
from dashboard.masking import mask_name
from dashboard.outreach_asking import outreach_asker
from dashboard.queries import Page
from dashboard.sessions import BACKGROUND_HEADER
from dispatchlog.engine import operator
from dispatchlog.engine.database import transaction
from dispatchlog.systems.outreach import audit, consents, patients, portal, preferences, scheduling
from dispatchlog.systems.outreach.contacts import open_text
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.patients import PatientRecord
from dispatchlog.systems.outreach.states import AuditAction, Channel

pages = Blueprint("comm_patients", __name__, url_prefix="/outreach/patients")

MOST_FOUND = 50
# Whoever keeps a patient's page open, or comes back to it, is written down once in so many minutes.
LOOKED_MINUTES = 5
MOST_EVIDENCE = 12
# The parts of a patient's story, and which lines are in each.
FILTERS = MappingProxyType(
    {
        "": ("Everything", ("messages", "answers", "consent", "requests", "people")),
        "messages": ("Messages", ("messages",)),
        "answers": ("Answers", ("answers", "requests")),
        "consent": ("Yes and no", ("consent",)),
        "people": ("Who looked and changed", ("people",)),
    }
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list; the name is masked."""

    id: UUID
    name: str
    organization: str
    provider: str
    active: bool
    created_at: datetime | None = None


@pages.get("")
@needs(OUTREACH)
def every_patient() -> str:
    """Those who were searched for, else the newest."""
    found = request.args.get("found", "")
    text = session.get("searches", {}).get(found, "") if found else ""
    problems = ["That search has ended with its session; search again."] if found and not text else []
    page = Page([], None, None) if text else newest_patients(parse_position(request.args.get("at", ""), problems))
    shown = _found(text) if text else [_listed(row) for row in page.rows]
    return render_template(
        "comm_patients.html", shown=shown, page=page, text=text, problems=problems, most_found=MOST_FOUND
    )


@pages.post("/search")
@needs(OUTREACH)
def search() -> Response:
    """To whom the form asks for. What was typed may name a patient, so it goes into the session, not into an address."""
    text = line_given("q", most=200)
    try:
        return redirect(url_for("comm_patients.show", patient_id=UUID(text)), 303)
    except ValueError:
        found = remember_search(text) if text else None
    return redirect(url_for("comm_patients.every_patient", found=found), 303)


@pages.get("/<uuid:patient_id>")
@needs(OUTREACH)
def show(patient_id: UUID) -> str:
    """The patient's story. Name, addresses and texts are masked, but for a minute after whoever looks said why."""
    record = found_patient(patient_id)
    known = preferences.resolve(patient_id)
    revealed = content_is_revealed(patient_id)
    if BACKGROUND_HEADER not in request.headers:
        _keep_looking(patient_id)
    chosen = request.args.get("show", "")
    chosen = chosen if chosen in FILTERS else ""
    after = read_place(request.args.get("after", ""))
    rows, following = lines_of(patient_id, FILTERS[chosen][1], after=after)
    waiting = planned(patient_id)
    ids = [row["id"] for row in (*rows, *waiting) if row.get("purpose")]
    texts = {
        row["id"]: mask_patients_links(row["body"]) if revealed else masked_text(row, record.name)
        for row in texts_of(ids)
    }
    now = datetime.now(UTC)
    return render_template(
        "comm_patient.html",
        patient=record,
        name=record.name if revealed else mask_name(record.name),
        known=known,
        revealed=revealed,
        planned=tell([{**row, "kind": "messages", "at": row["due_at"]} for row in waiting], texts),
        lines=tell(rows, texts),
        following=following,
        after=after,
        chosen=chosen,
        filters=FILTERS,
        appointments=appointments_of(patient_id),
        appointment_words=APPOINTMENTS,
        evidence=list(consents.evidence_of(patient_id))[:MOST_EVIDENCE],
        levels=LEVELS,
        sources=SOURCES,
        who=who,
        beginning_with=beginning_with,
        channel_words=channel_words,
        clock=clock,
        clock_there=clock_there(known.timezone.value, now),
        now=now,
        here=url_for("comm_patients.show", patient_id=patient_id),
        list_address=back_or(url_for("comm_patients.every_patient")),
    )


@pages.post("/<uuid:patient_id>/reveal")
@needs(REVEAL)
def reveal(patient_id: UUID) -> Response:
    """Show name, addresses and texts for a minute; that it was looked at, and why, is kept."""
    if not may(OUTREACH):
        abort(403)
    found_patient(patient_id)
    if reason := reason_given():
        with transaction(acting_person(), reason):
            details = {"patient_id": str(patient_id)}
            operator.log_action(acting_person(), "reveal_patient", reason=reason, detail=details)
            audit.note(AuditAction.ACCESS, patient_id, outreach_asker(), {"what": "page", "in_clear": True})
        reveal_content(patient_id)
    else:
        flash("Say why you need to see it: the reason is kept with your name.", "bad")
    return _back(patient_id)


@pages.post("/<uuid:patient_id>/stop")
@needs(REACH)
def record_stop(patient_id: UUID) -> Response:
    """The patient said to somebody that nothing more is wanted by a channel."""
    known = _preferences(patient_id)
    channel = _channel(request.form.get("channel", ""))
    reason = reason_given()
    address = known.channels[channel].address.value if channel else None
    if channel is None or address is None:
        return _refused(patient_id, "Choose by which channel nothing more is wanted.")
    if not reason:
        return _refused(patient_id, "Say how the patient said it: that is the evidence.")
    with transaction(acting_person(), reason):
        stopped = consents.stop(
            channel,
            address,
            source="staff",
            asker=outreach_asker(),
            patient_id=patient_id,
            evidence={"reason": reason},
        )
    if stopped:
        flash(f"Recorded. Nothing more is sent by {channel_words(channel)}; what waited is cancelled.", "good")
    else:
        flash(f"Nothing changed: {channel_words(channel)} was stopped already.", "warn")
    return _back(patient_id)


@pages.post("/<uuid:patient_id>/messages/<uuid:job_id>/cancel")
@needs(REACH)
def cancel(patient_id: UUID, job_id: UUID) -> Response:
    """Never send a message that waits."""
    if not (reason := reason_given()):
        return _refused(patient_id, "Say why it is cancelled: the reason stays with the message.")
    if job_id not in {row["id"] for row in planned(patient_id)}:
        return _refused(patient_id, "Nothing changed: it does not wait any more.")
    if scheduling.cancel(job_id, asker=outreach_asker(), reason=reason):
        flash("Cancelled. It will not be sent.", "good")
    else:
        flash("Nothing changed: it is on its way, or over.", "warn")
    return _back(patient_id)


@pages.post("/<uuid:patient_id>/links/end")
@needs(REACH)
def end_links(patient_id: UUID) -> Response:
    """Links that went to the wrong person open nothing any more."""
    found_patient(patient_id)
    if not (reason := reason_given()):
        return _refused(patient_id, "Say why the links end: the reason is kept with your name.")
    with transaction(acting_person(), reason):
        ended = portal.revoke_links(patient_id)
        details = {"patient_id": str(patient_id), "ended": ended}
        operator.log_action(acting_person(), "end_patient_links", reason=reason, detail=details)
        audit.note(AuditAction.PREFERENCE_CHANGE, patient_id, outreach_asker(), {"links_ended": ended})
    flash(f"{ended} {'link opens' if ended == 1 else 'links open'} nothing any more.", "good" if ended else "warn")
    return _back(patient_id)


def found_patient(patient_id: UUID) -> PatientRecord:
    """The patient; 404 where there is none."""
    try:
        return patients.patient(patient_id)
    except OutreachError:
        abort(404)


def _preferences(patient_id: UUID) -> preferences.Preferences:
    try:
        return preferences.resolve(patient_id)
    except OutreachError:
        abort(404)


def _keep_looking(patient_id: UUID) -> None:
    if not looked_lately(patient_id, current_user.id, minutes=LOOKED_MINUTES):
        with transaction(acting_person(), "looked at a patient"):
            audit.note(AuditAction.ACCESS, patient_id, outreach_asker(), {"what": "page"})


def _found(text: str) -> list[Listed]:
    return [
        Listed(one.id, mask_name(one.name), one.organization_name, one.provider_name, one.active)
        for one in patients.find_patients(text, limit=MOST_FOUND)
    ]


def _listed(row: Any) -> Listed:
    return Listed(
        row["id"],
        mask_name(open_text(row["name_sealed"], row["id"]) or ""),
        row["organization_name"] or "",
        row["provider_name"] or "",
        row["active"],
        row["sort_at"],
    )


def _channel(name: str) -> Channel | None:
    return Channel(name) if name in {*Channel} else None


def _refused(patient_id: UUID, sentence: str) -> Response:
    flash(sentence, "bad")
    return _back(patient_id)


def _back(patient_id: UUID) -> Response:
    return redirect(url_for("comm_patients.show", patient_id=patient_id), 303)
