"""Signing in and out with Flask-Security over the staff tables. Owns its configuration, the form and the staff models.

No registration, no recovery mails, no remember-me cookie: administrators make accounts. The second factor is a step of our
own (`code_step`), for which Flask-Security asks once the password was right.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, abort, current_app, redirect, request, url_for
from flask_security import LoginForm, MailUtil, PeeweeUserDatastore, RoleMixin, Security, UserMixin
from flask_security.signals import user_authenticated
from werkzeug.wrappers import Response

from dashboard import code_step, throttle
from dashboard.proxies import client_address
from dispatchlog import second_factor
from dispatchlog.engine.database import database
from dispatchlog.engine.operator import log_action
from dispatchlog.people import PersonError, hashing_costs, normal_email
from dispatchlog.settings import Settings
from models import Role, User, UserRoles

PATIENT = "patient"
REFUSED = "That address and password do not match an account."
TOO_MANY = "Too many failed tries from your network address. Wait 15 minutes, then try again."


class StaffRole(RoleMixin, Role):  # type: ignore[misc]  # its mixin annotates what Peewee describes by fields
    """A role as Flask-Security wants it."""

    class Meta:
        table_name = "staff_roles"


class StaffUser(UserMixin, User):
    """A member of staff as Flask-Security wants it; roles are read once per request, so a change counts at once."""

    class Meta:
        table_name = "staff_users"

    @property
    def roles(self) -> list[StaffRole]:  # type: ignore[override]  # only read; roles are changed by `people`
        known: list[StaffRole] | None = self.__dict__.get("_roles")
        if known is None:
            known = list(
                StaffRole.select().join(UserRoles, on=UserRoles.role == StaffRole.id).where(UserRoles.user == self.id)
            )
            self.__dict__["_roles"] = known
        return known

    @property
    def must_choose_password(self) -> bool:
        """Whether nothing but choosing an own password is open to them."""
        return self.password_chosen_at is None

    @property
    def must_have_second_factor(self) -> bool:
        """Whether they may not be without one."""
        return must_have_second_factor([role.name for role in self.roles])

    @property
    def must_set_up_second_factor(self) -> bool:
        """Whether nothing but setting up a second factor is open to them."""
        if not self.must_have_second_factor:
            return False
        known: bool | None = self.__dict__.get("_has_second_factor")
        if known is None:
            known = self.__dict__["_has_second_factor"] = second_factor.is_set_up(self.id)
        return not known


class StaffMail(MailUtil):
    """Addresses as `dispatchlog.people` normalises them (development domains pass). It never sends a mail."""

    def normalize(self, email: str) -> str:
        try:
            return normal_email(email)
        except PersonError as error:
            raise ValueError(error.message) from error


class StaffLoginForm(LoginForm):
    """The sign-in form: throttled, the same answer for every refusal, and no remember-me."""

    remember = None

    def validate(self, **kwargs: Any) -> bool:
        account = throttle.account_hash(self.email.data or "")
        address = client_address()
        if throttle.is_throttled(account, address):
            self.form_errors = [TOO_MANY]
            return False
        if super().validate(**kwargs):
            throttle.forgive(account, address)
            return True
        throttle.note_failure(account, address)
        # One sentence whatever was wrong: unknown, wrong, closed or malformed.
        for field in self:
            field.errors = []
        self.form_errors = [REFUSED]
        return False


def configure_sign_in(app: Flask, settings: Settings) -> None:
    """Put Flask-Security into the application."""
    secret, *old = settings.secret_keys
    app.config.update(
        SECRET_KEY=secret,
        SECRET_KEY_FALLBACKS=old,
        # The oldest first: forms are signed with the last, and those signed with any of them are taken.
        WTF_CSRF_SECRET_KEY=[*reversed(old), secret],
        SECURITY_PASSWORD_SALT=secret,
        SECURITY_PASSWORD_HASH="argon2",  # noqa: S106  the name of a scheme
        SECURITY_PASSWORD_SCHEMES=["argon2"],
        SECURITY_PASSWORD_SINGLE_HASH=["argon2"],
        SECURITY_PASSWORD_HASH_PASSLIB_OPTIONS=hashing_costs(),
        SECURITY_PASSWORD_LENGTH_MIN=12,
        SECURITY_LOGIN_URL="/sign-in",
        SECURITY_LOGOUT_URL="/sign-out",
        SECURITY_FRESHNESS=timedelta(minutes=-1),  # no page to enter the password again: whatever needs it asks for it
        SECURITY_POST_LOGIN_VIEW="/",
        SECURITY_POST_LOGOUT_VIEW="/sign-in",
        SECURITY_LOGOUT_METHODS=["POST"],
        SECURITY_LOGIN_USER_TEMPLATE="sign_in.html",
        SECURITY_FLASH_MESSAGES=False,
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SECURITY_API_ENABLED_METHODS=["session"],
        SECURITY_STATIC_FOLDER_URL="/static/security",
        SECURITY_USER_IDENTITY_ATTRIBUTES=[{"email": {"mapper": _identity, "case_insensitive": True}}],
        WTF_CSRF_TIME_LIMIT=None,  # the token lives as long as its session
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    store = PeeweeUserDatastore(database, StaffUser, StaffRole, UserRoles)  # type: ignore[no-untyped-call]
    security = Security(app, store, login_form=StaffLoginForm, mail_util_cls=StaffMail)
    security.want_json(_never)
    security.unauthn_handler(_to_sign_in)
    security.two_factor_plugins = code_step.CodeStep()
    app.before_request(_only_local_next)
    app.before_request(_sign_out_half_way)
    user_authenticated.connect(_keep_in_log, app)


def _identity(email: str) -> str | None:
    try:
        return normal_email(email)
    except PersonError:
        return None


def _never(_: Request) -> bool:
    return False


def _to_sign_in(*_: Any, **__: Any) -> Response:
    return redirect_to_sign_in()


def redirect_to_sign_in() -> Response:
    """To the sign-in page, and back afterwards where the request was a plain page."""
    return redirect(url_for("security.login", next=came_from()), 303)


def came_from() -> str | None:
    """Where to return to after a detour: this request's address, where it is a plain page other than the first."""
    return request.full_path.rstrip("?") if request.method == "GET" and request.path != "/" else None


def is_local_path(target: str) -> bool:
    """Whether a browser stays on this site when sent to `target`; it reads a backslash as a slash."""
    try:
        parts = urlsplit(target)
    except ValueError:  # such as half an IPv6 address
        return False
    plain = not parts.scheme and not parts.netloc and "\\" not in target and target.isprintable()
    return plain and target.startswith("/") and not target.startswith("//")


def must_have_second_factor(roles: Collection[str]) -> bool:
    """Whether somebody with these roles has to have one here: in production everybody has to, but who is a patient and
    nothing else, who decides for themselves.
    """
    return bool(current_app.config["DISPATCHLOG_SETTINGS"].environment == "production") and set(roles) != {PATIENT}


def _sign_out_half_way() -> None:
    """Flask-Security signs out whoever is signed in; whoever only owes a code is not."""
    if request.endpoint == "security.logout" and request.method == "POST":
        code_step.forget()


def _only_local_next() -> None:
    for target in (*request.args.getlist("next"), *request.form.getlist("next")):
        if target and not is_local_path(target):
            abort(400, "The page to return to is not on this site.")


def _keep_in_log(_: Flask, user: StaffUser, authn_via: list[str] | None = None, **__: Any) -> None:
    detail = {"user_id": user.id, "address": client_address(), "by": authn_via}
    log_action(user.email, "sign_in", detail=detail)
