"""Segments as they are kept: written, changed by two at once, archived, evaluated."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from dispatchlog.engine.database import fetch_dicts, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import membership, store
from dispatchlog.systems.outreach.segments.compiling import Compiled
from dispatchlog.systems.outreach.segments.store import SegmentInput
from tests.outreach.builders import STAFF, organization, patient, provider, rows

pytestmark = pytest.mark.usefixtures("application")


def _all(*rules: Any) -> dict[str, Any]:
    return {"combinator": "and", "rules": list(rules)}


def _named(segment_id: UUID) -> dict[str, Any]:
    return _all({"field": "segment", "operator": "=", "value": str(segment_id)})


TAGGED = _all({"field": "tags", "operator": "contains", "value": "diabetes"})


def _segment(name: str = "Diabetes", rules: dict[str, Any] | None = None, **values: Any) -> store.Segment:
    return store.create(SegmentInput(name, TAGGED if rules is None else rules, **values), asker=STAFF)


def test_a_new_segment_is_counted_at_once() -> None:
    patient(tags=["diabetes"])
    patient(tags=["asthma"])
    made = _segment()
    assert (made.patient_count, made.version, made.created_by) == (1, 1, STAFF.actor)
    assert made.last_evaluated is not None
    assert made.rules == TAGGED


def test_an_organisations_segment_has_its_providers_patients_too() -> None:
    clinic, other = organization(), organization()
    treats = provider(clinic)
    meant = {patient(organization_id=clinic), patient(provider_id=treats)}
    patient(organization_id=other, provider_id=treats)
    found = membership.count(_all(), organization_id=clinic, sample=5)
    assert (found.number, set(found.sample)) == (2, meant)


@pytest.mark.parametrize(
    ("wanted", "code", "place"),
    [
        (SegmentInput(" ", TAGGED), "INVALID_NAME", "name"),
        (SegmentInput("x" * 256, TAGGED), "INVALID_NAME", "name"),
        (SegmentInput("New", TAGGED, description="a\x00"), "INVALID_TEXT", "description"),
        (SegmentInput("New", TAGGED, organization_id=UUID(int=1)), "ORGANIZATION_NOT_FOUND", "organization_id"),
        (SegmentInput("New", _all({"field": "shoe"})), "UNKNOWN_FIELD", "rules.rules[0].field"),
        (SegmentInput("New", _named(UUID(int=1))), "SEGMENT_NOT_FOUND", "rules.rules[0]"),
        (SegmentInput("DIABETES", TAGGED), "SEGMENT_EXISTS", "name"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(wanted: SegmentInput, code: str, place: str) -> None:
    _segment()
    with pytest.raises(OutreachError) as refusal:
        store.create(wanted, asker=STAFF)
    assert (refusal.value.code, refusal.value.field) == (code, place)
    assert len(rows("SELECT id FROM patient_segments")) == 1


def test_a_change_names_the_version_that_it_is_based_on() -> None:
    made = _segment()
    changed = store.change(made.id, SegmentInput("Renamed", _all()), based_on=1, asker=STAFF)
    assert (changed.name, changed.version, changed.rules) == ("Renamed", 2, _all())
    with pytest.raises(OutreachError) as refusal:
        store.change(made.id, SegmentInput("Late", TAGGED), based_on=1, asker=STAFF)
    assert (refusal.value.code, refusal.value.present) == ("VERSION_CONFLICT", {"version": 2})
    done = rows("SELECT action, detail FROM operator_actions ORDER BY id")
    assert [(each["action"], each["detail"]["version"]) for each in done] == [
        ("create_segment", 1),
        ("change_segment", 2),
    ]


def test_a_circle_is_refused_with_the_names_on_the_way() -> None:
    first = _segment("First")
    second = _segment("Second", _named(first.id))
    third = _segment("Third", _all(TAGGED, _named(second.id)))
    with pytest.raises(OutreachError) as refusal:
        store.change(first.id, SegmentInput("First", _all(TAGGED, _named(third.id))), based_on=1, asker=STAFF)
    assert (refusal.value.code, refusal.value.field) == ("SEGMENT_CYCLE", "rules.rules[1].rules[0]")
    assert refusal.value.present["names"] == ["First", "Third", "Second", "First"]
    with pytest.raises(OutreachError, match="circle"):
        store.change(first.id, SegmentInput("First", _named(first.id)), based_on=1, asker=STAFF)
    assert store.segment(first.id).rules == TAGGED


def test_two_changes_at_once_do_not_close_a_circle_together() -> None:
    first, second = _segment("First"), _segment("Second")
    begun = threading.Barrier(2)

    def change(one: store.Segment, other: store.Segment) -> str:
        begun.wait()
        try:
            store.change(one.id, SegmentInput(one.name, _named(other.id)), based_on=1, asker=STAFF)
        except OutreachError as refusal:
            return refusal.code
        return "changed"

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(change, (first, second), (second, first)))
    assert sorted(found) == ["SEGMENT_CYCLE", "changed"]


def test_segments_that_name_others_over_and_over_become_too_much_to_write_out() -> None:
    last = _segment("0")
    for number in (1, 2):
        last = _segment(str(number), _all(*_named(last.id)["rules"] * 8))
    with pytest.raises(OutreachError) as refusal:
        _segment("3", _all(*_named(last.id)["rules"] * 8))
    assert (refusal.value.code, refusal.value.field) == ("INVALID_RULES", "rules.rules[7]")


def test_what_others_name_cannot_become_too_much_for_them() -> None:
    inner = _segment("Inner")
    outer = _segment("Outer", _all(*_named(inner.id)["rules"] * 20))
    with pytest.raises(OutreachError) as refusal:
        store.change(inner.id, SegmentInput("Inner", _all(*TAGGED["rules"] * 60)), based_on=1, asker=STAFF)
    assert (refusal.value.code, refusal.value.present) == ("INVALID_RULES", {"segments": [str(outer.id)]})
    assert store.segment(inner.id).version == 1


def test_a_segment_in_use_is_not_archived() -> None:
    inner = _segment("Inner")
    outer = _segment("Outer", _named(inner.id))
    with pytest.raises(OutreachError) as refusal:
        store.archive(inner.id, asker=STAFF)
    assert refusal.value.code == "SEGMENT_IN_USE"
    assert refusal.value.present == {"segments": [{"id": str(outer.id), "name": "Outer"}], "campaigns": []}
    assert not store.archive(outer.id, asker=STAFF).is_active
    assert not store.archive(inner.id, asker=STAFF).is_active
    assert [each.id for each in store.every_segment(archived=True)] == [inner.id, outer.id]
    with pytest.raises(OutreachError, match="archived"):
        store.change(inner.id, SegmentInput("Inner", TAGGED), based_on=2, asker=STAFF)
    with pytest.raises(OutreachError, match="archived"):
        _segment("Another", _named(inner.id))
    assert _segment("Inner").is_active


def test_a_campaign_that_goes_on_keeps_its_segment_from_being_archived() -> None:
    made = _segment()
    insert = (
        "INSERT INTO comm_campaigns (id, name, segment_id, created_by, status) VALUES (%s, 'Flu', %s, 'x', %s)"
        " RETURNING id"
    )
    rows(insert, UUID(int=1), made.id, "draft")
    assert store.uses(made.id) == {"segments": [], "campaigns": []}
    rows(insert, UUID(int=2), made.id, "active")
    with pytest.raises(OutreachError) as refusal:
        store.archive(made.id, asker=STAFF)
    assert refusal.value.present["campaigns"] == [{"id": str(UUID(int=2)), "name": "Flu"}]


def test_the_clock_counts_again_what_was_not_for_long_and_nothing_else() -> None:
    old, fresh = _segment("Old"), _segment("Fresh")
    patient(tags=["diabetes"])
    rows("UPDATE patient_segments SET last_evaluated = now() - interval '2 hours' WHERE id = %s RETURNING id", old.id)
    assert store.evaluate_stale() == 1
    assert (store.segment(old.id).patient_count, store.segment(fresh.id).patient_count) == (1, 0)


def test_what_takes_too_long_is_noted_and_left_until_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = _segment("Slow"), _segment("Quick")
    rows("UPDATE patient_segments SET last_evaluated = now() - interval '2 hours' RETURNING id")
    counting = membership.audience_of

    def sleeps(document: Any, **more: Any) -> Compiled:
        found = counting(document, **more)
        return (
            Compiled(f"pg_sleep(60) IS NOT NULL AND {found.where}", found.params) if more["but"] == slow.id else found
        )

    patient(tags=["diabetes"])
    monkeypatch.setattr(membership, "audience_of", sleeps)
    monkeypatch.setattr(store, "EVALUATE_SECONDS", 2.0)
    assert store.evaluate_stale() == 1
    left = store.segment(slow.id)
    assert left.too_slow_at is not None
    assert left.patient_count == 0
    assert store.segment(quick.id).patient_count == 1
    assert store.evaluate_stale() == 0


def test_a_count_of_rules_that_were_changed_meanwhile_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    patient(tags=["diabetes"])
    made = _segment()
    counting = membership.count

    def changed_meanwhile(*given: Any, **more: Any) -> membership.Counted:
        found = counting(*given, **more)
        rows("UPDATE patient_segments SET version = version + 1, patient_count = 7 WHERE id = %s RETURNING id", made.id)
        return found

    monkeypatch.setattr(membership, "count", changed_meanwhile)
    assert store.evaluate(made.id).patient_count == 7


def test_what_a_count_sets_for_itself_is_over_with_it(application: Settings) -> None:
    asked = "SELECT current_setting('statement_timeout') AS timeout, current_setting('enable_hashjoin') AS joins"
    with transaction("test"):
        before = fetch_dicts(asked)
        assert before[0]["joins"] == "off"
        with membership.whole_tables(seconds=3):
            assert fetch_dicts(asked) == [{"timeout": "3s", "joins": "on"}]
        assert fetch_dicts(asked) == before


def test_a_patient_is_told_in_which_segments_they_are(application: Settings) -> None:
    sick, well = patient(tags=["diabetes"]), patient()
    clinic = organization()
    assert membership.segments_of(sick) == []
    made, everybody = _segment(), _segment("Everybody", _all())
    outer = _segment("About", _all(_named(made.id)))
    _segment("Clinic's", _all(), organization_id=clinic)
    store.archive(_segment("Gone", _all()).id, asker=STAFF)
    assert [each["id"] for each in membership.segments_of(sick)] == [outer.id, made.id, everybody.id]
    assert [each["name"] for each in membership.segments_of(well)] == ["Everybody"]
    assert membership.members_among(made.id, [sick, well]) == {sick}
    assert membership.segments_of(UUID(int=1)) == []
