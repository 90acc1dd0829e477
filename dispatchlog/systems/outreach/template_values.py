"""What a template is, as plain values. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.states import Channel, Purpose


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable. `kind`: text, date, time, datetime, number, url, name. `is_phi`: says something about health, so
    SMS and WhatsApp never show it. `required`: without it nothing is sent."""

    name: str
    kind: str = "text"
    is_phi: bool = False
    required: bool = True
    example: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several texts that are tried side by side; `weight` is its share."""

    name: str
    weight: int
    subject: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it holds now. `provider_template` is what WhatsApp needs to send outside a conversation:
    {"name": ..., "language": ..., "parameters": [variable, ...]} for the Cloud API, {"content_sid": ...} for Twilio.
    `family`: the campaigns that name it take their texts from it; "" is what holds everywhere else."""

    id: UUID
    name: str
    purpose: Purpose
    channel: Channel
    language: str
    subject: str | None
    body: str
    variables: Sequence[Variable]
    variants: Sequence[Variant]
    provider_template: Mapping[str, Any]
    is_marketing: bool
    family: str
    organization_id: UUID | None
    provider_id: UUID | None
    is_active: bool
    version: int


@dataclass(frozen=True, slots=True)
class TemplateInput:
    """A new template, or a new version of one."""

    name: str
    purpose: Purpose
    channel: Channel
    language: str
    subject: str | None
    body: str
    variables: Sequence[Variable] = ()
    variants: Sequence[Variant] = ()
    provider_template: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""
    organization_id: UUID | None = None
    provider_id: UUID | None = None
    note: str = ""
