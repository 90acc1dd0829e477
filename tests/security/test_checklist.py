"""docs/security.md has every item of the checklist, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psycopg2
import pytest

ROOT = Path(__file__).parents[2]
ITEMS = range(1, 45)
STATES = ("holds", "partly", "not yet")
_NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@dataclass(frozen=True)
class Row:
    """One row of the checklist."""

    number: int
    state: str
    done: str
    tests: tuple[tuple[str, str], ...]
    cell: str


def rows() -> list[Row]:
    text = (ROOT / "docs" / "security.md").read_text()
    part = text[text.index("\n## The checklist") : text.index("\n## What is not covered")]
    found = []
    for line in part.splitlines():
        if re.match(r"\| \d+ \|", line):
            number, _, state, done, tests = (cell.strip() for cell in line.strip("|").split("|"))
            found.append(Row(int(number), state, done, tuple(_NODE.findall(tests)), tests))
    return found


@lru_cache
def defined_in(path: str) -> frozenset[str]:
    """The tests that a file defines, as its source says."""
    body = ast.parse((ROOT / path).read_text()).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))


def test_every_item_is_there_once_and_has_a_state() -> None:
    assert [row.number for row in rows()] == list(ITEMS)
    assert [row.number for row in rows() if row.state not in STATES] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"item_{row.number}")
def test_what_holds_is_shown_by_tests_that_exist(row: Row) -> None:
    assert row.tests or row.state != "holds"
    assert [node for node in row.tests if node[1] not in defined_in(node[0])] == []
    # Nothing in the cell that was meant as a test and is not read as one.
    assert len(row.cell.split("<br>")) == len(row.tests) or not row.cell


def test_what_does_not_hold_says_what_is_missing() -> None:
    unsaid = [row.number for row in rows() if row.state != "holds" and not re.search("Missing:|without", row.done)]
    assert unsaid == []


def test_every_test_that_is_named_after_an_item_stands_in_its_row() -> None:
    named = {row.number: {name for _, name in row.tests} for row in rows()}
    missing = []
    for path in sorted((ROOT / "tests" / "security").glob("test_*.py")):
        for name in defined_in(str(path.relative_to(ROOT))):
            if (found := re.match(r"test_item_(\d+)_", name)) and name not in named[int(found[1])]:
                missing.append((path.name, name))
    assert missing == []


def test_the_page_says_what_each_role_may_as_a_new_database_has_it(database_url: str) -> None:
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, permissions FROM staff_roles")
        stored = {name: set(permissions) for name, permissions in cursor.fetchall()}
    connection.close()
    text = (ROOT / "docs" / "security.md").read_text()
    table = text[text.index("| role | permissions |") : text.index("| process | database role |")]
    said = {line.split("|")[1].strip(): set(re.findall(r"`(\w+)`", line)) for line in table.splitlines()[2:] if line}
    assert said == stored
