"""Who may use the dashboard: creating, disabling and listing staff. Owns their rows; opens no session and shows no page."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from argon2 import PasswordHasher
from email_validator import EmailNotValidError, validate_email

from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action

PASSWORD_LEAST = 12
PASSWORD_MOST = 256
# Long enough and still among the first tries of anybody who guesses.
_COMMON = (
    "password",
    "passwort",
    "qwerty",
    "letmein",
    "welcome",
    "dispatchlog",
    "changeme",
    "iloveyou",
    "administrator",
)

_hasher = PasswordHasher()


class PersonError(DispatchlogError):
    """The account cannot be made or changed like this; nothing was stored."""

    code = "PERSON_NOT_VALID"


@dataclass(frozen=True, slots=True)
class Person:
    """One account, without its password."""

    id: int
    email: str
    active: bool
    roles: tuple[str, ...]
    created_at: datetime
    last_seen_at: datetime | None


def create_user(
    email: str, *, roles: Sequence[str], password: str | None = None, actor: str = "cli"
) -> tuple[int, str]:
    """Make an account; its id and its password come back (a random one where none is given: show it once).

    Raises:
        PersonError: EMAIL_INVALID, EMAIL_TAKEN, UNKNOWN_ROLE, PASSWORD_TOO_SHORT or PASSWORD_TOO_COMMON.
    """
    address = normal_email(email)
    chosen = password if password is not None else one_time_password()
    check_password(chosen, email=address)
    with transaction(actor, "account created"):
        made = execute(
            "INSERT INTO staff_users (email, password, fs_uniquifier) VALUES (%s, %s, %s)"
            " ON CONFLICT (lower(email)) DO NOTHING RETURNING id",
            (address, hash_password(chosen), uuid4().hex),
        ).fetchone()
        if made is None:
            raise PersonError(f"there is an account for {address} already", code="EMAIL_TAKEN")
        user_id = int(made[0])
        _give_roles(user_id, roles)
        log_action(actor, "create_user", detail={"email": address, "roles": sorted(roles)})
    return user_id, chosen


def set_password(email: str, password: str | None = None, *, actor: str = "cli") -> str:
    """Give the account a new password and end its sessions; the password comes back.

    Raises:
        PersonError: UNKNOWN_USER, PASSWORD_TOO_SHORT or PASSWORD_TOO_COMMON.
    """
    chosen = password if password is not None else one_time_password()
    check_password(chosen, email=email)
    with transaction(actor, "password set"):
        user_id = _user_id(email)
        execute(
            "UPDATE staff_users SET password = %s, fs_uniquifier = %s, updated_at = now() WHERE id = %s",
            (hash_password(chosen), uuid4().hex, user_id),
        )
        _end_sessions(user_id)
        log_action(actor, "set_password", detail={"user_id": user_id})
    return chosen


def set_roles(email: str, roles: Sequence[str], *, actor: str = "cli") -> None:
    """Replace the account's roles; in force at its next request.

    Raises:
        PersonError: UNKNOWN_USER or UNKNOWN_ROLE.
    """
    with transaction(actor, "roles set"):
        user_id = _user_id(email)
        execute("DELETE FROM staff_user_roles WHERE user_id = %s", (user_id,))
        _give_roles(user_id, roles)
        log_action(actor, "set_roles", detail={"user_id": user_id, "roles": sorted(roles)})


def disable_user(email: str, *, actor: str = "cli") -> None:
    """Close the account and end its sessions; its history stays.

    Raises:
        PersonError: UNKNOWN_USER.
    """
    _set_active(email, active=False, actor=actor)


def enable_user(email: str, *, actor: str = "cli") -> None:
    """Open a closed account again.

    Raises:
        PersonError: UNKNOWN_USER.
    """
    _set_active(email, active=True, actor=actor)


def list_users() -> list[Person]:
    """Every account, by e-mail address."""
    with connected():
        rows = fetch_all(
            "SELECT u.id, u.email, u.active, array_remove(array_agg(r.name ORDER BY r.name), NULL), u.created_at,"
            " (SELECT max(s.last_seen_at) FROM web_sessions s WHERE s.user_id = u.id) FROM staff_users u"
            " LEFT JOIN staff_user_roles ur ON ur.user_id = u.id LEFT JOIN staff_roles r ON r.id = ur.role_id"
            " GROUP BY u.id ORDER BY lower(u.email)"
        )
    return [Person(row[0], row[1], row[2], tuple(row[3]), row[4], row[5]) for row in rows]


def ensure_first_admin(email: str, *, actor: str = "cli") -> str | None:
    """Make the first administrator where there is no account at all; its password comes back, else None."""
    with connected():
        if fetch_all("SELECT FROM staff_users LIMIT 1"):
            return None
    try:
        return create_user(email, roles=["admin"], actor=actor)[1]
    except PersonError as error:
        if error.code == "EMAIL_TAKEN":  # another process was first
            return None
        raise


def one_time_password() -> str:
    """A random password of 20 characters."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """Argon2id of the password in the normal form that the sign-in page compares."""
    return _hasher.hash(unicodedata.normalize("NFKD", password))


def check_password(password: str, *, email: str) -> None:
    """Raise PersonError for a password that is too short or among the first that anybody would guess."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise PersonError(f"a password has at least {PASSWORD_LEAST} characters", code="PASSWORD_TOO_SHORT")
    plain = password.lower()
    core = plain.strip("0123456789!?.-_ ")
    if core in ("", *_COMMON, email.partition("@")[0].lower()) or len(set(plain)) < 5:
        raise PersonError("this password is easily guessed; choose another", code="PASSWORD_TOO_COMMON")


def normal_email(email: str) -> str:
    """The address as it is stored.

    Raises:
        PersonError: EMAIL_INVALID.
    """
    try:
        return validate_email(email.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        # RFC 6761: names of development machines, which no mail ever leaves.
        local, _, domain = email.strip().rpartition("@")
        if domain.lower().endswith(".localhost") and local:
            return f"{normal_email(f'{local}@example.test').partition('@')[0]}@{domain.lower()}"
        raise PersonError("this is not an e-mail address", code="EMAIL_INVALID") from error


def _user_id(email: str) -> int:
    rows = fetch_all("SELECT id FROM staff_users WHERE lower(email) = lower(%s) FOR UPDATE", (normal_email(email),))
    if not rows:
        raise PersonError(f"there is no account for {email}", code="UNKNOWN_USER")
    return int(rows[0][0])


def _give_roles(user_id: int, roles: Sequence[str]) -> None:
    given = execute(
        "INSERT INTO staff_user_roles (user_id, role_id) SELECT %s, id FROM staff_roles WHERE name = ANY (%s)",
        (user_id, list(roles)),
    )
    if given.rowcount != len(set(roles)):
        known = ", ".join(row[0] for row in fetch_all("SELECT name FROM staff_roles ORDER BY name"))
        raise PersonError(f"a role is one of {known}", code="UNKNOWN_ROLE")


def _set_active(email: str, *, active: bool, actor: str) -> None:
    with transaction(actor, "account enabled" if active else "account disabled"):
        user_id = _user_id(email)
        execute("UPDATE staff_users SET active = %s, updated_at = now() WHERE id = %s", (active, user_id))
        if not active:
            _end_sessions(user_id)
        log_action(actor, "enable_user" if active else "disable_user", detail={"user_id": user_id})


def _end_sessions(user_id: int) -> None:
    execute("DELETE FROM web_sessions WHERE user_id = %s", (user_id,))
