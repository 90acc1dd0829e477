"""What makes a password good enough: its length, and that nobody guesses it early. Stores none and knows no account.

After NIST SP 800-63B, section 5.1.1.2 (read 2026-11-21): no rules about kinds of characters; refused are common words,
repetitions, runs of the alphabet or of a keyboard, and the words of this service and of the account itself.
"""

from __future__ import annotations

import re

from dispatchlog.engine.errors import DispatchlogError

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 256
# What must be left of a password when everything that is guessed early is taken out of it.
LEAST_OWN_CHARACTERS = 5
_LEAST_DIFFERENT_CHARACTERS = 5
_SHORTEST_RUN = 4
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
)
_COMMON_WORDS = """
    abc123 admin administrator baseball batman changeme charlie computer default dispatch dispatchlog donald dragon flower
    football freedom friday hello iloveyou internet jordan letmein login loveme master michael monday monkey ninja passwd
    password passwort princess qazwsx root secret service shadow sommer spring starwars summer sunshine superman support
    system temporary test trustno1 user welcome whatever willkommen winter zaq12wsx
"""
# People write pa55w0rd and p@ssword; whoever guesses knows that.
_LETTERS = str.maketrans("0134578@$!", "oleastbasi")


class PasswordRefused(DispatchlogError):
    """The password is too short, too long or easily guessed."""

    code = "PASSWORD_NOT_VALID"


def check_password(password: str, *, email: str) -> None:
    """Let a good password of the account `email` pass.

    Raises:
        PasswordRefused: PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG or PASSWORD_TOO_COMMON.
    """
    if len(password) < LEAST_CHARACTERS:
        raise PasswordRefused(f"a password has at least {LEAST_CHARACTERS} characters", code="PASSWORD_TOO_SHORT")
    if len(password) > MOST_CHARACTERS:
        raise PasswordRefused(f"a password has at most {MOST_CHARACTERS} characters", code="PASSWORD_TOO_LONG")
    if _is_guessed_early(password.lower(), email.lower()):
        message = "this password is easily guessed; take a few words that have nothing to do with each other"
        raise PasswordRefused(message, code="PASSWORD_TOO_COMMON")


def _is_guessed_early(password: str, email: str) -> bool:
    if len(set(password)) < _LEAST_DIFFERENT_CHARACTERS or password in (password + password)[1:-1]:
        return True
    words = sorted({*_COMMON_WORDS.split(), *_words_of(email)}, key=len, reverse=True)
    guessed = re.compile("|".join([*map(re.escape, words), r"\d", r"[\W_]"]))
    plain, read = _without_runs(password), _without_runs(password.translate(_LETTERS))
    return min(len(guessed.sub("", plain)), len(guessed.sub("", read))) < LEAST_OWN_CHARACTERS


def _words_of(email: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", email) if len(word) > 2]


def _without_runs(password: str) -> str:
    """Without `abcd`, `4321`, `qwer` and the like, in either direction."""
    for run in (*_RUNS, *(run[::-1] for run in _RUNS)):
        for length in range(len(run), _SHORTEST_RUN - 1, -1):
            for start in range(len(run) - length + 1):
                password = password.replace(run[start : start + length], "")
    return password
