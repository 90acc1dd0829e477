"""Where pages find the socket, and which sites' pages may open one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dashboard.sockets.addresses import allowed_origins, socket_address
from dispatchlog.settings import Settings

PRODUCTION = {
    "environment": "production",
    "database_url": "postgresql://x/y",
    "redis_url": "redis://x",
    "secret_key": "s" * 32,
    "public_url": "https://desk.example.org",
}


def settings(**given: Any) -> Settings:
    return Settings(**given)


@pytest.mark.parametrize(
    ("given", "host", "https", "address"),
    [
        ({}, "localhost:8000", False, "ws://localhost:8001"),
        ({"socket_port": 9}, "desk.example.org", True, "wss://desk.example.org:9"),
        ({}, "[::1]:8000", False, "ws://[::1]:8001"),
        ({}, "[::1]", False, "ws://[::1]:8001"),
        ({"socket_url": "https://desk.example.org:444/"}, "other", False, "wss://desk.example.org:444"),
        ({"socket_url": "ws://desk.example.org"}, "other", True, "ws://desk.example.org"),
        ({}, "a; script-src *", False, ""),
    ],
)
def test_a_page_finds_the_socket_on_its_own_host_or_where_the_setting_says(
    given: dict[str, Any], host: str, https: bool, address: str
) -> None:
    assert socket_address(settings(**given), host=host, https=https) == address


def test_the_dashboard_and_listed_sites_may_open_sockets_and_nobody_else() -> None:
    assert allowed_origins(settings(port=8100)) == {
        "http://127.0.0.1:8100",
        "http://localhost:8100",
        "http://[::1]:8100",
    }
    listed = settings(
        public_url="https://Desk.example.org:443/", socket_origins="https://shop.example.org, http://a:81"
    )
    assert allowed_origins(listed) == {"https://desk.example.org", "https://shop.example.org", "http://a:81"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"socket_url": "desk.example.org"}, "must be an address such as"),
        ({"socket_url": "https://desk.example.org/x"}, "without a path"),
        ({"socket_url": "https://desk.example.org:x"}, "must be an address such as"),
        ({"socket_origins": "*"}, "must be addresses such as"),
        ({"socket_origins": "https://a.example.org, https://u:p@b"}, "must be addresses such as"),
        ({**PRODUCTION, "socket_url": "http://desk.example.org"}, "must begin with https://"),
        ({**PRODUCTION, "socket_url": "https://sockets.example.org"}, "sessions' cookies go no further"),
    ],
)
def test_a_setting_that_could_not_work_is_refused_in_words(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**given)


def test_production_has_its_socket_behind_the_same_host() -> None:
    assert settings(**PRODUCTION, socket_url="https://desk.example.org:8443").socket_url
    assert settings(**PRODUCTION).socket_url == ""
