"""The page of how long data stay: days are set and things kept back with a reason, by administrators alone."""

from __future__ import annotations

import re

import pytest

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.retention.holds import Scope, holds, keep
from dispatchlog.retention.policies import policy_named
from tests.dashboard.browsing import Dashboard


def test_an_administrator_changes_how_long_something_stays(dash: Dashboard) -> None:
    admin = dash.as_("admin")
    answer = admin.post("/data/days", follow=True, policy="comm_job texts", days="180", reason="policy of 2026")
    assert "comm_job texts: after 180 days." in answer.text
    assert "never." in admin.post("/data/days", follow=True, policy="comm_job texts", days="", reason="a study").text
    assert policy_named("comm_job texts").days is None
    with connected():
        assert fetch_all("SELECT actor, reason FROM operator_actions WHERE action = 'retention_set' ORDER BY id") == [
            ("admin@example.org", "policy of 2026"),
            ("admin@example.org", "a study"),
        ]


@pytest.mark.parametrize(
    "form",
    [
        {"policy": "comm_job texts", "days": "29", "reason": "space"},
        {"policy": "comm_job texts", "days": "-1", "reason": "space"},
        {"policy": "comm_job texts", "days": "1e3", "reason": "space"},
        {"policy": "comm_job texts", "days": "180", "reason": " "},
        {"policy": "another", "days": "180", "reason": "space"},
    ],
)
def test_what_is_not_allowed_changes_nothing_and_is_said(dash: Dashboard, form: dict[str, str]) -> None:
    answer = dash.as_("admin").post("/data/days", follow=True, **form)
    assert "Nothing was changed" in answer.text or "whole number" in answer.text
    assert policy_named("comm_job texts").days == 365


def test_the_policies_of_a_lane_stand_together_under_its_title(dash: Dashboard) -> None:
    page = dash.as_("admin").get("/data").text
    titles = re.findall(r'data-label="What"><div>([^<]+)<span', page)
    first = titles.index("Messages to patients")
    assert titles[first + 1 : first + 3] == ["Messages to patients: payloads", "Messages to patients: texts"]
    assert "2555 days (7 years)" in page


def test_something_is_kept_back_shown_masked_and_let_go(dash: Dashboard) -> None:
    admin = dash.as_("admin")
    form = {"scope": "patient", "value": "ada@example.org", "reason": "dispute 81"}
    assert "is in force" in admin.post("/data/hold", follow=True, **form).text
    (held,) = holds()
    assert (held.scope, held.value, held.held_by) == ("patient", "ada@example.org", "admin@example.org")
    page = admin.get("/data").text
    assert "dispute 81" in page
    assert "ada@example.org" not in page
    assert "has ended" in admin.post("/data/release", follow=True, hold=str(held.id), reason="settled").text
    assert holds() == []


@pytest.mark.parametrize("form", [{"scope": "x", "value": "1"}, {"scope": "order", "value": " "}, {"scope": "order"}])
def test_a_hold_of_nothing_is_refused(dash: Dashboard, form: dict[str, str]) -> None:
    answer = dash.as_("admin").post("/data/hold", follow=True, reason="dispute 81", **form)
    assert "Nothing is kept back" in answer.text
    assert holds() == []


def test_a_hold_ends_with_a_reason_and_once(dash: Dashboard) -> None:
    kept = keep(Scope.ORDER, "81", actor="cli", reason="dispute 81")
    admin = dash.as_("admin")
    for form in ({"hold": str(kept.id), "reason": ""}, {"hold": "x", "reason": "y"}, {"hold": "81", "reason": "y"}):
        assert "Nothing was changed" in admin.post("/data/release", follow=True, **form).text
    assert len(holds()) == 1


def test_others_do_not_see_the_page(dash: Dashboard) -> None:
    assert dash.as_("support").get("/data").status_code == 403
