"""Who asks, where reverse proxies stand before the dashboard. Owns the trust in their headers; by default there is none.

Each proxy appends to `X-Forwarded-For`, `-Proto` and `-Host` what it saw, and a client may have begun them with anything it
likes. So only the entry that the outermost of our own proxies wrote is believed, which is why their number is a setting.
"""

from __future__ import annotations

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

_MOST_CHARACTERS = 64


def install_proxies(app: Flask, count: int) -> None:
    """Take address, scheme and host from what the outermost of `count` proxies of ours reports; 0: from the connection."""
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
        )


def client_address() -> str:
    """The network address this request comes from, "" where there is none (a Unix socket)."""
    return (request.remote_addr or "")[:_MOST_CHARACTERS]
