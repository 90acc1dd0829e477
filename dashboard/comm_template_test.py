"""A template sent to whoever tries it: to a test patient of their own, by the way of every other message."""

from __future__ import annotations

from datetime import time
from uuid import NAMESPACE_OID, UUID, uuid5

from dispatchlog.engine.database import transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach import patients, preferences, scheduling, variable_values
from dispatchlog.systems.outreach.inputs import Asker, PatientInput, PreferenceChange, Scheduled, ScheduleInput
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, Channel
from dispatchlog.systems.outreach.template_values import Template

TEST_SOURCE = "test"
_WORDING = "I try our own templates and want their messages at this address."


def test_patient_of(user_id: int) -> UUID:
    """The id of a member of staff's own test patient; always the same."""
    return uuid5(NAMESPACE_OID, f"dispatchlog test patient {user_id}")


def send_test(template: Template, address: str, *, user_id: int, asker: Asker, trace_id: str) -> Scheduled:
    """Have the template's examples sent to an own address, within its lawful hours.

    Raises:
        OutreachError: INVALID_EMAIL, INVALID_PHONE, UNKNOWN_TEMPLATE where it is turned off.
    """
    patient_id = test_patient_of(user_id)
    with transaction(asker.actor, "test of a template"):
        _make_patient(patient_id, template, address, asker=asker)
        examples = {each.name: variable_values.example_of(each) for each in template.variables}
        return scheduling.schedule(
            ScheduleInput(
                patient_id=patient_id,
                purpose=template.purpose,
                template_id=template.id,
                variables=examples,
                preferred_channel=template.channel,
                request_key=f"test:{new_id()}",
                asks="",
            ),
            asker=asker,
            trace_id=trace_id,
        )


def _make_patient(patient_id: UUID, template: Template, address: str, *, asker: Asker) -> None:
    is_email = template.channel is Channel.EMAIL
    patients.put_patient(
        PatientInput(
            id=patient_id,
            name=f"Test {asker.actor.partition('@')[0]}",
            organization_id=template.organization_id,
            provider_id=template.provider_id,
            email=address if is_email else None,
            phone=None if is_email else address,
        ),
        source=TEST_SOURCE,
        asker=asker,
    )
    channel = str(template.channel)
    chosen: dict[str, str | bool | int | time | None] = {f"allow_{channel}": True, "language": template.language}
    if template.is_marketing:
        chosen[f"marketing_opt_in_{channel}"] = True
    wanted = PreferenceChange(
        values=chosen, source="staff", wording=_WORDING, wording_version="1", language=template.language
    )
    preferences.change(patient_id, wanted, asker=asker)


def answer_words(found: Scheduled) -> str:
    """What became of the test, without the instant."""
    if found.refused:
        return f"Not sent: {found.decision['refused']['words']}"
    return f"A test leaves by {CHANNEL_WORDS[found.channel]}"
