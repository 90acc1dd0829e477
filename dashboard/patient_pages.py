"""Pages that patients open by a link, without signing in: a message, their choices, and stopping with one click (RFC 8058).

Nobody's session is read for them and no cookie is set; opening one changes nothing, for scanners of mail open links too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import PUBLIC, needs
from dashboard.outreach_asking import PATIENT, patient_asker
from dashboard.patient_choices import CameTo, Clinic, InvalidTime, Words, may_start, save
from dashboard.patient_page_queries import address_of_job, reached_by
from dashboard.patient_texts import LANGUAGES, RIGHT_TO_LEFT, known_language
from dashboard.proxies import client_address
from dashboard.throttle import WINDOW_MINUTES, are_links_throttled, note_unknown_link
from dispatchlog.engine.database import transaction
from dispatchlog.systems.outreach import consents, patients, portal, preferences
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.portal import PortalLink
from dispatchlog.systems.outreach.states import Channel

pages = Blueprint("patient", __name__, url_prefix="/p")

MESSAGE, PREFERENCES = "message", "preferences"
# A form's only way is back to us; there is nothing to run.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# RFC 8058, section 3.1: the mail program sends this pair, and by it alone is a click told from a scanner's visit.
_ONE_CLICK = ("List-Unsubscribe", "One-Click")


@pages.after_request
def _keep_private(response: Response) -> Response:
    """The address is a key: it is told to no other site, kept in no cache and found by no search."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return response


@pages.get("/<token>")
@needs(PUBLIC)
def show_message(token: str) -> Response:
    """The text that may not stand in an SMS."""
    link = _opened(token, MESSAGE)
    if isinstance(link, Response):
        return link
    words, clinic, known = _whose(link)
    until = _clock(link.expires_at, known.timezone.value)
    return _page("patient_message.html", words, clinic, text=link.text, until=until)


@pages.get("/prefs/<token>")
@needs(PUBLIC)
def show_preferences(token: str) -> Response:
    """The patient's choices, to be changed."""
    link = _opened_choices(token)
    return link if isinstance(link, Response) else _choices(token, link, said=request.args.get("saved", ""))


@pages.post("/prefs/<token>")
@needs(PUBLIC)
def save_preferences(token: str) -> Response:
    """Store them, and show them again."""
    link = _opened_choices(token)
    if isinstance(link, Response):
        return link
    words, _, known = _whose(link)
    try:
        changed = save(link.patient_id, request.form, known, words, asker=patient_asker(), came_to=_came_to(link))
    except InvalidTime:
        return _choices(token, link, fault="invalid_time")
    except OutreachError:
        return _choices(token, link, fault="refused")
    return redirect(url_for("patient.show_preferences", token=token, saved="1" if changed else "0"), 303)


@pages.get("/prefs/<token>/one-click")
@needs(PUBLIC)
def ask_to_stop(token: str) -> Response:
    """What stopping means, with a button: whoever opens the link in a browser has not clicked it in a mail program."""
    link = _opened(token, PREFERENCES)
    if isinstance(link, Response):
        return link
    words, clinic, _ = _whose(link)
    if link.channel is None:
        return _gone()
    return _page("patient_stop.html", words, clinic, token=token, link=link, done=False)


@pages.post("/prefs/<token>/one-click")
@needs(PUBLIC)
def stop_with_one_click(token: str) -> Response:
    """Stop what the link is of: marketing by its channel, or all of it. The same again changes nothing more."""
    if request.form.get(_ONE_CLICK[0]) != _ONE_CLICK[1]:
        return _refused()
    link = _found(token, PREFERENCES)
    if isinstance(link, Response):
        return link
    if link.channel is None:
        return _gone()
    _stop(link, link.channel)
    words, clinic, _ = _whose(link)
    return _page("patient_stop.html", words, clinic, token=token, link=link, done=True)


def _stop(link: PortalLink, channel: Channel) -> None:
    asker = patient_asker()
    evidence = {"link": str(link.id), "job": str(link.job_id) if link.job_id else None}
    with transaction(PATIENT, "unsubscribed"):
        known = preferences.resolve(link.patient_id).channels[channel]
        if link.marketing:
            if known.marketing_opt_in.value:
                consents.note_marketing(
                    link.patient_id, channel, given=False, source="unsubscribe", asker=asker, evidence=evidence
                )
            return
        # What is stopped is the address that got the mail; a new one of the patient's is not for its owner to stop.
        if address := address_of_job(link.job_id, channel) or known.address.value:
            consents.stop(
                channel,
                address,
                source="unsubscribe",
                asker=asker,
                patient_id=link.patient_id,
                evidence=evidence,
            )


def _opened(token: str, kind: str) -> PortalLink | Response:
    """What the link opens, or what is said instead, also where this network has asked for too many."""
    return _wait() if are_links_throttled(client_address()) else _found(token, kind)


def _opened_choices(token: str) -> PortalLink | Response:
    """The link, where it came to an address that is the patient's still: an old one may be somebody else's by now."""
    link = _opened(token, PREFERENCES)
    if isinstance(link, Response) or link.job_id is None:
        return link
    reached = reached_by(link.job_id)
    return link if reached is not None and reached.theirs else _gone(410)


def _came_to(link: PortalLink) -> CameTo | None:
    reached = reached_by(link.job_id) if link.job_id else None
    return (reached.channel, reached.address_hash) if reached else None


def _found(token: str, kind: str) -> PortalLink | Response:
    """The same for whoever wants to stop messages, whom nobody keeps waiting."""
    try:
        link = portal.open_link(token, kind=kind, asker=patient_asker())
        g.read_subject = str(link.patient_id)
        return link
    except OutreachError as error:
        if error.code != "LINK_UNKNOWN":
            return _gone(410)
        note_unknown_link(client_address())
        return _gone()


def _whose(link: PortalLink) -> tuple[Words, Clinic, preferences.Preferences]:
    known = preferences.resolve(link.patient_id)
    record = patients.patient(link.patient_id)
    clinic = Clinic(record.organization_name, record.organization_phone)
    return Words(known_language(known.language.value), clinic.name), clinic, known


def _choices(token: str, link: PortalLink, *, said: str = "", fault: str = "") -> Response:
    words, clinic, known = _whose(link)
    days = {
        channel: _clock(one.stopped_at, known.timezone.value)[:10]
        for channel, one in known.channels.items()
        if one.stopped_at is not None
    }
    came_to = _came_to(link)
    response = _page(
        "patient_preferences.html",
        words,
        clinic,
        token=token,
        known=known,
        days=days,
        may_start={channel: may_start(channel, one, came_to) for channel, one in known.channels.items()},
        languages=LANGUAGES,
        said={"1": "saved", "0": "unchanged"}.get(said, ""),
        fault=fault,
        given=request.form if fault else {},
    )
    response.status_code = 400 if fault else 200
    return response


def _clock(at: datetime, zone: str) -> str:
    """The same in every language and country: year, month and day."""
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d, %H:%M")


def _gone(status: int = 404) -> Response:
    """One page for whatever does not open: it says no more than that."""
    return _notice("gone", status)


def _wait() -> Response:
    response = _notice("wait", 429)
    response.headers["Retry-After"] = str(WINDOW_MINUTES * 60)
    return response


def _refused() -> Response:
    return _notice("refused", 400)


def _notice(key: str, status: int) -> Response:
    """Nobody knows who asks, so the browser's language is taken."""
    accepted = request.accept_languages.best_match(list(LANGUAGES), default="en") or "en"
    response = _page("patient_notice.html", Words(accepted, ""), Clinic("", ""), key=key)
    response.status_code = status
    return response


def _page(template: str, words: Words, clinic: Clinic, **values: Any) -> Response:
    direction = "rtl" if words.language in RIGHT_TO_LEFT else "ltr"
    return make_response(render_template(template, words=words, clinic=clinic, direction=direction, **values))
