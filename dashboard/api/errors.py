"""Every error code of the JSON API with its HTTP status, and turning exceptions into answers. Never repeats a value."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import peewee
import psycopg2
import structlog
from flask import Blueprint, Flask, Response, jsonify, request
from playhouse.pool import MaxConnectionsExceeded
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from dashboard.api.tracing import begin_trace, finish_answer
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.order_documents import DocumentError, Problem
from dispatchlog.systems.hl7.checks import Fault
from dispatchlog.tracing import current_trace_id

log = structlog.get_logger(__name__)

PREFIX = "/api/v1"
# Some routes have a second address without the version; they behave the same at both.
UNVERSIONED_VISITS, UNVERSIONED_RETRY = "/api/visits", "/api/hl7/retry"
UNVERSIONED_READY, UNVERSIONED_CANCEL = "/orders/<order_id>/ready", "/orders/<order_id>/dispatch/cancel"
UNVERSIONED_VERIFY = "/dispatch/<dispatch_id>/otp/verify"
_UNVERSIONED = re.compile(
    r"/api/visits|/api/hl7/retry|/orders/[^/]+/(ready|dispatch/cancel)|/dispatch/[^/]+/otp/verify"
)
RETRY_AFTER_SECONDS = 5

ERRORS: dict[str, tuple[int, str]] = {
    "INVALID_JSON": (400, "the body is not JSON"),
    "UNKNOWN_FIELD": (400, "a field or parameter that does not exist"),
    "REPEATED_FIELD": (400, "a field that stands twice in one object"),
    "MISSING_FIELD": (400, "a required field or parameter is missing"),
    "WRONG_TYPE": (400, "a value of the wrong JSON type"),
    "MISSING": (400, "an empty text, or a part of the visit that its kind needs; say it, or report another kind"),
    "UNKNOWN_VALUE": (400, "not one of the codes that the message names"),
    "INVALID_FORM": (400, "not of the form that the message names, such as an ICD-10 code or a telephone number"),
    "INVALID_TEXT": (400, "a text that is blank or cannot be kept, or two quotation marks, which mean deletion in HL7"),
    "CONTROL_CHARACTER": (400, "a text with a control character; take it out"),
    "IMPLAUSIBLE": (400, "a measurement, dose or instant that cannot be; check its unit, and correct it at its source"),
    "TOO_MANY": (400, "a list of more than 100 entries; report them as several visits"),
    "TOO_LONG": (400, "a text or list that is too long"),
    "INVALID_VALUE": (400, "an empty text, a line break or a control character where none may be"),
    "INVALID_UUID": (400, "not a UUID"),
    "INVALID_DATE": (400, "not a date and time, or an absurd one"),
    "NAIVE_DATE": (400, "a date and time without a time zone"),
    "INVALID_EMAIL": (400, "not an e-mail address"),
    "INVALID_KIT_ID": (400, "not a kit id"),
    "INVALID_ORDER_NUMBER": (400, "not an order number"),
    "INVALID_TRACKING_URL": (400, "not an http(s) URL"),
    "DUPLICATE_KIT": (400, "one kit stands twice in the order, perhaps in upper and lower case"),
    "UNKNOWN_STATUS": (400, "no such status"),
    "ORDER_ID_MISMATCH": (400, "the order's id in the body is not the one in the URL"),
    "EMPTY_REPORT": (400, "a shipment report that says nothing"),
    "REASON_REQUIRED": (400, "the action needs a reason"),
    "INVALID_KEY": (400, "a search key that is empty, too long, or an e-mail address"),
    "INVALID_CODE": (400, "not a pharmacy's code: letters, digits, dots, underscores and hyphens"),
    "INVALID_PHONE": (400, "not a telephone number"),
    "INVALID_COORDINATES": (400, "not a latitude from -90 to 90 and a longitude from -180 to 180"),
    "INVALID_CURRENCY": (400, "not a currency's three letters"),
    "INVALID_ITEMS": (400, "no items, too many, or one of no quantity"),
    "INVALID_AMOUNT": (400, "not an amount of money in the currency's minor unit"),
    "PAYMENT_STATUS_UNKNOWN": (400, "not Pending, Paid, Failed or Refunded"),
    "INVALID_PAGE": (400, "not a page, or one that is too far back"),
    "INVALID_CURSOR": (400, "not a cursor from an earlier answer to the same question"),
    "INVALID_LIMIT": (400, "limit is not a number from 1 to 200"),
    "UNKNOWN_KIND": (
        400,
        "not a kind of party (doctor, pharmacy, laboratory, patient) or of decision (hour, channel, content)",
    ),
    "UNKNOWN_MODE": (400, "not a mode of the optimiser: off, learning or on"),
    "PRESCRIPTION_EMPTY": (400, "a prescription without anything in it"),
    "ITEM_INVALID": (400, "an item that lacks what its kind needs; `field` says which and what"),
    "DRAFT_TOO_LARGE": (400, "a draft of more than 64 KiB"),
    "MESSAGE_EMPTY": (400, "a message without text and attachments"),
    "MESSAGE_TOO_LONG": (400, "a message of more than 8,000 characters; send it in several"),
    "ATTACHMENT_INVALID": (400, "an attachment of no name, type or https address that can be shown"),
    "INVALID_RANGE": (400, "both before and after; ask for one of them"),
    "BAD_REQUEST": (400, "the request is malformed"),
    "CSRF": (400, "a session without the page's CSRF token, or from another site"),
    "INVALID_REQUEST_KEY": (400, "an Idempotency-Key that is not 1 to 128 visible ASCII characters"),
    "INVALID_TIMEZONE": (400, "not a time zone of the IANA database, such as America/New_York"),
    "INVALID_LANGUAGE": (400, "not a language such as en or pt-BR"),
    "INVALID_TIME": (400, "not a time of day such as 22:00"),
    "INVALID_HOUR": (400, "not an hour from 0 to 23"),
    "INVALID_COUNTRY": (400, "not a country's two letters, such as US"),
    "WORDING_REQUIRED": (400, "marketing is turned on with the words that the patient agreed to"),
    "VALUE_REQUIRED": (400, "what holds for everybody cannot be left open"),
    "UNKNOWN_VARIABLE": (400, "a variable that the template does not declare"),
    "MISSING_VARIABLE": (400, "a variable without which the template cannot be filled in"),
    "INVALID_VARIABLE": (
        400,
        "a variable's value that is not of its kind, or a variable that is not declared properly",
    ),
    "TEXT_TOO_LONG": (400, "the text is longer than its channel takes"),
    "SEND_AT_PAST": (400, "send_at is over"),
    "URGENT_NOT_ALLOWED": (400, "marketing is never urgent"),
    "INVALID_TEMPLATE": (400, "a text that cannot be a template; the message says where"),
    "UNDECLARED_VARIABLE": (400, "the text uses a variable that is not declared"),
    "UNUSED_VARIABLE": (400, "a variable is declared that the text does not use"),
    "PHI_IN_TEXT": (400, "a text message's own words say something about health; that belongs behind the link"),
    "SUBJECT_REQUIRED": (400, "an e-mail needs a subject, and nothing else has one"),
    "INVALID_VARIANTS": (400, "variants that cannot be told apart, or without a share"),
    "UNKNOWN_EVENT": (400, "no such kind of event"),
    "NO_ADDRESS": (400, "there is no address for the channel that was asked for"),
    "TEMPLATE_MISMATCH": (400, "the template is for another purpose or channel"),
    "UNKNOWN_VARIANT": (400, "the template has no such variant"),
    "INVALID_NAME": (400, "a name is 1 to 255 characters"),
    "INVALID_RULES": (400, "no document of rules, too many of them, or nested too deep"),
    "UNKNOWN_OPERATOR": (400, "an operator that the rule's field does not take"),
    "SEGMENT_CYCLE": (400, "segments that name each other in a circle"),
    "INVALID_STEPS": (400, "steps of a campaign that cannot be read; `field` says where"),
    "STEP_CYCLE": (400, "steps that wait for each other"),
    "UNKNOWN_STEP": (400, "a step that the campaign does not have, or not before this one"),
    "END_BEFORE_START": (400, "the last day is before the first"),
    "SEGMENT_MISMATCH": (400, "the segment is another organisation's"),
    "INVALID_RATES": (400, "not an amount, a currency or a share"),
    "UNKNOWN_INTENT": (400, "no such meaning of an answer"),
    "UNAUTHENTICATED": (401, "no token, or one that is unknown or revoked"),
    "FORBIDDEN_SCOPE": (403, "the token does not have the scope that this route needs"),
    "FORBIDDEN_ROLE": (403, "whoever is signed in does not have the role that this route needs"),
    "PERSON_UNKNOWN": (403, "nobody has reported this person, or linked this account to one"),
    "PERSON_INACTIVE": (403, "the person, or the party that they act for, is not active any more"),
    "NOT_A_DOCTOR": (403, "only a doctor begins a ticket"),
    "NOT_YOUR_TICKET": (403, "only the doctor who began the ticket writes its prescription"),
    "SENDER_MISMATCH": (403, "senderId is not who is signed in; leave it out, or get a token of theirs"),
    "NOT_FOUND": (404, "no such route"),
    "ORDER_NOT_FOUND": (404, "no such order"),
    "DISPATCH_NOT_FOUND": (404, "no such dispatch; check the state of the order"),
    "PHARMACY_NOT_FOUND": (404, "no such pharmacy; report it first"),
    "UNKNOWN_LANE": (404, "no such lane"),
    "UNKNOWN_SCHOOL": (404, "no such school; an administrator adds it, then the same report is taken"),
    "VISIT_NOT_FOUND": (404, "no such visit"),
    "MESSAGE_NOT_FOUND": (404, "no such message"),
    "PERSON_NOT_FOUND": (404, "no such person; report them first"),
    "PARTY_NOT_FOUND": (404, "no such party; report it first"),
    "PATIENT_NOT_FOUND": (404, "no such patient; report them first"),
    "RECEIVER_NOT_FOUND": (404, "no active party of the kind that receives such a ticket"),
    "TICKET_NOT_FOUND": (404, "no such ticket, or none of the asker's"),
    "THREAD_NOT_FOUND": (404, "no such thread, or none of the asker's"),
    "TIMELINE_NOT_FOUND": (404, "no such entry in the timeline of the message's ticket"),
    "UNKNOWN_TARGET": (404, "no such lane or gateway to pause"),
    "UNKNOWN_TEMPLATE": (404, "no such template"),
    "JOB_NOT_FOUND": (404, "no such message"),
    "ORGANIZATION_NOT_FOUND": (404, "no such organisation; report it first"),
    "PROVIDER_NOT_FOUND": (404, "no such provider; report them first"),
    "APPOINTMENT_NOT_FOUND": (404, "no such appointment; report it first"),
    "SEGMENT_NOT_FOUND": (404, "no such segment"),
    "CAMPAIGN_NOT_FOUND": (404, "no such campaign"),
    "REQUEST_NOT_FOUND": (404, "no such request"),
    "INBOUND_NOT_FOUND": (404, "no such answer of a patient"),
    "METHOD_NOT_ALLOWED": (405, "the route does not take this method"),
    "ILLEGAL_MOVE": (409, "the dispatch is not in a state from which this is possible"),
    "IN_DOUBT": (409, "the dispatch may already have been sent; a person has to settle that first"),
    "ALREADY_DUE": (409, "the dispatch waits and is due; it goes with the next batch"),
    "EXPIRED": (409, "the time in which the dispatch was of use is over"),
    "VISIT_EXISTS": (409, "another visit has this id; report a correction as a visit of its own, of kind UPDATE"),
    "ORDER_NUMBER_TAKEN": (409, "another order has this number"),
    "ORDER_ALREADY_DISPATCHED": (409, "a courier was told what the order says; it cannot be changed any more"),
    "ORDER_ITEMS_FIXED": (409, "the items of an order stay as they were reported; report a new order"),
    "PAYMENT_FINAL": (409, "a refunded payment stays refunded"),
    "PAYMENT_NOT_CAPTURED": (409, "the order is not paid; verify the payment"),
    "NO_COURIER": (409, "no courier is configured"),
    "BOOKING_IN_DOUBT": (409, "the courier may have the booking; settle that at the in-doubt desk first"),
    "DISPATCH_ALREADY_DELIVERED": (409, "it was delivered already; `present` holds the order as it is"),
    "DISPATCH_NOT_CANCELLABLE": (409, "it was picked up, or has ended"),
    "DISPATCH_NOT_REPEATABLE": (409, "only what failed or was cancelled is dispatched again"),
    "DISPATCH_NOT_IN_TRANSIT": (409, "a delivery is confirmed while it is IN_TRANSIT"),
    "OTP_LOCKED": (409, "too many wrong codes; staff can unlock it or confirm without it"),
    "CODE_LOCKED": (409, "the code is locked; unlock it before it is sent again"),
    "CODE_SENT_JUST_NOW": (409, "the code was sent less than half a minute ago"),
    "TICKET_ALREADY_SENT": (
        409,
        "the ticket was sent; its receiver stays. Cancel it and begin another one",
    ),
    "TICKET_OF_ANOTHER": (409, "the appointment has a ticket of another doctor or patient"),
    "NO_TICKET_NUMBER": (409, "no number was free for a new ticket; try again"),
    "TICKET_ENDED": (409, "the ticket was completed or cancelled"),
    "PRESCRIPTION_FIXED": (
        409,
        "the prescription was sent with other content; cancel the ticket and begin another one",
    ),
    "PRESCRIPTION_MISSING": (409, "a ticket is sent by saving its prescription"),
    "MOVE_NOT_ALLOWED": (409, "not a status that the asker may give the ticket now"),
    "MESSAGE_ID_REUSED": (409, "another message was sent under this clientMessageId; make a new one"),
    "RECEIVER_CHANGED": (409, "another receiver was chosen meanwhile; nothing was sent"),
    "THREAD_CLOSED": (409, "the ticket was cancelled; nothing is written in its thread any more"),
    "PARTY_KIND_FIXED": (409, "the party is of another kind, which stays"),
    "PERSON_PARTY_FIXED": (409, "the person acts for another party, which stays"),
    "NOT_PROVEN": (409, "the log does not prove that the optimiser helps; `present` says what it shows"),
    "STOPPED_BY_PATIENT": (409, "whoever has the address stopped it; only their own word lifts that"),
    "REQUEST_KEY_REUSED": (409, "another message was asked for under this Idempotency-Key; make a new one"),
    "EVENT_REUSED": (409, "another event was told under this event_id; make a new one"),
    "TEMPLATE_EXISTS": (409, "another template is active for this purpose, channel, language and level"),
    "VERSION_CONFLICT": (409, "somebody wrote another version meanwhile; look at it first"),
    "SEGMENT_EXISTS": (409, "another segment of the same level has this name"),
    "SEGMENT_ARCHIVED": (409, "the segment is archived"),
    "SEGMENT_IN_USE": (409, "other segments or campaigns use the segment; `present` says which"),
    "ALREADY_PROCESSED": (409, "somebody has dealt with it already"),
    "APPOINTMENT_OF_ANOTHER": (409, "the appointment is another patient's"),
    "APPOINTMENT_OVER": (409, "the appointment is cancelled or over"),
    "NO_APPOINTMENT": (409, "there is no appointment that the answer could be about"),
    "CAMPAIGN_BEGUN": (409, "only a draft is changed or begun; copy the campaign"),
    "CAMPAIGN_NOT_ACTIVE": (409, "the campaign is a draft or over"),
    "CAMPAIGN_NOT_PAUSED": (409, "the campaign is not paused"),
    "EMPTY_AUDIENCE": (409, "nobody is in the segment now"),
    "CAMPAIGN_OVERLAP": (409, "patients of this campaign are in another one; `present` says in which and how many"),
    "END_DATE_PASSED": (409, "the campaign's last day is over"),
    "MISSING_LANGUAGE": (409, "patients read languages in which a step has no text; `present` says which"),
    "MISSING_VARIANT": (409, "a text of a step lacks one of the campaign's variants"),
    "NOT_JUSTIFIED": (409, "what was measured does not say that this variant is better"),
    "BODY_TOO_LARGE": (413, "the body is larger than 256 KiB"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "the body is not application/json"),
    "OTP_MALFORMED": (422, "a delivery code is six digits; not counted"),
    "OTP_INVALID": (422, "the delivery code is not right; enter it again"),
    "OTP_EXPIRED": (422, "the delivery code has expired; send another one"),
    "PATIENT_INACTIVE": (422, "the patient is not written to any more; kept as cancelled, `present` says why"),
    "NO_CHANNEL": (422, "by no channel may the patient be reached for this; kept as cancelled, `present` says why"),
    "EXPIRES_BEFORE_LAWFUL": (422, "it would be useless before it may leave; kept as cancelled, `present` says why"),
    "INTERNAL": (500, "a fault of this service; give the trace id to whoever runs it"),
    "SEGMENT_TOO_SLOW": (503, "counting took too long; make the rules narrower"),
    "DATABASE_UNAVAILABLE": (503, "nothing was stored; try again after Retry-After seconds"),
}

# What the engine refuses, it refuses without knowing what our routes call the culprit.
_FIELDS = {
    "UNKNOWN_LANE": "lane",
    "DISPATCH_NOT_FOUND": "dispatchId",
    "REASON_REQUIRED": "reason",
    "UNKNOWN_TARGET": "target",
}
_HTTP_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}
# The pool's own error is what a thread gets that waited ten seconds for a connection.
_DATABASE_ERRORS = (
    peewee.OperationalError,
    peewee.InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    MaxConnectionsExceeded,
)


class ApiError(DispatchlogError):
    """The request is refused with this code; `field` names the culprit, `present` is the state that it met, if any."""

    def __init__(
        self, code: str, message: str, *, field: str | None = None, present: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.field = field
        self.present = present


def install_error_answers(app: Flask, blueprint: Blueprint, methods: Mapping[str, Collection[str]]) -> None:
    """Answer every error under the API's prefix as JSON, also for routes that do not exist.

    `methods` of a path without a value in it are all that it takes: a rule that would take its last part for a value does
    not count there.
    """

    def refuse_hidden_method() -> None:
        taken = methods.get(request.path, (request.method,))
        if request.method not in taken:
            raise MethodNotAllowed(sorted(taken))

    blueprint.before_request(refuse_hidden_method)
    blueprint.register_error_handler(DispatchlogError, _refused)
    blueprint.register_error_handler(DocumentError, _malformed)
    blueprint.register_error_handler(HTTPException, _http_error)
    for status in (400, *_HTTP_CODES):  # a handler for a number goes before one for a class, also before the app's own
        blueprint.register_error_handler(status, _http_error)
    blueprint.register_error_handler(Exception, _fault)
    for kind in _DATABASE_ERRORS:
        blueprint.register_error_handler(kind, _database_unavailable)
    app.before_request(lambda: _unrouted(methods))


def error_answer(
    code: str,
    message: str,
    field: str | None = None,
    *,
    status: int | None = None,
    faults: Iterable[Problem | Fault] = (),
    present: Mapping[str, Any] | None = None,
) -> Response:
    """The answer for a code: `{"error": {"code", "message", "field", "faults", "traceId"}}`, and `present` beside it."""
    trace_id = current_trace_id()
    found = [{"code": fault.code, "message": fault.message, "field": fault.field or None} for fault in faults]
    error = {"code": code, "message": message, "field": field or None, "faults": found, "traceId": trace_id}
    answer = jsonify({"error": error, "traceId": trace_id, "present": present})
    answer.status_code = status or ERRORS.get(code, (400, ""))[0]
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="dispatchlog"'
    if answer.status_code == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _unrouted(methods: Mapping[str, Collection[str]]) -> Response | None:
    """404 and 405 belong to no blueprint, so they are answered here, and only under the API's prefix."""
    if request.routing_exception is None or not _is_ours(request.path):
        return None
    begin_trace()
    error = request.routing_exception
    # Anything else is a redirect to a tidier path, on which a client would lose the body.
    known = isinstance(error, (NotFound, MethodNotAllowed))
    if isinstance(error, MethodNotAllowed) and request.path in methods:
        error = MethodNotAllowed(sorted(methods[request.path]))
    return finish_answer(_http_error(error if known else NotFound()))


def _is_ours(path: str) -> bool:
    return path.startswith(f"{PREFIX}/") or _UNVERSIONED.fullmatch(path) is not None


def _refused(error: Any) -> Response:
    if error.code not in ERRORS:
        return _fault(error)
    field = getattr(error, "field", None) or _FIELDS.get(error.code)
    present = getattr(error, "present", None)
    return error_answer(error.code, error.message, field, faults=getattr(error, "faults", ()), present=present)


def _malformed(error: DocumentError) -> Response:
    first = error.problems[0]
    place = f"{first.field}: " if first.field else ""
    return error_answer(first.code, f"{place}{first.message}", first.field, faults=error.problems)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    code = _HTTP_CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL")
    answer = error_answer(code, ERRORS[code][1], status=status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answer


def _database_unavailable(error: Exception) -> Response:
    log.warning("API_DATABASE_UNAVAILABLE", error=type(error).__name__, trace_id=current_trace_id())
    return error_answer("DATABASE_UNAVAILABLE", ERRORS["DATABASE_UNAVAILABLE"][1])


def _fault(error: Exception) -> Response:
    """The log gets the kind and the place of the fault, never its text: a driver's message can hold a row's values."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{last[0].filename}:{last[0].lineno}" if last else ""
    log.error("API_FAULT", error=type(error).__name__, where=where, trace_id=current_trace_id(), path=request.url_rule)
    return error_answer("INTERNAL", ERRORS["INTERNAL"][1])
