"""Who did what: the list, its filters and pages, its export, and that no query of it walks the whole log."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from dashboard import audit_queries
from dashboard.audit_filter import AuditFilter, Place, name_of_actor
from dashboard.audit_wording import about
from dashboard.csv_file import safe_cell as cell
from dispatchlog import people
from dispatchlog.audit.anchors import write_anchor
from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all
from dispatchlog.audit.verifying import verify
from dispatchlog.engine import database as engine_database
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one
from dispatchlog.engine.operator import log_action
from tests.dashboard.browsing import Dashboard, Visitor, action, page_of
from tests.dashboard.samples import form_in

SUPPORT = "support@example.org"


def shown(text: str) -> list[tuple[str, str]]:
    """Who and what of each entry, in their order."""
    return re.findall(r'data-label="Who"><span[^>]*>(.*?)</span>.*?<strong>(.*?)</strong>', text, re.S)


@pytest.fixture
def auditor(dash: Dashboard) -> Visitor:
    visitor = dash.as_("auditor")
    with connected():
        execute("SET ROLE NONE")
        execute("ALTER TABLE operator_actions DISABLE TRIGGER USER")
        execute("DELETE FROM operator_actions")
        execute("ALTER TABLE operator_actions ENABLE TRIGGER USER")
    engine_database.database.close_all()
    visitor.get("/audit")
    return visitor


@pytest.mark.parametrize(
    ("value", "words"), [(True, "yes"), (False, "no"), (None, "none"), (0, "0"), (["a", "b"], "a, b")]
)
def test_what_an_entry_says_is_in_words(value: object, words: str) -> None:
    assert about({"order_id": value}, {}, actor="") == f"order id: {words}"


def test_what_people_do_is_listed_newest_first_and_leads_to_its_dispatch(dash: Dashboard, auditor: Visitor) -> None:
    row = form_in("FAILED", number="VO-31415")
    support = dash.as_("support")
    support.get(page_of(row))
    support.post(action(row, "reveal"))
    support.post(action(row, "retry"), reason="mended")
    support.post(action(row, "cancel"), reason="ordered twice, ada@example.org")
    text = auditor.get("/audit").text
    assert shown(text) == [
        (SUPPORT, "Cancelled"),
        (SUPPORT, "Asked to try again"),
        (SUPPORT, "Looked at the recipient"),
        (SUPPORT, "Signed in"),
    ]
    assert f'href="{page_of(row)}?back=/audit">VO-31415' in text
    assert "“ordered twice, a•••@example.org”" in text
    assert "ada@example.org" not in text


def test_what_was_done_to_an_account_names_it(auditor: Visitor) -> None:
    people.create_user("new@example.org", roles=["viewer"], actor="admin@example.org")
    people.set_roles("new@example.org", ["support", "auditor"], actor="cli", reason="promoted")
    people.set_password("new@example.org", actor="admin@example.org")
    text = " ".join(re.sub(r"<[^>]+>", " ", auditor.get("/audit").text).split())
    assert "admin@example.org Reset a password new@example.org" in text
    assert "Command line Set roles “promoted” new@example.org, auditor and support instead of viewer" in text
    assert "admin@example.org Made an account new@example.org, as viewer" in text


def filled(auditor: Visitor, **fields: Any) -> list[tuple[str, str]]:
    """What the list shows after its form was sent."""
    answer = auditor.post("/audit/search", **fields)
    assert answer.status_code == 303
    assert "@" not in answer.location
    assert "%40" not in answer.location
    return shown(auditor.get(answer.location).text)


def test_each_filter_lets_through_what_it_says(dash: Dashboard, auditor: Visitor) -> None:
    first, second = form_in("FAILED", number="VO-771"), form_in("FAILED", number="VO-888")
    support, admin = dash.as_("support"), dash.as_("admin")
    for visitor, row, deed in ((support, first, "reveal"), (admin, second, "reveal"), (admin, first, "retry")):
        visitor.get(page_of(row))
        visitor.post(action(row, deed), reason="mended")
    looked, retried, signed = "Looked at the recipient", "Asked to try again", "Signed in"
    by_admin = name_of_actor("admin@example.org")
    assert filled(auditor, by=by_admin) == [
        ("admin@example.org", retried),
        ("admin@example.org", looked),
        ("admin@example.org", signed),
    ]
    assert filled(auditor, action="reveal") == [("admin@example.org", looked), (SUPPORT, looked)]
    assert filled(auditor, action="kind-dispatches") == [("admin@example.org", retried)]
    assert filled(auditor, action="kind-sign-in", by=name_of_actor(SUPPORT)) == [(SUPPORT, signed)]
    for key in ("vo-77", "VO-771", str(first["id"])):
        assert filled(auditor, q=key) == [("admin@example.org", retried), (SUPPORT, looked)], key
    assert filled(auditor, q="VO-771", action="reveal") == [(SUPPORT, looked)]
    assert filled(auditor, q="VO-771", by=by_admin) == [("admin@example.org", retried)]
    today = datetime.now(UTC).date()
    assert len(filled(auditor, **{"from": str(today), "to": str(today)})) == 5
    assert filled(auditor, **{"from": str(today + timedelta(days=1))}) == []
    assert filled(auditor, to=str(today - timedelta(days=1))) == []
    assert filled(auditor, q="VO-999") == []
    assert filled(auditor, by="0" * 16) == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("by=somebody", "Who did it could not be read"),
        ("action=DROP TABLE", "What was done could not be read"),
        ("from=yesterday", "From “yesterday” is not a date"),
        ("to=9999-12-31", "To “9999-12-31” is too far away"),
        ("at=rubbish", "The place in the list could not be read"),
        ("at=older.1.99999999999999999999", "The place in the list could not be read"),
        ("q=x", "Search for at least 2 characters"),
        ("q=ada@example.org", "not by the address of a person"),
        ("q=%2B4917012345", "not by the address of a person"),
    ],
)
def test_a_filter_that_cannot_be_read_is_named_and_the_rest_shown(auditor: Visitor, query: str, problem: str) -> None:
    log_action("cli", "create_user")
    answer = auditor.get(f"/audit?{query}")
    assert answer.status_code == 200
    assert problem in answer.text
    assert shown(answer.text) == [("Command line", "Made an account")]
    assert "ada@example.org" not in answer.text


def test_pages_follow_each_other_without_gaps_or_repeats_and_back(
    auditor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_queries, "PAGE_ROWS", 3)
    with connected():  # all at the same instant: their numbers decide
        execute("BEGIN")
        for number in range(8):
            execute(
                "INSERT INTO operator_actions (actor, action, at) VALUES (%s, %s, now())",
                ("cli", "retry" if number % 2 else "cancel"),
            )
        execute("COMMIT")
        ids = [row[0] for row in fetch_all("SELECT id FROM operator_actions ORDER BY id DESC")]
        for wanted in (AuditFilter(), AuditFilter(action="kind-dispatches")):
            seen, page = [], audit_queries.list_actions(wanted, {})
            while True:
                seen += [row["id"] for row in page.rows]
                if page.older is None:
                    break
                before, page = page, audit_queries.list_actions(AuditFilter(action=wanted.action, place=page.older), {})
                back = audit_queries.list_actions(AuditFilter(action=wanted.action, place=page.newer), {})
                assert [row["id"] for row in back.rows] == [row["id"] for row in before.rows]
            assert seen == ids


def test_a_place_survives_the_address(dash: Dashboard) -> None:
    from dashboard.audit_filter import parse_audit_filter

    place = Place(datetime(2026, 3, 14, 10, 22, 7, 123456, tzinfo=UTC), 42, newer=True)
    assert parse_audit_filter({"at": str(place)}).place == place


# --- export


def exported(visitor: Visitor, **fields: str) -> list[dict[str, str]]:
    answer = visitor.post("/audit/export", **fields)
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    assert re.match(r'attachment; filename="who-did-what-\d{8}-\d{4}\.csv"', answer.headers["Content-Disposition"])
    return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))


def test_the_export_holds_everything_that_the_filter_lets_through_and_is_kept(
    dash: Dashboard, auditor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_queries, "EXPORT_ROWS", 3)
    row = form_in("FAILED", number="VO-31415")
    for number in range(7):
        log_action(SUPPORT, "retry", lane="health_information", dispatch_id=row["id"], reason=f"try {number}")
    log_action("cli", "cancel")
    lines = exported(auditor, by=name_of_actor(SUPPORT))
    assert [line["Reason"] for line in lines] == [f"try {number}" for number in range(6, -1, -1)]
    assert all(line["Dispatch"].startswith("VO-31415 ") for line in lines)
    assert {line["Dispatch id"] for line in lines} == {str(row["id"])}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[0]["When (UTC)"])
    with connected():
        kept = fetch_all("SELECT actor, detail ->> 'filter' FROM operator_actions WHERE action = 'export_audit'")
    assert kept == [("auditor@example.org", f"by={SUPPORT}")]


def test_the_export_is_written_while_it_is_read(auditor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_queries, "EXPORT_ROWS", 2)
    for _ in range(5):
        log_action("cli", "retry")
    answer = auditor.client.post("/audit/export", data={"csrf_token": auditor.token})
    assert answer.is_streamed
    assert answer.headers.get("Content-Length") is None
    assert len(list(answer.iter_encoded())) == 1 + 3  # the header, and three lots of two, its own entry among them


def test_a_cell_is_no_formula_and_no_recipient_is_in_the_clear(auditor: Visitor) -> None:
    log_action("cli", "cancel", reason="=HYPERLINK(1)", detail={"to": "ada@example.org", "note": "+1"})
    log_action("cli", "cancel", reason="ask ada@example.org")
    lines = exported(auditor, action="cancel")
    assert [line["Reason"] for line in lines] == ["ask a•••@example.org", "'=HYPERLINK(1)"]
    assert "ada@" not in str(lines)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@A", "\t=1", "\r=1", "\n=1", " =1", "＝1"])  # noqa: RUF001
def test_what_a_spreadsheet_takes_for_a_formula_is_made_text(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell(f"a{text}") == f"a{text}"


def test_whoever_may_export_but_not_audit_exports_nothing_of_it(dash: Dashboard) -> None:
    support = dash.as_("support")
    assert support.post("/audit/export").status_code == 403
    assert support.post("/audit/search").status_code == 403


def test_whoever_may_audit_but_not_export_sees_no_button(dash: Dashboard, database_url: str) -> None:
    with psycopg2.connect(database_url) as owner, owner.cursor() as cursor:
        cursor.execute("UPDATE staff_roles SET permissions = '{read,audit}' WHERE name = 'auditor'")
    owner.close()
    visitor = dash.as_("auditor")
    assert "/audit/export" not in visitor.get("/audit").text
    assert visitor.post("/audit/export").status_code == 403


def test_the_log_cannot_be_changed_by_the_application(dash: Dashboard) -> None:
    with connected():
        assert not fetch_one(
            "SELECT has_table_privilege(current_user, 'operator_actions', 'UPDATE, DELETE, TRUNCATE')"
        )[0]


# --- speed


def test_no_query_of_the_list_walks_the_whole_log(dash: Dashboard, database_url: str) -> None:
    with psycopg2.connect(database_url) as owner, owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO operator_actions (actor, action, at, dispatch_id) SELECT 'person-' || i %% 20 || '@example.org',"
            " CASE WHEN i %% 1000 = 7 THEN 'cancel' WHEN i %% 5 = 0 THEN 'retry' ELSE 'sign_in' END,"
            " now() - i * interval '1 minute', CASE WHEN i %% 3 = 0 THEN gen_random_uuid() END"
            " FROM generate_series(1, 60000) i".replace("%%", "%")
        )
        cursor.execute("ANALYZE operator_actions")
    owner.close()
    row = form_in("FAILED", number="VO-31415")
    log_action(SUPPORT, "retry", lane="health_information", dispatch_id=row["id"])
    long_ago = datetime.now(UTC).date() - timedelta(days=30)
    place = Place(datetime.now(UTC) - timedelta(days=20), 5)
    actors = {"a" * 16: "person-3@example.org"}
    filters = [
        AuditFilter(),
        AuditFilter(place=place),
        AuditFilter(by="a" * 16),
        AuditFilter(action="cancel"),
        AuditFilter(by="a" * 16, action="cancel", place=place),
        AuditFilter(by="a" * 16, until=long_ago),
        AuditFilter(action="kind-sign-in", since=date(2020, 1, 1), until=long_ago),
        AuditFilter(since=long_ago, until=long_ago),
        AuditFilter(key="VO-31415"),
        AuditFilter(key=str(uuid4()), by="a" * 16),
    ]
    with connected():
        for wanted in filters:
            before = scanned()
            audit_queries.list_actions(wanted, actors)
            audit_queries.known_actors()
            audit_queries.known_actions()
            assert scanned() == before, wanted
            plan = plan_of(wanted, actors)
            assert "Seq Scan on operator_actions" not in plan, plan
            removed = sum(int(number) for number in re.findall(r"Rows Removed by Filter: (\d+)", plan))
            assert removed < 200, plan


def scanned() -> int:
    execute("SELECT pg_stat_force_next_flush()")
    return int(fetch_one("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'operator_actions'")[0])


def plan_of(wanted: AuditFilter, actors: dict[str, str]) -> str:
    """How PostgreSQL finds a page."""
    plans: list[str] = []
    fetch = audit_queries.fetch_dicts

    def explained(sql: str, params: list[Any]) -> list[dict[str, Any]]:
        plans.extend(row[0] for row in fetch_all(f"EXPLAIN ANALYZE {sql}", params))
        return fetch(sql, params)

    audit_queries.fetch_dicts = explained  # type: ignore[assignment]
    try:
        audit_queries.list_actions(wanted, actors)
    finally:
        audit_queries.fetch_dicts = fetch
    return "\n".join(plans)


def test_the_page_says_how_the_chain_stands(auditor: Visitor, tmp_path: Path) -> None:
    assert "Not yet" in auditor.get("/audit").text
    log_action(SUPPORT, "pause")
    seal_all(Horizon(), who="scheduler:here")
    write_anchor(tmp_path / "anchors", who="scheduler:here")
    verify(who="scheduler:here")
    facts = re.sub(
        r"<[^>]+>|\s+", " ", auditor.get("/audit").text.partition('class="facts-line"')[2].partition("</dl>")[0]
    )
    assert re.search(
        r"Last sealed .* seal 2 .*Last verified .* [1-9] rows, by .*Last anchor elsewhere .* seal 2 ", facts
    ), facts
    assert "does not hold" not in auditor.get("/audit").text


def test_the_page_says_that_the_chain_is_broken(auditor: Visitor) -> None:
    log_action(SUPPORT, "pause")
    seal_all(Horizon(), who="scheduler:here")
    with connected():
        execute("SET ROLE NONE")
        execute("ALTER TABLE operator_actions DISABLE TRIGGER keep_rows")
        execute("DELETE FROM operator_actions WHERE action = 'pause'")
        execute("ALTER TABLE operator_actions ENABLE ALWAYS TRIGGER keep_rows")
        execute("SET ROLE dispatchlog_app")
    verify(who="scheduler:here")
    page = auditor.get("/audit").text
    assert "The audit chain does not hold" in page
    assert "sealed rows are gone" in page
