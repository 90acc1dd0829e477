"""What is due of a campaign becomes a message or says why not, once for each patient and step, a few at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute, fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import consents, patients
from dispatchlog.systems.outreach.campaigns import lifecycle, release, running
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import PatientInput
from dispatchlog.systems.outreach.states import Channel
from tests.outreach.builders import ASKER, STAFF, appointment, patient, says, zone_where_it_is
from tests.outreach.campaign_builders import (
    SECOND,
    STEP,
    begun,
    expanded,
    lines,
    messages,
    people,
    read,
    texts,
    time_passes,
)


@pytest.fixture(autouse=True)
def news(application: Settings) -> None:
    texts()


def test_a_workers_turn_takes_a_campaign_from_its_beginning_to_its_messages() -> None:
    """As a worker calls it: on no connection of its own."""
    readers = people(3)
    campaign = begun()
    running.run()
    assert sorted(message["patient_id"] for message in messages(campaign)) == readers
    assert {line["state"] for line in lines(campaign).values()} == {"MADE"}
    with connected():
        assert fetch_all("SELECT count(*) FROM comm_campaign_audience") == [(0,)]


def heard(campaign: Campaign, **columns: object) -> None:
    """Providers or patients told this of the first step's messages."""
    values = ", ".join(f"{name} = %s" for name in columns)
    with connected():
        execute(
            f"UPDATE comm_jobs SET {values} WHERE campaign_id = %s AND campaign_step = %s",
            (*columns.values(), campaign.id, "first"),
        )


def left_the_lane(campaign: Campaign) -> None:
    """Its messages are not on their way any more."""
    with connected():
        execute(
            "UPDATE comm_jobs SET status = 'CANCELLED' WHERE campaign_id = %s AND status = 'PENDING'", (campaign.id,)
        )


def now() -> datetime:
    return datetime.now(UTC)


def test_a_line_becomes_a_message_and_what_comes_after_it_gets_a_line() -> None:
    texts("A", "B", family="tried")
    [reader] = people(1)
    step = {**STEP, "family": "tried"}
    variants = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}]}
    campaign = expanded(step, {**step, "key": "second", "offset": {"days": 2}}, ab_variants=variants)
    drawn = lines(campaign)[reader]["variant"]
    assert release.release() == 1
    [message] = messages(campaign)
    line = lines(campaign)[reader]
    assert (line["state"], line["job_id"], line["variant"], line["reason"]) == ("MADE", message["id"], drawn, "")
    assert (message["campaign_step"], message["ab_variant"], message["patient_id"]) == ("first", drawn, reader)
    assert message["request_key"] == f"system:campaigns:campaign:{campaign.id}:first:{reader}"
    assert drawn in message["body"]
    follower = lines(campaign, "second")[reader]
    assert (follower["state"], follower["variant"]) == ("WAITING", drawn)
    assert follower["due_at"] == message["scheduled_at"] + timedelta(days=2)
    assert release.release() == 0


def test_nothing_of_a_paused_campaign_is_made_and_what_became_due_meanwhile_is_when_it_goes_on() -> None:
    people(2)
    campaign = expanded()
    lifecycle.pause(campaign.id, asker=STAFF, reason="a wrong word")
    assert release.release() == 0
    lifecycle.resume(campaign.id, asker=STAFF, reason="it is right")
    assert release.release() == len(messages(campaign)) == 2


def test_what_is_not_due_waits() -> None:
    people(1)
    campaign = expanded({**STEP, "offset": {"minutes": 5}})
    assert release.release() == 0
    time_passes(campaign)
    assert release.release() == 1


def says_yes(campaign: Campaign, reader: UUID) -> None:
    execute(
        "INSERT INTO comm_inbound (id, patient_id, channel, from_address, to_address, body, intent, related_job_id,"
        " provider, event_key, source, parsed_at) VALUES (%s, %s, 'sms', 'x', 'y', 'YES', 'confirm', %s, 'twilio', %s,"
        " 'native', now())",
        (uuid4(), reader, messages(campaign)[0]["id"], str(uuid4())),
    )


EXITS: dict[str, Callable[[Campaign, UUID], object]] = {
    "answered": lambda campaign, _: heard(campaign, replied_at=now()),
    "clicked": lambda campaign, _: heard(campaign, clicked_at=now()),
    "opted_out": lambda _, reader: consents.stop(
        Channel.EMAIL, f"{reader}@example.org", source="staff", asker=STAFF, patient_id=reader
    ),
    "left_segment": lambda _, reader: patients.put_patient(
        PatientInput(reader, "Jo Sample", email=f"{reader}@example.org", timezone=zone_where_it_is(12)),
        source="test",
        asker=ASKER,
    ),
    "booked": lambda _, reader: appointment(reader, starts_at=now() + timedelta(days=9)),
    "confirmed": says_yes,
}


@pytest.mark.parametrize("rule", EXITS)
@pytest.mark.parametrize("is_asked", [True, False], ids=["asked", "not_asked"])
def test_whoever_fulfils_an_exit_rule_gets_nothing_more(rule: str, is_asked: bool) -> None:
    [reader] = people(1)
    third = {**SECOND, "key": "third"}
    campaign = expanded(STEP, SECOND, third, exit_rules=[rule] if is_asked else [])
    release.release()
    left_the_lane(campaign)
    with connected():
        EXITS[rule](campaign, reader)
    time_passes(campaign)
    assert release.release() == 1
    line = lines(campaign, "second")[reader]
    if is_asked:
        assert (line["state"], line["reason"]) == ("SKIPPED", f"EXIT_{rule.upper()}")
        assert lines(campaign, "third") == {}
    else:
        assert line["state"] == "MADE"


@pytest.mark.parametrize(
    ("condition", "what", "holds"),
    [
        ("opened", {"opened_at": True}, True),
        ("opened", {"clicked_at": True}, True),
        ("opened", {"delivered_at": True}, False),
        ("not_opened", {"delivered_at": True}, True),
        ("delivered", {"opened_at": True}, True),
        ("delivered", {"delivered_at": True, "bounced_at": True}, False),
        ("not_delivered", {}, True),
        ("clicked", {"opened_at": True}, False),
        ("not_answered", {"replied_at": True}, False),
        ("answered", {"replied_at": True}, True),
        ("sent", {}, False),
    ],
)
def test_a_step_is_skipped_where_its_condition_does_not_hold_and_what_follows_comes(
    condition: str, what: dict[str, bool], holds: bool
) -> None:
    [reader] = people(1)
    second = {**SECOND, "conditions": [{"step": "first", "is": condition}]}
    campaign = expanded(STEP, second, {**SECOND, "key": "third"})
    release.release()
    left_the_lane(campaign)
    if what:
        heard(campaign, **dict.fromkeys(what, now()))
    time_passes(campaign)
    assert release.release() == 1
    line = lines(campaign, "second")[reader]
    assert (line["state"], line["reason"]) == (("MADE", "") if holds else ("SKIPPED", "CONDITION"))
    third = lines(campaign, "third")[reader]
    begins = messages(campaign)[-1]["scheduled_at"] if holds else line["due_at"]
    assert (third["state"], third["due_at"]) == ("WAITING", begins + timedelta(days=2))


def test_a_step_waits_until_the_one_before_it_has_left() -> None:
    [reader] = people(1)
    campaign = expanded(STEP, SECOND)
    release.release()
    time_passes(campaign)
    assert release.release() == 1
    line = lines(campaign, "second")[reader]
    assert (line["state"], line["reason"]) == ("WAITING", "STEP_BEFORE")
    assert line["due_at"] > now() + timedelta(days=1)
    left_the_lane(campaign)
    time_passes(campaign)
    release.release()
    assert lines(campaign, "second")[reader]["state"] == "MADE"


def test_who_cannot_be_written_to_is_skipped_with_the_reason_and_the_others_go_on() -> None:
    [reader] = people(1)
    nowhere = patient(email=None, phone=None, tags=("reader",))
    campaign = expanded(STEP, SECOND)
    assert release.release() == 2
    line = lines(campaign)[nowhere]
    assert (line["state"], line["reason"]) == ("SKIPPED", "NO_ADDRESS")
    assert lines(campaign)[reader]["state"] == "MADE"
    assert lines(campaign, "second")[nowhere]["due_at"] == line["due_at"] + timedelta(days=2)


def test_whoever_said_no_has_a_message_that_says_so_and_nothing_leaves() -> None:
    [reader] = people(1)
    says(reader, allow_email=False)
    campaign = expanded()
    assert release.release() == 1
    [message] = messages(campaign)
    assert (message["status"], message["last_error_code"]) == ("CANCELLED", "NO_CHANNEL")
    assert lines(campaign)[reader]["job_id"] == message["id"]


def test_a_step_with_a_channel_goes_by_no_other() -> None:
    texts(family="both", channels=(Channel.EMAIL, Channel.WHATSAPP))
    people(1)
    campaign = expanded({**STEP, "family": "both", "channel": "email"})
    release.release()
    [message] = messages(campaign)
    codes = {each["channel"]: each["code"] for each in message["decision"]["channel"]["considered"]}
    assert codes == {"email": "CHOSEN", "sms": "NO_TEMPLATE", "whatsapp": "EXCLUDED"}


def test_messages_of_all_campaigns_count_towards_the_limit_and_one_too_many_comes_another_day() -> None:
    [reader] = people(1)
    first, second = expanded(frequency={"per_day": 1}), expanded(frequency={"per_week": 1})
    assert release.release() == 2
    made, waiting = sorted((first, second), key=lambda each: lines(each)[reader]["state"])
    assert [lines(each)[reader]["state"] for each in (made, waiting)] == ["MADE", "WAITING"]
    line = lines(waiting)[reader]
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = 1 if waiting.id == first.id else 7
    assert (line["reason"], line["due_at"]) == ("FREQUENCY", midnight + timedelta(days=days))
    assert release.release() == 0


def test_what_finds_no_free_day_before_the_last_is_skipped() -> None:
    [reader] = people(1)
    expanded()
    release.release()
    campaign = expanded(frequency={"per_month": 1}, end_date=now().date() + timedelta(days=20))
    assert release.release() == 1
    line = lines(campaign)[reader]
    assert (line["state"], line["reason"]) == ("SKIPPED", "FREQUENCY")


def test_from_the_choice_on_whoever_had_nothing_yet_gets_the_winner() -> None:
    texts("A", "B", family="tried")
    readers = people(12)
    step = {**STEP, "family": "tried"}
    variants = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}]}
    campaign = expanded(step, {**step, "key": "second", "offset": {"days": 1}}, ab_variants=variants)
    drawn = {patient_id: line["variant"] for patient_id, line in lines(campaign).items()}
    assert release.release(limit=6) == 6
    with connected():
        execute(
            "UPDATE comm_campaigns SET winner = 'B', winner_at = now(), winner_by = 'x' WHERE id = %s", (campaign.id,)
        )
    assert release.release() == 6
    had = {each: drawn[each] for each in readers[:6]}
    wanted = had | dict.fromkeys(readers[6:], "B")
    assert {patient_id: line["variant"] for patient_id, line in lines(campaign).items()} == wanted
    assert {patient_id: line["variant"] for patient_id, line in lines(campaign, "second").items()} == wanted
    assert {message["patient_id"]: message["ab_variant"] for message in messages(campaign)} == wanted


def test_at_night_a_line_waits_for_the_morning_and_takes_nobodys_place() -> None:
    sleeper = patient(email="sleeper@example.org", tags=("reader",), timezone=zone_where_it_is(1))
    [reader] = people(1)
    campaign = expanded()
    assert release.release() == 2
    assert [message["patient_id"] for message in messages(campaign)] == [reader]
    line = lines(campaign)[sleeper]
    assert (line["state"], line["reason"]) == ("WAITING", "NIGHT")
    assert timedelta(hours=5) < line["due_at"] - now() < timedelta(hours=9)


def test_only_a_few_wait_in_the_lane_and_each_campaign_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "AHEAD", 3)
    people(8)
    people(8, tag="listener")
    first, second = expanded(), expanded(tag="listener")
    assert release.release(limit=4) == 4
    assert (len(messages(first)), len(messages(second))) == (2, 2)
    assert release.release() == 2
    assert release.release() == 0
    assert (len(messages(first)), len(messages(second))) == (3, 3)
    left_the_lane(first)
    assert release.release() == 3
    assert (len(messages(first)), len(messages(second))) == (6, 3)


def test_several_at_once_make_each_message_once() -> None:
    readers = people(40)
    campaign = expanded(STEP, {**SECOND, "offset": {"days": 0}})

    def work(_: int) -> int:
        decided = 0
        while any(line["state"] == "WAITING" for line in lines(campaign).values()):
            decided += release.release(limit=7)
        return decided

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) >= 40
    assert Counter(message["patient_id"] for message in messages(campaign) if message["campaign_step"] == "first") == (
        Counter(readers)
    )
    assert {line["state"] for line in lines(campaign).values()} == {"MADE"}
    assert [*lines(campaign, "second")] == readers


def test_a_patient_whose_data_cannot_be_opened_holds_up_nobody() -> None:
    readers = people(5)
    with connected():
        execute("UPDATE patients SET email_sealed = '\\x00' WHERE id = %s", (readers[2],))
    campaign = expanded()
    while release.release():
        pass
    states = {patient_id: line["state"] for patient_id, line in lines(campaign).items()}
    assert states == dict.fromkeys(readers, "MADE") | {readers[2]: "WAITING"}
    assert lines(campaign)[readers[2]]["due_at"] > now() + timedelta(minutes=30)


@pytest.mark.parametrize("ended", ["stopped", "end_date"])
def test_what_waits_of_a_campaign_that_has_ended_is_not_made_and_not_sent(ended: str) -> None:
    people(6)
    campaign = expanded(end_date=now().date() + timedelta(days=3))
    release.release(limit=2)
    if ended == "stopped":
        lifecycle.stop(campaign.id, asker=STAFF, reason="a wrong list")
        assert release.settle() == 0
    else:
        day = now().date() - timedelta(days=2)
        with connected():
            execute("UPDATE comm_campaigns SET start_date = %s, end_date = %s WHERE id = %s", (day, day, campaign.id))
        assert release.release() == 0
        assert release.settle() == 1
    became = Counter((line["state"], line["reason"]) for line in lines(campaign).values())
    assert became == {("MADE", ""): 2, ("SKIPPED", ended.upper()): 4}
    assert [message["status"] for message in messages(campaign)] == ["CANCELLED"] * 2
    assert (read(campaign).status, read(campaign).ended_reason) == ("completed", ended)
    assert release.settle() == 0


def test_a_campaign_is_over_when_it_is_written_out_and_nothing_of_it_waits() -> None:
    people(2)
    campaign = begun(STEP, SECOND)
    assert release.settle() == 0
    campaign = expanded(STEP, SECOND, segment_id=campaign.segment_id)
    release.release()
    left_the_lane(campaign)
    assert release.settle() == 0  # its second step waits
    time_passes(campaign)
    release.release()
    assert release.settle() == 0  # its messages wait
    left_the_lane(campaign)
    assert release.settle() == 1
    assert (read(campaign).status, read(campaign).ended_reason) == ("completed", "finished")
