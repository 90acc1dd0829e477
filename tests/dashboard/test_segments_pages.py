"""The pages of segments: the list, the builder without scripts and with, what is wrong where it is, whom a draft means."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Page, expect
from werkzeug.test import TestResponse

from dashboard.segment_draft import shown
from dashboard.segment_look import MODE_WORDS
from dashboard.segment_starters import STARTERS
from dashboard.segment_words import sentence
from dispatchlog.engine.database import connected
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import fields, rules, store
from dispatchlog.systems.outreach.segments.store import Segment, SegmentInput
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.form_fields import buttons_of, fields_of
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_browser_outreach import wide
from tests.outreach.builders import STAFF, appointment, organization, patient, rows

__all__ = ["chromium", "site"]  # fixtures

PATH = "/outreach/segments"
NOW = datetime.now(UTC)


def rule(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def every(*given: dict[str, Any], word: str = "and", negated: bool = False) -> dict[str, Any]:
    return {"combinator": word, "not": negated, "rules": list(given)}


def match(field: str, group: dict[str, Any], mode: str = "some", **threshold: int) -> dict[str, Any]:
    return {"field": field, "operator": "", "match": {"mode": mode, **threshold}, "value": group}


TAGGED = every(rule("tags", "contains", "diabetes"))
THREE_LEVELS = every(
    rule("age", ">=", 65),
    every(
        rule("language", "in", ["es", "pt"]),
        every(
            rule("active", "=", True),
            match("messages", every(rule("sent", "inLast", {"amount": 30, "unit": "days"})), "none"),
        ),
        word="or",
        negated=True,
    ),
    match("appointments", every(rule("status", "in", ["cancelled", "no_show"])), "atLeast", threshold=2),
)


class Builder:
    """The builder's form as somebody without scripts uses it."""

    def __init__(self, visitor: Visitor, path: str = f"{PATH}/new") -> None:
        self.visitor = visitor
        self.path = path
        self.seen(visitor.get(path))

    def seen(self, answer: TestResponse) -> None:
        self.answer = answer
        if answer.mimetype == "text/html":
            self.fields = fields_of(answer.text, "segment")

    def press(self, act: str, **given: str | list[str]) -> TestResponse:
        """Enter these, press the button, and see what comes; a name's dots are written as two underscores."""
        for name, value in given.items():
            self.fields[name.replace("__", ".")] = [value] if isinstance(value, str) else value
        if act not in ("save-over",):
            assert act in buttons_of(self.answer.text, "segment") or act == "look", act
        self.seen(self.visitor.client.post(self.path, data={**self.fields, "act": act}))
        return self.answer

    @property
    def document(self) -> Any:
        return json.loads(self.fields["json"][0])


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    return dash.as_("admin")


def written(name: str = "Diabetes", document: dict[str, Any] | None = None, **values: Any) -> Segment:
    with connected():
        return store.create(SegmentInput(name, TAGGED if document is None else document, **values), asker=STAFF)


def stored(segment_id: UUID) -> Segment:
    with connected():
        return store.segment(segment_id)


def number() -> int:
    return len(rows("SELECT 1 FROM patient_segments"))


def test_a_segment_is_written_without_scripts(admin: Visitor) -> None:
    patient(tags=["diabetes"], language="es")
    patient(tags=["diabetes"], language="en")
    builder = Builder(admin)
    builder.press("add-rule@all", name="Spanish speakers with diabetes")
    builder.press("look", all__rules__0__field="tags")
    builder.press("add-group@all", all__rules__0__value="diabetes")
    builder.press("look", all__rules__1__rules__0__field="language")
    answer = builder.press("look", all__rules__1__join="or", all__rules__1__rules__0__value="es")
    assert "<strong>1</strong> patient</p>" in answer.text
    assert "Patients who are tagged diabetes and speak Spanish." in answer.text
    assert number() == 0
    saved = builder.press("save")
    assert saved.status_code == 303, saved.text
    (row,) = rows("SELECT id, name, rules, patient_count, created_by FROM patient_segments")
    assert row["rules"] == every(rule("tags", "contains", "diabetes"), every(rule("language", "=", "es"), word="or"))
    assert (row["name"], row["patient_count"], row["created_by"]) == (
        "Spanish speakers with diabetes",
        1,
        "admin@example.org",
    )
    assert saved.headers["Location"] == f"{PATH}/{row['id']}"


def test_a_field_decides_how_it_can_be_asked_and_what_the_value_is(admin: Visitor) -> None:
    clinic = organization(name="Riverside Clinic")
    other = written("Others")
    builder = Builder(admin)
    builder.press("add-rule@all")
    at = "all.rules.0"
    for field, operator, control in (
        ("age", "between", r'name="{}\.value\.low"'),
        ("gender", "in", r'type="checkbox"[^>]* name="{}\.value" value="female"'),
        ("registered", "inLast", r'name="{}\.value\.amount"'),
        ("registered", "on", r'name="{}\.value"[^>]*type="date"'),
        ("active", "=", r'<select id="{}\.value"[^>]*><option value="true"'),
        ("organization", "=", rf'<select id="{{}}\.value".*<option value="{clinic}">Riverside Clinic'),
        ("segment", "=", rf'<select id="{{}}\.value".*<option value="{other.id}">Others'),
        ("language", "null", r'name="{}\.shape" value="none"'),
    ):
        builder.press("look", **{f"{at}.field": field})
        builder.press("look", **{f"{at}.operator": operator})
        assert re.search(control.format(re.escape(at)), builder.answer.text), (field, operator)
    assert builder.document["rules"] == [rule("language", "null", None)]


def test_things_of_which_there_are_several_are_counted_with_rules_of_their_own(admin: Visitor) -> None:
    for visits in (1, 2):
        person = patient()
        for _ in range(visits):
            appointment(person, starts_at=NOW - timedelta(days=3), status="no_show")
    builder = Builder(admin)
    builder.press("add-rule@all", name="Missed two")
    builder.press("look", **{"all.rules.0.field": "appointments"})
    builder.press("look", **{"all.rules.0.mode": "atLeast"})
    builder.press("add-rule@all.rules.0.value", **{"all.rules.0.threshold": "2"})
    inner = "all.rules.0.value.rules.0"
    assert "age" not in re.findall(rf'id="{re.escape(inner)}\.field".*?</select>', builder.answer.text, re.DOTALL)[0]
    builder.press("look", **{f"{inner}.field": "status"})
    answer = builder.press("look", **{f"{inner}.value": "no_show"})
    assert "<strong>1</strong> patient</p>" in answer.text
    assert "Patients who have at least 2 appointments marked as missed." in answer.text
    assert builder.press("save").status_code == 303
    (row,) = rows("SELECT rules FROM patient_segments")
    assert row["rules"] == every(match("appointments", every(rule("status", "=", "no_show")), "atLeast", threshold=2))


def test_every_stored_document_comes_back_as_it_was(admin: Visitor) -> None:
    one = written(document=THREE_LEVELS)
    builder = Builder(admin, f"{PATH}/{one.id}")
    assert builder.document == THREE_LEVELS
    assert builder.press("save").status_code == 303
    assert stored(one.id).rules == THREE_LEVELS
    assert stored(one.id).version == 2


def test_rules_are_copied_left_out_and_removed(admin: Visitor) -> None:
    patient(tags=["diabetes"])
    builder = Builder(admin, f"{PATH}/{written().id}")
    builder.press("copy@all.rules.0")
    assert builder.document == every(*TAGGED["rules"], *TAGGED["rules"])
    builder.press("look", **{"all.rules.1.value": "asthma"})
    assert "<strong>0</strong> patients" in builder.answer.text
    builder.press("off@all.rules.1")
    assert builder.document["rules"][1]["disabled"] is True
    assert "<strong>1</strong> patient</p>" in builder.answer.text
    builder.press("off@all.rules.1")
    assert "disabled" not in builder.document["rules"][1]
    builder.press("remove@all.rules.0")
    assert builder.document == every(rule("tags", "contains", "asthma"))
    builder.press("remove@all.rules.0")
    assert "All patients." in builder.answer.text


def test_what_is_unfinished_is_not_counted_and_cannot_be_saved(admin: Visitor) -> None:
    patient(tags=["diabetes"])
    builder = Builder(admin, f"{PATH}/{written().id}")
    builder.press("add-rule@all")
    answer = builder.press("look", **{"all.rules.1.field": "age"})
    assert "<strong>1</strong> patient</p>" in answer.text
    assert "1 rule is not finished and not counted." in answer.text
    assert 'aria-invalid="true"' not in answer.text
    refused = builder.press("save")
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
    assert '<a href="#all.rules.1.value">Rule 2: Say which.</a>' in refused.text
    assert re.search(r'id="all\.rules\.1\.value"[^>]*aria-invalid="true"', refused.text)


@pytest.mark.parametrize(
    ("document", "given", "control", "words"),
    [
        (every(rule("age", "=", 5)), {"value": "old"}, "all.rules.0.value", "whole number"),
        (every(rule("age", "=", 5)), {"value": "900"}, "all.rules.0.value", "from 0 to 150"),
        (every(rule("age", "between", [5, 6])), {"value.low": "9"}, "all.rules.0.value", "above the second"),
        (every(rule("registered", "on", "2026-03-31")), {"value": "2026-02-30"}, "all.rules.0.value", "no such day"),
        (
            every(rule("registered", "inLast", {"amount": 3, "unit": "days"})),
            {"value.amount": "some"},
            "all.rules.0.value",
            "whole number",
        ),
        (every(rule("gender", "=", "male")), {"value": "blue"}, "all.rules.0.value", "no such value"),
        (
            every(match("messages", every(), "atLeast", threshold=2)),
            {"threshold": "lots"},
            "all.rules.0.threshold",
            "whole",
        ),
    ],
)
def test_a_wrong_value_is_said_at_its_place_and_nothing_is_kept(
    admin: Visitor, document: dict[str, Any], given: dict[str, str], control: str, words: str
) -> None:
    one = written(document=document)
    builder = Builder(admin, f"{PATH}/{one.id}")
    entered = {f"all.rules.0.{name}": value for name, value in given.items()}
    for act, status in (("look", 200), ("save", 400)):
        answer = builder.press(act, **entered)
        assert answer.status_code == status
        said = re.search(rf'id="{re.escape(control)}-fault" data-fault>([^<]*)', answer.text)
        assert said is not None
        assert words in said.group(1)
        assert re.search(rf'role="alert".*href="#{re.escape(control)}"', answer.text, re.DOTALL)
        assert f'id="{control}"' in answer.text
        assert {name: builder.fields[name] for name in entered} == {name: [value] for name, value in entered.items()}
    assert stored(one.id).version == 1


def test_a_rule_deep_inside_is_marked_where_it_stands(admin: Visitor) -> None:
    builder = Builder(admin, f"{PATH}/{written(document=THREE_LEVELS).id}")
    at = "all.rules.1.rules.1.rules.1.value.rules.0.value"
    answer = builder.press("look", **{f"{at}.amount": "0"})
    assert f'<a href="#{at}">Rule 2.2.2.1: 1 to 3650 days.</a>' in answer.text


def test_what_others_saved_meanwhile_is_not_overwritten_unasked(admin: Visitor) -> None:
    one = written()
    mine, theirs = Builder(admin, f"{PATH}/{one.id}"), Builder(admin, f"{PATH}/{one.id}")
    assert theirs.press("save", name="Theirs").status_code == 303
    late = mine.press("save", name="Mine")
    assert late.status_code == 409
    assert "it has version 2 now" in late.text
    assert mine.fields["name"] == ["Mine"]
    assert stored(one.id).name == "Theirs"
    assert mine.press("save-over").status_code == 303
    assert (stored(one.id).name, stored(one.id).version) == ("Mine", 3)


def test_a_name_is_needed_once(admin: Visitor) -> None:
    written("Diabetes")
    for name, words in (
        ("", "A name is 1 to 255 characters."),
        ("diabetes", "A segment of this name is there already."),
    ):
        builder = Builder(admin)
        refused = builder.press("save", name=name)
        assert refused.status_code == 400
        assert re.search(r'id="name"[^>]*aria-invalid="true" aria-describedby="name-fault"', refused.text)
        assert words in refused.text
    assert number() == 1


def test_segments_that_would_mean_each_other_are_refused_at_the_rule(admin: Visitor) -> None:
    one = written("One")
    two = written("Two", every(rule("segment", "=", str(one.id))))
    builder = Builder(admin, f"{PATH}/{one.id}")
    builder.press("add-rule@all")
    builder.press("look", **{"all.rules.1.field": "segment"})
    answer = builder.press("save", **{"all.rules.1.value": str(two.id)})
    assert answer.status_code == 400
    assert re.search(r'href="#all\.rules\.1\.(value|field)">Rule 2: These segments would mean each other', answer.text)
    assert stored(one.id).version == 1


def test_a_document_is_pasted_and_read(admin: Visitor) -> None:
    builder = Builder(admin)
    pasted = {**THREE_LEVELS, "id": "root"}
    builder.press("read-json", json=json.dumps(pasted))
    assert builder.document == THREE_LEVELS
    for text, words in (
        ("{", "no JSON"),
        ("[" * 5_000, "no JSON"),
        (
            '{"combinator":"and","rules":[{"field":"name","operator":"=","value":"x"}]}',
            "rules[0].field: There is no such",
        ),
        ('{"combinator":"and","rules":[{"field":"age","operator":"=","value":"x"}]}', "rules[0].value: A whole number"),
    ):
        answer = builder.press("read-json", json=text)
        assert words in answer.text
        assert builder.fields["all.rules.0.field"] == ["age"]
        assert builder.fields["json"] == [text]


def test_a_document_with_odd_things_left_out_is_shown_all_the_same(admin: Visitor) -> None:
    odd: list[dict[str, Any]] = [
        {"disabled": True, "rules": 5},
        {"muted": True, "field": ["x"]},
        {"disabled": True, **rule("age", "=", 5)},
    ]
    one = written(document=every(*odd, rule("age", "<", 9)))
    builder = Builder(admin, f"{PATH}/{one.id}")
    assert builder.document == every({**rule("age", "=", 5), "disabled": True}, rule("age", "<", 9))


@pytest.mark.parametrize(
    "data",
    [
        {"all.rules.99999999999999999999.field": "age"},
        {"all.rules.0.value.rules.0.value.rules.0.field": "age", "all.rules.0.field": "messages"},
        {"all.rules.x.field": "age", "all.join": "<script>"},
        {"act": "remove@all.rules.7"},
        {"act": "add-rule@all.rules.0.value.rules"},
        {"act": "copy@" + "all.rules.0" * 400},
        {"act": "off@nothing", "based_on": "-1", "organization": "x"},
    ],
)
def test_a_form_that_no_page_sent_changes_nothing(admin: Visitor, data: dict[str, Any]) -> None:
    one = written()
    admin.get(f"{PATH}/{one.id}")
    assert admin.post(f"{PATH}/{one.id}", **data).status_code == 200
    assert admin.post(f"{PATH}/new", **data).status_code == 200
    assert stored(one.id).version == 1


def test_far_too_much_is_refused(admin: Visitor) -> None:
    admin.get(f"{PATH}/new")
    deep: dict[str, Any] = {"all" + ".rules.0" * 60 + ".field": "age"}
    assert admin.post(f"{PATH}/new", **deep).status_code == 413
    many: dict[str, Any] = {f"all.rules.{at}.field": "age" for at in range(3_000)}
    assert admin.post(f"{PATH}/new", **many).status_code == 413


def test_the_sample_shows_ids_and_no_names(dash: Dashboard, admin: Visitor) -> None:
    person = patient(name="Robin Example", tags=["diabetes"])
    one = written()
    text = Builder(admin, f"{PATH}/{one.id}").press("look").text
    assert f'href="/outreach/patients/{person}" title="{person}">{str(person)[:8]}…' in text
    seen = dash.as_("viewer").get(f"{PATH}/{one.id}?sample=1").text
    assert f'href="/outreach/patients/{person}"' in seen
    assert "Robin" not in text + seen


def test_a_clinics_segment_means_its_patients(admin: Visitor) -> None:
    clinic = organization(name="Riverside Clinic")
    patient(organization_id=clinic, tags=["diabetes"])
    patient(tags=["diabetes"])
    builder = Builder(admin)
    answer = builder.press("look", name="Ours", organization=str(clinic))
    assert "<strong>1</strong> patient</p>" in answer.text
    assert builder.press("save").status_code == 303
    (row,) = rows("SELECT id, organization_id FROM patient_segments")
    assert row["organization_id"] == clinic
    assert "Patients of Riverside Clinic" in admin.get(f"{PATH}/{row['id']}").text


def test_whoever_may_not_write_reads_what_it_means(dash: Dashboard) -> None:
    one = written(document=THREE_LEVELS)
    viewer = dash.as_("viewer")
    text = viewer.get(f"{PATH}/{one.id}").text
    assert "Patients aged 65 or more who " in text
    assert "data-segment" not in text
    assert f"{PATH}/new" not in viewer.get(PATH).text
    for path in (f"{PATH}/{one.id}", f"{PATH}/{one.id}/archive", f"{PATH}/{one.id}/count", f"{PATH}/new"):
        assert viewer.post(path, act="save", name="x").status_code == 403
    assert stored(one.id).version == 1


def test_the_list_says_how_many_and_who_uses_it(admin: Visitor) -> None:
    assert "No segment yet" in admin.get(PATH).text
    patient(tags=["diabetes"])
    one = written(description="For the newsletter")
    written("Uses it", every(rule("segment", "=", str(one.id))))
    text = admin.get(PATH).text
    assert re.search(rf'href="{PATH}/{one.id}">Diabetes</a>.*?<strong>1</strong>.*?Uses it', text, re.DOTALL)
    assert "For the newsletter" in text
    assert "Uses it" in admin.get(f"{PATH}/{one.id}").text.split("Who uses it")[1]


def test_what_is_in_use_is_not_archived(admin: Visitor) -> None:
    one = written()
    two = written("Uses it", every(rule("segment", "=", str(one.id))))
    admin.get(f"{PATH}/{one.id}")
    refused = admin.post(f"{PATH}/{one.id}/archive")
    assert refused.status_code == 409
    assert "The segment is in use." in refused.text
    assert stored(one.id).is_active
    assert admin.post(f"{PATH}/{two.id}/archive").status_code == 303
    assert admin.post(f"{PATH}/{one.id}/archive").status_code == 303
    assert f"{PATH}/{one.id}" not in admin.get(PATH).text
    assert f"{PATH}/{one.id}" in admin.get(f"{PATH}?show=archived").text
    text = admin.get(f"{PATH}/{one.id}").text
    assert "Archived" in text
    assert "data-segment" not in text
    assert admin.post(f"{PATH}/{one.id}", act="save", name="x", based_on="2").status_code == 409


def test_the_stored_rules_are_counted_again(admin: Visitor) -> None:
    one = written()
    patient(tags=["diabetes"])
    admin.get(f"{PATH}/{one.id}")
    assert admin.post(f"{PATH}/{one.id}/count").status_code == 303
    assert stored(one.id).patient_count == 1


def test_another_one_begins_as_a_copy_or_with_usual_rules(admin: Visitor) -> None:
    one = written(document=THREE_LEVELS)
    builder = Builder(admin, f"{PATH}/new?like={one.id}")
    assert (builder.fields["name"], builder.document) == (["Diabetes (copy)"], THREE_LEVELS)
    assert admin.get(f"{PATH}/new?like={uuid4()}").status_code == 404
    assert admin.get(f"{PATH}/new?like=x").status_code == 404
    for key, (name, document) in STARTERS.items():
        builder = Builder(admin, f"{PATH}/new?like={key}")
        builder.path = f"{PATH}/new"
        assert builder.press("save").status_code == 303, key
        assert rows("SELECT rules FROM patient_segments WHERE name = %s", name)[0]["rules"] == document


def test_texts_are_shown_as_text(admin: Visitor) -> None:
    evil = "</textarea><script>alert(1)</script>"
    one = written(evil, every(rule("tags", "contains", evil)))
    for path in (PATH, f"{PATH}/{one.id}", f"{PATH}/new?like={one.id}"):
        assert "<script>alert(1)" not in admin.get(path).text


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (every(), "All patients."),
        (
            every(
                rule("age", ">=", 65),
                match("messages", every(rule("sent", "inLast", {"amount": 30, "unit": "days"})), "none"),
            ),
            "Patients aged 65 or more who were sent no message within the last 30 days.",
        ),
        (every(rule("age", "<", 18)), "Patients who are less than 18 years old."),
        (
            every(rule("language", "in", ["es", "pt"]), rule("has_email", "=", False), word="or"),
            "Patients who speak Spanish or Portuguese or have no e-mail address.",
        ),
        (
            every(rule("tags", "contains", "asthma"), rule("active", "=", True), word="or", negated=True),
            "Patients who neither are tagged asthma nor are active.",
        ),
        (
            every(rule("gender", "=", "female"), every(rule("age", ">", 40), rule("region", "=", "FL"), word="or")),
            "Patients who are female and (are more than 40 years old or live in the region FL).",
        ),
        (
            every(
                match(
                    "messages",
                    every(
                        rule("channel", "=", "sms"),
                        rule("sent", "inLast", {"amount": 1, "unit": "weeks"}),
                        rule("opened", "null", None),
                    ),
                    "atLeast",
                    threshold=3,
                )
            ),
            "Patients who were sent at least 3 messages by SMS, within the last 1 week and not opened.",
        ),
        (
            every(match("appointments", every(rule("starts", "inNext", {"amount": 12, "unit": "months"})), "none")),
            "Patients who have no appointment within the next 12 months.",
        ),
        (every({**rule("age", "=", 5), "disabled": True}), "All patients."),
    ],
)
def test_what_rules_mean_is_one_sentence(document: dict[str, Any], said: str) -> None:
    rules.parse(document)
    assert sentence(document, names={}) == said


def test_every_field_and_operator_can_be_shown_and_said() -> None:
    values = {
        "age": 5,
        "bucket": 5,
        fields.BOOLEAN: True,
        fields.INSTANT: "2026-03-31",
        fields.TEXT: "x",
        fields.SET: "x",
        **dict.fromkeys(fields.IDS, str(uuid4())),
    }
    spans, pairs, several = rule_kinds()

    def example(one: fields.Field, operator: str) -> Any:
        value = one.choices[0] if one.choices else values.get(one.name, values.get(one.kind))
        if operator in ("null", "notNull"):
            return None
        if operator in spans:
            return {"amount": 3, "unit": "days"}
        return [value, value] if operator in pairs | several else value

    def all_of(known: Any) -> list[dict[str, Any]]:
        return [rule(one.name, operator, example(one, operator)) for one in known for operator in one.operators]

    for each in all_of(fields.every_field()):
        check_said(every(each))
    for collection in fields.COLLECTIONS:
        for mode in fields.MODES:
            threshold = {"threshold": 2} if mode in ("atLeast", "atMost", "exactly") else {}
            for each in all_of(collection.fields):
                check_said(every(match(collection.name, every(each), mode, **threshold)))
    assert set(MODE_WORDS) == set(fields.MODES)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_in_a_browser_a_nested_segment_is_built_by_mouse_and_keyboard(site: Site, scheme: str, width: int) -> None:
    for language, tag in (("es", "diabetes"), ("en", "diabetes"), ("es", "asthma")):
        patient(language=language, tags=[tag])
    page = site.signed_in("admin", scheme=scheme, width=width)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{site.url}{PATH}")
    expect(page.get_by_role("heading", name="No segment yet")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="New segment").click()
    expect(page.locator("#count")).to_contain_text("3 patients")
    page.get_by_label("Name", exact=True).fill("Spanish speakers")
    page.get_by_role("button", name="Add rule to Outermost group").click()
    expect(page.get_by_label("Rule 1: what it asks")).to_be_focused()
    expect(page.locator("#said")).to_have_text("A rule was added.")
    page.get_by_label("Rule 1: what it asks").select_option("tags")
    page.get_by_label("Rule 1: value").fill("diabetes")
    expect(page.locator("#count")).to_contain_text("2 patients")
    expect(page.locator("#found")).to_contain_text("Patients who are tagged diabetes.")
    group = page.get_by_role("button", name="Add group to Outermost group")
    group.focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("Rule 2.1: what it asks")
    expect(field).to_be_focused()
    expect(page.locator("#count")).to_contain_text("1 rule is not finished")
    field.press("L")
    expect(page.get_by_label("Rule 2.1: how")).to_be_visible()
    expect(field).to_be_focused()
    page.get_by_label("Rule 2.1: value").fill("es")
    expect(page.locator("#count")).to_have_text("1 patient")
    build_wrongly_and_take_back(page)
    page.get_by_role("heading", name="As JSON").click()
    expect(page.get_by_label("Rules as JSON")).to_have_value(re.compile('"not": true'))
    assert violations(page) == []
    page.get_by_role("button", name="Save").click()
    expect(
        page.get_by_role("status").filter(has_text="“Spanish speakers” is written. It means 1 patient now.")
    ).to_be_visible()
    assert violations(page) == []
    page.goto(f"{site.url}{PATH}")
    expect(page.get_by_role("link", name="Spanish speakers")).to_be_visible()
    assert violations(page) == []
    assert not wide(page)
    assert wrong == []
    (row,) = rows("SELECT rules FROM patient_segments")
    assert row["rules"] == every(
        rule("tags", "contains", "diabetes"), every(rule("language", "=", "es"), word="or", negated=True)
    )


def build_wrongly_and_take_back(page: Page) -> None:
    page.get_by_label("Rule 2: how its rules count").select_option("not-or")
    expect(page.locator("#found")).to_contain_text("are not among those who speak Spanish")
    page.get_by_role("button", name="Add rule to Rule 2").click()
    page.get_by_label("Rule 2.2: what it asks").select_option("age")
    page.get_by_label("Rule 2.2: value").fill("old")
    expect(page.locator("#faults")).to_contain_text("Rule 2.2: A whole number is needed.")
    expect(page.get_by_label("Rule 2.2: value")).to_be_focused()
    expect(page.get_by_label("Rule 2.2: value")).to_have_value("old")
    assert violations(page) == []
    assert not wide(page)
    page.get_by_role("button", name="Remove: Rule 2.2").press("Enter")
    expect(page.get_by_label("Rule 2.2: what it asks")).to_have_count(0)
    expect(page.get_by_role("button", name="Add rule to Rule 2")).to_be_focused()


def rule_kinds() -> tuple[set[str], set[str], set[str]]:
    return (
        {"inLast", "notInLast", "olderThan", "inNext", "notInNext"},
        {"between", "notBetween"},
        {"in", "notIn", "containsAll"},
    )


def check_said(document: dict[str, Any]) -> None:
    try:
        rules.parse(document)
    except OutreachError as error:
        pytest.fail(f"{document}: {error.field} {error.message}")
    assert shown(document, fields.every_field()) == document
    said = sentence(document, names={})
    assert said.startswith("Patients who ")
    assert "{" not in said
    assert "  " not in said
