"""A template and its variables into the text of one message. Never raises for a patient's data, only for a caller's mistake.

What says something about health never reaches SMS or WhatsApp: in its place stands a link that ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatchlog.systems.outreach.templates import Template


@dataclass(frozen=True, slots=True)
class Rendered:
    """`body` for e-mail is text; a channel's letter is made from it when it leaves. `portal_text`: what stands behind the
    link where there is one, else "". `portal_mark` in the body is where the link will be put. `withheld`: the names of
    variables that were kept out."""

    subject: str | None
    body: str
    variant: str | None
    provider_template: Mapping[str, Any]
    portal_text: str = ""
    portal_mark: str = ""
    withheld: tuple[str, ...] = ()


def render(
    template: Template,
    variables: Mapping[str, Any],
    *,
    standing: Mapping[str, str],
    zone: str,
    bucket: str,
    variant: str | None = None,
) -> Rendered:
    """The text. `standing` are those that every template may use (patient_first_name, organization_name, provider_name,
    organization_phone, opt_out_hint); `bucket` (the patient's id) chooses the variant, always the same.

    Raises:
        OutreachError: UNKNOWN_VARIABLE (not declared), MISSING_VARIABLE, INVALID_VARIABLE (not of its kind), TEXT_TOO_LONG,
            with the field `variables.<name>`.
    """
    raise NotImplementedError


def preview(template: Template, variables: Mapping[str, Any] | None = None) -> Rendered:
    """The text with the variables' examples, or these."""
    raise NotImplementedError
