"""The button that stops a bulk action: who has it, what it says afterwards, and what is refused."""

from __future__ import annotations

import csv
import io
import re
from itertools import chain, repeat

import pytest

from dispatchlog import bulk
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.crowds import failed_forms, how_many
from tests.dashboard.test_bulk import preview


def under_way(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page of a run of five of which two are done."""
    monkeypatch.setattr(bulk, "BATCH", 2)
    failed_forms(5)
    address = preview(visitor, "status=FAILED").partition("?")[0]
    assert visitor.post(f"{address}/begin", reason="mended").status_code == 303
    asked = chain([False], repeat(True))
    bulk.go_on(stopping=lambda: next(asked))
    visitor.get(address)
    return address


def test_the_page_says_who_stopped_it_and_what_is_untouched(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    support = dash.as_("support")
    address = under_way(support, monkeypatch)
    answer = support.post(f"{address}/stop", reason=" the wrong\nselection ", back="/dispatches?status=FAILED")
    assert answer.status_code == 303
    text = support.get(answer.location).text
    assert 'href="/dispatches?status=FAILED"' in text
    assert "2 of 5 retried; 3 not touched." in text
    assert text.count("Not touched: stopped by support@example.org.") == 3
    assert "the wrong selection" in text
    assert f"{address}/stop" not in text
    assert how_many("health_information_dispatch_logs", "status = 'FAILED'") == 3
    listed = support.get("/bulk").text
    assert "3 not touched: stopped by support@example.org" in listed
    filtered = support.get(f"{address}?result=STOPPED").text
    assert re.findall(r'class="row-link"[^>]*>([^<]+)</a>', filtered) == ["VO-3", "VO-4", "VO-5"]
    report = csv.DictReader(io.StringIO(support.post(f"{address}/report").text.removeprefix("\ufeff")))
    assert [row["result"] for row in report] == ["DONE"] * 2 + ["STOPPED"] * 3
    journal = dash.as_("auditor").get("/audit?action=bulk_stop").text
    assert "Stopped a bulk action" in journal
    assert "the wrong selection" in journal


def test_untouched_ones_can_be_acted_on_anew(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    support = dash.as_("support")
    support.post(f"{under_way(support, monkeypatch)}/stop", reason="not yet")
    again = preview(support, "status=FAILED").partition("?")[0]
    support.post(f"{again}/begin", reason="mended")
    bulk.go_on()
    assert "3 of 3 retried" in support.get(again).text


def test_it_is_for_those_who_may_act_and_for_whoever_began_it(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    support, viewer, auditor = dash.as_("support"), dash.as_("viewer"), dash.as_("auditor")
    address = under_way(support, monkeypatch)
    for other in (viewer, auditor):
        assert f"{address}/stop" not in other.get(address).text
        assert other.post(f"{address}/stop", reason="please").status_code == 403
    began_it(address, "viewer@example.org")  # whose role was changed since
    assert f"{address}/stop" in viewer.get(address).text
    assert auditor.post(f"{address}/stop", reason="please").status_code == 403
    assert viewer.post(f"{address}/stop", reason="a mistake of mine").status_code == 303
    assert "Not touched: stopped by viewer@example.org." in auditor.get(address).text


def began_it(address: str, person: str) -> None:
    from dispatchlog.engine.database import execute, transaction

    with transaction("test"):
        execute("UPDATE bulk_runs SET started_by = %s WHERE id = %s", (person, address.rpartition("/")[2]))


def test_without_a_reason_or_twice_nothing_is_stopped(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    support = dash.as_("support")
    address = under_way(support, monkeypatch)
    answer = support.post(f"{address}/stop", reason="  ", follow=True).text
    assert "Say why: the reason stays with the bulk action." in answer
    assert "2 of 5 retried." in answer
    support.post(f"{address}/stop", reason="enough")
    assert "Nothing was stopped: it is over already." in support.post(f"{address}/stop", reason="x", follow=True).text
    assert how_many("operator_actions", "action = 'bulk_stop'") == 1
    waiting = preview(support, "status=FAILED").partition("?")[0]
    assert "it has not begun" in support.post(f"{waiting}/stop", reason="x", follow=True).text
