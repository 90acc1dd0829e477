"""The second factor of staff: codes of an authenticator app (RFC 6238) and recovery codes. Owns both tables; shows no page.

A secret is sealed and bound to its account, so that a copy of
the database, or a secret moved to another account, is of no use. Of a recovery code a keyed hash is kept. Each counts once.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from passlib.exc import TokenError, UsedTokenError
from passlib.totp import TOTP

from dispatchlog import people, sealing
from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.keys.columns import SECOND_FACTORS
from dispatchlog.people import PersonError

ISSUER = "dispatchlog"
RECOVERY_CODES = 10
# A telephone's clock may be this much off, either way; a code is then good for three of its half minutes.
TOLERANCE_SECONDS = 30
# Without 0, 1, i, l and o, which are mistaken for each other.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_RECOVERY_CODES = "second factor: recovery codes"


class Answer(Enum):
    """What became of a code that somebody entered."""

    CODE = "code"
    RECOVERY_CODE = "recovery code"
    USED = "used"
    WRONG = "wrong"

    @property
    def is_right(self) -> bool:
        return self in (Answer.CODE, Answer.RECOVERY_CODE)


class SecondFactorUnreadable(PersonError):
    """The sealed secret cannot be opened: this process has not the secret key that it takes."""

    code = "SECOND_FACTOR_UNREADABLE"


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Since when an account has its authenticator app, and how many recovery codes are left."""

    since: datetime
    recovery_codes_left: int


def find(user_id: int) -> SecondFactor | None:
    """The account's second factor; None while it has none."""
    rows = fetch_all(
        "SELECT since, (SELECT count(*) FROM staff_recovery_codes c WHERE c.user_id = f.user_id)"
        " FROM staff_second_factors f WHERE user_id = %s",
        (user_id,),
    )
    return SecondFactor(*rows[0]) if rows else None


def is_set_up(user_id: int) -> bool:
    """Whether signing in to the account takes a code."""
    return bool(fetch_one("SELECT EXISTS (SELECT FROM staff_second_factors WHERE user_id = %s)", (user_id,))[0])


def new_secret() -> str:
    """A random secret of 160 bits, as authenticator apps take it (base 32)."""
    return str(TOTP.new().base32_key)


def address_of(secret: str, *, email: str) -> str:
    """The `otpauth:` address that an authenticator app reads from a QR code."""
    return str(_totp(secret).to_uri(email, issuer=ISSUER))


def seal(secret: str, *, user_id: int) -> bytes:
    """The secret as it may be stored; it opens for this account only."""
    return sealing.seal(secret, purpose=SECOND_FACTORS, owner=str(user_id))


def unseal(sealed: bytes, *, user_id: int) -> str:
    """The secret that was sealed for this account.

    Raises:
        SecondFactorUnreadable: it was sealed for another account, or this process has not the secret key that it takes.
    """
    try:
        return sealing.unseal(sealed, purpose=SECOND_FACTORS, owner=str(user_id))
    except sealing.CannotUnsealError as error:
        message = "the stored second factor cannot be read; an administrator has to reset it"
        raise SecondFactorUnreadable(message) from error


def set_up(email: str, *, secret: str, code: str) -> tuple[str, list[str]]:
    """Make `secret` the account's second factor, in place of an earlier one, if `code` shows that the app has it.

    Every session of the account ends. What the next one is to name and the recovery codes come back; these cannot be read
    again.

    Raises:
        PersonError: UNKNOWN_USER or WRONG_CODE.
    """
    with transaction(email, "second factor set up"):
        account = people.lock_account(email)
        counter = _matching_step(secret, code)
        if counter is None:
            raise PersonError("this code does not fit; take the one that the app shows now", code="WRONG_CODE")
        replaced = execute("DELETE FROM staff_second_factors WHERE user_id = %s", (account.id,)).rowcount
        execute(
            "INSERT INTO staff_second_factors (user_id, secret, last_counter) VALUES (%s, %s, %s)",
            (account.id, seal(secret, user_id=account.id), counter),
        )
        codes = _make_recovery_codes(account.id)
        session_name = people.rename_sessions(account.id)
        action = "replace_second_factor" if replaced else "set_up_second_factor"
        log_action(email, action, detail={"user_id": account.id})
    return session_name, codes


def accept(user_id: int, entered: str) -> Answer:
    """Judge a code from the app, or a recovery code. A right one is used up by this.

    Raises:
        SecondFactorUnreadable: this process has not the secret key that it takes.
    """
    plain = re.sub(r"[\s-]+", "", entered).lower()
    with transaction(f"account:{user_id}", "second factor"):
        rows = fetch_all(
            "SELECT secret, last_counter FROM staff_second_factors WHERE user_id = %s FOR UPDATE", (user_id,)
        )
        if not rows:
            return Answer.WRONG
        if not re.fullmatch(r"[0-9]{6}", plain):
            return _accept_recovery_code(user_id, plain)
        secret = unseal(bytes(rows[0][0]), user_id=user_id)
        try:
            counter = _step(secret, plain, after=rows[0][1])
        except UsedTokenError:
            return Answer.USED
        except TokenError:
            # Also an earlier step than the last: that code was good once, or might have been.
            return Answer.USED if _matching_step(secret, plain) is not None else Answer.WRONG
        execute("UPDATE staff_second_factors SET last_counter = %s WHERE user_id = %s", (counter, user_id))
    return Answer.CODE


def renew_recovery_codes(email: str) -> list[str]:
    """Other recovery codes in place of all that are left; they cannot be read again.

    Raises:
        PersonError: UNKNOWN_USER or NO_SECOND_FACTOR.
    """
    with transaction(email, "recovery codes renewed"):
        account = people.lock_account(email)
        _require(account)
        execute("DELETE FROM staff_recovery_codes WHERE user_id = %s", (account.id,))
        codes = _make_recovery_codes(account.id)
        log_action(email, "renew_recovery_codes", detail={"user_id": account.id})
    return codes


def remove(email: str) -> str:
    """Sign in without a code from now on; every session ends, and what the next one is to name comes back.

    Raises:
        PersonError: UNKNOWN_USER or NO_SECOND_FACTOR.
    """
    with transaction(email, "second factor removed"):
        account = people.lock_account(email)
        session_name = _delete(account)
        log_action(email, "remove_second_factor", detail={"user_id": account.id})
    return session_name


def reset(email: str, *, actor: str, reason: str = "") -> None:
    """Take away somebody's lost second factor and end their sessions; where it is mandatory they set up another one.

    Raises:
        PersonError: UNKNOWN_USER, NO_SECOND_FACTOR, or OWN_ACCOUNT: one's own is replaced on the account page.
    """
    with transaction(actor, reason or "second factor reset"):
        account = people.lock_account(email)
        people.refuse_own(account, actor=actor)
        _delete(account)
        log_action(actor, "reset_second_factor", reason=reason, detail={"user_id": account.id})


def _delete(account: people.Account) -> str:
    _require(account)
    execute("DELETE FROM staff_second_factors WHERE user_id = %s", (account.id,))
    return people.rename_sessions(account.id)


def _require(account: people.Account) -> None:
    if not is_set_up(account.id):
        raise PersonError(f"{account.email} has no second factor", code="NO_SECOND_FACTOR")


def _make_recovery_codes(user_id: int) -> list[str]:
    codes = ["-".join(_random_letters(4) for _ in range(3)) for _ in range(RECOVERY_CODES)]
    for code in codes:
        execute(
            "INSERT INTO staff_recovery_codes (user_id, code_hash) VALUES (%s, %s)",
            (user_id, _hash(user_id, code.replace("-", ""))),
        )
    return codes


def _random_letters(number: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(number))


def _accept_recovery_code(user_id: int, plain: str) -> Answer:
    wanted = _hash(user_id, plain)
    known = fetch_all("SELECT code_hash FROM staff_recovery_codes WHERE user_id = %s", (user_id,))
    found = [stored for (stored,) in known if hmac.compare_digest(bytes(stored), wanted)]
    if not found:
        return Answer.WRONG
    execute("DELETE FROM staff_recovery_codes WHERE user_id = %s AND code_hash = %s", (user_id, wanted))
    return Answer.RECOVERY_CODE


def _hash(user_id: int, plain: str) -> bytes:
    return hmac.digest(sealing.find_key(_RECOVERY_CODES), f"{user_id}:{plain}".encode(), "sha256")


def _matching_step(secret: str, code: str) -> int | None:
    """The number of the time step that the code belongs to; None if it is none of the present ones."""
    try:
        return _step(secret, re.sub(r"[\s-]+", "", code), after=None)
    except TokenError:
        return None


def _step(secret: str, code: str, *, after: int | None) -> int:
    """Compares in constant time; raises UsedTokenError for the step `after`, TokenError for no or an earlier one."""
    return int(_totp(secret).match(code, window=TOLERANCE_SECONDS, last_counter=after).counter)


def _totp(secret: str) -> TOTP:
    return TOTP(key=secret, format="base32")
