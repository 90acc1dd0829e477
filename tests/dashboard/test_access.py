"""Who may open what: every route of the application with every role. A route that is not listed here fails the test."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from dashboard.access import needs, permission_of
from dashboard.headers import POLICY
from tests.dashboard.browsing import ROLES, Dashboard, Visitor
from tests.dashboard.samples import form_in

EVERYBODY = ("", *ROLES)
STAFF = ROLES
ACTING = ("support", "pharmacist", "admin")
EXPORTING = ("support", "auditor", "admin")
CONTROLLING = ("support", "admin")
AUDITING = ("auditor", "admin")
MANAGING = ("admin",)

# Endpoint -> who may use it; "" is a visitor who is not signed in.
MATRIX: dict[str, tuple[str, ...]] = {
    "static": EVERYBODY,
    "security.static": EVERYBODY,
    "security.login": EVERYBODY,
    "security.logout": EVERYBODY,
    "probes.alive": EVERYBODY,
    "probes.ready": EVERYBODY,
    "metrics.show": EVERYBODY,
    "form.show": EVERYBODY,
    "account.show": STAFF,
    "account.choose_password": STAFF,
    "account.sign_out_everywhere": STAFF,
    "overview.show": STAFF,
    "dispatches.every_lane": STAFF,
    "dispatches.one_lane": STAFF,
    "dispatches.search": STAFF,
    "export.dispatches": EXPORTING,
    "bulk.every_run": STAFF,
    "bulk.prepare": ACTING,
    "bulk.show": STAFF,
    "bulk.begin": ACTING,
    "bulk.download": EXPORTING,
    "dispatch.show": STAFF,
    "dispatch.show_html": STAFF,
    "doubts.show": STAFF,
    "doubts.escalate": ACTING,
    "doubts.withdraw": ACTING,
    "incidents.show": STAFF,
    "incidents.show_replay": STAFF,
    "incidents.start": ACTING,
    "incidents.stop": ACTING,
    "incidents.resume": ACTING,
    "incidents.end": ACTING,
    "upcoming.show": STAFF,
    "subjects.find": STAFF,
    "subjects.search": STAFF,
    "subjects.show": STAFF,
    "kit_orders.every_order": STAFF,
    "kit_orders.one_order": STAFF,
    "alerts.show": STAFF,
    "live.stream": STAFF,
    "pausing.show": STAFF,
    "pausing.pause": CONTROLLING,
    "pausing.resume": CONTROLLING,
    "act.retry": ACTING,
    "act.cancel": ACTING,
    "act.confirm_sent": ACTING,
    "act.confirm_not_sent": ACTING,
    "act.ask_provider": ACTING,
    "act.correct_recipient": ACTING,
    "act.reveal": ACTING,
    "act.unmask_content": ACTING,
    "mailbox.every_mail": ACTING,
    "mailbox.one_mail": ACTING,
    "mailbox.mail_html": ACTING,
}
ENDING_SESSIONS = ("security.logout", "account.sign_out_everywhere")
VALUES = {
    "lane_name": "health_information",
    "dispatch_id": uuid4(),
    "order_id": uuid4(),
    "replay_id": 7,
    "run_id": uuid4(),
    "token": "none",
    "key": "none",
    "filename": "app.css",
}


def pages(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("api.")]


def test_every_route_stands_in_the_matrix(dash: Dashboard) -> None:
    assert {rule.endpoint for rule in pages(dash.app)} == set(MATRIX)


def test_every_role_reaches_what_the_matrix_says_and_nothing_else(dash: Dashboard) -> None:
    wrong = []
    for role in EVERYBODY:
        visitor = dash.as_(role) if role else dash.visitor()
        visitor.get("/" if role else "/sign-in")
        for rule in pages(dash.app):
            if rule.endpoint in ENDING_SESSIONS:
                continue  # would end the session that the next routes need; they have tests of their own
            for method in sorted((rule.methods or set()) & {"GET", "POST"}):
                if allowed(dash, visitor, rule, method) != (role in MATRIX[rule.endpoint]):
                    wrong.append((role, method, rule.rule))
    assert wrong == []


def allowed(dash: Dashboard, visitor: Visitor, rule: Rule, method: str) -> bool:
    with dash.app.test_request_context():
        path = dash.app.url_map.bind("localhost").build(rule.endpoint, {name: VALUES[name] for name in rule.arguments})
    answer = visitor.get(path) if method == "GET" else visitor.post(path)
    assert answer.status_code < 500, (method, path)
    to_sign_in = answer.status_code == 303 and answer.location.startswith("/sign-in")
    return answer.status_code != 403 and not to_sign_in


def test_a_route_that_declares_nothing_is_refused(dash: Dashboard) -> None:
    dash.app._got_first_request = False
    dash.app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    assert permission_of(dash.app, "forgotten") is None
    assert dash.as_("admin").get("/forgotten").status_code == 403


def test_declaring_a_permission_leaves_the_view_as_it_is() -> None:
    def view() -> str:
        return "shown"

    assert needs("read")(view)() == "shown"


@pytest.mark.parametrize("method", ["put", "delete", "patch", "trace"])
def test_other_methods_are_refused(dash: Dashboard, method: str) -> None:
    visitor = dash.as_("admin")
    answer = visitor.client.open("/dispatches", method=method.upper(), headers={"X-CSRFToken": visitor.token})
    assert answer.status_code == 405


def test_a_viewer_sees_no_buttons_and_cannot_act_by_hand(dash: Dashboard) -> None:
    row = form_in("FAILED")
    page = f"/dispatches/health_information/{row['id']}"
    viewer = dash.as_("viewer")
    shown = viewer.get(page).text
    assert f"{page}/retry" not in shown
    assert f"{page}/reveal" not in shown
    assert viewer.post(f"{page}/retry").status_code == 403
    assert form_unchanged(row)


def form_unchanged(row: object) -> bool:
    from tests.dashboard.samples import the_row

    return the_row("health_information")["status"] == row["status"]  # type: ignore[index]


@pytest.mark.parametrize("path", ["/", "/dispatches", "/kit-orders", "/sign-in", "/nope", "/healthz"])
def test_every_answer_carries_the_security_headers(dash: Dashboard, path: str) -> None:
    headers = dash.as_("viewer").get(path).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert "unsafe-inline" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_static_files_may_be_kept_for_ever_where_their_address_names_their_content(dash: Dashboard) -> None:
    page = dash.visitor().get("/sign-in").text
    address = re.search(r'href="(/static/app\.css\?v=[^"]+)"', page).group(1)  # type: ignore[union-attr]
    assert "immutable" in dash.visitor().get(address).headers["Cache-Control"]
    assert dash.visitor().get("/static/app.css").headers["Cache-Control"] == "no-cache"


def test_no_page_holds_inline_scripts_or_styles(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    visitor = dash.as_("admin")
    for path in ("/", "/dispatches", f"/dispatches/health_information/{row['id']}", f"/kit-orders/{row['order_id']}"):
        text = visitor.get(path).text
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert " onclick=" not in text
