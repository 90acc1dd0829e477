"""The examination says whether the application could read tickets past their policies."""

from __future__ import annotations

import pytest

from dispatchlog.doctor import Check, examine
from dispatchlog.engine.database import database
from dispatchlog.settings import Settings
from tests.engine.lane import APPLICATION_ROLE, owner


def tickets(settings: Settings) -> Check:
    try:
        return next(check for check in examine(settings) if check.name == "tickets")
    finally:
        database.close_all()


def test_the_application_as_it_is_installed_is_bound(settings_env: Settings) -> None:
    assert tickets(settings_env).state == "ok"


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("ALTER TABLE chat_messages DISABLE ROW LEVEL SECURITY", "chat_messages has no row-level security"),
        (f"ALTER TABLE prescriptions OWNER TO {APPLICATION_ROLE}", f"{APPLICATION_ROLE} owns prescriptions"),
    ],
    ids=["no policies", "an owner"],
)
def test_a_way_round_the_policies_is_named(settings_env: Settings, sql: str, found: str) -> None:
    with owner(settings_env.database_url) as cursor:
        cursor.execute(sql)
    check = tickets(settings_env)
    assert check.state == "failed"
    assert found in check.what


def test_a_role_that_owns_the_tables_is_named(settings_env: Settings) -> None:
    with owner(settings_env.database_url) as cursor:
        cursor.execute("SELECT current_user")
        settings = settings_env.model_copy(update={"application_role": cursor.fetchone()[0]})
    check = tickets(settings)
    assert check.state == "failed"
    assert "superuser" in check.what or "owns healthcare_tickets" in check.what
