"""Who may use the dashboard: creating, changing, closing and listing accounts. Owns their rows; shows no page.

A password made here opens nothing but the page on which its person chooses an own one; `password_chosen_at` says since when
it is an own one. Nobody takes away their own rights here, and the last active administrator stays one.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
# The permission that makes an administrator of whoever has a role with it.
_MANAGE = "manage"
# Who acts is kept by their address, with every action, in columns of this width.
_MOST_ADDRESS = 128
# Any fixed number: changes that may take an administrator's rights away take turns.
_ADMINISTRATORS_LOCK = 7_240_130


class PersonError(DispatchlogError):
    """The account cannot be made or changed like this; nothing was stored."""

    code = "PERSON_NOT_VALID"


@dataclass(frozen=True, slots=True)
class Person:
    """One account, without its password. `password_chosen_at` is None while it still has the one that was made for it, and
    `second_factor_at` while the password alone signs in.
    """

    id: int
    email: str
    active: bool
    roles: tuple[str, ...]
    password_chosen_at: datetime | None
    created_at: datetime
    last_seen_at: datetime | None
    second_factor_at: datetime | None


@dataclass(frozen=True, slots=True)
class Account:
    """An account whose row the present transaction holds."""

    id: int
    email: str
    active: bool


def create_user(
    email: str, *, roles: Sequence[str], password: str | None = None, actor: str = "cli"
) -> tuple[int, str]:
    """Make an account; its id and its password come back.

    Without `password` it is a random one, to be shown once and replaced at the first sign-in; a given one counts as chosen
    by its person.

    Raises:
        PersonError: EMAIL_INVALID, EMAIL_TOO_LONG, EMAIL_TAKEN or UNKNOWN_ROLE.
        PasswordRefused: the given password is too short, too long or easily guessed.
    """
    address = normal_email(email)
    if len(address) > _MOST_ADDRESS:
        message = f"the address of an account has {_MOST_ADDRESS} characters at the most"
        raise PersonError(message, code="EMAIL_TOO_LONG")
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
        detail = {"user_id": user_id, "email": address, "roles": sorted(roles)}
        log_action(actor, "create_user", detail=detail)
    return user_id, known


def set_password(email: str, *, actor: str = "cli", reason: str = "") -> str:
    """Give the account a random password, to be replaced at the next sign-in, and end its sessions; it comes back.

    Raises:
        PersonError: UNKNOWN_USER, or OWN_ACCOUNT: one chooses one's own on the account page.
    """
    made = random_password()
    with transaction(actor, reason or "password set"):
        account = lock_account(email)
        refuse_own(account, actor=actor)
        _store_password(account.id, made, chosen=False)
        log_action(actor, "set_password", reason=reason, detail={"user_id": account.id})
    return made


def choose_password(email: str, *, current: str, new: str) -> str:
    """Replace one's password by one of one's own and end every session; what the next session is to name comes back.

    Raises:
        PersonError: UNKNOWN_USER, WRONG_PASSWORD or PASSWORD_UNCHANGED.
        PasswordRefused: the new password is too short, too long or easily guessed.
    """
    with transaction(email, "password chosen"):
        user_id = lock_account(email).id
        _require_password(user_id, current)
        if new == current:
            raise PersonError("this is the password that you have already", code="PASSWORD_UNCHANGED")
        check_password(new, email=email)
        session_name = _store_password(user_id, new, chosen=True)
        log_action(email, "choose_password", detail={"user_id": user_id})
    return session_name


def check_own_password(email: str, password: str) -> None:
    """Let the account's present password pass.

    Raises:
        PersonError: UNKNOWN_USER or WRONG_PASSWORD.
    """
    with transaction(email, "password asked for"):
        _require_password(lock_account(email).id, password)


def sign_out_everywhere(email: str, *, actor: str = "", reason: str = "") -> None:
    """End every session of the account; `actor` is who does it, if not its own person.

    Raises:
        PersonError: UNKNOWN_USER.
    """
    with transaction(actor or email, "signed out everywhere"):
        user_id = lock_account(email).id
        _end_sessions(user_id)
        log_action(actor or email, "sign_out_everywhere", reason=reason, detail={"user_id": user_id})


def end_session(user_id: int, id_hash: bytes, *, actor: str, reason: str = "") -> bool:
    """End one session of the account; False if there is none such any more."""
    with transaction(actor, "session ended"):
        ended = execute("DELETE FROM web_sessions WHERE user_id = %s AND id_hash = %s", (user_id, id_hash)).rowcount
        if ended:
            log_action(actor, "end_session", reason=reason, detail={"user_id": user_id})
    return bool(ended)


def set_roles(
    email: str, roles: Sequence[str], *, actor: str = "cli", reason: str = "", seen: Sequence[str] | None = None
) -> None:
    """Replace the account's roles, which are `seen` where that is given; in force at its next request.

    Raises:
        PersonError: UNKNOWN_USER, UNKNOWN_ROLE, OWN_ACCOUNT, LAST_ADMIN, or STALE_VIEW: its roles are not those `seen`.
    """
    with transaction(actor, reason or "roles set"), _somebody_stays_administrator():
        account = lock_account(email)
        refuse_own(account, actor=actor)
        present = _roles_of(account.id)
        if seen is not None and present != sorted(seen):
            words = ", ".join(present) or "no role"
            raise PersonError(f"the roles were changed meanwhile: {words}", code="STALE_VIEW")
        execute("DELETE FROM staff_user_roles WHERE user_id = %s", (account.id,))
        _give_roles(account.id, roles)
        detail = {"user_id": account.id, "roles": sorted(set(roles)), "before": present}
        log_action(actor, "set_roles", reason=reason, detail=detail)


def disable_user(email: str, *, actor: str = "cli", reason: str = "") -> bool:
    """Close the account and end its sessions; its history stays. False if it was closed already.

    Raises:
        PersonError: UNKNOWN_USER, OWN_ACCOUNT or LAST_ADMIN.
    """
    with transaction(actor, reason or "account disabled"), _somebody_stays_administrator():
        account = lock_account(email)
        refuse_own(account, actor=actor)
        _end_sessions(account.id)
        return account.active and _set_active(account, active=False, actor=actor, reason=reason)


def enable_user(email: str, *, actor: str = "cli", reason: str = "") -> bool:
    """Open a closed account again; False if it was open already.

    Raises:
        PersonError: UNKNOWN_USER.
    """
    with transaction(actor, reason or "account enabled"):
        account = lock_account(email)
        return not account.active and _set_active(account, active=True, actor=actor, reason=reason)


_PEOPLE = """
SELECT u.id, u.email, u.active,
    ARRAY(SELECT r.name::text FROM staff_user_roles ur JOIN staff_roles r ON r.id = ur.role_id
          WHERE ur.user_id = u.id ORDER BY r.name),
    u.password_chosen_at, u.created_at,
    greatest((SELECT max(s.last_seen_at) FROM web_sessions s WHERE s.user_id = u.id),
             (SELECT max(a.at) FROM operator_actions a WHERE a.actor = u.email AND a.action = 'sign_in')),
    (SELECT f.since FROM staff_second_factors f WHERE f.user_id = u.id)
FROM staff_users u
"""


def list_users(*, text: str = "", after: int | None = None, limit: int | None = None) -> list[Person]:
    """The accounts by e-mail address: those whose address holds `text`, behind the account `after`, at most `limit`."""
    sql = (
        f"{_PEOPLE} WHERE (%(after)s IS NULL OR lower(u.email) >"
        " (SELECT lower(b.email) FROM staff_users b WHERE b.id = %(after)s))"
        " AND strpos(lower(u.email), %(text)s) > 0 ORDER BY lower(u.email) LIMIT %(limit)s"
    )
    with connected():
        rows = fetch_all(sql, {"after": after, "text": text.strip().lower(), "limit": limit})
    return [_person(row) for row in rows]


def find_person(user_id: int) -> Person | None:
    """One account; None where there is none of this number."""
    with connected():
        rows = fetch_all(f"{_PEOPLE} WHERE u.id = %s", (user_id,))
    return _person(rows[0]) if rows else None


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


def hashing_costs() -> dict[str, int]:
    """What a hash costs, as passlib names it: were it another where people sign in, every hash would be made anew there."""
    return {
        "argon2__rounds": _hasher.time_cost,
        "argon2__memory_cost": _hasher.memory_cost,
        "argon2__parallelism": _hasher.parallelism,
    }


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


def lock_account(email: str) -> Account:
    """The account, which nobody else changes until the present transaction ends.

    Raises:
        PersonError: EMAIL_INVALID or UNKNOWN_USER.
    """
    rows = fetch_all(
        "SELECT id, email, active FROM staff_users WHERE lower(email) = lower(%s) FOR UPDATE", (normal_email(email),)
    )
    if not rows:
        raise PersonError(f"there is no account for {email}", code="UNKNOWN_USER")
    return Account(*rows[0])


def refuse_own(account: Account, *, actor: str) -> None:
    """Let pass what somebody does to another one's account.

    Raises:
        PersonError: OWN_ACCOUNT.
    """
    if account.email.lower() == actor.lower():
        raise PersonError("this is your own account; another administrator has to do that", code="OWN_ACCOUNT")


def rename_sessions(user_id: int) -> str:
    """End every session of the account, also one that is just being stored; what the next one is to name comes back."""
    session_name = uuid4().hex
    execute("UPDATE staff_users SET fs_uniquifier = %s, updated_at = now() WHERE id = %s", (session_name, user_id))
    _end_sessions(user_id)
    return session_name


@contextmanager
def _somebody_stays_administrator() -> Iterator[None]:
    """Inside a transaction: let a change happen, unless it leaves nobody who may change accounts."""
    execute("SELECT pg_advisory_xact_lock(%s)", (_ADMINISTRATORS_LOCK,))
    before = _is_administered()
    yield
    if before and not _is_administered():
        message = "this is the last active administrator; make another one first"
        raise PersonError(message, code="LAST_ADMIN")


def _is_administered() -> bool:
    return bool(
        fetch_one(
            "SELECT EXISTS (SELECT FROM staff_users u JOIN staff_user_roles ur ON ur.user_id = u.id"
            " JOIN staff_roles r ON r.id = ur.role_id WHERE u.active AND %s = ANY (r.permissions))",
            (_MANAGE,),
        )[0]
    )


def _require_password(user_id: int, password: str) -> None:
    known = fetch_one("SELECT password FROM staff_users WHERE id = %s", (user_id,))[0]
    try:
        _hasher.verify(known or "", _normal(password))
    except (VerificationError, InvalidHashError) as error:
        raise PersonError("this is not your current password", code="WRONG_PASSWORD") from error


def _store_password(user_id: int, password: str, *, chosen: bool) -> str:
    execute(
        "UPDATE staff_users SET password = %s, password_chosen_at = CASE WHEN %s THEN now() END WHERE id = %s",
        (hash_password(password), chosen, user_id),
    )
    return rename_sessions(user_id)


def _roles_of(user_id: int) -> list[str]:
    rows = fetch_all(
        "SELECT r.name FROM staff_user_roles ur JOIN staff_roles r ON r.id = ur.role_id WHERE ur.user_id = %s"
        " ORDER BY r.name",
        (user_id,),
    )
    return sorted(row[0] for row in rows)


def _give_roles(user_id: int, roles: Sequence[str]) -> None:
    given = execute(
        "INSERT INTO staff_user_roles (user_id, role_id) SELECT %s, id FROM staff_roles WHERE name = ANY (%s)",
        (user_id, list(roles)),
    )
    if given.rowcount != len(set(roles)):
        known = ", ".join(row[0] for row in fetch_all("SELECT name FROM staff_roles ORDER BY name"))
        raise PersonError(f"a role is one of {known}", code="UNKNOWN_ROLE")


def _set_active(account: Account, *, active: bool, actor: str, reason: str) -> bool:
    execute("UPDATE staff_users SET active = %s, updated_at = now() WHERE id = %s", (active, account.id))
    action = "enable_user" if active else "disable_user"
    log_action(actor, action, reason=reason, detail={"user_id": account.id})
    return True


def _end_sessions(user_id: int) -> None:
    execute("DELETE FROM web_sessions WHERE user_id = %s", (user_id,))


def _person(row: tuple[object, ...]) -> Person:
    identity, email, active, roles, *instants = row
    return Person(identity, email, active, tuple(roles), *instants)  # type: ignore[arg-type]  # the driver's own types
