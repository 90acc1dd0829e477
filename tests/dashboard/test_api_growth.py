"""Segments, campaigns and figures over the API: as the pages have them, each refusal at its place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.inputs import Asker, PatientInput
from dispatchlog.systems.outreach.patients import put_patient
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import TemplateInput
from tests.dashboard.api_support import Api, running_api

ASKER = Asker("test")
RULES = {"combinator": "and", "rules": [{"field": "tags", "operator": "contains", "value": "reader"}]}
TODAY = datetime.now(UTC).date().isoformat()
NOBODY = UUID(int=7)


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def reader(tag: str = "reader") -> UUID:
    patient_id = uuid4()
    facts = PatientInput(
        patient_id, "Sample Reader", email=f"{patient_id}@example.org", language="en", tags=(tag,), country="US"
    )
    put_patient(facts, source="test", asker=ASKER)
    return patient_id


def text() -> None:
    wanted = TemplateInput(
        "News", Purpose.LAB_READY, Channel.EMAIL, "en", "News", "There is news for you.", family="news"
    )
    with connected():
        templates.create(wanted, asker=ASKER)


def ask(api: Api, method: str, path: str, document: dict[str, Any] | None = None, status: int = 200) -> Any:
    answer = api.call(method, f"/comm{path}", **({} if document is None else {"json": document}))
    assert answer.status_code == status, answer.get_json()
    return answer.get_json()


def segment(api: Api, **values: Any) -> dict[str, Any]:
    return ask(api, "POST", "/segments", {"name": "Readers", "rules": RULES, **values}, 201)["segment"]  # type: ignore[no-any-return]


def draft(api: Api, **values: Any) -> dict[str, Any]:
    document = {
        "name": "News",
        "segment_id": segment(api, name=f"Readers {uuid4()}")["id"],
        "steps": [{"key": "news", "purpose": "lab_ready", "family": "news"}],
        **values,
    }
    return ask(api, "POST", "/campaigns", document, 201)["campaign"]  # type: ignore[no-any-return]


def test_a_segment_is_written_counted_changed_and_archived(api: Api) -> None:
    reader()
    reader("walker")
    made = segment(api)
    assert (made["patient_count"], made["version"], made["rules"]) == (1, 1, RULES)
    tried = ask(api, "POST", "/segments/count", {"rules": {"combinator": "and", "rules": []}})
    assert tried["patient_count"] == 2
    other = {**RULES, "not": True}
    changed = ask(api, "PUT", f"/segments/{made['id']}", {"name": "Others", "rules": other, "based_on": 1})["segment"]
    assert (changed["name"], changed["version"]) == ("Others", 2)
    late = api.call("PUT", f"/comm/segments/{made['id']}", json={"name": "x", "rules": RULES, "based_on": 1})
    assert api.error(late)[:2] == (409, "VERSION_CONFLICT")
    unsaid = api.call("PUT", f"/comm/segments/{made['id']}", json={"name": "x", "rules": RULES})
    assert api.error(unsaid) == (400, "MISSING_FIELD", "based_on")
    assert ask(api, "POST", f"/segments/{made['id']}/evaluate", None)["segment"]["patient_count"] == 1
    assert [each["id"] for each in ask(api, "GET", "/segments")["segments"]] == [made["id"]]
    assert ask(api, "POST", f"/segments/{made['id']}/archive", None)["segment"]["is_active"] is False
    assert ask(api, "GET", "/segments")["segments"] == []
    assert [each["id"] for each in ask(api, "GET", "/segments?archived=true")["segments"]] == [made["id"]]
    assert "tags" in {each["name"] for each in ask(api, "GET", "/segments/fields")["fields"]}


@pytest.mark.parametrize(
    ("rule", "code", "place"),
    [
        ({"field": "shoe_size", "operator": "=", "value": 1}, "UNKNOWN_FIELD", "rules.rules[0].field"),
        ({"field": "age", "operator": "~", "value": 1}, "UNKNOWN_OPERATOR", "rules.rules[0].operator"),
        ({"field": "age", "operator": "=", "value": "old"}, "WRONG_TYPE", "rules.rules[0].value"),
    ],
)
def test_rules_are_refused_at_their_place_and_nothing_is_stored(
    api: Api, rule: dict[str, Any], code: str, place: str
) -> None:
    rules = {"combinator": "and", "rules": [rule]}
    answer = api.call("POST", "/comm/segments", json={"name": "Wrong", "rules": rules})
    assert api.error(answer) == (400, code, place)
    assert ask(api, "GET", "/segments")["segments"] == []


def test_a_campaign_is_looked_at_begun_paused_resumed_and_stopped(api: Api) -> None:
    text()
    reader()
    made = draft(api)
    looked = ask(api, "GET", f"/campaigns/{made['id']}/preview")
    assert (looked["audience"], looked["problems"]) == (1, [])
    begun = ask(api, "POST", f"/campaigns/{made['id']}/start", {"based_on": made["version"]})["campaign"]
    assert begun["status"] == "active"
    again = api.call("POST", f"/comm/campaigns/{made['id']}/start", json={"based_on": begun["version"]})
    assert api.error(again)[:2] == (409, "CAMPAIGN_BEGUN")
    assert ask(api, "POST", "/campaigns/emergency-stop", {"reason": "wrong"})["campaigns"] == [made["id"]]
    resumed = ask(api, "POST", f"/campaigns/{made['id']}/resume", {"reason": "right"})["campaign"]
    assert resumed["status"] == "active"
    assert ask(api, "POST", f"/campaigns/{made['id']}/pause", {"reason": "x"})["campaign"]["status"] == "paused"
    stopped = ask(api, "POST", f"/campaigns/{made['id']}/stop", {"reason": "over"})["campaign"]
    assert (stopped["status"], stopped["ended_reason"]) == ("completed", "stopped")
    assert ask(api, "GET", f"/campaigns/{made['id']}/report")["campaign_id"] == made["id"]
    copied = ask(api, "POST", f"/campaigns/{made['id']}/copy", {"name": "Again"}, 201)["campaign"]
    assert (copied["status"], copied["steps"]) == ("draft", made["steps"])
    first = ask(api, "GET", "/campaigns?limit=1")
    rest = ask(api, "GET", f"/campaigns?limit=1&cursor={first['next_cursor']}")
    assert [each["id"] for each in (*first["campaigns"], *rest["campaigns"])] == [copied["id"], made["id"]]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("values", "status", "code", "place"),
    [
        ({"steps": []}, 400, "INVALID_STEPS", "steps"),
        (
            {"steps": [{"key": "a", "conditions": [{"step": "a", "is": "answered"}]}]},
            400,
            "STEP_CYCLE",
            "steps[0].conditions[0].step",
        ),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, 400, "END_BEFORE_START", "end_date"),
        ({"segment_id": str(NOBODY)}, 404, "SEGMENT_NOT_FOUND", "segment_id"),
    ],
)
def test_a_plan_is_refused_at_its_place(api: Api, values: dict[str, Any], status: int, code: str, place: str) -> None:
    text()
    document = {
        "name": "News",
        "segment_id": segment(api)["id"],
        "steps": [{"key": "news", "purpose": "lab_ready", "family": "news"}],
        **values,
    }
    answer = api.call("POST", "/comm/campaigns", json=document)
    assert api.error(answer) == (status, code, place)
    assert ask(api, "GET", "/campaigns")["campaigns"] == []


def test_figures_are_told_and_what_is_asked_wrongly_is_refused(api: Api) -> None:
    days = f"first={TODAY}&last={TODAY}"
    [totals] = ask(api, "GET", f"/stats?{days}")["rows"]
    assert totals["sent"] == 0
    assert ask(api, "GET", f"/stats?{days}&by=channel,purpose")["rows"] == []
    assert ask(api, "GET", f"/outcomes?{days}")["saved"] is None
    for question, code, place in (
        (f"first={TODAY}", "MISSING_FIELD", "last"),
        ("first=yesterday&last=today", "INVALID_DATE", "first"),
        ("first=2026-03-02&last=2026-03-01", "END_BEFORE_START", "last"),
        ("first=2020-01-01&last=2026-01-01", "INVALID_RANGE", "last"),
        (f"{days}&channel=pigeon", "UNKNOWN_VALUE", "channel"),
        (f"{days}&by=weather", "UNKNOWN_VALUE", "by"),
    ):
        assert api.error(api.call("GET", f"/comm/stats?{question}")) == (400, code, place)


def test_whoever_may_only_read_writes_no_campaign(api: Api) -> None:
    token = create_token("reports", ["comm:read"], "tests")
    for method, path in (("GET", "/segments"), ("POST", "/campaigns"), ("POST", "/campaigns/emergency-stop")):
        answer = api.call(method, f"/comm{path}", token=token, json={} if method == "POST" else None)
        assert api.error(answer)[:2] == (403, "FORBIDDEN_SCOPE")
    assert api.call("GET", f"/comm/stats?first={TODAY}&last={TODAY}", token=token).status_code == 200
