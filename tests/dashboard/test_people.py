"""Accounts: making, changing and closing them."""

from __future__ import annotations

import pytest

from dispatchlog import people
from dispatchlog.engine.database import connected, fetch_all, fetch_one
from dispatchlog.people import PersonError
from tests.dashboard.browsing import Dashboard

GOOD = "eleven geese at dawn"


def test_the_first_administrator_is_made_once(dash: Dashboard) -> None:
    assert people.ensure_first_admin("first@example.org") is None


def test_a_one_time_password_signs_in(dash: Dashboard) -> None:
    _, password = people.create_user("new@example.org", roles=["viewer"])
    assert len(password) >= 16
    assert dash.visitor().sign_in("new@example.org", password).status_code == 302


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "PASSWORD_TOO_SHORT"),
        ("Password1234!", "PASSWORD_TOO_COMMON"),
        ("aaaaaaaaaaaaaaa", "PASSWORD_TOO_COMMON"),
        ("new123456789", "PASSWORD_TOO_COMMON"),
        ("123456789012", "PASSWORD_TOO_COMMON"),
    ],
)
def test_weak_passwords_are_refused(dash: Dashboard, password: str, code: str) -> None:
    with pytest.raises(PersonError) as refused:
        people.create_user("new@example.org", roles=["viewer"], password=password)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("email", "roles", "code"),
    [
        ("VIEWER@example.org", ["viewer"], "EMAIL_TAKEN"),
        ("no address", ["viewer"], "EMAIL_INVALID"),
        ("new@example.org", ["emperor"], "UNKNOWN_ROLE"),
    ],
)
def test_accounts_that_cannot_be_made(dash: Dashboard, email: str, roles: list[str], code: str) -> None:
    with pytest.raises(PersonError) as refused:
        people.create_user(email, roles=roles, password=GOOD)
    assert refused.value.code == code
    assert len(people.list_users()) == 4


def test_passwords_are_stored_with_argon2id(dash: Dashboard) -> None:
    with connected():
        assert {row[0].split("$")[1] for row in fetch_all("SELECT password FROM staff_users")} == {"argon2id"}


def test_every_change_of_an_account_is_kept(dash: Dashboard) -> None:
    people.create_user("new@example.org", roles=["viewer"], password=GOOD, actor="cli:ops")
    people.set_roles("new@example.org", ["support"], actor="cli:ops")
    people.disable_user("new@example.org", actor="cli:ops")
    with connected():
        kept = fetch_all("SELECT action FROM operator_actions WHERE actor = 'cli:ops' ORDER BY id")
    assert [row[0] for row in kept] == ["create_user", "set_roles", "disable_user"]


def test_the_list_shows_roles_and_no_passwords(dash: Dashboard) -> None:
    listed = {person.email: person for person in people.list_users()}
    assert listed["admin@example.org"].roles == ("admin",)
    assert not any("argon2" in str(person) for person in listed.values())


def test_an_unknown_account_is_named(dash: Dashboard) -> None:
    with pytest.raises(PersonError, match="there is no account"):
        people.disable_user("ghost@example.org")


def test_the_application_role_cannot_delete_accounts(dash: Dashboard) -> None:
    with connected():
        assert not fetch_one("SELECT has_table_privilege(current_user, 'staff_users', 'DELETE')")[0]
