"""Asks whether a vulnerability is known of a locked package, and says loudly where nobody could be asked.

Run by the scanners' Python (`make audit`); the report is build/audit.json, or the file that is named. pip-audit ends well,
and says that it found nothing, where the database does not know the packages at all; here that is "not audited". Exit code
1 only for a finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNREACHABLE = "not audited: database unreachable"
PARTLY = "partly audited"
AUDITED = "audited"
_SECONDS = 120


@dataclass(frozen=True)
class Report:
    """What came of it: the state, how many packages were looked up, those that were not, and what is wrong."""

    state: str
    audited: int
    not_audited: list[str]
    vulnerabilities: list[str]

    @property
    def words(self) -> str:
        lines = [f"VULNERABLE: {found}" for found in self.vulnerabilities]
        if self.state == UNREACHABLE:
            lines.append(
                "NOT AUDITED: the database of known vulnerabilities cannot be reached; run make audit where it can"
            )
        elif self.state == PARTLY:
            lines.append(f"NOT AUDITED: {len(self.not_audited)} packages: {', '.join(self.not_audited)}")
        if self.audited:
            lines.append(f"{self.audited} packages were audited, {len(self.vulnerabilities)} vulnerabilities found")
        return "\n".join(lines)


def judge(output: str) -> Report:
    """What pip-audit's JSON means; no JSON means that it could ask nobody."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        packages = []
    skipped = sorted(package["name"] for package in packages if "skip_reason" in package)
    known = [package for package in packages if "skip_reason" not in package]
    found = [
        f"{package['name']} {package['version']}: {entry['id']}"
        + (f", mended in {', '.join(entry['fix_versions'])}" if entry.get("fix_versions") else "")
        for package in known
        for entry in package["vulns"]
    ]
    state = UNREACHABLE if not known else PARTLY if skipped else AUDITED
    return Report(state, len(known), skipped, found)


def ask() -> str:
    """pip-audit's JSON about requirements.lock, or what it wrote in place of it."""
    command = [str(Path(sys.executable).with_name("pip-audit")), "--requirement", "requirements.lock"]
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        run = subprocess.run(  # noqa: S603  a fixed command
            [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return run.stdout


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "audit.json"
    report = judge(ask())
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(asdict(report), indent=2) + "\n")
    mark = "!" * 100
    print(report.words if report.state == AUDITED else f"{mark}\n{report.words}\n{mark}")
    return 1 if report.vulnerabilities else 0


if __name__ == "__main__":
    sys.exit(main())
