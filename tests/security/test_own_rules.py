"""Every rule of security/semgrep has an example that it must find and one that it must not; `make sast` tries them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

RULES = Path(__file__).parent.parent.parent / "security" / "semgrep"
FILES = sorted(RULES.glob("*.yaml"))
_ID = re.compile(r"^  - id: (\S+)$", re.MULTILINE)
_EXAMPLE = re.compile(r"(ruleid|ok): ([\w, -]+?)\s*(?:-->)?$", re.MULTILINE)


def examples_of(rules: Path) -> set[tuple[str, str]]:
    """(ruleid or ok, rule) for each example beside a file of rules."""
    [beside] = [path for path in RULES.glob(f"{rules.stem}.*") if path != rules]
    return {(kind, name.strip()) for kind, names in _EXAMPLE.findall(beside.read_text()) for name in names.split(",")}


@pytest.mark.parametrize("rules", FILES, ids=lambda path: path.stem)
def test_every_rule_is_shown_finding_something_and_leaving_something_alone(rules: Path) -> None:
    names = _ID.findall(rules.read_text())
    assert names
    assert examples_of(rules) == {(kind, name) for name in names for kind in ("ruleid", "ok")}


def test_no_two_rules_share_a_name() -> None:
    names = [name for path in FILES for name in _ID.findall(path.read_text())]
    assert len(names) == len(set(names)) >= 20
