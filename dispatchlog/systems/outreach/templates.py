"""Templates and their versions: which one holds for whom. Owns their tables; renders nothing.

A version is never changed: a change is the next version, and it says on which one it is based.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import peewee

from dispatchlog.engine.database import after_commit, execute, fetch_dicts, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.kept import Kept
from dispatchlog.systems.outreach.states import MARKETING, Channel, Purpose
from dispatchlog.systems.outreach.template_checks import checked
from dispatchlog.systems.outreach.template_values import Template, TemplateInput, Variable, Variant

__all__ = [
    "Template",
    "TemplateInput",
    "Variable",
    "Variant",
    "create",
    "every_template",
    "input_of",
    "restore_version",
    "set_active",
    "template",
    "templates_for",
    "versions",
    "write_version",
]

_TAKEN = "another template is active for this purpose, channel, language, family and level"
_ORDER = (
    " ORDER BY array_position(ARRAY['appt_confirm', 'appt_reminder', 'no_show', 'rx_refill', 'lab_ready',"
    " 'campaign_education', 'urgent']::varchar[], purpose), channel, language, organization_id NULLS FIRST,"
    " provider_id NULLS FIRST, is_active DESC, id"
)
# In which order levels count where the language is as good.
_LEVELS = ("provider", "organization", "all")
_kept: Kept[Sequence[Template]] = Kept()


def create(wanted: TemplateInput, *, asker: Asker) -> Template:
    """A new template with its first version, active where none of the same place is.

    Raises:
        OutreachError: INVALID_TEMPLATE (syntax), UNDECLARED_VARIABLE, UNUSED_VARIABLE, INVALID_VARIABLE, PHI_IN_TEXT,
            TEXT_TOO_LONG, SUBJECT_REQUIRED, INVALID_LANGUAGE, INVALID_VARIANTS, INVALID_NAME, TEMPLATE_EXISTS (one of this
            name is there), ORGANIZATION_NOT_FOUND, PROVIDER_NOT_FOUND, with the field.
    """
    wanted = checked(wanted)
    template_id = new_id()
    with transaction(asker.actor):
        _check_level(wanted)
        _check_name(wanted)
        if not _insert(template_id, wanted, active=True):
            _insert(template_id, wanted, active=False)
        _insert_version(template_id, 1, wanted, asker=asker)
        _written(asker, "write_template", template_id, version=1)
    return template(template_id)


def write_version(template_id: UUID, wanted: TemplateInput, *, based_on: int, asker: Asker) -> Template:
    """The next version, which holds from now on; purpose, channel, language, family and level stay.

    Raises:
        OutreachError: as `create`; UNKNOWN_TEMPLATE, VERSION_CONFLICT where `based_on` is not the present one.
    """
    with transaction(asker.actor):
        now = _locked(template_id)
        if now.version != based_on:
            raise OutreachError(
                f"version {now.version} was written in the meantime",
                code="VERSION_CONFLICT",
                field="based_on",
                present={"version": now.version},
            )
        place = replace(input_of(now), name=wanted.name, subject=wanted.subject, body=wanted.body, note=wanted.note)
        place = replace(
            place,
            variables=wanted.variables,
            variants=wanted.variants,
            provider_template=wanted.provider_template,
        )
        _store_version(now, checked(place), asker=asker, action="write_template")
    return template(template_id)


def restore_version(template_id: UUID, version: int, *, asker: Asker) -> Template:
    """The text of an older version as the next one.

    Raises:
        OutreachError: UNKNOWN_TEMPLATE, UNKNOWN_VERSION; as `create` where what was allowed then is not any more.
    """
    with transaction(asker.actor):
        now = _locked(template_id)
        old = next((each for each in versions(template_id) if each["version"] == version), None)
        if old is None:
            raise OutreachError("the template has no such version", code="UNKNOWN_VERSION", field="version")
        wanted = replace(
            input_of(now),
            subject=old["subject"],
            body=old["body"],
            variables=_variables(old["variables"]),
            variants=_variants(old["variants"]),
            provider_template=old["provider_template"],
            note=f"version {version} again",
        )
        _store_version(now, checked(wanted), asker=asker, action="restore_template")
    return template(template_id)


def set_active(template_id: UUID, *, active: bool, asker: Asker) -> Template:
    """Turn it on or off.

    Raises:
        OutreachError: UNKNOWN_TEMPLATE, TEMPLATE_EXISTS where another is active in its place.
    """
    try:
        with transaction(asker.actor):
            if _locked(template_id).is_active != active:
                execute(
                    "UPDATE comm_templates SET is_active = %s, updated_at = now() WHERE id = %s", (active, template_id)
                )
                _written(asker, "turn_on_template" if active else "turn_off_template", template_id)
    except peewee.IntegrityError as error:
        raise OutreachError(_TAKEN, code="TEMPLATE_EXISTS", field="is_active") from error
    return template(template_id)


def template(template_id: UUID) -> Template:
    """One template. Raises OutreachError: UNKNOWN_TEMPLATE."""
    rows = fetch_dicts("SELECT * FROM comm_templates WHERE id = %s", (template_id,))
    return _one(rows)


def versions(template_id: UUID) -> Sequence[Mapping[str, Any]]:
    """All versions, newest first."""
    return fetch_dicts(
        "SELECT * FROM comm_template_versions WHERE template_id = %s ORDER BY version DESC", (template_id,)
    )


def every_template() -> Sequence[Template]:
    """All templates, by purpose, channel, language and level."""
    return [_from_row(row) for row in fetch_dicts("SELECT * FROM comm_templates" + _ORDER)]


def templates_for(
    purpose: Purpose, *, language: str, organization_id: UUID | None, provider_id: UUID | None, family: str = ""
) -> Mapping[Channel, Template]:
    """Of this family, for each channel the one that holds: the provider's before the organisation's before everybody's; in
    each level the language, then its main language (pt for pt-BR), then English. A level that has any language goes before
    the next level only where that language is not worse. From a cache of a few seconds that a write of this process
    empties."""
    languages = list(dict.fromkeys((language.lower(), language.partition("-")[0].lower(), "en")))
    owners = {"provider": provider_id, "organization": organization_id}
    best: dict[Channel, tuple[tuple[int, int], Template]] = {}
    for each in _kept.get(_active):
        level = _level(each)
        mine = level == "all" or owners[level] == (each.provider_id or each.organization_id)
        if each.purpose is not purpose or each.family != family or not mine or each.language.lower() not in languages:
            continue
        rank = (languages.index(each.language.lower()), _LEVELS.index(level))
        if each.channel not in best or rank < best[each.channel][0]:
            best[each.channel] = (rank, each)
    return {channel: found for channel, (_, found) in best.items()}


def input_of(now: Template) -> TemplateInput:
    """A template as what its next version starts from."""
    return TemplateInput(
        name=now.name,
        purpose=now.purpose,
        channel=now.channel,
        language=now.language,
        subject=now.subject,
        body=now.body,
        variables=now.variables,
        variants=now.variants,
        provider_template=now.provider_template,
        family=now.family,
        organization_id=now.organization_id,
        provider_id=now.provider_id,
    )


def _active() -> Sequence[Template]:
    return [_from_row(row) for row in fetch_dicts("SELECT * FROM comm_templates WHERE is_active")]


def _level(one: Template) -> str:
    return "provider" if one.provider_id else "organization" if one.organization_id else "all"


def _locked(template_id: UUID) -> Template:
    return _one(fetch_dicts("SELECT * FROM comm_templates WHERE id = %s FOR UPDATE", (template_id,)))


def _one(rows: Sequence[Mapping[str, Any]]) -> Template:
    if not rows:
        raise OutreachError("there is no such template", code="UNKNOWN_TEMPLATE", field="template_id")
    return _from_row(rows[0])


def _check_level(wanted: TemplateInput) -> None:
    if wanted.organization_id and not _is_there("comm_organizations", wanted.organization_id):
        raise OutreachError("no such organisation", code="ORGANIZATION_NOT_FOUND", field="organization_id")
    if wanted.provider_id and not _is_there("comm_providers", wanted.provider_id):
        raise OutreachError("no such provider", code="PROVIDER_NOT_FOUND", field="provider_id")


def _is_there(table: str, owner_id: UUID) -> bool:
    return execute(f"SELECT 1 FROM {table} WHERE id = %s", (owner_id,)).fetchone() is not None


def _check_name(wanted: TemplateInput) -> None:
    found = execute(
        "SELECT 1 FROM comm_templates WHERE purpose = %s AND channel = %s AND language = %s AND lower(name) = lower(%s)"
        " AND family = %s AND organization_id IS NOT DISTINCT FROM %s AND provider_id IS NOT DISTINCT FROM %s",
        (
            *(str(wanted.purpose), str(wanted.channel), wanted.language, wanted.name, wanted.family),
            *(wanted.organization_id, wanted.provider_id),
        ),
    ).fetchone()
    if found is not None:
        raise OutreachError("a template of this name is there already", code="TEMPLATE_EXISTS", field="name")


def _insert(template_id: UUID, wanted: TemplateInput, *, active: bool) -> bool:
    """Whether it was written; not where it is to be active and another one is."""
    return bool(
        execute(
            "INSERT INTO comm_templates (id, name, purpose, channel, language, subject, body, variables, variants,"
            " provider_template, is_marketing, family, organization_id, provider_id, is_active)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                *(template_id, wanted.name, str(wanted.purpose), str(wanted.channel), wanted.language),
                *_text_columns(wanted),
                *(wanted.purpose in MARKETING, wanted.family, wanted.organization_id, wanted.provider_id, active),
            ),
        ).rowcount
    )


def _insert_version(template_id: UUID, version: int, wanted: TemplateInput, *, asker: Asker) -> None:
    execute(
        "INSERT INTO comm_template_versions (template_id, version, subject, body, variables, variants, provider_template,"
        " note, written_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (template_id, version, *_text_columns(wanted), wanted.note[:500], asker.actor),
    )


def _store_version(now: Template, wanted: TemplateInput, *, asker: Asker, action: str) -> None:
    version = now.version + 1
    _insert_version(now.id, version, wanted, asker=asker)
    execute(
        "UPDATE comm_templates SET name = %s, subject = %s, body = %s, variables = %s, variants = %s,"
        " provider_template = %s, version = %s, updated_at = now() WHERE id = %s",
        (wanted.name, *_text_columns(wanted), version, now.id),
    )
    _written(asker, action, now.id, version=version)


def _written(asker: Asker, action: str, template_id: UUID, **more: Any) -> None:
    log_action(asker.actor, action, detail={"template_id": str(template_id), **more})
    after_commit("templates", _kept.empty)


def _text_columns(wanted: TemplateInput) -> tuple[str | None, str, str, str, str]:
    return (
        wanted.subject,
        wanted.body,
        json.dumps([asdict(each) for each in wanted.variables]),
        json.dumps([asdict(each) for each in wanted.variants]),
        json.dumps(dict(wanted.provider_template)),
    )


def _from_row(row: Mapping[str, Any]) -> Template:
    return Template(
        id=row["id"],
        name=row["name"],
        purpose=Purpose(row["purpose"]),
        channel=Channel(row["channel"]),
        language=row["language"],
        subject=row["subject"],
        body=row["body"],
        variables=_variables(row["variables"]),
        variants=_variants(row["variants"]),
        provider_template=row["provider_template"],
        is_marketing=row["is_marketing"],
        family=row["family"],
        organization_id=row["organization_id"],
        provider_id=row["provider_id"],
        is_active=row["is_active"],
        version=row["version"],
    )


def _variables(documents: Sequence[Mapping[str, Any]]) -> tuple[Variable, ...]:
    return tuple(Variable(**each) for each in documents)


def _variants(documents: Sequence[Mapping[str, Any]]) -> tuple[Variant, ...]:
    return tuple(Variant(**each) for each in documents)
