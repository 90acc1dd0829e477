"""What each permission opens, in plain words. Owns the vocabulary; who has which role is data, and decides nothing here."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.access import (
    ACT,
    AUDIT,
    CAMPAIGNS,
    CONTROL,
    EMERGENCY,
    EXPORT,
    MANAGE,
    OUTREACH,
    OVERSEE,
    REACH,
    READ,
    REVEAL,
    TEMPLATES,
    TICKETS,
)


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that a role may allow: its key in the data, and what it means to people."""

    key: str
    title: str
    meaning: str


PERMISSIONS = (
    Permission(
        TICKETS,
        "Take part in tickets",
        "The prescriptions, requests and messages of whoever the account acts for, and of nobody else.",
    ),
    Permission(READ, "See what is sent", "Every dispatch and order and how they stand, with recipients masked."),
    Permission(
        ACT,
        "Act on dispatches",
        "Retry, cancel, correct a recipient, settle what is in doubt; see pharmacy orders through to their delivery.",
    ),
    Permission(REVEAL, "Look at recipients", "See a recipient unmasked. Each look is kept."),
    Permission(EXPORT, "Export lists", "Download lists as files. Each export is kept."),
    Permission(CONTROL, "Pause and resume", "Hold back and release lanes and providers."),
    Permission(
        OVERSEE,
        "Oversee tickets",
        "Who has which ticket and how far it is, and its notifications; never what was written.",
    ),
    Permission(
        EMERGENCY,
        "Open a ticket in an emergency",
        "Read what was written in a ticket for a quarter of an hour. The reason is kept, and its parties see it.",
    ),
    Permission(
        OUTREACH,
        "See messages to patients",
        "How patients may be reached, what was sent to them and why, and what they answered; addresses are masked.",
    ),
    Permission(
        REACH,
        "Act on messages to patients",
        "Settle what a patient wrote, change preferences on their behalf, cancel and send again.",
    ),
    Permission(TEMPLATES, "Write templates", "Write, try and turn on the texts that patients get."),
    Permission(
        CAMPAIGNS,
        "Run campaigns",
        "Write segments and campaigns, begin them, say what messages cost, and let the optimiser decide.",
    ),
    Permission(AUDIT, "See who did what", "Everything that people and services did, and why."),
    Permission(
        MANAGE,
        "Manage people",
        "Make accounts, set roles, reset passwords and second factors, end sessions; see to HL7 messages and pharmacies.",
    ),
)
_KNOWN = {permission.key: permission for permission in PERMISSIONS}


def in_words(keys: list[str]) -> list[Permission]:
    """These permissions in the usual order; one that has no words here, of a later version say, goes by its key."""
    known = [permission for permission in PERMISSIONS if permission.key in keys]
    return known + [
        Permission(key, key, "This version of the dashboard has no page for it.") for key in keys if key not in _KNOWN
    ]
