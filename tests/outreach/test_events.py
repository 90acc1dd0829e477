"""What providers tell: kept once, the same end in whatever order it comes, and nobody is written to who said no to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatchlog.engine.database import execute, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import event_applying, events
from dispatchlog.systems.outreach.hearing import COLUMNS, Event
from tests.engine.lane import owner
from tests.engine.processes import until
from tests.outreach import builders
from tests.outreach.conftest import Desk
from tests.outreach.reported import effects, finish, heard, job, store, tell

pytestmark = pytest.mark.usefixtures("known_late")


@pytest.fixture
def known_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks further back than it says."""
    monkeypatch.setattr(event_applying, "_late_at", [float("inf")])


def test_an_event_is_stored_and_applied_once_however_often_it_comes(desk: Desk) -> None:
    message = job(desk.lane, builders.patient())
    delivered = tell("delivered", message)
    assert (store(delivered, delivered), store(delivered)) == (1, 0)
    assert (events.apply_all(), events.apply_all()) == (1, 0)
    assert heard(message)["delivered_at"] is not None
    assert effects() == ["MOVED"]


WORDS = (("processed", ""), ("delivered", ""), ("open", ""), ("click", ""), ("bounce", "5.1.1"), ("bounce", "4.0.0"),
         ("deferred", ""))  # fmt: skip
some_news = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(-9, 9)), min_size=1, max_size=6)


@given(told=some_news, order=st.randoms(use_true_random=False), again=st.integers(0, 5), pause=st.integers(0, 6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_order_of_arrival_with_whatever_comes_twice_ends_the_same(
    desk: Desk, told: Sequence[tuple[tuple[str, str], int]], order: st.randoms, again: int, pause: int
) -> None:
    patient = builders.patient()
    begin = datetime.now(UTC)
    ends = []
    for shuffled in (False, True):
        message = job(desk.lane, patient, "sendgrid", created_at=begin - timedelta(hours=1))
        news = [
            tell(word, message, provider="sendgrid", code=code, occurred_at=begin + timedelta(minutes=minutes - 10))
            for (word, code), minutes in told
        ]
        if shuffled:
            order.shuffle(news)
            news.insert(again, news[0])
        for portion in (news[:pause], news[pause:]):
            store(*portion)
            events.apply_all()
        ends.append(heard(message))
    assert ends[0] == ends[1]
    first = min((minutes for (word, _), minutes in told if word in ("delivered", "open", "click")), default=None)
    expected = begin + timedelta(minutes=first - 10) if first is not None else None
    assert ends[0]["delivered_at"] == expected


def test_what_a_provider_says_of_a_time_that_cannot_be_is_taken_for_one_that_can(desk: Desk) -> None:
    message = job(desk.lane, builders.patient())
    store(tell("delivered", message, minutes=-600), tell("read", message, minutes=600))
    events.apply_all()
    (times,) = builders.rows("SELECT created_at, delivered_at, opened_at, now() FROM comm_jobs")
    assert times["delivered_at"] == times["created_at"]
    assert times["opened_at"] <= times["now"]


def test_news_that_came_before_the_message_id_was_known_is_applied_once_it_is(desk: Desk) -> None:
    message = job(desk.lane, builders.patient(), end="QUEUED")
    store(tell("delivered", provider_message_id="SM1"))
    events.apply_all()
    assert effects() == ["UNMATCHED"]
    assert heard(message)["delivered_at"] is None
    finish(message, "SM1")
    assert events.apply_all() == 1
    assert effects() == ["MOVED"]
    assert heard(message)["delivered_at"] is not None


def test_news_of_long_ago_is_matched_within_the_hour_and_of_another_provider_never(
    desk: Desk, settings_env: Settings
) -> None:
    store(
        tell("delivered", provider_message_id="SM1"), tell("delivered", provider="whatsapp", provider_message_id="SM1")
    )
    events.apply_all()
    with owner(settings_env.database_url) as cursor:
        cursor.execute("UPDATE comm_events SET received_at = received_at - interval '2 days'")
    message = job(desk.lane, builders.patient(), message_id="SM1")
    assert events.apply_all() == 0
    assert event_applying.match_again(seconds=event_applying.LATE_SECONDS) == 1
    assert effects() == ["MOVED", "UNMATCHED"]
    assert heard(message)["delivered_at"] is not None


def test_a_message_of_another_provider_is_not_moved_by_its_id_in_the_address(desk: Desk) -> None:
    message = job(desk.lane, builders.patient(), "whatsapp")
    store(tell("failed", message, provider="twilio"))
    events.apply_all()
    assert heard(message)["bounced_at"] is None
    assert effects() == ["UNMATCHED"]


@pytest.mark.parametrize(("end", "status"), [("DOUBT", "SENT"), ("RETRIED", "SENT"), ("QUEUED", "QUEUED")])
def test_a_message_of_which_the_provider_tells_is_proved(desk: Desk, end: str, status: str) -> None:
    message = job(desk.lane, builders.patient(), end=end)
    store(tell("queued", message, provider_message_id="SM7"))
    events.apply_all()
    assert (heard(message)["status"], heard(message)["in_doubt"]) == (status, False)
    (attempt,) = builders.rows("SELECT outcome, provider_message_id, evidence FROM dispatch_attempts")
    assert (attempt["outcome"], attempt["provider_message_id"]) == ("ACCEPTED", "SM7")
    assert attempt["evidence"]["webhook"]["status"] == "queued"


def test_a_message_that_never_left_is_not_proved_by_anybody(desk: Desk) -> None:
    message = job(desk.lane, builders.patient(), end="PENDING")
    store(tell("delivered", message))
    events.apply_all()
    assert heard(message)["status"] == "PENDING"
    assert builders.rows("SELECT * FROM dispatch_attempts") == []


def test_a_bounce_keeps_its_first_code_and_a_delivery_beside_it(desk: Desk) -> None:
    message = job(desk.lane, builders.patient())
    store(
        tell("undelivered", message, minutes=-2, code="30005"),
        tell("failed", message, minutes=-1, code="30008"),
        tell("delivered", message),
    )
    events.apply_all()
    assert heard(message)["bounce_code"] == "30005"
    assert heard(message)["delivered_at"] is not None


@pytest.mark.parametrize("order", [("4.0.0", "5.1.1"), ("5.1.1", "4.0.0")])
def test_of_two_bounces_at_one_instant_the_same_code_is_kept_whichever_came_first(
    desk: Desk, order: tuple[str, str]
) -> None:
    message = job(desk.lane, builders.patient(), "sendgrid")
    now = datetime.now(UTC)
    for code in order:
        store(tell("bounce", message, provider="sendgrid", code=code, occurred_at=now))
        events.apply_all()
    assert heard(message)["bounce_code"] == "4.0.0"


def stops() -> list[tuple[str, str]]:
    return [(row["channel"], row["source"]) for row in builders.rows("SELECT channel, source FROM comm_stops")]


@pytest.mark.parametrize(
    ("provider", "word", "code", "stopped"),
    [
        ("twilio", "failed", "21610", ("sms", "carrier")),
        ("sendgrid", "spamreport", "", ("email", "spam_report")),
        ("sendgrid", "unsubscribe", "", ("email", "unsubscribe")),
        ("sendgrid", "dropped", "SPAM_REPORTING_ADDRESS", ("email", "spam_report")),
    ],
)
def test_who_tells_the_provider_to_stop_is_written_to_no_more(
    desk: Desk, provider: str, word: str, code: str, stopped: tuple[str, str]
) -> None:
    patient = builders.patient()
    message = job(desk.lane, patient, provider)
    waiting = job(desk.lane, patient, provider, end="PENDING")
    store(tell(word, message, provider=provider, code=code))
    assert events.apply_all() == 1
    assert stops() == [stopped]
    assert heard(waiting)["status"] == "CANCELLED"
    assert heard(message)["unsubscribed_at"] is not None
    (evidence,) = builders.rows("SELECT patient_id, given, evidence FROM comm_consents")
    assert (evidence["patient_id"], evidence["given"]) == (patient, False)
    assert evidence["evidence"]["job_id"] == str(message)
    (line,) = builders.rows("SELECT actor FROM comm_audit_log WHERE action = 'opt_out'")
    assert line["actor"] == f"provider:{provider}"


@pytest.mark.parametrize(
    ("provider", "word", "code"), [("sendgrid", "group_unsubscribe", ""), ("whatsapp", "failed", "131050")]
)
def test_who_wants_no_more_advertising_gets_what_is_about_their_care(
    desk: Desk, provider: str, word: str, code: str
) -> None:
    patient = builders.patient()
    column = "marketing_opt_in_email" if provider == "sendgrid" else "marketing_opt_in_whatsapp"
    builders.says(patient, **{column: True})
    message = job(desk.lane, patient, provider)
    waiting = job(desk.lane, patient, provider, end="PENDING")
    store(tell(word, message, provider=provider, code=code))
    events.apply_all()
    assert stops() == []
    assert heard(waiting)["status"] == "PENDING"
    (preferences,) = builders.rows(f"SELECT {column} AS said FROM patient_comm_prefs")
    assert preferences["said"] is False


def test_an_opt_out_told_of_four_messages_and_applied_by_many_at_once_is_one_stop_and_kept_once_each(desk: Desk) -> None:
    patient = builders.patient()
    messages = [job(desk.lane, patient) for _ in range(4)]
    store(*[tell("failed", message, code="21610") for message in messages])
    store(*[tell("delivered", message) for message in messages])
    with ThreadPoolExecutor(6) as pool:
        applied = sum(pool.map(lambda _: events.apply_all(), range(6)))
    assert applied == 8
    assert stops() == [("sms", "carrier")]
    kept = builders.rows("SELECT evidence FROM comm_consents")
    assert sorted(each["evidence"]["job_id"] for each in kept) == sorted(map(str, messages))
    assert [heard(message)["bounce_code"] for message in messages] == ["21610"] * 4


def test_an_event_that_cannot_be_applied_holds_up_nothing_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = builders.patient()
    bad, good = job(desk.lane, patient), job(desk.lane, patient)
    fold = event_applying.fold

    def fail(row: Mapping[str, Any], new: Sequence[Event]) -> object:
        if row["id"] == bad:
            raise ValueError("broken")
        return fold(row, new)

    with monkeypatch.context() as patch:
        patch.setattr(event_applying, "fold", fail)
        store(tell("delivered", bad, event_key="1"), tell("delivered", good, event_key="2"))
        assert events.apply_all() == 1
    assert heard(good)["delivered_at"] is not None
    assert effects() == [None, "MOVED"]
    assert events.apply_all() == 1


def test_whoever_loses_a_deadlock_holds_up_nothing_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, other = job(desk.lane, builders.patient()), job(desk.lane, builders.patient())
    fold = event_applying.fold

    def deadlock(row: Mapping[str, Any], new: Sequence[Event]) -> object:
        if row["id"] == lost:
            raise psycopg2.errors.DeadlockDetected("deadlock detected")
        return fold(row, new)

    with monkeypatch.context() as patch:
        patch.setattr(event_applying, "fold", deadlock)
        store(tell("delivered", lost), tell("delivered", other))
        assert events.apply_all() == 1
    assert heard(other)["delivered_at"] is not None
    assert events.apply_all() == 1


def test_a_message_that_somebody_holds_is_waited_for(desk: Desk) -> None:
    patient = builders.patient()
    held, free = job(desk.lane, patient), job(desk.lane, patient)
    store(tell("delivered", held), tell("delivered", free))
    with ThreadPoolExecutor(2) as pool:
        with transaction("test"):
            execute("SELECT id FROM comm_jobs WHERE id = %s FOR UPDATE", (held,))
            applying = pool.submit(events.apply_all)
            until(lambda: pool.submit(heard, free).result()["delivered_at"], what="what nobody holds goes first")
            assert not applying.done()
        assert applying.result() == 2
    assert heard(held)["delivered_at"] is not None


def test_an_id_of_no_message_of_ours_is_kept_and_moves_nothing(desk: Desk) -> None:
    store(tell("delivered", uuid4()))
    assert events.apply_all() == 1
    assert effects() == ["UNMATCHED"]


def test_every_column_of_what_was_heard_may_be_written_after_a_message_was_sent(desk: Desk) -> None:
    message = job(desk.lane, builders.patient(), "sendgrid")
    words = ("delivered", "open", "click", "bounce", "group_unsubscribe")
    store(*[tell(word, message, provider="sendgrid", code="5.0.0") for word in words])
    events.apply_all()
    assert [name for name in COLUMNS if heard(message)[name] is None] == []
