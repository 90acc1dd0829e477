"""Who may open what: every route of the application with every role. A route that is not listed here fails the test."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.access import needs, permission_of
from dashboard.headers import POLICY
from dispatchlog.people import create_user
from dispatchlog.settings import Settings
from tests.dashboard.browsing import PASSWORD, ROLES, STAFF, Dashboard, Visitor
from tests.dashboard.samples import form_in
from tests.dashboard.second_factors import give_second_factor, half_signed_in
from tests.dashboard.ticket_accounts import link_accounts

EVERYBODY = ("", *ROLES)
SIGNED_IN = ROLES
ACTING = ("support", "pharmacist", "admin")
EXPORTING = ("support", "auditor", "admin")
CONTROLLING = ("support", "admin")
AUDITING = ("auditor", "admin")
MANAGING = ("admin",)
TICKET_PARTIES = ("pharmacist", "doctor", "patient")
OVERSEEING = ("viewer", "support", "auditor", "admin")
EMERGENCY = ("support", "admin")
READING_MESSAGES = ("viewer", "support", "auditor", "admin")
REACHING = ("support", "admin")
WRITING_TEMPLATES = ("admin",)
CAMPAIGNING = ("admin",)

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
    "patient.show_message": EVERYBODY,
    "patient.show_preferences": EVERYBODY,
    "patient.save_preferences": EVERYBODY,
    "patient.ask_to_stop": EVERYBODY,
    "patient.stop_with_one_click": EVERYBODY,
    "account.show": SIGNED_IN,
    "account.choose_password": SIGNED_IN,
    "account.sign_out_everywhere": SIGNED_IN,
    "account.end_session": SIGNED_IN,
    # Open to whoever has given the password and owes the code, and to nobody else; tested below.
    "code.ask": (),
    "code.check": (),
    "second_factor.show": SIGNED_IN,
    "second_factor.prove": SIGNED_IN,
    "second_factor.confirm": SIGNED_IN,
    "second_factor.abandon": SIGNED_IN,
    "guide.show": SIGNED_IN,
    "preferences.keep": SIGNED_IN,
    # It leads those who see nothing of what is sent to their own first page; tested below.
    "overview.show": SIGNED_IN,
    "dispatches.every_lane": STAFF,
    "dispatches.one_lane": STAFF,
    "dispatches.search": STAFF,
    "export.dispatches": EXPORTING,
    "bulk.every_run": STAFF,
    "bulk.prepare": ACTING,
    "bulk.show": STAFF,
    "bulk.begin": ACTING,
    "bulk.stop": ACTING,
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
    "courier_orders.every_order": STAFF,
    "courier_orders.search": STAFF,
    "courier_orders.export": EXPORTING,
    "courier_orders.confirm_ready": ACTING,
    "courier_orders.mark_ready": ACTING,
    "courier_order.show": STAFF,
    "courier_order.reveal": ACTING,
    "courier_actions.ready": ACTING,
    "courier_actions.cancel": ACTING,
    "courier_actions.redispatch": ACTING,
    "courier_actions.ask_code": ACTING,
    "courier_actions.deliver": ACTING,
    "courier_actions.resend": ACTING,
    "courier_actions.unlock": ACTING,
    "courier_actions.deliver_without_code": ACTING,
    "courier_actions.set_status": MANAGING,
    "courier_analytics.show": STAFF,
    "courier_analytics.export": EXPORTING,
    "pharmacies.every_pharmacy": MANAGING,
    "pharmacies.new": MANAGING,
    "pharmacies.add": MANAGING,
    "pharmacies.show": MANAGING,
    "pharmacies.change": MANAGING,
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
    "roles.show": STAFF,
    "hl7_endpoints.every_school": MANAGING,
    "hl7_endpoints.add": MANAGING,
    "hl7_endpoints.show": MANAGING,
    "hl7_endpoints.change": MANAGING,
    "hl7_endpoints.test": MANAGING,
    "people.every_person": MANAGING,
    "people.search": MANAGING,
    "people.new": MANAGING,
    "people.create": MANAGING,
    "people.show": MANAGING,
    "people.set_roles": MANAGING,
    "people.link": MANAGING,
    "people.unlink": MANAGING,
    "people.disable": MANAGING,
    "people.enable": MANAGING,
    "people.reset_password": MANAGING,
    "people.reset_second_factor": MANAGING,
    "people.end_session": MANAGING,
    "people.end_sessions": MANAGING,
    "hl7_messages.every_message": MANAGING,
    "hl7_messages.confirm_all": MANAGING,
    "hl7_messages.retry_everything": MANAGING,
    "hl7_messages.retry_selected": MANAGING,
    "hl7_messages.retry_one": MANAGING,
    "hl7_message.show": MANAGING,
    "hl7_message.reveal": MANAGING,
    "hl7_rewrite.begin": MANAGING,
    "hl7_rewrite.edit": MANAGING,
    "hl7_rewrite.send": MANAGING,
    "tickets.every_ticket": TICKET_PARTIES,
    "tickets.search": TICKET_PARTIES,
    "tickets.export": TICKET_PARTIES,
    # Only an account that acts for a doctor begins one.
    "ticket_new.ask": ("doctor",),
    "ticket_new.begin": ("doctor",),
    "prescription_form.write": TICKET_PARTIES,
    "prescription_form.change": TICKET_PARTIES,
    "prescription_form.confirm": TICKET_PARTIES,
    "prescription_form.send": TICKET_PARTIES,
    "data_life.show": MANAGING,
    "data_life.change_days": MANAGING,
    "data_life.hold": MANAGING,
    "data_life.release": MANAGING,
    "audit.show": AUDITING,
    "audit.search": AUDITING,
    "audit.export": AUDITING,
    "ticket.show": TICKET_PARTIES,
    "ticket.since": TICKET_PARTIES,
    "ticket.receive": TICKET_PARTIES,
    "ticket.read": TICKET_PARTIES,
    "ticket.send": TICKET_PARTIES,
    "ticket.move": TICKET_PARTIES,
    "ticket_overview.every_ticket": OVERSEEING,
    "ticket_overview.search": OVERSEEING,
    "ticket_overview.show": OVERSEEING,
    "ticket_overview.open_content": EMERGENCY,
    "ticket_overview.content": EMERGENCY,
    "comm_patients.every_patient": READING_MESSAGES,
    "comm_patients.search": READING_MESSAGES,
    "comm_patients.show": READING_MESSAGES,
    "comm_patients.reveal": REACHING,
    "comm_patients.record_stop": REACHING,
    "comm_patients.cancel": REACHING,
    "comm_patients.end_links": REACHING,
    "comm_patient_preferences.ask": REACHING,
    "comm_patient_preferences.change": REACHING,
    "comm_inbox.show": READING_MESSAGES,
    "comm_inbox.settle": REACHING,
    "comm_requests.show": READING_MESSAGES,
    "comm_requests.close": REACHING,
    "comm_failed.show": READING_MESSAGES,
    "comm_failed.retry": REACHING,
    "comm_failed.send_otherwise": REACHING,
    "comm_failed.cancel": REACHING,
    "comm_analytics.show": READING_MESSAGES,
    "comm_analytics.appointments": READING_MESSAGES,
    "comm_analytics.export": EXPORTING,
    "comm_rates.show": READING_MESSAGES,
    "comm_rates.change": CAMPAIGNING,
    "comm_preferences.show": READING_MESSAGES,
    "comm_preferences.change": REACHING,
    "comm_templates.every_template": READING_MESSAGES,
    "comm_templates.show": READING_MESSAGES,
    "comm_templates.compare": READING_MESSAGES,
    "comm_templates.restore": WRITING_TEMPLATES,
    "comm_templates.set_active": WRITING_TEMPLATES,
    "comm_templates.test": WRITING_TEMPLATES,
    "optimiser.show": READING_MESSAGES,
    "optimiser.change": CAMPAIGNING,
    "segments.every_segment": READING_MESSAGES,
    "segments.new": CAMPAIGNING,
    "segments.create": CAMPAIGNING,
    "segments.show": READING_MESSAGES,
    "segments.write": CAMPAIGNING,
    "segments.count": CAMPAIGNING,
    "segments.archive": CAMPAIGNING,
    "comm_template_editor.new": WRITING_TEMPLATES,
    "comm_template_editor.create": WRITING_TEMPLATES,
    "comm_template_editor.edit": WRITING_TEMPLATES,
    "comm_template_editor.write": WRITING_TEMPLATES,
    "campaigns.every_campaign": READING_MESSAGES,
    "campaigns.show": READING_MESSAGES,
    "campaigns.pause": REACHING,
    "campaigns.stop_everything": REACHING,
    "campaigns.resume": CAMPAIGNING,
    "campaigns.stop": CAMPAIGNING,
    "campaigns.copy": CAMPAIGNING,
    "campaigns.choose_winner": CAMPAIGNING,
    "campaigns.export": EXPORTING,
    "campaign_editor.new": CAMPAIGNING,
    "campaign_editor.create": CAMPAIGNING,
    "campaign_editor.edit": CAMPAIGNING,
    "campaign_editor.write": CAMPAIGNING,
    "campaign_preview.show": READING_MESSAGES,
    "campaign_preview.start": CAMPAIGNING,
    "mailbox.every_mail": ACTING,
    "mailbox.one_mail": ACTING,
    "mailbox.mail_html": ACTING,
}
ENDING_SESSIONS = ("security.logout", "account.sign_out_everywhere")
VALUES = {
    "lane_name": "health_information",
    "dispatch_id": uuid4(),
    "message_id": uuid4(),
    "order_id": uuid4(),
    "ticket_id": uuid4(),
    "patient_id": uuid4(),
    "template_id": uuid4(),
    "campaign_id": uuid4(),
    "segment_id": uuid4(),
    "kind": "hour",
    "job_id": uuid4(),
    "inbound_id": uuid4(),
    "request_id": uuid4(),
    "replay_id": 7,
    "run_id": uuid4(),
    "user_id": 0,
    "token": "none",
    "key": "none",
    "filename": "app.css",
    "code": "SCH-01",
}


def pages(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("api.")]


def test_every_route_stands_in_the_matrix(dash: Dashboard) -> None:
    assert {rule.endpoint for rule in pages(dash.app)} == set(MATRIX)


def test_every_role_reaches_what_the_matrix_says_and_nothing_else(dash: Dashboard) -> None:
    link_accounts()
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
    answer = asked(dash, visitor, rule, method)
    to_sign_in = answer.status_code == 303 and answer.location.startswith("/sign-in")
    return answer.status_code != 403 and not to_sign_in


def asked(dash: Dashboard, visitor: Visitor, rule: Rule, method: str) -> TestResponse:
    with dash.app.test_request_context():
        path = dash.app.url_map.bind("localhost").build(rule.endpoint, {name: VALUES[name] for name in rule.arguments})
    answer = visitor.get(path) if method == "GET" else visitor.post(path)
    assert answer.status_code < 500, (method, path)
    return answer


def test_a_session_without_its_second_factor_reaches_the_code_page_and_sign_out_only(dash: Dashboard) -> None:
    app = give_second_factor("admin@example.org")
    visitor = half_signed_in(dash, "admin@example.org")
    open_to = {endpoint for endpoint, roles in MATRIX.items() if "" in roles}
    reached = set()
    for rule in pages(dash.app):
        if rule.endpoint in open_to:
            continue  # what every stranger may open, signing out among it
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            answer = asked(dash, visitor, rule, method)
            if (answer.status_code, (answer.location or "").partition("?")[0]) != (303, "/sign-in/code"):
                reached.add(rule.endpoint)
    assert reached == {"code.ask", "code.check"}
    assert visitor.post("/sign-in/code", code=app.code()).location == "/"
    half = half_signed_in(dash, "admin@example.org")
    half.post("/sign-out")
    assert half.get("/sign-in/code").location == "/sign-in"


def test_a_session_that_has_to_set_up_its_second_factor_reaches_nothing_else(
    dash: Dashboard, settings_env: Settings
) -> None:
    production = Dashboard(create_app(settings_env.model_copy(update={"environment": "production"})))
    visitor = production.visitor()
    visitor.get("/sign-in")
    visitor.post("/sign-in", email="admin@example.org", password=PASSWORD)
    visitor.get("/account/second-factor")
    open_to = {endpoint for endpoint, roles in MATRIX.items() if "" in roles or not roles}
    reached = set()
    for rule in pages(production.app):
        if rule.endpoint in open_to:
            continue
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            answer = asked(production, visitor, rule, method)
            if (answer.status_code, (answer.location or "").partition("?")[0]) != (303, "/account/second-factor"):
                reached.add(rule.endpoint)
    assert reached == {"second_factor.show", "second_factor.confirm"}


@pytest.mark.parametrize("role", ["doctor", "patient"])
def test_the_first_page_leads_a_party_of_tickets_to_its_tickets(dash: Dashboard, role: str) -> None:
    visitor = dash.as_(role)
    tickets = "tickets.every_ticket" in dash.app.view_functions
    answer = visitor.get("/")
    assert (answer.status_code, answer.location) == (303, "/tickets" if tickets else "/account")
    page = visitor.get("/account").text
    assert 'aria-label="Main"' in page
    for nothing_of in ('data-stream="', 'href="/dispatches"', 'href="/lanes/', 'href="/roles"', ">Lanes<"):
        assert nothing_of not in page, nothing_of
    assert visitor.get("/live").status_code == 403


def test_a_role_that_may_do_nothing_is_led_nowhere(dash: Dashboard) -> None:
    create_user("new@example.org", roles=[], password=PASSWORD)
    visitor = dash.visitor()
    visitor.sign_in("new@example.org")
    assert visitor.get("/").status_code == 403
    assert visitor.get("/account").status_code == 200


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
    assert headers["Content-Security-Policy"] == POLICY.format(socket=" ws://localhost:8001")
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
