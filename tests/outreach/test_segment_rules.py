"""Reading rule documents: what is refused and where, and that nothing of a document ever becomes SQL."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import core_events
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import fields, matching, rules
from dispatchlog.systems.outreach.segments.compiling import Compiled, compiled
from dispatchlog.systems.outreach.segments.rule_values import Span
from dispatchlog.systems.outreach.segments.rules import Group, Match, Rule
from tests.outreach.segment_people import LEAP, People, documents, populate

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SOMEBODY = "6f1f0c9e-0d3c-4b7e-9d53-7f6a1c3f2b10"
OVER_65 = {"field": "age", "operator": ">=", "value": 65}
NASTY = (
    *(
        "'; DROP TABLE patients; --",
        '"',
        "%s",
        "%(x)s",
        "%",
        "\\'",
        "$1",
        "/* */",
        "p.id) OR (true",
        "\x00",
        "\ud800",
        "{}",
    ),
    *("'' OR ''=''", "true", "NULL", "constructor", "__proto__", "é" * 300, "-- ", ";", ")", "(SELECT 1)"),
)


def _all(*found: Any, **more: Any) -> dict[str, Any]:
    return {"combinator": "and", "rules": list(found), **more}


def _of(field: str, value: Any, **match: Any) -> dict[str, Any]:
    return {"field": field, "operator": "", "match": match or {"mode": "some"}, "value": value}


def _rule(field: str, operator: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("document", "code", "place"),
    [
        (None, "INVALID_RULES", ""),
        ({"rules": "x"}, "INVALID_RULES", "rules"),
        (_all(combinator="xor"), "INVALID_RULES", "combinator"),
        ({**_all(), "not": 1}, "INVALID_RULES", "not"),
        (_all(sql="true"), "INVALID_RULES", "sql"),
        (_all(disabled=True), "INVALID_RULES", ""),
        (_all(OVER_65, "and", OVER_65), "INVALID_RULES", "rules[1]"),
        (_all({**OVER_65, "disabled": "no"}), "INVALID_RULES", "rules[0].disabled"),
        (_all({**OVER_65, "valueSource": "field"}), "INVALID_RULES", "rules[0].valueSource"),
        (_all({**OVER_65, "match": {"mode": "some"}}), "INVALID_RULES", "rules[0].match"),
        (_all(OVER_65, _all(_rule("shoe", "=", 1))), "UNKNOWN_FIELD", "rules[1].rules[0].field"),
        (_all(_rule("sent", "inLast", {"amount": 1, "unit": "days"})), "UNKNOWN_FIELD", "rules[0].field"),
        (_all(_of("messages", _all(OVER_65))), "UNKNOWN_FIELD", "rules[0].value.rules[0].field"),
        (_all(_of("messages", _all(_of("stops", _all())))), "UNKNOWN_FIELD", "rules[0].value.rules[0].field"),
        (_all({"field": ["age"], "operator": "="}), "UNKNOWN_FIELD", "rules[0].field"),
        (_all(_rule("age", "~", 1)), "UNKNOWN_OPERATOR", "rules[0].operator"),
        (_all(_rule("active", ">", value=True)), "UNKNOWN_OPERATOR", "rules[0].operator"),
        (_all(_rule("registered", "null")), "UNKNOWN_OPERATOR", "rules[0].operator"),
        (_all(_rule("age", "=", "65")), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("age", "=", value=True)), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("age", "=", 65.0)), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("age", "=", 151)), "UNKNOWN_VALUE", "rules[0].value"),
        (_all(_rule("age", "between", [70, 60])), "UNKNOWN_VALUE", "rules[0].value"),
        (_all(_rule("age", "between", [70])), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("country", "in", [])), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("age", "null", [1])), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("gender", "=", "yes")), "UNKNOWN_VALUE", "rules[0].value"),
        (_all(_rule("country", "=", 1)), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("country", "contains", "a\x00")), "UNKNOWN_VALUE", "rules[0].value"),
        (_all(_rule("active", "=", "true")), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("provider", "=", "Dr Who")), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("registered", "on", "2026-02-30")), "UNKNOWN_VALUE", "rules[0].value"),
        (_all(_rule("registered", "on", "now")), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("registered", "inLast", 5)), "WRONG_TYPE", "rules[0].value"),
        (_all(_rule("registered", "inLast", {"amount": 0, "unit": "days"})), "UNKNOWN_VALUE", "rules[0].value.amount"),
        (_all(_rule("registered", "inLast", {"amount": "1", "unit": "days"})), "WRONG_TYPE", "rules[0].value.amount"),
        (_all(_rule("registered", "inLast", {"amount": 1, "unit": "years"})), "UNKNOWN_VALUE", "rules[0].value.unit"),
        (_all(_of("messages", _all(), mode="most")), "UNKNOWN_VALUE", "rules[0].match.mode"),
        (_all(_of("messages", _all(), mode="atLeast")), "WRONG_TYPE", "rules[0].match.threshold"),
        (_all(_of("messages", _all(), mode="atLeast", threshold=0)), "UNKNOWN_VALUE", "rules[0].match.threshold"),
        (_all(_of("messages", _all(), mode="atLeast", threshold=0.5)), "WRONG_TYPE", "rules[0].match.threshold"),
        (_all(_of("messages", "x")), "INVALID_RULES", "rules[0].value"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(document: Any, code: str, place: str) -> None:
    with pytest.raises(OutreachError) as refusal:
        rules.parse(document)
    assert (refusal.value.code, refusal.value.field) == (code, place)
    assert refusal.value.present["place"] == [int(number) for number in re.findall(r"rules\[(\d+)\]", place)]


def test_an_unknown_field_is_told_those_that_there_are() -> None:
    with pytest.raises(OutreachError) as refusal:
        rules.parse(_all(_of("stops", _all(_rule("shoe", "=", 1)))))
    assert refusal.value.present["known"] == ["channel", "at"]


def test_too_deep_and_too_many_are_refused_however_deep_and_many() -> None:
    deep: dict[str, Any] = _all()
    for _ in range(5_000):
        deep = _all(deep)
    for document in (deep, _all(*[OVER_65] * (rules.MOST_RULES + 1))):
        with pytest.raises(OutreachError, match=r"deep|at most") as refusal:
            rules.parse(document)
        assert refusal.value.code == "INVALID_RULES"
    rules.parse(_all(*[OVER_65] * rules.MOST_RULES))


def test_what_is_disabled_or_muted_is_left_out_whatever_it_holds() -> None:
    left_out = [{"field": "shoe", "disabled": True}, {"muted": True, "rules": "none"}]
    assert rules.parse(_all(*left_out, {**OVER_65, "id": "r-1", "path": [2], "valueSource": "value"})) == Group(
        "and", negated=False, rules=(Rule("age", ">=", 65),)
    )


def test_the_kinds_of_events_are_those_that_are_taken_in() -> None:
    assert fields.EVENT_KINDS == core_events.KINDS


def test_the_catalogue_names_nothing_twice_and_has_words_for_all() -> None:
    shown = fields.catalogue()
    for group in (shown["fields"], *(each["fields"] for each in shown["fields"])):
        names = [each["name"] for each in group]
        assert len(set(names)) == len(names)
        assert all(set(each["operators"]) <= set(shown["operators"]) for each in group)
        assert all(bool(each["operators"]) != bool(each["fields"]) for each in group)


_KEYS = (
    *("combinator", "rules", "not", "field", "operator", "value", "match", "mode", "threshold", "amount", "unit", "id"),
    *("disabled", "valueSource", "sql"),
)
_WORDS = (
    *(each.name for each in fields.every_field()),
    *("sent", "status", "and", "or", "value", "some", "atLeast", "days", "2026-01-01", SOMEBODY),
    *fields.operator_words(),
    *NASTY,
)
_LEAVES = st.one_of(
    st.sampled_from(_WORDS), st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=5)
)
_JUNK = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)),
    max_leaves=12,
)
_NEARLY = st.fixed_dictionaries(
    {"combinator": st.sampled_from(("and", "or")), "rules": st.lists(
        st.fixed_dictionaries(
            {"field": st.sampled_from(_WORDS), "operator": st.sampled_from(list(fields.operator_words())), "value": _JUNK}
        ),
        max_size=3,
    )}
)  # fmt: skip
_TEXTS = st.builds(
    lambda field, operator, value: _all(_rule(field, operator, value)),
    st.sampled_from(("country", "language", "timezone", "region")),
    st.sampled_from(("=", "contains", "beginsWith", "endsWith", "doesNotContain")),
    st.one_of(st.sampled_from(NASTY), st.text(max_size=20)),
)
_PLACE = re.compile(r"([A-Za-z_]+(\[\d+\])?(\.[A-Za-z_]+(\[\d+\])?)*)?")
_CODES = {"INVALID_RULES", "UNKNOWN_FIELD", "UNKNOWN_OPERATOR", "WRONG_TYPE", "UNKNOWN_VALUE"}
# Every word and sign of which conditions are made; a value has none of its own.
_ALPHABET = frozenset(
    re.findall(
        r"\S+",
        """
    AND OR NOT IS NULL IN ANY ARRAY BETWEEN SELECT FROM WHERE GROUP BY HAVING JOIN LEFT ON true COLLATE lower
    strpos starts_with right length nullif coalesce count comm_bucket p x a b c r v id birth_date gender country
    region timezone language organization_id provider_id tags active created_at patient_id comm_jobs
    comm_appointments comm_inbound comm_consents comm_stops comm_addresses comm_core_events comm_providers
    patient_comm_prefs channel address_hash purpose campaign_id sent_at delivered_at opened_at clicked_at
    replied_at bounced_at unsubscribed_at starts_at status place intent purpose_class given at stopped_at kind
    occurred_at received_at subject_id marketing_opt_in_email marketing_opt_in_sms marketing_opt_in_whatsapp
    segment C 0 1 100 % s ( ) , . * = < > <= >= <> @> && / ' " { }
    """,
    )
)
_SIGNS = re.compile(r"[A-Za-z_]+|\d+|[<>=@&!|:;-]+|\S")


def _compiled(document: Any) -> tuple[Group, Compiled] | None:
    """None where it is refused, as it should be."""
    refusals: list[OutreachError] = []
    try:
        group = rules.parse(document)
    except OutreachError as refusal:
        refusals.append(refusal)
    for each in refusals:
        assert each.code in _CODES, each.code
        assert _PLACE.fullmatch(each.field), each.field
        return None
    named = {segment_id: rules.parse(_all(OVER_65)) for segment_id, _ in rules.named_segments(group)}
    return group, compiled(group, now=NOW, segments=named)


def _check(document: Any) -> None:
    found = _compiled(document)
    if found is None:
        return
    group, condition = found
    signs = set(_SIGNS.findall(condition.where))
    assert signs <= _ALPHABET, signs - _ALPHABET
    assert condition.where.count("%s") == condition.where.count("%") == len(condition.params)
    other = _with_other_values(group)
    named = {segment_id: rules.parse(_all(OVER_65)) for segment_id, _ in rules.named_segments(other)}
    assert compiled(other, now=NOW + timedelta(days=400), segments=named).where == condition.where


def _with_other_values(group: Group) -> Group:
    return replace(group, rules=tuple(_with_another(each) for each in group.rules))


def _with_another(each: Rule | Match | Group) -> Rule | Match | Group:
    if isinstance(each, Group):
        return _with_other_values(each)
    if isinstance(each, Match):
        return (
            replace(each, threshold=each.threshold + 1, group=_with_other_values(each.group))
            if (each.threshold > 1)
            else replace(each, group=_with_other_values(each.group))
        )
    return replace(each, value=_other(each.value))


def _other(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, tuple):
        return tuple(_other(each) for each in value)
    if isinstance(value, Span):
        return Span(value.amount + 1, "weeks")
    if isinstance(value, date):
        return value + timedelta(days=1)
    if isinstance(value, UUID):
        return UUID(SOMEBODY)
    return value + 1 if isinstance(value, int) else "another"


def test_nothing_of_a_document_becomes_sql() -> None:
    people = People(NOW, organizations=[UUID(SOMEBODY)], providers=[UUID(SOMEBODY)])
    people.campaigns = people.segments = [UUID(SOMEBODY)]

    @settings(max_examples=250, derandomize=True, database=None)
    @given(st.one_of(documents(people), _TEXTS, _NEARLY, _JUNK))
    def check(document: Any) -> None:
        _check(document)

    check()


def test_values_that_look_like_sql_are_compared_as_they_are(application: Settings) -> None:
    people = populate(application.database_url, seed=1, number=5, now=LEAP)
    operators = ("=", "contains", "doesNotContain", "beginsWith", "endsWith", "in")
    asked = []
    for text in NASTY:
        for operator in operators:
            found = _compiled(_all(_rule("country", operator, [text] if operator == "in" else text)))
            asked += [found] if found else []
    assert len(asked) > 80
    with connected():
        wheres = ", ".join(condition.where for _, condition in asked)
        params = [value for _, condition in asked for value in condition.params]
        for patient_id, answers in fetch_all(f"SELECT p.id, ARRAY[{wheres}] FROM patients p", params):
            facts = matching.facts_of(patient_id)
            assert answers == [matching.matches(group, facts, now=NOW) for group, _ in asked]
        assert fetch_all("SELECT count(*) FROM patients") == [(len(people.patients),)]
