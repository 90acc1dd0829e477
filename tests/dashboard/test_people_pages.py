"""The pages about people: making, changing and closing accounts, their sessions, and what the roles allow."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard import people as people_pages
from dispatchlog import people
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one
from dispatchlog.people import PersonError
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.second_factors import give_second_factor, half_signed_in

ADMIN = "admin@example.org"
SUPPORT = "support@example.org"


def id_of(email: str) -> int:
    with connected():
        return int(fetch_one("SELECT id FROM staff_users WHERE email = %s", (email,))[0])


def person_of(email: str) -> people.Person:
    found = people.find_person(id_of(email))
    assert found is not None
    return found


def last_action() -> tuple[str, str, str | None, int]:
    with connected():
        return fetch_one(  # type: ignore[return-value]
            "SELECT actor, action, reason, (detail ->> 'user_id')::int FROM operator_actions ORDER BY id DESC LIMIT 1"
        )


def said(visitor: Visitor) -> str:
    """What the page that one was sent back to says was done."""
    text = visitor.get("/people").text
    return " ".join(re.findall(r"data-toast>.*?<span>(.*?)</span>", text, re.S)).replace("&#39;", "'")


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    visitor = dash.as_("admin")
    visitor.get("/people")
    return visitor


def test_the_list_shows_roles_state_and_second_factor_of_everybody(dash: Dashboard, admin: Visitor) -> None:
    people.create_user("new@example.org", roles=["viewer"])
    people.disable_user("auditor@example.org")
    give_second_factor(SUPPORT)
    dash.as_("viewer")
    shown = {}
    for row in re.findall(r"<tr>(.*?)</tr>", admin.get("/people").text, re.S)[1:]:
        cells = [
            " ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)
        ]
        shown[cells[0].split()[0]] = cells[1:]
    assert shown["new@example.org"] == ["viewer", "To choose a password", "Off", "never"]
    assert shown["auditor@example.org"][:3] == ["auditor", "Closed", "Off"]
    assert shown[SUPPORT][:3] == ["support", "Active", "On"]
    assert shown["viewer@example.org"][3] in ("just now", *(f"{seconds} s ago" for seconds in range(10, 60)))


def test_last_seen_outlives_the_session(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    visitor.post("/sign-out")
    assert person_of("viewer@example.org").last_seen_at is not None


def test_pages_of_people_follow_each_other_without_gaps(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_pages, "PAGE_ROWS", 2)
    path, seen = "/people", []
    while path:
        text = admin.get(path).text
        seen += re.findall(r'class="row-link"[^>]*>([^<]+)<', text)
        found = re.search(r'rel="next" href="([^"]+)"', text)
        path = found.group(1).replace("&amp;", "&") if found else ""
    assert seen == sorted(person.email for person in people.list_users())


def test_a_search_for_a_person_stays_out_of_the_address(admin: Visitor) -> None:
    answer = admin.post("/people/search", q="Support@")
    assert answer.location == "/people?found=1"
    assert re.findall(r'class="row-link"[^>]*>([^<]+)<', admin.get(answer.location).text) == [SUPPORT]
    admin.post("/people/search", q="nobody-like-it\x00")
    assert "s address holds that" in admin.get("/people?found=1").text


def test_an_account_is_made_with_a_password_that_is_shown_once(dash: Dashboard, admin: Visitor) -> None:
    answer = admin.post("/people", email="New@Example.org", role="pharmacist")
    assert answer.status_code == 200
    password = re.search(r'id="one-time-password">([^<]+)<', answer.text).group(1)  # type: ignore[union-attr]
    assert person_of("New@example.org").roles == ("pharmacist",)
    assert password not in admin.get(f"/people/{id_of('New@example.org')}").text
    assert dash.visitor().sign_in("new@example.org", password).status_code == 302
    with connected():
        stored = fetch_all("SELECT data FROM web_sessions UNION ALL SELECT detail::text FROM operator_actions")
    assert not any(password in row[0] for row in stored)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"email": "VIEWER@example.org", "role": "viewer"}, "There is an account for"),
        ({"email": "no address", "role": "viewer"}, "This is not an e-mail address"),
        # Whoever had it could not sign in: each action is kept under its person's address.
        ({"email": f"new@{'x' * 60}.{'y' * 60}.org", "role": "viewer"}, "has 128 characters at the most"),
        ({"email": "new@example.org", "role": "emperor"}, "A role is one of"),
        ({"email": "new@example.org", "role": "view\x00er\x00s"}, "A role is one of"),
        ({"email": "new@example.org"}, "Choose at least one role"),
    ],
)
def test_an_account_that_cannot_be_made_says_why(admin: Visitor, fields: dict[str, str], problem: str) -> None:
    before = len(people.list_users())
    answer = admin.post("/people", **fields)
    assert answer.status_code == 400
    assert problem in answer.text
    assert "<title>Not accepted: New account" in answer.text
    assert len(people.list_users()) == before


def test_roles_are_given_without_and_taken_away_with_a_reason(dash: Dashboard, admin: Visitor) -> None:
    path = f"/people/{id_of(SUPPORT)}/roles"
    colleague = dash.as_("support")
    admin.post(path, seen="support", role=["support", "auditor"])
    assert person_of(SUPPORT).roles == ("auditor", "support")
    admin.post(path, seen="auditor,support", role="auditor")
    assert said(admin) == (
        "support@example.org now has auditor, support. It counts from their next click. " + people_pages.SAY_WHY
    )
    assert person_of(SUPPORT).roles == ("auditor", "support")
    admin.post(path, seen="auditor,support", role="auditor", reason="moved to\n the audit")
    assert person_of(SUPPORT).roles == ("auditor",)
    assert last_action() == (ADMIN, "set_roles", "moved to the audit", id_of(SUPPORT))
    assert colleague.post("/people/search").status_code == 403
    assert colleague.get("/audit").status_code == 200


def test_roles_that_somebody_else_changed_meanwhile_are_not_overwritten(admin: Visitor) -> None:
    people.set_roles(SUPPORT, ["pharmacist"])
    admin.post(f"/people/{id_of(SUPPORT)}/roles", seen="support", role=["support", "auditor"])
    assert said(admin) == "Nothing was changed: the roles were changed meanwhile: pharmacist."
    assert person_of(SUPPORT).roles == ("pharmacist",)


@pytest.mark.parametrize("deed", ["disable", "password", "second-factor", "end-sessions"])
def test_taking_something_away_needs_a_reason(dash: Dashboard, admin: Visitor, deed: str) -> None:
    give_second_factor(SUPPORT)
    before = person_of(SUPPORT)
    admin.post(f"/people/{before.id}/{deed}", reason="  \n ")
    assert said(admin) == people_pages.SAY_WHY
    assert person_of(SUPPORT) == before


def test_closing_an_account_ends_its_sessions_and_opening_it_lets_its_person_in_again(
    dash: Dashboard, admin: Visitor
) -> None:
    colleague = dash.as_("support")
    path = f"/people/{id_of(SUPPORT)}"
    admin.post(f"{path}/disable", reason="left the company")
    assert last_action() == (ADMIN, "disable_user", "left the company", id_of(SUPPORT))
    assert colleague.get("/").status_code == 303
    assert dash.visitor().sign_in(SUPPORT).status_code == 200
    admin.post(f"{path}/disable", reason="left the company")
    assert said(admin) == "support@example.org is closed and signed out. support@example.org was closed already."
    admin.post(f"{path}/enable")
    assert last_action()[1] == "enable_user"
    assert dash.visitor().sign_in(SUPPORT).status_code == 302


def test_a_reset_password_is_shown_once_and_ends_the_sessions(dash: Dashboard, admin: Visitor) -> None:
    colleague = dash.as_("support")
    answer = admin.post(f"/people/{id_of(SUPPORT)}/password", reason="forgotten")
    password = re.search(r'id="one-time-password">([^<]+)<', answer.text).group(1)  # type: ignore[union-attr]
    assert colleague.get("/").status_code == 303
    assert dash.visitor().sign_in(SUPPORT, password).status_code == 302
    assert last_action()[:2] == (SUPPORT, "sign_in")


def test_a_reset_second_factor_is_gone(dash: Dashboard, admin: Visitor) -> None:
    give_second_factor(SUPPORT)
    half_signed_in(dash, SUPPORT)
    admin.post(f"/people/{id_of(SUPPORT)}/second-factor", reason="lost telephone")
    assert last_action() == (ADMIN, "reset_second_factor", "lost telephone", id_of(SUPPORT))
    assert dash.visitor().sign_in(SUPPORT).status_code == 302
    admin.post(f"/people/{id_of(SUPPORT)}/second-factor", reason="lost telephone")
    assert "Nothing was changed: support@example.org has no second factor." in said(admin)


@pytest.mark.parametrize(
    ("deed", "fields"),
    [
        ("roles", {"seen": "admin", "role": "viewer"}),
        ("roles", {"seen": "admin", "role": ["admin", "auditor"]}),
        ("disable", {}),
        ("password", {}),
        ("second-factor", {}),
    ],
)
def test_nobody_changes_their_own_rights_or_goes_round_their_own_password(
    dash: Dashboard, admin: Visitor, deed: str, fields: dict[str, str]
) -> None:
    people.create_user("second-admin@example.org", roles=["admin"])
    before = person_of(ADMIN)
    page = admin.get(f"/people/{before.id}").text
    assert f"/people/{before.id}/{deed}" not in page
    admin.post(f"/people/{before.id}/{deed}", reason="why not", **fields)
    assert "this is your own account" in said(admin).lower()
    assert person_of(ADMIN).roles == before.roles
    assert person_of(ADMIN).active
    assert admin.get("/people").status_code == 200


def test_the_last_active_administrator_stays_one(dash: Dashboard) -> None:
    people.create_user("second-admin@example.org", roles=["admin"])
    people.disable_user("second-admin@example.org")
    for change in (
        lambda: people.disable_user(ADMIN),
        lambda: people.set_roles(ADMIN, ["viewer"]),
        lambda: people.set_roles(ADMIN, []),
    ):
        with pytest.raises(PersonError) as refused:
            change()
        assert refused.value.code == "LAST_ADMIN"
    assert person_of(ADMIN).active
    assert person_of(ADMIN).roles == ("admin",)


def test_whoever_manages_by_another_role_counts_as_an_administrator(dash: Dashboard, database_url: str) -> None:
    import psycopg2

    with psycopg2.connect(database_url) as owner, owner.cursor() as cursor:
        cursor.execute("INSERT INTO staff_roles (name, permissions) VALUES ('office', '{read,manage}')")
    owner.close()
    people.set_roles(SUPPORT, ["office"])
    people.set_roles(ADMIN, ["viewer"])
    with pytest.raises(PersonError, match="last active administrator"):
        people.disable_user(SUPPORT)


def test_two_administrators_who_close_each_other_at_once_leave_one(dash: Dashboard) -> None:
    second = "second-admin@example.org"
    for _ in range(5):
        with connected():
            if not fetch_all("SELECT FROM staff_users WHERE email = %s", (second,)):
                people.create_user(second, roles=["admin"])
            execute("UPDATE staff_users SET active = true")

        def close(pair: tuple[str, str]) -> str:
            try:
                people.disable_user(pair[0], actor=pair[1])
            except PersonError as error:
                return error.code
            return "closed"

        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(close, [(ADMIN, second), (second, ADMIN)]))
        assert sorted(answers) == ["LAST_ADMIN", "closed"]


# --- sessions


def end_names(text: str) -> list[str]:
    return re.findall(r'name="session" value="([0-9a-f]{64})"', text)


def test_an_administrator_ends_one_session_or_all_of_somebody(dash: Dashboard, admin: Visitor) -> None:
    path = f"/people/{id_of(SUPPORT)}"
    first = dash.as_("support")
    [name] = end_names(admin.get(path).text)
    others = [dash.as_("support"), dash.as_("support")]
    admin.post(f"{path}/end-session", session=name)
    assert last_action()[:2] == (ADMIN, "end_session")
    assert [visitor.get("/").status_code for visitor in (first, *others)] == [303, 200, 200]
    admin.post(f"{path}/end-session", session=name)
    assert said(admin) == "That session has ended. That session had ended already."
    admin.post(f"{path}/end-sessions", reason="stolen laptop")
    assert [visitor.get("/").status_code for visitor in others] == [303, 303]
    assert last_action() == (ADMIN, "sign_out_everywhere", "stolen laptop", id_of(SUPPORT))
    assert admin.get(path).status_code == 200


def test_one_ends_a_session_of_ones_own_and_of_nobody_else(dash: Dashboard) -> None:
    here, elsewhere, colleague = dash.as_("support"), dash.as_("support"), dash.as_("viewer")
    [name] = end_names(here.get("/account").text)
    [theirs] = end_names(dash.as_("viewer").get("/account").text)
    for wanted in (theirs, "", "rubbish", "00" * 32):
        here.post("/account/end-session", session=wanted)
    assert [visitor.get("/").status_code for visitor in (elsewhere, colleague)] == [200, 200]
    here.get("/account")
    here.post("/account/end-session", session=name)
    assert [visitor.get("/").status_code for visitor in (here, elsewhere, colleague)] == [200, 303, 200]
    assert last_action()[:2] == (SUPPORT, "end_session")


def test_a_sessions_name_opens_nothing(dash: Dashboard) -> None:
    here, _ = dash.as_("support"), dash.as_("support")
    [name] = end_names(here.get("/account").text)
    thief = dash.visitor()
    thief.client.set_cookie("dispatchlog", name)
    assert thief.get("/").status_code == 303


@pytest.mark.parametrize("user_id", ["0", "2147483648", "99999999999999999999"])
def test_an_account_that_is_not_there(admin: Visitor, user_id: str) -> None:
    assert admin.get(f"/people/{user_id}").status_code == 404
    assert admin.post(f"/people/{user_id}/disable", reason="x").status_code == 404
    assert admin.get(f"/people?after={user_id}").status_code == 200


# --- roles


def test_the_roles_page_says_what_the_data_says(dash: Dashboard, database_url: str) -> None:
    import psycopg2

    with psycopg2.connect(database_url) as owner, owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO staff_roles (name, description, permissions) VALUES"
            " ('reviewer', 'Sees results of their own patients', '{read,results}')"
        )
    owner.close()
    text = dash.as_("viewer").get("/roles").text
    assert "Sees results of their own patients." in text
    allowed = {}
    for title, cells in re.findall(r'<th scope="row"><strong>(.*?)</strong>.*?</th>(.*?)</tr>', text, re.S):
        allowed[title] = set(re.findall(r'data-label="([a-z]+)"><span class="yes">', cells))
    assert allowed["Act on dispatches"] == {"support", "pharmacist", "admin"}
    assert allowed["Manage people"] == {"admin"}
    assert allowed["See who did what"] == {"auditor", "admin"}
    assert allowed["See what is sent"] == {"viewer", "support", "pharmacist", "auditor", "admin", "reviewer"}
    assert allowed["results"] == {"reviewer"}
    assert allowed["Take part in tickets"] == {"doctor", "patient", "pharmacist"}
    assert allowed["Oversee tickets"] == {"viewer", "support", "auditor", "admin"}
    assert allowed["Open a ticket in an emergency"] == {"support", "admin"}


def test_every_permission_of_the_pages_has_words(dash: Dashboard) -> None:
    from dashboard.access import PUBLIC, SIGNED_IN, permission_of
    from dashboard.role_wording import PERMISSIONS

    needed = {permission_of(dash.app, endpoint) for endpoint in dash.app.view_functions} - {None, PUBLIC, SIGNED_IN}
    assert needed <= {permission.key for permission in PERMISSIONS}


def test_only_administrators_and_auditors_see_the_office(dash: Dashboard) -> None:
    menus = {role: dash.as_(role).get("/").text for role in ("viewer", "auditor", "admin")}
    assert {role: ('href="/people"' in text, 'href="/audit"' in text) for role, text in menus.items()} == {
        "viewer": (False, False),
        "auditor": (False, True),
        "admin": (True, True),
    }


def test_a_persons_page_says_what_their_roles_allow_together(admin: Visitor) -> None:
    people.set_roles(SUPPORT, ["viewer", "auditor"])
    page = admin.get(f"/people/{id_of(SUPPORT)}").text
    shown = re.findall(r"<span>(.*?)</span>", page.partition('class="may-list"')[2].partition("</ul>")[0])
    assert shown == [
        "See what is sent",
        "Export lists",
        "Oversee tickets",
        "See messages to patients",
        "See who did what",
    ]
