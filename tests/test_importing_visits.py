"""Importing files of visits: the good ones are stored with their messages; all faults of a bad one are listed by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.importing import ImportRefused, import_visits
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import schools
from tests.dashboard.api_support import rows, running_api
from tests.dashboard.reported_visits import report

COUNTS = "SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM hl7_messages)"


@pytest.fixture(autouse=True)
def school(settings_env: Settings) -> Iterator[None]:
    with running_api(settings_env):
        schools.add_school("SCH-01", "First school", actor="test")
        yield


def visit(**changes: Any) -> dict[str, Any]:
    return report(visitId=str(uuid4()), **changes)


def written(path: Path, *visits: object) -> Path:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in visits), "utf-8")
    return path


def test_good_visits_are_stored_and_every_fault_of_a_bad_one_has_its_line(tmp_path: Path) -> None:
    bad = visit(number="V" * 21, patientClass="Z")
    file = written(tmp_path / "visits.ndjson", visit(), bad, report(), visit(schoolId="SCH-99"), visit())
    done = import_visits(file, source="clinic")
    assert done.summary == "2 visits stored, 3 refused"
    assert [(error.line, error.field, error.code) for error in done.errors] == [
        (2, "number", "TOO_LONG"),
        (2, "patientClass", "UNKNOWN_VALUE"),
        (3, "visitId", "MISSING_FIELD"),
        (4, "schoolId", "UNKNOWN_SCHOOL"),
    ]
    assert rows(COUNTS) == [(2, 2)]
    assert rows("SELECT DISTINCT source FROM visits") == [("clinic",)]


def test_importing_again_goes_on_where_it_broke_off_and_changes_nothing_else(tmp_path: Path) -> None:
    visits = [visit(number=f"V-{n}") for n in range(12)]
    import_visits(written(tmp_path / "part.jsonl", *visits[:5]), source="clinic")
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps(visits), "utf-8")
    for _ in range(2):
        assert import_visits(whole, source="clinic").summary == "12 visits stored, 0 refused"
        assert rows(COUNTS) == [(12, 12)]


def test_a_students_visits_are_queued_in_the_files_order(tmp_path: Path) -> None:
    visits = [visit(number=f"V-{n}") for n in range(20)]
    import_visits(written(tmp_path / "visits.ndjson", *visits), source="clinic")
    queued = rows("SELECT v.number FROM hl7_messages m JOIN visits v ON v.id = m.visit_id ORDER BY m.seq")
    assert queued == [(f"V-{n}",) for n in range(20)]


def test_columns_hold_no_visits(tmp_path: Path) -> None:
    file = tmp_path / "visits.csv"
    file.write_text("visit_id\n")
    with pytest.raises(ImportRefused) as refused:
        import_visits(file, source="clinic")
    assert refused.value.code == "UNKNOWN_FORMAT"
