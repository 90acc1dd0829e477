"""A campaign's moves: begun, paused, resumed, stopped, completed. The only writer of its status.

draft -> active -> paused -> active ...; active or paused -> completed, for good. Whoever looks at a message of a campaign
before it leaves (`objection`, asked by the gate) holds the campaign's lock for reading, and every move takes it alone
(`barrier`): after a pause is committed nothing of it is marked as leaving any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import after_commit, execute, fetch_all, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.outreach import waking
from dispatchlog.systems.outreach.campaigns import barrier, report
from dispatchlog.systems.outreach.campaigns.audience import first_day
from dispatchlog.systems.outreach.campaigns.barrier import objection
from dispatchlog.systems.outreach.campaigns.checking import look_at, require_time_left
from dispatchlog.systems.outreach.campaigns.store import (
    ACTIVE,
    COMPLETED,
    DRAFT,
    PAUSED,
    Campaign,
    campaign,
    input_of,
    require_draft,
    require_segment,
)
from dispatchlog.systems.outreach.inputs import Asker, OutreachError

__all__ = [
    "choose_winner",
    "complete",
    "objection",
    "pause",
    "resume",
    "start",
    "stop",
    "stop_everything",
]

WORKER = Asker("service:outreach")
FINISHED, END_DATE, STOPPED = "finished", "end_date", "stopped"
# Beginnings look at each other's patients, so one follows the other.
_BEGINNINGS = 7240127


def start(campaign_id: UUID, *, based_on: int, asker: Asker) -> Campaign:
    """Begin a draft, as it was looked at (`based_on`). Its audience is settled and expanded by the worker from then on.

    Raises:
        OutreachError: CAMPAIGN_NOT_FOUND, CAMPAIGN_BEGUN, VERSION_CONFLICT; SEGMENT_ARCHIVED, EMPTY_AUDIENCE (segment_id),
            CAMPAIGN_OVERLAP (another campaign that is not over has patients of this one, in `present` with their number),
            END_DATE_PASSED, MISSING_LANGUAGE (steps[n].family, with the languages and how many patients read them, and not
            `language_fallback`), MISSING_VARIANT (steps[n].family, the text that has no such variant), UNKNOWN_TEMPLATE,
            MISSING_VARIABLE, UNKNOWN_VARIABLE, INVALID_VARIABLE (steps[n].variables.<name>); as `membership.audience_of`;
            nothing is begun then.
    """
    with transaction(asker.actor):
        _follow_other_beginnings()
        draft = campaign(campaign_id, lock="FOR NO KEY UPDATE")
        require_draft(draft, based_on=based_on)
        wanted = input_of(draft)
        segment = require_segment(wanted, lock="FOR SHARE")
        looked_at = look_at(wanted, draft.plan, segment, campaign_id=campaign_id)
        for problem in looked_at.problems:
            raise problem
        return _moved(
            draft,
            ACTIVE,
            asker=asker,
            action="start_campaign",
            start_date=first_day(wanted),
            started_by=asker.actor,
            detail={"audience": looked_at.audience},
        )


def pause(campaign_id: UUID, *, asker: Asker, reason: str) -> Campaign:
    """Nothing of it leaves any more, and nothing new is made, until it is resumed. Raises OutreachError:
    CAMPAIGN_NOT_FOUND, CAMPAIGN_NOT_ACTIVE."""
    with transaction(asker.actor, reason):
        now = _in_state(campaign_id, (ACTIVE,), "CAMPAIGN_NOT_ACTIVE")
        paused = _moved(now, PAUSED, asker=asker, action="pause_campaign", reason=reason)
        barrier.close([campaign_id])
    barrier.wait_until_handed_over([campaign_id])
    return paused


def resume(campaign_id: UUID, *, asker: Asker, reason: str) -> Campaign:
    """Go on; what became due meanwhile is due now. Raises OutreachError: CAMPAIGN_NOT_FOUND, CAMPAIGN_NOT_PAUSED,
    END_DATE_PASSED."""
    with transaction(asker.actor, reason):
        now = _in_state(campaign_id, (PAUSED,), "CAMPAIGN_NOT_PAUSED")
        require_time_left(input_of(now))
        return _moved(now, ACTIVE, asker=asker, action="resume_campaign", reason=reason)


def stop(campaign_id: UUID, *, asker: Asker, reason: str) -> Campaign:
    """For good: what waits is cancelled (by the worker, in batches), and nothing leaves meanwhile. Raises OutreachError:
    CAMPAIGN_NOT_FOUND, CAMPAIGN_NOT_ACTIVE (a draft, or over)."""
    with transaction(asker.actor, reason):
        now = _in_state(campaign_id, (ACTIVE, PAUSED), "CAMPAIGN_NOT_ACTIVE")
        stopped = _ended(now, STOPPED, asker=asker, action="stop_campaign", reason=reason)
        barrier.close([campaign_id])
    barrier.wait_until_handed_over([campaign_id])
    return stopped


def stop_everything(*, asker: Asker, reason: str) -> list[Campaign]:
    """The emergency stop: pause every active campaign at once; those that were. One that is just beginning is paused as
    soon as it has begun."""
    paused = _pause_all(asker, reason)
    with transaction(asker.actor, reason):
        _follow_other_beginnings()
        paused += _pause_all(asker, reason)
    barrier.wait_until_handed_over([each.id for each in paused])
    return paused


def complete(campaign_id: UUID, *, reason: str) -> bool:
    """The worker's: nothing is left to do ("finished"), or the last day is over ("end_date"); whether it moved."""
    with transaction(WORKER.actor, reason):
        now = campaign(campaign_id, lock="FOR NO KEY UPDATE")
        # What is paused has not come to its end, but its last day may.
        if now.status not in ((ACTIVE,) if reason == FINISHED else (ACTIVE, PAUSED)):
            return False
        _ended(now, reason, asker=WORKER, action="complete_campaign", reason=reason)
        if reason != FINISHED:
            barrier.close([campaign_id])
        return True


def choose_winner(campaign_id: UUID, variant: str, *, asker: Asker) -> Campaign:
    """From now on every patient whose first step is not made yet gets this variant. Raises OutreachError:
    CAMPAIGN_NOT_FOUND, CAMPAIGN_NOT_ACTIVE, UNKNOWN_VARIANT, NOT_JUSTIFIED (what was measured does not say so, or too few;
    in `present`)."""
    with transaction(asker.actor):
        now = _in_state(campaign_id, (ACTIVE, PAUSED), "CAMPAIGN_NOT_ACTIVE")
        if variant not in dict(now.plan.variants.shares):
            raise OutreachError("the campaign has no such variant", code="UNKNOWN_VARIANT", field="variant")
        test = report.report(campaign_id).test
        if test is None or test.verdict != "winner" or test.winner != variant:
            raise OutreachError(
                "what was measured does not say that this text is the better one",
                code="NOT_JUSTIFIED",
                field="variant",
                present={"verdict": test.verdict, "words": test.words} if test else {},
            )
        execute(
            "UPDATE comm_campaigns SET winner = %s, winner_at = clock_timestamp(), winner_by = %s, version = version + 1,"
            " updated_at = clock_timestamp() WHERE id = %s",
            (variant, asker.actor, campaign_id),
        )
        _log(asker, "choose_variant", campaign_id, detail={"variant": variant, "words": test.words})
        return campaign(campaign_id)


def _follow_other_beginnings() -> None:
    execute("SELECT pg_advisory_xact_lock(%s)", (_BEGINNINGS,))


def _pause_all(asker: Asker, reason: str) -> list[Campaign]:
    with transaction(asker.actor, reason):
        ids = [
            campaign_id
            for (campaign_id,) in fetch_all(
                "SELECT id FROM comm_campaigns WHERE status = 'active' ORDER BY id FOR NO KEY UPDATE"
            )
        ]
        paused = [
            _moved(campaign(each), PAUSED, asker=asker, action="pause_campaign", reason=reason, detail={"all": True})
            for each in ids
        ]
        barrier.close(ids)
    return paused


def _in_state(campaign_id: UUID, statuses: Sequence[str], code: str) -> Campaign:
    """The campaign with its row's lock, where it is in one of these states."""
    now = campaign(campaign_id, lock="FOR NO KEY UPDATE")
    if now.status not in statuses:
        raise OutreachError(f"the campaign is {_WORDS[now.status]}", code=code, present={"status": now.status})
    return now


_WORDS = {DRAFT: "a draft", ACTIVE: "active", PAUSED: "paused", COMPLETED: "over"}


def _ended(now: Campaign, why: str, *, asker: Asker, action: str, reason: str) -> Campaign:
    return _moved(now, COMPLETED, asker=asker, action=action, reason=reason, ended_reason=why, ended_by=asker.actor)


def _moved(
    now: Campaign,
    status: str,
    *,
    asker: Asker,
    action: str,
    reason: str = "",
    detail: dict[str, Any] | None = None,
    **columns: Any,
) -> Campaign:
    """The move itself, from exactly the state that was looked at, with its line in the audit."""
    instant = {"start_campaign": ", started_at = clock_timestamp()"}.get(action, "")
    instant += ", ended_at = clock_timestamp()" if status == COMPLETED else ""
    settings = "".join(f", {name} = %s" for name in columns)
    execute(
        f"UPDATE comm_campaigns SET status = %s{settings}{instant}, version = version + 1,"
        " updated_at = clock_timestamp() WHERE id = %s AND status = %s",
        (status, *columns.values(), now.id, now.status),
    )
    _log(asker, action, now.id, reason=reason, detail=detail)
    if status != PAUSED:
        after_commit(waking.CAMPAIGNS, lambda: waking.wake(waking.CAMPAIGNS))
    return campaign(now.id)


def _log(
    asker: Asker, action: str, campaign_id: UUID, *, reason: str = "", detail: dict[str, Any] | None = None
) -> None:
    log_action(asker.actor, action, reason=reason, detail={"campaign_id": str(campaign_id), **(detail or {})})
