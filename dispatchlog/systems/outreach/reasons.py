"""The words of a decision: why a channel was or was not taken, why an instant, why nothing is sent. Decides nothing."""

from __future__ import annotations

CHANNEL = {
    "CHOSEN": "By {channel}: it may be used, and nothing comes before it.",
    "NOT_PREFERRED": "Not by {channel}: it may be used, but another channel comes first.",
    "NO_TEMPLATE": "Not by {channel}: there is no text for it.",
    "NO_ADDRESS": "Not by {channel}: no address is known.",
    "CHANNEL_OFF": "Not by {channel}: it is turned off ({who}).",
    "STOPPED": "Not by {channel}: whoever has this address asked that nothing more is sent there.",
    "NO_MARKETING_CONSENT": "Not by {channel}: the patient has not agreed to such messages by it.",
    "NOT_CONFIGURED": "Not by {channel}: no provider is set up for it.",
    "EXCLUDED": "Not by {channel}: it was tried already, or is not wanted for this message.",
    "EXPIRES_BEFORE_LAWFUL": "Not by {channel}: when it may leave, it would be of no use any more.",
    "NEVER_LAWFUL": "Not by {channel}: quiet hours and the law leave no minute of the day.",
    "PATIENT_INACTIVE": "Not by {channel}: the patient is not active.",
}
CHOSEN_AMONG = "By {channel}: it may be used, and was drawn among those that may."
TIME = {
    "QUIET_HOURS": "At {clock} in {zone} the patient is not to be disturbed (quiet hours {quiet}).",
    "LEGAL_WINDOW": "At {clock} in {zone} the law lets no such message arrive ({law}).",
    "BEST_HOUR": "It can wait for the hour at which this patient answers best, {best}:00.",
    "DAILY_LIMIT": "The texts of that day are used up.",
    "WEEKLY_LIMIT": "The texts of that week are used up.",
    "OPTIMISER": "It can wait for another hour of that day, which was drawn for it.",
    "URGENT": "It is urgent, so it goes at any hour.",
}
REFUSED = {
    "PATIENT_INACTIVE": "Not sent: the patient is not active.",
    "NO_CHANNEL": "Not sent: there is no channel by which this may be sent.",
    "EXPIRES_BEFORE_LAWFUL": "Not sent: when it may leave, it would be of no use any more.",
}
_LEVELS = {
    "patient": "said by the patient",
    "provider": "said for the provider's patients",
    "organization": "said by the clinic",
    "global": "as for everybody",
    "core": "as the core platform has it",
}


def said_by(source: str) -> str:
    """Who said a value, in words."""
    return _LEVELS.get(source, source)
