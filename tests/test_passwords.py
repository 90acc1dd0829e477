"""Which passwords are good enough."""

from __future__ import annotations

import pytest

from dispatchlog.passwords import PasswordRefused, check_password

EMAIL = "ada.lovelace@linden-clinic.example"


@pytest.mark.parametrize(
    "password",
    [
        "Password1234!",
        "P@ssw0rd-2026!",
        "passwordpassword",
        "Welcome-to-2026!",
        "dispatchlog-admin-1",
        "aaaaaaaaaaaaaaa",
        "abababababab",
        "Tulip.Tulip.Tulip.",
        "123456789012",
        "987654321098",
        "abcdefghijklm",
        "qwertyuiop[]12",
        "poiuytrewq-0987",
        "1q2w3e4r5t6y",
        "lovelace-ada-1815",
        "LindenClinic2026",
    ],
)
def test_what_is_guessed_early_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password(password, email=EMAIL)
    assert refused.value.code == "PASSWORD_TOO_COMMON"


@pytest.mark.parametrize(
    ("password", "code"), [("elevengeese", "PASSWORD_TOO_SHORT"), ("eleven geese" * 22, "PASSWORD_TOO_LONG")]
)
def test_length_has_limits(password: str, code: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password(password, email=EMAIL)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "password",
    [
        "eleven geese at dawn",
        "correct horse battery",
        "my admin likes tulips",
        "kT9#vQ2!mZ7x",
        "grüne Möwen über Föhr",
        "雨の日に猫が七匹鳴いていたよ",
    ],
)
def test_words_that_have_nothing_to_do_with_each_other_pass(password: str) -> None:
    check_password(password, email=EMAIL)
