"""What the product is made of is written down whole, and an audit that could ask nobody never passes for one that did."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "security"))
from audit import AUDITED, PARTLY, UNREACHABLE, judge  # noqa: E402  (a program beside the product, no package)

SCANNERS = ROOT / ".scanners" / "bin"
CLEAN = {"name": "flask", "version": "3.1.3", "vulns": []}
WRONG = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []}]}
UNKNOWN = {"name": "own-thing", "skip_reason": "Dependency not found"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> set[tuple[str, str]]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {(normal(name), version) for name, _, version in (line.partition("==") for line in lines) if version}


def run(program: str, *arguments: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCANNERS / "python", ROOT / "security" / program, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("packages", "state", "audited", "vulnerabilities"),
    [
        ([CLEAN], AUDITED, 1, 0),
        ([CLEAN, WRONG], AUDITED, 2, 1),
        ([CLEAN, UNKNOWN], PARTLY, 1, 0),
        ([WRONG, UNKNOWN], PARTLY, 1, 1),
        ([UNKNOWN], UNREACHABLE, 0, 0),
        ([], UNREACHABLE, 0, 0),
    ],
)
def test_an_answer_is_judged_by_what_was_looked_up(
    packages: list[dict[str, object]], state: str, audited: int, vulnerabilities: int
) -> None:
    report = judge(json.dumps({"dependencies": packages, "fixes": []}))
    assert (report.state, report.audited, len(report.vulnerabilities)) == (state, audited, vulnerabilities)
    assert ("NOT AUDITED" in report.words) == (state != AUDITED)
    assert ("VULNERABLE: jinja2 2.0: PYSEC-1, mended in 2.1" in report.words) == bool(vulnerabilities)


@pytest.mark.parametrize("output", ["", "Traceback (most recent call last):", "[]", "{}"])
def test_what_is_no_answer_is_no_audit(output: str) -> None:
    assert judge(output).state == UNREACHABLE


def test_an_audit_without_a_network_says_so_loudly_and_in_its_report(tmp_path: Path) -> None:
    asked = run("audit.py", tmp_path / "audit.json", HTTPS_PROXY="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1")
    assert asked.returncode == 0, asked.stderr
    assert "NOT AUDITED: the database of known vulnerabilities cannot be reached" in asked.stdout
    assert json.loads((tmp_path / "audit.json").read_text())["state"] == UNREACHABLE


def test_the_bill_of_materials_names_every_locked_package_and_no_place_to_download_from() -> None:
    made = run("sbom.py")
    assert made.returncode == 0, made.stderr
    document = json.loads((ROOT / "build" / "sbom.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    named = {(normal(part["name"]), part["version"]) for part in document["components"]}
    assert named == locked()
    links = {part["purl"].removeprefix("pkg:pypi/").partition("@")[::2] for part in document["components"]}
    assert {(normal(name), version) for name, version in links} == locked()
    assert "://" not in json.dumps(document["components"])
    direct = next(entry for entry in document["dependencies"] if entry["ref"] == "root-component")["dependsOn"]
    assert len(direct) > 20
