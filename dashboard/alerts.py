"""Alerts: what somebody has to look at now, what was before, and from when on there is one. Shows; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template, request

from dashboard.access import READ, needs
from dashboard.context import settings
from dashboard.lanes import hidden_subjects, visible_lanes
from dashboard.masking import mask
from dispatchlog.alerts import (
    ANCHOR_OLD,
    AUDIT_BROKEN,
    BREAKER,
    COURIER_APART,
    CREDENTIALS,
    DELIVERED_BEFORE,
    DOUBTS,
    FAILURES,
    NO_SCHEDULER,
    NO_WORKER,
    PROVIDER_SILENT,
    QUEUE_AGE,
    UNTAKEN,
    WEBHOOKS_REFUSED,
)
from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.settings import Settings

pages = Blueprint("alerts", __name__)

PAST_ROWS = 25

TITLES = {
    QUEUE_AGE: "Waiting for too long",
    FAILURES: "Many fail",
    DOUBTS: "In doubt",
    NO_WORKER: "No worker",
    NO_SCHEDULER: "No scheduler",
    BREAKER: "Provider in trouble",
    CREDENTIALS: "Credentials refused",
    COURIER_APART: "Courier says two things",
    DELIVERED_BEFORE: "Perhaps delivered twice",
    PROVIDER_SILENT: "Provider tells nothing",
    WEBHOOKS_REFUSED: "Webhooks refused",
    UNTAKEN: "Webhooks wait",
    AUDIT_BROKEN: "Audit chain broken",
    ANCHOR_OLD: "Audit chain not anchored",
}
NEXT_STEPS = {
    QUEUE_AGE: "Open the oldest one: its page says what holds it.",
    FAILURES: "Look at the failed ones: most have the same cause. Pause the provider or the lane if it goes on.",
    DOUBTS: "Find out for each whether it arrived, then say so on its page.",
    NO_WORKER: "Tell whoever operates the system. Nothing is lost; it waits.",
    NO_SCHEDULER: "Tell whoever operates the system. What waits for a sweep stays where it is.",
    BREAKER: "It is tried again by itself. If it stays, ask the provider.",
    CREDENTIALS: "Correct the school's API key or certificate, try the endpoint, then retry what failed.",
    COURIER_APART: "Open the order and ask the courier. An administrator can set the status by hand.",
    DELIVERED_BEFORE: "Ask the patient what arrived, and stop the newer attempt if it is still possible.",
    PROVIDER_SILENT: "Messages still leave, but their fate is unknown. Check the webhook's address at the provider.",
    WEBHOOKS_REFUSED: "Compare the secret here with the provider's. If they are the same, a stranger sends them.",
    UNTAKEN: "Nothing is lost. Look whether a worker runs, then at its log.",
    AUDIT_BROKEN: "Keep everything as it is and tell whoever answers for security; dispatchlog audit verify says more.",
    ANCHOR_OLD: "Look whether the scheduler can write to the anchor file; its log says why it could not.",
}
# One row per alert with what became of its notices; alerts are numbered as they started.
_ALERTS = """
SELECT a.id, a.kind, a.subject, a.summary, a.started_at, a.over_at,
    (SELECT count(*) FROM dispatch_alert_notices n WHERE n.alert_id = a.id) AS notices,
    (SELECT count(*) FROM dispatch_alert_notices n WHERE n.alert_id = a.id AND n.sent_at IS NOT NULL) AS sent,
    (SELECT count(*) FROM dispatch_alert_notices n WHERE n.alert_id = a.id AND n.given_up_at IS NOT NULL) AS given_up
FROM dispatch_alerts a WHERE {where} AND a.subject <> ALL (%s) ORDER BY a.id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From when on there is an alert of one kind, in words; "" where it is turned off."""

    title: str
    words: str


@pages.get("/alerts")
@needs(READ)
def show() -> str:
    """Alerts that are not over, and those that are, newest first."""
    before = request.args.get("before", "")
    behind = int(before) if before.isdecimal() and len(before) < 19 else 2**62
    hidden = hidden_subjects()
    now = fetch_dicts(_ALERTS.format(where="a.over_at IS NULL"), (hidden, 200))
    past = fetch_dicts(_ALERTS.format(where="a.over_at IS NOT NULL AND a.id < %s"), (behind, hidden, PAST_ROWS + 1))
    return render_template(
        "alerts.html",
        present=now,
        past=past[:PAST_ROWS],
        older=past[PAST_ROWS - 1]["id"] if len(past) > PAST_ROWS else None,
        titles=TITLES,
        next_steps=NEXT_STEPS,
        lane_names={lane.name for lane in visible_lanes()},
        told=told,
        thresholds=thresholds(settings()),
        receivers=receivers(settings()),
    )


def told(alert: Row) -> str:
    """What became of the alert's notices."""
    if not alert["notices"]:
        return "Nobody was told: no receiver is set."
    if alert["given_up"]:
        return f"{alert['given_up']} of {alert['notices']} notices could not be delivered."
    if alert["sent"] < alert["notices"]:
        return "Its notices are on their way."
    return "Everybody was told."


def receivers(known: Settings) -> list[str]:
    """Who is told, masked."""
    people = [mask(address) for address in known.alert_mail_addresses]
    return [*people, *(["the webhook"] if known.alert_webhook_url else [])]


def thresholds(known: Settings) -> list[Threshold]:
    """What the settings say."""
    window = _minutes(known.alert_failure_window_seconds)
    found: list[tuple[str, Any, str]] = [
        (QUEUE_AGE, known.alert_queue_age_seconds, f"due for {_minutes(known.alert_queue_age_seconds)}"),
        (
            FAILURES,
            known.alert_failure_percent,
            f"{known.alert_failure_percent} % within {window}, of at least {known.alert_failure_least}",
        ),
        (DOUBTS, known.alert_in_doubt, f"{known.alert_in_doubt} or more in a lane"),
        (NO_WORKER, known.alert_missing_seconds, f"none for {_minutes(known.alert_missing_seconds)}"),
        (NO_SCHEDULER, known.alert_missing_seconds, f"none for {_minutes(known.alert_missing_seconds)}"),
        (BREAKER, known.alert_breaker, "as soon as calls to it are paused by the program"),
        (CREDENTIALS, True, "as soon as an endpoint does not accept our key"),
        (COURIER_APART, True, "as soon as two answers in a row are not what was heard"),
        (DELIVERED_BEFORE, True, "as soon as a courier says that an attempt arrived which was given up"),
        (
            PROVIDER_SILENT,
            known.outreach_silence_seconds,
            f"nothing told of messages that it took {_minutes(known.outreach_silence_seconds)} ago",
        ),
        (WEBHOOKS_REFUSED, known.alert_webhooks_refused, f"{known.alert_webhooks_refused} in a row"),
        (UNTAKEN, known.alert_untaken_seconds, f"stored and not looked at for {_minutes(known.alert_untaken_seconds)}"),
        (AUDIT_BROKEN, True, "as soon as a check finds a sealed batch that is not what was sealed"),
        (
            ANCHOR_OLD,
            known.audit_anchor is not None and known.alert_anchor_seconds,
            f"the chain's head newer than its anchor for {_minutes(known.alert_anchor_seconds)}",
        ),
    ]
    return [Threshold(TITLES[kind], words if on else "") for kind, on, words in found]


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 or seconds % 60 else f"{seconds // 60} min"
