"""Writing a template: a new one or the next version, with a preview before it is kept. The rules are the system's."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import TEMPLATES, needs
from dashboard.comm_levels import EVERYBODY, level_asked
from dashboard.comm_preference_queries import owner, owners
from dashboard.comm_template_form import Fields, fields_entered, fields_of, read
from dashboard.comm_template_preview import Preview, preview_of, problem_words
from dashboard.comm_template_words import KIND_WORDS, LANGUAGE_WORDS, STANDING_WORDS
from dashboard.comm_templates import place_words
from dashboard.outreach_asking import outreach_asker
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.template_syntax import FILTERS
from dispatchlog.systems.outreach.template_values import Template, TemplateInput

pages = Blueprint("comm_template_editor", __name__, url_prefix="/outreach/templates")

_AGAIN = "Somebody wrote version {version} in the meantime. Nothing was saved; what you wrote is still here."


@pages.get("/new")
@needs(TEMPLATES)
def new() -> str:
    """An empty form, or one that begins with another template's text (`like`)."""
    level, owner_id = level_asked()
    return _page(None, fields_of(_beginning(), level=level, of=str(owner_id or "")))


@pages.post("/new")
@needs(TEMPLATES)
def create() -> Response | str | tuple[str, int]:
    """Show what was entered, or keep it as a new template."""
    entered, (level, owner_id) = fields_entered(request.form), level_asked()
    fields = replace(entered, texts={**entered.texts, "level": level, "of": str(owner_id or "")})
    if request.form.get("action") != "save":
        return _page(None, fields, preview=_preview(fields))
    try:
        made = templates.create(read(fields), asker=outreach_asker())
    except OutreachError as error:
        return _page(None, fields, preview=_preview(fields), error=error), 400
    flash("It is written and used from now on." if made.is_active else "It is written. Turn it on to use it.", "good")
    return redirect(url_for("comm_templates.show", template_id=made.id), 303)


@pages.get("/<uuid:template_id>/edit")
@needs(TEMPLATES)
def edit(template_id: UUID) -> str:
    """The form with the present text."""
    one = _template(template_id)
    fields = fields_of(one, level=_level(one), of=_of(one), based_on=one.version)
    return _page(one, fields, preview=_preview(fields))


@pages.post("/<uuid:template_id>/edit")
@needs(TEMPLATES)
def write(template_id: UUID) -> Response | str | tuple[str, int]:
    """Show what was entered, or keep it as the next version."""
    one = _template(template_id)
    entered = fields_entered(request.form)
    place = {"purpose": str(one.purpose), "channel": str(one.channel), "language": one.language, "family": one.family}
    texts = {**entered.texts, **place, "level": _level(one), "of": _of(one)}
    fields = replace(entered, texts=texts)
    if request.form.get("action") != "save":
        return _page(one, fields, preview=_preview(fields))
    based_on = texts["based_on"]
    number = int(based_on) if based_on.isascii() and based_on.isdecimal() and len(based_on) < 9 else 0
    try:
        made = templates.write_version(template_id, read(fields), based_on=number, asker=outreach_asker())
    except OutreachError as error:
        status = 409 if error.code == "VERSION_CONFLICT" else 400
        return _page(one, fields, preview=_preview(fields), error=error), status
    flash(f"Version {made.version} is written{' and used from now on' if made.is_active else ''}.", "good")
    return redirect(url_for("comm_templates.show", template_id=template_id), 303)


def _beginning() -> TemplateInput | Template:
    like = request.args.get("like", "")
    if like:
        try:
            return templates.template(UUID(like))
        except (ValueError, OutreachError):
            abort(404)
    purpose, channel = request.args.get("purpose", ""), request.args.get("channel", "")
    language = request.args.get("language", "en")
    return TemplateInput(
        name="",
        purpose=Purpose(purpose) if purpose in {*Purpose} else Purpose.APPT_REMINDER,
        channel=Channel(channel) if channel in {*Channel} else Channel.SMS,
        language=language if len(language) <= 10 and language.isascii() else "en",
        subject=None,
        body="",
        family=request.args.get("family", "")[:64],
    )


def _preview(fields: Fields) -> Preview:
    try:
        return preview_of(read(fields))
    except OutreachError as error:
        return Preview(problem=problem_words(error), field=error.field)


def _page(
    one: Template | None, fields: Fields, *, preview: Preview | None = None, error: OutreachError | None = None
) -> str:
    problem = problem_words(error) if error else ""
    if error and error.code == "VERSION_CONFLICT":
        problem = _AGAIN.format(version=error.present["version"])
    level, of = fields.texts["level"], fields.texts["of"]
    return render_template(
        "comm_template_edit.html",
        template=one,
        fields=fields,
        preview=preview,
        problem=problem,
        field=error.field if error else "",
        is_conflict=bool(error and error.code == "VERSION_CONFLICT"),
        place=place_words(one) if one else "",
        level=level,
        owner=owner(level, UUID(of)) if of and level != EVERYBODY else None,
        owners=owners(level) if level != EVERYBODY and not of else [],
        purposes=PURPOSE_WORDS,
        channels=CHANNEL_WORDS,
        languages=LANGUAGE_WORDS,
        kinds=KIND_WORDS,
        standing=STANDING_WORDS,
        filters=FILTERS,
    )


def _template(template_id: UUID) -> Template:
    try:
        return templates.template(template_id)
    except OutreachError:
        abort(404)


def _level(one: Template) -> str:
    return "provider" if one.provider_id else "organization" if one.organization_id else EVERYBODY


def _of(one: Template) -> str:
    return str(one.provider_id or one.organization_id or "")
