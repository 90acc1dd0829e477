"""Appointments as they are reported in any order, and what patients answer about them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, transaction
from dispatchlog.systems.outreach import appointments
from dispatchlog.systems.outreach.inputs import AppointmentInput, OutreachError
from tests.outreach import builders

pytestmark = pytest.mark.usefixtures("application")

SOON = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
EARLY = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def report(patient_id: UUID, appointment_id: UUID, **changes: Any) -> bool:
    given: dict[str, Any] = {"starts_at": SOON, "place": "Room 2", "reported_at": EARLY}
    with transaction("test"):
        wanted = AppointmentInput(id=appointment_id, patient_id=patient_id, **{**given, **changes})
        return appointments.put_appointment(wanted, source="clinic")[0]


def read(appointment_id: UUID) -> dict[str, Any]:
    return builders.rows("SELECT * FROM comm_appointments WHERE id = %s", appointment_id)[0]


def requests() -> list[tuple[str, str | None, str]]:
    found = builders.rows("SELECT status, handled_by, note FROM comm_reschedule_requests ORDER BY created_at")
    return [(row["status"], row["handled_by"], row["note"]) for row in found]


def test_the_newest_report_holds_in_whatever_order_they_come() -> None:
    patient, appointment = builders.patient(), uuid4()
    assert report(patient, appointment, reported_at=EARLY + timedelta(minutes=5), place="Room 5")
    assert not report(patient, appointment, reported_at=EARLY, place="Room 1", status="cancelled")
    assert (read(appointment)["place"], read(appointment)["status"]) == ("Room 5", "scheduled")
    assert not report(patient, appointment, reported_at=EARLY + timedelta(minutes=6), place="Room 5")
    assert read(appointment)["reported_at"] == EARLY + timedelta(minutes=6), (
        "the same said later is known to hold later"
    )
    assert report(patient, appointment, reported_at=EARLY + timedelta(minutes=6), place="Room 6")
    assert read(appointment)["version"] == 2


def test_what_the_patient_answered_stays_until_the_appointment_is_moved() -> None:
    patient, appointment = builders.patient(), uuid4()
    report(patient, appointment)
    assert appointments.confirm(appointment, asker=builders.PATIENT)
    assert not appointments.confirm(appointment, asker=builders.PATIENT)
    report(patient, appointment, place="Room 3")
    assert (read(appointment)["status"], read(appointment)["confirmed_by"]) == ("confirmed", "patient")
    report(patient, appointment, starts_at=SOON + timedelta(days=1))
    assert (read(appointment)["status"], read(appointment)["confirmed_at"]) == ("scheduled", None)
    report(patient, appointment, starts_at=SOON + timedelta(days=1), status="confirmed")
    assert (read(appointment)["status"], read(appointment)["confirmed_by"]) == ("confirmed", "service:clinic")


def test_a_wish_for_another_time_is_one_until_somebody_deals_with_it() -> None:
    patient, appointment = builders.patient(), uuid4()
    report(patient, appointment)
    appointments.confirm(appointment, asker=builders.PATIENT)
    first = appointments.ask_for_another_time(appointment, inbound_id=None, asker=builders.PATIENT)
    assert appointments.ask_for_another_time(appointment, inbound_id=None, asker=builders.PATIENT) == first
    assert (read(appointment)["status"], read(appointment)["confirmed_at"]) == ("reschedule_requested", None)
    with connected():
        (waiting,) = appointments.open_requests()
        assert (waiting["id"], waiting["starts_at"], waiting["place"]) == (first, SOON, "Room 2")
        (known,) = appointments.of_patient(patient)
        assert known["open_request_id"] == first
    assert appointments.close_request(first, note="Told them by telephone", asker=builders.STAFF)
    assert not appointments.close_request(first, note="again", asker=builders.STAFF)
    assert requests() == [("handled", "staff@example.org", "Told them by telephone")]
    with pytest.raises(OutreachError) as unknown:
        appointments.close_request(uuid4(), note="", asker=builders.STAFF)
    assert unknown.value.code == "REQUEST_NOT_FOUND"


def test_moving_the_appointment_or_confirming_it_settles_the_wish() -> None:
    patient = builders.patient()
    for settle in ("move", "confirm"):
        appointment = uuid4()
        report(patient, appointment)
        appointments.ask_for_another_time(appointment, inbound_id=None, asker=builders.PATIENT)
        if settle == "move":
            report(patient, appointment, starts_at=SOON + timedelta(days=2))
            assert read(appointment)["status"] == "scheduled"
        else:
            assert appointments.confirm(appointment, asker=builders.PATIENT)
    assert requests() == [
        ("handled", "service:clinic", "The appointment was moved."),
        ("handled", "patient", "The patient confirmed the time after all."),
    ]


@pytest.mark.parametrize(
    "columns", [{"status": "cancelled"}, {"status": "no_show"}, {"starts_at": datetime.now(UTC) - timedelta(minutes=1)}]
)
def test_what_is_over_is_not_confirmed_any_more(columns: dict[str, Any]) -> None:
    appointment = builders.appointment(builders.patient(), **{"starts_at": SOON, **columns})
    before = read(appointment)
    assert not appointments.confirm(appointment, asker=builders.PATIENT)
    appointments.ask_for_another_time(appointment, inbound_id=None, asker=builders.PATIENT)
    assert read(appointment) == before


def test_many_who_ask_at_once_make_one_request() -> None:
    appointment = builders.appointment(builders.patient(), starts_at=SOON)
    made: list[UUID] = []

    def ask() -> None:
        with connected():
            made.append(appointments.ask_for_another_time(appointment, inbound_id=None, asker=builders.PATIENT))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == len(requests()) == 1


def test_a_patients_appointments_come_next_first_then_the_latest_of_those_over() -> None:
    patient, now = builders.patient(), datetime.now(UTC)
    days = {day: builders.appointment(patient, starts_at=now + timedelta(days=day)) for day in (5, -1, 2, -9)}
    with connected():
        assert [row["id"] for row in appointments.of_patient(patient)] == [days[day] for day in (2, 5, -1, -9)]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"status": "maybe"}, "UNKNOWN_STATUS", "status"),
        ({"timezone": "Mars/Olympus"}, "INVALID_TIMEZONE", "timezone"),
        ({"provider_id": uuid4()}, "PROVIDER_NOT_FOUND", "provider_id"),
        ({"place": "x" * 256}, "INVALID_TEXT", "place"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_stored(changes: dict[str, Any], code: str, field: str) -> None:
    patient = builders.patient()
    with pytest.raises(OutreachError) as refused:
        report(patient, uuid4(), **changes)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert builders.rows("SELECT id FROM comm_appointments") == []


def test_an_appointment_never_becomes_another_patients() -> None:
    patient, other, appointment = builders.patient(), builders.patient(), uuid4()
    report(patient, appointment)
    for stranger, code in ((other, "APPOINTMENT_OF_ANOTHER"), (uuid4(), "PATIENT_NOT_FOUND")):
        with pytest.raises(OutreachError) as refused:
            report(stranger, appointment, place="Elsewhere")
        assert (refused.value.code, refused.value.field) == (code, "patient_id")
    assert (read(appointment)["patient_id"], read(appointment)["place"]) == (patient, "Room 2")
