"""What somebody has to look at, and since when: starts and ends alerts. Owns `dispatch_alerts`; sends no message itself.

Every long-running process looks now and then, so that a missing worker is noticed by a scheduler or a dashboard, and the
other way round. One look at a time: whoever has the row of `dispatch_alert_checks` looks, the others see it was done. An
alert and its notices are written in one transaction, so that each starts once and ends once, whatever restarts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatchlog.audit import standing as chain
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.engine.lanes import Lane
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import disagreements
from dispatchlog.systems.outreach import silence
from dispatchlog.systems.outreach.refusals import Refusals

QUEUE_AGE: Final = "queue_age"
FAILURES: Final = "failure_rate"
DOUBTS: Final = "in_doubt"
NO_WORKER: Final = "no_worker"
NO_SCHEDULER: Final = "no_scheduler"
BREAKER: Final = "breaker_open"
CREDENTIALS: Final = "credentials_refused"
COURIER_APART: Final = "courier_apart"
DELIVERED_BEFORE: Final = "delivered_before"
PROVIDER_SILENT: Final = "provider_silent"
WEBHOOKS_REFUSED: Final = "webhooks_refused"
UNTAKEN: Final = "webhooks_untaken"
AUDIT_BROKEN: Final = "audit_broken"
ANCHOR_OLD: Final = "audit_anchor_old"

# What a gateway says of an endpoint that does not take our key.
REFUSED_CREDENTIALS: Final = "ENDPOINT_REFUSED_CREDENTIALS"

# More than this in a window is counted as this: the share of failures says the same.
MOST_COUNTED = 10_000
MAIL, WEBHOOK = "mail", "webhook"
WEBHOOK_SENDERS: Final[Mapping[str, str]] = {
    "sendgrid": "SendGrid",
    "twilio": "Twilio",
    "whatsapp": "WhatsApp",
    "generic": "Whoever sends webhooks in our own form",
}
_TOLD: Final[Mapping[str, str]] = {"events": "what providers told", "answers": "what patients wrote"}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is as it should not be: what kind, of which lane, provider or process, and in words."""

    kind: str
    subject: str
    summary: str


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw. Alerts of a kind that could not be looked at stay as they are."""

    conditions: Sequence[Condition]
    kinds: frozenset[str]


def look_if_due(
    settings: Settings,
    lanes: Sequence[Lane],
    breakers: Mapping[str, BreakerState],
    *,
    who: str,
    up_seconds: float,
) -> bool:
    """Look and write down what began and what is over, unless somebody did it just now; whether it was done comes back.

    `up_seconds` is for how long this process runs: one that has just started, perhaps with all the others, does not yet
    miss them. A breaker whose state is not known is not looked at.
    """
    with transaction(f"alerts:{who}"):
        due = fetch_all(
            "SELECT FROM dispatch_alert_checks WHERE checked_at <= clock_timestamp() - %s * interval '1 s'"
            " FOR UPDATE SKIP LOCKED",
            (settings.alert_check_seconds,),
        )
        if not due:
            return False
        execute("UPDATE dispatch_alert_checks SET checked_at = clock_timestamp(), checked_by = %s", (who[:128],))
        _write(look(settings, lanes, breakers, up_seconds=up_seconds), settings)
    return True


def look(settings: Settings, lanes: Sequence[Lane], breakers: Mapping[str, BreakerState], *, up_seconds: float) -> Look:
    """What is as it should not be now; a threshold of 0 turns its kind off, and ends its alerts."""
    found: list[Condition] = []
    kinds = {QUEUE_AGE, FAILURES, DOUBTS, CREDENTIALS, COURIER_APART, DELIVERED_BEFORE, PROVIDER_SILENT, UNTAKEN}
    kinds |= {AUDIT_BROKEN, ANCHOR_OLD}
    for lane in lanes:
        found += [*_queue_age(lane, settings), *_failures(lane, settings), *_doubts(lane, settings)]
        found += _credentials(lane) if lane.is_routed else []
    found += [Condition(COURIER_APART, courier, words) for courier, words in disagreements.apart()]
    found += [Condition(DELIVERED_BEFORE, number, words) for number, words in disagreements.delivered_before()]
    found += [*_silent(settings), *_untaken(settings), *_audit(settings)]
    refused = Refusals(settings.effective_redis_url).in_a_row()
    if refused is not None:
        kinds.add(WEBHOOKS_REFUSED)
        found += _refused_webhooks(refused, settings)
    if not settings.alert_missing_seconds or up_seconds >= settings.alert_missing_seconds:
        kinds |= {NO_WORKER, NO_SCHEDULER}
        found += _missing("worker", NO_WORKER, "No worker is running, so nothing is being sent.", settings)
        found += _unserved(lanes, settings)
        found += _missing("scheduler", NO_SCHEDULER, "No scheduler is running, so no sweep comes.", settings)
    if all(state.state != "unknown" for state in breakers.values()):
        kinds.add(BREAKER)
        found += _breakers(breakers, settings)
    return Look(found, frozenset(kinds))


def _queue_age(lane: Lane, settings: Settings) -> list[Condition]:
    """A lane that waits for its sweep is given that time too, and one that a person paused is meant to wait."""
    if not settings.alert_queue_age_seconds or holds_on(lane, open_holds()):
        return []
    allowed = settings.alert_queue_age_seconds + (settings.sweep_seconds if lane.waits_for_sweep else 0)
    age = fetch_one(
        f"SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM {lane.table}"
        " WHERE status = 'PENDING' AND due_at <= now()"
    )[0]
    if age is None or age <= allowed:
        return []
    return [Condition(QUEUE_AGE, lane.name, f"{lane.title}: the oldest has been due for {_minutes(age)}.")]


def _failures(lane: Lane, settings: Settings) -> list[Condition]:
    if not settings.alert_failure_percent:
        return []
    window = settings.alert_failure_window_seconds
    failed, sent = fetch_one(
        f"SELECT (SELECT count(*) FROM (SELECT FROM {lane.table} WHERE status = 'FAILED'"
        "   AND seq > 0 AND updated_at > now() - %(window)s * interval '1 s' LIMIT %(most)s) f),"
        f" (SELECT count(*) FROM (SELECT FROM {lane.table} WHERE sent_at > now() - %(window)s * interval '1 s'"
        "   LIMIT %(most)s) s)",
        {"window": window, "most": MOST_COUNTED},
    )
    all_of_them = failed + sent
    if all_of_them < settings.alert_failure_least or failed * 100 < all_of_them * settings.alert_failure_percent:
        return []
    words = f"{lane.title}: {failed} of {all_of_them} failed in the last {_minutes(window)}."
    return [Condition(FAILURES, lane.name, words)]


def _doubts(lane: Lane, settings: Settings) -> list[Condition]:
    least = settings.alert_in_doubt
    if not least:
        return []
    number = fetch_one(f"SELECT count(*) FROM (SELECT FROM {lane.table} WHERE in_doubt LIMIT %s) d", (MOST_COUNTED,))[0]
    if number < least:
        return []
    return [Condition(DOUBTS, lane.name, f"{lane.title}: {number} in doubt; somebody has to decide.")]


# Where the newest refused ones were refused, and by which of those ways nothing was accepted since.
_REFUSED = """
SELECT r.route FROM (
    SELECT route, max(updated_at) AS at FROM (
        (SELECT route, updated_at FROM {table} WHERE last_error_code = %(code)s AND status = 'PENDING' AND NOT in_doubt
            ORDER BY updated_at DESC LIMIT %(most)s)
        UNION ALL
        (SELECT route, updated_at FROM {table} WHERE last_error_code = %(code)s AND status = 'FAILED' AND NOT in_doubt
            ORDER BY updated_at DESC LIMIT %(most)s)) refused
    GROUP BY route) r
WHERE NOT EXISTS (SELECT FROM {table} s WHERE s.route = r.route AND s.status = 'SENT' AND NOT s.in_doubt AND s.seq > 0
    AND s.updated_at > r.at)
ORDER BY r.route
"""


def _credentials(lane: Lane) -> list[Condition]:
    """An endpoint that refuses our key: at once, for no retry will help, until it has accepted something again."""
    rows = fetch_dicts(_REFUSED.format(table=lane.table), {"code": REFUSED_CREDENTIALS, "most": MOST_COUNTED})
    names = [lane.of(row).gateway.name for row in rows]
    return [
        Condition(CREDENTIALS, name, f"{name} does not accept our credentials, so nothing arrives.") for name in names
    ]


def _missing(kind: str, alert: str, words: str, settings: Settings) -> list[Condition]:
    """None was heard from for so long. Where there never was one, nobody has begun yet."""
    if not settings.alert_missing_seconds:
        return []
    silent = fetch_one(
        "SELECT extract(epoch FROM clock_timestamp() - max(last_seen_at))::float8 FROM"
        " (SELECT kind, last_seen_at FROM dispatch_workers ORDER BY last_seen_at DESC LIMIT 1000) w WHERE kind = %s",
        (kind,),
    )[0]
    if silent is None or silent <= settings.alert_missing_seconds:
        return []
    return [Condition(alert, "", words)]


# How much longer than any worker at all each lane's own were silent; one that never had any, since the first began.
_SILENT_LONGER = """
SELECT l.name FROM unnest(%(names)s::text[]) l (name) CROSS JOIN
    (SELECT kind, lanes, started_at, last_seen_at FROM dispatch_workers ORDER BY last_seen_at DESC LIMIT 1000) w
WHERE w.kind = 'worker' GROUP BY l.name
HAVING max(w.last_seen_at) - coalesce(
    max(w.last_seen_at) FILTER (WHERE w.lanes IS NULL OR l.name = ANY (w.lanes)), min(w.started_at))
    > %(allowed)s * interval '1 s'
"""


def _unserved(lanes: Sequence[Lane], settings: Settings) -> list[Condition]:
    """Lanes for which none was heard from for so long while others were."""
    if not settings.alert_missing_seconds:
        return []
    values = {"names": [lane.name for lane in lanes], "allowed": settings.alert_missing_seconds}
    names = {row[0] for row in fetch_all(_SILENT_LONGER, values)}
    return [
        Condition(NO_WORKER, lane.name, f"No worker is running for {lane.title}, so nothing of it is being sent.")
        for lane in lanes
        if lane.name in names
    ]


def _breakers(breakers: Mapping[str, BreakerState], settings: Settings) -> list[Condition]:
    if not settings.alert_breaker:
        return []
    return [
        Condition(BREAKER, gateway, f"Calls to {gateway} are paused by the program: it keeps failing.")
        for gateway, state in breakers.items()
        if state.state in ("open", "probing")
    ]


def _silent(settings: Settings) -> list[Condition]:
    allowed = settings.outreach_silence_seconds
    if not allowed:
        return []
    return [
        Condition(
            PROVIDER_SILENT,
            each.provider,
            f"{WEBHOOK_SENDERS[each.provider]} has told nothing of what it took since {each.since:%Y-%m-%d %H:%M} UTC:"
            f" {each.messages} {'message' if each.messages == 1 else 'messages'} over {_minutes(allowed)} ago.",
        )
        for each in silence.silent_providers(allowed_seconds=allowed)
    ]


def _refused_webhooks(refused: Mapping[str, int], settings: Settings) -> list[Condition]:
    least = settings.alert_webhooks_refused
    return [
        Condition(
            WEBHOOKS_REFUSED,
            sender,
            f"{WEBHOOK_SENDERS[sender]}: {number} webhooks in a row had a signature that does not fit; none was taken.",
        )
        for sender, number in refused.items()
        if least and number >= least
    ]


def _untaken(settings: Settings) -> list[Condition]:
    allowed = settings.alert_untaken_seconds
    return [
        Condition(UNTAKEN, what, f"The oldest of {_TOLD[what]} has waited for {_minutes(seconds)} to be looked at.")
        for what, seconds in silence.waiting_seconds().items()
        if allowed and seconds > allowed
    ]


def _audit(settings: Settings) -> list[Condition]:
    """A chain that does not hold, until a check that looks at as much finds it right; an anchor that stays behind."""
    found = []
    if (wrong := chain.first_finding()) is not None:
        found.append(Condition(AUDIT_BROKEN, "", f"What happened was changed afterwards: {wrong['words']}."))
    allowed = settings.alert_anchor_seconds
    if settings.audit_anchor is not None and allowed and (behind := chain.unanchored_seconds()) > allowed:
        found.append(Condition(ANCHOR_OLD, "", f"The audit chain was not anchored for {_minutes(behind)}."))
    return found


def _write(seen: Look, settings: Settings) -> None:
    for condition in seen.conditions:
        alert_id, started = fetch_one(
            "INSERT INTO dispatch_alerts AS a (kind, subject, summary) VALUES (%s, %s, %s)"
            " ON CONFLICT (kind, subject) WHERE over_at IS NULL"
            " DO UPDATE SET last_true_at = clock_timestamp(), summary = excluded.summary"
            " RETURNING a.id, a.xmax = 0",
            (condition.kind, condition.subject[:64], condition.summary),
        )
        if started:
            _announce(alert_id, "started", settings)
    over = fetch_all(
        "UPDATE dispatch_alerts SET over_at = clock_timestamp() WHERE over_at IS NULL AND kind = ANY (%s)"
        " AND last_true_at < clock_timestamp() - %s * interval '1 s' AND NOT (kind, subject) IN"
        " (SELECT * FROM unnest(%s::text[], %s::text[])) RETURNING id",
        (
            sorted(seen.kinds),
            settings.alert_settle_seconds,
            [condition.kind for condition in seen.conditions],
            [condition.subject[:64] for condition in seen.conditions],
        ),
    )
    for (alert_id,) in over:
        _announce(alert_id, "over", settings)


def _announce(alert_id: int, phase: str, settings: Settings) -> None:
    """Write down who is to be told; `alert_notices` tells them."""
    receivers = [(MAIL, address) for address in settings.alert_mail_addresses]
    receivers += [(WEBHOOK, "")] if settings.alert_webhook_url else []
    for channel, receiver in receivers:
        execute(
            "INSERT INTO dispatch_alert_notices (alert_id, phase, channel, receiver) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (alert_id, phase, channel, receiver),
        )


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{int(seconds)} s"
    return f"{int(seconds // 60)} min" if seconds < 7200 else f"{int(seconds // 3600)} h"
