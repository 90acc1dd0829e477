"""A list as a file: whole, masked, harmless to spreadsheets, without much memory, and kept in the log."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest

from dashboard import export
from dashboard.csv_file import safe_cell
from dispatchlog.engine.database import connected, database, fetch_all
from dispatchlog.settings import Settings
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.crowds import crowd, failed_forms, set_all
from tests.dashboard.samples import form_in, place_order


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def exported(visitor: Visitor, query: str = "", form: str = "csv") -> Any:
    visitor.get("/dispatches")
    answer = visitor.post(f"/dispatches/export?{query}", format=form)
    assert answer.data
    return answer


def logged() -> list[tuple[str, str, dict[str, Any]]]:
    with connected():
        return [
            (row[0], row[1], row[2])
            for row in fetch_all(
                "SELECT actor, action, detail FROM operator_actions WHERE action LIKE 'export%%' ORDER BY id"
            )
        ]


def test_csv_holds_the_filtered_list_with_recipients_masked(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1", email="ada.lovelace@example.org")
    form_in("IN_DOUBT", number="VO-2")
    answer = exported(dash.as_("auditor"), "status=FAILED&status=IN_DOUBT")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="dispatches-')
    assert answer.text.startswith("\ufeff")  # or Excel misreads every letter beyond ASCII
    rows = rows_of(answer.text)
    assert [(row["keys"], row["status"], row["cause"]) for row in rows] == [
        ("VO-2 KIT-VO-2", "IN_DOUBT", "SMTP_NO_REPLY"),
        ("VO-1 KIT-VO-1", "FAILED", "SMTP_550"),
    ]
    assert rows[1]["recipient"] == "a•••@example.org"
    assert "ada.lovelace" not in answer.text


def test_json_is_one_array_of_the_same_rows(dash: Dashboard) -> None:
    for number in ("VO-1", "VO-2"):
        form_in("SENT", number=number, email="ada.lovelace@example.org")
    answer = exported(dash.as_("support"), "lane=health_information", "json")
    rows = json.loads(answer.text)
    assert [row["keys"] for row in rows] == [["VO-2", "KIT-VO-2"], ["VO-1", "KIT-VO-1"]]
    assert rows[0]["recipient"] == "a•••@example.org"
    assert rows[0]["sent_at"].endswith("+00:00")
    assert "ada.lovelace" not in answer.text
    assert json.loads(exported(dash.as_("support"), "status=CANCELLED", "json").text) == []


def test_every_row_is_there_once_however_many_pages_and_whatever_moves(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 10)
    crowd("kit_registration", 95)
    support = dash.as_("support")
    support.get("/dispatches")
    answer = support.client.post(
        "/dispatches/export", data={"csrf_token": support.token, "format": "json"}, buffered=False
    )
    pages = answer.iter_encoded()
    read = [next(pages) for _ in range(4)]
    set_all("kit_registration", "updated_at = clock_timestamp()")  # everything moves to the front of the list
    read += list(pages)
    answer.close()
    rows = json.loads(b"".join(read))
    assert len(rows) == len({row["id"] for row in rows}) == 95


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", '=HYPERLINK("http://x")'],  # noqa: RUF001
)
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["VO-1", "", "a=b", "1-2", "a•••@example.org", None, 7])
def test_other_cells_stay_as_they_are(text: object) -> None:
    assert safe_cell(text) == ("" if text is None else str(text))


def test_a_hostile_order_number_is_text_in_the_file(dash: Dashboard) -> None:
    place_order('=HYPERLINK("http://evil.example","VO-1")', kits=("KIT-1",))
    (row,) = rows_of(exported(dash.as_("support")).text)
    assert row["keys"].startswith("'=HYPERLINK(")


def test_the_log_keeps_the_filter_and_how_many_rows(dash: Dashboard) -> None:
    failed_forms(3)
    exported(dash.as_("support"), "status=FAILED&cause=SMTP_550")
    words = "Status: Failed · Cause: SMTP_550"
    assert logged() == [
        ("support@example.org", "export", {"filter": words, "format": "csv"}),
        ("support@example.org", "export_ended", {"filter": words, "format": "csv", "rows": 3, "complete": True}),
    ]


def test_the_log_names_nobody_who_was_searched_for(dash: Dashboard) -> None:
    form_in("SENT", email="ada.lovelace@example.org")
    support = dash.as_("support")
    support.get("/dispatches")
    found = support.post("/search", q="ada.lovelace@example.org").location.partition("?")[2]
    assert len(rows_of(exported(support, found).text)) == 1
    assert all(detail["filter"] == "Search: a•••@example.org" for _, _, detail in logged())


def test_a_reader_who_hangs_up_is_logged_with_what_they_had(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 10)
    crowd("kit_registration", 50)
    support = dash.as_("support")
    support.get("/dispatches")
    answer = support.client.post(
        "/dispatches/export", data={"csrf_token": support.token, "format": "csv"}, buffered=False
    )
    pages = answer.iter_encoded()
    next(pages)
    next(pages)
    answer.close()
    _, (_, action, detail) = logged()
    assert action == "export_ended"
    assert (detail["rows"], detail["complete"]) == (10, False)


def test_a_reader_who_never_reads_is_logged_too(dash: Dashboard) -> None:
    support = dash.as_("support")
    support.get("/dispatches")
    answer = support.client.post("/dispatches/export", data={"csrf_token": support.token}, buffered=False)
    answer.close()
    assert [(action, detail.get("complete")) for _, action, detail in logged()] == [
        ("export", None),
        ("export_ended", False),
    ]


def test_no_connection_is_held_while_the_reader_is_slow(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 10)
    crowd("kit_registration", 50)
    support = dash.as_("support")
    support.get("/dispatches")
    answer = support.client.post("/dispatches/export", data={"csrf_token": support.token}, buffered=False)
    pages = answer.iter_encoded()
    next(pages)
    next(pages)
    assert database.is_closed()
    answer.close()


def test_a_long_list_needs_little_memory(dash: Dashboard, settings_env: Settings) -> None:
    crowd("kit_registration", 20_000)
    support = dash.as_("support")
    support.get("/dispatches")
    answer = support.client.post(
        "/dispatches/export", data={"csrf_token": support.token, "format": "csv"}, buffered=False
    )
    tracemalloc.start()
    size = sum(len(page) for page in answer.iter_encoded())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    answer.close()
    assert size > 4_000_000
    assert peak < 8_000_000


@pytest.mark.parametrize("query", ["status=LOST", "cause=%20%3C", "found=gone", "lane=pigeons"])
def test_half_a_filter_lets_nothing_out(dash: Dashboard, query: str) -> None:
    form_in("SENT", email="ada.lovelace@example.org")
    answer = exported(dash.as_("support"), query)
    assert answer.status_code == 400
    assert logged() == []


def test_an_unknown_form_is_refused(dash: Dashboard) -> None:
    assert exported(dash.as_("support"), form="exe").status_code == 400


def test_only_who_may_export_is_offered_it(dash: Dashboard) -> None:
    form_in("SENT")
    assert "/dispatches/export" in dash.as_("auditor").get("/dispatches").text
    for role in ("viewer", "pharmacist"):
        assert "/dispatches/export" not in dash.as_(role).get("/dispatches").text


def test_an_export_without_a_token_of_the_page_is_refused(dash: Dashboard) -> None:
    support = dash.as_("support")
    assert support.client.post("/dispatches/export", data={"format": "csv"}).status_code == 400
    assert support.client.get("/dispatches/export").status_code == 405
