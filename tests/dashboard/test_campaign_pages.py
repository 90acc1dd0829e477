"""The campaigns' pages: the list, writing one with and without scripts, the preview and its start, one with its figures."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.systems.outreach.campaigns import lifecycle, store
from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import campaign_samples as samples
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.test_plans import read_whole, statements
from tests.outreach.builders import STAFF

PATH = "/outreach/campaigns"
TEXT = "campaign_education:walking"


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    visitor = dash.as_("admin")
    visitor.get(PATH)
    return visitor


def form(segment_id: Any, **changes: Any) -> dict[str, Any]:
    """The editor's fields with one step; names with _ for each dot."""
    return {
        "name": "Walking in spring",
        "segment_id": str(segment_id),
        "timezone": "America/New_York",
        "overlap": "refuse",
        "control_percent": "0",
        "goal": "answered",
        "minimum": "200",
        **step(0, "first", days="0", name="First letter"),
        **changes,
    }


def step(at: int, key: str, *, text: str = TEXT, **values: str) -> dict[str, str]:
    fields = {
        "key": key,
        "name": "",
        "after": "",
        "days": "3",
        "hours": "0",
        "minutes": "0",
        "text": text,
        "channel": "",
    }
    return {f"steps.{at}.{name}": value for name, value in {**fields, **values}.items()}


def names_of_steps(text: str) -> list[str]:
    return re.findall(r'name="steps\.\d+\.name"[^>]*value="([^"]*)"', text)


def test_an_empty_list_teaches_and_shows_who_may_write(dash: Dashboard, admin: Visitor) -> None:
    text = admin.get(PATH).text
    assert "No campaign yet" in text
    assert f'href="{PATH}/new"' in text
    assert "Emergency stop" not in text
    seen = dash.as_("viewer").get(PATH).text
    assert "Somebody with the role admin can write one." in seen
    assert f"{PATH}/new" not in seen


def test_the_list_shows_a_status_and_how_far_each_is(admin: Visitor) -> None:
    samples.text()
    patients = samples.readers(4)
    segment = samples.segment()
    one = samples.started(samples.draft(segment))
    samples.expanded(one, patients=4)
    samples.counted(one, "first", sent=2, delivered=2, replied=1)
    other = samples.draft(segment, name="Swimming in summer")
    text = admin.get(PATH).text
    assert f'href="{PATH}/{one.id}"' in text
    assert f'href="{PATH}/{other.id}/preview"' in text
    assert 'aria-label="First message sent: 50 %"' in text
    assert "<strong>4</strong> patients · <strong>2</strong> sent · <strong>1</strong> answered" in text
    assert len(patients) == 4
    only = admin.get(f"{PATH}?status=draft").text
    assert "Swimming in summer" in only
    assert "Walking in spring" not in only


def test_a_campaign_is_written_by_buttons_that_keep_nothing(admin: Visitor) -> None:
    samples.text()
    segment = samples.segment()
    one = form(segment)
    text = admin.post(f"{PATH}/new", do="add-step", **one).text
    assert names_of_steps(text) == ["First letter", ""]
    assert 'value="step-1"' in text
    two = {**one, **step(1, "step-1", name="Once more")}
    text = admin.post(f"{PATH}/new", do="add-condition.1", **two).text
    assert 'name="steps.1.conditions.0.is"' in text
    two |= {"steps.1.conditions.0.step": "first", "steps.1.conditions.0.is": "not_opened"}
    assert names_of_steps(admin.post(f"{PATH}/new", do="up-step.1", **two).text) == ["Once more", "First letter"]
    assert names_of_steps(admin.post(f"{PATH}/new", do="remove-step.0", **two).text) == ["Once more"]
    assert 'name="steps.1.conditions.0.is"' not in admin.post(f"{PATH}/new", do="remove-condition.1.0", **two).text
    for nonsense in ("remove-step.9", "up-step.x", "add-condition", "dance.1", ""):
        assert names_of_steps(admin.post(f"{PATH}/new", do=nonsense, **two).text) == ["First letter", "Once more"]
    assert samples.every_campaign() == []
    answer = admin.post(f"{PATH}/new", do="save", **two)
    assert answer.status_code == 303, answer.text
    (made,) = samples.every_campaign()
    assert answer.location == f"{PATH}/{made.id}/preview"
    assert [(each.name, each.after, each.offset.days) for each in made.plan.steps] == [
        ("First letter", None, 0),
        ("Once more", "first", 3),
    ]
    assert [(each.step, each.holds) for each in made.plan.steps[1].conditions] == [("first", "not_opened")]


def test_the_chosen_texts_say_which_values_and_variants_there_are(admin: Visitor) -> None:
    samples.text()
    samples.text(Channel.SMS)
    segment = samples.segment()
    text = admin.post(f"{PATH}/new", do="refresh", **form(segment)).text
    assert "walking: e-mail (English), SMS (English)" in text
    assert 'placeholder="Begin with ten minutes."' in text
    assert re.findall(r'name="variants\.\d+\.key" value="(\w+)"', text) == ["A", "B"]
    values = {
        "steps.0.variables.0.name": "tip",
        "steps.0.variables.0.value": "Take a friend along.",
        "variants.0.key": "A",
        "variants.0.weight": "70",
        "variants.1.key": "B",
        "variants.1.weight": "30",
        "goal": "clicked",
        "minimum": "50",
        "per_week": "2",
        "exits.answered": "on",
        "control_percent": "10",
        "language_fallback": "on",
        "start_date": samples.in_days(2),
        "end_date": samples.in_days(30),
    }
    answer = admin.post(f"{PATH}/new", do="save", **form(segment, **values))
    assert answer.status_code == 303, answer.text
    (made,) = samples.every_campaign()
    assert made.plan.steps[0].variables == {"tip": "Take a friend along."}
    assert (made.plan.variants.shares, made.plan.variants.goal) == ((("A", 70), ("B", 30)), "clicked")
    assert (made.plan.per_week, made.plan.exits, made.control_percent) == (2, frozenset({"answered"}), 10)
    assert made.language_fallback
    again = admin.get(f"{PATH}/{made.id}/edit").text
    for kept in ('value="Take a friend along."', 'value="70"', f'value="{samples.in_days(30)}"'):
        assert kept in again
    assert "Take a friend along." in admin.get(f"{PATH}/{made.id}/preview").text


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"name": " "}, "name", "A name of 1 to 255 characters is needed"),
        ({"segment_id": "x"}, "segment_id", "Choose who is meant"),
        ({"steps.0.text": "campaign_education:none"}, "steps-0-text", "No active text of none"),
        ({"steps.0.days": "many"}, "steps-0-days", "It is a whole number"),
        ({"steps.1.after": "again"}, "steps-1-after", "not for itself"),
        (
            {"steps.1.conditions.0.step": "again", "steps.1.conditions.0.is": "sent"},
            "steps-1-conditions-0-step",
            "itself",
        ),
        (
            {"steps.1.conditions.0.step": "first", "steps.1.conditions.0.is": "liked"},
            "steps-1-conditions-0-is",
            "one of",
        ),
        ({"start_date": "2027-02-01", "end_date": "2027-01-01"}, "end_date", "It ends before it begins"),
        ({"start_date": "soon"}, "start_date", "A day is such as"),
        ({"timezone": "Mars/Base"}, "timezone", ""),
        ({"control_percent": "90"}, "control_percent", "0 to 50"),
        ({"per_week": "0"}, "per_week", "It is a whole number from 1"),
        ({"variants.0.key": "A", "variants.0.weight": "5"}, "variants", "Two to ten texts"),
    ],
)
def test_what_is_wrong_is_said_at_its_place_and_nothing_is_kept(
    admin: Visitor, changes: dict[str, str], place: str, said: str
) -> None:
    samples.text()
    answer = admin.post(f"{PATH}/new", do="save", **{**form(samples.segment()), **step(1, "again"), **changes})
    assert answer.status_code == 400
    assert f'<a href="#{place}">' in answer.text
    assert f'id="{place}-fault"' in answer.text
    assert re.search(rf'id="{place}"|aria-describedby="{place}-fault', answer.text)
    assert said in answer.text
    assert samples.every_campaign() == []


def test_a_change_never_overwrites_anothers_and_nothing_changes_what_has_begun(admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    segment = samples.segment()
    one = samples.draft(segment)
    mine = form(segment, name="Mine", based_on=str(one.version))
    assert admin.post(f"{PATH}/{one.id}/edit", do="save", **mine).status_code == 303
    late = admin.post(f"{PATH}/{one.id}/edit", do="save", **{**mine, "name": "Theirs"})
    assert late.status_code == 409
    assert "Somebody wrote version 2 in the meantime" in late.text
    assert 'value="Theirs"' in late.text
    assert samples.stored(one.id).name == "Mine"
    samples.started(samples.stored(one.id))
    assert admin.get(f"{PATH}/{one.id}/edit").location == f"{PATH}/{one.id}"
    assert admin.post(f"{PATH}/{one.id}/edit", do="save", **{**mine, "based_on": "2"}).status_code == 409


def test_the_preview_shows_whom_when_and_what_and_starts_nothing(dash: Dashboard, admin: Visitor) -> None:
    samples.text()
    samples.readers(5)
    one = samples.draft(samples.segment(), control_percent=20)
    text = admin.get(f"{PATH}/{one.id}/preview").text
    assert "Begins for <strong>5 patients</strong>" in text
    assert "A walk a day does you good." in text
    assert "How are you today? A walk helps." in text
    assert "“First letter” was not answered" in text
    assert '<table class="plain-table"><caption class="sr">Messages planned for each day' in text
    assert samples.stored(one.id).status == "draft"
    seen = dash.as_("viewer").get(f"{PATH}/{one.id}/preview").text
    assert "Somebody with the role admin can start it." in seen


def test_it_starts_with_the_number_of_patients_typed_and_as_it_was_looked_at(admin: Visitor) -> None:
    samples.text()
    samples.readers(5)
    segment = samples.segment()
    one = samples.draft(segment)
    admin.get(f"{PATH}/{one.id}/preview")
    looked: dict[str, Any] = {"based_on": str(one.version), "audience": "5"}
    for typed in ("", "4", "five", "-5"):
        refused = admin.post(f"{PATH}/{one.id}/start", number=typed, **looked)
        assert refused.status_code == 400
        assert "Type the number of patients" in refused.text
    assert admin.post(f"{PATH}/{one.id}/start").status_code == 400
    with connected():
        store.change(one.id, store.input_of(one), based_on=1, asker=STAFF)
    late = admin.post(f"{PATH}/{one.id}/start", number="5", **looked)
    assert (late.status_code, samples.stored(one.id).status) == (409, "draft")
    assert "Somebody changed it in the meantime" in late.text
    begun = admin.post(f"{PATH}/{one.id}/start", number="5", **{**looked, "based_on": "2"})
    assert (begun.status_code, begun.location) == (303, f"{PATH}/{one.id}")
    assert samples.stored(one.id).status == "active"
    assert admin.get(f"{PATH}/{one.id}/preview").location == f"{PATH}/{one.id}"
    again = admin.post(f"{PATH}/{one.id}/start", number="5", follow=True, **looked)
    assert "nothing was begun twice" in again.text


def test_what_keeps_it_from_starting_leads_to_its_place(admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    rules = [{"field": "active", "operator": "=", "value": False}]
    nobody = samples.segment("Nobody", {"combinator": "and", "rules": rules})
    one = samples.draft(nobody)
    text = admin.get(f"{PATH}/{one.id}/preview").text
    assert f'href="{PATH}/{one.id}/edit#segment_id"' in text
    assert "Type the number" not in text


def test_the_moves_ask_for_a_reason_and_everybody_sees_it(dash: Dashboard, admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    one = samples.started(samples.draft(samples.segment()))
    support = dash.as_("support")
    support.get(f"{PATH}/{one.id}")
    support.post(f"{PATH}/{one.id}/pause", reason=" ")
    assert samples.stored(one.id).status == "active"
    text = support.post(f"{PATH}/{one.id}/pause", reason="a wrong telephone number", follow=True).text
    assert samples.stored(one.id).status == "paused"
    assert "Paused: nothing of it leaves" in text
    assert "“a wrong telephone number”" in text
    assert support.post(f"{PATH}/{one.id}/resume", reason="mended").status_code == 403
    admin.post(f"{PATH}/{one.id}/resume", reason="mended")
    assert samples.stored(one.id).status == "active"
    assert "Nothing changed" in admin.post(f"{PATH}/{one.id}/resume", reason="again", follow=True).text
    text = admin.post(f"{PATH}/{one.id}/stop", reason="not needed any more", follow=True).text
    assert samples.stored(one.id).status == "completed"
    assert "Stopped for good" in text
    assert re.findall(r"<p><strong>(\w[^<]*)</strong> “([^”]*)”", text)[:3] == [
        ("Stopped for good", "not needed any more"),
        ("Resumed", "mended"),
        ("Paused", "a wrong telephone number"),
    ]


def test_the_emergency_stop_pauses_everything_where_the_word_was_typed(dash: Dashboard, admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    segment = samples.segment()
    both = [samples.started(samples.draft(segment, name=name, overlap="allow")) for name in ("One", "Two")]
    support = dash.as_("support")
    assert "2 active campaigns are paused at once." in support.get(PATH).text
    for wrong in ({"word": "stop", "reason": "x"}, {"word": "", "reason": "x"}, {"word": "STOP", "reason": ""}):
        assert "Nothing was stopped" in support.post(f"{PATH}/stop-everything", follow=True, **wrong).text
    assert {samples.stored(each.id).status for each in both} == {"active"}
    text = support.post(f"{PATH}/stop-everything", word="STOP", reason="a wrong link", follow=True).text
    assert "2 campaigns are paused." in text
    assert {samples.stored(each.id).status for each in both} == {"paused"}
    assert (
        "No campaign was active" in support.post(f"{PATH}/stop-everything", word="STOP", reason="x", follow=True).text
    )


def test_one_campaign_shows_what_became_of_each_step(admin: Visitor) -> None:
    samples.text()
    patients = samples.readers(6)
    one = samples.started(samples.draft(samples.segment(), control_percent=10))
    samples.expanded(one, patients=6)
    samples.lines(one, "first", "MADE", patients[:3])
    samples.lines(one, "first", "WAITING", patients[3:5])
    samples.lines(one, "first", "HELD_OUT", patients[5:], reason="CONTROL")
    samples.lines(one, "again", "SKIPPED", patients[:2], reason="EXIT_ANSWERED")
    samples.counted(one, "first", sent=3, delivered=3, opened=2, clicked=1, replied=2)
    text = admin.get(f"{PATH}/{one.id}").text
    first, again = text.split('class="plan-step"')[1:3]
    states = [int(number) for number in re.findall(r"<dd>(\d+)</dd>", first)]
    assert states == [2, 3, 0]
    assert "Sent: 3; Delivered: 3; Opened: 2; Link opened: 1; Answered: 2." in first
    assert "Left before: the patient answered a message of it: 2" in again
    assert "Nothing of this step was sent yet." in again
    assert "Control group" in text


def test_a_winner_is_offered_only_where_the_test_says_so(admin: Visitor) -> None:
    samples.text()
    samples.readers(2)
    shares = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}], "goal": "answered", "minimum": 100}
    one = samples.started(samples.draft(samples.segment(), ab_variants=shares))
    text = admin.get(f"{PATH}/{one.id}").text
    assert "Too few yet" in text
    assert "Take the winner" not in text
    refused = admin.post(f"{PATH}/{one.id}/winner", variant="A", follow=True)
    assert "Nothing changed" in refused.text
    assert samples.stored(one.id).winner is None


def test_the_report_is_taken_as_a_file_and_that_is_kept(dash: Dashboard, admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    one = samples.started(samples.draft(samples.segment(), name="=2+2"))
    samples.counted(one, "first", sent=7)
    auditor = dash.as_("auditor")
    auditor.get(f"{PATH}/{one.id}")
    answer = auditor.post(f"{PATH}/{one.id}/export")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert {row["campaign"] for row in rows} == {"'=2+2"}
    sent = [row["value"] for row in rows if (row["step"], row["about"], row["figure"]) == ("first", "messages", "sent")]
    assert sent == ["7"]
    assert samples.actions("export")[-1]["detail"]["campaign_id"] == str(one.id)
    assert "Report taken as a file" in admin.get(f"{PATH}/{one.id}").text


def test_a_copy_is_a_new_draft(admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    one = samples.started(samples.draft(samples.segment()))
    answer = admin.post(f"{PATH}/{one.id}/copy")
    made = next(each for each in samples.every_campaign() if each.id != one.id)
    assert answer.location == f"{PATH}/{made.id}/edit"
    assert (made.status, made.name) == ("draft", "Walking in spring (copy)")


def test_a_message_and_its_patients_story_lead_to_the_campaign(admin: Visitor) -> None:
    samples.text()
    (patient_id,) = samples.readers(1)
    one = samples.draft(samples.segment())
    job = patient_rows.moved(patient_id, "SENT", campaign_id=one.id)
    for page in (f"/outreach/patients/{patient_id}", f"/dispatches/comm_job/{job}"):
        assert f'href="{PATH}/{one.id}"' in admin.get(page).text


def test_the_pages_walk_indexes(admin: Visitor) -> None:
    samples.text()
    samples.readers(1)
    segment = samples.segment()
    one, other = samples.started(samples.draft(segment)), samples.draft(segment, name="Next")
    with connected():
        lifecycle.pause(one.id, asker=STAFF, reason="a look")
        execute("ANALYZE")
    bad = []
    for address in (PATH, f"{PATH}?status=paused", f"{PATH}/{one.id}", f"{PATH}/{other.id}/edit", f"{PATH}/new"):
        with statements() as asked:
            assert admin.get(address).status_code == 200, address
        bad += [(address, table, sql) for sql, parameters in asked for table in read_whole(sql, parameters)]
    assert bad == []
