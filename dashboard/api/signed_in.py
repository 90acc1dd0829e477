"""A person's browser session in place of a service token, for the routes that allow it. Owns the proof that the request
comes from one of our own pages: the CSRF token that they carry.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import current_app, request, session
from flask_login import current_user
from flask_wtf.csrf import validate_csrf
from wtforms.validators import ValidationError

from dashboard.access import is_on_the_way_in, may
from dashboard.api.errors import ERRORS, ApiError
from dashboard.context import acting_person
from dashboard.sessions import BrokenSession

CSRF_HEADER = "X-CSRFToken"


def is_signed_in() -> bool:
    """Whether the request comes with the session of somebody who is signed in to the dashboard.

    Raises:
        ApiError: DATABASE_UNAVAILABLE: there is a session, and nobody can tell whose.
    """
    if not hasattr(current_app, "login_manager"):
        return False
    if isinstance(session._get_current_object(), BrokenSession):  # type: ignore[attr-defined]
        raise ApiError("DATABASE_UNAVAILABLE", ERRORS["DATABASE_UNAVAILABLE"][1])
    return bool(current_user.is_authenticated)


def acting_person_with(permission: str) -> str:
    """Who is signed in.

    Raises:
        ApiError: FORBIDDEN_ROLE without the permission or before the way in is finished; CSRF where nothing shows that the
            request was made by a page of ours.
    """
    if is_on_the_way_in():
        raise ApiError("FORBIDDEN_ROLE", "finish signing in to the dashboard first")
    if not may(permission):
        raise ApiError("FORBIDDEN_ROLE", "your role does not allow this; ask an administrator")
    if not _is_of_our_origin():
        raise ApiError("CSRF", "a session is taken from the dashboard's own pages only; use a service token elsewhere")
    try:
        validate_csrf(request.headers.get(CSRF_HEADER))
    except ValidationError:
        message = f"send the csrf_token of a page of your session as {CSRF_HEADER}; reload the page for a new one"
        raise ApiError("CSRF", message) from None
    return acting_person()


def _is_of_our_origin() -> bool:
    """As the browser says it; one that says nothing has only the token to show."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
