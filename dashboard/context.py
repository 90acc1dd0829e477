"""What views share of one request: settings, the breaker, who acts. Owns no data."""

from __future__ import annotations

from functools import lru_cache

from flask import current_app, request
from flask_login import current_user

from dashboard.sign_in import is_local_path
from dispatchlog.engine.breaker import Breaker
from dispatchlog.settings import Settings


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
