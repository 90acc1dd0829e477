"""Every cause of failure that the program itself names has plain words, and a provider's number has its family's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.cause_wording import cause_words

_RAISED = {"Permanent", "Transient", "OutcomeUnknown", "CannotCompose"}
# The order service's, a stand-in's and the connection pool's stop what goes on around a dispatch, and fail none.
_NO_CAUSES = {"HTTP_404", "MALFORMED_DOCUMENT", "KEY_REUSED", "POOL_TIMEOUT"}
SOURCES = [path for folder in ("engine", "gateways", "systems") for path in Path("dispatchlog", folder).glob("*.py")]


def _codes(source: str) -> Iterator[str]:
    """The codes with which errors are made in a program text."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _RAISED:
            for argument in call.keywords:
                if argument.arg == "code" and isinstance(argument.value, ast.Constant):
                    yield str(argument.value.value)


CODES = {code for path in SOURCES for code in _codes(path.read_text())} - _NO_CAUSES


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
