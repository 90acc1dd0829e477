"""Items 13, 17, 19, 22 and 39, over every route there is: of the pages, of the API and of the webhooks' doors. A route
that no list knows fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from dashboard import create_app, outreach_webhooks, webhooks
from dashboard.api import ROUTES
from dashboard.api.routes import Route
from dispatchlog.engine.database import database
from dispatchlog.service_tokens import SCOPES
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import ROLES, Dashboard, Visitor
from tests.dashboard.test_access import MATRIX, VALUES
from tests.dashboard.ticket_accounts import link_accounts

SAFE, UNSAFE = ("GET", "HEAD", "OPTIONS"), ("POST",)
EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND")
# What anybody may read of the API: how it is called.
API_DESCRIPTION = {"api.openapi", "api.docs", "api.docs_style"}
# Whoever has the link's token acts there; no cookie is looked at, so nobody can be made to.
PATIENTS = {"patient.save_preferences", "patient.ask_to_stop", "patient.stop_with_one_click"}
NATIVE_WEBHOOKS = {
    ("POST", "/courier/<courier_name>"),
    ("POST", "/twilio/status/<uuid:job_id>"),
    ("POST", "/twilio/inbound"),
    ("POST", "/sendgrid/events"),
    ("POST", "/whatsapp"),
    ("GET", "/whatsapp"),
}
GENERIC_WEBHOOKS = {("POST", "/outbound-status"), ("POST", "/inbound")}
# Routes of the API that a session may call -> with which role. Each other one takes a service's token and no session.
OF_ADMINISTRATORS, OF_PARTIES = ("admin",), ("pharmacist", "doctor", "patient")
SESSIONS: dict[str, tuple[str, ...]] = {"retryHl7Messages": OF_ADMINISTRATORS} | dict.fromkeys(
    (
        "findParties",
        "chooseReceiver",
        "findTickets",
        "countTickets",
        "getTicket",
        "getTicketTimeline",
        "openTicket",
        "moveTicket",
        "getPrescriptionDraft",
        "putPrescriptionDraft",
        "savePrescription",
        "findThread",
        "findMessages",
        "sendMessage",
        "markThreadRead",
    ),
    OF_PARTIES,
)


def rules(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def methods(rule: Rule) -> set[str]:
    return set(rule.methods or ())


def address(app: Flask, rule: Rule) -> str:
    given = {name: VALUES.get(name, uuid4()) for name in rule.arguments}
    with app.test_request_context():
        return app.url_map.bind("localhost").build(rule.endpoint, given)


@pytest.fixture
def doors(settings_env: Settings) -> dict[str, Flask]:
    return {
        "native": webhooks.make_door(settings_env, https=False),
        "generic": webhooks.make_door(settings_env, https=False, receptions=(outreach_webhooks.install_generic,)),
    }


def test_item_13_every_route_of_the_application_stands_in_a_list(dash: Dashboard) -> None:
    of_the_api = {f"api.{route.name}" for route in ROUTES}
    of_the_api |= {f"api.{route.name}Unversioned" for route in ROUTES if route.unversioned}
    assert {rule.endpoint for rule in rules(dash.app)} == set(MATRIX) | of_the_api | API_DESCRIPTION


def test_item_13_every_route_of_the_webhooks_doors_stands_in_a_list(doors: dict[str, Flask]) -> None:
    found = {
        name: {(method, rule.rule) for rule in rules(door) for method in methods(rule) - {"HEAD", "OPTIONS"}}
        for name, door in doors.items()
    }
    assert found == {"native": NATIVE_WEBHOOKS, "generic": GENERIC_WEBHOOKS}


def test_item_13_every_scope_opens_some_route_and_every_route_has_a_scope_or_is_a_persons() -> None:
    used = {route.scope for route in ROUTES if route.scope}
    assert used <= set(SCOPES)
    # It widens what comm:read shows, and opens nothing by itself.
    assert set(SCOPES) - used == {"comm:contact"}
    assert {route.name for route in ROUTES if not route.scope or route.permission} == set(SESSIONS)


def test_item_13_every_route_of_the_api_with_a_session_of_every_role(dash: Dashboard) -> None:
    link_accounts()
    visitors = {role: dash.as_(role) for role in ROLES} | {"": dash.visitor()}
    wrong = []
    for route in ROUTES:
        for role, visitor in visitors.items():
            status = ask(visitor, route)
            assert status < 500, (route.name, role)
            if (status not in (401, 403)) != (role in SESSIONS.get(route.name, ())):
                wrong.append((route.name, role, status))
    assert wrong == []


def ask(visitor: Visitor, route: Route) -> int:
    path = re.sub(r"<\w+>", str(uuid4()), route.rule.replace("<lane>", "kit_registration"))
    return visitor.client.open(
        path, method=route.method, json={}, headers={"X-CSRFToken": visitor.token} if visitor.token else {}
    ).status_code


def test_item_17_no_form_is_taken_without_the_token_of_a_page(dash: Dashboard) -> None:
    admin = dash.as_("admin")
    taken = []
    for rule in rules(dash.app):
        if rule.endpoint.startswith("api.") or rule.endpoint in PATIENTS or "POST" not in methods(rule):
            continue
        for token in ("", "made-up"):
            fields = {"csrf_token": token} if token else {}
            answer = admin.client.post(address(dash.app, rule), data=fields)
            if (answer.status_code, "open for too long" in answer.text) != (400, True):
                taken.append((rule.endpoint, token, answer.status_code))
    assert taken == []


def test_item_17_no_route_of_the_api_takes_a_session_without_the_token_of_a_page(dash: Dashboard) -> None:
    link_accounts()
    taken = {}
    for role in ("admin", "pharmacist", "doctor", "patient"):
        visitor = dash.as_(role)
        visitor.token = ""
        for route in ROUTES:
            if route.method != "GET" and role in SESSIONS.get(route.name, ()):
                status = ask(visitor, route)
                if status != 400:
                    taken[role, route.name] = status
    assert taken == {}


def test_item_17_what_changes_something_is_never_asked_for_with_get() -> None:
    assert {route.method for route in ROUTES} <= {"GET", "POST", "PUT", "PATCH", "DELETE"}
    read = [route.name for route in ROUTES if route.method == "GET" and (route.document or route.creates)]
    assert read == []


def test_item_19_every_page_answers_its_own_methods_and_refuses_every_other_one(dash: Dashboard) -> None:
    admin = dash.as_("admin")
    pages = [rule for rule in rules(dash.app) if not rule.endpoint.startswith("api.")]
    assert all(methods(rule) <= {*SAFE, *UNSAFE} for rule in pages)
    known = [(shape(rule.rule), methods(rule)) for rule in pages]
    wrong = []
    for path in {address(dash.app, rule) for rule in pages}:
        for method in refused(path, known):
            answer = admin.client.open(
                path, method=method, headers={"X-CSRFToken": admin.token, "X-HTTP-Method-Override": "GET"}
            )
            if answer.status_code != 405:
                wrong.append((path, method, answer.status_code))
    assert wrong == []


def test_item_19_the_api_and_the_webhooks_refuse_every_other_method(dash: Dashboard) -> None:
    known = [
        (shape(rule), {route.method, *(("HEAD",) if route.method == "GET" else ())})
        for route in ROUTES
        for rule in filter(None, (route.rule, route.unversioned))
    ]
    asked = {
        re.sub(r"<\w+>", str(uuid4()), rule) for route in ROUTES for rule in (route.rule, route.unversioned) if rule
    }
    pages = [(shape(rule.rule), methods(rule)) for rule in rules(dash.app) if not rule.endpoint.startswith("api.")]
    webhook = [(re.compile("/webhooks/.*|/api/v1/comm/webhook/.*"), {"POST"})]
    asked |= {"/webhooks/twilio/inbound", "/webhooks/sendgrid/events", "/api/v1/comm/webhook/inbound"}
    client = dash.app.test_client()
    wrong = []
    for path in asked:
        for method in refused(path, known + pages + webhook):
            status = client.open(path, method=method).status_code
            if status != 405:
                wrong.append((path, method, status))
    assert wrong == []


def shape(rule: str) -> re.Pattern[str]:
    """The addresses of a rule."""
    return re.compile(re.sub(r"<path:\w+>", ".+", re.sub(r"<(?!path:)[^>]+>", "[^/]+", rule)))


def refused(path: str, known: list[tuple[re.Pattern[str], set[str]]]) -> set[str]:
    """The methods that none of the rules has which this address could be of."""
    return set(EVERY_METHOD) - set().union(*(its for found, its in known if found.fullmatch(path)))


@pytest.fixture
def over_https(settings_env: Settings) -> Iterator[Flask]:
    forget_process_state()
    yield create_app(settings_env.model_copy(update={"public_url": "https://desk.example.org"}))
    database.close_all()
    forget_process_state()


HEADERS = {
    "Content-Security-Policy": r"default-src 'none'(?!.*unsafe-).*frame-ancestors 'none'.*",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": r"max-age=31536000; includeSubDomains",
    "Referrer-Policy": "same-origin|no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def test_item_22_every_answer_carries_the_headers_whatever_is_asked_for(over_https: Flask) -> None:
    client = over_https.test_client()
    asked = [("GET", address(over_https, rule)) for rule in rules(over_https) if "GET" in methods(rule)]
    asked += [
        ("POST", "/webhooks/twilio/inbound"),
        ("GET", "/webhooks/nothing"),
        ("POST", "/api/v1/comm/webhook/inbound"),
    ]
    asked += [
        ("POST", "/api/v1/comm/schedule"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/nothing"),
        ("PUT", "/"),
        ("POST", "/"),
    ]
    missing = []
    for method, path in asked:
        found = client.open(path, method=method, base_url="https://desk.example.org").headers
        for name, wanted in HEADERS.items():
            if not re.fullmatch(wanted, found.get(name, "")):
                missing.append((method, path, name, found.get(name)))
    assert missing == []


def test_item_39_nothing_but_static_files_may_be_kept(over_https: Flask) -> None:
    client = over_https.test_client()
    kept = []
    for rule in rules(over_https):
        if "GET" not in methods(rule) or rule.endpoint in ("static", "security.static"):
            continue
        path = address(over_https, rule)
        caching = client.get(path, base_url="https://desk.example.org").headers.get("Cache-Control")
        if caching != "no-store":
            kept.append((path, caching))
    assert kept == []
