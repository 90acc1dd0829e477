"""Which channel and which instant: a table of cases, and what holds for every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.systems.outreach.deciding import Candidate, Decision, decide
from dispatchlog.systems.outreach.inputs import ScheduleInput
from dispatchlog.systems.outreach.legal import legal_rules
from dispatchlog.systems.outreach.preferences import ChannelPreference, Preferences, Said
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.times import Hours, TimeRules, is_lawful

EMAIL, SMS, WHATSAPP = Channel.EMAIL, Channel.SMS, Channel.WHATSAPP
# 10:00 in New York, on a Tuesday.
NOON = datetime(2026, 6, 9, 14, 0, tzinfo=UTC)
NIGHT = datetime(2026, 6, 10, 3, 30, tzinfo=UTC)
MORNING = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)


def channel(**values: Any) -> ChannelPreference:
    given = {"enabled": True, "address": "somewhere", "opt_in": False, "stopped_at": None, **values}
    return ChannelPreference(
        enabled=Said(given["enabled"], "global"),
        address=Said(given["address"], "core"),
        marketing_opt_in=Said(given["opt_in"], "patient"),
        stopped_at=given["stopped_at"],
        stopped_by="reply" if given["stopped_at"] else None,
    )


def preferences(channels: Mapping[Channel, Mapping[str, Any]] | None = None, **values: Any) -> Preferences:
    given: dict[str, Any] = {
        "timezone": "America/New_York",
        "language": "en",
        "quiet_start": time(22),
        "quiet_end": time(8),
        "work_start": time(9),
        "work_end": time(17),
        "best_hour": None,
        **values,
    }
    said = {name: Said(value, "global") for name, value in given.items() if name not in ("active", "country", "region")}
    return Preferences(
        patient_id=uuid4(),
        organization_id=None,
        provider_id=None,
        country=given.get("country", "US"),
        region=given.get("region", "NY"),
        active=given.get("active", True),
        channels={each: channel(**(channels or {}).get(each, {})) for each in Channel},
        version=3,
        **said,
    )


def texts(*channels: Channel, **values: Any) -> dict[Channel, Candidate]:
    return {
        each: Candidate(each, UUID(int=number), "en", **{"is_available": True, **values})
        for number, each in enumerate(channels or Channel)
    }


def request(purpose: Purpose = Purpose.APPT_REMINDER, **values: Any) -> ScheduleInput:
    return ScheduleInput(patient_id=uuid4(), purpose=purpose, **values)


def codes(decision: Decision) -> dict[str, str]:
    return {one["channel"]: one["code"] for one in decision.document["channel"]["considered"]}


def reasons(decision: Decision) -> list[str]:
    return [one["code"] for one in decision.document["time"]["reasons"]]


@dataclass(frozen=True)
class Case:
    """`sms`, `whatsapp`, `email` are the codes; what is not said is not looked at."""

    name: str
    wanted: ScheduleInput = field(default_factory=request)
    preferences: Preferences = field(default_factory=preferences)
    texts: Mapping[Channel, Candidate] = field(default_factory=texts)
    chosen: Channel | None = SMS
    codes: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


LIMITED = {"texts_at": (NOON - timedelta(hours=1),)}
OFF = {"enabled": False}
STOPPED = {"stopped_at": NOON}
NOWHERE = {"address": None}
OPTED_IN = {"opt_in": True}
EDUCATION = Purpose.CAMPAIGN_EDUCATION

CASES = (
    Case("care goes by SMS first", codes={"sms": "CHOSEN", "whatsapp": "NOT_PREFERRED", "email": "NOT_PREFERRED"}),
    Case(
        "the preferred channel goes first",
        request(preferred_channel=EMAIL),
        chosen=EMAIL,
        codes={"sms": "NOT_PREFERRED"},
    ),
    Case(
        "a preferred channel that is off gives way",
        request(preferred_channel=EMAIL),
        preferences({EMAIL: OFF}),
        chosen=SMS,
        codes={"email": "CHANNEL_OFF"},
    ),
    Case(
        "an SMS that is stopped gives way",
        preferences=preferences({SMS: STOPPED}),
        chosen=WHATSAPP,
        codes={"sms": "STOPPED"},
    ),
    Case(
        "no address for two",
        preferences=preferences({SMS: NOWHERE, WHATSAPP: NOWHERE}),
        chosen=EMAIL,
        codes={"sms": "NO_ADDRESS", "whatsapp": "NO_ADDRESS"},
    ),
    Case("no text for SMS", texts=texts(EMAIL), chosen=EMAIL, codes={"sms": "NO_TEMPLATE", "whatsapp": "NO_TEMPLATE"}),
    Case(
        "no provider for any",
        texts=texts(is_available=False),
        chosen=None,
        codes={"sms": "NOT_CONFIGURED"},
        refused="NO_CHANNEL",
    ),
    Case(
        "one that was tried is left out", request(not_by=frozenset({SMS})), chosen=WHATSAPP, codes={"sms": "EXCLUDED"}
    ),
    Case(
        "marketing goes by e-mail first",
        request(EDUCATION),
        preferences({EMAIL: OPTED_IN, SMS: OPTED_IN}),
        chosen=EMAIL,
        codes={"sms": "NOT_PREFERRED", "whatsapp": "NO_MARKETING_CONSENT"},
    ),
    Case(
        "marketing without consent goes nowhere",
        request(EDUCATION),
        chosen=None,
        codes={"email": "NO_MARKETING_CONSENT", "sms": "NO_MARKETING_CONSENT"},
        refused="NO_CHANNEL",
    ),
    Case(
        "a text that is marketing is marketing, whatever its purpose",
        texts=texts(SMS, is_marketing=True),
        chosen=None,
        codes={"sms": "NO_MARKETING_CONSENT"},
        refused="NO_CHANNEL",
    ),
    Case(
        "urgency skips no stop",
        request(Purpose.URGENT, is_urgent=True),
        preferences(dict.fromkeys(Channel, STOPPED)),
        chosen=None,
        codes={"sms": "STOPPED", "email": "STOPPED"},
        refused="NO_CHANNEL",
    ),
    Case(
        "a patient who is not active gets nothing",
        preferences=preferences(active=False),
        chosen=None,
        codes={"sms": "PATIENT_INACTIVE"},
        refused="PATIENT_INACTIVE",
    ),
    Case(
        "what would come too late by SMS goes by e-mail",
        request(expires_at=NOON + timedelta(hours=3)),
        texts={**texts(EMAIL), **texts(SMS, **LIMITED)},
        chosen=EMAIL,
        codes={"sms": "EXPIRES_BEFORE_LAWFUL"},
    ),
    Case(
        "what would come too late by each is not sent",
        request(expires_at=NOON),
        chosen=None,
        codes={"sms": "EXPIRES_BEFORE_LAWFUL", "email": "EXPIRES_BEFORE_LAWFUL"},
        refused="EXPIRES_BEFORE_LAWFUL",
    ),
    Case(
        "hours that leave nothing of the day to texts leave it to e-mail",
        preferences=preferences(quiet_start=time(7), quiet_end=time(22)),
        chosen=EMAIL,
        codes={"sms": "NEVER_LAWFUL"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_has_its_channel_and_the_codes_say_why(case: Case) -> None:
    found = decide(case.wanted, case.preferences, case.texts, now=NOON)
    assert (found.channel, found.refused) == (case.chosen, case.refused)
    assert codes(found).items() >= case.codes.items()
    assert found.template_id == (case.texts[case.chosen].template_id if case.chosen else None)
    refused = found.document["refused"]
    assert (refused["code"] if refused else "") == case.refused
    assert [one["channel"] for one in found.document["channel"]["considered"] if one["chosen"]] == (
        [case.chosen] if case.chosen else []
    )
    assert all(one["words"] for one in found.document["channel"]["considered"])


# --- when


def test_by_day_it_goes_at_once() -> None:
    found = decide(request(), preferences(), texts(), now=NOON)
    assert (found.at, reasons(found)) == (NOON, [])
    assert found.document["time"]["local"] == "2026-06-09T10:00:00-04:00"
    assert found.document["preferences_version"] == 3


def test_at_night_it_waits_for_the_morning_and_says_why() -> None:
    found = decide(request(), preferences(), texts(), now=NIGHT)
    assert (found.at, reasons(found)) == (MORNING, ["QUIET_HOURS"])
    words = found.document["time"]["reasons"][0]["words"]
    assert "23:30" in words
    assert "22:00-08:00, as for everybody" in words


def test_what_is_urgent_goes_at_night_and_past_every_limit() -> None:
    many = texts(SMS, texts_at=(NIGHT, NIGHT, NIGHT))
    for wanted in (request(is_urgent=True), request(Purpose.URGENT)):
        found = decide(wanted, preferences(best_hour=15), many, now=NIGHT)
        assert (found.channel, found.at, reasons(found)) == (SMS, NIGHT, ["URGENT"])
        assert found.document["urgent"] is True


def test_a_later_instant_is_kept_and_one_at_night_is_moved() -> None:
    found = decide(request(send_at=NIGHT), preferences(), texts(), now=NOON)
    assert (found.at, found.document["time"]["wanted"]) == (MORNING, NIGHT.isoformat())
    assert decide(request(send_at=MORNING), preferences(), texts(), now=NOON).at == MORNING


def test_one_text_a_day_and_three_a_week_by_the_patients_calendar() -> None:
    today = texts(SMS, texts_at=(NOON - timedelta(hours=1),))
    found = decide(request(), preferences(), today, now=NOON)
    assert (found.at, reasons(found)[0]) == (MORNING, "DAILY_LIMIT")
    # 23:30 of the day before in New York, although the same day by UTC.
    yesterday = texts(SMS, texts_at=(datetime(2026, 6, 9, 3, 30, tzinfo=UTC),))
    assert decide(request(), preferences(), yesterday, now=NOON).at == NOON
    week = texts(SMS, texts_at=tuple(NOON - timedelta(days=back) for back in (1, 3, 6)))
    found = decide(request(), preferences(), week, now=NOON)
    assert (found.at, reasons(found)[0]) == (MORNING, "WEEKLY_LIMIT")


def test_texts_that_are_planned_count_too() -> None:
    planned = texts(SMS, texts_at=tuple(NOON + timedelta(days=ahead) for ahead in (1, 2, 3)))
    found = decide(request(), preferences(), planned, now=NOON)
    # With one today there were four within a week, until the first of the three is seven days ago.
    assert found.at == datetime(2026, 6, 17, 12, 0, tzinfo=UTC)


def test_the_best_hour_is_waited_for_only_by_what_can_wait() -> None:
    best = preferences(best_hour=15)
    at_three = datetime(2026, 6, 9, 19, 0, tzinfo=UTC)
    found = decide(request(Purpose.RX_REFILL), best, texts(), now=NOON)
    assert (found.at, reasons(found)) == (at_three, ["BEST_HOUR"])
    opted_in = preferences({EMAIL: OPTED_IN}, best_hour=15)
    assert decide(request(EDUCATION), opted_in, texts(), now=NOON).at == at_three
    for purpose in (Purpose.APPT_REMINDER, Purpose.APPT_CONFIRM, Purpose.LAB_READY):
        assert decide(request(purpose), best, texts(), now=NOON).at == NOON
    soon = request(Purpose.RX_REFILL, expires_at=NOON + timedelta(hours=1))
    assert decide(soon, best, texts(), now=NOON).at == NOON
    asked = request(Purpose.RX_REFILL, send_at=NOON + timedelta(hours=1))
    assert decide(asked, best, texts(), now=NOON).at == asked.send_at


def test_who_turned_a_channel_off_is_said() -> None:
    found = decide(request(), preferences({SMS: OFF}), texts(), now=NOON)
    (sms,) = [one for one in found.document["channel"]["considered"] if one["channel"] == "sms"]
    assert sms["words"] == "Not by SMS: it is turned off (as for everybody)."


# --- whatever is asked

channels_said = st.fixed_dictionaries(
    {
        "enabled": st.booleans(),
        "address": st.sampled_from([None, "somewhere"]),
        "opt_in": st.booleans(),
        "stopped_at": st.sampled_from([None, NOON]),
    }
)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  (naive bounds)
candidates = st.builds(
    Candidate,
    channel=st.just(SMS),
    template_id=st.uuids(),
    language=st.just("en"),
    is_available=st.booleans(),
    is_marketing=st.booleans(),
    texts_at=st.lists(instants, max_size=4).map(tuple),
)


@given(
    wanted=st.builds(
        ScheduleInput,
        patient_id=st.uuids(),
        purpose=st.sampled_from(Purpose),
        preferred_channel=st.sampled_from([None, *Channel]),
        is_urgent=st.booleans(),
        send_at=st.none() | instants,
        expires_at=st.none() | instants,
        not_by=st.frozensets(st.sampled_from(Channel), max_size=2),
    ),
    said=st.fixed_dictionaries(dict.fromkeys(Channel, channels_said)),
    zone=st.sampled_from(["America/New_York", "Asia/Kolkata", "Pacific/Apia", "Europe/London"]),
    quiet=st.tuples(st.times(), st.times()),
    best_hour=st.none() | st.integers(0, 23),
    found=st.dictionaries(st.sampled_from(Channel), candidates).map(
        lambda found: {each: replace(one, channel=each) for each, one in found.items()}
    ),
    active=st.booleans(),
    now=instants,
)
def test_whatever_is_asked_no_channel_that_is_forbidden_is_chosen_and_no_hour(
    wanted: ScheduleInput,
    said: Mapping[Channel, Mapping[str, Any]],
    zone: str,
    quiet: tuple[time, time],
    best_hour: int | None,
    found: Mapping[Channel, Candidate],
    active: bool,
    now: datetime,
) -> None:
    start, end = (each.replace(second=0, microsecond=0) for each in quiet)
    patient = preferences(said, timezone=zone, quiet_start=start, quiet_end=end, best_hour=best_hour, active=active)
    decision = decide(wanted, patient, found, now=now)
    assert (decision.channel is None) == bool(decision.refused)
    assert {one["channel"] for one in decision.document["channel"]["considered"]} == set(Channel)
    if decision.channel is None:
        return
    chosen, candidate = patient.channels[decision.channel], found[decision.channel]
    marketing = candidate.is_marketing or wanted.purpose is EDUCATION
    assert active
    assert chosen.enabled.value
    assert chosen.stopped_at is None
    assert chosen.address.value
    assert chosen.marketing_opt_in.value or not marketing
    assert candidate.is_available
    assert decision.channel not in wanted.not_by
    assert decision.at >= max(now, wanted.send_at or now)
    assert wanted.expires_at is None or decision.at < wanted.expires_at
    if not (wanted.is_urgent or wanted.purpose is Purpose.URGENT):
        law = legal_rules(decision.channel, country="US", region="NY", marketing=marketing)
        assert is_lawful(decision.at, TimeRules(zone, Hours(start, end), law.hours)) is None
