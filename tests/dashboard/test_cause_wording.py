"""Every cause of failure that the program itself names has plain words, and a provider's number has its family's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dashboard.cause_wording import cause_words

# The answers to whoever acts or reports, and those of stand-ins, are nobody's cause of failure.
_NO_CAUSES = {"KEY_REUSED", "MALFORMED_DOCUMENT", "HELD_UP", "HTTP_404"}
_RAISED = re.compile(r'(?:Permanent|Transient|OutcomeUnknown|CannotCompose)\((?:[^()]|\([^()]*\))*?code="([A-Z_0-9]+)"')
SOURCES = [path for folder in ("engine", "gateways", "systems") for path in Path("dispatchlog", folder).glob("*.py")]
CODES = {code for path in SOURCES for code in _RAISED.findall(path.read_text())} - _NO_CAUSES


def test_the_codes_of_every_kind_of_provider_are_found() -> None:
    assert {"TIMEOUT", "CONNECT_FAILED", "BAD_ADDRESS", "NO_RECIPIENT", "KIT_ID_INVALID"} <= CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_cause_of_ours_has_words(code: str) -> None:
    words = cause_words(code)
    assert words
    assert code not in words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SMTP_AUTH", "The mail server did not accept our login"),
        ("SMTP_554", "The mail server refused it for good"),
        ("HTTP_502", "The provider had an error of its own"),
        ("HTTP_422", "The provider refused it"),
        ("SOMEBODY_ELSES", None),
    ],
)
def test_a_providers_number_has_its_own_words_or_its_familys(code: str, words: str | None) -> None:
    assert cause_words(code) == words
