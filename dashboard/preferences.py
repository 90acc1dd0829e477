"""How one browser shows the dashboard: colours, time zone, keyboard. Kept in that browser's cookies; owns their names.

Nothing here says who somebody is, so the cookies are plain words; what they hold is checked each time it is read.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from flask import Blueprint, flash, has_request_context, redirect, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import SIGNED_IN, needs

pages = Blueprint("preferences", __name__)

THEME, ZONE, KEYS = "theme", "zone", "keys"
THEMES = {"auto": "As the system has it", "light": "Light", "dark": "Dark"}
_YEAR_SECONDS = 31_536_000


@pages.post("/preferences")
@needs(SIGNED_IN)
def keep() -> Response:
    """Keep what the form says in this browser. A time zone that does not exist changes nothing."""
    answer = redirect(url_for("account.show"), 303)
    wanted_zone = request.form.get(ZONE, "").strip() or "UTC"
    if wanted_zone not in zone_names():
        flash(f"“{wanted_zone[:40]}” is not a time zone; write it like Europe/Berlin. Nothing was changed.", "bad")
        return answer
    wanted_theme = request.form.get(THEME, "")
    values = {
        THEME: wanted_theme if wanted_theme in THEMES else "auto",
        ZONE: wanted_zone,
        KEYS: "on" if request.form.get(KEYS) else "off",
    }
    for name, value in values.items():
        # Scripts read the theme and the zone, which say nothing about anybody.
        answer.set_cookie(  # nosemgrep: cookie-without-guards
            name, value, max_age=_YEAR_SECONDS, samesite="Lax", secure=request.is_secure, httponly=name == KEYS
        )
    flash("Kept for this browser.", "good")
    return answer


def theme() -> str:
    """auto, light or dark."""
    wanted = request.cookies.get(THEME, "") if has_request_context() else ""
    return wanted if wanted in THEMES else "auto"


def zone() -> tzinfo:
    """The viewer's time zone: chosen, or told by their browser; UTC where neither is known."""
    name = request.cookies.get(ZONE, "") if has_request_context() else ""
    return UTC if name in ("", "UTC") else _zone(name)


def keys_are_on() -> bool:
    """Whether single keys are shortcuts."""
    return not has_request_context() or request.cookies.get(KEYS, "") != "off"


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every time zone this machine knows."""
    return frozenset(available_timezones())


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name) if name in zone_names() else UTC
