"""One's own account: password, second factor and sessions. Shows and changes nobody else's.

Whoever still has the password that was made for them sees nothing of the dashboard but the form to choose an own one.
"""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from flask_security.utils import logout_user
from werkzeug.wrappers import Response

from dashboard import preferences, throttle
from dashboard.access import SIGNED_IN, needs
from dashboard.context import acting_person
from dashboard.presentation import upper_first
from dashboard.proxies import client_address
from dashboard.sessions import USER_KEY, open_sessions, session_hash
from dashboard.sign_in import TOO_MANY
from dispatchlog import people, second_factor
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.passwords import LEAST_CHARACTERS, MOST_CHARACTERS

pages = Blueprint("account", __name__)

NOT_THE_SAME = "The two new passwords are not the same."
# The first that a browser's own description holds; all of them claim to be several others too.
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Macintosh", "Linux")


@pages.get("/account")
@needs(SIGNED_IN)
def show() -> str:
    """The account; or only the form, while an own password is still to be chosen."""
    return _page()


@pages.post("/account")
@needs(SIGNED_IN)
def choose_password() -> Response | tuple[str, int]:
    """Another password. Every session ends, and this browser goes on with a new one."""
    account = throttle.account_hash(acting_person())
    address = client_address()
    if throttle.is_throttled(account, address):
        return _page(TOO_MANY), 429
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        return _page(NOT_THE_SAME, field="again"), 400
    try:
        name = people.choose_password(acting_person(), current=request.form.get("current", ""), new=new)
    except DispatchlogError as error:
        wrong = error.code == "WRONG_PASSWORD"
        if wrong:
            throttle.note_failure(account, address)
        return _page(f"{upper_first(error.message)}.", field="current" if wrong else "new"), 400
    throttle.forgive(account, address)
    session[USER_KEY] = name
    flash("Your new password is in force. All your other sessions have ended.", "good")
    # nosemgrep: redirect-to-what-the-request-says  (sign_in refuses another site for `next` before any page)
    return redirect(request.form.get("next") or url_for("account.show"), 303)


@pages.post("/account/sign-out-everywhere")
@needs(SIGNED_IN)
def sign_out_everywhere() -> Response:
    """End every session of this person, this one too."""
    people.sign_out_everywhere(acting_person())
    logout_user()
    return redirect(url_for("security.login"), 303)


@pages.post("/account/end-session")
@needs(SIGNED_IN)
def end_session() -> Response:
    """End one of this person's sessions."""
    ended = people.end_session(current_user.id, session_hash(request.form.get("session", "")), actor=acting_person())
    flash("That session has ended." if ended else "That session had ended already.", "good" if ended else "warn")
    return redirect(url_for("account.show"), 303)


def _page(problem: str = "", *, field: str = "") -> str:
    own = not current_user.must_choose_password
    return render_template(
        "account.html" if own else "choose_password.html",
        problem=problem,
        field=field,
        least=LEAST_CHARACTERS,
        most=MOST_CHARACTERS,
        next="" if own else request.values.get("next", "/"),
        sessions=open_sessions(current_user.id) if own else [],
        second_factor=second_factor.find(current_user.id) if own else None,
        mandatory=current_user.must_have_second_factor,
        browser=browser,
        themes=preferences.THEMES,
        zone_name=str(preferences.zone()),
        zone_names=preferences.zone_names(),
    )


def browser(user_agent: str) -> str:
    """`Firefox on Windows`, as far as the browser says so."""
    name = next((name for mark, name in _BROWSERS if mark in user_agent), "Another browser")
    system = next((system for system in _SYSTEMS if system in user_agent), "")
    return f"{name} on {system}" if system else name
