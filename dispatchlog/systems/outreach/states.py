"""The words of messages to patients: purposes, channels, what was heard and in which rank. Decides nothing."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """Why a patient is written to."""

    APPT_CONFIRM = "appt_confirm"
    APPT_REMINDER = "appt_reminder"
    NO_SHOW = "no_show"
    RX_REFILL = "rx_refill"
    LAB_READY = "lab_ready"
    CAMPAIGN_EDUCATION = "campaign_education"
    URGENT = "urgent"


class Channel(StrEnum):
    """By what a patient is reached."""

    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"


class Intent(StrEnum):
    """What a patient's answer means."""

    CONFIRM = "confirm"
    RESCHEDULE = "reschedule"
    STOP = "stop"
    START = "start"
    HELP = "help"
    OTHER = "other"


class Heard(StrEnum):
    """What a provider tells of a message, in our words."""

    SENT = "sent"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"


class PurposeClass(StrEnum):
    """What a yes or no is about."""

    ALL = "all"
    MARKETING = "marketing"


class AuditAction(StrEnum):
    """What is kept of who did what."""

    SEND = "send"
    RECEIVE = "receive"
    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    PREFERENCE_CHANGE = "preference_change"
    ACCESS = "access"


MARKETING = frozenset({Purpose.CAMPAIGN_EDUCATION})
# Neither may carry anything about a patient's health.
TEXT_CHANNELS = frozenset({Channel.SMS, Channel.WHATSAPP})

PURPOSE_WORDS = {
    Purpose.APPT_CONFIRM: "appointment confirmation",
    Purpose.APPT_REMINDER: "appointment reminder",
    Purpose.NO_SHOW: "missed appointment",
    Purpose.RX_REFILL: "prescription refill",
    Purpose.LAB_READY: "results ready",
    Purpose.CAMPAIGN_EDUCATION: "health education",
    Purpose.URGENT: "urgent message",
}
CHANNEL_WORDS = {Channel.EMAIL: "e-mail", Channel.SMS: "SMS", Channel.WHATSAPP: "WhatsApp"}
