"""Links that patients open: they end, they can be ended, and nothing in the database opens them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine

from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.engine.errors import NotInTransaction
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import portal
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel
from tests.outreach.builders import PATIENT, job, patient, rows
from tests.outreach.conftest import Desk

pytestmark = pytest.mark.usefixtures("application")

TEXT = "Your HbA1c is 7.1 %."


def issue(patient_id: UUID, *, days: int = 7) -> tuple[str, UUID]:
    job_id = uuid4()
    with transaction("test"):
        link = portal.issue_message_link(patient_id, job_id, TEXT, expires_at=datetime.now(UTC) + timedelta(days=days))
    return link, job_id


def token_of(link: str) -> str:
    return link.rpartition("/")[2]


def refused(token: str, *, kind: str = portal.MESSAGE) -> tuple[str, str]:
    with connected(), pytest.raises(OutreachError) as error:
        portal.open_link(token, kind=kind, asker=PATIENT)
    return error.value.code, error.value.message


def test_a_message_is_read_behind_its_link_and_every_reading_is_kept(application: Settings) -> None:
    who = patient()
    link, job_id = issue(who)
    assert link.startswith(f"{application.effective_public_url}/p/")
    for _ in range(2):
        with connected():
            found = portal.open_link(token_of(link), kind=portal.MESSAGE, asker=PATIENT)
        assert (found.patient_id, found.job_id, found.text) == (who, job_id, TEXT)
    (row,) = rows("SELECT opens, first_opened_at FROM comm_portal_tokens")
    assert row["opens"] == 2
    assert row["first_opened_at"] is not None
    kept = rows("SELECT patient_id, ip_address, details::text FROM comm_audit_log WHERE action = 'access'")
    assert [(each["patient_id"], each["ip_address"]) for each in kept] == [(who, PATIENT.ip_address)] * 2
    assert token_of(link) not in str(kept)


def test_the_database_has_neither_token_nor_text() -> None:
    link, _ = issue(patient())
    (row,) = rows("SELECT * FROM comm_portal_tokens")
    stored = b" ".join(bytes(each) for each in row.values() if isinstance(each, memoryview | bytes)) + str(row).encode()
    assert token_of(link).encode() not in stored
    assert b"HbA1c" not in stored


def test_a_text_moved_to_another_link_does_not_open() -> None:
    who = patient()
    first, _ = issue(who)
    issue(who)
    with transaction("test"):
        execute(
            "UPDATE comm_portal_tokens SET content_sealed = (SELECT content_sealed FROM comm_portal_tokens"
            " ORDER BY created_at DESC LIMIT 1)"
        )
    assert refused(token_of(first))[0] == "LINK_REVOKED"


def test_a_link_ends_at_its_hour() -> None:
    link, _ = issue(patient(), days=7)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=7, seconds=-60), tick=False), connected():
        assert portal.open_link(token_of(link), kind=portal.MESSAGE, asker=PATIENT).text == TEXT
    with time_machine.travel(datetime.now(UTC) + timedelta(days=7, seconds=1), tick=False):
        assert refused(token_of(link))[0] == "LINK_EXPIRED"


def test_all_of_a_patients_links_can_be_ended_and_nobody_elses() -> None:
    mine, theirs = patient(), patient(phone="+12025550124", email="other@example.org")
    link, _ = issue(mine)
    other, _ = issue(theirs)
    with transaction("test"):
        assert portal.revoke_links(mine) == 1
    assert refused(token_of(link))[0] == "LINK_REVOKED"
    with connected():
        assert portal.open_link(token_of(other), kind=portal.MESSAGE, asker=PATIENT).text == TEXT


def test_what_went_to_an_address_that_the_patient_left_is_not_read_any_more(desk: Desk) -> None:
    who = patient()
    text, mail = (job(desk.lane, who, channel) for channel in (Channel.SMS, Channel.EMAIL))
    desk.drain()
    waits = job(desk.lane, who, due_at=datetime.now(UTC) + timedelta(days=1))
    ends = datetime.now(UTC) + timedelta(days=7)
    with transaction("test"):
        links = [token_of(portal.issue_message_link(who, each, TEXT, expires_at=ends)) for each in (text, mail, waits)]
        way_out = token_of(portal.issue_preferences_link(who, channel=Channel.SMS, marketing=False, job_id=text))
    patient(id=who, phone="+12025550124")
    assert refused(links[0])[0] == "LINK_REVOKED"
    with connected():
        for token in links[1:]:
            assert portal.open_link(token, kind=portal.MESSAGE, asker=PATIENT).text == TEXT
        # Whoever reads at the old one may still say that nothing more shall come there.
        assert portal.open_link(way_out, kind=portal.PREFERENCES, asker=PATIENT).patient_id == who


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 44, "ä" * 43, "' OR 1=1 --", "\x00" * 43])
def test_whatever_is_no_token_gets_the_same_answer(token: str) -> None:
    assert refused(token) == refused("B" * 43)
    assert refused(token)[0] == "LINK_UNKNOWN"


def test_a_link_opens_its_own_kind_alone() -> None:
    who = patient()
    link, _ = issue(who)
    with transaction("test"):
        preferences = portal.issue_preferences_link(who, channel=Channel.EMAIL, marketing=True)
    assert "/p/prefs/" in preferences
    assert refused(token_of(link), kind=portal.PREFERENCES) == refused("B" * 43)
    assert refused(token_of(preferences)) == refused("B" * 43)
    with connected():
        found = portal.open_link(token_of(preferences), kind=portal.PREFERENCES, asker=PATIENT)
    assert (found.channel, found.marketing, found.text) == (Channel.EMAIL, True, "")
    assert found.expires_at > datetime.now(UTC) + timedelta(days=30)


def test_a_link_is_made_in_the_transaction_of_its_message() -> None:
    who = patient()
    with connected(), pytest.raises(NotInTransaction):
        portal.issue_message_link(who, uuid4(), TEXT, expires_at=datetime.now(UTC))
