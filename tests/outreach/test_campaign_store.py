"""Campaigns are written as drafts, by whoever saw the present version, and found by their making."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected
from dispatchlog.systems.outreach.campaigns import lifecycle, store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel
from tests.outreach import builders, campaign_rows

pytestmark = pytest.mark.usefixtures("application")

STAFF = builders.STAFF
STEP = campaign_rows.STEP


def change(one: Campaign, *, based_on: int | None = None, **values: Any) -> Campaign:
    wanted = replace(store.input_of(one), **values)
    with connected():
        return store.change(one.id, wanted, based_on=based_on or one.version, asker=STAFF)


def refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(OutreachError) as error, connected():
        act()
    return error.value.code, error.value.field


def create(wanted: CampaignInput) -> Campaign:
    return store.create(wanted, asker=STAFF)


def test_a_draft_is_kept_as_it_was_written_and_as_it_is_meant() -> None:
    campaign_rows.text(variants=["A", "B"])
    wanted = campaign_rows.wanted(
        name="  Flu   2026 ",
        description=" Who and why. ",
        steps=[STEP, {"key": "more", "family": campaign_rows.FAMILY, "offset": {"days": 3}}],
        ab_variants={"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 3}]},
        frequency={"per_week": 2},
        exit_rules=["answered"],
        overlap="exclude",
        control_percent=10,
        organization_id=builders.organization(),
        end_date=date(2027, 1, 1),
    )
    with connected():
        made = create(wanted)
        found = store.campaign(made.id)
    assert made == found
    assert (made.name, made.description, made.status, made.version) == ("Flu 2026", "Who and why.", "draft", 1)
    assert store.input_of(made) == replace(wanted, name="Flu 2026", description="Who and why.", exit_rules=["answered"])
    assert [step.after for step in made.plan.steps] == [None, "intro"]
    assert made.created_by == STAFF.actor
    [line] = builders.rows("SELECT actor, action, detail FROM operator_actions WHERE action = 'write_campaign'")
    assert line["detail"] == {"campaign_id": str(made.id), "version": 1}


def test_what_is_not_there_is_refused_and_nothing_is_kept() -> None:
    ours, theirs = builders.organization(), builders.organization()
    campaign_rows.text()
    campaign_rows.text(family="walks", organization_id=theirs)
    mine = campaign_rows.segment(organization_id=ours)
    cases: list[tuple[CampaignInput, tuple[str, str]]] = [
        (campaign_rows.wanted(uuid4()), ("SEGMENT_NOT_FOUND", "segment_id")),
        (campaign_rows.wanted(campaign_rows.segment(is_active=False)), ("SEGMENT_ARCHIVED", "segment_id")),
        (campaign_rows.wanted(mine, organization_id=theirs), ("SEGMENT_MISMATCH", "segment_id")),
        (campaign_rows.wanted(organization_id=uuid4()), ("ORGANIZATION_NOT_FOUND", "organization_id")),
        (campaign_rows.wanted(steps=[STEP, {"key": "b"}]), ("UNKNOWN_TEMPLATE", "steps[1].family")),
        (campaign_rows.wanted(steps=[{**STEP, "channel": "sms"}]), ("UNKNOWN_TEMPLATE", "steps[0].family")),
        (campaign_rows.wanted(steps=[{**STEP, "purpose": "rx_refill"}]), ("UNKNOWN_TEMPLATE", "steps[0].family")),
        (
            campaign_rows.wanted(steps=[{"key": "a", "family": "walks"}], organization_id=ours),
            ("UNKNOWN_TEMPLATE", "steps[0].family"),
        ),
        (campaign_rows.wanted(steps=[{"key": "a", "after": "a"}]), ("STEP_CYCLE", "steps[0].after")),
    ]
    for wanted, expected in cases:
        assert refused(lambda wanted=wanted: create(wanted)) == expected  # type: ignore[misc]
    assert builders.rows("SELECT FROM comm_campaigns") == []
    with connected():
        assert create(campaign_rows.wanted(mine, organization_id=ours)).segment_id == mine


def test_a_change_names_the_version_it_changes() -> None:
    one = campaign_rows.draft()
    second = change(one, name="Second")
    assert (second.name, second.version) == ("Second", 2)
    assert refused(lambda: change(one, name="Late")) == ("VERSION_CONFLICT", "based_on")
    assert refused(lambda: change(second, steps=[])) == ("INVALID_STEPS", "steps")
    assert refused(lambda: change(replace(one, id=uuid4()))) == ("CAMPAIGN_NOT_FOUND", "campaign_id")
    with connected():
        assert store.campaign(one.id) == second


def test_of_changes_at_once_one_is_kept() -> None:
    one = campaign_rows.draft()

    def attempt(number: int) -> str:
        try:
            change(one, name=f"Number {number}")
        except OutreachError as error:
            return error.code
        return "kept"

    with ThreadPoolExecutor(4) as pool:
        assert Counter(pool.map(attempt, range(4))) == {"kept": 1, "VERSION_CONFLICT": 3}


def test_a_draft_that_is_changed_while_it_begins_is_one_or_the_other() -> None:
    campaign_rows.reader()
    one = campaign_rows.draft()

    def begin() -> str:
        with connected():
            try:
                return lifecycle.start(one.id, based_on=1, asker=STAFF).name
            except OutreachError as error:
                return error.code

    def write() -> str:
        try:
            return change(one, name="Changed").name
        except OutreachError as error:
            return error.code

    with ThreadPoolExecutor(2) as pool:
        begun, written = [each.result() for each in (pool.submit(begin), pool.submit(write))]
    assert (begun, written) in {("Flu", "CAMPAIGN_BEGUN"), ("VERSION_CONFLICT", "Changed")}


@pytest.mark.parametrize("status", ["active", "paused"])
def test_what_has_begun_is_not_changed_and_can_be_copied(status: str) -> None:
    one = campaign_rows.begun(status, start_date=date(2026, 1, 1), end_date=date(2027, 1, 1), control_percent=5)
    assert refused(lambda: change(one, name="Other"))[0] == "CAMPAIGN_BEGUN"
    with connected():
        again = store.copy(one.id, name="Again", asker=STAFF)
    assert (again.name, again.status, again.version, again.started_at) == ("Again", "draft", 1, None)
    # The days of the first are over, or will be.
    assert (again.start_date, again.end_date) == (None, None)
    assert (again.plan, again.control_percent, again.segment_id) == (one.plan, 5, one.segment_id)
    assert refused(lambda: store.copy(one.id, name=" ", asker=STAFF)) == ("INVALID_NAME", "name")
    assert refused(lambda: store.copy(uuid4(), name="x", asker=STAFF))[0] == "CAMPAIGN_NOT_FOUND"


def test_campaigns_are_found_by_their_making_page_by_page() -> None:
    made = [campaign_rows.draft(name=f"Number {n}").id for n in range(5)]
    active = campaign_rows.begun().id
    found: list[UUID] = []
    before = None
    with connected():
        while page := store.find(limit=2, before=before):
            found += [each.id for each in page]
            before = (page[-1].created_at, page[-1].id)
        assert [each.id for each in store.find(status="active")] == [active]
    assert found == [active, *reversed(made)]


def test_texts_of_a_family_are_chosen_by_whoever_names_it_and_by_nobody_else() -> None:
    everywhere = builders.template(channel=Channel.EMAIL)
    campaign_rows.text(Channel.SMS)
    with connected():
        made = create(campaign_rows.wanted(steps=[STEP, {"key": "b", "purpose": "appt_reminder"}]))
        assert [step.family for step in made.plan.steps] == [campaign_rows.FAMILY, ""]
        wanted = campaign_rows.wanted(steps=[{"key": "b", "purpose": "appt_reminder", "family": campaign_rows.FAMILY}])
    assert refused(lambda: create(wanted))[0] == "UNKNOWN_TEMPLATE"
    assert builders.rows("SELECT family FROM comm_templates WHERE id = %s", everywhere) == [{"family": ""}]
