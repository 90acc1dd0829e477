"""Templates: what may be kept, versions that are never lost or overwritten, and which one holds for whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import peewee
import pytest

from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import Template, TemplateInput, Variable, Variant
from tests.outreach.builders import STAFF, organization, provider, rows

pytestmark = pytest.mark.usefixtures("application")

WHEN = Variable("starts_at", kind="datetime")
WANTED = TemplateInput(
    name="Reminder",
    purpose=Purpose.APPT_REMINDER,
    channel=Channel.SMS,
    language="en",
    subject=None,
    body="See you on {{ starts_at }}.",
    variables=(WHEN,),
)
EMAIL = replace(WANTED, channel=Channel.EMAIL, subject="Your appointment")


def create(wanted: TemplateInput = WANTED, **values: Any) -> Template:
    with connected():
        return templates.create(replace(wanted, **values), asker=STAFF)


def refused(wanted: TemplateInput) -> tuple[str, str]:
    with pytest.raises(OutreachError) as error:
        create(wanted)
    assert rows("SELECT 1 FROM comm_templates") == []
    return error.value.code, error.value.field


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"body": "{% if starts_at %}x{% endif %}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{# a note #}{{ starts_at }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ starts_at.__class__ }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ starts_at | upper }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ starts_at[0] }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ starts_at() }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ 7 * 7 }}{{ starts_at }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ starts_at "}, "INVALID_TEMPLATE", "body"),
        ({"body": "   "}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ organization_name | date }} {{ starts_at }}"}, "INVALID_TEMPLATE", "body"),
        ({"body": "{{ starts_at }} {{ place }}"}, "UNDECLARED_VARIABLE", "body"),
        ({"variables": (WHEN, Variable("place"))}, "UNUSED_VARIABLE", "variables.place"),
        ({"variables": (WHEN, WHEN)}, "INVALID_VARIABLE", "variables.starts_at"),
        ({"variables": (replace(WHEN, kind="colour"),)}, "INVALID_VARIABLE", "variables.starts_at"),
        ({"variables": (replace(WHEN, example="soon"),)}, "INVALID_VARIABLE", "variables.starts_at"),
        ({"variables": (WHEN, Variable("organization_name"))}, "INVALID_VARIABLE", "variables.organization_name"),
        ({"body": "Your diabetes check is on {{ starts_at }}"}, "PHI_IN_TEXT", "body"),
        ({"body": "{{ starts_at }} " + "long " * 150}, "TEXT_TOO_LONG", "body"),
        ({"subject": "Hello"}, "INVALID_TEMPLATE", "subject"),
        ({"language": "English"}, "INVALID_LANGUAGE", "language"),
        ({"family": "Flu 2026"}, "INVALID_TEMPLATE", "family"),
        ({"family": "x" * 65}, "INVALID_TEMPLATE", "family"),
        ({"name": " "}, "INVALID_NAME", "name"),
        ({"variants": (Variant("A", 1, None, "{{ starts_at }}"),)}, "INVALID_VARIANTS", "variants"),
        (
            {"variants": (Variant("A", 1, None, "{{ starts_at }}"), Variant("B", 0, None, "{{ starts_at }}"))},
            "INVALID_VARIANTS",
            "variants",
        ),
        ({"provider_template": {"name": "x", "language": "en"}}, "INVALID_TEMPLATE", "provider_template"),
        ({"organization_id": uuid4()}, "ORGANIZATION_NOT_FOUND", "organization_id"),
        ({"provider_id": uuid4()}, "PROVIDER_NOT_FOUND", "provider_id"),
        ({"channel": Channel.EMAIL}, "SUBJECT_REQUIRED", "subject"),
    ],
)
def test_what_cannot_be_sent_well_is_not_kept(change: dict[str, Any], code: str, field: str) -> None:
    assert refused(replace(WANTED, **change)) == (code, field)


def test_a_variable_about_health_stands_in_no_subject_and_in_no_parameter() -> None:
    secret = Variable("finding", is_phi=True)
    email = replace(EMAIL, subject="About {{ finding }}", variables=(WHEN, secret))
    assert refused(email) == ("PHI_IN_TEXT", "subject")
    message = replace(
        WANTED,
        channel=Channel.WHATSAPP,
        variables=(WHEN, secret),
        provider_template={"name": "x", "language": "en_US", "parameters": ["finding"]},
    )
    assert refused(message) == ("PHI_IN_TEXT", "provider_template")


def test_the_place_of_a_mistake_is_said() -> None:
    with pytest.raises(OutreachError, match="line 3"):
        create(body="One\ntwo {{ starts_at }}\n{{ a.b }}")


def test_every_change_is_a_version_and_old_ones_come_back() -> None:
    first = create()
    with connected():
        changed = replace(WANTED, body="Until {{ starts_at }}!", note="shorter")
        second = templates.write_version(first.id, changed, based_on=1, asker=STAFF)
        third = templates.restore_version(first.id, 1, asker=STAFF)
        kept = templates.versions(first.id)
    assert (second.version, second.body, third.version, third.body) == (2, "Until {{ starts_at }}!", 3, first.body)
    assert [(each["version"], each["note"]) for each in kept] == [(3, "version 1 again"), (2, "shorter"), (1, "")]
    assert {each["written_by"] for each in kept} == {STAFF.actor}
    done = rows("SELECT action FROM operator_actions ORDER BY id")
    assert [each["action"] for each in done] == ["write_template", "write_template", "restore_template"]
    with pytest.raises(peewee.DatabaseError), transaction("test"):
        execute("UPDATE comm_template_versions SET body = 'x'")


def test_of_two_editors_the_second_is_told_and_overwrites_nothing() -> None:
    first = create()
    barrier, ends = threading.Barrier(2), []

    def write(body: str) -> None:
        barrier.wait()
        with connected():
            try:
                templates.write_version(first.id, replace(WANTED, body=body), based_on=1, asker=STAFF)
                ends.append("written")
            except OutreachError as error:
                ends.append(error.code)

    editors = [threading.Thread(target=write, args=(f"{{{{ starts_at }}}} {name}",)) for name in ("one", "two")]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    assert sorted(ends) == ["VERSION_CONFLICT", "written"]
    with connected():
        assert templates.template(first.id).version == 2


def test_one_template_is_active_in_a_place() -> None:
    first, second = create(), create(name="Another")
    assert (first.is_active, second.is_active) == (True, False)
    with connected():
        with pytest.raises(OutreachError) as error:
            templates.set_active(second.id, active=True, asker=STAFF)
        assert error.value.code == "TEMPLATE_EXISTS"
        templates.set_active(first.id, active=False, asker=STAFF)
        assert templates.set_active(second.id, active=True, asker=STAFF).is_active
        with pytest.raises(OutreachError) as error:
            templates.create(replace(WANTED, name="another"), asker=STAFF)
        assert (error.value.code, error.value.field) == ("TEMPLATE_EXISTS", "name")


def test_unknown_ones_are_said_to_be() -> None:
    with connected():
        asks: tuple[Callable[[], object], ...] = (
            lambda: templates.template(uuid4()),
            lambda: templates.set_active(uuid4(), active=True, asker=STAFF),
            lambda: templates.write_version(uuid4(), WANTED, based_on=1, asker=STAFF),
            lambda: templates.restore_version(uuid4(), 1, asker=STAFF),
        )
        for ask in asks:
            with pytest.raises(OutreachError) as error:
                ask()
            assert error.value.code == "UNKNOWN_TEMPLATE"


def test_the_nearest_level_holds_where_its_language_is_not_worse() -> None:
    clinic = organization()
    doctor = provider(clinic)
    everybody = {language: create(language=language).id for language in ("en", "pt", "fr")}
    clinics = {language: create(language=language, organization_id=clinic).id for language in ("en", "pt-BR")}
    doctors = create(language="en", provider_id=doctor).id

    def found(language: str, *, by_clinic: bool = True, by_doctor: bool = True) -> object:
        with connected():
            return templates.templates_for(
                Purpose.APPT_REMINDER,
                language=language,
                organization_id=clinic if by_clinic else None,
                provider_id=doctor if by_doctor else None,
            )[Channel.SMS].id

    assert found("en") == doctors
    assert found("en", by_doctor=False) == clinics["en"]
    assert found("en", by_clinic=False, by_doctor=False) == everybody["en"]
    assert found("pt-BR") == clinics["pt-BR"]
    assert found("pt-BR", by_clinic=False) == everybody["pt"]
    assert found("fr-CA") == everybody["fr"]
    assert found("yo") == doctors


def test_a_text_of_a_family_holds_beside_the_others_and_keeps_it() -> None:
    everywhere, of_campaigns = create(), create(family="flu-2026")
    assert (everywhere.is_active, of_campaigns.is_active) == (True, True)

    def found(family: str) -> object:
        return templates.templates_for(
            Purpose.APPT_REMINDER, language="en", organization_id=None, provider_id=None, family=family
        ).get(Channel.SMS)

    with connected():
        assert (found(""), found("flu-2026"), found("flu-2027")) == (everywhere, of_campaigns, None)
        moved = replace(WANTED, family="flu-2027", body="Until {{ starts_at }}!")
        assert templates.write_version(of_campaigns.id, moved, based_on=1, asker=STAFF).family == "flu-2026"
        assert templates.restore_version(of_campaigns.id, 1, asker=STAFF).family == "flu-2026"
    with pytest.raises(OutreachError) as error:
        create(family="flu-2026")
    assert (error.value.code, error.value.field) == ("TEMPLATE_EXISTS", "name")


def test_a_write_empties_what_is_remembered() -> None:
    made = create()

    def body() -> str:
        with connected():
            found = templates.templates_for(
                Purpose.APPT_REMINDER, language="en", organization_id=None, provider_id=None
            )
        return found[Channel.SMS].body if found else ""

    assert body() == WANTED.body
    with connected():
        templates.write_version(made.id, replace(WANTED, body="New: {{ starts_at }}"), based_on=1, asker=STAFF)
    assert body() == "New: {{ starts_at }}"
    with connected():
        templates.set_active(made.id, active=False, asker=STAFF)
    assert body() == ""
