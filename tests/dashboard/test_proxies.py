"""Behind reverse proxies: whose word is believed about who asks, and over what."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from dashboard import create_app, throttle
from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.settings import Settings
from tests.dashboard.browsing import PASSWORD, Dashboard, Visitor
from tests.dashboard.web_process import web_process
from tests.ports import free_port

FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}


def behind(settings: Settings, count: int) -> Dashboard:
    return Dashboard(create_app(settings.model_copy(update={"trusted_proxies": count})))


def through(visitor: Visitor, **headers: str) -> Visitor:
    """The visitor, with headers that a proxy adds to each request."""
    visitor.client.environ_base |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return visitor


def seen_address(dashboard: Dashboard, forwarded_for: str) -> set[str]:
    """The address that session, audit and throttle see."""
    visitor = through(dashboard.visitor(), x_forwarded_for=forwarded_for)
    visitor.sign_in("viewer@example.org", "a wrong password")
    with connected():
        failed = fetch_one("SELECT address FROM sign_in_failures")[0]
    visitor.sign_in("viewer@example.org")
    with connected():
        return {
            failed,
            fetch_one("SELECT ip FROM web_sessions WHERE user_id IS NOT NULL")[0],
            fetch_one("SELECT detail ->> 'address' FROM operator_actions WHERE action = 'sign_in'")[0],
        }


@pytest.mark.parametrize(
    ("count", "forwarded_for", "address"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "203.0.113.9, 192.0.2.7", "192.0.2.7"),
        (2, "203.0.113.9, 192.0.2.7, 198.51.100.1", "192.0.2.7"),
        (2, "192.0.2.7", "127.0.0.1"),
    ],
)
def test_only_what_our_own_proxies_report_is_believed(
    settings_env: Settings, dash: Dashboard, count: int, forwarded_for: str, address: str
) -> None:
    assert seen_address(behind(settings_env, count), forwarded_for) == {address}


def test_behind_a_proxy_one_guesser_does_not_shut_out_everybody(settings_env: Settings, dash: Dashboard) -> None:
    dashboard = behind(settings_env, 1)
    guesser = through(dashboard.visitor(), x_forwarded_for="203.0.113.9")
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        guesser.sign_in("viewer@example.org", "a wrong password")
    assert guesser.sign_in("viewer@example.org").status_code == 200
    colleague = through(dashboard.visitor(), x_forwarded_for="192.0.2.7")
    assert colleague.sign_in("viewer@example.org").status_code == 302


def test_without_proxies_a_guesser_cannot_pretend_to_be_many(settings_env: Settings, dash: Dashboard) -> None:
    dashboard = behind(settings_env, 0)
    for number in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        visitor = through(dashboard.visitor(), x_forwarded_for=f"203.0.113.{number}")
        visitor.sign_in("viewer@example.org", "a wrong password")
    assert "Too many failed tries" in dashboard.visitor().sign_in("viewer@example.org").text


@pytest.mark.parametrize(("count", "is_https"), [(0, False), (1, True)])
def test_https_is_what_the_proxy_says(settings_env: Settings, dash: Dashboard, count: int, is_https: bool) -> None:
    answer = behind(settings_env, count).visitor().get("/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert ("Secure" in answer.headers["Set-Cookie"]) is is_https
    assert ("Strict-Transport-Security" in answer.headers) is is_https


@pytest.mark.parametrize(
    ("passed_on", "headers"),
    [
        ("http://dispatch.example.org", {}),
        ("http://127.0.0.1:8000", {"X-Forwarded-Host": "dispatch.example.org"}),
    ],
)
def test_people_sign_in_through_a_proxy_that_ends_tls(
    settings_env: Settings, dash: Dashboard, passed_on: str, headers: dict[str, str]
) -> None:
    """Over https a form is taken only from a page of the host that it was sent to."""
    visitor = behind(settings_env, 1).visitor()
    headers = {"X-Forwarded-Proto": "https", "Referer": "https://dispatch.example.org/sign-in", **headers}
    visitor.get("/sign-in", headers=headers, base_url=passed_on)
    fields = {"csrf_token": visitor.token, "email": "viewer@example.org", "password": PASSWORD}
    foreign = {**headers, "Referer": "https://evil.example/"}
    refused = visitor.client.post("/sign-in", data=fields, headers=foreign, base_url=passed_on)
    assert refused.status_code == 400
    answer = visitor.client.post("/sign-in", data=fields, headers=headers, base_url=passed_on)
    assert (answer.status_code, answer.location) == (302, "/")


@contextmanager
def served(count: int) -> Iterator[http.client.HTTPConnection]:
    """The dashboard behind gunicorn as it is run."""
    port = free_port()
    with (
        web_process(port, DISPATCHLOG_TRUSTED_PROXIES=str(count)),
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection,
    ):
        yield connection


@pytest.mark.parametrize(("count", "is_believed"), [(0, False), (1, True)])
def test_gunicorn_believes_no_header_of_its_own_accord(
    settings_env: Settings, dash: Dashboard, count: int, is_believed: bool
) -> None:
    """It would take the scheme from anybody on the same machine."""
    with served(count) as connection:
        connection.request("GET", "/sign-in", headers=FORGED)
        answer = connection.getresponse()
        answer.read()
    assert answer.status == 200
    assert ("Secure" in answer.headers["Set-Cookie"]) is is_believed
    with connected():
        assert fetch_one("SELECT ip FROM web_sessions")[0] == ("203.0.113.9" if is_believed else "127.0.0.1")
