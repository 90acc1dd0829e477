"""Owns requests of tests to the orchestrator: patients who are awake at any hour, and texts to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.inputs import Asker, Scheduled, ScheduleInput
from dispatchlog.systems.outreach.scheduling import schedule
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import TemplateInput, Variable
from tests.outreach import builders

DAY = Variable("day", required=False)
REASON = Variable("reason", is_phi=True, required=False)
SAID = {"day": "3 March"}
BODY = "Your appointment is on {{ day }}."


def awake(**values: Any) -> UUID:
    """A patient whom no law and no quiet hour keeps from reading, whatever the time of the test."""
    patient_id = builders.patient(**{"country": "FR", "region": "", "timezone": "Europe/Paris", **values})
    builders.says(patient_id, quiet_start=time(0), quiet_end=time(0))
    return patient_id


def text(
    channel: Channel = Channel.SMS,
    purpose: Purpose = Purpose.APPT_REMINDER,
    *,
    body: str = BODY,
    variables: Sequence[Variable] = (DAY,),
    **values: Any,
) -> UUID:
    """A template, written as people write one."""
    subject = "Your appointment" if channel is Channel.EMAIL else None
    wanted = TemplateInput(
        **{
            "name": f"{purpose} {channel}",
            "purpose": purpose,
            "channel": channel,
            "language": "en",
            "subject": subject,
            "body": body,
            "variables": variables,
            **values,
        }
    )
    with connected():
        return templates.create(wanted, asker=builders.STAFF).id


def ask(patient_id: UUID, *, asker: Asker = builders.ASKER, **values: Any) -> Scheduled:
    """One request."""
    wanted = ScheduleInput(**{"patient_id": patient_id, "purpose": Purpose.APPT_REMINDER, "variables": SAID, **values})
    return schedule(wanted, asker=asker, trace_id="trace-1")
