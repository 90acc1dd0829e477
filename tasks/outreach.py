"""The outreach system's actors. For upstream services: what happened in the core platform, and a message that is wanted.
For workers: what providers and patients told waits.

What services send names patients, so it goes into the broker sealed, with the service's name inside; whoever has only the
broker can neither read it nor have a message sent twice. Any number of the same messages has the effect of one, and one
that comes too early (an appointment before its patient) waits (`reports`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import dramatiq

from dispatchlog.comm_documents import CoreEventDocument, ScheduleDocument
from dispatchlog.systems.outreach import core_events, events, inbound, scheduling, waking
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.tracing import new_trace_id
from tasks import reports
from tasks.broker import broker

# A report is of use however long the workers were away, so `max_age=0`: never too old. What is asked for has its own end.

_EVENT, _REQUEST = "core event", "communication request"
_ID = re.compile(r"[\x21-\x7e]{1,128}")
# What passes by itself: another report is still on its way.
_reception = reports.Reception(
    "OUTREACH_REPORT",
    OutreachError,
    frozenset({"PATIENT_NOT_FOUND", "PROVIDER_NOT_FOUND", "ORGANIZATION_NOT_FOUND", "APPOINTMENT_NOT_FOUND"}),
)


def sealed_event(event: Mapping[str, Any], *, source: str) -> dict[str, str]:
    """What may be sent to `report_core_event`: the event as only who has our secret key reads it. `source` is the reporting
    service's name.
    """
    return _sealed(event, source=source, report_id=str(uuid4()), purpose=_EVENT)


def sealed_request(request: Mapping[str, Any], *, source: str, key: str = "") -> dict[str, str]:
    """What may be sent to `schedule_communication`. The same `key` of the same source is one message, however often it is
    asked for; it stays readable, so it names nobody. Without one, what is sealed once is one message.

    Raises:
        OutreachError: INVALID_REQUEST_KEY, it is not 1 to 128 visible ASCII characters.
    """
    return _sealed(request, source=source, report_id=_id(key or str(uuid4())), purpose=_REQUEST)


@dramatiq.actor(broker=broker, queue_name=waking.REPORTS, max_age=0)
def report_core_event(event: object = None, tries: object = 0) -> None:
    """Something happened in the core platform: `send(sealed_event(event, source="your-service"))`."""

    def store() -> None:
        _, source, opened = _opened(event, purpose=_EVENT)
        document = reports.read(CoreEventDocument, opened).model_dump(mode="json", exclude_none=True)
        asker = Asker(f"service:{source}")
        core_events.take(document, source=source, asker=asker, trace_id=new_trace_id())

    _reception.take(report_core_event, store, event, tries)


@dramatiq.actor(broker=broker, queue_name=waking.REPORTS, max_age=0)
def schedule_communication(request: object = None, tries: object = 0) -> None:
    """A message is wanted: `send(sealed_request(request, source="your-service", key=...))`."""

    def store() -> None:
        key, source, opened = _opened(request, purpose=_REQUEST)
        wanted = reports.read(ScheduleDocument, opened).to_input(f"{source}:{key}")
        scheduling.schedule(wanted, asker=Asker(f"service:{source}"), trace_id=new_trace_id())

    _reception.take(schedule_communication, store, request, tries)


@dramatiq.actor(broker=broker, queue_name=waking.EVENTS, actor_name=waking.EVENTS)
def outreach_events(_name: object = "") -> None:
    """Providers' events were stored: apply them."""
    waking.take_up(waking.EVENTS, events.apply_all)


@dramatiq.actor(broker=broker, queue_name=waking.INBOUND, actor_name=waking.INBOUND)
def outreach_inbound(_name: object = "") -> None:
    """Patients' answers were stored: understand them and act."""
    waking.take_up(waking.INBOUND, inbound.process_all)


def _sealed(said: Mapping[str, Any], *, source: str, report_id: str, purpose: str) -> dict[str, str]:
    report = {"source": reports.source_of(source), "said": dict(said)}
    return {"id": report_id, "sealed": reports.sealed(report, owner=report_id, purpose=purpose)}


def _opened(said: object, *, purpose: str) -> tuple[str, str, object]:
    """A report's id, who reports it, and what it says."""
    message, sealed = reports.sealed_part(said)
    report_id = _id(str(message.get("id", "")))
    report = reports.opened(sealed, owner=report_id, purpose=purpose)
    return report_id, report["source"], report["said"]


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise OutreachError("it is 1 to 128 visible ASCII characters", code="INVALID_REQUEST_KEY", field="id")
    return value
