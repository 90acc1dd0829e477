"""The JSON API under /api/v1, for upstream services with a service token. Owns no rule and no table. A cookie counts only
on the routes that name a permission, and there with the CSRF token of a page.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from flask import Blueprint, Flask, Response, jsonify

from dashboard.api import (
    campaigns,
    care_people,
    chat,
    comm_stats,
    communications,
    dispatches,
    hl7_messages,
    holds,
    orders,
    pharmacy_orders,
    segments,
    tickets,
    visits,
)
from dashboard.api.docs_page import STYLE, render_docs
from dashboard.api.errors import PREFIX, install_error_answers
from dashboard.api.openapi import build_document
from dashboard.api.routes import Route
from dashboard.api.tracing import begin_trace, end_trace, finish_answer
from dashboard.headers import install_headers
from dashboard.proxies import install_proxies
from dispatchlog.settings import Settings

ROUTES = (
    *orders.ROUTES,
    *dispatches.ROUTES,
    *holds.ROUTES,
    *visits.ROUTES,
    *hl7_messages.ROUTES,
    *pharmacy_orders.ROUTES,
    *care_people.ROUTES,
    *tickets.ROUTES,
    *chat.ROUTES,
    *communications.ROUTES,
    *segments.ROUTES,
    *campaigns.ROUTES,
    *comm_stats.ROUTES,
)
BLUEPRINT = "api"
_VALUE = re.compile(r"<\w+>")


# What other services ask by the hundred a second; nobody who is signed in does.
DOOR = f"{PREFIX}/comm/"


def register(app: Flask) -> None:
    """Add the API to a Flask app whose database is configured.

    The API checks its own tokens, and of a session its CSRF token, so it is taken out of Flask-WTF's protection where the
    app has that; set up the protection first.
    """
    blueprint = _blueprint(app, ROUTES)
    blueprint.add_url_rule(f"{PREFIX}/openapi.json", view_func=openapi)
    blueprint.add_url_rule("/api/docs", view_func=docs)
    blueprint.add_url_rule("/api/docs.css", view_func=docs_style)
    app.register_blueprint(blueprint)
    csrf = app.extensions.get("csrf")
    if csrf is not None:
        csrf.exempt(blueprint)


def open_door(app: Flask, settings: Settings, *, https: bool) -> None:
    """Answer what begins with `DOOR` by an application of its own, which has the same routes, and looks for no session."""
    door = Flask("dashboard.api.door", static_folder=None)
    install_proxies(door, settings.trusted_proxies)
    install_headers(door, settings, https=https)
    door.register_blueprint(_blueprint(door, [route for route in ROUTES if route.rule.startswith(DOOR)]))
    inner = app.wsgi_app

    def choose(environ: dict[str, Any], start_response: Any) -> Any:
        asked: Any = door.wsgi_app if environ.get("PATH_INFO", "").startswith(DOOR) else inner
        return asked(environ, start_response)

    app.wsgi_app = choose  # type: ignore[method-assign]


def _blueprint(app: Flask, routes: Sequence[Route]) -> Blueprint:
    blueprint = Blueprint(BLUEPRINT, __name__)
    blueprint.before_request(begin_trace)
    blueprint.after_request(finish_answer)
    blueprint.teardown_request(end_trace)
    for route in routes:
        for rule in filter(None, (route.rule, route.unversioned)):
            blueprint.add_url_rule(
                rule,
                endpoint=route.name if rule == route.rule else f"{route.name}Unversioned",
                view_func=route.handle,
                methods=[route.method],
                provide_automatic_options=False,
            )
    plain: dict[str, set[str]] = defaultdict(set)
    for route in routes:
        if "<" not in route.rule:
            plain[route.rule] |= {route.method, "HEAD"} if route.method == "GET" else {route.method}
    install_error_answers(app, blueprint, plain)
    return blueprint


def paths_with_session() -> re.Pattern[str]:
    """Where a signed-in person's session is taken in place of a token."""
    routes = [route for route in ROUTES if route.permission or not route.scope]
    rules = [rule for route in routes for rule in (route.rule, route.unversioned) if rule]
    return re.compile("|".join(_VALUE.sub("[^/]+", rule) for rule in rules))


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    return build_document(ROUTES)


def openapi() -> Response:
    """The API's description for machines; public, for it says nothing about anybody."""
    return jsonify(_document())


def docs() -> str:
    """The same for people."""
    return render_docs(ROUTES)


def docs_style() -> Response:
    """The page's style sheet."""
    return Response(STYLE, mimetype="text/css")
