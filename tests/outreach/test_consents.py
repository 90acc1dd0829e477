"""A no is heard at once, kept for ever, and holds for the address whoever has it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from uuid import UUID

import pytest

from dispatchlog.engine.database import connected
from dispatchlog.gateways.fake import Play
from dispatchlog.systems.outreach import consents
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.preferences import resolve
from dispatchlog.systems.outreach.states import Channel, Purpose
from tests.engine.lane import application as application_cursor
from tests.outreach import builders
from tests.outreach.conftest import Desk

pytestmark = pytest.mark.usefixtures("application")


def stop(address: str = builders.PHONE, channel: Channel = Channel.SMS, **more: object) -> bool:
    with connected():
        return consents.stop(channel, address, source="reply", asker=builders.PATIENT, **more)  # type: ignore[arg-type]


def ends(desk: Desk, job_id: UUID) -> tuple[str, str | None]:
    row = builders.read(desk.lane, job_id)
    return row["status"], row["last_error_code"]


def evidence(patient_id: UUID) -> list[tuple[object, ...]]:
    with connected():
        return [(e["channel"], e["purpose_class"], e["given"]) for e in consents.evidence_of(patient_id)]


def test_a_stop_holds_for_the_whole_family_and_for_one_channel(desk: Desk) -> None:
    family = [builders.patient(email=f"{name}.sample@example.org") for name in ("one", "two")]
    other = builders.patient(phone="+12025550177")
    builders.says(family[0], marketing_opt_in_sms=True)
    waiting = [builders.job(desk.lane, each) for each in family]
    mail = builders.job(desk.lane, family[0], Channel.EMAIL)
    others = builders.job(desk.lane, other, recipient="+12025550177")
    assert stop()
    assert [ends(desk, each) for each in waiting] == [("CANCELLED", "STOPPED")] * 2
    assert [builders.read(desk.lane, each)["status"] for each in (mail, others)] == ["PENDING", "PENDING"]
    for each in family:
        with connected():
            channels = resolve(each).channels
        assert channels[Channel.SMS].stopped_by == "reply"
        assert not channels[Channel.SMS].marketing_opt_in.value
        assert channels[Channel.WHATSAPP].stopped_at is None
        assert evidence(each)[-1] == ("sms", "all", False)
    audited = builders.rows("SELECT * FROM comm_audit_log WHERE action = 'opt_out' ORDER BY patient_id")
    assert [line["patient_id"] for line in audited] == sorted(family)
    assert {(line["actor"], line["ip_address"]) for line in audited} == {("patient", "203.0.113.9")}


def test_what_one_of_a_family_said_is_shown_to_the_other_without_who_it_was() -> None:
    one, two = builders.patient(), builders.patient(email="two.sample@example.org")
    stop()
    with connected():
        seen = consents.evidence_of(two)
    assert {(e["about_address"], e["patient_id"], e["ip_address"]) for e in seen} == {
        (True, None, None),
        (False, two, "203.0.113.9"),
    }
    assert str(one) not in str(seen)


def test_an_address_that_nobody_has_can_be_stopped() -> None:
    assert stop("+12025550188")
    (kept,) = builders.rows("SELECT * FROM comm_consents")
    assert (kept["patient_id"], kept["given"]) == (None, False)
    patient_id = builders.patient(phone="+12025550188")
    with connected():
        assert resolve(patient_id).channels[Channel.SMS].stopped_at is not None
    assert evidence(patient_id) == [("sms", "all", False)]


def test_stopping_often_at_once_is_one_stop_and_each_word_is_kept() -> None:
    patient_id = builders.patient()
    with ThreadPoolExecutor(8) as pool:
        stopped = list(pool.map(lambda _: stop(), range(8)))
    assert sorted(stopped) == [False] * 7 + [True]
    assert evidence(patient_id) == [("sms", "all", False)] * 8
    assert len(builders.rows("SELECT * FROM comm_audit_log WHERE action = 'opt_out'")) == 8


def test_a_stop_said_again_takes_back_a_yes_to_marketing_that_came_since() -> None:
    patient_id = builders.patient()
    assert stop()
    builders.says(patient_id, marketing_opt_in_sms=True)
    (before,) = builders.rows("SELECT stopped_at FROM comm_stops")
    assert not stop()
    with connected():
        assert not resolve(patient_id).channels[Channel.SMS].marketing_opt_in.value
    (after,) = builders.rows("SELECT stopped_at FROM comm_stops")
    assert after["stopped_at"] > before["stopped_at"]


def test_a_stop_can_be_lifted_and_said_again_and_marketing_stays_off(desk: Desk) -> None:
    patient_id = builders.patient()
    builders.says(patient_id, marketing_opt_in_sms=True)
    assert stop()
    with connected():
        lift = {"source": "reply", "asker": builders.PATIENT, "wording": "START", "wording_version": "1"}
        assert consents.start(Channel.SMS, builders.PHONE, **lift)  # type: ignore[arg-type]
        assert not consents.start(Channel.SMS, builders.PHONE, **lift)  # type: ignore[arg-type]
        sms = resolve(patient_id).channels[Channel.SMS]
    assert (sms.stopped_at, sms.marketing_opt_in.value) == (None, False)
    again = builders.job(desk.lane, patient_id)
    assert stop()
    assert builders.read(desk.lane, again)["status"] == "CANCELLED"
    assert evidence(patient_id) == [("sms", "all", given) for given in (False, True, False)]


def test_a_no_to_marketing_keeps_messages_of_care(desk: Desk) -> None:
    patient_id = builders.patient()
    asked = {"source": "preference_page", "asker": builders.PATIENT}
    with connected():
        consents.note_marketing(
            patient_id, Channel.SMS, given=True, wording="Yes, tell me.", wording_version="7", language="en", **asked
        )  # type: ignore[arg-type]
    marketing = builders.job(desk.lane, patient_id, purpose=Purpose.CAMPAIGN_EDUCATION)
    care = builders.job(desk.lane, patient_id)
    for _ in range(3):
        with connected():
            consents.note_marketing(patient_id, Channel.SMS, given=False, **asked)  # type: ignore[arg-type]
    assert ends(desk, marketing) == ("CANCELLED", "NO_MARKETING_CONSENT")
    assert builders.read(desk.lane, care)["status"] == "PENDING"
    kept = builders.rows("SELECT * FROM comm_consents ORDER BY id")
    assert [(e["given"], e["wording"], e["wording_version"]) for e in kept] == [
        (True, "Yes, tell me.", "7"),
        (False, "", ""),
    ]
    with connected():
        sms = resolve(patient_id).channels[Channel.SMS]
    assert (sms.marketing_opt_in.value, sms.stopped_at) == (False, None)


def test_a_yes_to_marketing_needs_its_words() -> None:
    patient_id = builders.patient()
    with connected(), pytest.raises(OutreachError) as refused:
        consents.note_marketing(patient_id, Channel.SMS, given=True, source="staff", asker=builders.STAFF)
    assert (refused.value.code, refused.value.field) == ("WORDING_REQUIRED", "wording")
    assert evidence(patient_id) == []


@pytest.mark.parametrize("table", ["comm_consents", "comm_audit_log"])
@pytest.mark.parametrize("act", ["UPDATE {} SET actor = 'nobody'", "DELETE FROM {}", "TRUNCATE {}"])
def test_what_was_said_can_never_be_changed(database_url: str, table: str, act: str) -> None:
    builders.patient()
    stop()
    with application_cursor(database_url) as cursor, pytest.raises(Exception, match=r"permission denied|append-only"):
        cursor.execute(act.format(table))
    assert builders.rows(f"SELECT * FROM {table}")


def test_a_stop_waits_for_what_is_just_being_handed_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a provider is being given when the stop comes has been given before the stop is committed."""
    waits = threading.Event()
    monkeypatch.setattr(consents, "HANDING_OVER_SECONDS", 60.0)
    monkeypatch.setattr(consents, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: waits.set()))
    leaving = builders.job(desk.lane, builders.patient(), is_urgent=True)
    seen: list[bool] = []
    with ThreadPoolExecutor(1) as pool:

        def being_handed_over() -> None:
            stopping.append(pool.submit(stop))
            while not waits.wait(0.05) and not stopping[0].done():
                pass
            seen.append(bool(builders.rows("SELECT FROM comm_stops")))

        stopping: list[Future[bool]] = []
        desk.gateways["sms-twilio"].script(Play(crash=being_handed_over))
        desk.drain()
        assert stopping[0].result()
    assert seen == [False]
    assert builders.read(desk.lane, leaving)["status"] == "SENT"
