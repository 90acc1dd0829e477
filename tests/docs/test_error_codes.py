"""docs/error-codes.md has every code with which the product refuses or fails, and none that it does not know."""

from __future__ import annotations

import re

from dashboard import cause_wording
from dispatchlog.audit import findings
from dispatchlog.systems.outreach import reasons
from tests.docs.codes import PACKAGES, raised_codes
from tests.docs.reading import ROOT

PAGE = ROOT / "docs" / "error-codes.md"
API = ROOT / "docs" / "api.md"


def written() -> set[str]:
    """The codes of the first column of every table, and of the sentence about defects."""
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [line.split(" | ")[0] for line in lines if line.startswith("| `")]
    cells += [line for line in lines if line.startswith("`")]
    return {code for cell in cells for code in re.findall(r"`([A-Z0-9_]+)`", cell)}


def test_codes_are_found_in_every_form_in_which_they_are_raised() -> None:
    found = raised_codes()
    raised = {
        "KEY_IN_USE",
        "ILLEGAL_MOVE",
        "NO_VISIT",
        "SMTP_TIMEOUT",
        "SMTP_",
        "STOPPED",
        "INVALID_CURSOR",
        "UNDER_WAY",
    }
    assert raised <= set(found)
    assert not {"ISLAND", "AA"} & set(found)


def test_every_code_that_is_raised_is_explained() -> None:
    missing = {code: file for code, file in raised_codes().items() if code not in written()}
    assert missing == {}


def test_every_cause_that_pages_put_into_words_is_explained() -> None:
    assert {*cause_wording._CAUSES, *cause_wording._FAMILIES} - written() == set()


def test_every_reason_of_a_decision_and_every_finding_of_the_audit_is_explained() -> None:
    known = {*reasons.CHANNEL, *reasons.TIME, *reasons.REFUSED, *(name for name in vars(findings) if name.isupper())}
    assert len(known) > 20
    assert known - written() == set()


def test_every_code_of_the_api_is_explained() -> None:
    told = set(re.findall(r"^\| `([A-Z0-9_]+)` \| \d{3} \|", API.read_text("utf-8"), re.MULTILINE))
    assert len(told) > 100
    assert told - written() == set()


def test_no_code_is_explained_that_the_product_does_not_know() -> None:
    sources = "".join(
        path.read_text("utf-8") for package in (*PACKAGES, "migrations") for path in (ROOT / package).rglob("*.py")
    )
    known = set(re.findall(r'(?:"|\})([A-Z_][A-Z0-9_]+)["{]', sources))
    assert written() - known == set()
