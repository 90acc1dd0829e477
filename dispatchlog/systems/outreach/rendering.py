"""A template and its variables into the text of one message. Raises for a caller's mistake, never for a patient's data.

What says something about health never reaches SMS or WhatsApp: in its place stands a link that ends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dispatchlog.systems.outreach import local_words, phi, variable_values
from dispatchlog.systems.outreach.gsm import count_segments
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import TEXT_CHANNELS, Channel
from dispatchlog.systems.outreach.template_syntax import fill, names
from dispatchlog.systems.outreach.template_values import Template

STANDING = ("patient_first_name", "organization_name", "provider_name", "organization_phone", "opt_out_hint")
# A character of private use, which no value may carry.
PORTAL_MARK = "\ue000"
# As a parameter of a provider's template it is where the link stands.
PORTAL_LINK = "portal_link"
# Such as https://messages.example.org/p/ with a token of 43 characters.
LINK_CHARACTERS = 75
MOST_SEGMENTS = 4
MOST_CHARACTERS = {Channel.EMAIL: 100_000, Channel.SMS: 1_600, Channel.WHATSAPP: 1_600}
MOST_IN_SUBJECT = 255

# For looking at a text; whoever writes and whoever treats may be called after an illness without saying who has it.
_NAMED = re.compile(r"\{\{-?\s*(\w+)")
_NEUTRAL = {"organization_name": "-", "provider_name": "-", "organization_phone": "-"}
EXAMPLES = {
    "patient_first_name": "Sam",
    "organization_name": "Example Clinic",
    "provider_name": "Dr Example",
    "organization_phone": "+1 202 555 0100",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """`body` for e-mail is text; a channel's letter is made from it when it leaves. `portal_text`: what stands behind the
    link where there is one, else "". `portal_mark` in the body is where the link will be put (`with_link`). `withheld`: the
    names of variables that were kept out; `found`: what `phi.findings` saw in the text that is withheld."""

    subject: str | None
    body: str
    variant: str | None
    provider_template: Mapping[str, Any]
    portal_text: str = ""
    portal_mark: str = ""
    withheld: tuple[str, ...] = ()
    found: tuple[str, ...] = ()


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

    An SMS names its sender and says how to opt out, in front and behind where its text does not. A line of which no
    variable has a value is left out.

    Raises:
        OutreachError: UNKNOWN_VARIABLE (not declared), MISSING_VARIABLE, INVALID_VARIABLE (not of its kind), TEXT_TOO_LONG,
            with the field `variables.<name>`; UNKNOWN_VARIANT.
    """
    given = variable_values.read(template.variables, variables, zone=zone, language=template.language)
    named = {name: variable_values.cleaned(standing.get(name, "")) for name in STANDING}
    named["opt_out_hint"] = named["opt_out_hint"] or local_words.opt_out_hint(template.language)
    chosen, subject, body = _text_of(template, bucket=bucket, variant=variant)
    secrets = _secrets(template, given)
    rendered = Rendered(
        subject=_subject(template, subject, {**named, **given}, secrets),
        body=_full_text(template, body, {**named, **given}),
        variant=chosen,
        provider_template=_provider_template(template, {**named, **given}, secrets, linked=False),
    )
    if template.channel in TEXT_CHANNELS:
        rendered = _without_phi(template, rendered, body, named, given, secrets)
    _check_length(template.channel, rendered)
    return rendered


def preview(template: Template, variables: Mapping[str, Any] | None = None, *, variant: str | None = None) -> Rendered:
    """The text with the variables' examples, or these."""
    examples = {each.name: variable_values.example_of(each) for each in template.variables}
    return render(
        template,
        {**examples, **(variables or {})},
        standing=EXAMPLES,
        zone="UTC",
        bucket="",
        variant=variant,
    )


def with_link(rendered: Rendered, link: str) -> Rendered:
    """The text with the link where it belongs; the same where there is none."""
    if not rendered.portal_mark:
        return rendered
    parameters = rendered.provider_template.get("parameters")
    filled = {**rendered.provider_template}
    if parameters:
        filled["parameters"] = [each.replace(rendered.portal_mark, link) for each in parameters]
    return replace(
        rendered, body=rendered.body.replace(rendered.portal_mark, link), provider_template=filled, portal_mark=""
    )


def variant_for(template: Template, bucket: str) -> str | None:
    """The variant's name that a bucket gets, always the same; None where there are none."""
    total = sum(each.weight for each in template.variants)
    if not total:
        return None
    digest = hashlib.sha256(f"{bucket}{template.id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") % total
    for each in template.variants:
        if place < each.weight:
            return each.name
        place -= each.weight
    return None


def _text_of(template: Template, *, bucket: str, variant: str | None) -> tuple[str | None, str | None, str]:
    wanted = variant or variant_for(template, bucket)
    if wanted is None:
        return None, template.subject, template.body
    for each in template.variants:
        if each.name == wanted:
            return each.name, each.subject or template.subject, each.body
    raise OutreachError("the template has no such variant", code="UNKNOWN_VARIANT", field="ab_variant")


def _secrets(template: Template, given: Mapping[str, Any]) -> dict[str, str]:
    found = {each.name: str(given[each.name]) for each in template.variables if each.is_phi}
    return {name: text for name, text in found.items() if text}


def _subject(
    template: Template, subject: str | None, values: Mapping[str, Any], secrets: Mapping[str, str]
) -> str | None:
    if template.channel is not Channel.EMAIL:
        return None
    text = " ".join(fill(subject or "", values).split())[:MOST_IN_SUBJECT]
    looked_at = fill(subject or "", {**values, **_NEUTRAL})
    if phi.findings(looked_at, secrets=secrets.values()) or not text:
        return local_words.generic_subject(template.language)
    return text


def _full_text(template: Template, body: str, values: Mapping[str, Any]) -> str:
    text = fill(_without_empty_lines(body, values), values).strip()
    if template.channel is not Channel.SMS:
        return text
    used, sender = names(body), str(values["organization_name"])
    if sender and "organization_name" not in used:
        text = f"{sender}: {text}"
    if "opt_out_hint" in used:
        return text
    return "\n".join((text, values["opt_out_hint"])) if "\n" in text else f"{text} {values['opt_out_hint']}"


def _without_empty_lines(body: str, values: Mapping[str, Any]) -> str:
    """Without the lines of which no variable has a value, such as the one for a place that nobody has named."""
    kept = []
    for line in body.split("\n"):
        used = _NAMED.findall(line)
        if not used or any(str(values[name]) for name in used if name in values):
            kept.append(line)
    return "\n".join(kept)


def _without_phi(
    template: Template,
    rendered: Rendered,
    body: str,
    named: Mapping[str, str],
    given: Mapping[str, Any],
    secrets: Mapping[str, str],
) -> Rendered:
    """The text as it is, or a generic one with a link where it says something about health."""
    withheld = tuple(name for name in secrets if name in names(body))
    looked_at = _full_text(template, body, {**named, **given, **_NEUTRAL})
    found = tuple(phi.findings(looked_at, secrets=secrets.values()))
    if not withheld and not found:
        return rendered
    sender = f"{named['organization_name']}: " if named["organization_name"] else ""
    text = f"{sender}{local_words.generic_text(template.language)} {PORTAL_MARK}"
    if template.channel is Channel.SMS:
        text = f"{text} {named['opt_out_hint']}"
    return replace(
        rendered,
        body=text,
        portal_text=rendered.body,
        portal_mark=PORTAL_MARK,
        withheld=withheld,
        found=found,
        provider_template=_provider_template(template, {**named, **given}, secrets, linked=True),
    )


def _provider_template(
    template: Template, values: Mapping[str, Any], secrets: Mapping[str, str], *, linked: bool
) -> dict[str, Any]:
    """What the provider's own template is sent with; nothing where a parameter says something about health, or where it has
    a place for a link and there is none."""
    wanted = dict(template.provider_template)
    parameters = wanted.get("parameters", ())
    if not wanted or (PORTAL_LINK in parameters and not linked):
        return {}
    if any(name in secrets for name in parameters):
        return {}
    looked_at = "\n".join(str({**values, **_NEUTRAL}.get(name, "")) for name in parameters)
    if phi.findings(looked_at, secrets=secrets.values()):
        return {}
    # A provider refuses a parameter with line breaks, or an empty one.
    filled = [PORTAL_MARK if name == PORTAL_LINK else " ".join(str(values[name]).split()) or "-" for name in parameters]
    return {**wanted, "parameters": filled}


def _check_length(channel: Channel, rendered: Rendered) -> None:
    text = as_counted(rendered.body)
    if len(text) > MOST_CHARACTERS[channel]:
        most = MOST_CHARACTERS[channel]
        raise OutreachError(f"the text has {len(text)} characters of {most}", code="TEXT_TOO_LONG", field="body")
    if channel is Channel.SMS and (number := count_segments(text).number) > MOST_SEGMENTS:
        raise OutreachError(f"the text takes {number} segments of {MOST_SEGMENTS}", code="TEXT_TOO_LONG", field="body")


def as_counted(body: str) -> str:
    """The body with as many characters as a link has in place of its mark, for counting."""
    return re.sub(PORTAL_MARK, "x" * LINK_CHARACTERS, body)
