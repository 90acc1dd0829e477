"""Figures of messages: in whatever order things are heard, they are what counting the log gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatchlog import cli
from dispatchlog.engine.database import connected, database, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.stats import reading, rollup
from dispatchlog.systems.outreach.stats.reading import COUNTS, Wanted
from tests.engine.lane import owner
from tests.engine.processes import until
from tests.outreach import builders
from tests.outreach.conftest import Desk

DAY = date(2026, 3, 4)
EVER = Wanted(date(2020, 1, 1), date(2100, 1, 1))
HEARD = tuple(name for name in COUNTS if name != "sent")
_LOG = f"""
SELECT (sent_at AT TIME ZONE 'UTC')::date AS date, organization_id, provider_id, channel, purpose,
    {", ".join(f"count({name}_at) AS {name}" for name in COUNTS)}
FROM comm_jobs WHERE sent_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""


def sent(message: UUID, at: datetime | None = None) -> None:
    """It left, at noon of DAY unless said otherwise."""
    change(
        [message], status="SENT", sent_at=at or datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC), in_doubt=False
    )


def change(messages: Sequence[UUID], **columns: Any) -> None:
    with transaction("test"):
        names = ", ".join(f"{name} = %s" for name in columns)
        execute(f"UPDATE comm_jobs SET {names} WHERE id = ANY (%s::uuid[])", (*columns.values(), list(messages)))


def hear(message: UUID, *names: str) -> None:
    change([message], **{f"{name}_at": datetime.now(UTC) for name in names})


def log() -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts(_LOG)


def figures(wanted: Wanted = EVER) -> list[dict[str, Any]]:
    """Those that anything is counted in."""
    found = [dict(row) for row in reading.by(wanted, *reading.COLUMNS)]
    return [row for row in found if any(row[name] for name in COUNTS)]


def waiting() -> int:
    return len(builders.rows("SELECT FROM comm_stat_changes"))


def agree() -> None:
    assert figures() == log()
    assert rollup.differences(EVER.first, EVER.last) == []


@pytest.fixture
def message(desk: Desk) -> Callable[..., UUID]:
    patient = builders.patient()

    def make(**columns: Any) -> UUID:
        return builders.job(desk.lane, patient, columns.pop("channel", Channel.SMS), **columns)

    return make


@pytest.mark.usefixtures("application")
def test_what_is_heard_of_a_message_in_doubt_counts_on_the_day_on_which_it_proves_sent(
    message: Callable[..., UUID],
) -> None:
    one = message()
    change([one], status="FAILED", in_doubt=True)
    hear(one, "delivered", "replied")
    assert figures() == []
    sent(one)
    assert waiting() == 1
    rollup.fold_all()
    (row,) = builders.rows("SELECT * FROM comm_stats")
    assert (row["date"], row["sent_count"], row["delivered_count"], row["replied_count"]) == (DAY, 1, 1, 1)
    assert row["opened_count"] == 0


@pytest.mark.usefixtures("application")
def test_what_is_taken_back_is_taken_off_and_what_is_said_again_is_not_counted_twice(
    message: Callable[..., UUID],
) -> None:
    one = message()
    sent(one)
    hear(one, "delivered")
    hear(one, "delivered")
    change([one], delivered_at=None, bounced_at=datetime.now(UTC))
    rollup.fold_all()
    assert {name: number for name, number in reading.totals(EVER).items() if number} == {"sent": 1, "bounced": 1}


@pytest.mark.usefixtures("application")
def test_a_day_is_one_of_utc(message: Callable[..., UUID], application: Settings) -> None:
    one = message()
    with connected():
        execute("SET timezone TO 'Asia/Tokyo'")
    sent(one, datetime(2026, 3, 4, 23, 30, tzinfo=UTC))
    with connected():
        assert fetch_all("SELECT date FROM comm_stat_changes") == [(DAY,)]
        execute("RESET timezone")


@pytest.mark.usefixtures("application")
def test_a_statement_over_many_messages_leaves_one_line_for_each_kind(message: Callable[..., UUID]) -> None:
    messages = [message() for _ in range(4)] + [message(channel=Channel.EMAIL) for _ in range(2)]
    change(messages, status="SENT", sent_at=datetime.now(UTC))
    assert sorted(row["sent_count"] for row in builders.rows("SELECT sent_count FROM comm_stat_changes")) == [2, 4]


@pytest.mark.usefixtures("application")
def test_a_change_that_counts_nothing_leaves_no_line(message: Callable[..., UUID]) -> None:
    one = message()
    change([one], status="CANCELLED")
    other = message()
    sent(other)
    rollup.fold_all()
    change([other], answered_at=datetime.now(UTC))
    assert waiting() == 0


@pytest.mark.usefixtures("application")
def test_a_change_that_is_rolled_back_is_not_counted(message: Callable[..., UUID]) -> None:
    one = message()
    with transaction("test"):
        sent(one)
        assert waiting() == 1
        database.rollback()
    assert waiting() == 0
    assert builders.rows("SELECT status FROM comm_jobs") == [{"status": "PENDING"}]


OPERATIONS = (
    "send", "send yesterday", "doubt", "prove", "refuse", "cancel", "reopen", "fold", "fold some", "rebuild",
    *HEARD, *(f"no {name}" for name in HEARD),
)  # fmt: skip
_MOVES = {
    "send": ("PENDING", "status = 'SENT', sent_at = now()"),
    "send yesterday": ("PENDING", "status = 'SENT', sent_at = now() - interval '1 day'"),
    "doubt": ("PENDING", "status = 'FAILED', in_doubt = true"),
    "prove": ("FAILED", "status = 'SENT', sent_at = now(), in_doubt = false"),
    "refuse": ("PENDING", "status = 'FAILED'"),
    "cancel": ("FAILED", "status = 'CANCELLED', in_doubt = false"),
    "reopen": ("FAILED", "status = 'PENDING', in_doubt = false"),
}
some_history = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.sets(st.integers(0, 5), min_size=1)), min_size=1, max_size=14
)


@given(history=some_history)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_history_the_figures_are_what_counting_the_log_gives(
    desk: Desk, campaign: UUID, history: Sequence[tuple[str, set[int]]]
) -> None:
    patient = builders.patient()
    of_campaign = {"campaign_id": campaign, "campaign_step": "first", "purpose": Purpose.CAMPAIGN_EDUCATION}
    kinds: tuple[dict[str, Any], ...] = (
        {}, {}, {"organization_id": uuid4(), "provider_id": uuid4()}, {"purpose": Purpose.APPT_CONFIRM},
        {**of_campaign, "ab_variant": "a"}, {**of_campaign, "ab_variant": None},
    )  # fmt: skip
    messages = [builders.job(desk.lane, patient, **kind) for kind in kinds]
    for operation, numbers in history:
        carry_out(operation, [messages[number] for number in sorted(numbers)])
        agree()
    rollup.fold_all()
    agree()
    assert waiting() == 0
    assert [row for row in reading.campaign_counts(campaign) if row["sent"]] == builders.rows(
        "SELECT campaign_step AS step, coalesce(ab_variant, '') AS variant, channel,"
        f" {', '.join(f'count({name}_at) AS {name}' for name in COUNTS)} FROM comm_jobs"
        " WHERE campaign_id = %s AND sent_at IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        campaign,
    )


def carry_out(operation: str, messages: Sequence[UUID]) -> None:
    if operation in ("fold", "fold some"):
        rollup.fold(limit=50_000 if operation == "fold" else 1)
    elif operation == "rebuild":
        rollup.rebuild(EVER.first, EVER.last)
    elif operation in _MOVES:
        needed, to = _MOVES[operation]
        with transaction("test"):
            execute(f"UPDATE comm_jobs SET {to} WHERE id = ANY (%s::uuid[]) AND status = %s", (list(messages), needed))
    else:
        name = operation.removeprefix("no ")
        change(messages, **{f"{name}_at": None if operation != name else datetime.now(UTC)})


@pytest.fixture
def campaign(desk: Desk) -> UUID:
    """A campaign's bare row, for its messages to name."""
    segment, made = uuid4(), uuid4()
    with connected():
        execute(
            "INSERT INTO patient_segments (id, name, rules, created_by) VALUES (%s, 'Everybody', '{}', 'test')",
            (segment,),
        )
        execute(
            "INSERT INTO comm_campaigns (id, name, segment_id, created_by) VALUES (%s, 'Flu', %s, 'test')",
            (made, segment),
        )
    return made


# --- several at once


def in_a_thread(work: Callable[[], Any]) -> Any:
    with connected():
        return work()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.usefixtures("application")
def test_two_that_fold_at_once_count_each_change_once(
    message: Callable[..., UUID], threads: ThreadPoolExecutor
) -> None:
    messages = [message(organization_id=UUID(int=number % 5)) for number in range(20)]
    for each in messages:
        sent(each)
        hear(each, "delivered")
    assert waiting() == 40
    folded = [threads.submit(in_a_thread, rollup.fold_all) for _ in range(2)]
    first_of_all = [threads.submit(in_a_thread, lambda: rollup.fold(limit=3)) for _ in range(4)]
    assert sum(each.result() for each in (*folded, *first_of_all)) == 40
    agree()


@pytest.mark.usefixtures("application")
def test_one_that_folds_leaves_to_the_other_what_it_took_and_takes_the_rest(message: Callable[..., UUID]) -> None:
    for _ in range(3):
        sent(message())
    with owner(database_url()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM comm_stat_changes ORDER BY id LIMIT 1 FOR UPDATE")
        assert rollup.fold_all() == 2
        cursor.execute("ROLLBACK")
    assert rollup.fold_all() == 1
    agree()


@pytest.mark.usefixtures("application")
def test_days_are_counted_anew_while_messages_go_on_and_others_fold(
    message: Callable[..., UUID], threads: ThreadPoolExecutor
) -> None:
    messages = [message() for _ in range(40)]
    spoil()

    def go_on(mine: Sequence[UUID]) -> None:
        for each in mine:
            sent(each)
            hear(each, "delivered", "clicked")

    senders = [threads.submit(in_a_thread, partial(go_on, mine)) for mine in (messages[::2], messages[1::2])]
    while not all(each.done() for each in senders):
        threads.submit(in_a_thread, rollup.fold_all).result()
        threads.submit(in_a_thread, partial(rollup.rebuild, EVER.first, EVER.last)).result()
    for each in senders:
        each.result()
    agree()
    rollup.fold_all()
    agree()


@pytest.mark.usefixtures("application")
def test_counting_anew_waits_for_whoever_folds_just_now(
    message: Callable[..., UUID], threads: ThreadPoolExecutor
) -> None:
    sent(message())
    rollup.fold_all()
    sent(message())
    folded, may_end = Event(), Event()

    def fold_slowly() -> None:
        with transaction("test"):
            rollup.fold()
            folded.set()
            may_end.wait(60)

    folding = threads.submit(fold_slowly)
    assert folded.wait(60)
    rebuilding = threads.submit(in_a_thread, partial(rollup.rebuild, DAY, DAY))
    until(waits_for_a_lock)
    may_end.set()
    folding.result()
    assert rebuilding.result() == 0
    agree()
    assert reading.totals(EVER)["sent"] == 2


@pytest.mark.usefixtures("application")
def test_wrong_figures_are_found_named_and_put_right(message: Callable[..., UUID]) -> None:
    one = message()
    sent(one)
    rollup.fold_all()
    spoil()
    found = rollup.differences(DAY, DAY)
    assert [(row["date"], row["channel"], row["sent_count"]) for row in found] == [(DAY, "email", 7), (DAY, "sms", 2)]
    assert rollup.rebuild(DAY, DAY) == 2
    agree()
    assert len(builders.rows("SELECT FROM comm_stats")) == 1
    assert rollup.rebuild(DAY, DAY) == 0


def waits_for_a_lock() -> bool:
    with owner(database_url()) as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return cursor.fetchone() is not None


def spoil() -> None:
    """Figures of a day that are too many by two, and some of nothing at all."""
    with connected():
        execute("UPDATE comm_stats SET sent_count = sent_count + 2")
        execute(
            "INSERT INTO comm_stats (date, channel, purpose, sent_count) VALUES (%s, 'email', 'lab_ready', 7)", (DAY,)
        )


# --- reading


@pytest.mark.usefixtures("application")
def test_figures_are_those_of_what_is_asked_for(message: Callable[..., UUID]) -> None:
    clinic = uuid4()
    for kind in (
        {"organization_id": clinic},
        {"organization_id": clinic, "channel": Channel.EMAIL},
        {"purpose": Purpose.LAB_READY},
    ):
        sent(message(**kind))
    rollup.fold(limit=1)
    assert reading.totals(EVER)["sent"] == 3
    assert reading.totals(Wanted(DAY, DAY, organization_id=clinic))["sent"] == 2
    assert reading.totals(Wanted(DAY, DAY, organization_id=clinic, channel="email"))["sent"] == 1
    assert reading.totals(Wanted(DAY, DAY, purpose="lab_ready"))["sent"] == 1
    assert reading.totals(Wanted(DAY + timedelta(days=1), EVER.last)) == dict.fromkeys(COUNTS, 0)
    assert [(row["channel"], row["sent"]) for row in reading.by(EVER, "channel")] == [("email", 1), ("sms", 2)]


def test_figures_are_by_columns_that_exist() -> None:
    with pytest.raises(ValueError, match="not by recipient"):
        reading.by(EVER, "recipient")


@pytest.mark.usefixtures("application")
def test_how_far_the_figures_are_behind_is_the_age_of_what_waits(message: Callable[..., UUID]) -> None:
    assert rollup.behind_seconds() == 0.0
    sent(message())
    with owner(database_url()) as cursor:
        cursor.execute("UPDATE comm_stat_changes SET at = at - interval '1 hour'")
    assert 3600 <= rollup.behind_seconds() < 7200
    rollup.fold_all()
    assert rollup.behind_seconds() == 0.0


def database_url() -> str:
    from dispatchlog.settings import get_settings

    return get_settings().database_url


# --- the guards


@pytest.mark.usefixtures("application")
def test_the_application_cannot_write_what_the_trigger_writes() -> None:
    import peewee

    with connected(), pytest.raises(peewee.ProgrammingError, match="permission denied"):
        execute("INSERT INTO comm_stat_changes (date, channel, purpose) VALUES (now(), 'sms', 'urgent')")


@pytest.mark.usefixtures("application")
def test_messages_that_were_sent_before_there_were_figures_are_counted_when_the_tables_are_made(
    message: Callable[..., UUID],
) -> None:
    from dispatchlog.migrate import migrate_down, migrate_up

    one = message()
    sent(one)
    hear(one, "delivered")
    database.close_all()
    with owner(database_url()) as cursor:
        cursor.execute("DELETE FROM data_keys")  # or their migration would not go down
    migrate_down(database_url(), "0026_outreach_growth")
    migrate_up(database_url())
    agree()
    assert reading.totals(EVER)["delivered"] == 1


# --- the command


@pytest.fixture
def run(application: Settings) -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(cli.main, ["figures", *arguments])


def test_the_command_says_whether_the_figures_are_right_and_puts_them_right(
    message: Callable[..., UUID], run: Callable[..., Any]
) -> None:
    days = ("--from", DAY.isoformat(), "--to", DAY.isoformat())
    sent(message())
    right = run("check", *days)
    assert (right.exit_code, "what counting the log gives" in right.output) == (0, True)
    spoil()
    wrong = run("check", *days)
    assert wrong.exit_code == 1
    assert f"{DAY}" in wrong.output
    assert "+7" in wrong.output
    rebuilt = run("rebuild", *days)
    assert rebuilt.exit_code == 0
    assert run("check", *days).exit_code == 0


def test_the_command_refuses_days_in_the_wrong_order(run: Callable[..., Any]) -> None:
    result = run("rebuild", "--from", "2026-03-05", "--to", "2026-03-04")
    assert result.exit_code == 2
    assert "--from is after --to" in result.output
