"""What is chosen for a message is kept with it, and nothing is read or kept where the optimiser is off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach.optimiser import evidence, modes
from dispatchlog.systems.outreach.optimiser.choosing import is_held_out
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import Variant
from tests.outreach import builders
from tests.outreach.requests import ask, awake, text

EMAIL, SMS = Channel.EMAIL, Channel.SMS
REFILL = Purpose.RX_REFILL


@pytest.fixture(autouse=True)
def providers(application: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "OUTREACH_SMS": "twilio",
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_FROM": "+12025550199",
        "PUBLIC_URL": "https://messages.example.org",
    }.items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    get_settings.cache_clear()
    modes.empty()
    yield
    get_settings.cache_clear()
    modes.empty()


def turn(mode: str, *kinds: str) -> None:
    """The mode of these kinds, straight into the table."""
    with connected():
        execute("UPDATE comm_optimiser SET mode = %s WHERE kind = ANY (%s)", (mode, [*kinds]))
    modes.empty()


def reader(*, held_out: bool, **values: Any) -> UUID:
    """Somebody who may be reached at any hour, early in the day there, of the hold-out or not."""
    patient_id = next(each for each in iter(uuid4, None) if is_held_out(each) is held_out)
    return awake(id=patient_id, timezone=builders.zone_where_it_is(1), **values)


def choices(job_id: UUID) -> list[dict[str, Any]]:
    return builders.rows("SELECT * FROM comm_choices WHERE job_id = %s ORDER BY kind", job_id)


def test_while_it_is_off_nothing_is_asked_and_nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "read_known", lambda *_: pytest.fail("it read what was learned"))
    text(SMS, REFILL)
    made = ask(reader(held_out=True), purpose=REFILL)
    assert "optimiser" not in made.decision
    assert choices(made.job_id) == []


def test_a_choice_is_kept_with_its_probabilities_and_where_it_stands() -> None:
    text(SMS, REFILL)
    text(EMAIL, REFILL)
    turn("learning", "hour", "channel")
    clinic = builders.organization()
    made = ask(reader(held_out=True, organization_id=clinic), purpose=REFILL)
    by_channel, by_hour = choices(made.job_id)
    [job] = builders.rows("SELECT * FROM comm_jobs WHERE id = %s", made.job_id)
    assert by_channel["arms"] == pytest.approx({"sms": 0.5, "email": 0.5})
    assert (by_channel["context"], by_channel["arm"], by_channel["channel"]) == (
        "rx_refill",
        made.channel,
        made.channel,
    )
    assert by_hour["arms"][by_hour["arm"]] == by_hour["propensity"]
    assert by_hour["context"] == f"{made.channel}:{by_hour['weekday']}"
    for row in (by_channel, by_hour):
        assert (row["policy"], row["organization_id"], row["reward"]) == ("holdout", clinic, None)
        assert row["look_at"] == job["scheduled_at"] + timedelta(hours=72)
    assert [each["kind"] for each in made.decision["optimiser"]] == ["channel", "hour"]


def test_the_same_request_again_keeps_one_choice() -> None:
    text(SMS, REFILL)
    turn("learning", "hour")
    patient_id = reader(held_out=True)
    first = ask(patient_id, purpose=REFILL, request_key="r-1")
    again = ask(patient_id, purpose=REFILL, request_key="r-1")
    assert again.job_id == first.job_id
    assert len(builders.rows("SELECT FROM comm_choices")) == 1


def test_a_refusal_keeps_no_choice() -> None:
    text(SMS, REFILL)
    turn("learning", "hour", "content")
    patient_id = reader(held_out=True)
    builders.says(patient_id, allow_sms=False)
    made = ask(patient_id, purpose=REFILL)
    assert made.refused == "NO_CHANNEL"
    assert choices(made.job_id) == []


def test_a_text_is_chosen_unless_a_test_of_the_campaign_has_drawn_one() -> None:
    variants = tuple(Variant(name, 1, None, f"It is time, {name}.") for name in ("kind", "plain"))
    text(SMS, REFILL, body="It is time.", variables=(), variants=variants)
    turn("learning", "content")
    patient_id = reader(held_out=True)
    made = ask(patient_id, purpose=REFILL, variables={})
    [choice] = choices(made.job_id)
    [job] = builders.rows(
        "SELECT id, sealed, recipient, body, ab_variant, template_id FROM comm_jobs WHERE id = %s", made.job_id
    )
    assert (choice["kind"], choice["context"]) == ("content", f"{job['template_id']}:1")
    assert choice["arm"] == job["ab_variant"]
    assert f"It is time, {job['ab_variant']}." in job["body"]
    drawn = ask(reader(held_out=True), purpose=REFILL, variables={}, ab_variant="plain")
    assert choices(drawn.job_id) == []


def test_what_was_learned_is_what_decides() -> None:
    text(SMS, REFILL)
    turn("on", "hour")
    patient_id = reader(held_out=False)
    builders.says(patient_id, quiet_start=time(22), quiet_end=time(8))
    with connected():
        execute(
            "INSERT INTO comm_learned (kind, context, scope, scope_id, arm, tries, wins)"
            " VALUES ('hour', '', 'patient', %s, '18-20', 900, 880)",
            (patient_id,),
        )
    made = ask(patient_id, purpose=REFILL)
    [choice] = choices(made.job_id)
    assert choice["policy"] == "optimiser"
    assert choice["arms"]["18-20"] > 0.85
    assert {*choice["arms"]} == {"08-10", "10-12", "12-14", "14-16", "16-18", "18-20", "20-22"}
