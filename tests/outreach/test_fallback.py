"""What certainly did not arrive goes by another channel, once; what may have arrived never does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.database import execute, transaction
from dispatchlog.gateways.fake import Outcome, Play
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach import consents
from dispatchlog.systems.outreach.campaigns import release
from dispatchlog.systems.outreach.fallback import follow_up
from dispatchlog.systems.outreach.states import Channel, Purpose
from tests.engine.lane import change, history
from tests.outreach import builders, campaign_builders
from tests.outreach.conftest import Desk
from tests.outreach.requests import ask, awake, text

EMAIL, SMS, WHATSAPP = Channel.EMAIL, Channel.SMS, Channel.WHATSAPP


@pytest.fixture(autouse=True)
def texts(application: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SMS and e-mail have a provider, and there is a text for both."""
    for name, value in {
        "OUTREACH_SMS": "twilio",
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_FROM": "+12025550199",
    }.items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    get_settings.cache_clear()
    for channel in (SMS, EMAIL):
        text(channel)
    yield
    get_settings.cache_clear()


def read(desk: Desk, job_id: UUID) -> dict[str, Any]:
    return builders.read(desk.lane, job_id)


def after(job_id: UUID) -> list[dict[str, Any]]:
    """What went in a job's place."""
    return builders.rows("SELECT * FROM comm_jobs WHERE fallback_of = %s ORDER BY seq", job_id)


def failed(desk: Desk, *, outcome: Outcome = Outcome.PERMANENT, code: str = "TWILIO_30003", **values: Any) -> UUID:
    """An SMS that its provider refused."""
    desk.gateways["sms-twilio"].script(Play(outcome, code=code))
    made = ask(values.pop("patient_id", None) or awake(), **values)
    desk.drain()
    return made.job_id


def test_a_text_that_failed_goes_by_mail_and_nobody_sends_it_again(desk: Desk) -> None:
    job_id = failed(desk)
    assert follow_up() == 1
    (instead,) = after(job_id)
    assert (instead["channel"], instead["status"], instead["recipient"]) == ("email", "PENDING", builders.EMAIL)
    assert instead["decision"]["instead_of"] == str(job_id)
    assert [one["code"] for one in instead["decision"]["channel"]["considered"] if one["channel"] == "sms"] == [
        "EXCLUDED"
    ]
    row = read(desk, job_id)
    assert row["status"] == "CANCELLED"
    assert history(job_id)[-1]["reason"] == "sent by e-mail instead"
    assert operator.retry(desk.lane, [job_id], actor="staff")[0].code == "ILLEGAL_MOVE"
    assert follow_up() == 0
    desk.drain()
    assert desk.left == [builders.EMAIL]


def test_what_may_have_arrived_never_goes_by_another_channel(desk: Desk) -> None:
    job_id = failed(desk, outcome=Outcome.UNKNOWN_AFTER_ACCEPT)
    assert read(desk, job_id)["in_doubt"]
    assert follow_up() == 0
    assert after(job_id) == []
    assert read(desk, job_id)["fallback_decided_at"] is None


def test_a_doubt_that_ends_in_a_no_is_followed(desk: Desk) -> None:
    job_id = failed(desk, outcome=Outcome.UNKNOWN_AFTER_ACCEPT)
    assert follow_up() == 0
    change(desk.lane, job_id, in_doubt="false", lookup_at="NULL")
    assert follow_up() == 1
    assert len(after(job_id)) == 1


def test_a_mail_that_bounced_goes_by_text_and_stays_as_it_was_sent(desk: Desk) -> None:
    made = ask(awake(), preferred_channel=EMAIL)
    desk.drain()
    assert follow_up() == 0
    change(desk.lane, made.job_id, bounced_at="now()", bounce_code="'550'")
    assert follow_up() == 1
    assert follow_up() == 0
    (instead,) = after(made.job_id)
    assert instead["channel"] == "sms"
    assert read(desk, made.job_id)["status"] == "SENT"


def test_what_was_read_before_it_bounced_needs_no_other_channel(desk: Desk) -> None:
    made = ask(awake(), preferred_channel=EMAIL)
    desk.drain()
    change(desk.lane, made.job_id, bounced_at="now()", opened_at="now()")
    assert follow_up() == 0
    assert after(made.job_id) == []


def test_where_every_channel_was_tried_it_stays_failed_for_a_person(desk: Desk) -> None:
    job_id = failed(desk)
    assert follow_up() == 1
    desk.gateways["email-smtp"].script(Outcome.PERMANENT)
    desk.drain()
    (instead,) = after(job_id)
    assert follow_up() == 0
    row = read(desk, instead["id"])
    assert (row["status"], row["fallback_decided_at"] is not None) == ("FAILED", True)
    assert len(builders.rows("SELECT FROM comm_jobs")) == 2
    assert operator.retry(desk.lane, [row["id"]], actor="staff")[0].changed


def test_without_another_channel_that_may_be_used_nothing_is_made(desk: Desk) -> None:
    patient_id = awake()
    builders.says(patient_id, allow_email=False)
    job_id = failed(desk, patient_id=patient_id)
    assert follow_up() == 0
    assert [row["id"] for row in builders.rows("SELECT id FROM comm_jobs")] == [job_id]
    assert read(desk, job_id)["status"] == "FAILED"


def test_marketing_is_not_worth_a_second_try(desk: Desk) -> None:
    for channel in (SMS, EMAIL):
        text(channel, Purpose.CAMPAIGN_EDUCATION)
    patient_id = awake()
    builders.says(patient_id, marketing_opt_in_sms=True, marketing_opt_in_email=True)
    desk.gateways["email-smtp"].script(Outcome.PERMANENT)
    job_id = ask(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION).job_id
    desk.drain()
    assert read(desk, job_id)["status"] == "FAILED"
    assert follow_up() == 0
    assert after(job_id) == []


def test_a_provider_that_says_opted_out_makes_a_stop(desk: Desk) -> None:
    job_id = failed(desk, code="OPTED_OUT")
    assert follow_up() == 1
    row = read(desk, job_id)
    with transaction("test"):
        assert consents.is_stopped(SMS, bytes(row["recipient_hash"]))
    (evidence,) = builders.rows("SELECT * FROM comm_consents WHERE NOT given AND purpose_class = 'all'")
    assert (evidence["source"], evidence["evidence"]["job"]) == ("carrier", str(job_id))
    assert ask(row["patient_id"]).channel is EMAIL


def test_an_opt_out_that_cannot_be_noted_keeps_no_other_and_is_noted_the_next_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opted_out, other = failed(desk, code="OPTED_OUT"), failed(desk, patient_id=awake(phone="+12025550177"))

    def fail(*_: Any, **__: Any) -> bool:
        raise psycopg2.errors.DeadlockDetected("deadlock detected")

    with monkeypatch.context() as patch:
        patch.setattr(consents, "stop", fail)
        assert follow_up() == 1
    assert (len(after(opted_out)), len(after(other))) == (0, 1)
    assert follow_up() == 1
    assert len(after(opted_out)) == 1
    assert len(builders.rows("SELECT FROM comm_stops")) == 1


def test_an_opt_out_is_noted_while_its_message_is_free(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others lock the address first and then the message."""
    job_id = failed(desk, code="OPTED_OUT")
    free: list[int] = []
    stop = consents.stop

    def look(*args: Any, **values: Any) -> bool:
        sql = "SELECT FROM comm_jobs WHERE id = %s FOR UPDATE SKIP LOCKED"
        with ThreadPoolExecutor(1) as pool:
            free.append(len(pool.submit(builders.rows, sql, job_id).result()))
        return stop(*args, **values)

    monkeypatch.setattr(consents, "stop", look)
    assert follow_up() == 1
    assert free == [1]


def test_a_text_that_somebody_chose_has_no_other_in_its_place(desk: Desk) -> None:
    (template,) = builders.rows("SELECT id FROM comm_templates WHERE channel = 'sms'")
    job_id = failed(desk, template_id=template["id"])
    assert follow_up() == 0
    assert after(job_id) == []
    assert read(desk, job_id)["status"] == "FAILED"


def test_a_provider_that_takes_no_marketing_for_somebody_ends_that_alone(desk: Desk) -> None:
    text(EMAIL, Purpose.CAMPAIGN_EDUCATION)
    patient_id = awake()
    builders.says(patient_id, marketing_opt_in_email=True)
    desk.gateways["email-smtp"].script(Play(Outcome.PERMANENT, code="OPTED_OUT_MARKETING"))
    ask(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION)
    desk.drain()
    assert follow_up() == 0
    assert ask(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION).refused == "NO_CHANNEL"
    assert ask(patient_id, preferred_channel=EMAIL).channel is EMAIL


def test_an_answer_to_what_a_patient_wrote_belongs_to_that_channel(desk: Desk) -> None:
    desk.gateways["sms-twilio"].script(Outcome.PERMANENT)
    job_id = builders.job(desk.lane, awake(), SMS, decision={"reply_to": "it"})
    desk.drain()
    assert read(desk, job_id)["status"] == "FAILED"
    assert follow_up() == 0
    assert after(job_id) == []


def test_what_one_job_holds_does_not_keep_the_others(desk: Desk) -> None:
    wrong, right = failed(desk), failed(desk)
    with transaction("test"):
        execute(
            "UPDATE patients SET name_sealed = 'x' WHERE id = (SELECT patient_id FROM comm_jobs WHERE id = %s)",
            (wrong,),
        )
    assert follow_up() == 1
    assert (len(after(wrong)), len(after(right))) == (0, 1)
    assert read(desk, wrong)["status"] == "FAILED"


def test_two_clocks_at_once_decide_about_each_job_once(desk: Desk) -> None:
    ids = [failed(desk) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        made = sum(pool.map(lambda _: follow_up(), range(4)))
    made += follow_up()
    assert made == 8
    assert [len(after(job_id)) for job_id in ids] == [1] * 8


# --- behind a provider that does not work


def test_what_waits_too_long_behind_an_open_breaker_goes_by_another_channel(desk: Desk) -> None:
    patient_id = awake()
    long, short = ask(patient_id), ask(awake())
    change(desk.lane, long.job_id, due_at="now() - interval '10 min'")
    change(desk.lane, short.job_id, due_at="now()")
    assert follow_up() == 0  # the provider works
    desk.runtime.breaker.report("sms-twilio", good=0, bad=30)
    assert follow_up() == 1
    (instead,) = after(long.job_id)
    assert instead["channel"] == "email"
    assert read(desk, long.job_id)["status"] == "CANCELLED"
    assert "does not work now" in history(long.job_id)[-1]["reason"]
    assert read(desk, short.job_id)["status"] == "PENDING"
    assert follow_up() == 0


def test_what_was_tried_before_waits_for_its_own_channel(desk: Desk) -> None:
    made = ask(awake())
    change(
        desk.lane,
        made.job_id,
        due_at="now() - interval '10 min'",
        first_claimed_at="now() - interval '10 min'",
    )
    desk.runtime.breaker.report("sms-twilio", good=0, bad=30)
    assert follow_up() == 0
    assert read(desk, made.job_id)["status"] == "PENDING"


def test_without_another_channel_it_waits_on_behind_the_breaker(desk: Desk) -> None:
    patient_id = awake(email=None)
    made = ask(patient_id)
    change(desk.lane, made.job_id, due_at="now() - interval '10 min'")
    desk.runtime.breaker.report("sms-twilio", good=0, bad=30)
    assert follow_up() == 0
    row = read(desk, made.job_id)
    assert (row["status"], row["fallback_decided_at"] is not None) == ("PENDING", True)
    desk.runtime.breaker.forget("sms-twilio")
    desk.drain()
    assert desk.left == [builders.PHONE]


def test_what_waits_for_a_provider_that_is_not_set_up_any_more_goes_by_another_channel(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ask(awake())
    change(desk.lane, made.job_id, due_at="now() - interval '10 min'")
    monkeypatch.setenv("DISPATCHLOG_OUTREACH_SMS", "")
    get_settings.cache_clear()
    assert follow_up() == 1
    assert after(made.job_id)[0]["channel"] == "email"


@pytest.mark.parametrize("channel", [None, "sms"], ids=["any_channel", "its_own"])
def test_a_campaigns_message_stays_its_own_by_another_channel_unless_its_step_names_one(
    desk: Desk, channel: str | None
) -> None:
    campaign_builders.texts("A", "B", family="tried", channels=(SMS, EMAIL))
    reader = builders.patient(tags=("reader",))
    step = {"key": "first", "purpose": "lab_ready", "family": "tried", "channel": channel}
    second = {**step, "key": "second", "channel": "email", "conditions": [{"step": "first", "is": "answered"}]}
    variants = {"variants": [{"key": key, "weight": 1} for key in ("A", "B")]}
    campaign = campaign_builders.expanded(step, second, ab_variants=variants)
    desk.gateways["sms-twilio"].script(Play(Outcome.PERMANENT, code="TWILIO_30003"))
    release.release()
    desk.drain()
    [message] = campaign_builders.messages(campaign)
    assert follow_up() == (0 if channel else 1)
    if channel:
        assert after(message["id"]) == []
        return
    (instead,) = after(message["id"])
    for name in ("campaign_id", "campaign_step", "ab_variant"):
        assert instead[name] == message[name]
    assert message["ab_variant"] in instead["body"]
    desk.drain()
    change(desk.lane, instead["id"], replied_at="now()")
    campaign_builders.time_passes(campaign)
    release.release()
    assert campaign_builders.lines(campaign, "second")[reader]["state"] == "MADE"
