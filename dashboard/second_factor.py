"""One's own second factor: setting it up, replacing it, and recovery codes. Shows and changes nobody else's.

A new secret waits in the session, sealed, until a code shows that the app has it; until then the earlier one is in force.
Whoever changes anything gives the password and a present code first. Only the first set-up, right after signing in where it
is mandatory, asks for neither.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from dashboard import qr, throttle
from dashboard.access import SIGNED_IN, needs
from dashboard.code_page import REFUSALS, TOO_MANY_CODES, code_account, note_recovery_code, note_refused
from dashboard.context import acting_person
from dashboard.presentation import upper_first
from dashboard.proxies import client_address
from dashboard.sessions import USER_KEY
from dashboard.sign_in import TOO_MANY
from dispatchlog import people
from dispatchlog import second_factor as factors
from dispatchlog.people import PersonError

pages = Blueprint("second_factor", __name__, url_prefix="/account/second-factor")

TOO_LATE = "That took too long, or it is done already. Nothing was changed."
TOO_LATE_FIRST = "That took too long, so this is another key. Scan it, then enter the code of it."
_PENDING = "second_factor_to_confirm"
_PENDING_SECONDS = 1200
_Answer = Response | str | tuple[str, int]


@pages.get("")
@needs(SIGNED_IN)
def show() -> str:
    """What to do next: show the password and a code, or scan the new secret."""
    return _set_up_page() if _pending() or _is_first() else _prove_page()


@pages.post("/prove")
@needs(SIGNED_IN)
def prove() -> _Answer:
    """With the password, and a code where there is a second factor: begin a new one, make recovery codes, or remove it."""
    found = factors.find(current_user.id)
    refusal = _refusal(with_code=found is not None)
    if refusal is not None:
        return refusal
    wanted = request.form.get("what", "")
    if wanted == "codes" and found is not None:
        codes = factors.renew_recovery_codes(acting_person())
        return _codes_page(codes, set_up=False)
    if wanted == "remove" and found is not None and not current_user.must_have_second_factor:
        session[USER_KEY] = factors.remove(acting_person())
        flash("You sign in with your password alone from now on. All your other sessions have ended.", "good")
        return redirect(url_for("account.show"), 303)
    _begin()
    return redirect(url_for("second_factor.show"), 303)


@pages.post("")
@needs(SIGNED_IN)
def confirm() -> _Answer:
    """With a code of the new secret: it is the second factor from now on. The recovery codes are shown this once."""
    secret = _pending()
    if secret is None:
        return (_set_up_page(TOO_LATE_FIRST) if _is_first() else _prove_page(TOO_LATE)), 409
    try:
        name, codes = factors.set_up(acting_person(), secret=secret, code=request.form.get("code", ""))
    except PersonError as error:
        return _set_up_page(f"{upper_first(error.message)}."), 400
    session.pop(_PENDING)
    session[USER_KEY] = name
    return _codes_page(codes, set_up=True)


@pages.post("/abandon")
@needs(SIGNED_IN)
def abandon() -> Response:
    """Leave everything as it is."""
    session.pop(_PENDING, None)
    return redirect(url_for("account.show"), 303)


def _is_first() -> bool:
    """Whether this is the set-up that has to come before everything else."""
    return bool(current_user.must_set_up_second_factor)


def _begin() -> str:
    secret = factors.new_secret()
    sealed = factors.seal(secret, user_id=current_user.id)
    session[_PENDING] = {"sealed": b64encode(sealed).decode(), "at": int(time.time())}
    return secret


def _pending() -> str | None:
    """The secret that waits for its first code; None where none does, or for too long."""
    note = session.get(_PENDING)
    if not note or time.time() - note["at"] > _PENDING_SECONDS:
        return None
    try:
        return factors.unseal(b64decode(note["sealed"]), user_id=current_user.id)
    except PersonError:
        return None


def _refusal(*, with_code: bool) -> _Answer | None:
    """What to answer where the password or the code is not right; None where both are. Counted like failed sign-ins."""
    email, address = acting_person(), client_address()
    account = throttle.account_hash(email)
    if throttle.is_throttled(account, address):
        return _prove_page(TOO_MANY), 429
    if with_code and throttle.is_code_throttled(code_account(email), address):
        return _prove_page(TOO_MANY_CODES), 429
    try:
        people.check_own_password(email, request.form.get("password", ""))
    except PersonError as error:
        throttle.note_failure(account, address)
        return _prove_page(f"{upper_first(error.message)}.", field="password"), 400
    return _code_refusal(email) if with_code else None


def _code_refusal(email: str) -> _Answer | None:
    try:
        answer = factors.accept(current_user.id, request.form.get("code", ""))
    except PersonError as error:
        return _prove_page(f"{upper_first(error.message)}.", field="code"), 409
    if not answer.is_right:
        note_refused(email, code_account(email))
        return _prove_page(REFUSALS[answer], field="code"), 400
    if answer is factors.Answer.RECOVERY_CODE:
        note_recovery_code(current_user)
    return None


def _prove_page(problem: str = "", *, field: str = "") -> str:
    return render_template(
        "second_factor.html",
        found=factors.find(current_user.id),
        mandatory=current_user.must_have_second_factor,
        problem=problem,
        field=field,
    )


def _set_up_page(problem: str = "") -> str:
    secret = _pending() or _begin()
    return render_template(
        "second_factor_set_up.html",
        code=qr.draw(factors.address_of(secret, email=acting_person())),
        typed=" ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
        first=_is_first(),
        replaces=factors.is_set_up(current_user.id),
        problem=problem,
        next=request.values.get("next", ""),
    )


def _codes_page(codes: list[str], *, set_up: bool) -> str:
    target = request.form.get("next") or url_for("account.show")
    return render_template("recovery_codes.html", codes=codes, set_up=set_up, next=target)
