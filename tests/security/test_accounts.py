"""Items 8 and 11: what a stranger learns of accounts at the sign-in, and that none is there before somebody makes it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import argon2.low_level
import psycopg2
import pytest

from dispatchlog import people
from tests.dashboard.browsing import Dashboard

COSTLY = ("hash_secret", "verify_secret")


def test_item_8_whoever_is_unknown_closed_or_wrong_costs_one_hashing_each(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.disable_user("auditor@example.org")
    done: Counter[str] = Counter()

    def counted(name: str, work: Any) -> Any:
        def count(*given: Any, **named: Any) -> Any:
            done[name] += 1
            return work(*given, **named)

        return count

    for name in COSTLY:
        monkeypatch.setattr(argon2.low_level, name, counted(name, getattr(argon2.low_level, name)))
    spent, said = {}, set()
    for email in ("viewer@example.org", "nobody@example.org", "auditor@example.org"):
        visitor = dash.visitor()
        visitor.get("/sign-in")
        done.clear()
        answer = visitor.post("/sign-in", email=email, password="a wrong password of tests")
        spent[email] = done.total()
        said.add((answer.status_code, "do not match an account" in answer.text))
    assert said == {(200, True)}
    assert spent == dict.fromkeys(spent, 1)


def test_item_11_a_new_installation_has_no_account_no_session_and_no_token(database_url: str) -> None:
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        for table in ("staff_users", "web_sessions", "service_tokens", "staff_user_roles"):
            cursor.execute("SELECT to_regclass(%s)", (table,))
            if cursor.fetchone() == (None,):
                pytest.fail(f"there is no table {table} any more")
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,), table
    connection.close()
