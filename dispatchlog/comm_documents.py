"""The JSON documents in which messages to patients are asked for, and preferences and templates written. Owns their shape.

Field names are those of the outreach specification, so they are written with underscores. Rules about values belong to
`dispatchlog.systems.outreach`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from dispatchlog.order_documents import ONE_LINE, Document, Id, Instant
from dispatchlog.systems.outreach.inputs import PreferenceChange, ScheduleInput
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import TemplateInput, Variable, Variant

MOST_VARIABLES = 50
MOST_VARIANTS = 10


def _known_purpose(value: str) -> str:
    if value not in [*map(str, Purpose)]:
        raise PydanticCustomError("UNKNOWN_VALUE", f"is one of {', '.join(Purpose)}")
    return value


def _known_channel(value: str) -> str:
    if value not in [*map(str, Channel)]:
        raise PydanticCustomError("UNKNOWN_VALUE", f"is one of {', '.join(Channel)}")
    return value


def _plain_values(values: dict[str, Any]) -> dict[str, Any]:
    if len(values) > MOST_VARIABLES:
        raise PydanticCustomError("TOO_LONG", f"has more than {MOST_VARIABLES} variables")
    for value in values.values():
        if not isinstance(value, (str, int, float, bool)):
            raise PydanticCustomError("WRONG_TYPE", "a variable's value is a text, a number, or true or false")
    return values


PurposeName = Annotated[
    str, Field(max_length=32, json_schema_extra={"enum": [*Purpose]}), AfterValidator(_known_purpose)
]
ChannelName = Annotated[
    str, Field(max_length=16, json_schema_extra={"enum": [*Channel]}), AfterValidator(_known_channel)
]
Values = Annotated[dict[str, Any], AfterValidator(_plain_values)]
Text = Annotated[str, Field(max_length=255), ONE_LINE]
Language = Annotated[str, Field(max_length=10, examples=["pt-BR"]), ONE_LINE]
Clock = Annotated[str, Field(max_length=8, examples=["22:00"]), ONE_LINE]
Body = Annotated[str, Field(min_length=1, max_length=20_000)]


class SnakeDocument(Document):
    """As `Document`, with the names of the specification."""

    model_config = ConfigDict(alias_generator=None)


class ScheduleDocument(SnakeDocument):
    """A message that is wanted. Without `template_id` the one that holds for purpose, channel and language is taken."""

    patient_id: Id
    purpose: PurposeName
    template_id: Id | None = None
    variables: Annotated[Values, Field(default_factory=dict)]
    preferred_channel: ChannelName | None = None
    send_at: Annotated[Instant | None, Field(description="not before; now unless told")] = None
    campaign_id: Id | None = None
    is_urgent: Annotated[bool, Field(description="at any hour; a stop holds all the same; never for marketing")] = False
    appointment_id: Annotated[Id | None, Field(description="what it is about; a YES confirms it")] = None
    expires_at: Annotated[Instant | None, Field(description="useless after that, so not sent then")] = None

    def to_input(self, request_key: str) -> ScheduleInput:
        return ScheduleInput(
            patient_id=self.patient_id,
            purpose=Purpose(self.purpose),
            template_id=self.template_id,
            variables=self.variables,
            preferred_channel=Channel(self.preferred_channel) if self.preferred_channel else None,
            send_at=self.send_at,
            campaign_id=self.campaign_id,
            is_urgent=self.is_urgent,
            appointment_id=self.appointment_id,
            expires_at=self.expires_at,
            request_key=request_key,
        )


class PreferenceDocument(SnakeDocument):
    """What changes; a field that is left out stays, and null takes a choice back, so that the provider's, the
    organisation's or everybody's holds. `wording` is what a patient agreed to, where marketing is turned on.
    """

    timezone: Annotated[str | None, Field(max_length=50)] = None
    language: Language | None = None
    quiet_start: Clock | None = None
    quiet_end: Clock | None = None
    work_start: Clock | None = None
    work_end: Clock | None = None
    best_hour: int | None = None
    allow_email: bool | None = None
    allow_sms: bool | None = None
    allow_whatsapp: bool | None = None
    marketing_opt_in_email: bool = False
    marketing_opt_in_sms: bool = False
    marketing_opt_in_whatsapp: bool = False
    email_address: Annotated[str | None, Field(max_length=255), ONE_LINE] = None
    sms_number: Annotated[str | None, Field(max_length=40), ONE_LINE] = None
    whatsapp_number: Annotated[str | None, Field(max_length=40), ONE_LINE] = None
    wording: Annotated[str, Field(max_length=2_000)] = ""
    wording_version: Annotated[str, Field(max_length=64), ONE_LINE] = ""

    def to_change(self) -> PreferenceChange:
        said = self.model_dump(exclude_unset=True)
        wording, version = said.pop("wording", ""), said.pop("wording_version", "")
        return PreferenceChange(
            values=said,
            source="service",
            wording=wording,
            wording_version=version,
            language=str(said.get("language") or ""),
        )


class VariableDocument(SnakeDocument):
    """A variable that a template may use."""

    name: Annotated[str, Field(max_length=64), ONE_LINE]
    kind: Annotated[str, Field(max_length=16, description="text, name, date, time, datetime, number or url")] = "text"
    is_phi: Annotated[bool, Field(description="about somebody's health: never in an SMS or WhatsApp message")] = False
    required: bool = True
    example: Text = ""

    def to_input(self) -> Variable:
        return Variable(self.name, self.kind, self.is_phi, self.required, self.example)


class VariantDocument(SnakeDocument):
    """One of several texts that are tried side by side; `weight` is its share."""

    name: Annotated[str, Field(min_length=1, max_length=50), ONE_LINE]
    weight: Annotated[int, Field(ge=1, le=1_000)] = 1
    subject: Text | None = None
    body: Body

    def to_input(self) -> Variant:
        return Variant(self.name, self.weight, self.subject, self.body)


class TemplateDocument(SnakeDocument):
    """A template's text. Of a new version, purpose, channel, language, family and level are those of the template."""

    name: Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
    purpose: PurposeName
    channel: ChannelName
    language: Language = "en"
    subject: Text | None = None
    body: Body
    variables: Annotated[list[VariableDocument], Field(default_factory=list, max_length=MOST_VARIABLES)]
    variants: Annotated[list[VariantDocument], Field(default_factory=list, max_length=MOST_VARIANTS)]
    provider_template: Annotated[dict[str, Any], Field(default_factory=dict)]
    family: Annotated[
        str,
        Field(
            max_length=64, description="the campaigns that name it take their texts from it; empty: it holds elsewhere"
        ),
    ] = ""
    organization_id: Id | None = None
    provider_id: Id | None = None
    note: Annotated[str, Field(max_length=500), ONE_LINE] = ""
    based_on: Annotated[int | None, Field(description="of a new version: the one that it changes")] = None

    def to_input(self) -> TemplateInput:
        return TemplateInput(
            name=self.name,
            purpose=Purpose(self.purpose),
            channel=Channel(self.channel),
            language=self.language,
            subject=self.subject,
            body=self.body,
            variables=tuple(variable.to_input() for variable in self.variables),
            variants=tuple(variant.to_input() for variant in self.variants),
            provider_template=self.provider_template,
            family=self.family,
            organization_id=self.organization_id,
            provider_id=self.provider_id,
            note=self.note,
        )


class PreviewDocument(SnakeDocument):
    """Values to try a template with; without them, the variables' examples."""

    variables: Values | None = None


class CoreEventDocument(SnakeDocument):
    """What happened in the core platform. `data` is what the event's kind says of it."""

    event_id: Annotated[str, Field(min_length=1, max_length=128), ONE_LINE]
    kind: Annotated[str, Field(max_length=64), ONE_LINE]
    occurred_at: Instant | None = None
    data: dict[str, Any]
