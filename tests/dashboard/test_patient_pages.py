"""What patients open by a link: a message, their choices, and stopping with one click; no session, no cookie, no trace."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from dashboard import throttle
from dashboard.patient_texts import LANGUAGES, WORDING_VERSION, texts_in
from dispatchlog.engine.database import connected
from dispatchlog.systems.outreach import consents
from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.outreach import builders
from tests.outreach.builders import EMAIL, PHONE, rows

SECRET = "Your results of Tuesday are in: <b>call us</b>."
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def patient_id(dash: Dashboard) -> UUID:
    return builders.patient(organization_id=builders.organization())


def form(page: str, **changes: Any) -> dict[str, Any]:
    """The form as a browser sends it back, with some boxes and fields changed; None: a box that is not ticked."""

    def values(name: str) -> list[str]:
        return re.findall(rf'name="{name}"[^>]* value="([^"]*)"', page)

    sent = {
        **dict.fromkeys(re.findall(r'type="checkbox" name="(\w+)" value="1" checked', page), "1"),
        **{name: values(name)[0] for name in ("quiet_start", "quiet_end", "language_shown")},
        **{name: values(name) for name in ("shown", "had")},
        "language": values("language_shown")[0],
        **changes,
    }
    return {name: value for name, value in sent.items() if value is not None}


def evidence(patient_id: UUID) -> list[dict[str, Any]]:
    return rows("SELECT * FROM comm_consents WHERE patient_id = %s ORDER BY id", patient_id)


def leaves_no_trace(answer: TestResponse) -> bool:
    headers = answer.headers
    assert "Set-Cookie" not in headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in headers["X-Robots-Tag"]
    assert headers["Cache-Control"] == "no-store"
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    return True


def test_a_message_is_shown_to_whoever_has_its_link(dash: Dashboard, patient_id: UUID) -> None:
    path = patient_rows.message_link(patient_id, patient_rows.planned(patient_id), SECRET)
    answer = dash.visitor().get(path)
    assert (answer.status_code, leaves_no_trace(answer)) == (200, True)
    assert "Your results of Tuesday are in: &lt;b&gt;call us&lt;/b&gt;." in answer.text
    assert "+1 202 555 0100" in answer.text
    assert [line["actor"] for line in rows("SELECT actor FROM comm_audit_log WHERE action = 'access'")] == ["patient"]


def test_what_is_over_unknown_or_of_another_kind_says_only_to_call(dash: Dashboard, patient_id: UUID) -> None:
    job = patient_rows.planned(patient_id)
    over = patient_rows.message_link(patient_id, job, SECRET, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    other_kind = patient_rows.preferences_link(patient_id).replace("/p/prefs/", "/p/")
    answers = {path: dash.visitor().get(path) for path in (over, "/p/" + "x" * 43, "/p/short", other_kind)}
    assert [answer.status_code for answer in answers.values()] == [410, 404, 404, 404]
    assert len({answer.text for answer in answers.values()}) == 1
    assert "call your clinic" in answers[over].text
    assert all(leaves_no_trace(answer) for answer in answers.values())


def test_the_page_of_a_dead_link_speaks_the_browsers_language(dash: Dashboard) -> None:
    answer = dash.visitor().get("/p/none", headers={"Accept-Language": "ar-EG,ar;q=0.9"})
    assert 'lang="ar" dir="rtl"' in answer.text


def test_too_many_unknown_links_have_to_wait_but_nobody_who_unsubscribes(
    dash: Dashboard, patient_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST_UNKNOWN_LINKS", 2)
    known = patient_rows.preferences_link(patient_id, Channel.EMAIL)
    visitor = dash.visitor()
    assert [visitor.get(f"/p/{number}").status_code for number in range(3)] == [404, 404, 429]
    assert visitor.get(known).status_code == 429
    assert visitor.client.post(f"{known}/one-click", data=ONE_CLICK).status_code == 200
    unknown = f"/p/prefs/{'x' * 43}/one-click"
    assert [visitor.client.post(unknown, data=ONE_CLICK).status_code for _ in range(3)] == [404] * 3
    assert len(rows("SELECT FROM sign_in_failures")) == 2
    assert visitor.sign_in("viewer@example.org").status_code == 302


def test_choices_are_shown_masked_in_the_patients_language(dash: Dashboard, patient_id: UUID) -> None:
    builders.says(patient_id, language="es")
    answer = dash.visitor().get(patient_rows.preferences_link(patient_id))
    assert (answer.status_code, leaves_no_trace(answer)) == (200, True)
    assert "Cómo podemos contactarle" in answer.text
    assert EMAIL not in answer.text
    assert PHONE not in answer.text


def test_only_what_was_switched_is_changed_and_a_yes_keeps_its_words(dash: Dashboard, patient_id: UUID) -> None:
    path = patient_rows.preferences_link(patient_id)
    visitor = dash.visitor()
    page = visitor.get(path).text
    sent = form(page, allow_sms=None, marketing_opt_in_email="1", quiet_start="20:30")
    answer = visitor.client.post(path, data=sent)
    assert (answer.status_code, answer.location) == (303, f"{path}?saved=1")
    (kept,) = rows("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", patient_id)
    assert (kept["allow_sms"], kept["allow_email"], kept["marketing_opt_in_email"]) == (False, None, True)
    assert (kept["quiet_start"].isoformat(), kept["quiet_end"]) == ("20:30:00", None)
    (yes,) = [one for one in evidence(patient_id) if one["purpose_class"] == "marketing"]
    words = texts_in("en")["wording_marketing"].format(clinic="Sample Clinic", channel="e-mail")
    assert (yes["given"], yes["wording"], yes["wording_version"], yes["language"]) == (
        True,
        words,
        WORDING_VERSION,
        "en",
    )
    assert words in page
    assert 'role="status"' in visitor.get(f"{path}?saved=1").text


def test_nothing_switched_changes_nothing(dash: Dashboard, patient_id: UUID) -> None:
    path = patient_rows.preferences_link(patient_id)
    visitor = dash.visitor()
    before = rows("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", patient_id)
    answer = visitor.client.post(path, data=form(visitor.get(path).text))
    assert answer.location == f"{path}?saved=0"
    assert rows("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", patient_id) == before
    assert evidence(patient_id) == []


def test_a_time_that_cannot_be_read_saves_nothing(dash: Dashboard, patient_id: UUID) -> None:
    path = patient_rows.preferences_link(patient_id)
    visitor = dash.visitor()
    sent = form(visitor.get(path).text, allow_sms=None, quiet_start="25:99")
    answer = visitor.client.post(path, data=sent)
    assert answer.status_code == 400
    assert "Write both times like 22:00." in answer.text
    assert evidence(patient_id) == []


def test_a_patient_may_start_again_what_was_stopped(dash: Dashboard, patient_id: UUID) -> None:
    path = patient_rows.preferences_link(patient_id, Channel.SMS, job_id=patient_rows.moved(patient_id, "SENT"))
    visitor = dash.visitor()
    visitor.client.post(f"{path}/one-click", data=ONE_CLICK)
    page = visitor.get(path).text
    assert "again" in page
    assert visitor.client.post(path, data=form(page, allow_sms="1")).status_code == 303
    assert rows("SELECT * FROM comm_stops") == []
    again = evidence(patient_id)[-1]
    assert (again["given"], again["wording_version"]) == (True, WORDING_VERSION)


def test_a_link_in_a_mail_lifts_no_stop_of_a_telephone(dash: Dashboard, patient_id: UUID) -> None:
    with connected():
        consents.stop(Channel.SMS, PHONE, source="reply", asker=builders.PATIENT)
    mail = patient_rows.moved(patient_id, "SENT", Channel.EMAIL)
    path = patient_rows.preferences_link(patient_id, Channel.EMAIL, job_id=mail)
    visitor = dash.visitor()
    page = visitor.get(path).text
    assert "send START from that telephone" in page
    assert 'name="allow_sms"' not in page
    sent = form(page, allow_sms="1", shown=["allow_sms"])
    assert visitor.client.post(path, data=sent).status_code == 400
    assert len(rows("SELECT * FROM comm_stops")) == 1


def test_a_link_that_went_to_a_former_address_changes_nothing_there_is_but_its_own_stop(
    dash: Dashboard, patient_id: UUID
) -> None:
    mail = patient_rows.moved(patient_id, "SENT", Channel.EMAIL)
    path = patient_rows.preferences_link(patient_id, Channel.EMAIL, job_id=mail)
    visitor = dash.visitor()
    sent = form(visitor.get(path).text, marketing_opt_in_email="1")
    builders.patient(id=patient_id, email="moved@example.org")
    assert [visitor.get(path).status_code, visitor.client.post(path, data=sent).status_code] == [410, 410]
    assert evidence(patient_id) == []
    assert visitor.client.post(f"{path}/one-click", data=ONE_CLICK).status_code == 200
    assert len(rows("SELECT * FROM comm_stops")) == 1


def test_one_click_stops_the_channel_that_the_mail_came_by_at_its_address(dash: Dashboard, patient_id: UUID) -> None:
    old = patient_rows.moved(patient_id, "SENT", Channel.EMAIL, recipient="former@example.org")
    waiting = patient_rows.planned(patient_id, Channel.EMAIL)
    path = patient_rows.preferences_link(patient_id, Channel.EMAIL, job_id=old)
    answer = dash.visitor().client.post(f"{path}/one-click", data=ONE_CLICK)
    assert (answer.status_code, leaves_no_trace(answer)) == (200, True)
    # The mail went to an address that is not the patient's any more; what is sent to the present one goes on.
    assert [row["status"] for row in rows("SELECT status FROM comm_jobs WHERE id = %s", waiting)] == ["PENDING"]
    assert len(rows("SELECT * FROM comm_stops")) == 1
    now = patient_rows.preferences_link(patient_id, Channel.EMAIL, job_id=waiting)
    assert dash.visitor().client.post(f"{now}/one-click", data=ONE_CLICK).status_code == 200
    assert [row["status"] for row in rows("SELECT status FROM comm_jobs WHERE id = %s", waiting)] == ["CANCELLED"]
    assert {row["source"] for row in evidence(patient_id)} == {"unsubscribe"}


def test_one_click_on_marketing_leaves_care(dash: Dashboard, patient_id: UUID) -> None:
    builders.says(patient_id, marketing_opt_in_email=True)
    path = patient_rows.preferences_link(patient_id, Channel.EMAIL, marketing=True)
    for _ in range(2):
        assert dash.visitor().client.post(f"{path}/one-click", data=ONE_CLICK).status_code == 200
    assert rows("SELECT * FROM comm_stops") == []
    assert [(row["purpose_class"], row["given"]) for row in evidence(patient_id)] == [("marketing", False)]


@pytest.mark.parametrize("body", [{}, {"List-Unsubscribe": "Maybe"}])
def test_another_body_stops_nothing(dash: Dashboard, patient_id: UUID, body: dict[str, str]) -> None:
    path = patient_rows.preferences_link(patient_id, Channel.EMAIL)
    assert dash.visitor().client.post(f"{path}/one-click", data=body).status_code == 400
    assert rows("SELECT * FROM comm_stops") == []


def test_opening_a_link_changes_nothing(dash: Dashboard, patient_id: UUID) -> None:
    path = patient_rows.preferences_link(patient_id, Channel.EMAIL)
    visitor = dash.visitor()
    for address in (path, f"{path}/one-click"):
        assert visitor.get(address).status_code == 200
    assert evidence(patient_id) == []
    assert rows("SELECT * FROM comm_stops") == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word(language: str) -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english, words = texts_in("en"), texts_in(language)
    assert words.keys() == english.keys()
    assert {key: places(words[key]) for key in words} == {key: places(english[key]) for key in english}
