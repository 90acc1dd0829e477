"""Every look at patients' data is kept: every route is in the register, and each that shows something writes its row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Response

from dashboard import patient_reads
from dashboard.access import PUBLIC, permission_of
from dashboard.api import ROUTES
from dashboard.api.routes import Route
from dashboard.read_register import ANSWERS, EXEMPT_ANSWERS, EXEMPT_PAGES, PAGES
from dispatchlog.engine.database import connected, execute, fetch_dicts
from dispatchlog.settings import Settings
from tests.dashboard.api_support import Api, running_api
from tests.dashboard.browsing import Dashboard, page_of
from tests.dashboard.patient_rows import message_link, planned
from tests.dashboard.samples import form_in
from tests.dashboard.test_access import MATRIX, VALUES
from tests.dashboard.ticket_accounts import link_accounts
from tests.dashboard.ticket_calls import TicketApi, running_ticket_api
from tests.outreach import builders


def reads() -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM patient_reads ORDER BY id")


def newest() -> dict[str, Any]:
    return reads()[-1]


# --- the register is whole


def test_every_page_is_kept_or_exempt_and_none_both(dash: Dashboard) -> None:
    there = {rule.endpoint for rule in dash.app.url_map.iter_rules() if not rule.endpoint.startswith("api.")}
    listed = Counter([*PAGES, *(each for exempt in EXEMPT_PAGES.values() for each in exempt)])
    assert set(listed) == there
    assert {name for name, times in listed.items() if times > 1} == set()


def test_every_operation_of_the_api_is_kept_or_exempt_and_none_both(dash: Dashboard) -> None:
    there = {
        rule.endpoint.removeprefix("api.") for rule in dash.app.url_map.iter_rules() if rule.endpoint.startswith("api.")
    }
    there = {name.removesuffix("Unversioned") for name in there}
    listed = Counter([*ANSWERS, *(each for exempt in EXEMPT_ANSWERS.values() for each in exempt)])
    assert set(listed) == there
    assert {name for name, times in listed.items() if times > 1} == set()


def test_no_operation_that_answers_a_question_is_taken_for_a_report() -> None:
    (reports,) = [names for why, names in EXEMPT_ANSWERS.items() if why.startswith("answers what the caller")]
    assert {route.name for route in ROUTES if route.method == "GET"} & set(reports) == set()


def test_what_the_register_names_of_an_address_is_in_it(dash: Dashboard) -> None:
    arguments = {rule.endpoint: rule.arguments for rule in dash.app.url_map.iter_rules()}
    assert [name for name, value in PAGES.items() if value and value not in arguments[name]] == []
    assert [name for name, value in ANSWERS.items() if value and value not in arguments[f"api.{name}"]] == []


# --- each of them writes its row


def test_every_page_of_the_register_writes_a_row_with_who_what_and_why(dash: Dashboard) -> None:
    """Past the views, which are tested where they belong: they answer something, and the row must be there."""
    link_accounts()
    for endpoint in PAGES:
        view = dash.app.view_functions[endpoint]

        def shown(**_: Any) -> Response:
            return Response("shown")

        shown.permission = view.permission  # type: ignore[attr-defined]
        dash.app.view_functions[endpoint] = shown
    visitors = {role: dash.as_(role) for role in ("admin", "doctor", "pharmacist")}
    missing = []
    for rule in dash.app.url_map.iter_rules():
        if rule.endpoint not in PAGES:
            continue
        role = next(role for role in visitors if role in MATRIX[rule.endpoint])
        with dash.app.test_request_context():
            path = dash.app.url_map.bind("localhost").build(
                rule.endpoint, {name: VALUES[name] for name in rule.arguments}
            )
        before = len(reads())
        visitor = visitors[role]
        answer = visitor.get(path) if "GET" in (rule.methods or ()) else visitor.post(path)
        assert answer.text == "shown", rule.endpoint
        public = permission_of(dash.app, rule.endpoint) == PUBLIC
        written = [(row["what"], row["actor"], bool(row["why"])) for row in reads()[before:]]
        if written != [(rule.endpoint, "patient" if public else f"{role}@example.org", True)]:
            missing.append((rule.endpoint, written))
    assert missing == []


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_every_operation_of_the_register_hands_on_what_it_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[str, str]] = []
    (route,) = [route for route in ROUTES if route.name == name]
    monkeypatch.setattr("dashboard.api.routes.keep_answer", lambda what, *, actor, why, path: kept.append((what, why)))
    monkeypatch.setattr(Route, "_authorise", lambda self: ("", "service:tests", None, frozenset({"x"})))
    monkeypatch.setattr("dashboard.api.routes.request", _Request())
    monkeypatch.setattr("dashboard.api.routes._json", Response)
    stub = Route(
        route.method,
        route.rule,
        route.name,
        "",
        route.scope,
        lambda *_, **__: route.answer.model_construct(),
        route.answer,
    )
    stub.handle()
    assert kept == [(name, f"scope {route.scope}")]


class _Request:
    args: dict[str, str] = {}  # noqa: RUF012  (it stands for Flask's)


# --- what is in the row


def test_a_dispatchs_page_says_whose_it_is_and_on_what_ground(dash: Dashboard) -> None:
    row = form_in("SENT")
    dash.as_("viewer").get(page_of(row))
    read = newest()
    assert (read["actor"], read["what"], read["subject"], read["why"], read["ip_address"]) == (
        "viewer@example.org",
        "dispatch.show",
        str(row["id"]),
        "permission read",
        "127.0.0.1",
    )
    assert read["user_id"] is not None


def test_a_list_is_one_row_that_names_no_one(dash: Dashboard) -> None:
    form_in("FAILED", email="ada@example.org")
    visitor = dash.as_("support")
    before = len(reads())
    visitor.get(
        "/dispatches?status=FAILED&from=2026-01-01&q=ada@example.org&cause=Ada+Lovelace&lane=12025550177&12025550177=x"
    )
    (read,) = reads()[before:]
    assert read["filter"] == {"status": "FAILED", "from": "2026-01-01", "q": True, "cause": True, "lane": True}
    assert "ada" not in str({**read, "trace_id": ""}).lower()  # its hexadecimal digits may say anything


def test_an_export_is_kept_with_its_filter(dash: Dashboard) -> None:
    form_in("FAILED")
    dash.as_("support").post("/dispatches/export", status="FAILED", q="VO-20418")
    read = newest()
    assert (read["what"], read["filter"]) == ("export.dispatches", {"status": "FAILED"})


def test_what_is_refused_or_leads_on_is_no_look(dash: Dashboard) -> None:
    row = form_in("FAILED")
    assert dash.visitor().get(page_of(row)).status_code == 303
    assert dash.as_("doctor").get(page_of(row)).status_code == 403
    admin = dash.as_("admin")
    assert admin.get(f"/dispatches/health_information/{uuid4()}").status_code == 404
    assert admin.client.head(page_of(row)).status_code == 200
    assert reads() == []


def test_a_page_that_asks_again_by_itself_is_one_look(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(form_in("SENT"))
    visitor = dash.as_("viewer")
    by_itself = {"X-Background-Refresh": "1"}
    visitor.get(page, headers=by_itself)
    assert len(reads()) == 1, "nobody is believed who has not looked"
    visitor.get(page, headers=by_itself)
    assert len(reads()) == 1
    visitor.get(page)
    assert len(reads()) == 2, "whoever opens it again looks again"
    dash.as_("support").get(page, headers=by_itself)
    assert len(reads()) == 3, "somebody else is somebody else"
    monkeypatch.setattr(patient_reads, "ONE_LOOK_SECONDS", 0.0)
    visitor.get(page, headers=by_itself)
    assert len(reads()) == 4


def test_nothing_is_shown_that_cannot_be_kept(dash: Dashboard) -> None:
    row = form_in("SENT")
    visitor = dash.as_("viewer")
    with connected():
        execute("SET ROLE NONE")
        execute("ALTER TABLE patient_reads RENAME TO patient_reads_gone")
    answer = visitor.get(page_of(row))
    assert answer.status_code == 500
    assert "VO-20418" not in answer.text


def test_a_patient_who_opens_a_link_is_kept_without_the_link(dash: Dashboard) -> None:
    patient_id = builders.patient()
    link = message_link(patient_id, planned(patient_id), "Your result is there.")
    assert dash.visitor().get(link).status_code == 200
    read = newest()
    assert (read["actor"], read["subject"], read["why"]) == ("patient", str(patient_id), "their own link")
    assert link.rpartition("/")[2] not in str(read)


# --- the API


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


@pytest.fixture
def ticket_api(settings_env: Settings) -> Iterator[TicketApi]:
    with running_ticket_api(settings_env) as running:
        yield running


def test_a_service_that_reads_a_patients_messages_is_kept(api: Api) -> None:
    patient_id: UUID = builders.patient()
    assert api.call("GET", f"/patients/{patient_id}/comm-context").status_code == 200
    read = newest()
    assert (read["what"], read["subject"], read["why"]) == (
        "api.getCommunicationContext",
        str(patient_id),
        "scope comm:read",
    )
    assert read["actor"].startswith("service:")
    assert len(read["trace_id"]) > 0


def test_a_search_of_a_service_is_one_row_without_what_was_searched_for(api: Api) -> None:
    before = len(reads())
    assert api.call("GET", "/dispatches?key=VO-20418").status_code == 200
    (read,) = reads()[before:]
    assert (read["what"], read["filter"]) == ("api.findDispatches", {"key": True})


def test_a_refused_call_is_no_look(api: Api) -> None:
    assert api.call("GET", f"/patients/{uuid4()}/comm-context").status_code == 404
    assert api.call("GET", "/dispatches?key=x", token="dlk_none").status_code == 401
    assert reads() == []


def test_a_person_who_reads_their_ticket_is_kept_as_its_party(ticket_api: TicketApi) -> None:
    ticket = ticket_api.new_ticket(sent=True)
    doctor = ticket_api.care.doctor
    ticket_api.done(doctor, "GET", f"/tickets/{ticket['ticketId']}")
    read = newest()
    assert (read["what"], read["subject"], read["why"]) == ("api.getTicket", ticket["ticketId"], "doctor of tickets")
    assert read["actor"] == doctor.actor
