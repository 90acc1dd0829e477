"""The API's routes for clinics' visits. They hand what was reported to the HL7 system and answer what was stored. No SQL.

Taking a visit touches the database alone: its message leaves later, whatever the exchange does meanwhile.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from dashboard.api import hl7_queries
from dashboard.api.documents import Answer, Part
from dashboard.api.errors import PREFIX, UNVERSIONED_VISITS, ApiError
from dashboard.api.hl7_messages import MessagePart
from dashboard.api.routes import Call, Route, path_uuid
from dispatchlog.systems.hl7.visits import RecordedVisit, record_visit
from dispatchlog.tracing import current_trace_id
from dispatchlog.visit_documents import VisitDocument


class VisitMessagePart(Part):
    """A message that the visit made."""

    message_id: UUID
    message_type: str
    control_id: str
    status: str


class VisitAnswer(Answer):
    """What was stored of a visit; `created` is false where the same report was known."""

    visit_id: UUID
    number: str
    school_id: UUID
    school: str
    created: bool
    messages: list[VisitMessagePart]
    warnings: list[str]

    @classmethod
    def of(cls, recorded: RecordedVisit) -> VisitAnswer:
        return cls(
            visit_id=recorded.visit_id,
            number=recorded.number,
            school_id=recorded.school_id,
            school=recorded.school,
            created=recorded.created,
            messages=[VisitMessagePart(**message, message_id=message["id"]) for message in recorded.messages],
            warnings=list(recorded.warnings),
        )


class VisitStateAnswer(Answer):
    """A visit and what became of its messages; without a name and without anything clinical."""

    visit_id: UUID
    number: str
    kind: str
    school_id: UUID
    school: str
    student_number: str
    visited_at: datetime
    warnings: list[str]
    source: str
    visit_trace_id: str
    created_at: datetime
    messages: list[MessagePart]


def report_visit(call: Call) -> VisitAnswer:
    """Store a visit and its message. Saying the same twice changes nothing."""
    document: VisitDocument = call.document
    reported = document.to_reported()
    recorded = record_visit(reported.school, reported.visit, source=call.source, trace_id=current_trace_id())
    return VisitAnswer.of(recorded)


def get_visit(_: Call, visit_id: str) -> VisitStateAnswer:
    """The visit as it stands."""
    row = hl7_queries.visit(path_uuid(visit_id, "visitId"))
    if row is None:
        raise ApiError("VISIT_NOT_FOUND", f"there is no visit {visit_id}", field="visitId")
    messages = [MessagePart.of(message) for message in row["messages"]]
    return VisitStateAnswer(
        **{**row, "messages": messages, "visit_trace_id": row["trace_id"], "trace_id": current_trace_id()}
    )


def _is_new(answer: VisitAnswer) -> bool:
    return answer.created


ROUTES = (
    Route(
        "POST",
        f"{PREFIX}/visits",
        "reportVisit",
        "Report a clinic's visit; it and its HL7 message are stored at once, and the message leaves later.",
        "visits:write",
        report_visit,
        VisitAnswer,
        document=VisitDocument,
        codes=(
            "CONTROL_CHARACTER",
            "IMPLAUSIBLE",
            "INVALID_FORM",
            "INVALID_TEXT",
            "INVALID_UUID",
            "MISSING",
            "TOO_MANY",
            "UNKNOWN_SCHOOL",
            "UNKNOWN_VALUE",
            "VISIT_EXISTS",
        ),
        unversioned=UNVERSIONED_VISITS,
        creates=_is_new,
    ),
    Route(
        "GET",
        f"{PREFIX}/visits/<visit_id>",
        "getVisit",
        "A visit and what became of its messages; without a name and without anything clinical.",
        "visits:read",
        get_visit,
        VisitStateAnswer,
        codes=("VISIT_NOT_FOUND",),
    ),
)
