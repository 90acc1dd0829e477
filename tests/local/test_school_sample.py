"""The sample's visits: taken as they are, of every kind, by every school, and nobody's."""

from __future__ import annotations

from datetime import UTC, datetime

from dispatchlog.local.school_demonstration import VISITS
from dispatchlog.local.school_sample import BUSY, REFUSED, SCHOOLS, sample_visits
from dispatchlog.systems.hl7.checks import check_visit
from dispatchlog.systems.hl7.records import VisitKind

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)


def test_every_visit_can_be_taken_and_each_kind_and_school_has_some() -> None:
    visits = list(sample_visits(VISITS, seed=7, now=NOW))
    for _, visit in visits:
        assert check_visit(visit, now=NOW) == ()
    assert {visit.kind for _, visit in visits} == set(VisitKind)
    assert {school for school, _ in visits} == {school.code for school in SCHOOLS}
    assert {REFUSED, BUSY} <= {visit.student.id for _, visit in visits}
    assert {visit.student.family_name for _, visit in visits} == {"Sample"}
    assert len({visit.id for _, visit in visits}) == VISITS
