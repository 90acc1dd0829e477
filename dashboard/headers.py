"""The security headers of every answer. Owns the policy; a view may set a stricter one of its own."""

from __future__ import annotations

from flask import Flask, Response, request

from dashboard.sockets.addresses import socket_address
from dispatchlog.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{socket}; font-src 'self';"
    " frame-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
STATIC_SECONDS = 31_536_000


def install_headers(app: Flask, settings: Settings, *, https: bool) -> None:
    """Add the headers to every answer of the application."""

    def secure(response: Response) -> Response:
        headers = response.headers
        if "Content-Security-Policy" not in headers:  # a view with a policy of its own may be shown in a page of ours
            headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Content-Security-Policy", _policy(settings, https=is_https(https)))
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        if is_https(https):
            headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        headers["Cache-Control"] = _caching(response)
        return response

    app.after_request(secure)


def is_https(https: bool) -> bool:
    """Whether the visitor's browser asked over https: the public address says so, or the request does."""
    return https or request.is_secure


def _policy(settings: Settings, *, https: bool) -> str:
    """The socket is another origin than the pages, for it has another port."""
    address = socket_address(settings, host=request.host, https=https)
    return POLICY.format(socket=f" {address}" if address else "")


def _caching(response: Response) -> str:
    if not request.path.startswith("/static/"):
        return "no-store"
    if response.status_code == 200 and "v" in request.args:  # a hash of the content
        return f"public, max-age={STATIC_SECONDS}, immutable"
    return "no-cache"
