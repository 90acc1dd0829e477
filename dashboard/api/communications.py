"""The API's routes about messages to patients: asking for one, what became of it, how a patient may be reached, and what
happens in the core platform. Owns their URLs and answers; the rules are `systems.outreach`'.
"""

from __future__ import annotations

import re
from uuid import UUID

from flask import request

from dashboard.api.comm_calls import asker_of, on_one_connection
from dashboard.api.comm_parts import (
    CancelledAnswer,
    ContextAnswer,
    EventAnswer,
    EvidenceAnswer,
    JobAnswer,
    JobListAnswer,
    JobPart,
    PreferencesAnswer,
    PreviewAnswer,
    ScheduledAnswer,
    TemplateAnswer,
    TemplateListAnswer,
    TemplatePart,
)
from dashboard.api.cursors import read_cursor, write_cursor
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.routes import Call, Route, path_uuid, read_limit
from dashboard.together import Together
from dispatchlog.comm_documents import (
    CoreEventDocument,
    PreferenceDocument,
    PreviewDocument,
    ScheduleDocument,
    TemplateDocument,
)
from dispatchlog.engine.database import is_away, transaction
from dispatchlog.pharmacy_documents import ReasonDocument
from dispatchlog.systems.outreach import (
    audit,
    consents,
    core_events,
    jobs,
    preferences,
    rendering,
    scheduling,
    templates,
)
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.scheduling import Asked
from dispatchlog.systems.outreach.segments import membership
from dispatchlog.systems.outreach.states import AuditAction
from dispatchlog.tracing import current_trace_id

KEY_HEADER = "Idempotency-Key"
_TOGETHER = Together(scheduling.schedule_many, is_everybodys=is_away)
CONTACT_SCOPE = "comm:contact"
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def schedule(call: Call) -> ScheduledAnswer:
    """Decide and store; the same key again gives the same answer."""
    document: ScheduleDocument = call.document
    wanted = document.to_input(_request_key())
    scheduled = _TOGETHER.ask(Asked(wanted, asker_of(call), current_trace_id()))
    if isinstance(scheduled, OutreachError):
        raise scheduled
    if scheduled.refused:
        refused = scheduled.decision["refused"]["words"]
        present = {"job_id": str(scheduled.job_id), "decision": dict(scheduled.decision)}
        raise ApiError(scheduled.refused, refused, present=present)
    return ScheduledAnswer.of(scheduled)


@on_one_connection
def get_context(call: Call, patient_id: str) -> ContextAnswer:
    """How the patient may be reached."""
    wanted, in_clear = path_uuid(patient_id, "patientId"), CONTACT_SCOPE in call.scopes
    found = preferences.resolve(wanted)
    _note_look(call, wanted, "context")
    names = [each["name"] for each in membership.segments_of(wanted)]
    return ContextAnswer.of(found, jobs.activity(wanted), segments=names, in_clear=in_clear)


@on_one_connection
def change_preferences(call: Call, patient_id: str) -> PreferencesAnswer:
    """Change what the patient chose."""
    document: PreferenceDocument = call.document
    wanted = path_uuid(patient_id, "patientId")
    found = preferences.change(wanted, document.to_change(), asker=asker_of(call))
    _note_look(call, wanted, "preferences")
    return PreferencesAnswer.of(found, in_clear=CONTACT_SCOPE in call.scopes)


@on_one_connection
def get_consents(call: Call, patient_id: str) -> EvidenceAnswer:
    """Every yes and no."""
    wanted = path_uuid(patient_id, "patientId")
    preferences.resolve(wanted)
    _note_look(call, wanted, "consents")
    return EvidenceAnswer.of(consents.evidence_of(wanted))


@on_one_connection
def get_job(call: Call, job_id: str) -> JobAnswer:
    """One message as it stands."""
    row = jobs.job(path_uuid(job_id, "jobId"))
    _note_look(call, row["patient_id"], "message")
    return JobAnswer(job=JobPart.of(row, in_clear=CONTACT_SCOPE in call.scopes))


@on_one_connection
def find_jobs(call: Call, patient_id: str) -> JobListAnswer:
    """A page of a patient's messages."""
    wanted, limit, cursor = path_uuid(patient_id, "patientId"), read_limit(call), call.parameters.get("cursor", "")
    preferences.resolve(wanted)
    rows = jobs.jobs_of(wanted, limit=limit + 1, before=read_cursor(cursor) if cursor else None)
    _note_look(call, wanted, "messages")
    shown, in_clear = rows[:limit], CONTACT_SCOPE in call.scopes
    return JobListAnswer(
        jobs=[JobPart.of(row, in_clear=in_clear) for row in shown],
        next_cursor=write_cursor(shown[-1]["scheduled_at"], shown[-1]["id"]) if len(rows) > limit else None,
    )


@on_one_connection
def cancel_job(call: Call, job_id: str) -> CancelledAnswer:
    """Cancel what has not left."""
    wanted, document = path_uuid(job_id, "jobId"), call.document
    cancelled = scheduling.cancel(wanted, asker=asker_of(call), reason=document.reason)
    return CancelledAnswer(job_id=wanted, cancelled=cancelled, status=jobs.job(wanted)["status"])


@on_one_connection
def report_event(call: Call) -> EventAnswer:
    """Take one event of the core platform in."""
    document: CoreEventDocument = call.document
    said = document.model_dump(mode="json", exclude_none=True)
    came = core_events.take(said, source=call.source, asker=asker_of(call), trace_id=current_trace_id())
    return EventAnswer(event_id=document.event_id, taken=bool(came["taken"]), effect=dict(came["effect"]))


@on_one_connection
def find_templates(_: Call) -> TemplateListAnswer:
    """All templates."""
    found = templates.every_template()
    return TemplateListAnswer(templates=[TemplatePart.model_validate(template) for template in found])


@on_one_connection
def create_template(call: Call) -> TemplateAnswer:
    """A new template."""
    document: TemplateDocument = call.document
    return TemplateAnswer.of(templates.create(document.to_input(), asker=asker_of(call)))


@on_one_connection
def get_template(_: Call, template_id: str) -> TemplateAnswer:
    """One template."""
    return TemplateAnswer.of(templates.template(path_uuid(template_id, "templateId")))


@on_one_connection
def write_version(call: Call, template_id: str) -> TemplateAnswer:
    """The next version of a template."""
    wanted, document = path_uuid(template_id, "templateId"), call.document
    if document.based_on is None:
        raise ApiError("MISSING_FIELD", "is required", field="based_on")
    changed = templates.write_version(wanted, document.to_input(), based_on=document.based_on, asker=asker_of(call))
    return TemplateAnswer.of(changed)


@on_one_connection
def preview_template(call: Call, template_id: str) -> PreviewAnswer:
    """A template's text with these values, or with examples."""
    document: PreviewDocument = call.document
    template = templates.template(path_uuid(template_id, "templateId"))
    return PreviewAnswer.of(rendering.preview(template, document.variables))


def _note_look(call: Call, patient_id: UUID, what: str) -> None:
    """Who reads what about a patient is kept, with whether addresses were shown."""
    with transaction(call.actor):
        details = {"what": what, "in_clear": CONTACT_SCOPE in call.scopes}
        audit.note(AuditAction.ACCESS, patient_id, asker_of(call), details)


def _request_key() -> str:
    key = request.headers.get(KEY_HEADER, "")
    if key and not _KEY.fullmatch(key):
        raise ApiError("INVALID_REQUEST_KEY", f"{KEY_HEADER} is 1 to 128 visible ASCII characters", field=KEY_HEADER)
    return key


_JOB = f"{PREFIX}/comm/jobs/<job_id>"
_PATIENT = f"{PREFIX}/patients/<patient_id>"
_TEMPLATE = f"{PREFIX}/comm/templates/<template_id>"
_ADDRESS = ("INVALID_EMAIL", "INVALID_PHONE")
_PREFERENCE = (
    "PATIENT_NOT_FOUND",
    "INVALID_TIMEZONE",
    "INVALID_LANGUAGE",
    "INVALID_TIME",
    "INVALID_HOUR",
    "WORDING_REQUIRED",
    "STOPPED_BY_PATIENT",
    *_ADDRESS,
)
_VALUES = ("UNKNOWN_VARIABLE", "MISSING_VARIABLE", "INVALID_VARIABLE", "TEXT_TOO_LONG")
_TEXT = (
    "UNKNOWN_VALUE",
    "INVALID_NAME",
    "INVALID_TEMPLATE",
    "UNDECLARED_VARIABLE",
    "UNUSED_VARIABLE",
    "INVALID_VARIABLE",
    "PHI_IN_TEXT",
    "TEXT_TOO_LONG",
    "SUBJECT_REQUIRED",
    "INVALID_LANGUAGE",
    "INVALID_VARIANTS",
    "TEMPLATE_EXISTS",
    "ORGANIZATION_NOT_FOUND",
    "PROVIDER_NOT_FOUND",
    "INVALID_UUID",
)
_CLEAR = f"addresses are masked without the scope {CONTACT_SCOPE}"

ROUTES = (
    Route(
        "POST",
        f"{PREFIX}/comm/schedule",
        "scheduleCommunication",
        "Have a message sent to a patient: consent is checked, channel and time are chosen, the text is written and kept.",
        "comm:write",
        schedule,
        ScheduledAnswer,
        document=ScheduleDocument,
        headers={KEY_HEADER: "the same key is one message, however often it is sent"},
        codes=(
            "PATIENT_NOT_FOUND",
            "UNKNOWN_TEMPLATE",
            "TEMPLATE_MISMATCH",
            *_VALUES,
            "NO_ADDRESS",
            "SEND_AT_PAST",
            "URGENT_NOT_ALLOWED",
            "APPOINTMENT_NOT_FOUND",
            "APPOINTMENT_OVER",
            "REQUEST_KEY_REUSED",
            "INVALID_REQUEST_KEY",
            "INVALID_UUID",
            "UNKNOWN_VALUE",
            "PATIENT_INACTIVE",
            "NO_CHANNEL",
            "EXPIRES_BEFORE_LAWFUL",
        ),
    ),
    Route(
        "GET",
        f"{_PATIENT}/comm-context",
        "getCommunicationContext",
        f"How a patient may be reached, who said so, and what was lately sent; {_CLEAR}.",
        "comm:read",
        get_context,
        ContextAnswer,
        codes=("PATIENT_NOT_FOUND",),
    ),
    Route(
        "PATCH",
        f"{_PATIENT}/comm-preferences",
        "changeCommunicationPreferences",
        "Change how a patient may be reached on their behalf; null takes a choice back.",
        "comm:manage",
        change_preferences,
        PreferencesAnswer,
        document=PreferenceDocument,
        codes=_PREFERENCE,
    ),
    Route(
        "GET",
        f"{_PATIENT}/comm-consents",
        "getConsents",
        "Every yes and no of a patient, as it was given, newest first.",
        "comm:read",
        get_consents,
        EvidenceAnswer,
        codes=("PATIENT_NOT_FOUND",),
    ),
    Route(
        "GET",
        f"{_PATIENT}/comm-jobs",
        "findCommunicationJobs",
        f"A patient's messages, latest first; {_CLEAR}.",
        "comm:read",
        find_jobs,
        JobListAnswer,
        parameters={"limit": "how many, 1 to 200; 50 unless told", "cursor": "next_cursor of the page before"},
        codes=("PATIENT_NOT_FOUND", "INVALID_LIMIT", "INVALID_CURSOR"),
    ),
    Route(
        "GET",
        _JOB,
        "getCommunicationJob",
        f"One message: how it stands, what was heard of it, and why it was decided so; {_CLEAR}.",
        "comm:read",
        get_job,
        JobAnswer,
        codes=("JOB_NOT_FOUND",),
    ),
    Route(
        "POST",
        f"{_JOB}/cancel",
        "cancelCommunicationJob",
        "Cancel a message that has not left.",
        "comm:write",
        cancel_job,
        CancelledAnswer,
        document=ReasonDocument,
        body_optional=True,
        codes=("JOB_NOT_FOUND",),
    ),
    Route(
        "POST",
        f"{PREFIX}/comm/events",
        "reportCoreEvent",
        "Say what happened to a patient, an appointment, a provider or a bill; each event is taken in once.",
        "comm:write",
        report_event,
        EventAnswer,
        document=CoreEventDocument,
        codes=(
            "UNKNOWN_EVENT",
            "EVENT_REUSED",
            "PATIENT_NOT_FOUND",
            "PROVIDER_NOT_FOUND",
            "ORGANIZATION_NOT_FOUND",
            "APPOINTMENT_NOT_FOUND",
            "APPOINTMENT_OF_ANOTHER",
            "UNKNOWN_STATUS",
            "UNKNOWN_VALUE",
            "INVALID_TEXT",
            "INVALID_TIMEZONE",
            "INVALID_LANGUAGE",
            "INVALID_COUNTRY",
            "INVALID_UUID",
            *_VALUES,
            *_ADDRESS,
        ),
    ),
    Route(
        "GET",
        f"{PREFIX}/comm/templates",
        "findTemplates",
        "All templates with the text of their present version.",
        "comm:manage",
        find_templates,
        TemplateListAnswer,
    ),
    Route(
        "POST",
        f"{PREFIX}/comm/templates",
        "createTemplate",
        "A new template.",
        "comm:manage",
        create_template,
        TemplateAnswer,
        document=TemplateDocument,
        creates=lambda _: True,
        codes=_TEXT,
    ),
    Route(
        "GET",
        _TEMPLATE,
        "getTemplate",
        "One template with the text of its present version.",
        "comm:manage",
        get_template,
        TemplateAnswer,
        codes=("UNKNOWN_TEMPLATE",),
    ),
    Route(
        "POST",
        f"{_TEMPLATE}/versions",
        "writeTemplateVersion",
        "Another text for a template; `based_on` is the version that it changes.",
        "comm:manage",
        write_version,
        TemplateAnswer,
        document=TemplateDocument,
        codes=("UNKNOWN_TEMPLATE", "VERSION_CONFLICT", *_TEXT),
    ),
    Route(
        "POST",
        f"{_TEMPLATE}/preview",
        "previewTemplate",
        "A template's text with these values, or with the variables' examples; nothing is sent.",
        "comm:manage",
        preview_template,
        PreviewAnswer,
        document=PreviewDocument,
        body_optional=True,
        codes=("UNKNOWN_TEMPLATE", *_VALUES),
    ),
)
