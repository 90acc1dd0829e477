"""Whether patients may be written to at this hour, asked of many before their messages are made. Reads only.

A line whose patient sleeps waits as a line: made now, its message would stand in the lane until the morning, and others who
are awake would have no room in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from dispatchlog.systems.outreach.campaigns.plans import Step
from dispatchlog.systems.outreach.gate import time_rules
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.limits import MARGIN_SECONDS
from dispatchlog.systems.outreach.resolving import ChannelPreference, Preferences, resolve_many
from dispatchlog.systems.outreach.states import MARKETING, Channel
from dispatchlog.systems.outreach.times import lawful_instant

# What may leave so soon is made now.
SOON = timedelta(minutes=30)


def asleep(step: Step, patients: Collection[UUID], now: datetime) -> Mapping[UUID, datetime]:
    """Those who cannot be reached soon by any channel of the step, with the first instant at which they can."""
    found = ((patient_id, _first(step, each, now)) for patient_id, each in resolve_many(patients).items())
    return {patient_id: at for patient_id, at in found if at is not None and at > now + SOON}


def _first(step: Step, preferences: Preferences, now: datetime) -> datetime | None:
    marketing = step.purpose in MARKETING
    channels = [step.channel] if step.channel else [*Channel]
    usable = [channel for channel in channels if _is_usable(preferences.channels[channel], marketing)]
    try:
        return min(
            (
                lawful_instant(
                    now, time_rules(preferences, channel, marketing=marketing), margin_seconds=MARGIN_SECONDS
                ).at
                for channel in usable
            ),
            default=None,
        )
    except OutreachError:
        return None  # no hour is lawful; the decision says so in words


def _is_usable(preference: ChannelPreference, marketing: bool) -> bool:
    said_yes = preference.marketing_opt_in.value or not marketing
    return bool(preference.enabled.value and preference.address.value and said_yes and preference.stopped_at is None)
