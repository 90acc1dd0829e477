"""What becomes of lines that are due: exits, order, conditions, frequency and night, then the orchestrator decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from dispatchlog.systems.outreach.campaigns import caps, clock, conditions, knowing, lines, nights
from dispatchlog.systems.outreach.campaigns.knowing import Known
from dispatchlog.systems.outreach.campaigns.lines import Decided, Line
from dispatchlog.systems.outreach.campaigns.plans import Step
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, ScheduleInput
from dispatchlog.systems.outreach.scheduling import Asked, schedule_many
from dispatchlog.systems.outreach.states import Channel
from dispatchlog.tracing import new_trace_id

# No service is called so, hence nobody else's request has such a key.
ASKER = Asker("system:campaigns")
_MINUTE = timedelta(minutes=1)


def decide(campaign: Campaign, claimed: Sequence[Line]) -> list[Decided]:
    """What becomes of each, with its message stored; a patient's second line is left to the next batch. In the
    transaction that claimed them.

    Raises:
        OutreachError: as `membership.members_among`, where the segment cannot be asked any more.
    """
    now = datetime.now(UTC)
    first_of_each = [*{line.patient_id: line for line in reversed(claimed)}.values()][::-1]
    patients = [line.patient_id for line in first_of_each]
    steps = {step.key: step for step in campaign.plan.steps}
    # Under the locks: what another campaign has just made for them counts.
    made_at = knowing.of_campaigns(patients) if caps.is_capped(campaign.plan) else {}
    known = knowing.known(campaign, patients)
    decided, left = [], []
    for line in first_of_each:
        no = _objection(campaign, line, steps[line.step], known, made_at.get(line.patient_id, ()), now)
        decided.append(no) if no else left.append(line)
    return [*decided, *_schedule(campaign, steps, left, now)]


def _objection(
    campaign: Campaign, line: Line, step: Step, known: Known, made_at: Sequence[datetime], now: datetime
) -> Decided | None:
    rule = conditions.exit_of(campaign.plan.exits, known.fulfilled(line.patient_id))
    if rule:
        return lines.left(line, f"EXIT_{rule.upper()}")
    heard = known.heard.get(line.patient_id, {})
    before = heard.get(step.after, conditions.NOTHING) if step.after else conditions.NOTHING
    if before.waits_until is not None:
        # It was put off on its way out; steps come in their order.
        until = clock.later(max(before.waits_until, now), max(step.offset, _MINUTE), campaign.timezone)
        return lines.put_off(line, "STEP_BEFORE", until)
    if not conditions.hold(step.conditions, heard):
        return lines.skipped(line, "CONDITION")
    return _too_often(campaign, line, made_at, now)


def _too_often(campaign: Campaign, line: Line, made_at: Sequence[datetime], now: datetime) -> Decided | None:
    today = clock.today(now, campaign.timezone)
    day = caps.next_free_day(today, [clock.today(at, campaign.timezone) for at in made_at], campaign.plan)
    if day == today:
        return None
    if campaign.end_date is not None and day > campaign.end_date:
        return lines.skipped(line, "FREQUENCY")
    return lines.put_off(line, "FREQUENCY", clock.midnight(day, campaign.timezone))


def _schedule(
    campaign: Campaign, steps: Mapping[str, Step], claimed: Sequence[Line], now: datetime
) -> Iterator[Decided]:
    asleep: dict[tuple[str, UUID], datetime] = {}
    for key in dict.fromkeys(line.step for line in claimed):
        patients = [line.patient_id for line in claimed if line.step == key]
        asleep |= {(key, patient_id): at for patient_id, at in nights.asleep(steps[key], patients, now).items()}
    awake = []
    for line in claimed:
        until = asleep.get((line.step, line.patient_id))
        if until is None:
            awake.append(line)
        else:
            yield lines.put_off(line, "NIGHT", until)
    asked = [Asked(_wanted(campaign, steps[line.step], line), ASKER, new_trace_id()) for line in awake]
    for line, each, outcome in zip(awake, asked, schedule_many(asked), strict=True):
        if isinstance(outcome, OutreachError):
            yield lines.skipped(line, outcome.code)
        else:
            yield lines.made(line, outcome.job_id, outcome.scheduled_at, variant=each.wanted.ab_variant or "")


def _wanted(campaign: Campaign, step: Step, line: Line) -> ScheduleInput:
    return ScheduleInput(
        patient_id=line.patient_id,
        purpose=step.purpose,
        variables=step.variables,
        preferred_channel=step.channel,
        not_by=frozenset({*Channel} - {step.channel}) if step.channel else frozenset(),
        campaign_id=campaign.id,
        campaign_step=step.key,
        ab_variant=_variant(campaign, line) or None,
        template_family=step.family or None,
        request_key=f"campaign:{campaign.id}:{step.key}:{line.patient_id}",
        expires_at=clock.ends_at(campaign.end_date, campaign.timezone),
    )


def _variant(campaign: Campaign, line: Line) -> str:
    """What the patient drew, or the winner for whoever has had nothing yet."""
    is_first = line.step == campaign.plan.steps[0].key
    return campaign.winner if is_first and campaign.winner else line.variant
