"""Messages to patients over the API: as the specification has it, once each, and a clear no where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dashboard import create_app
from dispatchlog.engine.database import connected, fetch_all, fetch_one
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach.inputs import Asker, OrganizationInput, PatientInput, PreferenceChange
from dispatchlog.systems.outreach.patients import put_organization, put_patient
from dispatchlog.systems.outreach.preferences import change
from dispatchlog.systems.outreach.segments import store
from dispatchlog.systems.outreach.segments.store import SegmentInput
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from tests.dashboard.api_support import Api, running_api

EMAIL, PHONE = "sample.patient@example.org", "+12025550123"
CLINIC = UUID("5f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11")
ASKER = Asker("test")


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        ensure_standard_templates()
        put_organization(OrganizationInput(CLINIC, "Sample Clinic", "+12025550100", "US"), source="test")
        yield running


def new_patient(**changes: Any) -> UUID:
    patient_id = uuid4()
    given = {"name": "Sample Patient", "organization_id": CLINIC, "email": EMAIL, "phone": PHONE, "country": "US"}
    put_patient(PatientInput(id=patient_id, **{**given, **changes}), source="test", asker=ASKER)
    return patient_id


def wanted(patient_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "patient_id": str(patient_id),
        "purpose": "lab_ready",
        "variables": {},
        "preferred_channel": "email",
        **changes,
    }


def schedule(api: Api, document: dict[str, Any], key: str = "") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.call("POST", "/comm/schedule", json=document, headers=headers)


def jobs() -> list[tuple[Any, ...]]:
    with connected():
        return fetch_all("SELECT id, status, last_error_code, decision FROM comm_jobs ORDER BY seq")


def test_a_request_becomes_one_job_and_answers_as_specified(api: Api) -> None:
    patient = new_patient()
    answer = schedule(api, wanted(patient), key="visit-7")
    again = schedule(api, wanted(patient), key="visit-7")
    said = answer.get_json()
    assert answer.status_code == 200, said
    assert set(said) == {"job_id", "scheduled_at", "channel", "estimated_delivery"}
    assert (said["channel"], again.get_json()) == ("email", said)
    [(job_id, status, _, decision)] = jobs()
    assert (str(job_id), status) == (said["job_id"], "PENDING")
    assert decision["channel"]["chosen"] == "email"
    assert {each["channel"] for each in decision["channel"]["considered"]} == {"email", "sms", "whatsapp"}
    assert datetime.fromisoformat(said["scheduled_at"]) <= datetime.fromisoformat(said["estimated_delivery"])
    other = schedule(api, wanted(patient, purpose="rx_refill"), key="visit-7")
    assert api.error(other)[:2] == (409, "REQUEST_KEY_REUSED")
    stranger = create_token("another-service", ["comm:write"], "tests")
    theirs = api.call(
        "POST", "/comm/schedule", json=wanted(patient), headers={"Idempotency-Key": "visit-7"}, token=stranger
    )
    assert theirs.get_json()["job_id"] != said["job_id"], "a key is the service's own"


def test_behind_the_dashboard_it_is_answered_without_a_session_and_knows_who_asks(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHLOG_TRUSTED_PROXIES", "1")
    get_settings.cache_clear()
    patient = new_patient()
    headers = {"Authorization": f"Bearer {api.token}", "X-Forwarded-For": "203.0.113.9"}
    visitor = create_app(get_settings()).test_client()
    answer = visitor.post("/api/v1/comm/schedule", json=wanted(patient), headers=headers)
    assert answer.status_code == 200, answer.get_json()
    assert "Set-Cookie" not in answer.headers
    assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    unknown = visitor.get("/api/v1/comm/nothing", headers=headers)
    assert (unknown.status_code, unknown.get_json()["error"]["code"]) == (404, "NOT_FOUND")
    assert visitor.get("/api/v1/comm/schedule").get_json()["error"]["code"] == "METHOD_NOT_ALLOWED"
    with connected():
        assert fetch_one("SELECT ip_address FROM comm_audit_log WHERE action = 'send'")[0] == "203.0.113.9"


def test_those_who_ask_at_once_are_answered_each_for_itself(api: Api) -> None:
    """Together they share transactions; one that is wrong costs the others nothing."""
    patients = [new_patient() for _ in range(4)]
    asked = [wanted(patients[number % 4], preferred_channel="email") for number in range(24)]
    keys = [f"{number % 4}-{number % 8}" for number in range(24)]
    wrong = {5: ({**asked[5], "variables": {"nothing": 1}}, 400), 9: ({**asked[9], "patient_id": str(uuid4())}, 404)}
    for number, (document, _) in wrong.items():
        asked[number], keys[number] = document, f"wrong-{number}"
    with ThreadPoolExecutor(12) as pool:
        answers = [*pool.map(lambda number: schedule(api, asked[number], key=keys[number]), range(24))]
    codes = {number: answer.status_code for number, answer in enumerate(answers)}
    assert codes == {number: wrong[number][1] if number in wrong else 200 for number in range(24)}
    made = {answer.get_json()["job_id"] for answer in answers if answer.status_code == 200}
    assert {str(row[0]) for row in jobs()} == made
    assert len(made) == 8
    with connected():
        assert fetch_one("SELECT count(*) FROM comm_audit_log WHERE action = 'send'")[0] == len(made)


def test_the_context_has_the_shape_of_the_specification_and_says_who_said_what(api: Api) -> None:
    patient = new_patient()
    whole = api.call("GET", f"/patients/{patient}/comm-context").get_json()
    preferences = whole["preferences"]
    assert set(preferences) == {"timezone", "language", "quiet_hours", "work_hours", "channels", "best_hour"}
    assert preferences["channels"]["email"] == {"enabled": True, "address": EMAIL, "marketing_opt_in": False}
    assert preferences["channels"]["sms"] == {"enabled": True, "number": PHONE, "marketing_opt_in": False}
    assert preferences["quiet_hours"] == {"start": "22:00", "end": "08:00"}
    assert whole["segments"] == []
    assert whole["recent_activity"] == {
        "last_sent": None,
        "last_opened": None,
        "last_replied": None,
        "fatigue_score": 0.0,
    }
    assert (whole["sources"]["timezone"], whole["sources"]["email.address"]) == ("global", "core")
    reader = create_token("reader", ["comm:read"], "tests")
    masked = api.call("GET", f"/patients/{patient}/comm-context", token=reader).get_data(as_text=True)
    assert EMAIL not in masked
    assert PHONE not in masked
    with connected():
        looked = fetch_all(
            "SELECT actor, details ->> 'in_clear' FROM comm_audit_log WHERE action = 'access' ORDER BY id"
        )
    assert looked == [("service:vitract-orders", "true"), ("service:reader", "false")]


def test_the_context_names_the_segments_that_the_patient_is_in(api: Api) -> None:
    patient, other = new_patient(tags=["diabetes"]), new_patient()
    tagged = {"rules": [{"field": "tags", "operator": "contains", "value": "diabetes"}]}
    for name, rules in (("Tagged", tagged), ("Everybody", {"rules": []})):
        store.create(SegmentInput(name, rules), asker=ASKER)
    told = [api.call("GET", f"/patients/{each}/comm-context").get_json()["segments"] for each in (patient, other)]
    assert told == [["Everybody", "Tagged"], ["Everybody"]]


def test_every_look_at_a_patient_is_kept_with_whether_addresses_were_shown(api: Api) -> None:
    patient = new_patient()
    job_id = schedule(api, wanted(patient)).get_json()["job_id"]
    looks = {
        "message": f"/comm/jobs/{job_id}",
        "messages": f"/patients/{patient}/comm-jobs",
        "consents": f"/patients/{patient}/comm-consents",
        "context": f"/patients/{patient}/comm-context",
    }
    for path in looks.values():
        assert api.call("GET", path).status_code == 200
    assert api.call("PATCH", f"/patients/{patient}/comm-preferences", json={}).status_code == 200
    assert api.call("GET", looks["message"], token=create_token("reader", ["comm:read"], "tests")).status_code == 200
    with connected():
        kept = fetch_all(
            "SELECT details ->> 'what', details ->> 'in_clear' FROM comm_audit_log"
            " WHERE action = 'access' AND patient_id = %s ORDER BY id",
            (patient,),
        )
    assert kept == [*((what, "true") for what in looks), ("preferences", "true"), ("message", "false")]


def test_preferences_change_and_fall_back_to_what_others_said(api: Api) -> None:
    patient = new_patient()
    path = f"/patients/{patient}/comm-preferences"
    changed = api.call("PATCH", path, json={"quiet_start": "20:30", "allow_sms": False}).get_json()
    assert changed["preferences"]["quiet_hours"]["start"] == "20:30"
    assert (changed["preferences"]["channels"]["sms"]["enabled"], changed["sources"]["sms.enabled"]) == (
        False,
        "patient",
    )
    back = api.call("PATCH", path, json={"quiet_start": None}).get_json()
    assert (back["preferences"]["quiet_hours"]["start"], back["sources"]["quiet_start"]) == ("22:00", "global")
    wordless = api.call("PATCH", path, json={"marketing_opt_in_email": True})
    assert api.error(wordless)[1] == "WORDING_REQUIRED"
    agreed = {"marketing_opt_in_email": True, "wording": "Yes, send me health tips.", "wording_version": "tips-1"}
    assert api.call("PATCH", path, json=agreed).status_code == 200
    [evidence, *_] = api.call("GET", f"/patients/{patient}/comm-consents").get_json()["consents"]
    assert (evidence["given"], evidence["wording"], evidence["wording_version"]) == (True, *list(agreed.values())[1:])
    with connected():
        noted = fetch_one("SELECT count(*) FROM comm_audit_log WHERE action IN ('preference_change', 'opt_in')")[0]
    assert noted >= 3


@pytest.mark.parametrize(
    ("change_of", "code", "field"),
    [
        ({"patient_id": str(uuid4())}, (404, "PATIENT_NOT_FOUND"), "patient_id"),
        ({"patient_id": "7"}, (400, "INVALID_UUID"), "patient_id"),
        ({"template_id": str(uuid4())}, (404, "UNKNOWN_TEMPLATE"), "template_id"),
        ({"purpose": "spam"}, (400, "UNKNOWN_VALUE"), "purpose"),
        ({"preferred_channel": "fax"}, (400, "UNKNOWN_VALUE"), "preferred_channel"),
        ({"variables": {"diagnosis": "x"}}, (400, "UNKNOWN_VARIABLE"), "variables.diagnosis"),
        ({"variables": {"a": []}}, (400, "WRONG_TYPE"), "variables"),
        ({"send_at": "2026-03-01T09:30:00"}, (400, "NAIVE_DATE"), "send_at"),
        ({"send_at": "2020-03-01T09:30:00Z"}, (400, "SEND_AT_PAST"), "send_at"),
        ({"appointment_id": str(uuid4())}, (404, "APPOINTMENT_NOT_FOUND"), "appointment_id"),
        ({"urgent": True}, (400, "UNKNOWN_FIELD"), "urgent"),
        (
            {"purpose": "campaign_education", "variables": {"message": "Tips"}, "is_urgent": True},
            (400, "URGENT_NOT_ALLOWED"),
            "is_urgent",
        ),
    ],
)
def test_bad_input_is_told_with_its_place_and_stores_nothing(
    api: Api, change_of: dict[str, Any], code: tuple[int, str], field: str
) -> None:
    answer = schedule(api, {**wanted(new_patient()), **change_of})
    assert api.error(answer) == (*code, field)
    assert jobs() == []


def test_a_missing_address_for_the_asked_channel_and_an_oversize_body(api: Api) -> None:
    patient = new_patient(email=None, phone=None)
    assert api.error(schedule(api, wanted(patient)))[:2] == (400, "NO_ADDRESS")
    oversize = schedule(api, {**wanted(patient), "variables": {"text": "x" * 300_000}})
    assert api.error(oversize)[:2] == (413, "BODY_TOO_LARGE")
    assert jobs() == []


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        ({"phone": "12"}, "INVALID_PHONE", "data.phone"),
        ({"email": "nobody"}, "INVALID_EMAIL", "data.email"),
        ({"timezone": "Mars/Olympus"}, "INVALID_TIMEZONE", "data.timezone"),
    ],
)
def test_an_address_or_zone_that_cannot_be_is_refused_where_it_comes_in(
    api: Api, event: dict[str, str], code: str, field: str
) -> None:
    said = {"id": str(uuid4()), "name": "Sample Patient", **event}
    document = {"event_id": "e-1", "kind": "patient.updated", "occurred_at": "2026-03-01T09:30:00Z", "data": said}
    answer = api.call("POST", "/comm/events", json=document)
    assert api.error(answer) == (400, code, field)
    with connected():
        assert fetch_one("SELECT count(*) FROM patients")[0] == 0


def test_what_may_not_be_sent_is_kept_with_the_reason(api: Api) -> None:
    patient = new_patient()
    off = {"allow_email": False, "allow_sms": False, "allow_whatsapp": False}
    change(patient, PreferenceChange(off, source="patient"), asker=ASKER)
    answer = schedule(api, wanted(patient))
    assert api.error(answer)[:2] == (422, "NO_CHANNEL")
    [(job_id, status, code, decision)] = jobs()
    assert (status, code, decision["refused"]["code"]) == ("CANCELLED", "NO_CHANNEL", "NO_CHANNEL")
    present = answer.get_json()["present"]
    assert present["job_id"] == str(job_id)
    assert {each["code"] for each in present["decision"]["channel"]["considered"]} >= {"CHANNEL_OFF"}
    job = api.call("GET", f"/comm/jobs/{job_id}").get_json()["job"]
    assert (job["status"], job["decision"]) == ("cancelled", present["decision"])


def test_marketing_needs_a_yes_and_urgent_needs_no_hour(api: Api) -> None:
    patient = new_patient(timezone="America/New_York")
    assert api.error(schedule(api, wanted(patient, purpose="campaign_education", variables={"message": "Tips"})))[
        :2
    ] == (422, "NO_CHANNEL")
    night = (datetime.now(UTC) + timedelta(days=2)).replace(hour=8, minute=0, second=0, microsecond=0)  # 3 or 4 a.m.
    care = schedule(api, wanted(patient, send_at=night.isoformat())).get_json()
    urgent = schedule(api, wanted(patient, purpose="urgent", send_at=night.isoformat(), is_urgent=True)).get_json()
    assert datetime.fromisoformat(care["scheduled_at"]) > night
    assert datetime.fromisoformat(urgent["scheduled_at"]) == night
    with connected():
        bypass = fetch_all("SELECT details FROM comm_audit_log WHERE action = 'send' ORDER BY id DESC LIMIT 1")[0][0]
    assert bypass["urgent"] is True


def test_a_patients_jobs_are_paged_read_and_cancelled(api: Api) -> None:
    patient = new_patient()
    day = datetime.now(UTC) + timedelta(days=3)
    made = [
        schedule(api, wanted(patient, send_at=(day + timedelta(days=n)).isoformat())).get_json()["job_id"]
        for n in range(3)
    ]
    path = f"/patients/{patient}/comm-jobs"
    first = api.call("GET", f"{path}?limit=2").get_json()
    rest = api.call("GET", f"{path}?limit=2&cursor={first['next_cursor']}").get_json()
    assert [job["id"] for job in (*first["jobs"], *rest["jobs"])] == made[::-1]
    assert rest["next_cursor"] is None
    cancelled = api.call("POST", f"/comm/jobs/{made[0]}/cancel", json={"reason": "moved"}).get_json()
    assert cancelled == {"job_id": made[0], "cancelled": True, "status": "cancelled"}
    assert api.call("POST", f"/comm/jobs/{made[0]}/cancel").get_json()["cancelled"] is False
    assert api.error(api.call("GET", f"/comm/jobs/{uuid4()}"))[:2] == (404, "JOB_NOT_FOUND")
    assert api.error(api.call("GET", f"{path}?cursor=x"))[1] == "INVALID_CURSOR"
    assert EMAIL not in api.call("GET", path, token=create_token("reader", ["comm:read"], "tests")).get_data(
        as_text=True
    )


def test_an_event_of_the_core_platform_is_taken_in_once(api: Api) -> None:
    patient, appointment = uuid4(), uuid4()
    said = {"id": str(patient), "name": "Sample Patient", "email": EMAIL, "organization_id": str(CLINIC)}
    now = datetime.now(UTC)
    known = {"event_id": "p-1", "kind": "patient.updated", "occurred_at": now.isoformat(), "data": said}
    assert api.call("POST", "/comm/events", json=known).get_json()["taken"] is True
    booked: dict[str, Any] = {
        "event_id": "a-1",
        "kind": "appointment.scheduled",
        "occurred_at": now.isoformat(),
        "data": {
            "id": str(appointment),
            "patient_id": str(patient),
            "starts_at": (now + timedelta(days=5)).isoformat(),
        },
    }
    first = api.call("POST", "/comm/events", json=booked)
    assert (first.status_code, first.get_json()["taken"]) == (200, True), first.get_json()
    assert api.call("POST", "/comm/events", json=booked).get_json()["taken"] is False
    with connected():
        purposes = fetch_all("SELECT purpose FROM comm_jobs ORDER BY purpose")
    assert purposes == [("appt_confirm",), ("appt_reminder",)]
    other = {**booked, "data": {**booked["data"], "place": "Room 2"}}
    assert api.error(api.call("POST", "/comm/events", json=other))[:2] == (409, "EVENT_REUSED")
    unknown = {**booked, "event_id": "x-1", "kind": "weather.changed"}
    assert api.error(api.call("POST", "/comm/events", json=unknown))[1] == "UNKNOWN_EVENT"


def test_templates_are_written_in_versions_and_tried(api: Api) -> None:
    put_organization(OrganizationInput(other := uuid4(), "Other Sample Clinic"), source="test")
    text = {
        "name": "Refill",
        "purpose": "rx_refill",
        "channel": "email",
        "subject": "Your refill",
        "body": "Dear {{ patient_first_name }}, collect it by {{ day }}.",
        "variables": [{"name": "day", "example": "Friday"}],
        "organization_id": str(other),
    }
    made = api.call("POST", "/comm/templates", json=text)
    assert made.status_code == 201, made.get_json()
    template = made.get_json()["template"]
    path = f"/comm/templates/{template['id']}"
    shown = api.call("POST", f"{path}/preview").get_json()
    assert "Friday" in shown["body"]
    changed = {**text, "body": "Hello {{ patient_first_name }}: until {{ day }}.", "based_on": 1}
    assert api.call("POST", f"{path}/versions", json=changed).get_json()["template"]["version"] == 2
    assert api.error(api.call("POST", f"{path}/versions", json=changed))[1] == "VERSION_CONFLICT"
    assert api.error(api.call("POST", "/comm/templates", json=text))[1] == "TEMPLATE_EXISTS"
    assert template["family"] == ""
    flu = api.call("POST", "/comm/templates", json={**text, "family": "flu-2026"})
    assert flu.get_json()["template"]["family"] == "flu-2026"
    undeclared = {**text, "body": "{{ secret }} {{ day }}", "organization_id": None}
    assert api.error(api.call("POST", "/comm/templates", json=undeclared))[1] == "UNDECLARED_VARIABLE"
    assert template["id"] in {each["id"] for each in api.call("GET", "/comm/templates").get_json()["templates"]}


def test_whoever_may_read_dispatches_sees_those_to_patients_only_with_a_scope_for_them(api: Api) -> None:
    job = schedule(api, wanted(new_patient())).get_json()["job_id"]
    both = create_token("both", ["dispatches:read", "comm:read"], "tests")
    alone = create_token("alone", ["dispatches:read", "dispatches:act"], "tests")
    path = f"/dispatches/comm_job/{job}"
    assert api.call("GET", path, token=both).status_code == 200
    assert api.error(api.call("GET", path, token=alone))[:2] == (404, "UNKNOWN_LANE")
    assert api.error(api.call("POST", f"{path}/cancel", json={"reason": "x"}, token=alone))[1] == "UNKNOWN_LANE"
    assert api.error(api.call("GET", "/dispatches?lane=comm_job", token=alone))[1] == "UNKNOWN_LANE"
