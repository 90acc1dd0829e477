"""Where browsers find the socket, and which sites may open one. Owns both rules; opens nothing itself."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from dispatchlog.settings import Settings

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_USUAL_PORT = {"http": 80, "https": 443}


def socket_address(settings: Settings, *, host: str, https: bool) -> str:
    """The `ws` or `wss` origin for a page that was asked for at `host` (its port is left out); "" where that is no host."""
    if settings.socket_url:
        scheme, _, rest = settings.socket_url.rstrip("/").partition("://")
        return f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{rest}"
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not _HOST.fullmatch(name):
        return ""
    return f"{'wss' if https else 'ws'}://{name}:{settings.socket_port}"


def allowed_origins(settings: Settings) -> frozenset[str]:
    """The origins whose pages may open a socket: the dashboard's own and those of DISPATCHLOG_SOCKET_ORIGINS.

    WebSockets know no same-origin policy, so a page of any site could otherwise listen with the cookies of whoever visits
    it. A client without an origin is no browser.
    """
    origins = {origin_of(settings.effective_public_url), *map(origin_of, settings.socket_origin_list)}
    if not settings.public_url:
        origins |= {f"http://{name}:{settings.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    return frozenset(origins)


def origin_of(url: str) -> str:
    """The origin as browsers write it: lower case, and without the port that is usual for its scheme."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    port = "" if parts.port in (None, _USUAL_PORT.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{name}{port}"
