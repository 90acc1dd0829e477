"""Who may use the dashboard: creating, disabling and listing staff. Owns their rows; opens no session and shows no page.

A password made here opens nothing but the page on which its person chooses an own one; `password_chosen_at` says since when
it is an own one.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from email_validator import EmailNotValidError, validate_email

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action
from dispatchlog.passwords import check_password

_hasher = PasswordHasher()


class PersonError(DispatchlogError):
    """The account cannot be made or changed like this; nothing was stored."""

    code = "PERSON_NOT_VALID"


@dataclass(frozen=True, slots=True)
class Person:
    """One account, without its password. `password_chosen_at` is None while it still has the one that was made for it."""

    id: int
    email: str
    active: bool
    roles: tuple[str, ...]
    password_chosen_at: datetime | None
    created_at: datetime
    last_seen_at: datetime | None


def create_user(
    email: str, *, roles: Sequence[str], password: str | None = None, actor: str = "cli"
) -> tuple[int, str]:
    """Make an account; its id and its password come back.

    Without `password` it is a random one, to be shown once and replaced at the first sign-in; a given one counts as chosen
    by its person.

    Raises:
        PersonError: EMAIL_INVALID, EMAIL_TAKEN or UNKNOWN_ROLE.
        PasswordRefused: the given password is too short, too long or easily guessed.
    """
    address = normal_email(email)
    if password is not None:
        check_password(password, email=address)
    known = password or random_password()
    with transaction(actor, "account created"):
        made = execute(
            "INSERT INTO staff_users (email, password, password_chosen_at, fs_uniquifier)"
            " VALUES (%s, %s, CASE WHEN %s THEN now() END, %s) ON CONFLICT (lower(email)) DO NOTHING RETURNING id",
            (address, hash_password(known), password is not None, uuid4().hex),
        ).fetchone()
        if made is None:
            raise PersonError(f"there is an account for {address} already", code="EMAIL_TAKEN")
        user_id = int(made[0])
        _give_roles(user_id, roles)
        log_action(actor, "create_user", detail={"email": address, "roles": sorted(roles)})
    return user_id, known


def set_password(email: str, *, actor: str = "cli") -> str:
    """Give the account a random password, to be replaced at the next sign-in, and end its sessions; it comes back.

    Raises:
        PersonError: UNKNOWN_USER.
    """
    made = random_password()
    with transaction(actor, "password set"):
        user_id = _user_id(email)
        _store_password(user_id, made, chosen=False)
        log_action(actor, "set_password", detail={"user_id": user_id})
    return made


def choose_password(email: str, *, current: str, new: str) -> str:
    """Replace one's password by one of one's own and end every session; what the next session is to name comes back.

    Raises:
        PersonError: UNKNOWN_USER, WRONG_PASSWORD or PASSWORD_UNCHANGED.
        PasswordRefused: the new password is too short, too long or easily guessed.
    """
    with transaction(email, "password chosen"):
        user_id = _user_id(email)
        if not _is_password(user_id, current):
            raise PersonError("this is not your current password", code="WRONG_PASSWORD")
        if new == current:
            raise PersonError("this is the password that you have already", code="PASSWORD_UNCHANGED")
        check_password(new, email=email)
        session_name = _store_password(user_id, new, chosen=True)
        log_action(email, "choose_password", detail={"user_id": user_id})
    return session_name


def sign_out_everywhere(email: str) -> None:
    """End every session of the account.

    Raises:
        PersonError: UNKNOWN_USER.
    """
    with transaction(email, "signed out everywhere"):
        user_id = _user_id(email)
        _end_sessions(user_id)
        log_action(email, "sign_out_everywhere", detail={"user_id": user_id})


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
            "SELECT u.id, u.email, u.active, array_remove(array_agg(r.name ORDER BY r.name), NULL),"
            " u.password_chosen_at, u.created_at,"
            " (SELECT max(s.last_seen_at) FROM web_sessions s WHERE s.user_id = u.id) FROM staff_users u"
            " LEFT JOIN staff_user_roles ur ON ur.user_id = u.id LEFT JOIN staff_roles r ON r.id = ur.role_id"
            " GROUP BY u.id ORDER BY lower(u.email)"
        )
    return [Person(row[0], row[1], row[2], tuple(row[3]), row[4], row[5], row[6]) for row in rows]


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


def random_password() -> str:
    """A random password of 20 characters."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """Argon2id of the password in the normal form that the sign-in page compares."""
    return _hasher.hash(_normal(password))


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKD", password)


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


def _is_password(user_id: int, password: str) -> bool:
    known = fetch_one("SELECT password FROM staff_users WHERE id = %s", (user_id,))[0]
    try:
        return _hasher.verify(known or "", _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def _store_password(user_id: int, password: str, *, chosen: bool) -> str:
    session_name = uuid4().hex
    execute(
        "UPDATE staff_users SET password = %s, password_chosen_at = CASE WHEN %s THEN now() END, fs_uniquifier = %s,"
        " updated_at = now() WHERE id = %s",
        (hash_password(password), chosen, session_name, user_id),
    )
    _end_sessions(user_id)
    return session_name


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
