"""The one route of the API that an administrator's browser may call with its session in place of a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dispatchlog.engine.database import connected, execute, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.service_tokens import create_token
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.visits import record_visit
from tests.dashboard.browsing import ROLES, Dashboard, Visitor
from tests.systems.hl7.visits import VISIT

PATHS = ("/api/hl7/retry", "/api/v1/hl7/retry")
ALL_FAILED = {"retryAll": "FAILED", "reason": "the line is back"}


@pytest.fixture
def failed(dash: Dashboard) -> Any:
    """A failed message of an endpoint that is off, so that nothing leaves."""
    schools.add_school("SCH-01", "First school", actor="test")
    message_id = record_visit("SCH-01", replace(VISIT, id=new_id()), source="clinic").messages[0]["id"]
    with transaction("test"):
        execute("UPDATE hl7_messages SET status = 'FAILED', last_error_code = 'ACK_AE' WHERE id = %s", (message_id,))
    return message_id


def ask(visitor: Visitor, path: str = PATHS[0], *, csrf: str | None = None, **headers: str) -> TestResponse:
    token = visitor.token if csrf is None else csrf
    given = {"X-CSRFToken": token} if token else {}
    return visitor.client.post(path, json=ALL_FAILED, headers={**given, **headers})


def refusal(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def status_of(message_id: Any) -> str:
    with connected():
        return str(fetch_one("SELECT status FROM hl7_messages WHERE id = %s", (message_id,))[0])


@pytest.mark.parametrize("path", PATHS)
def test_a_signed_in_administrator_retries_and_is_on_record_by_name(dash: Dashboard, failed: Any, path: str) -> None:
    answer = ask(dash.as_("admin"), path, **{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"})
    assert (answer.status_code, answer.get_json()["retried"]) == (200, 1)
    assert status_of(failed) == "PENDING"
    with connected():
        rows = fetch_dicts("SELECT actor, action, reason, dispatch_id FROM operator_actions WHERE action = 'retry'")
    assert [tuple(row.values()) for row in rows] == [("admin@example.org", "retry", "the line is back", failed)]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_any_other_role_is_refused(dash: Dashboard, failed: Any, role: str) -> None:
    assert refusal(ask(dash.as_(role))) == (403, "FORBIDDEN_ROLE")
    assert status_of(failed) == "FAILED"


def test_without_the_token_of_the_sessions_own_page_nothing_is_done(dash: Dashboard, failed: Any) -> None:
    admin, other = dash.as_("admin"), dash.as_("admin")
    for csrf in ("", "nonsense", other.token):
        assert refusal(ask(admin, csrf=csrf)) == (400, "CSRF")
    assert status_of(failed) == "FAILED"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_request_of_another_site_is_refused_also_with_the_token(
    dash: Dashboard, failed: Any, headers: dict[str, str]
) -> None:
    assert refusal(ask(dash.as_("admin"), **headers)) == (400, "CSRF")
    assert status_of(failed) == "FAILED"


def test_a_stranger_needs_a_token_and_so_does_an_administrator_on_every_other_route(
    dash: Dashboard, failed: Any
) -> None:
    assert refusal(ask(dash.visitor())) == (401, "UNAUTHENTICATED")
    admin = dash.as_("admin")
    assert refusal(admin.client.get("/api/v1/hl7/messages")) == (401, "UNAUTHENTICATED")
    admin.post("/sign-out")
    assert refusal(ask(admin)) == (401, "UNAUTHENTICATED")


def test_who_sends_a_token_is_judged_by_that_alone(dash: Dashboard, failed: Any) -> None:
    admin = dash.as_("admin")
    reader = create_token("reader", ["visits:read"], "tests")
    assert refusal(ask(admin, Authorization=f"Bearer {reader}")) == (403, "FORBIDDEN_SCOPE")
    assert refusal(ask(admin, Authorization="Bearer nonsense")) == (401, "UNAUTHENTICATED")
    retrier = create_token("retrier", ["hl7:retry"], "tests")
    assert ask(dash.as_("viewer"), csrf="", Authorization=f"Bearer {retrier}").status_code == 200
    assert status_of(failed) == "PENDING"


def test_who_has_yet_to_choose_a_password_is_refused(dash: Dashboard, failed: Any) -> None:
    admin = dash.as_("admin")
    with transaction("test"):
        execute("UPDATE staff_users SET password_chosen_at = NULL WHERE email = 'admin@example.org'")
    assert refusal(ask(admin)) == (403, "FORBIDDEN_ROLE")
    assert status_of(failed) == "FAILED"
