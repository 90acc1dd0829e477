"""The JSON API under /api/v1, for upstream services with a service token. Owns no rule and no table; never uses cookies."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Blueprint, Flask, Response, jsonify

from dashboard.api import dispatches, hl7_messages, holds, orders, pharmacy_orders, visits
from dashboard.api.docs_page import STYLE, render_docs
from dashboard.api.errors import PREFIX, install_error_answers
from dashboard.api.openapi import build_document
from dashboard.api.tracing import begin_trace, end_trace, finish_answer

ROUTES = (
    *orders.ROUTES,
    *dispatches.ROUTES,
    *holds.ROUTES,
    *visits.ROUTES,
    *hl7_messages.ROUTES,
    *pharmacy_orders.ROUTES,
)
BLUEPRINT = "api"


def register(app: Flask) -> None:
    """Add the API to a Flask app whose database is configured.

    The API checks its own tokens and never reads a session, so it is taken out of Flask-WTF's CSRF protection where the
    app has that; set up the protection first.
    """
    blueprint = Blueprint(BLUEPRINT, __name__)
    blueprint.before_request(begin_trace)
    blueprint.after_request(finish_answer)
    blueprint.teardown_request(end_trace)
    for route in ROUTES:
        for rule in filter(None, (route.rule, route.unversioned)):
            blueprint.add_url_rule(
                rule,
                endpoint=route.name if rule == route.rule else f"{route.name}Unversioned",
                view_func=route.handle,
                methods=[route.method],
                provide_automatic_options=False,
            )
    blueprint.add_url_rule(f"{PREFIX}/openapi.json", view_func=openapi)
    blueprint.add_url_rule("/api/docs", view_func=docs)
    blueprint.add_url_rule("/api/docs.css", view_func=docs_style)
    install_error_answers(app, blueprint)
    app.register_blueprint(blueprint)
    csrf = app.extensions.get("csrf")
    if csrf is not None:
        csrf.exempt(blueprint)


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
