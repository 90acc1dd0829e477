"""What views share of one request: settings, the breaker, who acts. Owns no data."""

from __future__ import annotations

import re
from functools import lru_cache

from flask import current_app, request
from flask_login import current_user

from dashboard.sign_in import is_local_path
from dispatchlog.engine.breaker import Breaker
from dispatchlog.settings import Settings

LONGEST_REASON = 500
# NUL, which PostgreSQL refuses, what steers a terminal, and what makes a line read in another order than it is written.
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def settings() -> Settings:
    """The application's settings."""
    found: Settings = current_app.config["DISPATCHLOG_SETTINGS"]
    return found


def breaker() -> Breaker:
    """The gateways' breakers over the settings' Redis."""
    return _breaker(settings().effective_redis_url)


@lru_cache(maxsize=4)
def _breaker(redis_url: str) -> Breaker:
    return Breaker(redis_url)


def acting_person() -> str:
    """Who signs what is done in this request."""
    return str(current_user.email)


def back_or(default: str) -> str:
    """The list the visitor came from (`back`), where it is on this site; else `default`."""
    target = request.values.get("back", "")
    return target if target and is_local_path(target) else default


def line_given(name: str, *, most: int = LONGEST_REASON) -> str:
    """What the form's field holds, as one line of plain text."""
    return " ".join(_NOT_TEXT.sub(" ", request.form.get(name, "")).split())[:most]


def reason_given() -> str:
    """Why, in the words of whoever acts: the usual reason that they chose, own words, or both."""
    return ": ".join(filter(None, (line_given("usual_reason"), line_given("reason"))))[:LONGEST_REASON]
