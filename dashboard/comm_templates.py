"""Templates, for staff: which there are, what each says, its versions, its use, and trying it. Rules are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from dashboard.access import OUTREACH, TEMPLATES, may, needs
from dashboard.comm_levels import EVERYBODY, LEVELS, level_asked
from dashboard.comm_preference_queries import owner, owners
from dashboard.comm_template_diff import differences
from dashboard.comm_template_preview import preview_of_stored, problem_words
from dashboard.comm_template_queries import owner_name, owners_with_templates, place_of, templates_of
from dashboard.comm_template_test import answer_words, send_test
from dashboard.comm_template_words import KIND_WORDS, LANGUAGE_WORDS, language_word
from dashboard.context import line_given
from dashboard.outreach_asking import outreach_asker
from dashboard.presentation import upper_first
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.template_values import Template

pages = Blueprint("comm_templates", __name__, url_prefix="/outreach/templates")


@pages.get("")
@needs(OUTREACH)
def every_template() -> str:
    """One level's templates by purpose, channel and language, with the gaps."""
    level, owner_id = level_asked()
    chosen = level == EVERYBODY or owner_id is not None
    found = templates_of(level, owner_id) if chosen else []
    languages = list(dict.fromkeys((*LANGUAGE_WORDS, *sorted(row["language"] for row in found))))
    return render_template(
        "comm_templates.html",
        level=level,
        levels=LEVELS,
        owner=owner(level, owner_id) if owner_id else None,
        owners=owners(level) if not chosen else [],
        with_own=owners_with_templates(level) if not chosen else set(),
        chosen=chosen,
        cells=_cells([row for row in found if not row["family"]]),
        families=_families(found),
        number=len(found),
        languages=languages,
        language_word=language_word,
        purposes=PURPOSE_WORDS,
        channels=CHANNEL_WORDS,
        may_write=may(TEMPLATES),
    )


@pages.get("/<uuid:template_id>")
@needs(OUTREACH)
def show(template_id: UUID) -> str:
    """One template: its text as a patient gets it, its variables and its versions."""
    return page(_template(template_id))


@pages.get("/<uuid:template_id>/versions")
@needs(OUTREACH)
def compare(template_id: UUID) -> str:
    """What is different between two versions."""
    one, kept = _template(template_id), templates.versions(template_id)
    newer = _version(kept, request.args.get("to", ""), usual=kept[0]["version"])
    older = _version(kept, request.args.get("from", ""), usual=max(1, newer["version"] - 1))
    return render_template(
        "comm_template_versions.html",
        template=one,
        versions=kept,
        older=older,
        newer=newer,
        differences=differences(older, newer),
        may_write=may(TEMPLATES),
        place=place_words(one),
    )


@pages.post("/<uuid:template_id>/restore")
@needs(TEMPLATES)
def restore(template_id: UUID) -> Response | tuple[str, int]:
    """An older version's text as the next version."""
    one, wanted = _template(template_id), request.form.get("version", "")
    number = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 9 else 0
    try:
        found = templates.restore_version(template_id, number, asker=outreach_asker())
    except OutreachError as error:
        return page(one, problem=problem_words(error)), 400
    flash(f"Version {number} holds again, as version {found.version}.", "good")
    return redirect(url_for("comm_templates.show", template_id=template_id), 303)


@pages.post("/<uuid:template_id>/active")
@needs(TEMPLATES)
def set_active(template_id: UUID) -> Response | tuple[str, int]:
    """Turn it on or off."""
    one, wanted = _template(template_id), request.form.get("active") == "on"
    try:
        templates.set_active(template_id, active=wanted, asker=outreach_asker())
    except OutreachError as error:
        return page(one, problem=f"{upper_first(error.message)}. Turn that one off first."), 409
    words = "It is used from now on." if wanted else "It is not used any more. What waits already is sent as it stands."
    flash(words, "good")
    return redirect(url_for("comm_templates.show", template_id=template_id), 303)


@pages.post("/<uuid:template_id>/test")
@needs(TEMPLATES)
def test(template_id: UUID) -> Response | tuple[str, int]:
    """Send its examples to an own address."""
    one, address = _template(template_id), line_given("address")
    try:
        found = send_test(one, address, user_id=current_user.id, asker=outreach_asker(), trace_id=new_id().hex)
    except OutreachError as error:
        return page(one, test_problem=f"{upper_first(error.message)}.", address=address), 400
    if found.refused:
        return page(one, test_problem=f"{answer_words(found)}.", address=address), 409
    flash(f"{answer_words(found)}. Below is where it stands.", "good")
    return redirect(url_for("dispatch.show", lane_name="comm_job", dispatch_id=found.job_id), 303)


def page(one: Template, *, problem: str = "", test_problem: str = "", address: str = "") -> str:
    """The page of one template."""
    return render_template(
        "comm_template.html",
        template=one,
        preview=preview_of_stored(one),
        versions=templates.versions(one.id),
        place=place_words(one),
        neighbours=[row for row in _neighbours(one) if row["id"] != one.id],
        kinds=KIND_WORDS,
        is_email=one.channel is Channel.EMAIL,
        may_write=may(TEMPLATES),
        problem=problem,
        test_problem=test_problem,
        address=address,
        list_address=_list_address(one),
    )


def place_words(one: Template) -> str:
    """Such as "SMS, Spanish, for everybody"."""
    whose = owner_name(one.organization_id, one.provider_id) or "everybody"
    campaigns = f", for campaigns that take {one.family}" if one.family else ""
    return f"{CHANNEL_WORDS[one.channel]}, {language_word(one.language)}, for {whose}{campaigns}"


def _neighbours(one: Template) -> list[dict[str, Any]]:
    return place_of(one)


def _list_address(one: Template) -> str:
    level = "provider" if one.provider_id else "organization" if one.organization_id else None
    return url_for("comm_templates.every_template", level=level, of=one.provider_id or one.organization_id)


def _template(template_id: UUID) -> Template:
    try:
        return templates.template(template_id)
    except OutreachError:
        abort(404)


def _cells(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Purpose, Channel, str], list[Mapping[str, Any]]]:
    cells: dict[tuple[Purpose, Channel, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        cells.setdefault((Purpose(row["purpose"]), Channel(row["channel"]), row["language"]), []).append(row)
    return cells


def _families(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The texts of campaigns by family, each in the order of purposes and channels."""
    order = {name: at for at, name in enumerate((*map(str, Purpose), *map(str, Channel)))}
    families: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (order[row["purpose"]], order[row["channel"]], row["language"])):
        if row["family"]:
            families.setdefault(row["family"], []).append(row)
    return dict(sorted(families.items()))


def _version(kept: Sequence[Mapping[str, Any]], text: str, *, usual: int) -> Mapping[str, Any]:
    wanted = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else usual
    found = next((each for each in kept if each["version"] == wanted), None)
    if found is None:
        abort(404)
    return found
