"""What follows when a message certainly did not arrive: another channel, as a new job linked to the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import structlog

from dispatchlog.engine import ledger, operator
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, is_away, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import consents
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, Scheduled, ScheduleInput
from dispatchlog.systems.outreach.lane import comm_job_lane, routes
from dispatchlog.systems.outreach.scheduling import schedule
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, Channel, Purpose

log = structlog.get_logger(__name__)

ASKER = Asker("service:fallback")
AT_ONCE = 200
# What a gateway says where the provider brings nothing, or no marketing, to this address: its owner told the provider so.
OPTED_OUT = "OPTED_OUT"
OPTED_OUT_MARKETING = "OPTED_OUT_MARKETING"
_FAILURES = (peewee.PeeweeException, psycopg2.Error, DispatchlogError, ValueError, TypeError, LookupError)

_NEXT = """
SELECT * FROM comm_jobs WHERE fallback_decided_at IS NULL AND NOT in_doubt AND (status = 'FAILED' OR bounced_at IS NOT NULL)
    AND id <> ALL (%(seen)s::uuid[])
ORDER BY updated_at LIMIT 1
"""
# What was tried before, without a known outcome, waits for that: it may have left.
_NEXT_WAITING = """
SELECT * FROM comm_jobs WHERE route = %(route)s AND status = 'PENDING'
    AND due_at <= now() - make_interval(secs => %(seconds)s)
    AND fallback_decided_at IS NULL AND first_claimed_at IS NULL AND NOT is_marketing AND id <> ALL (%(seen)s::uuid[])
ORDER BY due_at LIMIT 1
"""
# Whoever has the row's lock decides; another one at the same moment, or after a change, passes it over until the next time.
_TAKE = """
SELECT FROM comm_jobs WHERE id = %s AND updated_at = %s AND fallback_decided_at IS NULL FOR UPDATE SKIP LOCKED
"""
_DECIDED = "UPDATE comm_jobs SET fallback_decided_at = clock_timestamp() WHERE id = %s"
# By which channels it went before: the job itself, the one in whose place it went, and so on.
_TRIED = """
WITH RECURSIVE tried AS (SELECT id, channel, fallback_of FROM comm_jobs WHERE id = %s
    UNION SELECT j.id, j.channel, j.fallback_of FROM comm_jobs j JOIN tried t ON j.id = t.fallback_of)
SELECT DISTINCT channel FROM tried
"""

_OF_ONE = "SELECT * FROM comm_jobs WHERE id = %s FOR UPDATE"
_IN_ITS_PLACE = "SELECT FROM comm_jobs WHERE fallback_of = %s AND status <> 'CANCELLED' LIMIT 1"


class _NoOtherChannelError(Exception):
    """It cannot go by another channel; what was begun for it is undone."""


def follow_up() -> int:
    """Look at jobs that failed for certain (never one in doubt), bounced, or have waited too long behind an open breaker;
    each is decided about once, and an opt-out of which the provider told is noted before. How many new jobs were made. For
    the clock, every few seconds."""
    return _decide_all(_NEXT) + sum(_follow_up_waiting(name) for name in _routes_that_do_not_work())


def by_other_channel(job_id: UUID, *, asker: Asker, reason: str) -> Scheduled:
    """The same on a person's word, whatever was decided before: a new job by another channel, linked to this one.

    Raises:
        OutreachError: JOB_NOT_FOUND; NOT_FAILED where it may have arrived; NO_FALLBACK for marketing, for a text that
            somebody chose, or where the patient did something with it; ALREADY_SENT_OTHERWISE; the code and words of the
            decision where nothing else may be used; and those of `schedule`. Nothing is changed then.
    """
    with transaction(asker.actor, reason):
        found = fetch_dicts(_OF_ONE, (job_id,))
        if not found:
            raise OutreachError(f"there is no message {job_id}", code="JOB_NOT_FOUND", field="job_id")
        row = found[0]
        if row["in_doubt"] or not (row["status"] == "FAILED" or row["bounced_at"] is not None):
            raise OutreachError("it may have arrived, so it is not sent a second time", code="NOT_FAILED")
        if not _is_followed(row):
            raise OutreachError("such a message is not sent by another channel", code="NO_FALLBACK")
        if fetch_all(_IN_ITS_PLACE, (job_id,)):
            raise OutreachError("another message went in its place already", code="ALREADY_SENT_OTHERWISE")
        made = schedule(replace(_request(row), request_key=""), asker=asker, trace_id=row["trace_id"])
        if made.refused:
            raise OutreachError(made.decision["refused"]["words"], code=made.refused)
        execute(_DECIDED, (job_id,))
        if row["status"] == "FAILED":
            operator.cancel(comm_job_lane(), [job_id], actor=asker.actor, reason=f"{_sent_by(made)}: {reason}")
    return made


def _follow_up_waiting(route: str) -> int:
    return _decide_all(_NEXT_WAITING, route=route, seconds=get_settings().outreach_fallback_seconds)


def _routes_that_do_not_work() -> list[str]:
    """Those whose breaker is open, and those by which something waits although they are not in force any more."""
    in_force = routes()
    states = Breaker(get_settings().effective_redis_url).states([route.gateway.name for route in in_force.values()])
    with connected():
        waiting = [row[0] for row in fetch_all(_WAITING_ROUTES)]
    return [name for name in waiting if name not in in_force or states[in_force[name].gateway.name].state == "open"]


# A loose index scan: one probe per route by which something waits.
_WAITING_ROUTES = """
WITH RECURSIVE r AS ((SELECT route FROM comm_jobs WHERE status = 'PENDING' ORDER BY route LIMIT 1) UNION ALL
    SELECT n.route FROM r CROSS JOIN LATERAL (SELECT o.route FROM comm_jobs o WHERE o.status = 'PENDING'
        AND o.route > r.route ORDER BY o.route LIMIT 1) n)
SELECT route FROM r
"""


def _decide_all(sql: str, **params: Any) -> int:
    """Decide about one job after another; how many go by another channel."""
    made = 0
    seen: list[UUID] = []
    with connected():
        while len(seen) < AT_ONCE and (found := fetch_dicts(sql, {**params, "seen": as_uuids(seen)})):
            seen.append(found[0]["id"])
            made += _decide(found[0])
    return made


def _decide(row: Row) -> bool:
    """Whether it goes by another channel. What cannot be decided now is so the next time, and the others before."""
    try:
        if row["last_error_code"] in (OPTED_OUT, OPTED_OUT_MARKETING):
            # Not under the row's lock: addresses and patients are locked before messages.
            _note_opt_out(row)
        with transaction(ASKER.actor):
            if not fetch_all(_TAKE, (row["id"], row["updated_at"])):
                return False
            execute(_DECIDED, (row["id"],))
            return _is_followed(row) and _send_otherwise(row)
    except _FAILURES as error:
        if is_away(error):
            raise
        log.exception("FALLBACK_DEFECT", dispatch_id=str(row["id"]))
        return False


def _is_followed(row: Row) -> bool:
    """Marketing is not worth a second try, an answer belongs where the patient wrote, a text that somebody chose has no
    other in its place, and whoever did something with a message has it."""
    heard = any(row[name] is not None for name in ("answered_at", "replied_at", "clicked_at", "opened_at"))
    its_own = any(name in row["decision"] for name in ("reply_to", "template_chosen"))
    return not (row["is_marketing"] or its_own or heard)


def _send_otherwise(row: Row) -> bool:
    try:
        with transaction(ASKER.actor):
            if row["status"] == "PENDING":
                _cancel_waiting(row)
            made = schedule(_request(row), asker=ASKER, trace_id=row["trace_id"])
            if made.refused:
                raise _NoOtherChannelError
            if row["status"] == "FAILED":
                operator.cancel(comm_job_lane(), [row["id"]], actor=ASKER.actor, reason=_sent_by(made))
    except (_NoOtherChannelError, DispatchlogError) as error:
        code = error.code if isinstance(error, DispatchlogError) else "NO_CHANNEL"
        log.info("NO_FALLBACK", dispatch_id=str(row["id"]), code=code)
        return False
    except (ValueError, TypeError, LookupError):
        # What one row holds must not keep all that come after it.
        log.exception("FALLBACK_DEFECT", dispatch_id=str(row["id"]))
        return False
    return True


def _cancel_waiting(row: Row) -> None:
    with transaction(
        ASKER.actor, f"{CHANNEL_WORDS[Channel(row['channel'])]} does not work now; sent by another channel"
    ):
        if not ledger.cancel_waiting(comm_job_lane(), id=row["id"]):
            raise _NoOtherChannelError


def _sent_by(made: Scheduled) -> str:
    return f"sent by {CHANNEL_WORDS[made.channel]} instead"


def _request(row: Row) -> ScheduleInput:
    return ScheduleInput(
        patient_id=row["patient_id"],
        purpose=Purpose(row["purpose"]),
        variables=COMM_JOBS.opened(row)["variables"],
        campaign_id=row["campaign_id"],
        campaign_step=row["campaign_step"],
        ab_variant=row["ab_variant"] if row["campaign_id"] else None,
        template_family=_family(row) or None,
        is_urgent=row["is_urgent"],
        appointment_id=row["appointment_id"],
        asks=row["asks"],
        request_key=str(row["id"]),
        expires_at=row["expires_at"],
        fallback_of=row["id"],
        not_by=_tried(row["id"]) | _excluded(row),
    )


def _family(row: Row) -> str:
    """A campaign's text is followed by another of its family."""
    return str(fetch_all("SELECT family FROM comm_templates WHERE id = %s", (row["template_id"],))[0][0])


def _excluded(row: Row) -> frozenset[Channel]:
    """By which channels it was not to go from the beginning; a campaign's step may name its only one."""
    considered = row["decision"].get("channel", {}).get("considered", ())
    return frozenset(Channel(each["channel"]) for each in considered if each["code"] == "EXCLUDED")


def _tried(job_id: UUID) -> frozenset[Channel]:
    return frozenset(Channel(channel) for (channel,) in fetch_all(_TRIED, (job_id,)))


def _note_opt_out(row: Row) -> None:
    """The provider's own word is law: a stop like any other, which also keeps what waits."""
    evidence: Mapping[str, Any] = {"job": str(row["id"]), "code": row["last_error_code"], "provider": row["provider"]}
    channel, patient_id = Channel(row["channel"]), row["patient_id"]
    if row["last_error_code"] == OPTED_OUT_MARKETING:
        consents.note_marketing(patient_id, channel, given=False, source="carrier", asker=ASKER, evidence=evidence)
    else:
        consents.stop(
            channel,
            COMM_JOBS.opened(row)["recipient"],
            source="carrier",
            asker=ASKER,
            patient_id=patient_id,
            evidence=evidence,
        )
