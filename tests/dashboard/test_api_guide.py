"""The guide names every field that is taken and answered, with its type, and real answers are what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from dashboard.api.comm_parts import (
    ActivityPart,
    CancelledAnswer,
    ContextAnswer,
    EventAnswer,
    EvidencePart,
    JobPart,
    PreferencesAnswer,
    PreferencesPart,
    PreviewAnswer,
    ScheduledAnswer,
    TemplatePart,
)
from dashboard.api.documents import (
    DispatchPart,
    EventPart,
    KitPart,
    OrderAnswer,
    PractitionerPart,
    RegistrationAnswer,
    RegistrationPart,
)
from dashboard.api.growth_parts import CampaignPart, SegmentPart
from dashboard.api.hl7_messages import AttemptPart, MessagePart, RetryMessagesAnswer, RetryPart
from dashboard.api.holds import HoldAnswer, HoldPart
from dashboard.api.visits import VisitAnswer, VisitStateAnswer
from dispatchlog import visit_documents
from dispatchlog.comm_documents import CoreEventDocument, PreferenceDocument, ScheduleDocument, TemplateDocument
from dispatchlog.comm_webhook_documents import InboundDocument, StatusDocument
from dispatchlog.gateways import courier_signature
from dispatchlog.order_documents import Document, OrderDocument
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.inputs import Asker, PatientInput
from dispatchlog.systems.outreach.patients import put_patient
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from dispatchlog.visit_documents import VisitDocument
from tests.dashboard.api_support import Api, order, rows, running_api

GUIDE = Path(__file__).parents[2].joinpath("docs", "api.md").read_text("utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "An order": OrderAnswer,
    "A practitioner": PractitionerPart,
    "A registration": RegistrationPart,
    "A kit": KitPart,
    "An order that was taken up": RegistrationAnswer,
    "A dispatch": DispatchPart,
    "An entry of the timeline": EventPart,
    "A hold": HoldPart,
    "A pause or release": HoldAnswer,
    "A reported visit": VisitAnswer,
    "A visit": VisitStateAnswer,
    "An HL7 message": MessagePart,
    "A try of an HL7 message": AttemptPart,
    "A retry of HL7 messages": RetryMessagesAnswer,
    "A retried HL7 message": RetryPart,
    "A scheduled message": ScheduledAnswer,
    "A message to a patient": JobPart,
    "A cancelled message": CancelledAnswer,
    "An event that was taken in": EventAnswer,
    "A communication context": ContextAnswer,
    "Preferences": PreferencesPart,
    "Recent activity": ActivityPart,
    "Changed preferences": PreferencesAnswer,
    "A consent": EvidencePart,
    "A template": TemplatePart,
    "A preview": PreviewAnswer,
    "A segment": SegmentPart,
    "A campaign": CampaignPart,
}
NAMES = {"string": "text", "integer": "number", "number": "number", "boolean": "boolean", "object": "object"}
FORMATS = {"uuid": "UUID", "date-time": "instant", "date": "day"}


def listed(section: str) -> dict[str, str]:
    """The fields of a section's table with their types."""
    [text] = re.findall(rf"^### {section}\n(.*?)(?=^##)", GUIDE + "\n##", re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))


def type_name(schema: dict[str, Any]) -> str:
    """A JSON schema's type in the guide's words."""
    if "anyOf" in schema:
        (kind,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return f"{type_name(kind)} or null"
    if "$ref" in schema:
        return "object"
    if schema["type"] == "array":
        inner = type_name(schema["items"])
        return f"list of {'objects' if inner == 'object' else inner}"
    return FORMATS.get(schema.get("format", ""), NAMES[schema["type"]])


def is_such(value: Any, kind: str) -> bool:
    """Whether a value of an answer is of the type that the guide says."""
    if value is None:
        return kind.endswith(" or null")
    kind = kind.removesuffix(" or null")
    if kind.startswith("list of "):
        inner = {"objects": "object"}.get(kind.removeprefix("list of "), kind.removeprefix("list of "))
        return isinstance(value, list) and all(is_such(entry, inner) for entry in value)
    if kind == "instant":
        return datetime.fromisoformat(value).tzinfo is not None and value.endswith("Z")
    if kind == "UUID":
        return str(UUID(value)) == value
    python = {"text": str, "boolean": bool, "number": (int, float), "object": dict}[kind]
    return isinstance(value, python) and (kind != "number" or not isinstance(value, bool))


def assert_as_guided(answer: dict[str, Any], section: str, *more: str) -> None:
    table = listed(section)
    assert answer.keys() == {*table, *more}
    assert [name for name, kind in table.items() if not is_such(answer[name], kind)] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_the_guide_lists_every_field_of_an_answer_with_its_type(section: str) -> None:
    schema = SECTIONS[section].model_json_schema(mode="serialization")["properties"]
    assert listed(section) == {name: type_name(part) for name, part in schema.items()}


@pytest.mark.parametrize(
    ("section", "document"), [("Report an order", OrderDocument), ("Report a visit", VisitDocument)]
)
def test_the_guide_lists_every_field_of_what_is_reported(section: str, document: type[Document]) -> None:
    assert set(listed(section)) == {field.alias for field in document.model_fields.values()}


@pytest.mark.parametrize(
    ("section", "documents"),
    [
        ("Ask for a message", [ScheduleDocument]),
        ("An event of the core platform", [CoreEventDocument]),
        ("Change a patient's preferences", [PreferenceDocument]),
        ("Write a template", [TemplateDocument]),
        ("Tell of messages and answers", [StatusDocument, InboundDocument]),
    ],
)
def test_the_guide_lists_every_field_of_what_is_said_about_messages_to_patients(
    section: str, documents: list[type[Document]]
) -> None:
    [text] = re.findall(rf"^### {section}\n(.*?)(?=^##)", GUIDE, re.MULTILINE | re.DOTALL)
    columns = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| \w", text, re.MULTILINE)
    told = {name for column in columns for name in re.findall(r"\w+", column)}
    assert told == {field.alias or name for each in documents for name, field in each.model_fields.items()}


def test_the_guide_lists_every_field_of_a_visits_parts() -> None:
    [text] = re.findall(r"^### A visit's parts\n(.*?)^##", GUIDE, re.MULTILINE | re.DOTALL)
    listed_fields = {
        part: set(re.findall(r"`(\w+)`", rest)) for part, rest in re.findall(r"^\| `(\S+)` \|(.*)", text, re.M)
    }
    for place, part in _parts(VisitDocument):
        assert {field.alias for field in part.model_fields.values()} <= listed_fields[place], place


def _parts(document: type[BaseModel], place: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    for field in document.model_fields.values():
        for kind in re.findall(r"(\w+Document)", str(field.annotation)):
            part = getattr(visit_documents, kind)
            yield f"{place}{field.alias}", part
            yield from _parts(part, f"{field.alias}.")


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def test_answers_are_what_the_guide_says(api: Api) -> None:
    order_id = uuid4()
    waiting = order(status="paid", practitioner=None, shippingDate=None, trackingNumber=None, trackingUrl=None)
    body = api.call("PUT", f"/kit-orders/{order_id}", json=waiting).get_json()
    assert_as_guided(body, "An order")
    assert body["registration"] is None
    body = api.call("PUT", f"/kit-orders/{order_id}", json=order()).get_json()
    assert_as_guided(body, "An order")
    assert_as_guided(body["practitioner"], "A practitioner")
    assert_as_guided(body["registration"], "A registration")
    for kit in body["kits"]:
        assert_as_guided(kit, "A kit")
    taken_up = api.call("POST", f"/kit-orders/{order_id}/register").get_json()
    assert_as_guided(taken_up, "An order that was taken up")
    [dispatch_id] = rows("SELECT id FROM kit_registrations LIMIT 1")[0]
    found = api.call("GET", "/dispatches?key=VT-1001&limit=1").get_json()
    assert found.keys() == {"dispatches", "nextCursor", "traceId"}
    assert_as_guided(found["dispatches"][0], "A dispatch")
    path = f"/dispatches/kit_registration/{dispatch_id}"
    cancelled = api.call("POST", f"{path}/cancel", json={"reason": "a test"}).get_json()
    assert_as_guided(cancelled, "A dispatch", "timeline", "traceId")
    for entry in cancelled["timeline"]:
        assert_as_guided(entry, "An entry of the timeline")


def test_the_guides_example_of_a_signature_fits() -> None:
    [header] = re.findall(r"^    Comm-Signature: (\S+)$", GUIDE, re.MULTILINE)
    [body] = re.findall(r"^    BODY='(.*)'$", GUIDE, re.MULTILINE)
    assert courier_signature.sign(["comm-secret"], body.encode(), at=1_700_000_000) == header


def test_answers_about_messages_to_patients_are_what_the_guide_says(api: Api) -> None:
    ensure_standard_templates()
    patient = uuid4()
    put_patient(PatientInput(patient, "Sample Patient", email="sample@example.org"), source="test", asker=Asker("test"))
    wanted = {"patient_id": str(patient), "purpose": "lab_ready", "variables": {"test_name": "blood count"}}
    scheduled = api.call("POST", "/comm/schedule", json=wanted).get_json()
    assert_as_guided(scheduled, "A scheduled message")
    assert_as_guided(api.call("GET", f"/comm/jobs/{scheduled['job_id']}").get_json()["job"], "A message to a patient")
    assert_as_guided(api.call("POST", f"/comm/jobs/{scheduled['job_id']}/cancel").get_json(), "A cancelled message")
    context = api.call("GET", f"/patients/{patient}/comm-context").get_json()
    assert_as_guided(context, "A communication context")
    assert_as_guided(context["preferences"], "Preferences")
    assert_as_guided(context["recent_activity"], "Recent activity")
    agreed = {"marketing_opt_in_email": True, "wording": "I agree."}
    changed = api.call("PATCH", f"/patients/{patient}/comm-preferences", json=agreed).get_json()
    assert_as_guided(changed, "Changed preferences")
    [consent] = api.call("GET", f"/patients/{patient}/comm-consents").get_json()["consents"]
    assert_as_guided(consent, "A consent")
    template = api.call("GET", "/comm/templates").get_json()["templates"][0]
    assert_as_guided(template, "A template")
    assert_as_guided(api.call("POST", f"/comm/templates/{template['id']}/preview").get_json(), "A preview")
    event = {"event_id": "e1", "kind": "billing.statement_ready", "data": {"patient_id": str(patient)}}
    assert_as_guided(api.call("POST", "/comm/events", json=event).get_json(), "An event that was taken in")
