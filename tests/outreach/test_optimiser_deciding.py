"""The optimiser within a decision: where a message can wait, among what is permitted, after the patient's own word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchlog.systems.outreach.deciding import Decision, decide
from dispatchlog.systems.outreach.inputs import ScheduleInput
from dispatchlog.systems.outreach.legal import legal_rules
from dispatchlog.systems.outreach.optimiser.choosing import KINDS, Advice, is_held_out
from dispatchlog.systems.outreach.optimiser.hours import arm_at
from dispatchlog.systems.outreach.optimiser.learning import Tried
from dispatchlog.systems.outreach.preferences import Preferences, Said
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.times import Hours, TimeRules, is_lawful, zone
from tests.outreach.test_deciding import NOON, preferences, texts

EMAIL, SMS = Channel.EMAIL, Channel.SMS
MORNING = datetime(2026, 6, 9, 12, 30, tzinfo=UTC)
OPTED_IN = {each: {"opt_in": True} for each in Channel}
OTHER = next(p for p in (uuid5(UUID(int=7), str(n)) for n in range(100)) if not is_held_out(p))
LOVES_EVENINGS = {("hour", "patient", OTHER, ""): {"18-20": Tried(400, 390)}}


def advice(mode: str = "on", *, seed: UUID | None = None, known: Mapping[Any, Any] | None = None) -> Advice:
    return Advice(dict.fromkeys(KINDS, mode), known or {}, OTHER, None, seed or uuid4())


def request(purpose: Purpose = Purpose.CAMPAIGN_EDUCATION, **values: Any) -> ScheduleInput:
    return ScheduleInput(patient_id=OTHER, purpose=purpose, **values)


def at_place(decision: Decision, preferred: Preferences) -> datetime:
    return decision.at.astimezone(zone(preferred.timezone.value))


def kinds(decision: Decision) -> set[str]:
    return {choice.kind for choice in decision.choices}


def test_what_is_off_changes_nothing_of_a_decision() -> None:
    wanted, preferred = request(), preferences(OPTED_IN)
    without = decide(wanted, preferred, texts(), now=NOON)
    assert decide(wanted, preferred, texts(), now=NOON, advice=advice("off")) == without
    assert "optimiser" not in without.document


def test_a_message_that_can_wait_goes_at_the_hour_at_which_the_patient_answers() -> None:
    preferred = preferences(OPTED_IN)
    for number in range(20):
        found = decide(
            request(),
            preferred,
            texts(EMAIL),
            now=MORNING,
            advice=advice(known=LOVES_EVENINGS, seed=uuid5(OTHER, str(number))),
        )
        [choice] = found.choices
        assert choice.arms["18-20"] > 0.8
        assert choice.arm == arm_at(found.at, preferred.timezone.value)
        assert (
            at_place(found, preferred).date()
            == at_place(decide(request(), preferred, texts(EMAIL), now=MORNING), preferred).date()
        )
    [told] = found.document["optimiser"]
    assert (told["kind"], told["policy"], told["propensity"]) == ("hour", "optimiser", choice.propensity)


def test_nothing_is_chosen_for_what_cannot_wait_or_was_said_otherwise() -> None:
    said_by_patient = replace(preferences(OPTED_IN), best_hour=Said(11, "patient"))
    said_by_clinic = replace(preferences(OPTED_IN), best_hour=Said(11, "organization"))
    ask = advice()

    def decided(wanted: ScheduleInput, preferred: Preferences | None = None) -> set[str]:
        return kinds(decide(wanted, preferred or preferences(OPTED_IN), texts(), now=MORNING, advice=ask))

    assert decided(request()) == {"hour", "channel"}
    assert decided(request(), said_by_clinic) == {"hour", "channel"}
    assert decided(request(), said_by_patient) == {"channel"}
    assert decided(request(send_at=NOON)) == {"channel"}
    assert decided(request(preferred_channel=SMS)) == {"hour"}
    assert decided(request(Purpose.APPT_REMINDER)) == set()
    assert decided(request(Purpose.RX_REFILL, is_urgent=True)) == set()
    assert decided(request(fallback_of=uuid4())) == set()


def test_a_channel_that_would_carry_it_on_another_day_is_not_drawn() -> None:
    """The text of that day is used up, so by SMS it would leave tomorrow."""
    candidates = {**texts(EMAIL), **texts(SMS, texts_at=[MORNING + timedelta(hours=1)])}
    found = decide(request(), preferences(OPTED_IN), candidates, now=MORNING, advice=advice())
    assert (found.channel, kinds(found)) == (EMAIL, {"hour"})


def test_a_channel_that_was_drawn_says_so() -> None:
    answers_by_sms = {("channel", "patient", OTHER, ""): {"sms": Tried(400, 395), "email": Tried(400, 5)}}
    found = decide(
        request(),
        preferences(OPTED_IN),
        texts(EMAIL, SMS),
        now=MORNING,
        advice=advice(known=answers_by_sms, seed=UUID(int=1)),
    )
    assert found.channel is SMS
    words = {one["channel"]: (one["code"], one["words"]) for one in found.document["channel"]["considered"]}
    assert words["sms"] == ("CHOSEN", "By SMS: it may be used, and was drawn among those that may.")
    assert words["email"][0] == "NOT_PREFERRED"


hours = st.integers(0, 23).map(time)


@settings(max_examples=150, deadline=None)
@given(
    place=st.sampled_from(
        ["America/New_York", "Europe/Paris", "Pacific/Apia", "America/Sao_Paulo", "Australia/Lord_Howe"]
    ),
    region=st.sampled_from(["", "NY", "FL", "TX"]),
    quiet=st.tuples(hours, hours),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001  (naive bounds)
    lasts=st.one_of(st.none(), st.integers(1, 72)),
    consents=st.sets(st.sampled_from([*Channel])),
    sent=st.lists(st.integers(-80, 80), max_size=3),
    mode=st.sampled_from(["learning", "on"]),
    seed=st.uuids(),
)
def test_whatever_is_drawn_is_permitted_and_of_the_same_day(
    *,
    place: str,
    region: str,
    quiet: tuple[time, time],
    now: datetime,
    lasts: int | None,
    consents: set[Channel],
    sent: list[int],
    mode: str,
    seed: UUID,
) -> None:
    preferred = preferences(
        {each: {"opt_in": True} for each in consents},
        timezone=place,
        region=region,
        quiet_start=quiet[0],
        quiet_end=quiet[1],
    )
    wanted = request(expires_at=now + timedelta(hours=lasts) if lasts else None)
    candidates = texts(texts_at=[now + timedelta(hours=hour) for hour in sent])
    usual = decide(wanted, preferred, candidates, now=now)
    found = decide(wanted, preferred, candidates, now=now, advice=advice(mode, seed=seed))
    assert (found.channel is None, found.refused) == (usual.channel is None, usual.refused)
    if found.channel is None:
        assert found.choices == ()
        return
    assert found.channel in consents
    assert found.at >= now
    assert wanted.expires_at is None or found.at < wanted.expires_at
    assert at_place(found, preferred).date() == at_place(usual, preferred).date()
    law = legal_rules(found.channel, country="US", region=region, marketing=True)
    rules = TimeRules(place, Hours(*quiet), law.hours, law.name)
    assert is_lawful(found.at, rules, for_seconds=60) is None
    for choice in found.choices:
        assert len(choice.arms) >= 2
        assert abs(sum(choice.arms.values()) - 1) < 1e-9
        if choice.kind == "hour":
            assert choice.arm == arm_at(found.at, place)
