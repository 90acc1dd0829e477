"""Two evaluators that share nothing but the tree say the same of every rule and every patient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatchlog.engine.database import connected, execute, fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.segments import fields, matching, references, rules
from dispatchlog.systems.outreach.segments.compiling import compiled
from dispatchlog.systems.outreach.segments.rules import Group
from tests.outreach.segment_people import LEAP, MONTH_END, People, documents, populate, rules_about

NUMBER = 40
AT_ONCE = 25


def _store_segments(people: People, drawn: Sequence[Group]) -> dict[UUID, Group]:
    """What segments that are named mean, in order: each may name those before it."""
    return dict(zip(people.segments, drawn, strict=True))


def _by_sql(groups: Sequence[Group], now: datetime, named: dict[UUID, Group], **more: Any) -> dict[UUID, list[bool]]:
    """All patients' answers to these rules, in one statement."""
    asked = [compiled(group, now=now, segments=named, **more) for group in groups]
    wheres = ", ".join(each.where for each in asked)
    params = [value for each in asked for value in each.params]
    return dict(fetch_all(f"SELECT p.id, ARRAY[{wheres}]::boolean[] FROM patients p", params))


@pytest.mark.parametrize("now", [LEAP, MONTH_END], ids=["leap day", "end of a month"])
def test_both_evaluators_agree_on_generated_rules(application: Settings, now: datetime) -> None:
    people = populate(application.database_url, seed=7, number=NUMBER, now=now)
    people.segments = [UUID(int=1), UUID(int=2)]
    tagged = {"combinator": "and", "rules": [{"field": "tags", "operator": "contains", "value": "new"}]}
    nested = {
        "combinator": "or",
        "not": True,
        "rules": [{"field": "segment", "operator": "=", "value": str(UUID(int=1))}],
    }
    named = _store_segments(people, [rules.parse(tagged), rules.parse(nested)])
    with connected():
        facts = {patient_id: matching.facts_of(patient_id) for patient_id in people.patients}
        seen: set[tuple[str, str]] = set()

        @settings(max_examples=8, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
        @given(st.lists(documents(people), min_size=AT_ONCE, max_size=AT_ONCE))
        def agree(drawn: list[dict[str, Any]]) -> None:
            groups = [rules.parse(document) for document in drawn]
            answers = _by_sql(groups, now, named)
            for patient_id, said in answers.items():
                for document, group, answer in zip(drawn, groups, said, strict=True):
                    expected = matching.matches(group, facts[patient_id], now=now, segments=named)
                    assert (answer, document) == (expected, document)
                    seen.add((str(answer), group.combinator))

        agree()
    assert len(seen) == 4, "each answer was given by both combinators, or the rules say too little"


def _every_operator() -> list[tuple[str, str, str]]:
    alone = [("", each.name, operator) for each in fields.ATTRIBUTES for operator in each.operators]
    inner = [
        (of.name, each.name, operator) for of in fields.COLLECTIONS for each in of.fields for operator in each.operators
    ]
    return [*alone, *inner]


def test_they_agree_on_every_field_and_operator_and_of_few_patients_too(application: Settings) -> None:
    people = populate(application.database_url, seed=11, number=NUMBER, now=MONTH_END)
    people.segments = [UUID(int=1)]
    named = _store_segments(people, [rules.parse({"rules": [{"field": "active", "operator": "=", "value": True}]})])
    documents_of = {}
    for of, name, operator in _every_operator():
        known = fields.ATTRIBUTES if not of else next(each.fields for each in fields.COLLECTIONS if each.name == of)
        one = next(each for each in known if each.name == name)
        for number, drawn in enumerate(_drawn(people, one, operator)):
            group = {"combinator": "and", "rules": [drawn]}
            match = {"field": of, "match": {"mode": ("some", "all", "none")[number % 3]}, "value": group}
            documents_of[of, name, operator, number] = group if not of else {"combinator": "or", "rules": [match]}
    groups = [rules.parse(each) for each in documents_of.values()]
    with connected():
        everybody = _by_sql(groups, MONTH_END, named)
        few = people.patients[:3]
        of_few = _by_sql(groups, MONTH_END, named, among=few)
        for patient_id in people.patients:
            facts = matching.facts_of(patient_id)
            expected = [matching.matches(group, facts, now=MONTH_END, segments=named) for group in groups]
            wrong = [which for which, a, b in zip(documents_of, everybody[patient_id], expected, strict=True) if a != b]
            assert wrong == []
            assert patient_id not in few or of_few[patient_id] == expected
    # A field that answers everybody alike would be no test of it.
    told: dict[tuple[str, str, str], set[bool]] = {which[:3]: set() for which in documents_of}
    for said in everybody.values():
        for which, answer in zip(documents_of, said, strict=True):
            told[which[:3]].add(answer)
    assert [which for which, answers in told.items() if len(answers) < 2] == []


def _drawn(people: People, one: fields.Field, operator: str) -> list[dict[str, Any]]:
    """A few rules of this operator."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=7, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(rules_about(people, fields.Field(one.name, one.label, one.kind, (operator,), one.choices, most=one.most)))
    def draw(rule: dict[str, Any]) -> None:
        found.append(rule)

    draw()
    return found


def test_rules_without_anything_mean_everybody_and_turned_round_nobody(application: Settings) -> None:
    people = populate(application.database_url, seed=3, number=5, now=LEAP)
    empty = [rules.parse({"combinator": how, "not": no, "rules": []}) for how in ("and", "or") for no in (False, True)]
    left_out = rules.parse({"rules": [{"field": "age", "operator": ">", "value": 3, "disabled": True}]})
    with connected():
        assert set(map(tuple, _by_sql([*empty, left_out], LEAP, {}).values())) == {(True, False, True, False, True)}
        facts = matching.facts_of(people.patients[0])
    assert [matching.matches(each, facts, now=LEAP) for each in empty] == [True, False, True, False]


def test_a_bucket_is_a_tenth_of_the_patients_and_the_same_ones_for_both(application: Settings) -> None:
    people = populate(application.database_url, seed=5, number=400, now=LEAP)
    tenth = rules.parse({"rules": [{"field": "bucket", "operator": "<", "value": 10}]})
    with connected():
        answers = _by_sql([tenth], LEAP, {})
        chosen = {patient_id for patient_id, (is_in,) in answers.items() if is_in}
        sure = {each for each in people.patients if matching.matches(tenth, matching.facts_of(each), now=LEAP)}
    assert chosen == sure
    assert 15 <= len(chosen) <= 70


def test_what_a_segment_means_has_its_organisation_with_it(application: Settings) -> None:
    people = populate(application.database_url, seed=9, number=NUMBER, now=LEAP)
    clinic, segment_id = people.organizations[0], UUID(int=5)
    with connected():
        execute(
            "INSERT INTO patient_segments (id, name, rules, organization_id, created_by) VALUES (%s, 'x', %s, %s, 'x')",
            (segment_id, '{"rules": []}', clinic),
        )
        group, named = references.meaning_of(segment_id)
        answers = _by_sql([group], LEAP, dict(named))
        assert {each for each, (is_in,) in answers.items() if is_in} == {
            each for each in people.patients if matching.facts_of(each)["organization"] == clinic
        }
