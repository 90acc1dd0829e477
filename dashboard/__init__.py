"""The operations dashboard: a Flask application over the dispatch log. Owns its assembly; writes no dispatch itself."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, request, url_for
from flask_wtf import CSRFProtect

from dashboard import api, errors, patient_pages, webhooks
from dashboard.access import check_access, may
from dashboard.connection import close_connection, configure_database
from dashboard.guide import KEYS
from dashboard.headers import install_headers, is_https
from dashboard.navigation import OFFICE, PATIENTS, WORK, pages_by_key, visible
from dashboard.pages import register_pages
from dashboard.patient_reads import install_reads
from dashboard.preferences import keys_are_on, theme
from dashboard.presentation import install_presentation
from dashboard.proxies import install_proxies
from dashboard.sessions import IDLE_LIMIT, DatabaseSessions, cookie_name
from dashboard.sign_in import configure_sign_in
from dashboard.sockets.addresses import socket_address
from dispatchlog.settings import Settings, get_settings

MOST_REQUEST_BYTES = 5 * 1024 * 1024


def create_app(settings: Settings | None = None) -> Flask:
    """The application, with this process's database pool pointed at the settings' database.

    Raises:
        ValueError: DISPATCHLOG_SECRET_KEY is not set; sessions and form links are signed with it.
    """
    settings = settings or get_settings()
    if not settings.secret_key.get_secret_value():
        raise ValueError("DISPATCHLOG_SECRET_KEY is not set: every process needs the same long random secret")
    https = settings.effective_public_url.startswith("https://")
    app = Flask(__name__)
    app.config.update(
        DISPATCHLOG_SETTINGS=settings,
        MAX_CONTENT_LENGTH=MOST_REQUEST_BYTES,
        SESSION_COOKIE_NAME=cookie_name(settings),
        SESSION_COOKIE_SECURE=https,
        TOKEN_AUTHENTICATED_BLUEPRINTS=frozenset(),
        API_PATHS_WITH_SESSION=api.paths_with_session(),
    )
    install_proxies(app, settings.trusted_proxies)
    configure_database(settings)
    app.session_interface = DatabaseSessions(idle_limit=IDLE_LIMIT[settings.environment])
    install_headers(app, settings, https=https)
    errors.register(app)
    csrf = CSRFProtect()
    configure_sign_in(app, settings)
    csrf.init_app(app)
    app.before_request(check_access)
    app.teardown_request(close_connection)
    install_reads(app)
    register_pages(app)
    _register_patient_pages(app, csrf)
    _register_api(app, csrf)
    api.open_door(app, settings, https=https)
    webhooks.mount(app, settings, https=https)
    install_presentation(app)
    app.jinja_env.globals.update(may=may, asset=_asset, WORK=WORK, PATIENTS=PATIENTS, OFFICE=OFFICE, visible=visible)
    app.jinja_env.globals.update(
        socket_address=lambda: socket_address(settings, host=request.host, https=is_https(https))
    )
    app.jinja_env.globals.update(KEYS=KEYS, pages_by_key=pages_by_key, theme=theme, keys_are_on=keys_are_on)
    return app


def _register_api(app: Flask, csrf: CSRFProtect) -> None:
    """The API authenticates every request itself, so the pages' guard and their CSRF check do not apply to it."""
    before = set(app.blueprints)
    api.register(app)
    added = frozenset(app.blueprints) - before
    app.config["TOKEN_AUTHENTICATED_BLUEPRINTS"] = added
    for name in added:
        csrf.exempt(app.blueprints[name])


def _register_patient_pages(app: Flask, csrf: CSRFProtect) -> None:
    """Nobody signs in there and no cookie is sent: whoever has the link's token may act, and nobody can be made to."""
    app.register_blueprint(patient_pages.pages)
    csrf.exempt(patient_pages.pages)


def _asset(name: str) -> str:
    """A static file's address with a hash of its content, so that browsers may keep it for ever."""
    return _address(name, request.script_root)


@lru_cache(maxsize=256)
def _address(name: str, _root: str) -> str:
    """A page has some hundred icons, and to build an address takes longer than all else about one."""
    path = Path(__file__).parent / "static" / name
    return url_for("static", filename=name, v=hashlib.sha256(path.read_bytes()).hexdigest()[:12])
