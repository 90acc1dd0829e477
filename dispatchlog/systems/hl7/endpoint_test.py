"""Testing a school's endpoint as it is stored, switched on or off. Stores nothing but that it was tested, and how it went.

It connects by itself, so that a worker's connection is never in its way. The test message, sent only where somebody asks
for it, is an ADT^A08 (an update, which opens no visit) with MSH-11 = T and an invented student whose number, names and
visit all say TEST: an exchange that knows MSH-11 keeps it from its records, and in one that does not it can be told
apart. It stands in no lane, is sent once, and is never repeated.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from uuid import uuid4

import structlog

from dispatchlog.engine.database import connected, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action
from dispatchlog.gateways.hl7_probe import Trial, try_endpoint
from dispatchlog.systems.hl7.builder import build
from dispatchlog.systems.hl7.endpoints import SELECT, endpoint_of, identity_of
from dispatchlog.systems.hl7.identity import Identity, new_control_id
from dispatchlog.systems.hl7.records import Student, Visit, VisitKind
from dispatchlog.systems.hl7.schools import SchoolError

log = structlog.get_logger(__name__)

MESSAGE_TYPE = "ADT^A08"
MOST_AT_ONCE = 2
_places = threading.BoundedSemaphore(MOST_AT_ONCE)


class TooManyTests(DispatchlogError):
    """Nothing was tried; the message says why."""

    code = "TOO_MANY_TESTS"


@dataclass(frozen=True, slots=True)
class EndpointTest:
    """What a test found, and the test message as it was sent ("" where none was)."""

    school: str
    at: datetime
    trial: Trial
    message: str = ""


def run_test(code: str, *, actor: str, with_message: bool = False) -> EndpointTest:
    """Connect to the school's endpoint, and send a test message too where asked.

    It takes the endpoint's deadline at the most. The caller should hold no connection to the database meanwhile.

    Raises:
        SchoolError: UNKNOWN_SCHOOL.
        TooManyTests: so many tests are running already.
        EndpointError, IdentityError, CannotUnsealError: it cannot work as it is configured; nothing was tried.
    """
    with connected():
        found = fetch_dicts(f"{SELECT} WHERE s.code = %s", (code,))
    if not found:
        raise SchoolError("there is no such school", code="UNKNOWN_SCHOOL", field="school")
    endpoint, identity = endpoint_of(found[0]), identity_of(found[0])
    if not _places.acquire(blocking=False):
        raise TooManyTests("other endpoints are being tested just now; try again in a few seconds")
    try:
        message = marked_message(identity) if with_message else None
        trial = try_endpoint(endpoint, message=message)
    finally:
        _places.release()
    _note(code, trial, actor, with_message=with_message)
    return EndpointTest(code, datetime.now(UTC), trial, _lines(message) if message else "")


def marked_message(identity: Identity) -> bytes:
    """An update of nobody, marked as a test in every place that has room for it."""
    now = datetime.now(UTC).replace(microsecond=0)
    nobody = Student("TEST-ENDPOINT", "TEST", "ENDPOINT", date(2000, 1, 1), "U")
    visit = Visit(uuid4(), VisitKind.UPDATE, "TEST", now, nobody)
    marked = replace(identity, processing_id="T")
    control_id = new_control_id(identity.control_id_length)
    return build(visit, MESSAGE_TYPE, marked, control_id=control_id, created_at=now)


def _lines(message: bytes) -> str:
    return message.decode().replace("\r", "\n").strip()


def _note(code: str, trial: Trial, actor: str, *, with_message: bool) -> None:
    """How it went by steps; what was said in words stays with whoever asked."""
    steps = [f"{step.name} {step.verdict.lower()}" for step in trial.steps]
    with transaction(actor):
        detail = {"school": code, "works": trial.works, "steps": steps, "code": trial.code, "message": with_message}
        log_action(actor, "hl7_endpoint_test", detail=detail)
    log.info("HL7_ENDPOINT_TESTED", school=code, works=trial.works, code=trial.code, with_message=with_message)
