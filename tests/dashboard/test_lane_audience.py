"""A lane's audience: whoever does not belong to it finds nothing of the lane, on no page, in no count and in no run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from werkzeug.routing import Rule

from dashboard.masking import mask
from dispatchlog.engine import escalation, holds, replay
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.systems import registry
from dispatchlog.systems.tickets.identity import acting_as
from dispatchlog.systems.tickets.notifications import LANE, enqueue_notification, subject_of
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.samples import form_in, lose_answer, refuse, send_due
from tests.dashboard.test_access import MATRIX, VALUES
from tests.systems.ticket_rows import Placed, sent_ticket
from tests.systems.ticket_samples import Care, make_care

SUPPORT = "support@example.org"
TITLE = "Ticket notifications"
# Their addresses are the search's own words, so only what it found can be looked for in its answer.
PARAMETERS = {
    "dispatches.every_lane": ("q={number}", "q={dispatch}", "lane={lane}", "status=FAILED", "cause=SMTP_550"),
    "doubts.show": ("lane={lane}", "escalated=1"),
    "incidents.show": ("days=30",),
    "upcoming.show": ("within=day&lane={lane}", "within=day"),
    "subjects.find": ("q={number}", "q={dispatch}"),
    "subjects.show": ("subject={subject}",),
    "kit_orders.every_order": ("q={number}",),
    "courier_orders.every_order": ("q={number}",),
}


@dataclass
class Planted:
    """Notifications of one ticket in every state, and what support did with them."""

    dash: Dashboard
    care: Care
    ticket: Placed
    rows: dict[str, Row]
    run_id: UUID
    replay_id: int

    @property
    def canaries(self) -> list[str]:
        """What nobody outside of the audience may read anywhere, whatever they asked for."""
        ids = [str(self.run_id), *(str(row["id"]) for row in self.rows.values())]
        address = str(self.rows["SENT"]["recipient_email"])
        return [*ids, self.ticket.number, str(self.ticket.ticket_id), address, mask(address), TITLE, "planted reason"]

    def filled(self, text: str) -> str:
        return text.format(
            number=self.ticket.number,
            dispatch=self.rows["FAILED"]["id"],
            lane=LANE,
            subject=subject_of(self.ticket.ticket_id),
        )


@pytest.fixture
def planted(dash: Dashboard) -> Planted:
    with connected():
        care = make_care()
        ticket = sent_ticket(care)
        rows = {state: _notify(care, ticket, state) for state in ("SENT", "FAILED", "IN_DOUBT", "PENDING")}
        escalation.escalate(
            registry.lane(LANE), rows["IN_DOUBT"]["id"], actor=SUPPORT, note="planted reason",
            claim_token=rows["IN_DOUBT"]["claim_token"],
        )  # fmt: skip
        _plant_alert_and_pauses()
        gateway = registry.lane(LANE).gateway.name
        replay_id = replay.start(
            registry.lanes(), gateway=gateway, cause="SMTP_550", since=rows["FAILED"]["created_at"], actor=SUPPORT,
            reason="planted reason",
        )  # fmt: skip
    run_id = _preview(dash.as_("support"), "cause=SMTP_550")
    return Planted(dash, care, ticket, rows, run_id, replay_id)


def _notify(care: Care, ticket: Placed, state: str) -> Row:
    about = {"id": ticket.ticket_id, "ticket_number": ticket.number, "ticket_type": "prescription", "trace_id": "trace"}
    with acting_as(care.doctor):
        enqueue_notification(about, kind="SENT", party_id=care.pharmacy.party_id, about=state)
    judges: dict[str, Any] = {"SENT": None, "FAILED": refuse, "IN_DOUBT": lose_answer}
    if state in judges:
        send_due(LANE, judges[state])
    return fetch_dicts("SELECT * FROM ticket_notifications WHERE about = %s", (state,))[0]


def _plant_alert_and_pauses() -> None:
    target = holds.Target("lane", LANE)
    with transaction("test"):
        for over in ("NULL", "now()"):
            execute(
                "INSERT INTO dispatch_alerts (kind, subject, summary, over_at)"
                f" VALUES ('in_doubt', '{LANE}', '1 in doubt: {TITLE}', {over})"
            )
    holds.hold(target, actor=SUPPORT, reason="planted reason")
    holds.release(target, actor=SUPPORT, reason="planted reason", lanes=registry.lanes(), waker=None)
    holds.hold(target, actor=SUPPORT, reason="planted reason")


def _preview(visitor: Visitor, query: str) -> UUID:
    visitor.get("/dispatches")
    answer = visitor.post(f"/bulk?{query}", action="retry", scope="matching")
    return UUID(answer.location.partition("?")[0].rpartition("/")[2])


def every_get(planted: Planted, role: str) -> Iterator[tuple[str, str]]:
    """Endpoint and address of every page that the role may read, with what was planted in its address."""
    values = VALUES | {
        "lane_name": LANE,
        "dispatch_id": planted.rows["FAILED"]["id"],
        "run_id": planted.run_id,
        "replay_id": planted.replay_id,
    }
    adapter = planted.dash.app.url_map.bind("localhost")
    rules: list[Rule] = [
        rule
        for rule in planted.dash.app.url_map.iter_rules()
        if role in MATRIX.get(rule.endpoint, ()) and "GET" in (rule.methods or ()) and rule.endpoint != "live.stream"
    ]
    for rule in rules:
        path = adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        yield rule.endpoint, path
        for query in PARAMETERS.get(rule.endpoint, ()):
            yield rule.endpoint, f"{path}?{planted.filled(query)}"


def test_a_pharmacist_finds_nothing_of_a_lane_for_others_on_any_page_and_support_does(planted: Planted) -> None:
    found: dict[str, set[str]] = {"pharmacist": set(), "support": set()}
    for role, seen in found.items():
        visitor = planted.dash.as_(role)
        for endpoint, path in every_get(planted, role):
            answer = visitor.get(path)
            assert answer.status_code < 500, path
            text = unescape(answer.text)
            if any(canary in text and canary not in path for canary in planted.canaries):
                seen.add(endpoint)
    assert found["pharmacist"] == set()
    assert found["support"] >= {
        "overview.show",
        "dispatches.every_lane",
        "dispatches.one_lane",
        "dispatch.show",
        "doubts.show",
        "incidents.show",
        "incidents.show_replay",
        "upcoming.show",
        "subjects.find",
        "subjects.show",
        "bulk.every_run",
        "bulk.show",
        "pausing.show",
        "alerts.show",
    }


def test_what_is_not_theirs_is_not_there_whatever_they_do_to_it(planted: Planted) -> None:
    visitor = planted.dash.as_("pharmacist")
    before = _rows_of()
    for state, row in planted.rows.items():
        page = f"/dispatches/{LANE}/{row['id']}"
        for action in (
            "retry", "cancel", "confirm-sent", "confirm-not-sent", "look-up", "recipient", "reveal", "reveal-content",
        ):  # fmt: skip
            answer = visitor.post(f"{page}/{action}", reason="it is asked", claim=row["claim_token"] or "")
            assert answer.status_code == 404, (state, action)
        for action in ("escalate", "withdraw"):
            assert visitor.post(f"/in-doubt/{LANE}/{row['id']}/{action}", reason="it is asked").status_code == 404
    for action in ("begin", "stop"):
        assert visitor.post(f"/bulk/{planted.run_id}/{action}", reason="it is asked").status_code == 404
    for action in ("stop", "resume", "end"):
        answer = visitor.post(f"/incidents/replays/{planted.replay_id}/{action}", reason="it is asked")
        assert answer.status_code == 404
    assert _rows_of() == before
    assert planted.dash.as_("support").post(f"/bulk/{planted.run_id}/begin", reason="it is asked").status_code == 303


def _asked(sql: str) -> list[Any]:
    with connected():
        return fetch_all(sql)


def _rows_of() -> list[Any]:
    return _asked(
        "SELECT id, status, in_doubt, updated_at FROM ticket_notifications"
        " UNION ALL SELECT NULL, state, NULL, NULL FROM bulk_runs"
        " UNION ALL SELECT NULL, state, NULL, NULL FROM dispatch_replays ORDER BY 1, 2"
    )


def test_they_select_and_replay_what_is_theirs_alone(planted: Planted) -> None:
    replay.end(planted.replay_id, actor=SUPPORT, reason="another one")
    own = form_in("FAILED")
    visitor = planted.dash.as_("pharmacist")
    _preview(visitor, "cause=SMTP_550")
    visitor.get("/dispatches")
    visitor.post("/bulk", action="retry", scope="ticked", pick=f"{LANE}:{planted.rows['FAILED']['id']}")
    items = "SELECT i.dispatch_id FROM bulk_items i JOIN bulk_runs r ON r.id = i.run_id WHERE r.created_by = "
    assert _asked(f"{items} 'pharmacist@example.org'") == [(own["id"],)]
    gateway = registry.lane(LANE).gateway.name
    visitor.post("/incidents/replays", gateway=gateway, cause="SMTP_550", days="30", reason="it is asked")
    assert _asked("SELECT lanes FROM dispatch_replays ORDER BY id DESC LIMIT 1") == [(["health_information"],)]
    assert visitor.get("/incidents").status_code == 200


def test_the_number_in_doubt_counts_what_they_may_see(planted: Planted) -> None:
    counts = {}
    for role in ("pharmacist", "support"):
        page = planted.dash.as_(role).get("/account").text
        counted = re.search(r'In doubt</span> <span class="nav-count">(\d+)<', page)
        counts[role] = counted and counted.group(1)
    assert counts == {"pharmacist": None, "support": "1"}


def test_a_role_that_gains_or_loses_the_permission_sees_it_at_once(planted: Planted) -> None:
    visitor = planted.dash.as_("pharmacist")
    page = f"/lanes/{LANE}"
    with transaction("test"):
        execute("INSERT INTO staff_user_roles SELECT u.id, r.id FROM staff_users u, staff_roles r"
                " WHERE u.email = 'pharmacist@example.org' AND r.name = 'viewer'")  # fmt: skip
    assert visitor.get(page).status_code == 200
    with transaction("test"):
        execute("DELETE FROM staff_user_roles WHERE role_id = (SELECT id FROM staff_roles WHERE name = 'viewer')")
    assert visitor.get(page).status_code == 404
