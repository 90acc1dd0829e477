"""Whether a template may be kept: its words, variables, variants and length. Reads no table.

Every check that can be made when a template is written is made then, so that sending fails for a caller's values alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach import phi, variable_values
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.rendering import MOST_IN_SUBJECT, PORTAL_LINK, STANDING, preview
from dispatchlog.systems.outreach.states import MARKETING, TEXT_CHANNELS, Channel
from dispatchlog.systems.outreach.template_syntax import Piece, fixed_text, names, pieces
from dispatchlog.systems.outreach.template_values import Template, TemplateInput, Variable
from dispatchlog.systems.outreach.variable_values import KINDS

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
_FAMILY = re.compile(r"[a-z0-9-]{0,64}")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PROVIDER_KEYS = frozenset({"name", "language", "parameters", "content_sid"})
_NOBODY = UUID(int=0)
MOST_VARIABLES = 30
MOST_VARIANTS = 5
# A part of a day or an hour can be shown only of what has one.
_FILTERS_OF = {"date": {"date", "day"}, "time": {"time"}, "datetime": {"date", "day", "time"}}


def checked(wanted: TemplateInput) -> TemplateInput:
    """The template as it is kept: without blanks around it, with line breaks as the database has them.

    Raises:
        OutreachError: INVALID_NAME, INVALID_LANGUAGE, SUBJECT_REQUIRED, INVALID_TEMPLATE, UNDECLARED_VARIABLE,
            UNUSED_VARIABLE, INVALID_VARIABLE, INVALID_VARIANTS, PHI_IN_TEXT, TEXT_TOO_LONG, with the field.
    """
    wanted = _tidy(wanted)
    if not wanted.name or len(wanted.name) > 255:
        raise OutreachError("a name of 1 to 255 characters is needed", code="INVALID_NAME", field="name")
    if not _LANGUAGE.fullmatch(wanted.language) or len(wanted.language) > 10:
        raise OutreachError("a language is such as en or pt-BR", code="INVALID_LANGUAGE", field="language")
    if not _FAMILY.fullmatch(wanted.family):
        raise OutreachError(
            "a family has up to 64 small letters, digits and hyphens", code="INVALID_TEMPLATE", field="family"
        )
    if wanted.organization_id and wanted.provider_id:
        raise OutreachError("it is an organisation's or a provider's", code="INVALID_TEMPLATE", field="provider_id")
    _check_variables(wanted.variables)
    _check_variants(wanted)
    _check_subject(wanted)
    texts = _texts(wanted)
    for field, text in texts:
        _check_text(wanted, field, text)
    _check_provider_template(wanted)
    _check_used(wanted, texts)
    _check_phi(wanted, texts)
    _check_length(wanted)
    return wanted


def _tidy(wanted: TemplateInput) -> TemplateInput:
    def tidy(text: str) -> str:
        return variable_values.cleaned(text)

    return replace(
        wanted,
        name=" ".join(tidy(wanted.name).split()),
        family=wanted.family.strip(),
        subject=_one_line(wanted.subject),
        body=tidy(wanted.body),
        variants=tuple(
            replace(each, name=each.name.strip(), subject=_one_line(each.subject), body=tidy(each.body))
            for each in wanted.variants
        ),
        note=" ".join(tidy(wanted.note).split())[:500],
    )


def _one_line(subject: str | None) -> str | None:
    return " ".join(variable_values.cleaned(subject).split()) or None if subject is not None else None


def _check_variables(variables: Sequence[Variable]) -> None:
    seen: set[str] = set()
    for each in variables:
        problem = ""
        if not _VARIABLE.fullmatch(each.name):
            problem = "a name has small letters, digits and _, and begins with a letter"
        elif each.name in STANDING or each.name == PORTAL_LINK:
            problem = "every template has it already"
        elif each.name in seen:
            problem = "it is declared twice"
        elif each.kind not in KINDS:
            problem = f"its kind is one of {', '.join(KINDS)}"
        elif len(seen) >= MOST_VARIABLES:
            problem = f"a template has at most {MOST_VARIABLES}"
        if problem:
            raise OutreachError(problem, code="INVALID_VARIABLE", field=f"variables.{each.name[:64]}")
        seen.add(each.name)
        _check_example(each)


def _check_example(variable: Variable) -> None:
    """It is of the variable's own kind, else no preview could be made."""
    if variable.example:
        given = {variable.name: variable.example}
        variable_values.read((replace(variable, required=False),), given, zone="UTC", language="en")


def _check_variants(wanted: TemplateInput) -> None:
    if not wanted.variants:
        return
    named = [each.name for each in wanted.variants]
    problem = ""
    if not 2 <= len(named) <= MOST_VARIANTS:
        problem = f"two to {MOST_VARIANTS} texts are tried side by side"
    elif len({name.casefold() for name in named}) < len(named) or not all(0 < len(name) <= 50 for name in named):
        problem = "each has a name of its own, of at most 50 characters"
    elif not all(isinstance(each.weight, int) and 1 <= each.weight <= 1_000 for each in wanted.variants):
        problem = "each has a share of 1 to 1000"
    elif not all(each.body for each in wanted.variants):
        problem = "each has a text"
    if problem:
        raise OutreachError(problem, code="INVALID_VARIANTS", field="variants")


def _check_subject(wanted: TemplateInput) -> None:
    is_email = wanted.channel is Channel.EMAIL
    if is_email and not wanted.subject:
        raise OutreachError("an e-mail needs a subject", code="SUBJECT_REQUIRED", field="subject")
    subjects = [wanted.subject, *(each.subject for each in wanted.variants)]
    if not is_email and any(subjects):
        raise OutreachError("only e-mails have a subject", code="INVALID_TEMPLATE", field="subject")
    if any(each and len(each) > MOST_IN_SUBJECT for each in subjects):
        raise OutreachError(
            f"a subject has at most {MOST_IN_SUBJECT} characters", code="TEXT_TOO_LONG", field="subject"
        )


def _texts(wanted: TemplateInput) -> list[tuple[str, str]]:
    """Every text with its field, subjects too."""
    found = [("subject", wanted.subject or ""), ("body", wanted.body)]
    for each in wanted.variants:
        found += [(f"variants.{each.name}.subject", each.subject or ""), (f"variants.{each.name}.body", each.body)]
    return [(field, text) for field, text in found if text or field == "body"]


def _check_text(wanted: TemplateInput, field: str, text: str) -> None:
    if not text:
        raise OutreachError("a text is needed", code="INVALID_TEMPLATE", field=field)
    kinds = {each.name: each.kind for each in wanted.variables}
    for piece in pieces(text, field=field):
        if piece.name not in kinds and piece.name not in STANDING:
            raise OutreachError(
                f"line {piece.line} uses {piece.name}, which is not declared", code="UNDECLARED_VARIABLE", field=field
            )
        _check_filter(piece, kinds.get(piece.name, "text"), field)


def _check_filter(piece: Piece, kind: str, field: str) -> None:
    if piece.filter and piece.filter not in _FILTERS_OF.get(kind, set()):
        raise OutreachError(
            f"line {piece.line} asks for the {piece.filter} of {piece.name}, which is declared as {kind}",
            code="INVALID_TEMPLATE",
            field=field,
        )


def _check_provider_template(wanted: TemplateInput) -> None:
    given = wanted.provider_template
    problem = ""
    parameters = given.get("parameters", [])
    known = {*STANDING, PORTAL_LINK, *(each.name for each in wanted.variables)}
    if given and wanted.channel is not Channel.WHATSAPP:
        problem = "only WhatsApp has templates at its provider"
    elif not set(given) <= _PROVIDER_KEYS or (given and not (given.get("name") or given.get("content_sid"))):
        problem = "it has a name with its language, or a content_sid, and parameters"
    elif not all(isinstance(given.get(key, ""), str) for key in ("name", "language", "content_sid")):
        problem = "name, language and content_sid are texts"
    elif given.get("name") and not given.get("language"):
        problem = "a name needs its language, such as en_US"
    elif not isinstance(parameters, list | tuple) or not all(isinstance(each, str) for each in parameters):
        problem = "parameters are names of variables, in their order"
    elif unknown := [each for each in parameters if each not in known]:
        raise OutreachError(f"{unknown[0][:64]} is not declared", code="UNDECLARED_VARIABLE", field="provider_template")
    if problem:
        raise OutreachError(problem, code="INVALID_TEMPLATE", field="provider_template")


def _check_used(wanted: TemplateInput, texts: Sequence[tuple[str, str]]) -> None:
    used = {name for _, text in texts for name in names(text)} | set(wanted.provider_template.get("parameters", ()))
    for each in wanted.variables:
        if each.name not in used:
            raise OutreachError("no text uses it", code="UNUSED_VARIABLE", field=f"variables.{each.name}")


def _check_phi(wanted: TemplateInput, texts: Sequence[tuple[str, str]]) -> None:
    """What every message would say of a patient's health, whatever the values: in a text message, or in a subject."""
    secret = {each.name for each in wanted.variables if each.is_phi}
    for field, text in texts:
        is_subject = field.endswith("subject")
        if is_subject and (shown := sorted(names(text) & secret)):
            raise OutreachError(f"a subject must not show {shown[0]}", code="PHI_IN_TEXT", field=field)
        if (is_subject or wanted.channel in TEXT_CHANNELS) and (found := phi.findings(fixed_text(text))):
            raise OutreachError(
                "the text itself says something about a patient's health",
                code="PHI_IN_TEXT",
                field=field,
                present={"findings": list(found)},
            )
    for name in wanted.provider_template.get("parameters", ()):
        if name in secret:
            raise OutreachError(f"{name} must not be sent", code="PHI_IN_TEXT", field="provider_template")


def _check_length(wanted: TemplateInput) -> None:
    template = as_template(wanted)
    for variant in (None, *(each.name for each in wanted.variants)):
        try:
            preview(template, variant=variant) if variant else preview(replace(template, variants=()))
        except OutreachError as error:
            field = f"variants.{variant}.body" if variant else "body"
            raise OutreachError(error.message, code=error.code, field=field) from error


def as_template(wanted: TemplateInput) -> Template:
    """It as a template that is not stored, for a preview."""
    columns: Mapping[str, Any] = {
        "id": _NOBODY,
        "is_marketing": wanted.purpose in MARKETING,
        "is_active": False,
        "version": 0,
    }
    return Template(
        name=wanted.name,
        purpose=wanted.purpose,
        channel=wanted.channel,
        language=wanted.language,
        subject=wanted.subject,
        body=wanted.body,
        variables=wanted.variables,
        variants=wanted.variants,
        provider_template=wanted.provider_template,
        family=wanted.family,
        organization_id=wanted.organization_id,
        provider_id=wanted.provider_id,
        **columns,
    )
