"""One's own account: choosing a password, being made to, and ending one's sessions."""

from __future__ import annotations

import re

import pytest

from dashboard import throttle
from dispatchlog import people
from dispatchlog.engine.database import connected, fetch_all, fetch_one
from tests.dashboard.browsing import PASSWORD, Dashboard, Visitor
from tests.dashboard.samples import form_in

NEW = "eleven geese at dawn"


def change(visitor: Visitor, *, current: str = PASSWORD, new: str = NEW, again: str | None = None) -> tuple[int, str]:
    """Ask for a new password; the status and what the page complains of come back."""
    visitor.get("/account")
    answer = visitor.post("/account", current=current, new=new, again=new if again is None else again)
    problem = re.search(r'id="problem">.*?<span>(.*?)</span>', answer.text, re.S)
    return answer.status_code, problem.group(1) if problem else ""


@pytest.fixture
def newcomer(dash: Dashboard) -> Visitor:
    """Somebody who has just signed in with the password that was made for them."""
    _, password = people.create_user("new@example.org", roles=["support"])
    visitor = dash.visitor()
    visitor.get("/sign-in")
    assert visitor.post("/sign-in", email="new@example.org", password=password).status_code == 302
    visitor.given = password  # type: ignore[attr-defined]
    return visitor


def test_a_password_that_was_made_for_somebody_opens_nothing_but_the_choice_of_an_own_one(newcomer: Visitor) -> None:
    row = form_in("FAILED")
    for path in ("/", "/dispatches?status=FAILED", "/kit-orders", f"/dispatches/health_information/{row['id']}"):
        answer = newcomer.get(path)
        assert answer.status_code == 303
        assert answer.location.startswith("/account")
    page = newcomer.get("/account")
    assert "Choose your own password" in page.text
    assert 'href="/dispatches"' not in page.text
    assert newcomer.post(f"/dispatches/health_information/{row['id']}/retry").location == "/account"


def test_after_choosing_one_goes_on_where_one_wanted_to_go(dash: Dashboard, newcomer: Visitor) -> None:
    page = newcomer.get(newcomer.get("/dispatches?status=FAILED").location)
    wanted = re.search(r'name="next" value="([^"]*)"', page.text).group(1)  # type: ignore[union-attr]
    given = newcomer.given  # type: ignore[attr-defined]
    done = newcomer.post("/account", current=given, new=NEW, again=NEW, next=wanted)
    assert (done.status_code, done.location) == (303, "/dispatches?status=FAILED")
    assert newcomer.get(done.location).status_code == 200
    assert dash.visitor().sign_in("new@example.org", given).status_code == 200
    assert dash.visitor().sign_in("new@example.org", NEW).status_code == 302


def test_the_password_that_was_made_cannot_be_chosen(newcomer: Visitor) -> None:
    given = newcomer.given  # type: ignore[attr-defined]
    assert change(newcomer, current=given, new=given) == (400, "This is the password that you have already.")
    assert newcomer.get("/").status_code == 303


def test_changing_the_password_ends_all_other_sessions_and_gives_this_one_a_new_id(dash: Dashboard) -> None:
    here, elsewhere = dash.as_("support"), dash.as_("support")
    before = here.client.get_cookie("dispatchlog").value  # type: ignore[union-attr]
    assert change(here) == (303, "")
    assert here.get("/").status_code == 200
    assert here.client.get_cookie("dispatchlog").value != before  # type: ignore[union-attr]
    assert elsewhere.get("/").status_code == 303
    thief = dash.visitor()
    thief.client.set_cookie("dispatchlog", before)
    assert thief.get("/").status_code == 303


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"current": "not the password at all"}, "This is not your current password."),
        ({"again": "twelve geese at dawn"}, "The two new passwords are not the same."),
        ({"new": "geese"}, "A password has at least 12 characters."),
        ({"new": "Password1234!"}, "This password is easily guessed; take a few words that have nothing to do"),
        ({"new": PASSWORD}, "This is the password that you have already."),
    ],
)
def test_a_password_that_is_not_accepted_says_why_and_changes_nothing(
    dash: Dashboard, fields: dict[str, str], problem: str
) -> None:
    visitor = dash.as_("viewer")
    status, shown = change(visitor, **fields)
    assert status == 400
    assert shown.startswith(problem)
    assert visitor.get("/").status_code == 200
    assert dash.visitor().sign_in("viewer@example.org").status_code == 302


def test_the_title_says_that_it_was_not_accepted(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    assert "<title>Your account" in visitor.get("/account").text
    answer = visitor.post("/account", current="wrong", new=NEW, again=NEW)
    assert "<title>Not accepted: Your account" in answer.text


def test_whoever_finds_an_open_browser_cannot_guess_the_password(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        assert change(visitor, current="a wrong password")[0] == 400
    status, problem = change(visitor)
    assert status == 429
    assert problem.startswith("Too many failed tries")


def test_no_password_stands_in_the_answer(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    visitor.get("/account")
    answer = visitor.post("/account", current="a wrong secret", new=NEW, again="another secret")
    assert not any(text in answer.text for text in ("a wrong secret", NEW, "another secret"))


def test_nobody_changes_the_password_of_somebody_else(dash: Dashboard) -> None:
    visitor = dash.as_("admin")
    visitor.get("/account")
    fields = {"current": PASSWORD, "new": NEW, "again": NEW}
    visitor.post("/account", email="viewer@example.org", user_id="1", username="viewer@example.org", **fields)
    assert dash.visitor().sign_in("viewer@example.org").status_code == 302
    assert dash.visitor().sign_in("admin@example.org", NEW).status_code == 302


def test_signing_out_everywhere_ends_every_session_of_this_person_only(dash: Dashboard) -> None:
    here, elsewhere, colleague = dash.as_("support"), dash.as_("support"), dash.as_("viewer")
    here.get("/account")
    assert here.post("/account/sign-out-everywhere").location == "/sign-in"
    assert [visitor.get("/").status_code for visitor in (here, elsewhere, colleague)] == [303, 303, 200]


def test_the_account_lists_the_open_sessions_of_this_person_only(dash: Dashboard) -> None:
    here, elsewhere = dash.as_("support"), dash.visitor()
    elsewhere.client.environ_base["HTTP_USER_AGENT"] = "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/143.0"
    elsewhere.sign_in("support@example.org")
    dash.as_("viewer")
    item = r'<li class="session"><div><strong[^>]*>(.*?)</strong>\s*(?:<span class="badge.*?</svg>(This one)</span>)?'
    shown = re.findall(item, here.get("/account").text, re.S)
    assert sorted(shown) == [("Another browser", "This one"), ("Firefox on Windows", "")]


def test_somebody_without_a_role_reaches_their_account_and_nothing_else(dash: Dashboard) -> None:
    people.create_user("new@example.org", roles=[], password=NEW)
    visitor = dash.visitor()
    visitor.sign_in("new@example.org", NEW)
    assert visitor.get("/account").status_code == 200
    assert visitor.get("/").status_code == 403


def test_what_somebody_does_to_their_account_is_kept(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    change(visitor)
    visitor.get("/account")
    visitor.post("/account/sign-out-everywhere")
    with connected():
        kept = fetch_all("SELECT action FROM operator_actions WHERE actor = 'viewer@example.org' ORDER BY id")
        assert not fetch_one("SELECT bool_or(detail::text ~ 'geese|sentence') FROM operator_actions")[0]
    assert [row[0] for row in kept] == ["sign_in", "choose_password", "sign_out_everywhere"]
