"""Plans of campaigns are read strictly, and every mistake is refused at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchlog.systems.outreach.campaigns.plans import MOST_STEPS, CampaignInput, Condition, plan_of
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Purpose

INTRO = {"key": "intro", "purpose": "campaign_education"}
MORE: dict[str, Any] = {
    "key": "more",
    "name": "Once more",
    "after": "intro",
    "offset": {"days": 2, "hours": 3},
    "purpose": "rx_refill",
    "family": "flu-2026",
    "channel": "sms",
    "variables": {"link": "https://example.org/flu", "doses": 2},
    "conditions": [{"step": "intro", "is": "not_opened"}],
}
VARIANTS = [{"key": "A", "weight": 70}, {"key": "B", "weight": 30}]
WANTED = CampaignInput(name="Flu", segment_id=uuid4(), steps=(INTRO, MORE))


def refused(**changes: Any) -> tuple[str, str]:
    with pytest.raises(OutreachError) as error:
        plan_of(replace(WANTED, **changes))
    return error.value.code, error.value.field


def test_the_documents_become_steps_variants_limits_and_rules() -> None:
    variants = {"variants": VARIANTS, "goal": "clicked", "minimum": 50}
    wanted = replace(
        WANTED, ab_variants=variants, frequency={"per_day": 1, "per_month": 4}, exit_rules=["booked", "answered"]
    )
    plan = plan_of(wanted)
    first, second = plan.steps
    assert (first.key, first.name, first.after, first.offset, first.purpose) == (
        *("intro", "intro", None, timedelta()),
        Purpose.CAMPAIGN_EDUCATION,
    )
    assert (first.family, first.channel, first.conditions) == ("", None, ())
    assert (second.after, second.offset) == ("intro", timedelta(days=2, hours=3))
    assert (second.purpose, second.family, second.channel) == (Purpose.RX_REFILL, "flu-2026", Channel.SMS)
    assert second.conditions == (Condition("intro", "not_opened"),)
    assert (plan.variants.shares, plan.variants.goal, plan.variants.minimum) == ((("A", 70), ("B", 30)), "clicked", 50)
    assert (plan.per_day, plan.per_week, plan.per_month, plan.exits) == (
        *(1, None, 4),
        frozenset({"booked", "answered"}),
    )


def test_a_step_follows_the_one_before_it_and_is_a_letter_unless_told() -> None:
    plan = plan_of(replace(WANTED, steps=[{"key": each} for each in ("a", "b", "c")]))
    assert [step.after for step in plan.steps] == [None, "a", "b"]
    assert {step.purpose for step in plan.steps} == {Purpose.CAMPAIGN_EDUCATION}


def test_two_steps_may_follow_the_same_one() -> None:
    plan = plan_of(replace(WANTED, steps=[{"key": "a"}, {"key": "b", "after": "a"}, {"key": "c", "after": "a"}]))
    assert [step.after for step in plan.steps] == [None, "a", "a"]


@pytest.mark.parametrize(
    ("steps", "code", "field"),
    [
        ([], "INVALID_STEPS", "steps"),
        ([{"key": f"s{n}"} for n in range(MOST_STEPS + 1)], "INVALID_STEPS", "steps"),
        ("intro", "WRONG_TYPE", "steps"),
        ([INTRO, "more"], "WRONG_TYPE", "steps[1]"),
        ([{}], "INVALID_STEPS", "steps[0].key"),
        ([{"key": 1}], "WRONG_TYPE", "steps[0].key"),
        ([{"key": "A letter"}], "INVALID_STEPS", "steps[0].key"),
        ([{"key": "x" * 65}], "INVALID_STEPS", "steps[0].key"),
        ([INTRO, INTRO], "INVALID_STEPS", "steps[1].key"),
        ([INTRO | {"colour": "red"}], "INVALID_STEPS", "steps[0].colour"),
        ([INTRO | {"name": 7}], "WRONG_TYPE", "steps[0].name"),
        ([INTRO | {"name": "a\x00b"}], "UNKNOWN_VALUE", "steps[0].name"),
        ([INTRO | {"after": "intro"}], "STEP_CYCLE", "steps[0].after"),
        ([INTRO | {"after": "more"}, MORE], "STEP_CYCLE", "steps[0].after"),
        ([INTRO, MORE | {"after": "more"}], "STEP_CYCLE", "steps[1].after"),
        ([INTRO, MORE | {"after": "less"}], "UNKNOWN_STEP", "steps[1].after"),
        ([INTRO, MORE | {"after": 0}], "WRONG_TYPE", "steps[1].after"),
        ([INTRO | {"conditions": [{"step": "intro", "is": "sent"}]}], "STEP_CYCLE", "steps[0].conditions[0].step"),
        (
            [INTRO | {"conditions": [{"step": "more", "is": "sent"}]}, MORE],
            "STEP_CYCLE",
            "steps[0].conditions[0].step",
        ),
        (
            [INTRO, MORE | {"conditions": [{"step": "x", "is": "sent"}]}],
            "UNKNOWN_STEP",
            "steps[1].conditions[0].step",
        ),
        (
            [INTRO, MORE | {"conditions": [MORE["conditions"][0], {"step": "intro", "is": "read"}]}],
            "UNKNOWN_VALUE",
            "steps[1].conditions[1].is",
        ),
        ([INTRO, MORE | {"conditions": [{"step": "intro"}]}], "INVALID_STEPS", "steps[1].conditions[0].is"),
        ([INTRO, MORE | {"conditions": {}}], "WRONG_TYPE", "steps[1].conditions"),
        ([INTRO | {"offset": 3}], "WRONG_TYPE", "steps[0].offset"),
        ([INTRO | {"offset": {"weeks": 1}}], "INVALID_STEPS", "steps[0].offset.weeks"),
        ([INTRO | {"offset": {"days": -1}}], "UNKNOWN_VALUE", "steps[0].offset.days"),
        ([INTRO | {"offset": {"days": True}}], "WRONG_TYPE", "steps[0].offset.days"),
        ([INTRO | {"offset": {"days": 1.5}}], "WRONG_TYPE", "steps[0].offset.days"),
        ([INTRO | {"offset": {"days": 367}}], "UNKNOWN_VALUE", "steps[0].offset"),
        ([INTRO | {"offset": {"days": 10**9}}], "UNKNOWN_VALUE", "steps[0].offset.days"),
        ([INTRO | {"purpose": "urgent"}], "UNKNOWN_VALUE", "steps[0].purpose"),
        ([INTRO | {"purpose": "greeting"}], "UNKNOWN_VALUE", "steps[0].purpose"),
        ([INTRO | {"family": "Flu 2026"}], "UNKNOWN_VALUE", "steps[0].family"),
        ([INTRO | {"channel": "fax"}], "UNKNOWN_VALUE", "steps[0].channel"),
        ([INTRO | {"variables": []}], "WRONG_TYPE", "steps[0].variables"),
        ([INTRO | {"variables": {"a b": "c"}}], "UNKNOWN_VALUE", "steps[0].variables"),
        ([INTRO | {"variables": {"a": float("nan")}}], "WRONG_TYPE", "steps[0].variables.a"),
        ([INTRO | {"variables": {"a": None}}], "WRONG_TYPE", "steps[0].variables.a"),
        ([INTRO | {"variables": {"a": "\ud800"}}], "UNKNOWN_VALUE", "steps[0].variables.a"),
    ],
)
def test_a_mistake_in_a_step_is_refused_at_its_place(steps: Sequence[Any], code: str, field: str) -> None:
    assert refused(steps=steps) == (code, field)


@pytest.mark.parametrize(
    ("variants", "code", "field"),
    [
        ([], "WRONG_TYPE", "ab_variants"),
        ({"variant": VARIANTS}, "INVALID_VARIANTS", "ab_variants.variant"),
        ({"variants": VARIANTS[:1]}, "INVALID_VARIANTS", "ab_variants.variants"),
        ({"variants": [{"key": str(n), "weight": 1} for n in range(11)]}, "INVALID_VARIANTS", "ab_variants.variants"),
        (
            {"variants": [*VARIANTS, {"key": "a", "weight": 1}]},
            "INVALID_VARIANTS",
            "ab_variants.variants[2].key",
        ),
        (
            {"variants": [VARIANTS[0], {"key": "B", "weight": 0}]},
            "INVALID_VARIANTS",
            "ab_variants.variants[1].weight",
        ),
        ({"variants": [VARIANTS[0], {"key": " B", "weight": 1}]}, "INVALID_VARIANTS", "ab_variants.variants[1].key"),
        ({"variants": [VARIANTS[0], {"weight": 1}]}, "INVALID_VARIANTS", "ab_variants.variants[1].key"),
        ({"variants": VARIANTS, "goal": "opened"}, "UNKNOWN_VALUE", "ab_variants.goal"),
        ({"variants": VARIANTS, "minimum": 0}, "UNKNOWN_VALUE", "ab_variants.minimum"),
    ],
)
def test_a_mistake_in_the_variants_is_refused_at_its_place(variants: Any, code: str, field: str) -> None:
    assert refused(ab_variants=variants) == (code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"name": " "}, "INVALID_NAME", "name"),
        ({"name": "x" * 256}, "INVALID_NAME", "name"),
        ({"name": "a\nb"}, "INVALID_NAME", "name"),
        ({"overlap": "maybe"}, "UNKNOWN_VALUE", "overlap"),
        ({"control_percent": 51}, "UNKNOWN_VALUE", "control_percent"),
        ({"timezone": "Mars/Olympus"}, "INVALID_TIMEZONE", "timezone"),
        ({"start_date": date(2026, 3, 2), "end_date": date(2026, 3, 1)}, "END_BEFORE_START", "end_date"),
        ({"start_date": "2026-03-02"}, "WRONG_TYPE", "start_date"),
        ({"frequency": {"per_day": 0}}, "UNKNOWN_VALUE", "frequency.per_day"),
        ({"frequency": {"per_year": 1}}, "UNKNOWN_VALUE", "frequency.per_year"),
        ({"frequency": {"per_week": "2"}}, "WRONG_TYPE", "frequency.per_week"),
        ({"exit_rules": ["answered", "bored"]}, "UNKNOWN_VALUE", "exit_rules[1]"),
        ({"exit_rules": "answered"}, "WRONG_TYPE", "exit_rules"),
        ({"language_fallback": "yes"}, "WRONG_TYPE", "language_fallback"),
    ],
)
def test_a_mistake_beside_the_steps_is_refused_at_its_place(changes: Mapping[str, Any], code: str, field: str) -> None:
    assert refused(**changes) == (code, field)


def test_it_may_end_on_the_day_on_which_it_begins() -> None:
    day = date(2026, 3, 1)
    assert plan_of(replace(WANTED, start_date=day, end_date=day)).steps


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["intro", "more", "A"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*MORE, "step", "is", "days", "variants", "weight", "goal", "per_day"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(steps=JSON, nested=JSON, variants=JSON, frequency=JSON, exits=JSON, name=st.sampled_from([*MORE]))
def test_whatever_the_documents_hold_they_are_read_or_refused_with_a_place(
    steps: Any, nested: Any, variants: Any, frequency: Any, exits: Any, name: str
) -> None:
    wanted = [
        replace(WANTED, **changes)
        for changes in (
            {"steps": steps},
            {"steps": [INTRO, {**MORE, name: nested}]},
            {"ab_variants": variants},
            {"frequency": frequency},
            {"exit_rules": exits},
        )
    ]
    places = {place_of_refusal(each) for each in wanted}
    assert places <= {"", "steps", "ab_variants", "frequency", "exit_rules"}


def place_of_refusal(wanted: CampaignInput) -> str:
    """The column that it names; "" where nothing was refused."""
    try:
        plan_of(wanted)
    except OutreachError as error:
        return error.field.partition(".")[0].partition("[")[0]
    return ""
