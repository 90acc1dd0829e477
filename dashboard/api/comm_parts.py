"""What the API answers about messages to patients, with the names of the outreach specification. An address is masked
unless the asker may see it; a column that is not listed here never leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from dashboard.masking import mask
from dispatchlog.systems.outreach.inputs import Scheduled
from dispatchlog.systems.outreach.jobs import Activity
from dispatchlog.systems.outreach.preferences import ChannelPreference, Preferences
from dispatchlog.systems.outreach.rendering import Rendered
from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.templates import Template

_SAID = ("timezone", "language", "quiet_start", "quiet_end", "work_start", "work_end", "best_hour")


class SnakePart(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ScheduledAnswer(SnakePart):
    """A message that will be sent: when it leaves at the earliest, by what, and when it should have arrived."""

    job_id: UUID
    scheduled_at: datetime
    channel: str
    estimated_delivery: datetime

    @classmethod
    def of(cls, scheduled: Scheduled) -> ScheduledAnswer:
        return cls(
            job_id=scheduled.job_id,
            scheduled_at=scheduled.scheduled_at,
            channel=str(scheduled.channel),
            estimated_delivery=scheduled.estimated_delivery,
        )


class HoursPart(SnakePart):
    """A span of the patient's own clock; past midnight where the end is earlier."""

    start: str
    end: str


class EmailPart(SnakePart):
    """E-mail: whether it may be used, and where it leads."""

    enabled: bool
    address: str | None
    marketing_opt_in: bool


class NumberPart(SnakePart):
    """SMS or WhatsApp: whether it may be used, and where it leads."""

    enabled: bool
    number: str | None
    marketing_opt_in: bool


class ChannelsPart(SnakePart):
    """The channels; one that the patient stopped is not enabled."""

    email: EmailPart
    sms: NumberPart
    whatsapp: NumberPart


class PreferencesPart(SnakePart):
    """How the patient is reached."""

    timezone: str
    language: str
    quiet_hours: HoursPart
    work_hours: HoursPart
    channels: ChannelsPart
    best_hour: int | None


class ActivityPart(SnakePart):
    """What was lately sent and came back; `fatigue_score` from 0 to 1."""

    last_sent: datetime | None
    last_opened: datetime | None
    last_replied: datetime | None
    fatigue_score: float


class ContextAnswer(SnakePart):
    """Everything that decides how a patient is reached, and the names of the segments they are in now. `sources` says of
    each value who said it: patient, provider, organization, global, or core, which reports addresses, time zone and
    language; `stopped` since when a channel is stopped.
    """

    preferences: PreferencesPart
    segments: list[str]
    recent_activity: ActivityPart
    sources: dict[str, str]
    stopped: dict[str, datetime]

    @classmethod
    def of(
        cls, found: Preferences, activity: Activity, *, segments: Sequence[str] = (), in_clear: bool
    ) -> ContextAnswer:
        channels = {str(channel): _channel(channel, said, in_clear) for channel, said in found.channels.items()}
        return cls(
            preferences=PreferencesPart(
                timezone=found.timezone.value,
                language=found.language.value,
                quiet_hours=_hours(found.quiet_start.value, found.quiet_end.value),
                work_hours=_hours(found.work_start.value, found.work_end.value),
                channels=ChannelsPart(**channels),
                best_hour=found.best_hour.value,
            ),
            segments=list(segments),
            recent_activity=ActivityPart(
                last_sent=activity.last_sent,
                last_opened=activity.last_opened,
                last_replied=activity.last_replied,
                fatigue_score=activity.fatigue_score,
            ),
            sources=_sources(found),
            stopped={str(channel): said.stopped_at for channel, said in found.channels.items() if said.stopped_at},
        )


class PreferencesAnswer(SnakePart):
    """The preferences as they now are."""

    preferences: PreferencesPart
    sources: dict[str, str]
    version: int

    @classmethod
    def of(cls, found: Preferences, *, in_clear: bool) -> PreferencesAnswer:
        whole = ContextAnswer.of(found, Activity(None, None, None, 0.0), in_clear=in_clear)
        return cls(preferences=whole.preferences, sources=whole.sources, version=found.version)


class EvidencePart(SnakePart):
    """A yes or no of the patient, as it was given."""

    channel: str
    purpose_class: str
    given: bool
    wording: str
    wording_version: str
    language: str
    source: str
    actor: str
    at: datetime


class EvidenceAnswer(SnakePart):
    """All evidence about the patient, newest first."""

    consents: list[EvidencePart]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> EvidenceAnswer:
        return cls(consents=[EvidencePart(**row) for row in rows])


class JobPart(SnakePart):
    """A message to a patient. `status`: queued, processing, sent, delivered, opened, clicked, replied, bounced, failed or
    cancelled; `in_doubt`: it failed, and may have arrived all the same. `decision` says why this channel and time.
    """

    id: UUID
    patient_id: UUID
    template_id: UUID
    template_version: int
    campaign_id: UUID | None
    appointment_id: UUID | None
    purpose: str
    channel: str
    language: str
    recipient: str
    status: str
    in_doubt: bool
    scheduled_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    replied_at: datetime | None
    bounced_at: datetime | None
    unsubscribed_at: datetime | None
    provider: str | None
    provider_message_id: str | None
    error_code: str | None
    error_message: str | None
    retry_count: int
    is_urgent: bool
    ab_variant: str | None
    fallback_of: UUID | None
    decision: dict[str, Any]
    trace_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any], *, in_clear: bool) -> JobPart:
        recipient = row["recipient"]
        return cls(**{**row, "recipient": recipient if in_clear or not recipient else mask(recipient)})


class JobAnswer(SnakePart):
    """One message."""

    job: JobPart


class JobListAnswer(SnakePart):
    """A page of a patient's messages, latest first; `next_cursor` asks for those before."""

    jobs: list[JobPart]
    next_cursor: str | None


class CancelledAnswer(SnakePart):
    """Whether it was cancelled now; else it is on its way or over, as `status` says."""

    job_id: UUID
    cancelled: bool
    status: str


class EventAnswer(SnakePart):
    """What came of an event: `taken` false where it was told before."""

    event_id: str
    taken: bool
    effect: dict[str, Any]


class VariablePart(SnakePart):
    """A declared variable."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    name: str
    kind: str
    is_phi: bool
    required: bool
    example: str


class VariantPart(SnakePart):
    """One of several texts."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    name: str
    weight: int
    subject: str | None
    body: str


class TemplatePart(SnakePart):
    """A template with the text of its present version."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    id: UUID
    name: str
    purpose: str
    channel: str
    language: str
    subject: str | None
    body: str
    variables: list[VariablePart]
    variants: list[VariantPart]
    provider_template: dict[str, Any]
    is_marketing: bool
    family: str
    organization_id: UUID | None
    provider_id: UUID | None
    is_active: bool
    version: int


class TemplateAnswer(SnakePart):
    """One template."""

    template: TemplatePart

    @classmethod
    def of(cls, template: Template) -> TemplateAnswer:
        return cls(template=TemplatePart.model_validate(template))


class TemplateListAnswer(SnakePart):
    """All templates."""

    templates: list[TemplatePart]


class PreviewAnswer(SnakePart):
    """A text as a patient would get it; `withheld` are the variables that stand behind the link instead."""

    subject: str | None
    body: str
    withheld: list[str]

    @classmethod
    def of(cls, rendered: Rendered) -> PreviewAnswer:
        return cls(subject=rendered.subject, body=rendered.body, withheld=[*rendered.withheld])


def _hours(start: time, end: time) -> HoursPart:
    return HoursPart(start=start.strftime("%H:%M"), end=end.strftime("%H:%M"))


def _channel(channel: Channel, said: ChannelPreference, in_clear: bool) -> EmailPart | NumberPart:
    address = said.address.value
    shown = address if in_clear or address is None else mask(address)
    enabled = said.enabled.value and said.stopped_at is None
    if channel is Channel.EMAIL:
        return EmailPart(enabled=enabled, address=shown, marketing_opt_in=said.marketing_opt_in.value)
    return NumberPart(enabled=enabled, number=shown, marketing_opt_in=said.marketing_opt_in.value)


def _sources(found: Preferences) -> dict[str, str]:
    sources = {name: getattr(found, name).source for name in _SAID}
    for channel, said in found.channels.items():
        sources[f"{channel}.enabled"] = said.enabled.source
        sources[f"{channel}.address"] = said.address.source
        sources[f"{channel}.marketing_opt_in"] = said.marketing_opt_in.source
    return sources
