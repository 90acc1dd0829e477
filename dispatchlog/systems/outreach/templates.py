"""Templates and their versions: which one holds for whom. Owns their tables; renders nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker
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
    {"name": ..., "language": ..., "parameters": [variable, ...]} for the Cloud API, {"content_sid": ...} for Twilio."""

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
    organization_id: UUID | None = None
    provider_id: UUID | None = None
    note: str = ""


def create(wanted: TemplateInput, *, asker: Asker) -> Template:
    """A new template with its first version, active where none of the same place is.

    Raises:
        OutreachError: INVALID_TEMPLATE (syntax), UNDECLARED_VARIABLE, UNUSED_VARIABLE, PHI_IN_TEXT, TEXT_TOO_LONG,
            SUBJECT_REQUIRED, INVALID_LANGUAGE, INVALID_VARIANTS, TEMPLATE_EXISTS, ORGANIZATION_NOT_FOUND,
            PROVIDER_NOT_FOUND, with the field.
    """
    raise NotImplementedError


def write_version(template_id: UUID, wanted: TemplateInput, *, based_on: int, asker: Asker) -> Template:
    """The next version, which holds from now on; purpose, channel, language and level stay.

    Raises:
        OutreachError: as `create`; UNKNOWN_TEMPLATE, VERSION_CONFLICT where `based_on` is not the present one.
    """
    raise NotImplementedError


def restore_version(template_id: UUID, version: int, *, asker: Asker) -> Template:
    """The text of an older version as the next one."""
    raise NotImplementedError


def set_active(template_id: UUID, *, active: bool, asker: Asker) -> Template:
    """Turn it on or off.

    Raises:
        OutreachError: UNKNOWN_TEMPLATE, TEMPLATE_EXISTS where another is active in its place.
    """
    raise NotImplementedError


def template(template_id: UUID) -> Template:
    """One template. Raises OutreachError: UNKNOWN_TEMPLATE."""
    raise NotImplementedError


def versions(template_id: UUID) -> Sequence[Mapping[str, Any]]:
    """All versions, newest first."""
    raise NotImplementedError


def every_template() -> Sequence[Template]:
    """All templates, by purpose, channel, language and level."""
    raise NotImplementedError


def templates_for(
    purpose: Purpose, *, language: str, organization_id: UUID | None, provider_id: UUID | None
) -> Mapping[Channel, Template]:
    """For each channel the one that holds: the provider's before the organisation's before everybody's; in each level the
    language, then its main language (pt for pt-BR), then English. A level that has any language goes before the next level
    only where that language is not worse. From a cache of a few seconds that a write of this process empties."""
    raise NotImplementedError
