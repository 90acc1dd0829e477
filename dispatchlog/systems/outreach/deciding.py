"""Which channel, which instant, or why none: a pure function of preferences, templates, limits and the request.

The decision is stored with its job as it was made, so that anybody can read later why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import OutreachError, ScheduleInput
from dispatchlog.systems.outreach.legal import legal_rules
from dispatchlog.systems.outreach.limits import first_within_limits
from dispatchlog.systems.outreach.preferences import ChannelPreference, Preferences
from dispatchlog.systems.outreach.reasons import CHANNEL, REFUSED, TIME, said_by
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.times import Hours, Moment, TimeRules, at_best_hour, zone

_CARE_ORDER = (Channel.SMS, Channel.WHATSAPP, Channel.EMAIL)
_MARKETING_ORDER = (Channel.EMAIL, Channel.SMS, Channel.WHATSAPP)
# Nobody loses by reading these some hours later, at the hour at which the patient answers best.
_CAN_WAIT = frozenset({Purpose.CAMPAIGN_EDUCATION, Purpose.RX_REFILL, Purpose.NO_SHOW})
# What says no by the patient's own choice, or for them; all else is a matter of data and settings.
FORBIDS = frozenset({"CHANNEL_OFF", "STOPPED", "NO_MARKETING_CONSENT"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """One channel that a template exists for, in the language that the patient reads or the nearest one.

    `is_available`: a provider is set up. `texts_at`: the instants of what was sent or is planned by it and counts towards
    the limits of a day and a week.
    """

    channel: Channel
    template_id: UUID
    language: str
    is_available: bool
    is_marketing: bool = False
    texts_at: Sequence[datetime] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """`channel` None: it is not sent, and `refused` is the code. `document` is what is stored:

    {"channel": {"chosen": "sms", "considered": [{"channel", "chosen", "code", "words"}]},
     "time": {"wanted", "at", "zone", "local", "reasons": [{"code", "words"}]},
     "refused": {"code", "words"} | null, "urgent": bool, "preferences_version": int, "decided_at": iso}
    """

    channel: Channel | None
    template_id: UUID | None
    at: datetime
    refused: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One channel: `code` "" where it may be used, then `moment` is when, by the law of that name."""

    channel: Channel
    code: str
    moment: Moment | None = None
    law: str = ""


def is_urgent(wanted: ScheduleInput) -> bool:
    """Whether it goes at any hour: asked for as urgent, or of the urgent purpose."""
    return wanted.is_urgent or wanted.purpose is Purpose.URGENT


def order_of(wanted: ScheduleInput, candidates: Mapping[Channel, Candidate]) -> tuple[Channel, ...]:
    """All channels, in the order in which they are considered."""
    marketing = wanted.purpose is Purpose.CAMPAIGN_EDUCATION or any(c.is_marketing for c in candidates.values())
    order = _MARKETING_ORDER if marketing else _CARE_ORDER
    first = wanted.preferred_channel
    return order if first is None else (first, *(channel for channel in order if channel is not first))


def decide(
    wanted: ScheduleInput, preferences: Preferences, candidates: Mapping[Channel, Candidate], *, now: datetime
) -> Decision:
    """Preferred channel first where it may be used, then SMS, WhatsApp, e-mail for short care messages (e-mail first for
    marketing). Urgent ones skip quiet hours, limits and best hour, never a stop or a missing address.

    Codes of a channel not taken: NO_TEMPLATE, NO_ADDRESS, CHANNEL_OFF, STOPPED, NO_MARKETING_CONSENT, NOT_CONFIGURED,
    EXCLUDED, NEVER_LAWFUL, EXPIRES_BEFORE_LAWFUL, NOT_PREFERRED. Codes of a refusal: PATIENT_INACTIVE, NO_CHANNEL,
    EXPIRES_BEFORE_LAWFUL.
    """
    judged = [_judge(wanted, preferences, channel, candidates, now=now) for channel in order_of(wanted, candidates)]
    chosen = next((one for one in judged if not one.code), None) if preferences.active else None
    refused = "" if chosen else _refusal(preferences, judged)
    document = {
        "channel": {
            "chosen": str(chosen.channel) if chosen else None,
            "considered": [_considered(one, chosen, preferences) for one in judged],
        },
        "time": _time(wanted, preferences, chosen or _nearest(judged), now),
        "refused": {"code": refused, "words": REFUSED[refused]} if refused else None,
        "urgent": is_urgent(wanted),
        "preferences_version": preferences.version,
        "decided_at": now.isoformat(),
    }
    template_id = candidates[chosen.channel].template_id if chosen else None
    at = chosen.moment.at if chosen and chosen.moment else _start(wanted, now)
    return Decision(chosen.channel if chosen else None, template_id, at, refused, document)


def codes(decision: Decision) -> dict[str, str]:
    """What was found of each channel: its code, or "CHOSEN"."""
    return {one["channel"]: one["code"] for one in decision.document["channel"]["considered"]}


def _judge(
    wanted: ScheduleInput,
    preferences: Preferences,
    channel: Channel,
    candidates: Mapping[Channel, Candidate],
    *,
    now: datetime,
) -> _Judged:
    candidate = candidates.get(channel)
    if candidate is None:
        return _Judged(channel, "NO_TEMPLATE")
    code = _objection(wanted, preferences.channels[channel], candidate)
    if code:
        return _Judged(channel, code)
    try:
        moment, law = _moment(wanted, preferences, candidate, now)
    except OutreachError as error:
        if error.code != "NEVER_LAWFUL":
            raise
        return _Judged(channel, error.code)
    late = wanted.expires_at is not None and moment.at >= wanted.expires_at
    return _Judged(channel, "EXPIRES_BEFORE_LAWFUL" if late else "", moment, law)


def _objection(wanted: ScheduleInput, preference: ChannelPreference, candidate: Candidate) -> str:
    """The first thing that forbids the channel, "" where nothing does; no urgency passes any of these."""
    if candidate.channel in wanted.not_by:
        return "EXCLUDED"
    if not preference.address.value:
        return "NO_ADDRESS"
    marketing = candidate.is_marketing or wanted.purpose is Purpose.CAMPAIGN_EDUCATION
    found = (
        ("STOPPED", preference.stopped_at is not None),
        ("CHANNEL_OFF", not preference.enabled.value),
        ("NO_MARKETING_CONSENT", marketing and not preference.marketing_opt_in.value),
        ("NOT_CONFIGURED", not candidate.is_available),
    )
    return next((code for code, forbids in found if forbids), "")


def _moment(wanted: ScheduleInput, preferences: Preferences, candidate: Candidate, now: datetime) -> tuple[Moment, str]:
    start = _start(wanted, now)
    if is_urgent(wanted):
        return Moment(start, ("URGENT",)), ""
    marketing = candidate.is_marketing or wanted.purpose is Purpose.CAMPAIGN_EDUCATION
    law = legal_rules(candidate.channel, country=preferences.country, region=preferences.region, marketing=marketing)
    quiet = Hours(preferences.quiet_start.value, preferences.quiet_end.value)
    rules = TimeRules(preferences.timezone.value, quiet, law.hours, law.name)
    moment = first_within_limits(start, rules, law, candidate.texts_at)
    best = preferences.best_hour.value
    if best is None or wanted.send_at is not None or not (marketing or wanted.purpose in _CAN_WAIT):
        return moment, law.name
    better = at_best_hour(moment.at, best, rules, latest=wanted.expires_at)
    limited = first_within_limits(better.at, rules, law, candidate.texts_at)
    if limited.at == better.at:
        moment = Moment(better.at, (*moment.reasons, *better.reasons))
    return moment, law.name


def _start(wanted: ScheduleInput, now: datetime) -> datetime:
    return max(wanted.send_at, now) if wanted.send_at else now


def _nearest(judged: Sequence[_Judged]) -> _Judged:
    """Where none was chosen: the first that would only have come too late, else the first."""
    return next((one for one in judged if one.moment is not None), judged[0])


def _refusal(preferences: Preferences, judged: Sequence[_Judged]) -> str:
    if not preferences.active:
        return "PATIENT_INACTIVE"
    return "EXPIRES_BEFORE_LAWFUL" if any(one.code == "EXPIRES_BEFORE_LAWFUL" for one in judged) else "NO_CHANNEL"


def _considered(one: _Judged, chosen: _Judged | None, preferences: Preferences) -> dict[str, Any]:
    is_chosen = chosen is not None and one.channel is chosen.channel
    code = "CHOSEN" if is_chosen else one.code or ("NOT_PREFERRED" if preferences.active else "PATIENT_INACTIVE")
    who = said_by(preferences.channels[one.channel].enabled.source)
    words = CHANNEL[code].format(channel=CHANNEL_WORDS[one.channel], who=who)
    return {"channel": str(one.channel), "chosen": is_chosen, "code": code, "words": words}


def _time(wanted: ScheduleInput, preferences: Preferences, one: _Judged, now: datetime) -> dict[str, Any]:
    start = _start(wanted, now)
    moment = one.moment or Moment(start)
    place = zone(preferences.timezone.value)
    facts = {
        "clock": f"{start.astimezone(place):%H:%M}",
        "zone": preferences.timezone.value,
        "quiet": _quiet(preferences),
        "best": preferences.best_hour.value,
        "law": one.law,
    }
    return {
        "wanted": start.isoformat(),
        "at": moment.at.isoformat(),
        "zone": preferences.timezone.value,
        "local": moment.at.astimezone(place).isoformat(),
        "reasons": [{"code": code, "words": TIME[code].format(**facts)} for code in dict.fromkeys(moment.reasons)],
    }


def _quiet(preferences: Preferences) -> str:
    start, end = preferences.quiet_start, preferences.quiet_end
    return f"{start.value:%H:%M}-{end.value:%H:%M}, {said_by(start.source)}"
