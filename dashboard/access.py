"""Who may open what: every route names the permission it needs, and one that names none is refused. Knows no page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, abort, current_app, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from dashboard.code_step import redirect_to_code, who_owes_code
from dashboard.sign_in import came_from, redirect_to_sign_in

PUBLIC = "public"
# Whoever has an account, with whatever role: their own account's page.
SIGNED_IN = "signed-in"
READ = "read"
ACT = "act"
REVEAL = "reveal"
EXPORT = "export"
# Pausing and resuming lanes and providers.
CONTROL = "control"
# Who did what.
AUDIT = "audit"
# Accounts and roles.
MANAGE = "manage"
# Tickets, as one of their parties.
TICKETS = "tickets"
# Who has which ticket and how far it is, for staff; never what was written.
OVERSEE = "oversee"
# Opening what was written in a ticket, for a reason that is kept.
EMERGENCY = "emergency"
# How patients may be reached, what was sent to them and what they answered.
OUTREACH = "outreach"
# Acting on that: settling what a patient wrote, changing preferences on their behalf, sending a test.
REACH = "reach"
# Writing the texts that patients get.
TEMPLATES = "templates"
# Writing segments and campaigns, beginning them, and letting the optimiser decide.
CAMPAIGNS = "campaigns"

# Routes of libraries, which cannot carry a decorator. Signing out needs no permission: without a session it is a no-op.
_LIBRARY_ROUTES = {
    "static": PUBLIC,
    "security.static": PUBLIC,
    "security.login": PUBLIC,
    "security.logout": PUBLIC,
}

# The first page of all, and that of those who act for a party and see nothing of what is sent.
OVERVIEW = "overview.show"
PARTY_PAGE = "tickets.every_ticket"
# All that is open to somebody on the way in: first the choice of an own password, then a second factor.
_CHOOSING_PASSWORD = ("account.show", "account.choose_password")
_SETTING_UP_SECOND_FACTOR = ("second_factor.show", "second_factor.confirm")

View = TypeVar("View", bound=Callable[..., Any])


def needs(permission: str) -> Callable[[View], View]:
    """Declare the permission of a view; PUBLIC and SIGNED_IN are none."""

    def declare(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]
        return view

    return declare


def permission_of(app: Flask, endpoint: str) -> str | None:
    """What the endpoint needs; None where nobody declared it, so that it is refused."""
    if endpoint in _LIBRARY_ROUTES:
        return _LIBRARY_ROUTES[endpoint]
    if endpoint.partition(".")[0] in app.config["TOKEN_AUTHENTICATED_BLUEPRINTS"]:
        return PUBLIC  # these check their own tokens
    declared: str | None = getattr(app.view_functions.get(endpoint), "permission", None)
    return declared


def check_access() -> Response | None:
    """Before every request: sign in, with a code where there is a second factor; then choose an own password, then set up a
    second factor where it is mandatory; or on, with the permission. Without it the first page leads to another one, and
    everything else is 403.
    """
    if request.endpoint is None or request.routing_exception is not None:
        return None  # 404 and 405 are answered as such
    permission = permission_of(current_app._get_current_object(), request.endpoint)  # type: ignore[attr-defined]
    if permission == PUBLIC:
        return None
    if not current_user.is_authenticated:
        return redirect_to_code(next_path=came_from()) if who_owes_code() else redirect_to_sign_in()
    if (way_in := _way_in()) is not None:
        return None if request.endpoint in way_in else redirect(url_for(way_in[0], next=came_from()), 303)
    return None if permission == SIGNED_IN else _check_permission(permission)


def _way_in() -> tuple[str, ...] | None:
    """The only endpoints open to whoever is signed in, the first being where they are led; None where they are in."""
    if current_user.must_choose_password:
        return _CHOOSING_PASSWORD
    if current_user.must_set_up_second_factor:
        return _SETTING_UP_SECOND_FACTOR
    return None


def _check_permission(permission: str | None) -> Response | None:
    if permission is not None and current_user.has_permission(permission):
        return None
    if request.endpoint != OVERVIEW or not may(TICKETS):
        abort(403)
    return redirect(url_for(PARTY_PAGE if PARTY_PAGE in current_app.view_functions else "account.show"), 303)


def is_on_the_way_in() -> bool:
    """Whether whoever is signed in has yet to choose a password or to set up a second factor."""
    return _way_in() is not None


def may(permission: str) -> bool:
    """Whether whoever is signed in has the permission; for templates."""
    return bool(current_user.is_authenticated and current_user.has_permission(permission))
