"""Reasons are plain text: what PostgreSQL refuses, what steers a terminal and what turns a line around is left out."""

from __future__ import annotations

import pytest

from dispatchlog.engine.database import connected, fetch_one
from tests.dashboard.browsing import Dashboard

NASTY = "wrong\x00 \x1b[2Jtemplate\u202egnp\x07"
PLAIN = "wrong [2Jtemplate gnp"
LANE = "health_information"
ROW = f"{LANE}/00000000-0000-0000-0000-000000000000"


def test_a_reason_is_kept_as_plain_text(dash: Dashboard) -> None:
    dash.as_("support").post("/pausing/pause", target=LANE, reason=NASTY)
    with connected():
        assert fetch_one("SELECT reason FROM dispatch_holds")[0] == PLAIN
        assert fetch_one("SELECT reason FROM operator_actions WHERE action = 'pause'")[0] == PLAIN


@pytest.mark.parametrize(
    "path",
    [
        *(f"/dispatches/{ROW}/{act}" for act in ("retry", "cancel", "confirm-sent", "confirm-not-sent", "recipient")),
        f"/dispatches/{ROW}/reveal-content",
        f"/in-doubt/{ROW}/escalate",
        f"/in-doubt/{ROW}/withdraw",
        "/incidents/replays",
        "/incidents/replays/1/stop",
        "/bulk/00000000-0000-0000-0000-000000000000/begin",
    ],
)
def test_nothing_breaks_over_a_reason_or_a_cause_that_is_no_text(dash: Dashboard, path: str) -> None:
    fields = {"reason": NASTY, "gateway": "smtp\x00", "cause": "\x00", "recipient": "a@example.org"}
    assert dash.as_("support").post(path, **fields).status_code in (303, 404)


@pytest.mark.parametrize("reason", ["\x00", "\u202e \x1b"])
def test_what_shows_nothing_is_no_reason(dash: Dashboard, reason: str) -> None:
    answer = dash.as_("support").post("/pausing/pause", follow=True, target=LANE, reason=reason)
    assert "Say why it is paused" in answer.text
