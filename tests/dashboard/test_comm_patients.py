"""Patients as messages know them: one story, masked, and each opening kept; changes on their behalf with reasons."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest

from dashboard import comm_patient_queries
from dispatchlog.engine.database import execute, transaction
from dispatchlog.systems.outreach import audit, consents
from dispatchlog.systems.outreach.states import AuditAction, Channel
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.dashboard.patient_rows import NOW
from tests.outreach import builders
from tests.outreach.builders import EMAIL, PHONE, rows


@pytest.fixture
def patient_id(dash: Dashboard) -> UUID:
    clinic = builders.organization()
    return builders.patient(organization_id=clinic, provider_id=builders.provider(clinic))


def page_of(patient_id: UUID) -> str:
    return f"/outreach/patients/{patient_id}"


def wrote(patient_id: UUID, body: str, **columns: Any) -> UUID:
    """An answer of the patient's, straight into the table."""
    values = {
        "id": uuid4(),
        "patient_id": patient_id,
        "channel": "sms",
        "from_address": PHONE,
        "to_address": "+12025550199",
        "body": body,
        "provider": "twilio",
        "event_key": str(uuid4()),
        "source": "native",
        **columns,
    }
    with transaction("test"):
        execute(
            f"INSERT INTO comm_inbound ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
            tuple(values.values()),
        )
    return UUID(str(values["id"]))


def test_one_page_tells_how_they_are_reached_and_what_happened(dash: Dashboard, patient_id: UUID) -> None:
    builders.says(patient_id, quiet_start="20:00")
    builders.appointment(patient_id, starts_at=NOW + timedelta(days=3), status="confirmed", confirmed_at=NOW)
    patient_rows.planned(patient_id, Channel.EMAIL)
    patient_rows.moved(patient_id, "SENT", delivered_at=NOW, replied_at=NOW)
    wrote(patient_id, "Yes, call me on +12025550123", intent="confirm", action="confirmed")
    with transaction("test"):
        consents.note_marketing(
            patient_id, Channel.SMS, given=True, source="patient", asker=builders.PATIENT, wording="I agree to texts."
        )
    page = dash.as_("viewer").get(page_of(patient_id)).text
    for words in (
        "8 pm to 8 am",
        "said by the patient",
        "By SMS: it may be used. At 08:00 on 6 Jan 2026 in America/New_York.",
        "It was 23:10 there.",
        "Not by e-mail: it is turned off.",
        "Answered",
        "Confirms",
        "I agree to texts.",
        "Confirmed",
    ):
        assert words in page, words


def test_names_addresses_and_texts_are_masked_until_a_reason_is_given(dash: Dashboard, patient_id: UUID) -> None:
    patient_rows.moved(patient_id, "SENT", body="Your knee is fine.", variables={"result": "knee is fine"})
    wrote(patient_id, f"Write to {EMAIL}")
    support = dash.as_("support")
    page = support.get(page_of(patient_id)).text
    for secret in ("Jo Sample", EMAIL, PHONE, "Your knee is fine."):
        assert secret not in page, secret
    support.post(f"{page_of(patient_id)}/reveal")
    assert EMAIL not in support.get(page_of(patient_id)).text
    support.post(f"{page_of(patient_id)}/reveal", reason="The patient is on the telephone")
    page = support.get(page_of(patient_id)).text
    for secret in ("Jo Sample", EMAIL, PHONE, "Your knee is fine."):
        assert secret in page, secret
    kept = rows("SELECT * FROM operator_actions WHERE action = 'reveal_patient'")
    assert [one["reason"] for one in kept] == ["The patient is on the telephone"]


def test_each_opening_is_kept_once_per_person_and_while(dash: Dashboard, patient_id: UUID) -> None:
    viewer, support = dash.as_("viewer"), dash.as_("support")
    for visitor in (viewer, viewer, support):
        visitor.get(page_of(patient_id))
    looked = rows("SELECT actor, ip_address FROM comm_audit_log WHERE action = 'access' ORDER BY id")
    assert [(one["actor"], one["ip_address"]) for one in looked] == [
        ("viewer@example.org", "127.0.0.1"),
        ("support@example.org", "127.0.0.1"),
    ]
    assert "viewer@example.org" in support.get(f"{page_of(patient_id)}?show=people").text


def test_a_page_that_refreshes_itself_is_nobody_looking(dash: Dashboard, patient_id: UUID) -> None:
    dash.as_("viewer").get(page_of(patient_id), headers={"X-Background-Refresh": "1"})
    assert rows("SELECT * FROM comm_audit_log WHERE action = 'access'") == []


def test_a_refused_message_says_why_it_was_not_sent(dash: Dashboard, patient_id: UUID) -> None:
    refused = {"code": "NO_CHANNEL", "words": "Not sent: there is no channel by which this may be sent."}
    decision = {**patient_rows.DECISION, "refused": refused}
    patient_rows.moved(patient_id, "CANCELLED", decision=decision, recipient="nobody")
    page = dash.as_("viewer").get(page_of(patient_id)).text
    assert "Not sent: there is no channel by which this may be sent." in page


def test_the_story_goes_on_page_by_page_without_a_gap_or_a_repetition(
    dash: Dashboard, patient_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comm_patient_queries, "PAGE_LINES", 4)
    same = NOW - timedelta(hours=2)
    jobs = [patient_rows.moved(patient_id, "SENT", scheduled_at=same) for _ in range(5)]
    answers = [wrote(patient_id, str(number), created_at=same) for number in range(5)]
    with transaction("test"):
        for _ in range(3):
            audit.note(AuditAction.ACCESS, patient_id, builders.STAFF, {})
    kinds = ("messages", "answers", "consent", "requests", "people")
    with transaction("test"):
        place, seen = None, []
        while True:
            found, place = comm_patient_queries.lines_of(patient_id, kinds, after=place)
            seen += [(row["kind"], row["id"]) for row in found]
            if place is None:
                break
    # The patient was reported once, which is a change of preferences that people see too.
    assert len(seen) == len(set(seen)) == 5 + 5 + 3 + 1
    assert {line_id for kind, line_id in seen if kind == "messages"} == {*jobs}
    assert {line_id for kind, line_id in seen if kind == "answers"} == {*answers}


@pytest.mark.parametrize("place", ["nonsense", "1.", "99999999999999999999.mx", "-1.m"])
def test_a_damaged_place_shows_the_beginning(dash: Dashboard, patient_id: UUID, place: str) -> None:
    assert dash.as_("viewer").get(f"{page_of(patient_id)}?after={place}").status_code == 200


def test_an_opt_out_is_recorded_with_how_it_was_said(dash: Dashboard, patient_id: UUID) -> None:
    waiting = patient_rows.planned(patient_id)
    support = dash.as_("support")
    support.get(page_of(patient_id))
    support.post(f"{page_of(patient_id)}/stop", channel="sms")
    assert rows("SELECT * FROM comm_stops") == []
    answer = support.post(f"{page_of(patient_id)}/stop", channel="sms", reason="Said so on the telephone", follow=True)
    assert "Nothing more is sent by SMS" in answer.text
    (said,) = rows("SELECT * FROM comm_consents WHERE patient_id = %s", patient_id)
    assert (said["source"], said["evidence"]["reason"]) == ("staff", "Said so on the telephone")
    assert rows("SELECT status FROM comm_jobs WHERE id = %s", waiting)[0]["status"] == "CANCELLED"


def test_a_waiting_message_is_cancelled_with_a_reason_and_only_on_its_patients_page(
    dash: Dashboard, patient_id: UUID
) -> None:
    job, other = patient_rows.planned(patient_id), builders.patient(email="else@example.org", phone=None)
    support = dash.as_("support")
    support.get(page_of(patient_id))
    support.post(f"{page_of(other)}/messages/{job}/cancel", reason="Mistaken")
    support.post(f"{page_of(patient_id)}/messages/{job}/cancel")
    assert rows("SELECT status FROM comm_jobs WHERE id = %s", job)[0]["status"] == "PENDING"
    support.post(f"{page_of(patient_id)}/messages/{job}/cancel", reason="The patient called")
    assert rows("SELECT status FROM comm_jobs WHERE id = %s", job)[0]["status"] == "CANCELLED"


def test_all_links_end(dash: Dashboard, patient_id: UUID) -> None:
    link = patient_rows.preferences_link(patient_id)
    support = dash.as_("support")
    support.get(page_of(patient_id))
    support.post(f"{page_of(patient_id)}/links/end", reason="Sent to the wrong telephone")
    assert dash.visitor().get(link).status_code == 410


def test_preferences_are_changed_on_their_behalf_with_who_asked(dash: Dashboard, patient_id: UUID) -> None:
    support = dash.as_("support")
    form = f"{page_of(patient_id)}/preferences"
    support.get(form)
    assert support.post(form, allow_sms="off").status_code == 400
    assert support.post(form, reason="Asked by telephone").status_code == 400
    assert support.post(form, allow_sms="off", quiet_start="21:00", reason="Asked by telephone").status_code == 303
    (kept,) = rows("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", patient_id)
    assert (kept["allow_sms"], kept["quiet_start"].isoformat()) == (False, "21:00:00")
    (deed,) = rows("SELECT * FROM operator_actions WHERE action = 'change_patient_preferences'")
    assert (deed["reason"], deed["detail"]["fields"]) == ("Asked by telephone", ["allow_sms", "quiet_start"])


def test_a_yes_to_marketing_by_staff_needs_the_words(dash: Dashboard, patient_id: UUID) -> None:
    support = dash.as_("support")
    form = f"{page_of(patient_id)}/preferences"
    support.get(form)
    wanted: dict[str, Any] = {"marketing_opt_in_email": "on", "reason": "Signed the form"}
    assert support.post(form, **wanted).status_code == 400
    assert support.post(form, **wanted, wording="I want the newsletter.").status_code == 303
    (said,) = rows("SELECT * FROM comm_consents WHERE patient_id = %s", patient_id)
    assert (said["wording"], said["given"], said["source"]) == ("I want the newsletter.", True, "staff")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timezone", "Mars/Olympus"),
        ("best_hour", "24"),
        ("quiet_start", "25:00"),
        ("sms_number", "12"),
        ("allow_sms", "x"),
    ],
)
def test_a_bad_value_is_named_and_nothing_changes(dash: Dashboard, patient_id: UUID, field: str, value: str) -> None:
    support = dash.as_("support")
    form = f"{page_of(patient_id)}/preferences"
    support.get(form)
    before = rows("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", patient_id)
    wanted: dict[str, Any] = {field: value, "reason": "Asked"}
    answer = support.post(form, **wanted)
    assert answer.status_code == 400
    assert "fault" in answer.text
    assert rows("SELECT * FROM patient_comm_prefs WHERE patient_id = %s", patient_id) == before


def test_what_holds_for_a_clinic_is_changed_and_says_whom_it_reaches(dash: Dashboard, patient_id: UUID) -> None:
    (clinic,) = rows("SELECT organization_id AS id FROM patients WHERE id = %s", patient_id)
    support = dash.as_("support")
    page = support.get(f"/outreach/preferences?level=organization&of={clinic['id']}").text
    assert "<strong>1</strong> patient of Sample Clinic" in page
    wanted = {"level": "organization", "of": clinic["id"], "quiet_start": "19:00", "quiet_end": "09:00"}
    assert support.post("/outreach/preferences", **wanted).status_code == 400
    assert support.post("/outreach/preferences", **wanted, reason="Asked by the clinic").status_code == 303
    assert "7 pm to 9 am" in support.get(page_of(patient_id)).text


def test_for_everybody_there_is_always_a_value(dash: Dashboard) -> None:
    support = dash.as_("support")
    support.get("/outreach/preferences")
    assert support.post("/outreach/preferences", level="global", timezone="", reason="No need").status_code == 400


def test_a_patient_is_found_by_name_and_no_name_stands_in_an_address(dash: Dashboard, patient_id: UUID) -> None:
    viewer = dash.as_("viewer")
    viewer.get("/outreach/patients")
    answer = viewer.post("/outreach/patients/search", q="jo sample")
    assert "sample" not in answer.location.lower()
    page = viewer.get(answer.location).text
    assert page_of(patient_id) in page
    assert "Jo Sample" not in page
    assert viewer.post("/outreach/patients/search", q=str(patient_id)).location == page_of(patient_id)
    assert page_of(patient_id) in viewer.get("/outreach/patients").text


def test_a_messages_own_page_says_why_it_goes_so(dash: Dashboard, patient_id: UUID) -> None:
    job = patient_rows.planned(patient_id)
    page = dash.as_("viewer").get(f"/dispatches/comm_job/{job}").text
    assert "It was 23:10 there." in page
    assert page_of(patient_id) in page


def test_the_story_tells_messages_when_they_were_given_up_not_when_they_were_planned(
    dash: Dashboard, patient_id: UUID
) -> None:
    ended = NOW - timedelta(minutes=30)
    planned = NOW + timedelta(days=20)
    gone = patient_rows.moved(patient_id, "CANCELLED", scheduled_at=planned, updated_at=ended)
    later = wrote(patient_id, "Thanks", created_at=NOW - timedelta(minutes=10))
    with transaction("test"):
        lines, _ = comm_patient_queries.lines_of(patient_id, ("messages", "answers"), after=None)
    assert [(line["id"], line["kind"]) for line in lines] == [(later, "answers"), (gone, "messages")]
    assert lines[1]["at"] < NOW + timedelta(hours=1)


def test_what_staff_settled_has_its_own_instant(dash: Dashboard, patient_id: UUID) -> None:
    settled = NOW - timedelta(minutes=3)
    wrote(
        patient_id,
        "hmm",
        created_at=NOW - timedelta(days=2),
        processed=True,
        processed_by="support@example.org",
        processed_at=settled,
        action="nothing_follows",
    )
    page = dash.as_("viewer").get(page_of(patient_id)).text
    by = page.index("support@example.org, <time")
    assert settled.isoformat()[:19] in page[by : by + 80]


def test_a_message_and_what_went_in_its_place_lead_to_each_other(dash: Dashboard, patient_id: UUID) -> None:
    first = patient_rows.moved(patient_id, "CANCELLED")
    second = patient_rows.moved(patient_id, "SENT", Channel.EMAIL, fallback_of=first)
    page = dash.as_("viewer").get(page_of(patient_id)).text
    for words, job in (("In place of one that did not arrive", first), ("Sent another way instead", second)):
        link = page[: page.index(words)].rpartition("<a ")[2]
        assert f"/dispatches/comm_job/{job}" in link, words


def test_masked_texts_show_the_wording_and_not_what_was_written_into_it(dash: Dashboard, patient_id: UUID) -> None:
    said = "Jo, your appointment at Knee Clinic: call 2025550123 or see https://example.org/p/secret-key"
    patient_rows.moved(patient_id, "SENT", body=said, variables={"place": "Knee Clinic"})
    page = dash.as_("viewer").get(page_of(patient_id)).text
    assert "•••, your appointment at •••: call •••23 or see https://example.org/•••" in page
    assert "secret-key" not in page


def test_evidence_says_who_which_wording_and_leads_to_the_message(dash: Dashboard, patient_id: UUID) -> None:
    for number in range(3):
        wrote(patient_id, f"older {number}", created_at=NOW - timedelta(days=2))
    said = wrote(patient_id, "STOP please", created_at=NOW - timedelta(days=1))
    wrote(patient_id, "newer", created_at=NOW)
    with transaction("test"):
        consents.stop(
            Channel.SMS,
            PHONE,
            source="reply",
            asker=builders.PATIENT,
            patient_id=patient_id,
            evidence={"inbound": str(said)},
        )
        consents.note_marketing(
            patient_id, Channel.EMAIL, given=True, source="staff", asker=builders.STAFF, wording="I agree."
        )
    viewer = dash.as_("viewer")
    page = viewer.get(page_of(patient_id)).text
    evidence = page[page.index('id="consent"') :]
    assert "</time> · staff@example.org" in evidence
    assert "</time> · The patient" in evidence
    link = page[: page.index("The message that said it")].rpartition('<a href="')[2].partition("#")[0]
    story = viewer.get(unescape(link)).text
    story = story[story.index('id="story"') :]
    assert story.index("STOP please") < story.index("older 0")
    assert "newer" not in story


def test_changed_preferences_are_told_before_and_after(dash: Dashboard, patient_id: UUID) -> None:
    support = dash.as_("support")
    support.get(f"{page_of(patient_id)}/preferences")
    support.post(f"{page_of(patient_id)}/preferences", allow_sms="off", quiet_start="20:00", reason="Asked")
    page = support.get(f"{page_of(patient_id)}?show=people").text
    assert "Beginning of the quiet hours: as inherited → 20:00" in page
    assert "SMS: as inherited → off" in page
    assert "Registered" in page
