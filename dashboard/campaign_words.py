"""Campaigns in plain words: how they stand, their steps, conditions and rules. Owns the words; reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from dashboard.cause_wording import cause_words
from dashboard.wording import State
from dispatchlog.systems.outreach.campaigns.plans import Condition, Plan, Step
from dispatchlog.systems.outreach.campaigns.report import Report
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS

STATUSES = MappingProxyType(
    {
        "draft": State("draft", "Draft", "edit", "off", "Nothing of it leaves until it is started."),
        "active": State("active", "Active", "play", "good", "It runs: what is due leaves by itself."),
        "paused": State("paused", "Paused", "pause", "doubt", "Nothing of it leaves until somebody resumes it."),
        "completed": State("completed", "Completed", "check", "busy", "It is over for good."),
    }
)
ENDINGS = MappingProxyType(
    {"finished": "Everything was done", "end_date": "Its last day was over", "stopped": "Stopped for good"}
)
CONDITION_WORDS = MappingProxyType(
    {
        "sent": "was sent",
        "not_sent": "was not sent",
        "delivered": "was delivered",
        "not_delivered": "was not delivered",
        "opened": "was opened",
        "not_opened": "was not opened",
        "clicked": "had its link opened",
        "not_clicked": "did not have its link opened",
        "answered": "was answered",
        "not_answered": "was not answered",
        "confirmed": "was answered with a yes",
        "not_confirmed": "was not answered with a yes",
    }
)
EXIT_WORDS = MappingProxyType(
    {
        "answered": "The patient answered a message of it",
        "confirmed": "The patient said yes to a message of it",
        "clicked": "The patient opened a link of it",
        "opted_out": "The patient wants no more messages of this kind",
        "left_segment": "The patient does not belong to the segment any more",
        "booked": "The patient has a new appointment",
    }
)
GOAL_WORDS = MappingProxyType(
    {"answered": "answered", "clicked": "opened a link", "confirmed": "answered with a yes or confirmed"}
)
OVERLAP_WORDS = MappingProxyType(
    {
        "refuse": "Do not start",
        "exclude": "Leave those patients out",
        "allow": "Take them all the same",
    }
)
REASON_WORDS = MappingProxyType(
    {
        "CONTROL": "Control group: gets nothing",
        "CONDITION": "A condition of the step did not hold",
        "FREQUENCY": "Too many messages of campaigns already",
        "END_DATE": "The last day was over",
        "STOPPED": "The campaign was stopped",
        "PATIENT_INACTIVE": "The patient is not active any more",
        "NO_ADDRESS": "No address is known",
        "UNKNOWN_TEMPLATE": "There was no text for it",
        "OVERLAP": "The patient is in another campaign",
    }
)
COUNT_WORDS = MappingProxyType(
    {
        "sent": "Sent",
        "delivered": "Delivered",
        "opened": "Opened",
        "clicked": "Link opened",
        "replied": "Answered",
        "bounced": "Came back",
        "unsubscribed": "Unsubscribed",
    }
)
GROUP_WORDS = MappingProxyType(
    {
        "patients": "Patients",
        "booked": "Booked an appointment",
        "kept": "Kept it",
        "missed": "Missed it",
    }
)
MOVES = MappingProxyType(
    {
        "write": ("Written", "edit", "off"),
        "copy": ("Copied", "copy", "off"),
        "start": ("Started", "play", "good"),
        "pause": ("Paused", "pause", "doubt"),
        "resume": ("Resumed", "play", "good"),
        "stop": ("Stopped for good", "ban", "bad"),
        "export": ("Report taken as a file", "download", "off"),
        "complete": ("Completed", "check", "busy"),
        "choose_variant": ("Winner taken", "flag", "good"),
    }
)


def offset_words(offset: timedelta) -> str:
    """`2 days and 3 hours`; "" for none."""
    minutes = int(offset.total_seconds() // 60)
    parts = ((minutes // 1440, "day"), (minutes % 1440 // 60, "hour"), (minutes % 60, "minute"))
    return listed([counted(number, word) for number, word in parts if number])


def when_words(step: Step, names: Mapping[str, str]) -> str:
    """When a step comes: `At the beginning`, `3 days after “First letter”`."""
    offset = offset_words(step.offset)
    if step.after is None:
        return f"{offset} after the beginning" if offset else "At the beginning"
    after = f"“{names.get(step.after, step.after)}”"
    return f"{offset} after {after}" if offset else f"Directly after {after}"


def condition_words(condition: Condition, names: Mapping[str, str]) -> str:
    """`“First letter” was not opened`."""
    return f"“{names.get(condition.step, condition.step)}” {CONDITION_WORDS[condition.holds]}"


def text_words(step: Step) -> str:
    """Which texts a step takes: `Texts “flu-2026”, health education`."""
    texts = f"Texts “{step.family}”" if step.family else "The texts that hold everywhere"
    return f"{texts}, {PURPOSE_WORDS[step.purpose]}"


def channel_word(step: Step) -> str:
    """By which channel: one, or what suits the patient."""
    return f"by {CHANNEL_WORDS[step.channel]} only" if step.channel else "by the channel that suits the patient"


def reason_words(code: str) -> str:
    """Why a line was skipped or held out."""
    if code.startswith("EXIT_"):
        return (
            f"Left before: {EXIT_WORDS.get(code[5:].lower(), code[5:].lower())[:1].lower()}"
            + (EXIT_WORDS.get(code[5:].lower(), " ")[1:])
        )
    return REASON_WORDS.get(code) or cause_words(code) or code.replace("_", " ").capitalize()


def booked_words(found: Report) -> str:
    """How many more of the treated booked than of the control group, in points, as far as that can be said."""
    if (apart := found.extra.get("booked")) is None:
        return ""
    share, low, high = (100 * each for each in apart)
    if low <= 0 <= high:
        said = "It cannot be said yet that it made a difference"
    else:
        said = f"{'More' if share > 0 else 'Fewer'} of those who were written to booked"
    return f"{said}: {share:+.1f} percentage points ({low:+.1f} to {high:+.1f})."


def rule_words(plan: Plan) -> list[str]:
    """How often, and when a patient leaves, as sentences."""
    limits = [
        f"{number} a {span}"
        for number, span in ((plan.per_day, "day"), (plan.per_week, "week"), (plan.per_month, "30 days"))
        if number
    ]
    said = [f"At most {listed(limits)} from all campaigns together."] if limits else []
    exits = [EXIT_WORDS[each] for each in EXIT_WORDS if each in plan.exits]
    said += [f"Nothing more once: {'; '.join(map(lower_first, exits))}."] if exits else []
    return said


def lower_first(words: str) -> str:
    """A sentence within another one."""
    return words[:1].lower() + words[1:]


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)


def counted(number: int, word: str) -> str:
    """`1 day`, `2 days`, `12,431 patients`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
