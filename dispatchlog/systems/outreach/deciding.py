"""Which channel, which instant, or why none: a pure function of preferences, templates, limits and the request.

The decision is stored with its job as it was made, so that anybody can read later why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import OutreachError, ScheduleInput
from dispatchlog.systems.outreach.legal import LegalRules, legal_rules
from dispatchlog.systems.outreach.limits import first_within_limits
from dispatchlog.systems.outreach.optimiser.choosing import CHANNEL as BY_CHANNEL
from dispatchlog.systems.outreach.optimiser.choosing import HOUR, Advice, Choice
from dispatchlog.systems.outreach.optimiser.hours import arm_at, open_hours
from dispatchlog.systems.outreach.preferences import ChannelPreference, Preferences
from dispatchlog.systems.outreach.reasons import CHANNEL, CHOSEN_AMONG, REFUSED, TIME, said_by
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
     "refused": {"code", "words"} | null, "urgent": bool, "preferences_version": int, "decided_at": iso,
     "optimiser": [{"kind", "arm", "policy", "propensity", "words"}], only where it took part}
    """

    channel: Channel | None
    template_id: UUID | None
    at: datetime
    refused: str
    document: Mapping[str, Any]
    choices: Sequence[Choice] = ()


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
    wanted: ScheduleInput,
    preferences: Preferences,
    candidates: Mapping[Channel, Candidate],
    *,
    now: datetime,
    advice: Advice | None = None,
) -> Decision:
    """Preferred channel first where it may be used, then SMS, WhatsApp, e-mail for short care messages (e-mail first for
    marketing). Urgent ones skip quiet hours, limits and best hour, never a stop or a missing address. Where a message can
    wait, the optimiser's advice chooses among the channels that are open and the hours of that day.

    Codes of a channel not taken: NO_TEMPLATE, NO_ADDRESS, CHANNEL_OFF, STOPPED, NO_MARKETING_CONSENT, NOT_CONFIGURED,
    EXCLUDED, NEVER_LAWFUL, EXPIRES_BEFORE_LAWFUL, NOT_PREFERRED. Codes of a refusal: PATIENT_INACTIVE, NO_CHANNEL,
    EXPIRES_BEFORE_LAWFUL.
    """
    judged = [_judge(wanted, preferences, channel, candidates, now=now) for channel in order_of(wanted, candidates)]
    usual = next((one for one in judged if not one.code), None) if preferences.active else None
    chosen, choices = _advised(wanted, preferences, candidates, judged, usual, advice, now)
    refused = "" if chosen else _refusal(preferences, judged)
    document: dict[str, Any] = {
        "channel": {
            "chosen": str(chosen.channel) if chosen else None,
            "considered": [_considered(one, chosen, preferences, usual) for one in judged],
        },
        "time": _time(wanted, preferences, chosen or _nearest(judged), now),
        "refused": {"code": refused, "words": REFUSED[refused]} if refused else None,
        "urgent": is_urgent(wanted),
        "preferences_version": preferences.version,
        "decided_at": now.isoformat(),
    }
    if choices:
        document["optimiser"] = [choice_document(each) for each in choices]
    template_id = candidates[chosen.channel].template_id if chosen else None
    at = chosen.moment.at if chosen and chosen.moment else _start(wanted, now)
    return Decision(chosen.channel if chosen else None, template_id, at, refused, document, choices)


def choice_document(choice: Choice) -> dict[str, Any]:
    """What a decision keeps of a choice."""
    return {name: getattr(choice, name) for name in ("kind", "arm", "policy", "propensity", "words")}


def can_wait(wanted: ScheduleInput, *, is_marketing: bool) -> bool:
    """Whether the optimiser may take part: nobody loses by reading it some hours later, and it is a first try."""
    waits = is_marketing or wanted.purpose in _CAN_WAIT
    return waits and not is_urgent(wanted) and wanted.fallback_of is None


def codes(decision: Decision) -> dict[str, str]:
    """What was found of each channel: its code, or "CHOSEN"."""
    return {one["channel"]: one["code"] for one in decision.document["channel"]["considered"]}


def _advised(
    wanted: ScheduleInput,
    preferences: Preferences,
    candidates: Mapping[Channel, Candidate],
    judged: Sequence[_Judged],
    usual: _Judged | None,
    advice: Advice | None,
    now: datetime,
) -> tuple[_Judged | None, tuple[Choice, ...]]:
    """The channel and instant that the advice chooses, and the choices; as usual where it chooses nothing."""
    if advice is None or usual is None or not can_wait(wanted, is_marketing=candidates[usual.channel].is_marketing):
        return usual, ()
    chosen, by_channel = _with_channel(wanted, preferences, judged, usual, advice)
    chosen, by_hour = _with_hour(wanted, preferences, candidates[chosen.channel], chosen, advice, now)
    return chosen, tuple(each for each in (by_channel, by_hour) if each)


def _with_channel(
    wanted: ScheduleInput, preferences: Preferences, judged: Sequence[_Judged], usual: _Judged, advice: Advice
) -> tuple[_Judged, Choice | None]:
    """Among those by which it would leave on the same day."""
    if wanted.preferred_channel is not None:
        return usual, None
    place = zone(preferences.timezone.value)
    days = {one.channel: one.moment.at.astimezone(place).date() for one in judged if one.moment and not one.code}
    open_to = {str(one.channel): one for one in judged if days.get(one.channel) == days[usual.channel]}
    choice = advice.choose(BY_CHANNEL, [*open_to], context=str(wanted.purpose), default=str(usual.channel))
    return (open_to[choice.arm] if choice else usual), choice


def _with_hour(
    wanted: ScheduleInput,
    preferences: Preferences,
    candidate: Candidate,
    one: _Judged,
    advice: Advice,
    now: datetime,
) -> tuple[_Judged, Choice | None]:
    """Among the hours of the day on which it would leave, unless somebody said when, or the patient at which hour."""
    said = preferences.best_hour.value is not None and preferences.best_hour.source == "patient"
    if said or wanted.send_at is not None or one.moment is None:
        return one, None
    rules, law = _rules(wanted, preferences, candidate)
    earliest = first_within_limits(_start(wanted, now), rules, law, candidate.texts_at)
    hours = open_hours(one.moment, earliest.at, rules, law, candidate.texts_at, before=wanted.expires_at)
    there = one.moment.at.astimezone(zone(rules.zone))
    default, context = arm_at(one.moment.at, rules.zone), f"{one.channel}:{there.weekday()}"
    choice = advice.choose(HOUR, [*hours], context=context, default=default)
    if choice is None or choice.arm == default:
        return one, choice
    moment = Moment(hours[choice.arm].at, (*earliest.reasons, "OPTIMISER"))
    return replace(one, moment=moment), choice


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
    marketing = _is_marketing(wanted, candidate)
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
    marketing = _is_marketing(wanted, candidate)
    rules, law = _rules(wanted, preferences, candidate)
    moment = first_within_limits(start, rules, law, candidate.texts_at)
    best = preferences.best_hour.value
    if best is None or wanted.send_at is not None or not (marketing or wanted.purpose in _CAN_WAIT):
        return moment, law.name
    better = at_best_hour(moment.at, best, rules, latest=wanted.expires_at)
    limited = first_within_limits(better.at, rules, law, candidate.texts_at)
    if limited.at == better.at:
        moment = Moment(better.at, (*moment.reasons, *better.reasons))
    return moment, law.name


def _is_marketing(wanted: ScheduleInput, candidate: Candidate) -> bool:
    return candidate.is_marketing or wanted.purpose is Purpose.CAMPAIGN_EDUCATION


def _rules(wanted: ScheduleInput, preferences: Preferences, candidate: Candidate) -> tuple[TimeRules, LegalRules]:
    marketing = _is_marketing(wanted, candidate)
    law = legal_rules(candidate.channel, country=preferences.country, region=preferences.region, marketing=marketing)
    quiet = Hours(preferences.quiet_start.value, preferences.quiet_end.value)
    return TimeRules(preferences.timezone.value, quiet, law.hours, law.name), law


def _start(wanted: ScheduleInput, now: datetime) -> datetime:
    return max(wanted.send_at, now) if wanted.send_at else now


def _nearest(judged: Sequence[_Judged]) -> _Judged:
    """Where none was chosen: the first that would only have come too late, else the first."""
    return next((one for one in judged if one.moment is not None), judged[0])


def _refusal(preferences: Preferences, judged: Sequence[_Judged]) -> str:
    if not preferences.active:
        return "PATIENT_INACTIVE"
    return "EXPIRES_BEFORE_LAWFUL" if any(one.code == "EXPIRES_BEFORE_LAWFUL" for one in judged) else "NO_CHANNEL"


def _considered(
    one: _Judged, chosen: _Judged | None, preferences: Preferences, usual: _Judged | None
) -> dict[str, Any]:
    is_chosen = chosen is not None and one.channel is chosen.channel
    code = "CHOSEN" if is_chosen else one.code or ("NOT_PREFERRED" if preferences.active else "PATIENT_INACTIVE")
    who = said_by(preferences.channels[one.channel].enabled.source)
    is_drawn = is_chosen and usual is not None and one.channel is not usual.channel
    words = (CHOSEN_AMONG if is_drawn else CHANNEL[code]).format(channel=CHANNEL_WORDS[one.channel], who=who)
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
