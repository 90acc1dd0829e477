"""The outreach system's actors. For upstream services: what happened in the core platform, and a message that is wanted.
For workers: what providers and patients told waits, or something of a campaign is due.

What services send names patients, so it goes into the broker sealed, with the service's name inside; whoever has only the
broker can neither read it nor have a message sent twice. Any number of the same messages has the effect of one, and one
that comes too early (an appointment before its patient) waits (`reports`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import dramatiq

from dispatchlog.comm_documents import CoreEventDocument, ScheduleDocument
from dispatchlog.systems.outreach import core_events, events, inbound, scheduling, waking
from dispatchlog.systems.outreach.campaigns import running
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
        report = _opened(event, purpose=_EVENT)
        document = reports.read(CoreEventDocument, report.said).model_dump(mode="json", exclude_none=True)
        asker = Asker(f"service:{report.source}")
        core_events.take(document, source=report.source, asker=asker, trace_id=new_trace_id())

    _reception.take(report_core_event, store, event, tries)


@dramatiq.actor(broker=broker, queue_name=waking.REPORTS, max_age=0)
def schedule_communication(request: object = None, tries: object = 0) -> None:
    """A message is wanted: `send(sealed_request(request, source="your-service", key=...))`."""

    def store() -> None:
        report = _opened(request, purpose=_REQUEST)
        wanted = reports.read(ScheduleDocument, report.said).to_input(f"{report.source}:{report.id}")
        asker = Asker(f"service:{report.source}")
        try:
            scheduling.schedule(wanted, asker=asker, trace_id=new_trace_id())
        except OutreachError as error:
            if error.code != "SEND_AT_PAST" or wanted.send_at is None or wanted.send_at < report.sealed_at:
                raise
            # It was asked for in time and is read late: now, unless it is of no use any more.
            scheduling.schedule(replace(wanted, send_at=None), asker=asker, trace_id=new_trace_id())

    _reception.take(schedule_communication, store, request, tries)


@dramatiq.actor(broker=broker, queue_name=waking.EVENTS, actor_name=waking.EVENTS)
def outreach_events(_name: object = "") -> None:
    """Providers' events were stored: apply them."""
    waking.take_up(waking.EVENTS, events.apply_all)


@dramatiq.actor(broker=broker, queue_name=waking.INBOUND, actor_name=waking.INBOUND)
def outreach_inbound(_name: object = "") -> None:
    """Patients' answers were stored: understand them and act."""
    waking.take_up(waking.INBOUND, inbound.process_all)


@dramatiq.actor(broker=broker, queue_name=waking.CAMPAIGNS, actor_name=waking.CAMPAIGNS)
def outreach_campaigns(_name: object = "") -> None:
    """Something of a campaign is due: write it out, make its messages, end what is over."""
    waking.take_up(waking.CAMPAIGNS, running.run)


@dataclass(frozen=True, slots=True)
class _Report:
    """What a sealed report is known by, who sealed it and when, and what it says."""

    id: str
    source: str
    sealed_at: datetime
    said: object


def _sealed(said: Mapping[str, Any], *, source: str, report_id: str, purpose: str) -> dict[str, str]:
    report = {"source": reports.source_of(source), "at": datetime.now(UTC).isoformat(), "said": dict(said)}
    return {"id": report_id, "sealed": reports.sealed(report, owner=report_id, purpose=purpose)}


def _opened(said: object, *, purpose: str) -> _Report:
    message, sealed = reports.sealed_part(said)
    report_id = _id(str(message.get("id", "")))
    report = reports.opened(sealed, owner=report_id, purpose=purpose)
    return _Report(report_id, report["source"], datetime.fromisoformat(report["at"]), report["said"])


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise OutreachError("it is 1 to 128 visible ASCII characters", code="INVALID_REQUEST_KEY", field="id")
    return value
