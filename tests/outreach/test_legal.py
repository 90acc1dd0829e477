"""What the law of a place permits; the data is checked for what rules are computed from."""

from __future__ import annotations

from datetime import time

import pytest

from dispatchlog.systems.outreach.legal import PLACES, legal_rules
from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.times import Hours


def _hours(channel: Channel, country: str, region: str, *, marketing: bool) -> tuple[int, int] | None:
    found = legal_rules(channel, country=country, region=region, marketing=marketing).hours
    return None if found is None else (found.start.hour, found.end.hour)


@pytest.mark.parametrize(
    ("country", "region", "care", "marketing"),
    [
        ("US", "NY", (8, 21), (8, 21)),
        ("US", "FL", (8, 20), (8, 20)),
        ("us", "fl", (8, 20), (8, 20)),
        ("US", "TX", (8, 21), (12, 21)),
        ("US", "", (8, 20), (12, 17)),
        ("US", "ZZ", (8, 20), (12, 17)),
        ("FR", "", None, (8, 22)),
        ("", "", (8, 20), (12, 17)),
        ("DE", "BY", (8, 20), (12, 17)),
    ],
)
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP])
def test_the_window_of_a_place(
    channel: Channel, country: str, region: str, care: tuple[int, int] | None, marketing: tuple[int, int]
) -> None:
    assert _hours(channel, country, region, marketing=False) == care
    assert _hours(channel, country, region, marketing=True) == marketing


def test_email_has_no_legal_hours_and_no_limit() -> None:
    for country in ("US", ""):
        found = legal_rules(Channel.EMAIL, country=country, region="FL", marketing=True)
        assert (found.hours, found.per_day, found.per_week) == (None, None, None)


def test_texts_of_care_are_one_a_day_and_three_a_week() -> None:
    for country, region in (("US", "FL"), ("US", "NY"), ("", ""), ("AE", "")):
        found = legal_rules(Channel.SMS, country=country, region=region, marketing=False)
        assert (found.per_day, found.per_week) == (1, 3)
        assert legal_rules(Channel.WHATSAPP, country=country, region=region, marketing=False).per_day is None


def test_marketing_is_no_more_than_texts_of_care_wherever() -> None:
    for country, region in (("US", "FL"), ("", ""), ("US", "NY"), ("FR", "")):
        for channel in (Channel.SMS, Channel.WHATSAPP):
            found = legal_rules(channel, country=country, region=region, marketing=True)
            assert (found.per_day, found.per_week) == (1, 3)


def test_no_place_permits_what_an_unknown_one_forbids() -> None:
    for marketing in (False, True):
        strictest = legal_rules(Channel.SMS, country="", region="", marketing=marketing).hours
        assert strictest is not None
        assert strictest.start < strictest.end
        for place in PLACES:
            known = legal_rules(Channel.SMS, country=place.country, region=place.region, marketing=marketing).hours
            known = known or Hours(time(0), time(23, 59))
            assert known.start <= strictest.start < strictest.end <= known.end
            assert place.source
