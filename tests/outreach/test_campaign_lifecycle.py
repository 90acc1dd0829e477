"""Campaigns begin only when nothing speaks against it, and pause and stop hold for what is about to leave."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from time import sleep
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.gateways.fake import Play
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.campaigns import barrier, checking, lifecycle, store
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose
from tests.outreach import builders, campaign_rows
from tests.outreach.conftest import Desk

pytestmark = pytest.mark.usefixtures("application")

STAFF = builders.STAFF


def start(one: Campaign, *, based_on: int | None = None) -> Campaign:
    with connected():
        return lifecycle.start(one.id, based_on=based_on or one.version, asker=STAFF)


def refused(act: Callable[[], object]) -> OutreachError:
    with pytest.raises(OutreachError) as error, connected():
        act()
    return error.value


def refused_start(one: Campaign) -> OutreachError:
    """The refusal; nothing has begun then."""
    found = refused(lambda: start(one))
    assert state(one) == one.status
    assert builders.rows("SELECT FROM operator_actions WHERE action = 'start_campaign'") == []
    return found


def state(one: Campaign) -> str:
    with connected():
        return store.campaign(one.id).status


def actions() -> list[tuple[str, str | None]]:
    rows = builders.rows("SELECT action, reason FROM operator_actions WHERE action LIKE '%%campaign' ORDER BY id")
    return [(row["action"], row["reason"]) for row in rows if row["action"] != "write_campaign"]


def test_a_draft_begins_today_where_it_has_no_day_and_says_who_began_it() -> None:
    campaign_rows.reader()
    begun = start(campaign_rows.draft())
    assert (begun.status, begun.started_by, begun.version) == ("active", STAFF.actor, 2)
    assert begun.started_at is not None
    assert begun.start_date == datetime.now(ZoneInfo(begun.timezone)).date()
    [row] = builders.rows("SELECT actor, detail FROM operator_actions WHERE action = 'start_campaign'")
    assert row == {"actor": STAFF.actor, "detail": {"campaign_id": str(begun.id), "audience": 1}}


def test_one_that_begins_later_keeps_its_day() -> None:
    campaign_rows.reader()
    day = date.today() + timedelta(days=20)  # noqa: DTZ011  (any day ahead)
    assert start(campaign_rows.draft(start_date=day)).start_date == day


def test_what_has_begun_or_was_changed_meanwhile_does_not_begin() -> None:
    campaign_rows.reader()
    one = campaign_rows.draft()
    assert refused(lambda: start(one, based_on=7)).code == "VERSION_CONFLICT"
    start(one)
    error = refused(lambda: start(one))
    assert (error.code, error.present) == ("CAMPAIGN_BEGUN", {"status": "active"})
    assert refused(lambda: lifecycle.start(uuid4(), based_on=1, asker=STAFF)).code == "CAMPAIGN_NOT_FOUND"


def test_of_two_beginnings_at_once_one_wins() -> None:
    campaign_rows.reader()
    one = campaign_rows.draft()

    def attempt(_: int) -> str:
        try:
            return start(one).status
        except OutreachError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        assert Counter(pool.map(attempt, range(4))) == {"active": 1, "CAMPAIGN_BEGUN": 3}


def test_of_two_campaigns_for_the_same_patients_that_begin_at_once_one_wins() -> None:
    campaign_rows.reader()
    both = [campaign_rows.draft(), campaign_rows.draft()]

    def attempt(one: Campaign) -> str:
        try:
            return start(one).status
        except OutreachError as error:
            return error.code

    with ThreadPoolExecutor(2) as pool:
        assert Counter(pool.map(attempt, both)) == {"active": 1, "CAMPAIGN_OVERLAP": 1}


def test_nobody_in_the_segment() -> None:
    campaign_rows.reader(tags=["other"])
    campaign_rows.reader(active=False)
    error = refused_start(campaign_rows.draft())
    assert (error.code, error.field) == ("EMPTY_AUDIENCE", "segment_id")


def test_the_last_day_is_over() -> None:
    campaign_rows.reader()
    one = campaign_rows.draft(start_date=date(2026, 1, 1), end_date=date(2026, 1, 2))
    error = refused_start(one)
    assert (error.code, error.field) == ("END_DATE_PASSED", "end_date")


def test_an_archived_segment() -> None:
    campaign_rows.reader()
    one = campaign_rows.draft()
    with connected():
        execute("UPDATE patient_segments SET is_active = false")
    assert refused_start(one).code == "SEGMENT_ARCHIVED"


@pytest.mark.parametrize("known_by", ["its segment", "its audience", "its lines"])
def test_patients_of_another_campaign(known_by: str) -> None:
    shared = campaign_rows.reader(tags=["flu", "walk"])
    campaign_rows.reader()
    other = campaign_rows.begun(segment_id=campaign_rows.segment("walk"), name="Walks")
    now_in(other, shared, known_by)
    one = campaign_rows.draft()
    error = refused_start(one)
    assert (error.code, error.field) == ("CAMPAIGN_OVERLAP", "overlap")
    assert error.present == {"patients": 1, "campaigns": [{"id": str(other.id), "name": "Walks"}]}
    assert start(campaign_rows.draft(overlap="exclude")).status == "active"


def now_in(other: Campaign, patient_id: UUID, known_by: str) -> None:
    """Where the other campaign's patients stand while it is written out, and afterwards."""
    if known_by == "its segment":
        return
    with connected():
        execute("UPDATE comm_campaigns SET audience_at = now() WHERE id = %s", (other.id,))
        # It is in the audience, or in a line, that the patient is found, and not in the segment any more.
        execute("UPDATE patients SET tags = '{flu}' WHERE id = %s", (patient_id,))
        if known_by == "its audience":
            execute("INSERT INTO comm_campaign_audience VALUES (%s, %s)", (other.id, patient_id))
        else:
            execute(
                "INSERT INTO comm_campaign_sends (campaign_id, step, patient_id, due_at) VALUES (%s, 'intro', %s, now())",
                (other.id, patient_id),
            )


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"overlap": "allow"}, "active"),
        ({"start_date": date.today() + timedelta(days=40)}, "active"),  # noqa: DTZ011  (any day ahead)
        ({}, "paused"),
    ],
)
def test_campaigns_on_other_days_or_that_may_overlap(values: dict[str, Any], status: str) -> None:
    campaign_rows.reader()
    last = date.today() + timedelta(days=30)  # noqa: DTZ011  (any day ahead)
    campaign_rows.begun(status, end_date=last)
    one = campaign_rows.draft(**values)
    if values:
        assert start(one).status == "active"
    else:
        assert refused_start(one).code == "CAMPAIGN_OVERLAP"


def test_nobody_is_left_where_all_are_in_another_campaign() -> None:
    campaign_rows.reader()
    campaign_rows.begun()
    assert refused_start(campaign_rows.draft(overlap="exclude")).code == "EMPTY_AUDIENCE"


def test_a_campaign_that_is_over_holds_nobody() -> None:
    campaign_rows.reader()
    start(one := campaign_rows.draft())
    with connected():
        lifecycle.stop(one.id, asker=STAFF, reason="")
    assert start(campaign_rows.draft()).status == "active"


LANGUAGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"language": "es"}, {}, "es"),
    ({"language": "pt-BR"}, {}, "pt-BR"),
    ({"language": "en"}, {"language": "fr"}, "fr"),
]


@pytest.mark.parametrize(("reported", "chosen", "missing"), LANGUAGES)
def test_a_language_without_a_text(reported: dict[str, Any], chosen: dict[str, Any], missing: str) -> None:
    campaign_rows.reader()
    other = campaign_rows.reader(**reported)
    if chosen:
        builders.says(other, **chosen)
    error = refused_start(campaign_rows.draft())
    assert (error.code, error.field) == ("MISSING_LANGUAGE", "steps[0].family")
    assert error.present == {"languages": {missing: 1}}
    with_main = campaign_rows.draft()
    campaign_rows.text(language=missing.partition("-")[0])
    assert start(with_main).status == "active"


def test_english_is_enough_where_the_plan_says_so() -> None:
    campaign_rows.reader(language="es")
    assert start(campaign_rows.draft(language_fallback=True)).status == "active"


def test_a_text_by_another_channel_than_the_steps_is_none() -> None:
    campaign_rows.reader(language="es")
    campaign_rows.text(Channel.SMS, language="es")
    campaign_rows.text()
    step = {**campaign_rows.STEP, "channel": "email"}
    assert refused_start(campaign_rows.draft(steps=[step])).code == "MISSING_LANGUAGE"


def test_a_language_of_one_organisations_texts_is_missing_for_others() -> None:
    organization_id = builders.organization()
    campaign_rows.text()
    campaign_rows.text(language="es", organization_id=organization_id)
    campaign_rows.reader(language="es", provider_id=builders.provider(organization_id))
    one = campaign_rows.draft(overlap="allow")
    campaign_rows.reader(language="es")
    assert refused_start(one).present == {"languages": {"es": 1}}
    with connected():
        execute("UPDATE patients SET tags = '{}' WHERE provider_id IS NULL")
    assert start(one).status == "active"


def test_a_text_without_one_of_the_variants() -> None:
    campaign_rows.reader()
    campaign_rows.text(variants=["A", "B"])
    campaign_rows.text(Channel.SMS, variants=["A", "C"])
    tried = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}]}
    error = refused_start(campaign_rows.draft(ab_variants=tried))
    assert (error.code, error.field, error.present["variants"]) == ("MISSING_VARIANT", "steps[0].family", ["B"])
    by_email = {**campaign_rows.STEP, "channel": "email"}
    assert start(campaign_rows.draft(ab_variants=tried, steps=[by_email])).status == "active"


@pytest.mark.parametrize(
    ("given", "code", "name"),
    [({}, "MISSING_VARIABLE", "link"), ({"link": "x", "place": "y"}, "UNKNOWN_VARIABLE", "place")],
)
def test_variables_that_do_not_fill_in_a_text(given: dict[str, str], code: str, name: str) -> None:
    campaign_rows.reader()
    campaign_rows.text(variables=["link"])
    error = refused_start(campaign_rows.draft(steps=[{**campaign_rows.STEP, "variables": given}]))
    assert (error.code, error.field) == (code, f"steps[0].variables.{name}")
    step = {**campaign_rows.STEP, "variables": {"link": "x"}}
    assert start(campaign_rows.draft(steps=[step])).status == "active"


def test_a_text_that_was_turned_off_meanwhile() -> None:
    campaign_rows.reader()
    template_id = campaign_rows.text()
    one = campaign_rows.draft()
    with connected():
        templates.set_active(template_id, active=False, asker=STAFF)
    error = refused_start(one)
    assert (error.code, error.field) == ("UNKNOWN_TEMPLATE", "steps[0].family")


def test_paused_resumed_and_stopped_each_with_who_and_why() -> None:
    one = campaign_rows.begun()
    with connected():
        assert lifecycle.pause(one.id, asker=STAFF, reason="a wrong word").status == "paused"
        assert lifecycle.resume(one.id, asker=STAFF, reason="it is right").status == "active"
        stopped = lifecycle.stop(one.id, asker=STAFF, reason="enough")
    assert (stopped.status, stopped.ended_reason, stopped.ended_by) == ("completed", "stopped", STAFF.actor)
    assert actions() == [
        ("pause_campaign", "a wrong word"),
        ("resume_campaign", "it is right"),
        ("stop_campaign", "enough"),
    ]


ACTS: dict[str, Callable[[UUID], object]] = {
    "pause": lambda one: lifecycle.pause(one, asker=STAFF, reason=""),
    "resume": lambda one: lifecycle.resume(one, asker=STAFF, reason=""),
    "stop": lambda one: lifecycle.stop(one, asker=STAFF, reason=""),
    "finish": lambda one: lifecycle.complete(one, reason="finished"),
    "end": lambda one: lifecycle.complete(one, reason="end_date"),
}
MOVES = {
    ("active", "pause"): "paused",
    ("paused", "resume"): "active",
    ("active", "stop"): "completed",
    ("paused", "stop"): "completed",
    ("active", "finish"): "completed",
    ("active", "end"): "completed",
    ("paused", "end"): "completed",
}


@pytest.mark.parametrize("status", ["draft", "active", "paused", "completed"])
@pytest.mark.parametrize("act", [*ACTS])
def test_every_move_from_every_state(status: str, act: str) -> None:
    one = campaign_rows.begun("active" if status == "completed" else status)
    with connected():
        if status == "completed":
            lifecycle.stop(one.id, asker=STAFF, reason="")
        moved = attempt(act, one)
    if (status, act) in MOVES:
        assert moved == "moved"
    else:
        assert moved in ("CAMPAIGN_NOT_ACTIVE", "CAMPAIGN_NOT_PAUSED", "did not move")
    assert state(one) == MOVES.get((status, act), status)


def attempt(act: str, one: Campaign) -> str:
    """What became of it: that it moved, or why not."""
    try:
        return "did not move" if ACTS[act](one.id) is False else "moved"
    except OutreachError as error:
        return error.code


def test_what_is_paused_is_not_resumed_after_its_last_day() -> None:
    one = campaign_rows.begun("paused", start_date=date(2026, 1, 1), end_date=date(2026, 1, 2))
    assert refused(lambda: lifecycle.resume(one.id, asker=STAFF, reason="")).code == "END_DATE_PASSED"
    assert state(one) == "paused"


def test_the_emergency_stop_pauses_whatever_is_active() -> None:
    active = [campaign_rows.begun().id for _ in range(3)]
    others = [campaign_rows.begun("paused"), campaign_rows.draft()]
    with connected():
        paused = lifecycle.stop_everything(asker=STAFF, reason="a wrong text")
    assert {each.id for each in paused} == {*active}
    assert {each.status for each in paused} == {"paused"}
    assert [state(each) for each in others] == ["paused", "draft"]
    assert actions() == [("pause_campaign", "a wrong text")] * 3


def test_the_emergency_stop_reaches_a_campaign_that_is_just_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign_rows.reader()
    one = campaign_rows.draft()
    stopping: list[Future[list[Campaign]]] = []
    look_at = checking.look_at

    def look_while_everything_is_stopped(*given: Any, **more: Any) -> Any:
        stopping.append(pool.submit(stop_all))
        wait_until_somebody_waits_for_a_lock()
        return look_at(*given, **more)

    def stop_all() -> list[Campaign]:
        with connected():
            return lifecycle.stop_everything(asker=STAFF, reason="")

    monkeypatch.setattr(lifecycle, "look_at", look_while_everything_is_stopped)
    with ThreadPoolExecutor(1) as pool:
        start(one)
        assert [each.id for each in stopping[0].result()] == [one.id]
    assert state(one) == "paused"


def wait_until_somebody_waits_for_a_lock() -> None:
    ends = datetime.now(UTC) + timedelta(seconds=60)
    while datetime.now(UTC) < ends:
        if builders.rows("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
            return
        sleep(0.02)
    raise AssertionError("nobody waits")


def test_a_variant_is_taken_for_everybody_only_where_the_test_says_so(desk: Desk) -> None:
    campaign_rows.text(variants=["A", "B"])
    tried = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}], "minimum": 20}
    one = campaign_rows.begun(ab_variants=tried)
    with connected():
        execute("UPDATE comm_campaigns SET audience_at = now(), audience = 80 WHERE id = %s", (one.id,))
    for number in range(80):
        message(desk, one, email=f"{number}@example.org", ab_variant="AB"[number % 2])
    desk.drain()
    error = refused(lambda: lifecycle.choose_winner(one.id, "B", asker=STAFF))
    assert (error.code, error.present["verdict"]) == ("NOT_JUSTIFIED", "undecided")
    with connected():
        execute("UPDATE comm_jobs SET replied_at = now() WHERE ab_variant = 'B'")
    assert refused(lambda: lifecycle.choose_winner(one.id, "A", asker=STAFF)).code == "NOT_JUSTIFIED"
    assert refused(lambda: lifecycle.choose_winner(one.id, "C", asker=STAFF)).code == "UNKNOWN_VARIANT"
    with connected():
        chosen = lifecycle.choose_winner(one.id, "B", asker=STAFF)
    assert (chosen.winner, chosen.winner_by) == ("B", STAFF.actor)


def message(desk: Desk, one: Campaign, *, email: str = builders.EMAIL, **columns: Any) -> UUID:
    """A message of the campaign, due now."""
    patient_id = builders.patient(email=email)
    about = {"campaign_id": one.id, "campaign_step": "intro", **columns}
    return builders.job(desk.lane, patient_id, Channel.EMAIL, recipient=email, **about)


def ends(desk: Desk, job_id: UUID) -> tuple[str, str | None]:
    row = builders.read(desk.lane, job_id)
    return row["status"], row["last_error_code"]


def test_a_message_of_an_active_campaign_leaves(desk: Desk) -> None:
    job_id = message(desk, campaign_rows.begun())
    desk.drain()
    assert ends(desk, job_id) == ("SENT", None)


def test_a_pause_after_the_claim_puts_the_message_off_until_it_is_resumed(desk: Desk) -> None:
    one = campaign_rows.begun()
    job_id = message(desk, one)
    desk.before_mark = lambda _: pause(one)
    desk.drain()
    row = builders.read(desk.lane, job_id)
    assert (row["status"], row["last_error_code"], row["attempts"]) == ("PENDING", "CAMPAIGN_PAUSED", 0)
    assert datetime.now(UTC) < row["due_at"] <= datetime.now(UTC) + barrier.ASKED_AGAIN_AFTER
    desk.before_mark = lambda _: None
    with connected():
        lifecycle.resume(one.id, asker=STAFF, reason="")
        execute("UPDATE comm_jobs SET due_at = now()")
    desk.drain()
    assert ends(desk, job_id) == ("SENT", None)


def pause(one: Campaign) -> None:
    with connected():
        lifecycle.pause(one.id, asker=STAFF, reason="")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("stop", ("CANCELLED", "CAMPAIGN_ENDED")),
        ("end", ("CANCELLED", "CAMPAIGN_ENDED")),
        ("finish", ("SENT", None)),
    ],
)
def test_what_was_made_leaves_after_a_campaign_is_finished_and_never_after_it_was_ended(
    desk: Desk, act: str, expected: tuple[str, str | None]
) -> None:
    one = campaign_rows.begun()
    job_id = message(desk, one)
    with connected():
        ACTS[act](one.id)
    desk.drain()
    assert ends(desk, job_id) == expected


def test_another_campaigns_messages_leave_while_one_is_paused(desk: Desk) -> None:
    paused, other = campaign_rows.begun("paused"), campaign_rows.begun()
    held, free = message(desk, paused), message(desk, other, email="another@example.org")
    desk.drain()
    assert ends(desk, held) == ("PENDING", "CAMPAIGN_PAUSED")
    assert ends(desk, free) == ("SENT", None)


@pytest.mark.parametrize("act", ["pause", "stop", "everything"])
def test_nothing_leaves_after_a_pause_has_come_back(desk: Desk, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four workers drain campaigns while each is paused at the very instant at which one of its messages is to leave."""
    monkeypatch.setattr(barrier, "HANDING_OVER_SECONDS", 60.0)
    desk.routes = {name: replace(route, batch=1) for name, route in desk.routes.items()}
    campaigns = {each.id: each for each in (campaign_rows.begun() for _ in range(8))}
    people = {f"{one}.{n}@example.org": one for one in campaigns for n in range(8)}
    jobs = [message(desk, campaigns[one], email=address) for address, one in people.items()]
    desk.gateways["email-smtp"].script(*[Play(hang_seconds=random.uniform(0, 0.02)) for _ in jobs])  # noqa: S311
    seen: Counter[UUID] = Counter()
    held: dict[UUID, Future[datetime]] = {}

    def hold(one: UUID) -> datetime:
        sleep(random.uniform(0, 0.02))  # noqa: S311  (nothing is secret about it)
        with connected():
            if act == "everything":
                lifecycle.stop_everything(asker=STAFF, reason="")
            else:
                ACTS[act](one)
        return datetime.now(UTC)

    def about_to_leave(row: Row) -> None:
        seen[row["campaign_id"]] += 1
        if seen[row["campaign_id"]] == 3:
            held[row["campaign_id"]] = pool.submit(hold, row["campaign_id"])

    desk.before_mark = about_to_leave
    with ThreadPoolExecutor(12) as pool:
        for draining in [pool.submit(desk.drain) for _ in range(4)]:
            draining.result()
    came_back = {one: each.result() for one, each in held.items()}
    if act == "everything":
        first = min(came_back.values())
        came_back = dict.fromkeys(campaigns, first)
    left = desk.gateways["email-smtp"].accepted
    assert [entry for entry in left if entry.at > came_back[people[entry.recipient]]] == []
    ended = Counter(builders.read(desk.lane, each)["status"] for each in jobs)
    assert set(ended) == {"SENT", "CANCELLED" if act == "stop" else "PENDING"}


def test_pauses_and_workers_never_wait_for_each_other_for_ever(desk: Desk) -> None:
    campaigns = [campaign_rows.begun() for _ in range(3)]
    desk.routes = {name: replace(route, batch=1) for name, route in desk.routes.items()}

    def turn(number: int) -> None:
        one = campaigns[number % 3]
        with connected():
            attempt("pause" if number % 2 else "resume", one)

    def everything(_: int) -> None:
        with connected():
            lifecycle.stop_everything(asker=STAFF, reason="")

    def send(number: int) -> None:
        message(desk, campaigns[number % 3], email=f"{number}@example.org")
        desk.drain()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, number) for number in range(16) for act in (turn, send, everything, turn)]:
            done.result()
    assert builders.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [
        {"deadlocks": 0}
    ]


def test_the_gates_question_takes_a_transaction() -> None:
    one = campaign_rows.begun("paused")
    now = datetime.now(UTC)
    with transaction("test"):
        refusal = lifecycle.objection({"campaign_id": one.id}, now)
        assert lifecycle.objection({"campaign_id": None}, now) is None
    assert refusal is not None
    assert (refusal.code, refusal.until) == ("CAMPAIGN_PAUSED", now + timedelta(minutes=1))


def test_a_purpose_of_care_is_no_marketing() -> None:
    campaign_rows.reader(agrees=False)
    builders.template(Purpose.RX_REFILL, Channel.EMAIL)
    one = campaign_rows.draft(steps=[{"key": "refill", "purpose": "rx_refill"}])
    assert start(one).status == "active"
