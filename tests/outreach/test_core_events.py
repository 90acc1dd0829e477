"""What happens in the core platform becomes messages: each event once, in whatever order they come."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected
from dispatchlog.order_documents import DocumentError
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import appointments, core_events, patients
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose
from tests.outreach import builders

pytestmark = pytest.mark.usefixtures("texts")

NOW = datetime.now(UTC).replace(microsecond=0)
SOON = NOW + timedelta(days=5)
BODY = "{{ patient_first_name }}, you are expected {{ starts_at }}, {{ place }}."
DECLARED = [{"name": "starts_at", "kind": "datetime"}, {"name": "place", "required": False}]


@pytest.fixture
def texts(application: Settings) -> None:
    for purpose in (Purpose.APPT_CONFIRM, Purpose.APPT_REMINDER):
        builders.template(purpose, Channel.EMAIL, body=BODY, variables=DECLARED)
    builders.template(Purpose.NO_SHOW, Channel.EMAIL, body="We missed you.")
    medicine = [{"name": "medicine", "is_phi": True, "required": False}]
    builders.template(Purpose.RX_REFILL, Channel.EMAIL, body="{{ medicine }} is ready.", variables=medicine)
    builders.template(Purpose.LAB_READY, Channel.EMAIL, body="Your results are ready.")


def take(kind: str, data: dict[str, Any], *, minutes: int = 0, event_id: str = "", source: str = "clinic") -> Any:
    document = {
        "event_id": event_id or str(uuid4()),
        "kind": kind,
        "occurred_at": (NOW - timedelta(hours=2) + timedelta(minutes=minutes)).isoformat(),
        "data": data,
    }
    with connected():
        return core_events.take(document, source=source, asker=builders.ASKER, trace_id="t")


def appointment(patient_id: UUID, appointment_id: UUID, **changes: Any) -> dict[str, Any]:
    said = {"id": str(appointment_id), "patient_id": str(patient_id), "starts_at": SOON.isoformat(), "place": "Room 2"}
    return {**said, **changes}


def jobs() -> list[tuple[str, str]]:
    return [(row["purpose"], row["status"]) for row in builders.rows("SELECT * FROM comm_jobs ORDER BY seq")]


def test_an_appointment_is_asked_about_at_once_and_reminded_of_once() -> None:
    patient, visit = builders.patient(), uuid4()
    came = take("appointment.scheduled", appointment(patient, visit), event_id="e-1")
    assert came["taken"]
    assert [each["purpose"] for each in came["effect"]["messages"]] == ["appt_confirm", "appt_reminder"]
    asked, reminder = builders.rows("SELECT * FROM comm_jobs ORDER BY seq")
    assert {asked["asks"], reminder["asks"]} == {"confirmation"}
    assert reminder["scheduled_at"] >= SOON - timedelta(hours=24)
    assert asked["expires_at"] == reminder["expires_at"] == SOON
    again = take("appointment.scheduled", appointment(patient, visit), event_id="e-1")
    assert (again["taken"], again["effect"]) == (False, came["effect"])
    told_twice = take("appointment.updated", appointment(patient, visit), minutes=1)
    assert told_twice["effect"] == {"stored": "appointment", "changed": False, "messages": []}
    assert jobs() == [("appt_confirm", "PENDING"), ("appt_reminder", "PENDING")]


def test_reminders_go_out_as_long_before_as_is_set_and_none_that_would_be_late(
    monkeypatch: pytest.MonkeyPatch, application: Settings
) -> None:
    from dispatchlog.settings import get_settings

    monkeypatch.setenv("DISPATCHLOG_OUTREACH_REMINDER_HOURS", "200,72,24")
    get_settings.cache_clear()
    came = take("appointment.scheduled", appointment(builders.patient(), uuid4()))
    assert [each["purpose"] for each in came["effect"]["messages"]] == ["appt_confirm", *["appt_reminder"] * 2]
    get_settings.cache_clear()


def test_the_hour_is_told_as_the_clock_of_the_place_shows_it() -> None:
    patient = builders.patient(timezone="America/New_York")
    noon = SOON.replace(hour=12, minute=0, second=0)
    take("appointment.scheduled", appointment(patient, uuid4(), starts_at=noon.isoformat(), timezone="Asia/Kolkata"))
    body = builders.rows("SELECT id, sealed, body FROM comm_jobs ORDER BY seq LIMIT 1")[0]["body"]
    assert "17:30" in body or "5:30" in body
    assert body.startswith("Jo, you are expected")
    assert body.endswith(", Room 2.")


def test_a_moved_appointment_takes_back_what_waits_and_asks_anew_even_when_it_is_moved_back() -> None:
    patient, visit = builders.patient(), uuid4()
    later = (SOON + timedelta(days=1)).isoformat()
    take("appointment.scheduled", appointment(patient, visit))
    moved = take("appointment.updated", appointment(patient, visit, starts_at=later), minutes=1)
    assert moved["effect"]["cancelled"] == 2
    back = take("appointment.updated", appointment(patient, visit), minutes=2)
    assert back["effect"]["cancelled"] == 2
    both = [("appt_confirm", "CANCELLED"), ("appt_reminder", "CANCELLED")]
    assert jobs() == [*both, *both, ("appt_confirm", "PENDING"), ("appt_reminder", "PENDING")]
    why = builders.rows("SELECT DISTINCT reason FROM dispatch_transitions WHERE to_status = 'CANCELLED'")
    assert [row["reason"] for row in why] == ["the appointment was moved"]


def test_a_cancelled_appointment_is_not_reminded_of_and_one_that_is_made_again_is() -> None:
    patient, visit = builders.patient(), uuid4()
    take("appointment.scheduled", appointment(patient, visit))
    assert take("appointment.cancelled", {"id": str(visit)}, minutes=1)["effect"]["cancelled"] == 2
    assert {status for _, status in jobs()} == {"CANCELLED"}
    take("appointment.scheduled", appointment(patient, visit), minutes=2)
    assert jobs()[2:] == [("appt_confirm", "PENDING"), ("appt_reminder", "PENDING")]


def test_a_missed_appointment_is_written_about_once() -> None:
    patient, visit = builders.patient(), uuid4()
    take("appointment.scheduled", appointment(patient, visit, starts_at=(NOW - timedelta(hours=3)).isoformat()))
    assert jobs() == []
    take("appointment.no_show", {"id": str(visit)}, minutes=1)
    take("appointment.no_show", {"id": str(visit)}, minutes=2)
    assert jobs() == [("no_show", "PENDING")]


def test_an_older_event_changes_nothing_whatever_it_is_about() -> None:
    clinic, doctor, patient, visit = uuid4(), uuid4(), uuid4(), uuid4()

    def told(minutes: int, mark: str) -> list[Any]:
        said = {"id": str(patient), "name": f"Sample {mark}", "email": builders.EMAIL, "organization_id": str(clinic)}
        return [
            take("organization.updated", {"id": str(clinic), "name": f"Clinic {mark}"}, minutes=minutes),
            take("provider.updated", {"id": str(doctor), "name": f"Dr {mark}"}, minutes=minutes),
            take("patient.updated", said, minutes=minutes),
            take("appointment.updated", appointment(patient, visit, place=mark), minutes=minutes),
        ]

    told(10, "New")
    assert [each["effect"] for each in told(5, "Old")] == [{"older": True}] * 4
    with connected():
        record = patients.patient(patient)
    assert (record.name, record.organization_name) == ("Sample New", "Clinic New")
    assert [row["name"] for row in builders.rows("SELECT name FROM comm_providers")] == ["Dr New"]
    assert [row["place"] for row in builders.rows("SELECT place FROM comm_appointments")] == ["New"]
    assert len(jobs()) == 2
    assert take("appointment.cancelled", {"id": str(visit)}, minutes=7)["effect"] == {"older": True}
    assert len(jobs()) == 2


def test_a_patient_is_reported_with_day_of_birth_gender_and_tags_and_what_is_left_out_is_forgotten() -> None:
    said = {"id": str(uuid4()), "name": "Sample New"}
    known = {"birth_date": "1961-03-31", "gender": "female", "tags": ["smoker", "diabetes", "smoker"]}
    stored = "SELECT birth_date, gender, tags, version FROM patients"
    take("patient.updated", {**said, **known}, minutes=1)
    (row,) = builders.rows(stored)
    assert (str(row["birth_date"]), row["gender"], row["tags"]) == ("1961-03-31", "female", ["diabetes", "smoker"])
    take("patient.updated", {**said, **known, "tags": ["diabetes", "smoker"]}, minutes=2)
    assert builders.rows(stored) == [row]
    take("patient.updated", said, minutes=3)
    assert list(builders.rows(stored)[0].values()) == [None, "", [], row["version"] + 1]


def test_an_event_of_the_future_does_not_outlast_those_that_follow() -> None:
    patient, visit = builders.patient(), uuid4()
    take("appointment.scheduled", appointment(patient, visit), minutes=1_000_000)
    with connected():
        said = appointment(patient, visit, place="Room 9")
        now = {"event_id": "e-2", "kind": "appointment.updated", "data": said}
        core_events.take(now, source="clinic", asker=builders.ASKER, trace_id="t")
    assert builders.rows("SELECT place FROM comm_appointments")[0]["place"] == "Room 9"


def test_what_the_patient_confirmed_is_not_asked_again_when_the_appointment_is_moved_by_the_place_alone() -> None:
    patient, visit = builders.patient(), uuid4()
    take("appointment.scheduled", appointment(patient, visit))
    with connected():
        appointments.confirm(visit, asker=builders.PATIENT)
    take("appointment.updated", appointment(patient, visit, place="Room 3"), minutes=1)
    assert len(jobs()) == 2
    assert builders.rows("SELECT status FROM comm_appointments")[0]["status"] == "confirmed"


def test_care_is_told_with_declared_variables_alone_and_a_bill_is_only_noted() -> None:
    patient = builders.patient()
    take("prescription.refill_due", {"patient_id": str(patient), "variables": {"medicine": "Examplin"}})
    assert take("billing.statement_ready", {"patient_id": str(patient)})["effect"] == {"messages": []}
    with pytest.raises(OutreachError) as refused:
        take("lab.results_ready", {"patient_id": str(patient), "variables": {"result": "6.1"}}, event_id="lab")
    assert (refused.value.code, refused.value.field) == ("UNKNOWN_VARIABLE", "data.variables.result")
    assert take("lab.results_ready", {"patient_id": str(patient)}, event_id="lab")["taken"], (
        "no taking of what was refused"
    )
    assert jobs() == [("rx_refill", "PENDING"), ("lab_ready", "PENDING")]
    for kind in ("lab.results_ready", "billing.statement_ready"):
        with pytest.raises(OutreachError) as refused:
            take(kind, {"patient_id": str(uuid4())})
        assert refused.value.code == "PATIENT_NOT_FOUND"


def test_an_appointment_is_kept_where_nobody_may_be_written_to_about_it() -> None:
    nowhere = builders.patient(email=None, phone=None)
    unwilling = builders.patient()
    builders.says(unwilling, allow_email=False, allow_sms=False)
    for patient, code in ((nowhere, "NO_ADDRESS"), (unwilling, "NO_CHANNEL")):
        came = take("appointment.scheduled", appointment(patient, uuid4()))
        assert [each["refused"] for each in came["effect"]["messages"]] == [code, code]
    assert len(builders.rows("SELECT id FROM comm_appointments")) == 2


def test_the_same_event_many_times_at_once_is_taken_once() -> None:
    patient, visit = builders.patient(), uuid4()
    came: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: came.append(take("appointment.scheduled", appointment(patient, visit), event_id="e"))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each["taken"] for each in came) == [False] * 7 + [True]
    assert all(each["effect"] == came[0]["effect"] for each in came)
    assert len(jobs()) == 2


def test_events_at_once_about_one_appointment_leave_messages_about_its_newest_time_alone() -> None:
    patient, visit = builders.patient(), uuid4()
    days = [SOON + timedelta(days=number) for number in range(6)]

    def tell(number: int) -> None:
        take("appointment.updated", appointment(patient, visit, starts_at=days[number].isoformat()), minutes=number)

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(len(days))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiting = builders.rows("SELECT purpose, expires_at FROM comm_jobs WHERE status = 'PENDING' ORDER BY seq")
    assert [(row["purpose"], row["expires_at"]) for row in waiting] == [
        ("appt_confirm", days[-1]),
        ("appt_reminder", days[-1]),
    ]


def test_events_of_an_appointment_end_the_same_in_whatever_order_they_come() -> None:
    patient, day = builders.patient(), SOON + timedelta(days=1)
    told = [
        ("appointment.scheduled", {}, 1),
        ("appointment.updated", {"starts_at": (SOON + timedelta(days=9)).isoformat()}, 2),
        ("appointment.cancelled", None, 3),
        ("appointment.scheduled", {"starts_at": day.isoformat(), "place": "Room 7"}, 4),
    ]
    for order in itertools.permutations(told):
        visit, waiting = uuid4(), deque(order)
        while waiting:
            kind, changes, minutes = waiting.popleft()
            said = {"id": str(visit)} if changes is None else appointment(patient, visit, **changes)
            try:
                take(kind, said, minutes=minutes)
            except OutreachError as error:
                if error.code != "APPOINTMENT_NOT_FOUND":
                    raise
                waiting.append((kind, changes, minutes))  # its actor puts it back for later
        (row,) = builders.rows("SELECT status, place, starts_at FROM comm_appointments WHERE id = %s", visit)
        assert row == {"status": "scheduled", "place": "Room 7", "starts_at": day}
        open_jobs = builders.rows(
            "SELECT purpose, expires_at FROM comm_jobs WHERE appointment_id = %s AND status = 'PENDING' ORDER BY seq",
            visit,
        )
        assert [(job["purpose"], job["expires_at"]) for job in open_jobs] == [
            ("appt_confirm", day),
            ("appt_reminder", day),
        ], order


def test_another_content_under_a_known_event_is_refused_and_another_services_event_is_another() -> None:
    patient = str(builders.patient())
    take("lab.results_ready", {"patient_id": patient}, event_id="e-1")
    with pytest.raises(OutreachError) as refused:
        take("prescription.refill_due", {"patient_id": patient}, event_id="e-1")
    assert (refused.value.code, refused.value.field) == ("EVENT_REUSED", "event_id")
    assert take("lab.results_ready", {"patient_id": patient}, event_id="e-1", source="another")["taken"]


@pytest.mark.parametrize(
    ("kind", "data", "code", "field"),
    [
        ("weather.changed", {}, "UNKNOWN_EVENT", "kind"),
        ("patient.updated", {"id": str(uuid4()), "name": "A", "email": "nobody"}, "INVALID_EMAIL", "data.email"),
        ("patient.updated", {"id": str(uuid4()), "name": "A", "phone": "12"}, "INVALID_PHONE", "data.phone"),
        (
            "patient.updated",
            {"id": str(uuid4()), "name": "A", "birth_date": "1899-12-31"},
            "INVALID_DATE",
            "data.birth_date",
        ),
        (
            "patient.updated",
            {"id": str(uuid4()), "name": "A", "birth_date": "2199-01-01"},
            "INVALID_DATE",
            "data.birth_date",
        ),
        ("patient.updated", {"id": str(uuid4()), "name": "A", "gender": "f"}, "UNKNOWN_VALUE", "data.gender"),
        ("patient.updated", {"id": str(uuid4()), "name": "A", "tags": ["Two words"]}, "INVALID_TEXT", "data.tags"),
        (
            "patient.updated",
            {"id": str(uuid4()), "name": "A", "tags": [str(number) for number in range(51)]},
            "TOO_LONG",
            "data.tags",
        ),
        ("appointment.cancelled", {"id": str(uuid4())}, "APPOINTMENT_NOT_FOUND", "data.id"),
        ("appointment.scheduled", appointment(uuid4(), uuid4()), "PATIENT_NOT_FOUND", "data.patient_id"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_nothing_is_kept(
    kind: str, data: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(OutreachError) as refused:
        take(kind, data)
    assert (refused.value.code, refused.value.field) == (code, field)
    for table in ("comm_core_events", "patients", "comm_appointments"):
        assert builders.rows(f"SELECT 1 FROM {table}") == []


def test_a_misspelt_field_and_a_missing_one_are_told_with_their_places() -> None:
    with pytest.raises(DocumentError) as refused:
        take("appointment.scheduled", {"id": str(uuid4()), "patient": "x", "starts_at": "tomorrow"})
    found = {(each.code, each.field) for each in refused.value.problems}
    assert found == {
        ("UNKNOWN_FIELD", "data.patient"),
        ("MISSING_FIELD", "data.patient_id"),
        ("INVALID_DATE", "data.starts_at"),
    }
