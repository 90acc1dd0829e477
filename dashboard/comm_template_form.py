"""The form of a template: what is stored as fields, and what somebody entered as a template. Stores nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.template_values import Template, TemplateInput, Variable, Variant

# Rows that stand empty below those that are filled, for a page without scripts.
SPARE_VARIABLES = 2
MOST_VARIABLE_ROWS = 32
MOST_VARIANT_ROWS = 5
_TEXTS = ("name", "purpose", "channel", "language", "family", "level", "of", "subject", "body", "note", "based_on")
_PROVIDER = ("provider_name", "provider_language", "provider_content_sid", "provider_parameters")


@dataclass(frozen=True, slots=True)
class Fields:
    """What the form shows: single texts, and the rows of variables and variants."""

    texts: Mapping[str, str]
    variables: Sequence[Mapping[str, Any]]
    variants: Sequence[Mapping[str, str]]

    @property
    def has_provider_template(self) -> bool:
        return any(self.texts[name] for name in _PROVIDER)


def fields_of(wanted: TemplateInput | Template, *, level: str, of: str, based_on: int = 0) -> Fields:
    """A template as the form shows it."""
    outside = wanted.provider_template
    texts = {
        "name": wanted.name,
        "purpose": str(wanted.purpose),
        "channel": str(wanted.channel),
        "language": wanted.language,
        "family": wanted.family,
        "level": level,
        "of": of,
        "subject": wanted.subject or "",
        "body": wanted.body,
        "note": "",
        "based_on": str(based_on),
        "provider_name": outside.get("name", ""),
        "provider_language": outside.get("language", ""),
        "provider_content_sid": outside.get("content_sid", ""),
        "provider_parameters": ", ".join(outside.get("parameters", ())),
    }
    variables = [
        {
            "name": each.name,
            "kind": each.kind,
            "is_phi": each.is_phi,
            "required": each.required,
            "example": each.example,
        }
        for each in wanted.variables
    ]
    variants = [
        {"name": each.name, "weight": str(each.weight), "subject": each.subject or "", "body": each.body}
        for each in wanted.variants
    ]
    return _padded(texts, variables, variants)


def fields_entered(form: Mapping[str, str]) -> Fields:
    """What somebody entered, to be shown again."""
    texts = {name: form.get(name, "").replace("\x00", "").replace("\r\n", "\n") for name in (*_TEXTS, *_PROVIDER)}
    variables = [
        {
            "name": _line(form, f"variable-{at}-name"),
            "kind": _line(form, f"variable-{at}-kind") or "text",
            "is_phi": f"variable-{at}-phi" in form,
            "required": f"variable-{at}-required" in form,
            "example": _line(form, f"variable-{at}-example"),
        }
        for at in range(MOST_VARIABLE_ROWS)
    ]
    variants = [
        {
            "name": _line(form, f"variant-{at}-name"),
            "weight": _line(form, f"variant-{at}-weight"),
            "subject": _line(form, f"variant-{at}-subject"),
            "body": form.get(f"variant-{at}-body", "").replace("\x00", "").replace("\r\n", "\n"),
        }
        for at in range(MOST_VARIANT_ROWS)
    ]
    return _padded(
        texts,
        [row for row in variables if row["name"] or row["example"]],
        [row for row in variants if row["name"] or row["body"].strip()],
    )


def read(fields: Fields) -> TemplateInput:
    """The template that the fields say.

    Raises:
        OutreachError: where a choice is none of those offered, or a share is no number.
    """
    texts = fields.texts
    owner_id = _owner(texts)
    return TemplateInput(
        name=texts["name"],
        purpose=_purpose(texts["purpose"]),
        channel=_channel(texts["channel"]),
        language=texts["language"].strip(),
        subject=texts["subject"] or None,
        body=texts["body"],
        variables=tuple(Variable(**row) for row in fields.variables if row["name"] or row["example"]),
        variants=tuple(_variant(row) for row in fields.variants if row["name"] or row["body"].strip()),
        provider_template=_provider_template(texts),
        family=texts["family"].strip(),
        organization_id=owner_id if texts["level"] == "organization" else None,
        provider_id=owner_id if texts["level"] == "provider" else None,
        note=texts["note"],
    )


def _padded(
    texts: Mapping[str, str], variables: list[Mapping[str, Any]] | list[dict[str, Any]], variants: list[dict[str, str]]
) -> Fields:
    spare = {"name": "", "kind": "text", "is_phi": False, "required": True, "example": ""}
    return Fields(
        texts,
        [*variables, *[spare] * SPARE_VARIABLES],
        [*variants, *[{"name": "", "weight": "", "subject": "", "body": ""}] * _spare_variants(len(variants))],
    )


def _spare_variants(number: int) -> int:
    return 2 - number if number < 2 else int(number < MOST_VARIANT_ROWS)


def _line(form: Mapping[str, str], name: str) -> str:
    return " ".join(form.get(name, "").replace("\x00", "").split())


def _purpose(text: str) -> Purpose:
    if text not in {*Purpose}:
        raise OutreachError("choose one", code="INVALID_TEMPLATE", field="purpose")
    return Purpose(text)


def _channel(text: str) -> Channel:
    if text not in {*Channel}:
        raise OutreachError("choose one", code="INVALID_TEMPLATE", field="channel")
    return Channel(text)


def _owner(texts: Mapping[str, str]) -> UUID | None:
    if texts["level"] not in ("organization", "provider"):
        return None
    try:
        return UUID(texts["of"])
    except ValueError as error:
        raise OutreachError("choose one", code="INVALID_TEMPLATE", field="organization_id") from error


def _variant(row: Mapping[str, str]) -> Variant:
    weight = row["weight"]
    if not (weight.isascii() and weight.isdecimal() and len(weight) < 5):
        raise OutreachError("its share is a number from 1 to 1000", code="INVALID_VARIANTS", field="variants")
    return Variant(row["name"], int(weight), row["subject"] or None, row["body"])


def _provider_template(texts: Mapping[str, str]) -> dict[str, Any]:
    given = {
        "name": texts["provider_name"].strip(),
        "language": texts["provider_language"].strip(),
        "content_sid": texts["provider_content_sid"].strip(),
    }
    found: dict[str, Any] = {key: value for key, value in given.items() if value}
    parameters = [each.strip() for each in texts["provider_parameters"].split(",") if each.strip()]
    return {**found, "parameters": parameters} if found or parameters else {}
