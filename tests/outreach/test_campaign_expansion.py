"""An audience is settled in one moment and written out in batches: everybody once, whatever happens in between."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.campaigns import drawing, expansion, intake, lifecycle
from tests.outreach.builders import STAFF, patient
from tests.outreach.campaign_builders import begun, expanded, lines, people, read, texts


@pytest.fixture(autouse=True)
def news(application: Settings) -> None:
    texts()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "BATCH", 4)


@pytest.mark.usefixtures("small_batches")
def test_whoever_is_in_the_segment_in_that_moment_gets_a_line_in_batches_and_nobody_else() -> None:
    readers = people(10)
    people(2, tag="other")
    people(1, active=False)
    campaign = begun()
    assert expansion.expand(campaign.id, batches=1) == 4
    assert [*lines(campaign)] == readers[:4]
    assert (read(campaign).expanded_to, read(campaign).expanded_at) == (readers[3], None)
    people(3)  # who comes later is not meant
    assert expansion.expand_all() == 6
    now = read(campaign)
    assert [*lines(campaign)] == readers
    assert (now.audience, now.expanded_to) == (10, readers[-1])
    assert now.expanded_at is not None
    assert {(line["state"], line["variant"], line["reason"]) for line in lines(campaign).values()} == {
        ("WAITING", "", "")
    }
    assert expansion.expand(campaign.id) == 0


@pytest.mark.usefixtures("small_batches")
def test_what_was_written_out_is_taken_from_the_audience() -> None:
    people(9)
    campaign = begun()
    expansion.expand(campaign.id, batches=1)
    with connected():
        assert intake.empty() == 0  # it is still needed
        expansion.expand(campaign.id)
        assert intake.empty() == 9
        assert intake.empty() == 0


@pytest.mark.usefixtures("small_batches")
def test_a_pause_stops_it_after_its_batch_and_it_goes_on_where_it_was() -> None:
    readers = people(10)
    campaign = begun()
    expansion.expand(campaign.id, batches=1)
    lifecycle.pause(campaign.id, asker=STAFF, reason="a wrong word")
    assert expansion.expand_all() == expansion.expand(campaign.id) == 0
    assert [*lines(campaign)] == readers[:4]
    lifecycle.resume(campaign.id, asker=STAFF, reason="it is right")
    assert expansion.expand_all() == 6
    assert [*lines(campaign)] == readers


@pytest.mark.usefixtures("small_batches")
def test_several_at_once_write_everybody_once() -> None:
    readers = people(40)
    campaign = begun()

    def work(_: int) -> int:
        written = 0
        while read(campaign).expanded_at is None:
            written += expansion.expand(campaign.id)
        return written

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 40
    assert [*lines(campaign)] == readers


@pytest.mark.parametrize("policy", ["exclude", "allow"])
def test_patients_of_another_campaign_are_left_out_where_it_says_so(policy: str) -> None:
    readers = people(3)
    expanded(tag="reader")
    new = patient(email="new@example.org", tags=("reader",))
    campaign = expanded(overlap=policy)
    assert {*lines(campaign)} == ({new} if policy == "exclude" else {*readers, new})


def test_the_first_step_is_due_from_the_day_it_begins_by_the_campaigns_clock() -> None:
    people(1)
    step = {"key": "first", "purpose": "lab_ready", "family": "news", "offset": {"days": 1, "hours": 9}}
    day = datetime.now(UTC).date() + timedelta(days=40)
    campaign = expanded(step, timezone="Asia/Tokyo", start_date=day)
    [line] = lines(campaign).values()
    midnight = datetime.combine(day, datetime.min.time(), UTC) - timedelta(hours=9)
    assert line["due_at"] == midnight + timedelta(days=1, hours=9)
    today = expanded(step, timezone="Asia/Tokyo")
    [line] = lines(today).values()
    assert line["due_at"] == today.audience_at + timedelta(days=1, hours=9)  # type: ignore[operator]


def test_variants_and_the_control_group_are_those_that_python_draws() -> None:
    texts("A", "B", "C", family="tried")
    readers = people(120)
    step = {"key": "first", "purpose": "lab_ready", "family": "tried"}
    shares = [("A", 5), ("B", 3), ("C", 1)]
    document = {"variants": [{"key": key, "weight": weight} for key, weight in shares]}
    campaign = expanded(step, ab_variants=document, control_percent=20)
    for patient_id, line in lines(campaign).items():
        if drawing.is_held_out(patient_id, campaign.id, 20):
            assert (line["state"], line["variant"], line["reason"]) == ("HELD_OUT", "", "CONTROL")
            assert line["decided_at"] is not None
        else:
            assert line["state"] == "WAITING"
            assert line["variant"] == drawing.variant_of(patient_id, campaign.id, shares)
    assert [*lines(campaign)] == readers
    assert 0 < Counter(line["state"] for line in lines(campaign).values())["HELD_OUT"] < 60


@pytest.mark.parametrize(
    "shares", [[("A", 1)], [("A", 50), ("B", 50)], [("A", 1), ("B", 1), ("C", 1)], [("A", 999), ("B", 1)]]
)
def test_sql_and_python_draw_the_same_variant_and_shares_are_kept(
    application: Settings, shares: list[tuple[str, int]]
) -> None:
    campaign_id = uuid4()
    variant, params = drawing.variant_sql("comm_bucket(id, %s)", shares)
    params = [each for end, key in zip(params[::2], params[1::2], strict=True) for each in (str(campaign_id), end, key)]
    with connected():
        drawn = fetch_all(
            f"SELECT id, {variant} FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 3000)) p", params
        )
    assert all(key == drawing.variant_of(UUID(str(each)), campaign_id, shares) for each, key in drawn)
    total = sum(weight for _, weight in shares)
    numbers = Counter(key for _, key in drawn)
    for key, weight in shares:
        expected = 3000 * weight / total
        assert abs(numbers[key] - expected) < 6 * (expected * (1 - weight / total)) ** 0.5 + 1
