"""Between which hours the law of a place lets messages arrive, and how many a day. Data with its sources; counsel confirms.

Most of these laws are about advertising. For messages of care only the window that the United States set for everybody is
taken, and Florida's, since who calls a message an advertisement is decided afterwards. A law with other hours on some days
of the week stands here with the hours that hold on all of them; days on which nothing may be advertised at all (Sundays
and holidays in France) are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time
from functools import lru_cache

from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.times import Hours


@dataclass(frozen=True, slots=True)
class LegalRules:
    """`hours`: None: any; `per_day`, `per_week`: None: no limit; `name` for pages, with the source."""

    hours: Hours | None
    per_day: int | None
    per_week: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """One law. `region` is "" for a whole country; `care` is None where it leaves messages of care alone."""

    country: str
    region: str
    marketing: Hours
    source: str
    care: Hours | None = None
    marketing_per_day: int | None = None


def _hours(start: int, end: int) -> Hours:
    return Hours(time(start), time(end))


# 47 CFR 64.1200(a)(9)(iv)(E), for messages of health care to mobile numbers.
CARE_TEXTS_PER_DAY = 1
CARE_TEXTS_PER_WEEK = 3
# No law asks for it everywhere: nobody is to get more marketing than messages about their care.
MARKETING_TEXTS_PER_DAY = 1
MARKETING_TEXTS_PER_WEEK = 3

# Hours of states: the statutes named, and support.referrizer.com, "TCPA Quiet Hours and State-Specific Rules for Text
# Campaigns". Other countries: each as its source says. All read in November 2026.
PLACES = (
    Place("US", "", _hours(8, 21), "US, 47 CFR 64.1200(c)(1)", care=_hours(8, 21)),
    Place("US", "CT", _hours(9, 20), "Connecticut, Gen. Stat. 42-288a"),
    Place("US", "FL", _hours(8, 20), "Florida Stat. 501.616(6)", care=_hours(8, 20), marketing_per_day=3),
    Place("US", "MD", _hours(8, 20), "Maryland, Stop the Spam Calls Act", marketing_per_day=3),
    Place("US", "MS", _hours(8, 20), "Mississippi, Telephone Solicitation Act"),
    Place("US", "NJ", _hours(8, 20), "New Jersey, telemarketing law of 2023"),
    Place("US", "OK", _hours(8, 20), "Oklahoma Stat. 15-775C.4", marketing_per_day=3),
    # 9 to 18 on weekdays, 10 to 17 at weekends.
    Place("US", "RI", _hours(10, 17), "Rhode Island Gen. Laws 5-61-3.6"),
    # 9 to 21, from noon on Sundays.
    Place("US", "TX", _hours(12, 21), "Texas Bus. & Com. Code 301.051"),
    Place("US", "WA", _hours(8, 20), "Washington, RCW 80.36.390"),
    # twilio.com/guidelines/ae/sms: nothing promotional from 21:00 to 7:00.
    Place("AE", "", _hours(7, 21), "United Arab Emirates, TDRA, by Twilio's guideline"),
    # help.brevo.com 11884482521234: 8 to 22 from Monday to Saturday.
    Place("FR", "", _hours(8, 22), "France, operators' rule, by Brevo's guideline"),
    # docs.satisfilabs.com, "SMS Regulations for India".
    Place("IN", "", _hours(9, 21), "India, TRAI"),
)
_BY_PLACE = {(place.country, place.region): place for place in PLACES}
# Countries where regions have laws of their own: without a known region the strictest of them holds.
_DIVIDED = frozenset(place.country for place in PLACES if place.region)
_STATES = """
AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD
TN TX UT VT VA WA WV WI WY DC AS GU MP PR UM VI
"""
_REGIONS = {"US": frozenset(_STATES.split())}


@lru_cache(maxsize=1024)
def legal_rules(channel: Channel, *, country: str, region: str, marketing: bool) -> LegalRules:
    """What holds for a channel at a place (ISO 3166-1 alpha-2, region as in ISO 3166-2 without its country).

    An unknown place has the strictest hours known, since nothing says which law holds.
    """
    if channel is Channel.EMAIL:
        return LegalRules(None, None, None, "no law sets hours for e-mail")
    places, unknown = _where(country.strip().upper(), region.strip().upper())
    if marketing:
        allowed = [place.marketing_per_day for place in places if place.marketing_per_day]
        per_day = min(MARKETING_TEXTS_PER_DAY, *allowed) if allowed else MARKETING_TEXTS_PER_DAY
        hours = _strictest(place.marketing for place in places)
        return LegalRules(hours, per_day, MARKETING_TEXTS_PER_WEEK, unknown or places[-1].source)
    caring = [place for place in places if place.care is not None]
    name = unknown or (caring[-1].source if caring else "no law known here sets hours for messages of care")
    hours = _strictest(place.care for place in caring)
    if channel is not Channel.SMS:
        return LegalRules(hours, None, None, name)
    return LegalRules(hours, CARE_TEXTS_PER_DAY, CARE_TEXTS_PER_WEEK, name)


def _where(country: str, region: str) -> tuple[tuple[Place, ...], str]:
    """The laws that may hold there, the narrowest last; and what is unknown about the place, if something is."""
    nation = _BY_PLACE.get((country, ""))
    if nation is None:
        return PLACES, "place unknown: the strictest hours known"
    if country not in _DIVIDED:
        return (nation,), ""
    if region not in _REGIONS[country]:
        return tuple(place for place in PLACES if place.country == country), "state unknown: the strictest hours known"
    own = _BY_PLACE.get((country, region))
    return ((nation,) if own is None else (nation, own)), ""


def _strictest(windows: Iterable[Hours | None]) -> Hours | None:
    """What every window permits. None of them goes past midnight."""
    known = [window for window in windows if window is not None]
    if not known:
        return None
    return Hours(max(window.start for window in known), min(window.end for window in known))
