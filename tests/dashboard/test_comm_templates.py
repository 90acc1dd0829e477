"""The pages of templates: the gaps, writing with a preview, versions, turning on and off, a test; and in Chromium."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Route, expect

from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import Template, TemplateInput, Variable, Variant
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.engine.processes import until
from tests.outreach.builders import STAFF, organization

__all__ = ["chromium", "site"]  # fixtures

PATH = "/outreach/templates"
WANTED = TemplateInput(
    name="Reminder",
    purpose=Purpose.APPT_REMINDER,
    channel=Channel.SMS,
    language="en",
    subject=None,
    body="See you on {{ starts_at }}.",
    variables=(Variable("starts_at", kind="datetime"),),
)
FORM: dict[str, Any] = {
    "name": "Reminder",
    "purpose": "appt_reminder",
    "channel": "sms",
    "language": "en",
    "level": "global",
    "of": "",
    "subject": "",
    "body": "See you on {{ starts_at }}.",
    "variable-0-name": "starts_at",
    "variable-0-kind": "datetime",
    "variable-0-required": "on",
}


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    visitor = dash.as_("admin")
    visitor.get(PATH)
    return visitor


def written(wanted: TemplateInput = WANTED) -> Template:
    with connected():
        return templates.create(wanted, asker=STAFF)


def stored(template: Template) -> Template:
    with connected():
        return templates.template(template.id)


def count(sql: str) -> int:
    with connected():
        return len(fetch_dicts(sql))


def test_the_list_shows_what_there_is_and_what_is_missing(dash: Dashboard, admin: Visitor) -> None:
    assert "No template yet" in admin.get(PATH).text
    one = written()
    text = admin.get(PATH).text
    assert f'href="{PATH}/{one.id}"' in text
    assert "purpose=appt_reminder&amp;channel=sms&amp;language=es" in text
    assert "purpose=appt_reminder&amp;channel=sms&amp;language=en" not in text
    seen = dash.as_("viewer").get(PATH).text
    assert f'href="{PATH}/{one.id}"' in seen
    assert f"{PATH}/new" not in seen


def test_each_level_has_its_own_list(admin: Visitor) -> None:
    clinic = organization(name="Riverside Clinic")
    one = written(replace(WANTED, organization_id=clinic, name="Our own"))
    assert str(one.id) not in admin.get(PATH).text
    assert "Has texts of its own" in admin.get(f"{PATH}?level=organization").text
    text = admin.get(f"{PATH}?level=organization&of={clinic}").text
    assert str(one.id) in text
    assert "Riverside Clinic" in text
    for wrong in ("level=planet", f"level=organization&of={uuid4()}", "level=organization&of=x"):
        assert admin.get(f"{PATH}?{wrong}").status_code == 404


def test_texts_of_campaigns_stand_by_themselves_and_fill_no_gap(admin: Visitor) -> None:
    answer = admin.post(f"{PATH}/new", action="save", **FORM, family="flu-2026")
    assert answer.status_code == 303, answer.text
    text = admin.get(PATH).text
    assert "purpose=appt_reminder&amp;channel=sms&amp;language=en" in text
    families = text.split("Texts of campaigns")[1]
    assert answer.headers["Location"] in families
    assert "family=flu-2026" in families
    assert 'value="flu-2026"' in admin.get(f"{PATH}/new?family=flu-2026").text
    path = answer.headers["Location"]
    assert "for campaigns that take flu-2026" in admin.get(path).text
    moved = {**FORM, "family": "other", "body": "New: {{ starts_at }}", "based_on": "1"}
    assert admin.post(f"{path}/edit", action="save", **moved).status_code == 303
    with connected():
        assert [each.family for each in templates.every_template()] == ["flu-2026"]


def test_a_template_is_written_from_the_form(admin: Visitor) -> None:
    answer = admin.post(f"{PATH}/new", action="save", **FORM)
    assert answer.status_code == 303, answer.text
    with connected():
        (one,) = templates.every_template()
    assert answer.headers["Location"] == f"{PATH}/{one.id}"
    assert (one.body, one.variables, one.is_active) == (WANTED.body, WANTED.variables, True)
    text = admin.get(f"{PATH}/{one.id}").text
    assert "Example Clinic: See you on Tuesday, March 3 at 10:30 AM. Reply STOP to opt out." in text
    assert "1 segment of at most 4" in text
    assert "Nothing in it says anything about health." in text


def test_a_preview_keeps_nothing_and_says_how_long_it_is(admin: Visitor) -> None:
    text = admin.post(f"{PATH}/new", action="preview", **{**FORM, "body": "Añadido: {{ starts_at }} á"}).text
    assert "Example Clinic: Añadido: Tuesday" in text
    assert "2 segments of at most 4" in text
    assert "á" in text
    assert count("SELECT 1 FROM comm_templates") == 0


def test_a_preview_shows_what_is_withheld_and_what_stands_behind_the_link(admin: Visitor) -> None:
    fields: dict[str, Any] = {
        "variable-1-name": "finding",
        "variable-1-phi": "on",
        "variable-1-required": "on",
        "variable-1-example": "Examplitis 7",
        "body": "{{ starts_at }}: {{ finding }}",
    }
    text = admin.post(f"{PATH}/new", action="preview", **{**FORM, **fields}).text
    assert "You have a new message. Read it here: https://…/p/…" in text
    assert "finding says something about health" in text
    behind = text.split("What stands behind the link")[1]
    assert "Examplitis 7" in behind


@pytest.mark.parametrize(
    ("changes", "said", "marked"),
    [
        ({"body": "{% if x %}{{ starts_at }}"}, "Text: Line 1 has a block", "body"),
        ({"body": "{{ starts_at }} {{ more }}"}, "Text: Line 1 uses more, which is not declared", "body"),
        ({"body": "Your HIV test, {{ starts_at }}"}, "Text: The text itself says something about", "body"),
        ({"variable-1-name": "more"}, "Variable more: No text uses it", "variable-1-name"),
        ({"name": " "}, "Name: A name of 1 to 255 characters is needed", "name"),
        ({"family": "Flu 2026"}, "Family: A family has up to 64", "family"),
        ({"language": "Klingon"}, "Language: A language is such as en", "language"),
        ({"channel": "email"}, "Subject: An e-mail needs a subject", "subject"),
        ({"variant-0-name": "A", "variant-0-weight": "many", "variant-0-body": "x"}, "Variants: Its share is", ""),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_kept(
    admin: Visitor, changes: dict[str, Any], said: str, marked: str
) -> None:
    answer = admin.post(f"{PATH}/new", action="save", **{**FORM, **changes})
    assert answer.status_code == 400
    assert said in answer.text
    if marked:
        assert re.search(rf'id="{marked}"[^>]*aria-invalid="true"', answer.text)
    assert count("SELECT 1 FROM comm_templates") == 0


def test_a_form_that_says_nothing_is_shown_again(admin: Visitor) -> None:
    assert "Purpose" in admin.post(f"{PATH}/new").text
    one = written()
    assert admin.post(f"{PATH}/{one.id}/edit").status_code == 200
    assert admin.post(f"{PATH}/new", action="save", level="organization", of="").status_code == 400
    assert admin.post(f"{PATH}/new", action="save", level="planet").status_code == 404
    assert admin.post(f"{PATH}/{one.id}/edit", action="save").status_code == 409
    assert count("SELECT 1 FROM comm_template_versions") == 1


def test_a_change_is_the_next_version_and_never_overwrites_anothers(admin: Visitor) -> None:
    one = written()
    text = admin.get(f"{PATH}/{one.id}/edit").text
    assert 'name="based_on" value="1"' in text
    changed = {**FORM, "body": "New: {{ starts_at }}", "based_on": "1", "note": "shorter"}
    assert admin.post(f"{PATH}/{one.id}/edit", action="save", **changed).status_code == 303
    assert (stored(one).version, stored(one).body) == (2, "New: {{ starts_at }}")
    late = admin.post(f"{PATH}/{one.id}/edit", action="save", **{**changed, "body": "Mine: {{ starts_at }}"})
    assert late.status_code == 409
    assert "Somebody wrote version 2 in the meantime" in late.text
    assert "Mine: {{ starts_at }}" in late.text
    assert stored(one).version == 2


def test_a_change_does_not_move_a_template(admin: Visitor) -> None:
    one = written()
    moved = {
        **FORM,
        "purpose": "urgent",
        "language": "fr",
        "level": "organization",
        "of": str(uuid4()),
        "based_on": "1",
    }
    assert admin.post(f"{PATH}/{one.id}/edit", action="save", **moved).status_code == 303
    now = stored(one)
    assert (now.purpose, now.language, now.organization_id) == (one.purpose, "en", None)


def test_versions_are_compared_word_by_word_and_come_back(admin: Visitor) -> None:
    one = written()
    with connected():
        changed = replace(WANTED, body="See you at noon on {{ starts_at }}.", note="clearer")
        templates.write_version(one.id, changed, based_on=1, asker=STAFF)
    text = admin.get(f"{PATH}/{one.id}/versions?from=1&to=2").text
    assert '<ins><span class="sr">new: </span>at noon </ins>' in text or "at noon" in text.split("<ins>")[1]
    assert "clearer" in text
    assert "These two say the same." in admin.get(f"{PATH}/{one.id}/versions?from=2&to=2").text
    assert admin.get(f"{PATH}/{one.id}/versions?from=9&to=2").status_code == 404
    assert admin.post(f"{PATH}/{one.id}/restore", version="1").status_code == 303
    assert (stored(one).version, stored(one).body) == (3, WANTED.body)
    assert admin.post(f"{PATH}/{one.id}/restore", version="9").status_code == 400


def test_one_text_is_in_use_in_a_place(admin: Visitor) -> None:
    first, second = written(), written(replace(WANTED, name="Another"))
    refused = admin.post(f"{PATH}/{second.id}/active", active="on")
    assert refused.status_code == 409
    assert "Turn that one off first." in refused.text
    assert admin.post(f"{PATH}/{first.id}/active").status_code == 303
    assert admin.post(f"{PATH}/{second.id}/active", active="on").status_code == 303
    assert (stored(first).is_active, stored(second).is_active) == (False, True)


def test_variants_are_shown_with_their_shares(admin: Visitor) -> None:
    variants = (Variant("Short", 3, None, "{{ starts_at }}"), Variant("Long", 1, None, "See you on {{ starts_at }}!"))
    one = written(replace(WANTED, variants=variants))
    text = admin.get(f"{PATH}/{one.id}").text
    assert re.search(r"Short <span[^>]*>75 % of patients", text)
    assert re.search(r"Long <span[^>]*>25 % of patients", text)


def test_a_text_is_shown_as_text(admin: Visitor) -> None:
    one = written(replace(WANTED, body="<script>alert(1)</script> {{ starts_at }}", name="<b>bold</b>"))
    for page in ("", "/edit", "/versions"):
        text = admin.get(f"{PATH}/{one.id}{page}").text
        assert "<script>alert(1)" not in text
        assert "<b>bold" not in text


def test_a_test_goes_to_a_test_patient_of_ones_own(admin: Visitor) -> None:
    one = written(replace(WANTED, channel=Channel.EMAIL, subject="Your appointment"))
    answer = admin.post(f"{PATH}/{one.id}/test", address="me@example.org")
    assert answer.status_code == 303, answer.text
    assert "/dispatches/comm_job/" in answer.headers["Location"]
    assert admin.post(f"{PATH}/{one.id}/test", address="me@example.org").status_code == 303
    with connected():
        people = fetch_dicts("SELECT source FROM patients")
        jobs = [COMM_JOBS.opened(row) for row in fetch_dicts("SELECT * FROM comm_jobs")]
        sent = fetch_dicts("SELECT actor, user_id IS NOT NULL AS known FROM comm_audit_log WHERE action = 'send'")
    assert [row["source"] for row in people] == ["test"]
    assert {(row["recipient"], row["status"], row["template_id"]) for row in jobs} == {
        ("me@example.org", "PENDING", one.id)
    }
    assert len(jobs) == 2
    assert {(row["actor"], row["known"]) for row in sent} == {("admin@example.org", True)}


def test_a_test_to_no_address_is_refused_at_the_field(admin: Visitor) -> None:
    one = written(replace(WANTED, channel=Channel.EMAIL, subject="Your appointment"))
    answer = admin.post(f"{PATH}/{one.id}/test", address="nobody")
    assert answer.status_code == 400
    assert re.search(r'id="address"[^>]*aria-invalid="true"', answer.text)
    assert count("SELECT 1 FROM comm_jobs") == 0
    assert count("SELECT 1 FROM patients") == 0


def test_in_a_browser_writing_shows_what_a_patient_gets(site: Site) -> None:
    with connected():
        ensure_standard_templates()
        first = next(each for each in templates.every_template() if each.language == "en")
    page = site.signed_in("admin")
    page.goto(f"{site.url}{PATH}")
    expect(page.get_by_role("heading", name="Templates")).to_be_visible()
    assert violations(page) == []
    page.goto(f"{site.url}{PATH}/{first.id}")
    expect(page.get_by_role("heading", name="As a patient gets it")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_role("heading", name="Preview")).to_be_visible()
    body = page.get_by_role("textbox", name="Text", exact=True).first
    body.fill(body.input_value().replace("Hello", "Good day"))
    expect(page.locator("#preview")).to_contain_text("Good day Sam")
    assert violations(page) == []
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("status").filter(has_text="Version 2 is written")).to_be_visible()
    page.get_by_role("link", name="What changed since version 1").click()
    expect(page.locator("ins").first).to_contain_text("Good day")
    assert violations(page) == []


def test_in_a_browser_the_preview_has_what_was_written_before_its_script_was_there(site: Site) -> None:
    with connected():
        ensure_standard_templates()
        first = next(each for each in templates.every_template() if each.language == "en")
    page = site.signed_in("admin")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/comm_templates.js*", hold)
    page.goto(f"{site.url}{PATH}/{first.id}/edit", wait_until="commit")
    body = page.get_by_role("textbox", name="Text", exact=True).first
    body.fill(body.input_value().replace("Hello", "Good day"))
    until(lambda: page.title() and held, what="the script is asked for")
    held[0].continue_()
    expect(page.locator("#preview")).to_contain_text("Good day Sam")
