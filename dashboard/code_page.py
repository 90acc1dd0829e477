"""The second step of signing in: a code from the authenticator app, or a recovery code. Shows nothing of the dashboard."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_security.utils import login_user
from werkzeug.wrappers import Response

from dashboard import code_step, throttle
from dashboard.access import PUBLIC, needs
from dashboard.proxies import client_address
from dashboard.sign_in import StaffUser
from dispatchlog import second_factor
from dispatchlog.engine.operator import log_action
from dispatchlog.people import PersonError
from dispatchlog.second_factor import Answer

pages = Blueprint("code", __name__)

REFUSALS = {
    Answer.WRONG: "That code is not right. Take the one that the app shows now.",
    Answer.USED: "That code was used already. Wait until the app shows another one.",
}
TOO_MANY_CODES = (
    "Too many wrong codes for this account. Wait 15 minutes, then try again. If it was not you, somebody knows your"
    " password: tell an administrator."
)


@pages.get("/sign-in/code")
@needs(PUBLIC)
def ask() -> Response | str:
    """The form, for whoever has just given the right password."""
    return _page() if _who() is not None else _start_again()


@pages.post("/sign-in/code")
@needs(PUBLIC)
def check() -> Response | tuple[str, int]:
    """Signed in with the right code; the session gets a new id."""
    person = _who()
    if person is None:
        return _start_again()
    account = code_account(person.email)
    if throttle.is_code_throttled(account, client_address()):
        return _page(TOO_MANY_CODES), 429
    try:
        answer = second_factor.accept(person.id, request.form.get("code", ""))
    except PersonError as error:
        return _page(f"{error.message[:1].upper()}{error.message[1:]}."), 409
    if not answer.is_right:
        note_refused(person.email, account)
        return _page(REFUSALS[answer]), 400
    throttle.forgive(account, client_address())
    code_step.forget()
    login_user(person, authn_via=["password", answer.value])
    if answer is Answer.RECOVERY_CODE:
        note_recovery_code(person)
    # nosemgrep: redirect-to-what-the-request-says  (sign_in refuses another site for `next` before any page)
    return redirect(request.form.get("next") or "/", 303)


def code_account(email: str) -> bytes:
    """What stands for an account in the count of wrong codes, which is apart from that of wrong passwords."""
    return throttle.account_hash(f"code of {email}")


def note_refused(email: str, account: bytes) -> None:
    """Count a wrong code, and keep it: whoever enters it knows the password."""
    throttle.note_failure(account, client_address())
    log_action(email, "code_refused", detail={"address": client_address()})


def note_recovery_code(person: StaffUser) -> None:
    """Keep that a recovery code was used, and say how many are left."""
    log_action(person.email, "use_recovery_code", detail={"address": client_address()})
    found = second_factor.find(person.id)
    left = found.recovery_codes_left if found else 0
    flash(
        f"That recovery code is used up; {left} {'is' if left == 1 else 'are'} left. Make new ones on your account.",
        "warn",
    )


def _who() -> StaffUser | None:
    name = code_step.who_owes_code()
    return StaffUser.get_or_none(StaffUser.fs_uniquifier == name, StaffUser.active) if name else None


def _start_again() -> Response:
    """Nobody owes a code here, or not any more: it took too long, or the account changed meanwhile."""
    code_step.forget()
    return redirect(url_for("security.login", next=request.values.get("next") or None), 303)


def _page(problem: str = "") -> str:
    return render_template("code.html", problem=problem, next=request.values.get("next", ""))
