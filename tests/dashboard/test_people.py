"""Accounts: making, changing and closing them."""

from __future__ import annotations

import pytest

from dashboard import create_app
from dispatchlog import people
from dispatchlog.engine.database import connected, fetch_all, fetch_one
from dispatchlog.passwords import PasswordRefused
from dispatchlog.people import PersonError
from dispatchlog.settings import Settings
from tests.dashboard.browsing import ROLES, Dashboard

GOOD = "eleven geese at dawn"


def is_to_be_replaced(email: str) -> bool:
    """Whether the account's password is one that was made for it."""
    [person] = [person for person in people.list_users() if person.email == email]
    return person.password_chosen_at is None


def test_the_first_administrator_is_made_once(settings_env: Settings, cheap_passwords: None) -> None:
    create_app(settings_env)
    assert people.ensure_first_admin("first@example.org")
    [admin] = people.list_users()
    assert admin.roles == ("admin",)
    assert is_to_be_replaced("first@example.org")
    assert people.ensure_first_admin("second@example.org") is None
    assert len(people.list_users()) == 1


def test_a_password_that_was_made_signs_in_and_is_to_be_replaced(dash: Dashboard) -> None:
    _, password = people.create_user("new@example.org", roles=["viewer"])
    assert len(password) >= 16
    assert is_to_be_replaced("new@example.org")
    assert dash.visitor().sign_in("new@example.org", password).status_code == 302


def test_a_password_that_was_given_stays(dash: Dashboard) -> None:
    _, password = people.create_user("new@example.org", roles=["viewer"], password=GOOD)
    assert password == GOOD
    assert not is_to_be_replaced("new@example.org")


def test_a_new_password_from_an_administrator_is_to_be_replaced(dash: Dashboard) -> None:
    people.set_password("viewer@example.org")
    assert is_to_be_replaced("viewer@example.org")


def test_a_weak_password_makes_no_account(dash: Dashboard) -> None:
    with pytest.raises(PasswordRefused):
        people.create_user("new@example.org", roles=["viewer"], password="new123456789")
    assert len(people.list_users()) == len(ROLES)


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
    assert len(people.list_users()) == len(ROLES)


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
