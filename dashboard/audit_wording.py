"""What people and services did, in words, for the page that lists it. Owns the vocabulary; reads no table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dashboard.masking import mask_values
from dashboard.wording import ACTIONS, verb_of

# Those of dispatches are in `wording.ACTIONS`; what is in neither is shown by its own name.
_ACTIONS = MappingProxyType(
    {
        "sign_in": "Signed in",
        "code_refused": "Gave a wrong code",
        "use_recovery_code": "Used a recovery code",
        "choose_password": "Chose a password",
        "set_up_second_factor": "Set up a second factor",
        "replace_second_factor": "Replaced the second factor",
        "remove_second_factor": "Removed the second factor",
        "renew_recovery_codes": "Made new recovery codes",
        "sign_out_everywhere": "Ended all sessions",
        "end_session": "Ended a session",
        "create_user": "Made an account",
        "set_roles": "Set roles",
        "link_account": "Linked an account to whom it acts for",
        "person_unlinked": "Unlinked an account from whom it acted for",
        "disable_user": "Closed an account",
        "enable_user": "Opened an account again",
        "set_password": "Reset a password",
        "reset_second_factor": "Reset a second factor",
        "export_audit": "Exported who did what",
        "export_audit_rows": "Exported the audit chain",
        "export": "Began to export dispatches",
        "export_ended": "The export ended",
        "bulk_retry": "Asked to try many again",
        "bulk_cancel": "Cancelled many",
        "bulk_stop": "Stopped a bulk action",
        "replay_start": "Began a replay",
        "replay_stop": "Stopped a replay",
        "replay_resume": "Let a replay go on",
        "replay_end": "Gave a replay up",
        "pause": "Paused",
        "retention_set": "Set how long data stay",
        "retention_run": "Let old data go",
        "legal_hold": "Kept something back from deletion",
        "legal_hold_end": "Ended a hold",
        "export_patient": "Exported everything about a patient",
        "erase_patient": "Erased a patient",
        "restored": "Took over a log that was restored from a backup",
        "log_moved": "Said that the log was moved",
        "compared": "Found it in a provider's list",
        "resume": "Resumed",
        "school_add": "Added a school",
        "hl7_endpoint_change": "Changed a school's endpoint",
        "hl7_endpoint_test": "Tried a school's endpoint",
        "pharmacy_add": "Added a pharmacy",
        "write_template": "Wrote a template",
        "restore_template": "Put an older text of a template back",
        "turn_on_template": "Turned a template on",
        "optimiser_mode": "Turned the optimiser on or off",
        "create_segment": "Wrote a segment",
        "change_segment": "Changed a segment",
        "archive_segment": "Archived a segment",
        "turn_off_template": "Turned a template off",
        "write_campaign": "Wrote a campaign",
        "copy_campaign": "Copied a campaign",
        "start_campaign": "Began a campaign",
        "pause_campaign": "Paused a campaign",
        "resume_campaign": "Let a campaign go on",
        "stop_campaign": "Stopped a campaign for good",
        "complete_campaign": "A campaign came to its end",
        "choose_variant": "Took one text of a campaign for everybody",
        "change_patient_preferences": "Changed a patient's preferences",
        "reveal_patient": "Looked at the patient",
        "end_patient_links": "Ended a patient's links",
        "change_preference_defaults": "Changed the preferences of many",
        "close_reschedule_request": "Dealt with a wish for another time",
        "mark_order_ready": "Marked an order ready",
        "cancel_delivery": "Asked to cancel the delivery",
        "redispatch": "Dispatched again",
        "set_courier_status": "Set the courier's status by hand",
        "resend_delivery_code": "Had the delivery code sent again",
        "unlock_delivery_code": "Gave new tries for the delivery code",
        "confirm_delivery_without_code": "Confirmed a delivery without its code",
        "pharmacy_change": "Changed a pharmacy",
        "emergency_access": "Opened a ticket by emergency access",
        "emergency_read": "Looked inside a ticket by emergency access",
        "put_party": "A service reported who takes part in tickets",
        "put_person": "A service reported who acts for a party",
        "person_token": "Let a person in",
        "service_token_created": "Made a service's token",
        "service_token_revoked": "Revoked a service's token",
        "rotate_secret_key": "Put another secret key in force",
        "rotate_data_key": "Put another data key in force",
        "retire_data_key": "Retired a data key",
    }
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Several actions under one name, for the filter."""

    key: str
    title: str
    actions: tuple[str, ...]


KINDS = (
    Kind("kind-dispatches", "Anything done to dispatches", tuple(action for action in ACTIONS if action != "reveal")),
    Kind(
        "kind-many",
        "Many dispatches at once",
        ("bulk_retry", "bulk_cancel", "bulk_stop", "replay_start", "replay_stop", "replay_resume", "replay_end"),
    ),
    Kind(
        "kind-orders",
        "Pharmacy orders",
        (
            "mark_order_ready",
            "cancel_delivery",
            "redispatch",
            "set_courier_status",
            "resend_delivery_code",
            "unlock_delivery_code",
            "confirm_delivery_without_code",
            "reveal_patient",
            "pharmacy_add",
            "pharmacy_change",
        ),
    ),
    Kind("kind-emergencies", "Emergency access to tickets", ("emergency_access", "emergency_read")),
    Kind("kind-people-reported", "Who takes part in tickets", ("put_party", "put_person", "person_token")),
    Kind("kind-exports", "Exports", ("export", "export_ended", "export_audit", "export_audit_rows")),
    Kind("kind-pauses", "Pausing", ("pause", "resume")),
    Kind("kind-keys", "Keys", ("rotate_secret_key", "rotate_data_key", "retire_data_key")),
    Kind("kind-schools", "Schools and their endpoints", ("school_add", "hl7_endpoint_change", "hl7_endpoint_test")),
    Kind(
        "kind-accounts",
        "Any change of accounts",
        (
            "create_user",
            "set_roles",
            "link_account",
            "person_unlinked",
            "disable_user",
            "enable_user",
            "set_password",
            "reset_second_factor",
            "choose_password",
            "set_up_second_factor",
            "replace_second_factor",
            "remove_second_factor",
            "renew_recovery_codes",
        ),
    ),
    Kind(
        "kind-sign-in",
        "Signing in and out",
        ("sign_in", "code_refused", "use_recovery_code", "sign_out_everywhere", "end_session"),
    ),
)


def title_of(action: str, lane_name: str | None = None) -> str:
    """What was done, as a title; in the words of its lane, where it has one."""
    words = _ACTIONS.get(action) or ACTIONS.get(action) or action.replace("_", " ").capitalize()
    return words.replace("{past}", verb_of(lane_name or "").past)


def about(detail: Mapping[str, Any], emails: Mapping[int, str], *, actor: str) -> str:
    """Whom or what it was about, as far as the entry says: the account, its roles, the network address, and what else."""
    known = dict(detail)
    known.pop("changes", None)  # the page of what was changed tells them, to those who may see it
    whom = known.pop("email", None) or emails.get(known.pop("user_id", 0), "")
    known.pop("user_id", None)
    parts = [] if not whom or whom == actor else [str(whom)]
    if "roles" in known:
        parts.append(_roles(known.pop("roles"), known.pop("before", None)))
    if address := known.pop("address", ""):
        parts.append(f"from {address}")
    if by := known.pop("by", None):
        parts.append(f"by {' and '.join(by)}")
    parts += [f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in mask_values(known).items()]
    return ", ".join(parts)


def _roles(roles: list[str], before: list[str] | None) -> str:
    now = " and ".join(roles) or "no role"
    return f"as {now}" if before is None else f"{now} instead of {' and '.join(before) or 'no role'}"


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
