"""Signing in and out: sessions, throttle and what an attacker learns from the answers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from dashboard import create_app, throttle
from dashboard.sign_in import is_local_path
from dispatchlog import people
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one
from dispatchlog.settings import Settings
from tests.dashboard.browsing import PASSWORD, Dashboard
from tests.dashboard.second_factors import give_second_factor, with_code


def cookie_of(answer: TestResponse) -> str:
    return re.search(r"dispatchlog=([^;]+)", answer.headers["Set-Cookie"]).group(1)  # type: ignore[union-attr]


def title(answer: TestResponse) -> str:
    return re.search(r"<title>(.*?) · dispatchlog</title>", answer.text).group(1)  # type: ignore[union-attr]


def refusal(answer: TestResponse) -> str:
    assert answer.status_code == 200
    return re.search(r'id="problem">.*?<span>(.*?)</span>', answer.text, re.S).group(1)  # type: ignore[union-attr]


def test_a_visitor_is_sent_to_sign_in_and_back(dash: Dashboard) -> None:
    visitor = dash.visitor()
    answer = visitor.get("/dispatches?status=FAILED")
    assert answer.status_code == 303
    assert answer.location == "/sign-in?next=/dispatches?status%3DFAILED"
    done = visitor.sign_in("viewer@example.org", next_path="/dispatches?status%3DFAILED")
    assert done.location.endswith("/dispatches?status=FAILED")


def test_wrong_password_unknown_user_and_disabled_user_get_the_same_answer(dash: Dashboard) -> None:
    people.disable_user("auditor@example.org")
    answers = {
        refusal(dash.visitor().sign_in(email, password))
        for email, password in (
            ("viewer@example.org", "not the password at all"),
            ("nobody@example.org", "not the password at all"),
            ("auditor@example.org", PASSWORD),
            ("not-an-address", PASSWORD),
            ("viewer@example.org", ""),
        )
    }
    assert answers == {"That address and password do not match an account."}


def test_the_title_says_whether_signing_in_was_refused(dash: Dashboard) -> None:
    visitor = dash.visitor()
    assert title(visitor.get("/sign-in")) == "Sign in"
    assert title(visitor.sign_in("viewer@example.org", "not the password at all")) == "Not signed in: Sign in"
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        answer = visitor.sign_in("viewer@example.org", "not the password at all")
    assert refusal(answer).startswith("Too many")
    assert title(answer) == "Not signed in: Sign in"
    assert title(visitor.get("/sign-in")) == "Sign in"


def test_an_address_is_matched_whatever_its_case(dash: Dashboard) -> None:
    assert dash.visitor().sign_in("Viewer@Example.org").status_code == 302


def test_development_addresses_can_sign_in(dash: Dashboard) -> None:
    people.create_user("admin@dispatchlog.localhost", roles=["admin"], password=PASSWORD)
    assert dash.visitor().sign_in("admin@dispatchlog.localhost").status_code == 302


def test_signing_in_leaves_the_password_hashed_as_it_was(dash: Dashboard) -> None:
    stored = "SELECT password FROM staff_users WHERE email = 'viewer@example.org'"
    with connected():
        before = fetch_one(stored)
    dash.as_("viewer")
    with connected():
        assert fetch_one(stored) == before


def test_signing_in_gives_a_new_session_id(dash: Dashboard) -> None:
    visitor = dash.visitor()
    before = cookie_of(visitor.get("/sign-in"))
    after = cookie_of(visitor.post("/sign-in", email="viewer@example.org", password=PASSWORD))
    assert before != after
    stolen = dash.visitor()
    stolen.client.set_cookie("dispatchlog", before)
    assert stolen.get("/").status_code == 303


def test_an_old_cookie_is_dead_after_signing_out(dash: Dashboard) -> None:
    visitor = dash.visitor()
    visitor.get("/sign-in")
    cookie = cookie_of(visitor.post("/sign-in", email="viewer@example.org", password=PASSWORD))
    visitor.get("/")
    assert visitor.post("/sign-out").status_code == 302
    thief = dash.visitor()
    thief.client.set_cookie("dispatchlog", cookie)
    assert thief.get("/").status_code == 303


def test_a_session_id_that_somebody_made_up_is_not_taken(dash: Dashboard) -> None:
    visitor = dash.visitor()
    visitor.client.set_cookie("dispatchlog", "planted")
    assert cookie_of(visitor.get("/sign-in")) != "planted"


def test_the_cookie_is_not_stored_as_it_is(dash: Dashboard) -> None:
    visitor = dash.visitor()
    cookie = cookie_of(visitor.get("/sign-in"))
    with connected():
        stored = bytes(fetch_one("SELECT id_hash FROM web_sessions")[0])
    assert cookie.encode() not in stored
    assert len(stored) == 32


def test_the_cookie_cannot_be_read_by_scripts_or_sent_from_other_sites(dash: Dashboard) -> None:
    header = dash.visitor().get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header


def test_over_https_the_cookie_is_bound_to_the_host(settings_env: Settings, dash: Dashboard) -> None:
    app = create_app(settings_env.model_copy(update={"public_url": "https://dispatch.example.org"}))
    answer = app.test_client().get("/sign-in", base_url="https://dispatch.example.org")
    assert answer.headers["Set-Cookie"].startswith("__Host-dispatchlog=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Path=/" in answer.headers["Set-Cookie"]
    assert "Domain" not in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" in answer.headers


@pytest.mark.parametrize(
    ("environment", "column", "good_for"),
    [
        ("development", "last_seen_at", timedelta(minutes=60)),
        ("production", "last_seen_at", timedelta(minutes=15)),
        ("production", "created_at", timedelta(hours=10)),
    ],
)
def test_a_session_ends_when_idle_and_after_a_day_of_work(
    settings_env: Settings, dash: Dashboard, environment: str, column: str, good_for: timedelta
) -> None:
    app = give_second_factor("viewer@example.org")
    visitor = with_code(
        Dashboard(create_app(settings_env.model_copy(update={"environment": environment}))), "viewer", app
    )
    for age, status in ((good_for - timedelta(minutes=1), 200), (good_for + timedelta(minutes=1), 303)):
        with connected():
            execute(f"UPDATE web_sessions SET {column} = now() - %s WHERE user_id IS NOT NULL", (age,))
        assert visitor.get("/account").status_code == status


def test_a_page_that_refreshes_itself_does_not_keep_a_session_alive(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    with connected():
        execute("UPDATE web_sessions SET last_seen_at = now() - interval '10 minutes'")
    visitor.get("/", headers={"X-Background-Refresh": "1"})
    with connected():
        assert fetch_one("SELECT max(last_seen_at) < now() - interval '9 minutes' FROM web_sessions")[0]
    visitor.get("/")
    with connected():
        assert fetch_one("SELECT max(last_seen_at) > now() - interval '1 minute' FROM web_sessions")[0]


def test_disabling_a_user_ends_their_session_at_once(dash: Dashboard) -> None:
    visitor = dash.as_("support")
    people.disable_user("support@example.org")
    assert visitor.get("/").status_code == 303


def test_a_new_password_ends_every_session(dash: Dashboard) -> None:
    visitor = dash.as_("support")
    people.set_password("support@example.org")
    assert visitor.get("/").status_code == 303


def test_a_role_change_counts_at_once(dash: Dashboard) -> None:
    visitor = dash.as_("support")
    people.set_roles("support@example.org", ["viewer"])
    assert visitor.get("/").status_code == 200
    assert visitor.get("/mailbox").status_code == 403


def test_ten_failures_from_one_address_are_enough(dash: Dashboard) -> None:
    visitor = dash.visitor()
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        visitor.sign_in("viewer@example.org", "a wrong password")
    assert refusal(visitor.sign_in("viewer@example.org")).startswith("Too many failed tries")


def test_failing_in_a_colleagues_name_does_not_shut_them_out(dash: Dashboard) -> None:
    attacker = dash.visitor()
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS + 1):
        attacker.sign_in("viewer@example.org", "a wrong password")
    colleague = dash.visitor()
    colleague.client.environ_base["REMOTE_ADDR"] = "192.0.2.77"
    assert colleague.sign_in("viewer@example.org").status_code == 302


def test_no_typed_account_is_kept_in_the_clear(dash: Dashboard) -> None:
    dash.visitor().sign_in("hunter2hunter2@example.org", "x")
    with connected():
        assert fetch_all("SELECT FROM sign_in_failures WHERE account_hash::text LIKE '%%hunter%%'") == []
        assert fetch_one("SELECT count(*) FROM sign_in_failures")[0] == 1


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "//[",  # half an address of IPv6, which the standard library does not take apart
    ],
)
def test_next_leads_nowhere_else(dash: Dashboard, target: str) -> None:
    assert not is_local_path(target)
    assert dash.visitor().client.get("/sign-in", query_string={"next": target}).status_code == 400


def test_post_without_the_token_is_refused(dash: Dashboard) -> None:
    visitor = dash.as_("support")
    visitor.token = ""
    answer = visitor.post("/search", q="VO-1")
    assert answer.status_code == 400
    assert "open for too long" in answer.text


def test_the_token_of_somebody_else_is_refused(dash: Dashboard) -> None:
    mine, theirs = dash.as_("support"), dash.as_("viewer")
    mine.token = theirs.token
    assert mine.post("/search", q="VO-1").status_code == 400


def test_signing_in_needs_the_token_too(dash: Dashboard) -> None:
    assert dash.visitor().post("/sign-in", email="viewer@example.org", password=PASSWORD).status_code == 400


def test_there_is_no_token_login_and_no_json_login(dash: Dashboard) -> None:
    visitor = dash.visitor()
    visitor.get("/sign-in")
    answer = visitor.client.post(
        "/sign-in?include_auth_token",
        json={"email": "viewer@example.org", "password": PASSWORD, "csrf_token": visitor.token},
        headers={"X-CSRFToken": visitor.token, "Accept": "application/json"},
    )
    assert "authentication_token" not in answer.text


def test_without_a_secret_the_application_does_not_start(settings_env: Settings) -> None:
    with pytest.raises(ValueError, match="DISPATCHLOG_SECRET_KEY"):
        create_app(settings_env.model_copy(update={"secret_key": type(settings_env.secret_key)("")}))
