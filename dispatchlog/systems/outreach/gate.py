"""The last question before a message leaves, in the transaction that marks it as leaving. Reads only.

Consent, stops and the lawful window are asked again here: what was decided when the message was scheduled may be hours old.
What is read is read under locks that whoever says no must have alone, so no no that is committed can be overlooked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Refusal, Row
from dispatchlog.gateways.outreach_letters import TEXT_VALID_SECONDS
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.campaigns import barrier
from dispatchlog.systems.outreach.contacts import address_hash
from dispatchlog.systems.outreach.legal import legal_rules
from dispatchlog.systems.outreach.limits import first_within_limits
from dispatchlog.systems.outreach.resolving import Preferences, resolve
from dispatchlog.systems.outreach.scheduling_reads import texts_that_left
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.stops import is_stopped, lock_address
from dispatchlog.systems.outreach.times import Hours, TimeRules, is_lawful, lawful_instant
from dispatchlog.systems.outreach.unheard import is_answer_unread, is_withdrawal_unapplied

# No provider is given longer for one send (how long a mail may take is a setting), and then it is on its way: a text waits
# at its provider for so long at most.
SEND_SECONDS = 60.0
ON_ITS_WAY_SECONDS = float(TEXT_VALID_SECONDS)
# 47 CFR 64.1200(a)(12): one text that confirms a stop, within five minutes of it.
CONFIRMS_STOP_WITHIN = timedelta(minutes=5)
ASKED_AGAIN_AFTER = timedelta(hours=1)
ANSWER_IS_READ_WITHIN = timedelta(minutes=1)

_OVER = frozenset({"cancelled", "completed", "no_show"})
_LIMITS = {
    "DAILY_LIMIT": "the patient had the texts of this day",
    "WEEKLY_LIMIT": "the patient had the texts of this week",
}


def may_leave(row: Row) -> Refusal | None:
    """None: it may leave now. Codes: PATIENT_INACTIVE, STOPPED, ADDRESS_CHANGED, CHANNEL_OFF, NO_MARKETING_CONSENT,
    APPOINTMENT_OVER, CAMPAIGN_ENDED (never); CAMPAIGN_PAUSED, ANSWER_UNREAD, QUIET_HOURS, LEGAL_WINDOW, DAILY_LIMIT,
    WEEKLY_LIMIT (until an instant).

    What cannot be judged (no minute is lawful, contact data cannot be opened) is put off with that code and asked again.
    `decision["reply_to_stop"]` marks the one text that confirms a stop: it may leave although there is one, at any hour,
    for five minutes. `decision["appointment_starts_at"]` is when the appointment begins as the text has it.
    """
    now = datetime.now(UTC)
    try:
        return _judge(row, now)
    except DispatchlogError as error:
        return Refusal(error.code, str(error), now + ASKED_AGAIN_AFTER)


def _judge(row: Row, now: datetime) -> Refusal | None:
    channel = Channel(row["channel"])
    # What counts is where it really goes, also where a person has corrected that.
    going_to = address_hash(channel, row["recipient"])
    lock_address(channel, going_to, shared=True)
    preferences = resolve(row["patient_id"], lock="FOR SHARE")
    if row["decision"].get("reply_to_stop") and now <= row["created_at"] + CONFIRMS_STOP_WITHIN:
        return None
    return (
        _forbidden(row, channel, preferences, going_to)
        or barrier.objection(row, now)
        or _unheard(row, channel, going_to, now)
        or _appointment_over(row, now)
        or (None if _is_urgent(row) else _wrong_hour(row, channel, preferences, now))
        or (None if _is_urgent(row) else _too_many(row, channel, preferences, now))
    )


def _is_urgent(row: Row) -> bool:
    """Whether it leaves at any hour and past the limits, which marketing never does."""
    return bool(row["is_urgent"] and not row["is_marketing"])


def _forbidden(row: Row, channel: Channel, preferences: Preferences, going_to: bytes) -> Refusal | None:
    chosen = preferences.channels[channel]
    words = CHANNEL_WORDS[channel]
    if not preferences.active:
        return Refusal("PATIENT_INACTIVE", "the patient is not active any more")
    if is_stopped(channel, going_to):
        return Refusal("STOPPED", f"whoever has this address wants nothing more by {words}")
    if chosen.address.value is None or address_hash(channel, chosen.address.value) != going_to:
        return Refusal("ADDRESS_CHANGED", "the patient is not reached at this address any more")
    if not chosen.enabled.value:
        return Refusal("CHANNEL_OFF", f"{words} is turned off ({chosen.enabled.source})")
    if row["is_marketing"] and not chosen.marketing_opt_in.value:
        return Refusal("NO_MARKETING_CONSENT", f"the patient has not agreed to marketing by {words}")
    return None


def _unheard(row: Row, channel: Channel, going_to: bytes, now: datetime) -> Refusal | None:
    # What they have just written may be a stop. What answers them is about an answer that was read.
    if row["decision"].get("reply_to"):
        return None
    if is_answer_unread(channel, row["recipient"]) or is_withdrawal_unapplied(channel, row["recipient"], going_to):
        return Refusal("ANSWER_UNREAD", "what came from this address is still to be read", now + ANSWER_IS_READ_WITHIN)
    return None


def _appointment_over(row: Row, now: datetime) -> Refusal | None:
    # A message about a missed appointment is about one that is over.
    if row["appointment_id"] is None or row["purpose"] == Purpose.NO_SHOW:
        return None
    ((status, starts_at),) = fetch_all(
        "SELECT status, starts_at FROM comm_appointments WHERE id = %s", (row["appointment_id"],)
    )
    if status in _OVER:
        return Refusal("APPOINTMENT_OVER", f"the appointment is {status.replace('_', ' ')}")
    if starts_at <= now:
        return Refusal("APPOINTMENT_OVER", "the appointment has begun")
    if _was_moved(row["decision"].get("appointment_starts_at"), starts_at):
        return Refusal("APPOINTMENT_OVER", "the appointment was moved to another time")
    return None


def _was_moved(written: Any, starts_at: datetime) -> bool:
    return bool(written) and datetime.fromisoformat(str(written)) != starts_at


def _wrong_hour(row: Row, channel: Channel, preferences: Preferences, now: datetime) -> Refusal | None:
    rules = time_rules(preferences, channel, marketing=row["is_marketing"])
    lasting = max(SEND_SECONDS, get_settings().mail_deadline_seconds) + ON_ITS_WAY_SECONDS
    code = is_lawful(now, rules, for_seconds=lasting)
    if code is None:
        return None
    until = lawful_instant(now, rules, margin_seconds=lasting + 60).at
    why = "the patient's quiet hours" if code == "QUIET_HOURS" else f"outside the lawful hours ({rules.why_legal})"
    return Refusal(code, f"{why} in {rules.zone}", until)


def _too_many(row: Row, channel: Channel, preferences: Preferences, now: datetime) -> Refusal | None:
    """What was planned for several days may come here on one of them, so what has left counts once more."""
    marketing = row["is_marketing"]
    law = legal_rules(channel, country=preferences.country, region=preferences.region, marketing=marketing)
    if law.per_day is None and law.per_week is None:
        return None
    left = texts_that_left(row["patient_id"], channel, marketing=marketing, but=row["id"])
    moment = first_within_limits(now, time_rules(preferences, channel, marketing=marketing), law, left)
    code = next((each for each in moment.reasons if each in _LIMITS), None)
    return Refusal(code, _LIMITS[code], moment.at) if code else None


def time_rules(preferences: Preferences, channel: Channel, *, marketing: bool) -> TimeRules:
    """Between which hours a patient may be reached by a channel: by law and by what was chosen."""
    law = legal_rules(channel, country=preferences.country, region=preferences.region, marketing=marketing)
    quiet = Hours(preferences.quiet_start.value, preferences.quiet_end.value)
    return TimeRules(preferences.timezone.value, quiet, law.hours, law.name)
