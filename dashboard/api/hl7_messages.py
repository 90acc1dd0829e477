"""The API's routes for HL7 messages: find, read, retry. Owns the parameters; never answers a body or a student's name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from dashboard.access import MANAGE
from dashboard.api import hl7_queries
from dashboard.api.documents import Answer, Part
from dashboard.api.errors import PREFIX, UNVERSIONED_RETRY, ApiError
from dashboard.api.hl7_queries import MessageQuestion
from dashboard.api.routes import Call, Route, path_uuid, read_limit
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.operator import ActionResult
from dispatchlog.engine.states import Status
from dispatchlog.order_documents import ONE_LINE, Document, Id, Instant, ReasonText
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.retrying import RETRIABLE, retry_all, retry_these, school_id_of
from dispatchlog.tracing import current_trace_id

MAX_IDS = 1_000
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
_LARGEST_SEQ = 2**63 - 1


def _refuse_too_many(ids: list[UUID]) -> list[UUID]:
    if len(ids) > MAX_IDS:
        raise PydanticCustomError("TOO_LONG", f"has more than {MAX_IDS} entries")
    return ids


class RetryMessagesDocument(Document):
    """Either `retryAll`, perhaps of one school, or `messageIds`; and why, for the record."""

    retry_all: Annotated[str | None, Field(description="PENDING or FAILED", max_length=16)] = None
    message_ids: Annotated[list[Id], AfterValidator(_refuse_too_many), Field(description="up to 1000")] | None = None
    school_id: Annotated[
        str | None, Field(description="a school's code or UUID; with retryAll", max_length=64), ONE_LINE
    ] = None
    reason: ReasonText = ""
    cursor: Annotated[
        str | None, Field(description="nextCursor of the answer before; with retryAll", max_length=32)
    ] = None


class MessagePart(Part):
    """A message as it stands. Of the student it has the clinic's number alone."""

    message_id: UUID
    visit_id: UUID | None
    school_id: UUID
    school: str
    student_number: str
    message_type: str
    control_id: str
    status: str
    in_doubt: bool
    retry_count: int
    due_at: datetime
    sent_at: datetime | None
    last_error_code: str | None
    replaces_id: UUID | None
    message_trace_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Row) -> MessagePart:
        return cls(**_message_fields(row))


class AttemptPart(Part):
    """One try: what came of it, and the codes of the acknowledgement (MSA-1 and every ERR-3)."""

    number: int
    gateway: str
    sending_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    code: str | None
    acknowledgement_code: str | None
    error_codes: list[str]
    latency_ms: float | None


class MessageAnswer(MessagePart, Answer):
    """A message with its tries, oldest first."""

    attempts: list[AttemptPart]


class MessageListAnswer(Answer):
    """One page of messages. `nextCursor` is null on the last page."""

    messages: list[MessagePart]
    next_cursor: str | None


class RetryPart(Part):
    """What became of one message: `status` is as it is now, null for one that does not exist."""

    message_id: UUID
    retried: bool
    status: str | None
    code: str | None
    message: str | None

    @classmethod
    def of(cls, result: ActionResult) -> RetryPart:
        missing = result.code == "DISPATCH_NOT_FOUND"
        return cls(
            message_id=result.dispatch_id,
            retried=result.changed,
            status=result.status or None,
            code="MESSAGE_NOT_FOUND" if missing else result.code or None,
            message="there is no such message" if missing else result.message or None,
        )


class RetryMessagesAnswer(Answer):
    """How many are due now, and how many could not be or were already. `results` are of `messageIds`, one each.

    `nextCursor` is not null where there were more than one request takes: send it with the same request again.
    """

    retried: int
    unchanged: int
    next_cursor: str | None
    results: list[RetryPart]


def find_messages(call: Call) -> MessageListAnswer:
    """Messages by status, school and when they were made."""
    given = call.parameters
    status = given.get("status", "").strip()
    if status and status not in Status.__members__:
        raise ApiError("UNKNOWN_STATUS", f"status is one of {', '.join(Status)}", field="status")
    school = given.get("school", "").strip()
    limit = read_limit(call)
    rows = hl7_queries.find_messages(
        MessageQuestion(
            status=status or None,
            school_id=_school(school) if school else None,
            since=_instant(call, "from"),
            until=_instant(call, "to"),
            before=_cursor(given.get("cursor", "")),
            limit=limit,
        )
    )
    page = rows[:limit]
    return MessageListAnswer(
        messages=[MessagePart.of(row) for row in page],
        next_cursor=str(page[-1]["seq"]) if len(rows) > limit else None,
    )


def get_message(_: Call, message_id: str) -> MessageAnswer:
    """One message with its tries."""
    wanted = path_uuid(message_id, "messageId")
    row = hl7_queries.message(wanted)
    if row is None:
        raise ApiError("MESSAGE_NOT_FOUND", f"there is no HL7 message {wanted}", field="messageId")
    tries = [
        AttemptPart(**{**attempt, "error_codes": attempt["error_codes"] or []})
        for attempt in hl7_queries.attempts(wanted)
    ]
    return MessageAnswer(**_message_fields(row), attempts=tries)


def retry_messages(call: Call) -> RetryMessagesAnswer:
    """Make some messages due now, or all that wait or have failed."""
    document: RetryMessagesDocument = call.document
    if (document.retry_all is None) == (document.message_ids is None):
        raise ApiError("MISSING_FIELD", "say either retryAll or messageIds", field="retryAll")
    if document.message_ids is not None:
        for field, value in (("schoolId", document.school_id), ("cursor", document.cursor)):
            if value is not None:
                raise ApiError("INVALID_VALUE", f"{field} goes with retryAll only", field=field)
        done = retry_these(document.message_ids, actor=call.actor, reason=document.reason)
    else:
        if document.retry_all not in RETRIABLE:
            raise ApiError("UNKNOWN_STATUS", f"retryAll is {' or '.join(RETRIABLE)}", field="retryAll")
        done = retry_all(
            document.retry_all,
            school=document.school_id,
            actor=call.actor,
            reason=document.reason,
            after=_cursor(document.cursor or "") or 0,
        )
    return RetryMessagesAnswer(
        retried=done.retried,
        unchanged=done.unchanged,
        next_cursor=None if done.next_after is None else str(done.next_after),
        results=[RetryPart.of(result) for result in done.results],
    )


def _message_fields(row: Row) -> dict[str, object]:
    names = {"message_id": row["id"], "message_trace_id": row["trace_id"], "trace_id": current_trace_id()}
    # What was said before a person asked again is history, not the message's error.
    asked_again = row["status"] == "PENDING" and not row["retry_count"]
    values = {name: value for name, value in row.items() if name != "attempts"}
    return {**values, **names, "last_error_code": None if asked_again else row["last_error_code"]}


def _school(text: str) -> UUID:
    if "\x00" in text:
        raise ApiError("INVALID_VALUE", "school must not hold control characters", field="school")
    try:
        return school_id_of(text)
    except VisitError as error:
        raise ApiError(error.code, error.message, field="school") from error


def _instant(call: Call, name: str) -> datetime | None:
    text = call.parameters.get(name, "")
    if not text:
        return None
    try:
        return _INSTANT.validate_python(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ApiError(str(found["type"]), f"{name} {found['msg']}", field=name) from None


def _cursor(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST_SEQ):
        raise ApiError("INVALID_CURSOR", "use the nextCursor of the answer before", field="cursor")
    return int(text)


ROUTES = (
    Route(
        "GET",
        f"{PREFIX}/hl7/messages",
        "findHl7Messages",
        "HL7 messages, newest first, by status, school and when they were made; without body and name.",
        "visits:read",
        find_messages,
        MessageListAnswer,
        parameters={
            "status": "PENDING, QUEUED, SENT, FAILED or CANCELLED",
            "school": "a school's code or UUID",
            "from": "made at this instant or later, such as 2026-03-01T00:00:00Z",
            "to": "made before this instant",
            "limit": "how many at the most, 1 to 200; 50 unless told",
            "cursor": "nextCursor of the page before",
        },
        codes=(
            "UNKNOWN_STATUS",
            "UNKNOWN_SCHOOL",
            "INVALID_VALUE",
            "INVALID_DATE",
            "NAIVE_DATE",
            "INVALID_LIMIT",
            "INVALID_CURSOR",
        ),
    ),
    Route(
        "GET",
        f"{PREFIX}/hl7/messages/<message_id>",
        "getHl7Message",
        "An HL7 message: status, retry count, and every try with its acknowledgement's codes; without body and name.",
        "visits:read",
        get_message,
        MessageAnswer,
        codes=("MESSAGE_NOT_FOUND",),
    ),
    Route(
        "POST",
        f"{PREFIX}/hl7/retry",
        "retryHl7Messages",
        "Send HL7 messages again, now and with their retries counted from 0: some, or all that wait or have failed.",
        "hl7:retry",
        retry_messages,
        RetryMessagesAnswer,
        document=RetryMessagesDocument,
        codes=("CSRF", "FORBIDDEN_ROLE", "INVALID_CURSOR", "INVALID_UUID", "UNKNOWN_SCHOOL", "UNKNOWN_STATUS"),
        permission=MANAGE,
        unversioned=UNVERSIONED_RETRY,
    ),
)
