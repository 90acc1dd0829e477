"""Reporting visits over HTTP: stored at once with their messages whatever the exchange does, or refused with all faults."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.keys.ring import rings
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.visits import record_visit
from dispatchlog.visit_documents import VisitDocument
from tests.dashboard.api_support import Api, rows, running_api
from tests.dashboard.reported_visits import report
from tests.systems.hl7.visits import VISIT

COUNTS = "SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM hl7_messages)"


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        schools.add_school("SCH-01", "First school", actor="test")
        yield running


@pytest.fixture
def mute(api: Api) -> Iterator[socket.socket]:
    """An endpoint that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {"enabled": True, "host": "127.0.0.1", "port": listener.getsockname()[1], "tls": False}
        listener.setblocking(False)
        schools.change_endpoint("SCH-01", settings, actor="test")
        yield listener


def test_everything_that_can_be_said_of_a_visit_arrives() -> None:
    reported = VisitDocument.model_validate_json(_text(report(visitId=str(VISIT.id)))).to_reported()
    assert reported.visit == VISIT
    assert reported.visit.visited_at.utcoffset() == VISIT.visited_at.utcoffset()


def test_a_visit_is_stored_with_its_message_waiting(api: Api) -> None:
    answer = api.call("POST", "/visits", json=report(), headers={"X-Trace-Id": "clinic-7"})
    assert answer.status_code == 201
    body = answer.get_json()
    [(visit_id, number, source, trace_id)] = rows("SELECT id, number, source, trace_id FROM visits")
    [(message_id, control_id)] = rows("SELECT id, control_id FROM hl7_messages")
    assert (source, trace_id) == ("vitract-orders", "clinic-7")
    warnings = body.pop("warnings")
    assert all("no place for" in warning for warning in warnings)
    [school_id] = rows("SELECT id::text FROM schools")[0]
    assert body == {
        "visitId": str(visit_id),
        "number": number,
        "schoolId": school_id,
        "school": "SCH-01",
        "created": True,
        "messages": [
            {"messageId": str(message_id), "messageType": "ORU^R01", "controlId": control_id, "status": "PENDING"}
        ],
        "traceId": "clinic-7",
    }


def test_no_request_waits_for_the_endpoint_or_even_connects_to_it(api: Api, mute: socket.socket) -> None:
    for _ in range(3):
        assert api.call("POST", "/visits", json=report()).status_code == 201
    with pytest.raises(BlockingIOError):
        mute.accept()
    assert rows("SELECT status, claims FROM hl7_messages") == [("PENDING", 0)] * 3


def test_a_visit_is_taken_while_nothing_listens_at_the_endpoint(api: Api) -> None:
    settings = {"enabled": True, "host": "127.0.0.1", "port": 1, "tls": False}
    schools.change_endpoint("SCH-01", settings, actor="test")
    assert api.call("POST", "/visits", json=report()).status_code == 201
    assert rows("SELECT status, claims FROM hl7_messages") == [("PENDING", 0)]


def test_the_address_without_a_version_behaves_the_same(api: Api) -> None:
    client = api.app.test_client()
    headers = {"Authorization": f"Bearer {api.token}"}
    assert client.post("/api/visits", json=report(), headers=headers).status_code == 201
    refused = client.post("/api/visits", json=report(kind="CHECK"), headers=headers)
    assert api.error(refused) == (400, "UNKNOWN_VALUE", "kind")
    assert api.error(client.get("/api/visits", headers=headers))[:2] == (405, "METHOD_NOT_ALLOWED")
    assert api.error(client.post("/api/visits", json=report()))[:2] == (401, "UNAUTHENTICATED")


def test_twenty_reports_of_one_visit_at_once_are_one_visit(api: Api) -> None:
    document = report(visitId=str(uuid4()), number=None)
    rings.current()  # as a dashboard does when it starts
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.call("POST", "/visits", json=document), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    said = [{**answer.get_json(), "traceId": "", "created": None} for answer in answers]
    assert all(each == said[0] for each in said)
    assert rows(COUNTS) == [(1, 1)]


def test_another_visit_under_the_same_id_is_refused(api: Api) -> None:
    visit_id = str(uuid4())
    assert api.call("POST", "/visits", json=report(visitId=visit_id)).status_code == 201
    other = api.call("POST", "/visits", json=report(visitId=visit_id, notes="something else"))
    assert api.error(other) == (409, "VISIT_EXISTS", "visitId")
    assert rows(COUNTS) == [(1, 1)]


def test_a_visit_without_id_and_number_gets_both(api: Api) -> None:
    document = report(number=None)
    first, second = (api.call("POST", "/visits", json=document).get_json() for _ in range(2))
    assert first["visitId"] != second["visitId"]
    assert first["number"] != second["number"]
    assert UUID(first["visitId"]).version == 7
    assert len(first["number"]) <= 20


def test_a_school_is_named_by_its_code_or_its_id(api: Api) -> None:
    [(school_id,)] = rows("SELECT id::text FROM schools")
    assert api.call("POST", "/visits", json=report(schoolId=school_id.upper())).get_json()["school"] == "SCH-01"
    unknown = api.call("POST", "/visits", json=report(schoolId="SCH-99"))
    assert api.error(unknown) == (404, "UNKNOWN_SCHOOL", "schoolId")
    assert rows(COUNTS) == [(1, 1)]


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        ("visitId", "7", "INVALID_UUID"),
        ("schoolId", "", "INVALID_VALUE"),
        ("schoolId", "SCH\u0000", "INVALID_VALUE"),
        ("schoolId", 7, "WRONG_TYPE"),
        ("kind", "CHECK", "UNKNOWN_VALUE"),
        ("kind", None, "UNKNOWN_VALUE"),
        ("kind", ["UPDATE"], "UNKNOWN_VALUE"),
        ("number", "", "MISSING"),
        ("number", "V" * 21, "TOO_LONG"),
        ("visitedAt", "2026-03-09T08:15:00", "NAIVE_DATE"),
        ("visitedAt", "2026-02-30T08:15:00Z", "INVALID_DATE"),
        ("visitedAt", 1_770_000_000, "INVALID_DATE"),
        ("visitedAt", "2099-01-01T08:15:00Z", "IMPLAUSIBLE"),
        ("student", None, "WRONG_TYPE"),
        ("student.id", "", "MISSING"),
        ("student.familyName", "A" * 51, "TOO_LONG"),
        ("student.givenName", "Mar\u0000yam", "CONTROL_CHARACTER"),
        ("student.givenName", '""', "INVALID_TEXT"),
        ("student.birthDate", "2014-02-30", "INVALID_DATE"),
        ("student.birthDate", 20140903, "INVALID_DATE"),
        ("student.birthDate", "2027-01-01", "IMPLAUSIBLE"),
        ("student.sex", "X", "UNKNOWN_VALUE"),
        ("student.nationality", "XXX", "UNKNOWN_VALUE"),
        ("student.phone", "call me", "INVALID_FORM"),
        ("student.address.country", "UAE", "UNKNOWN_VALUE"),
        ("student.guardian.relationship", "AUNT", "UNKNOWN_VALUE"),
        ("student.shoeSize", 38, "UNKNOWN_FIELD"),
        ("provider.id", "", "MISSING"),
        ("vitals.temperatureC", 98.6, "IMPLAUSIBLE"),
        ("vitals.temperatureC", "36.8", "WRONG_TYPE"),
        ("vitals.heartRate", True, "WRONG_TYPE"),
        ("vitals.weightKg", 41.20001, "TOO_LONG"),
        ("vitals.systolicMmhg", 60, "IMPLAUSIBLE"),
        ("immunisations[0].cvx", "x", "INVALID_FORM"),
        ("immunisations[1].at", "2026-03-09", "INVALID_DATE"),
        ("immunisations[1].doseMl", 0, "IMPLAUSIBLE"),
        ("appointment.durationMinutes", 20.5, "WRONG_TYPE"),
        ("appointment.durationMinutes", 10**30, "IMPLAUSIBLE"),
        ("appointment.status", "Gone", "UNKNOWN_VALUE"),
        ("problems[1].code", "obesity", "INVALID_FORM"),
        ("diagnoses", {}, "WRONG_TYPE"),
        ("diagnoses", [{"code": "J06.9", "text": "a cold"}] * 101, "TOO_MANY"),
        ("diagnoses[0].type", "Z", "UNKNOWN_VALUE"),
        ("allergies[0].severity", "BAD", "UNKNOWN_VALUE"),
        ("notes", "x" * 65_537, "TOO_LONG"),
        ("patientClass", "Z", "UNKNOWN_VALUE"),
    ],
)
def test_what_is_wrong_is_named_by_its_field_and_nothing_is_stored(api: Api, place: str, value: Any, code: str) -> None:
    answer = api.call("POST", "/visits", json=_with(report(), place, value))
    assert api.error(answer) == (400, code, place)
    assert [(fault["code"], fault["field"]) for fault in answer.get_json()["error"]["faults"]] == [(code, place)]
    assert rows(COUNTS) == [(0, 0)]


def test_a_number_that_is_none_is_refused(api: Api) -> None:
    text = _text(report()).replace("36.8", "NaN")
    answer = api.call("POST", "/visits", data=text, content_type="application/json")
    assert api.error(answer) == (400, "WRONG_TYPE", "vitals.temperatureC")


def test_all_faults_are_named_at_once(api: Api) -> None:
    document = report(kind="APPOINTMENT", appointment=None, provider=None, number="V" * 21)
    document["student"]["sex"] = "X"
    answer = api.call("POST", "/visits", json=document)
    assert api.error(answer) == (400, "TOO_LONG", "number")
    assert {fault["field"]: fault["code"] for fault in answer.get_json()["error"]["faults"]} == {
        "number": "TOO_LONG",
        "student.sex": "UNKNOWN_VALUE",
        "appointment": "MISSING",
        "provider": "MISSING",
    }
    assert "VVVV" not in answer.get_data(as_text=True)
    malformed = api.call("POST", "/visits", json={"visitId": "7", "colour": "red"})
    faults = {fault["field"]: fault["code"] for fault in malformed.get_json()["error"]["faults"]}
    assert faults == {
        "visitId": "INVALID_UUID",
        "colour": "UNKNOWN_FIELD",
        **dict.fromkeys(("schoolId", "kind", "visitedAt", "student"), "MISSING_FIELD"),
    }


def test_an_error_that_no_body_is_to_blame_for_names_no_fault(api: Api) -> None:
    answer = api.call("GET", f"/visits/{uuid4()}")
    assert api.error(answer) == (404, "VISIT_NOT_FOUND", "visitId")
    assert answer.get_json()["error"]["faults"] == []


def test_a_visit_reads_back_without_a_name_and_without_anything_clinical(api: Api) -> None:
    visit_id = api.call("POST", "/visits", json=report()).get_json()["visitId"]
    answer = api.call("GET", f"/visits/{visit_id}")
    body = answer.get_json()
    assert (body["number"], body["kind"], body["school"]) == ("V-2026-0001", "ASSESSMENT", "SCH-01")
    assert (body["studentNumber"], body["visitedAt"]) == ("S-10042", "2026-03-09T04:15:30Z")
    assert [(message["status"], message["messageType"]) for message in body["messages"]] == [("PENDING", "ORU^R01")]
    text = answer.get_data(as_text=True).replace(body["messages"][0]["controlId"], "")  # chance may write J06 into it
    for private in ("Mansoori", "Maryam", "J06", "Sore throat", "784-2014", "2014-09-03"):
        assert private not in text


def test_reporting_and_reading_have_scopes_of_their_own(api: Api) -> None:
    reader, writer = (create_token(scope, [f"visits:{scope}"], "tests") for scope in ("read", "write"))
    created = api.call("POST", "/visits", json=report(), token=writer)
    path = f"/visits/{created.get_json()['visitId']}"
    assert created.status_code == 201
    assert api.call("GET", path, token=reader).status_code == 200
    assert api.error(api.call("POST", "/visits", json=report(), token=reader))[1] == "FORBIDDEN_SCOPE"
    assert api.error(api.call("GET", path, token=writer))[1] == "FORBIDDEN_SCOPE"
    assert api.error(api.call("POST", "/hl7/retry", json={"retryAll": "FAILED"}, token=writer))[1] == "FORBIDDEN_SCOPE"


def test_the_same_report_from_python_and_over_http_is_one_visit(api: Api) -> None:
    assert VISIT.vitals is not None
    visit = replace(VISIT, vitals=replace(VISIT.vitals, weight_kg=Decimal("41.2")))
    record_visit("SCH-01", visit, source="clinic")
    answer = api.call("POST", "/visits", json=report(visitId=str(VISIT.id)))
    assert (answer.status_code, answer.get_json()["created"]) == (200, False)
    assert rows(COUNTS) == [(1, 1)]


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document)


def _with(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with `value` at a place such as `immunisations[1].at`."""
    changed = copy.deepcopy(document)
    *path, last = place.replace("[", ".").replace("]", "").split(".")
    target: Any = changed
    for step in path:
        target = target[int(step)] if step.isdigit() else target[step]
    target[last] = value
    return changed
