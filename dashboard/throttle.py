"""Slowing down guessing of passwords and links. Owns `sign_in_failures`; locks no account: the address that failed waits.

Counted per account *and* address (ten in 15 minutes), so nobody can shut a colleague out by failing in their name, and
per address over all accounts (fifty). Accounts are stored as hashes, for people type passwords into the wrong field.
"""

from __future__ import annotations

import hashlib
import hmac

from dispatchlog.engine.database import execute, fetch_one
from dispatchlog.sealing import passing_key

WINDOW_MINUTES = 15
MOST_PER_ACCOUNT_AND_ADDRESS = 10
MOST_PER_ADDRESS = 50
# Patients' links hold 256 random bits, so this keeps nobody from guessing; it keeps a broken robot from asking for ever. An
# address is often that of a whole mobile network, so only links that nobody has count, apart from everybody's sign-ins.
MOST_UNKNOWN_LINKS = 30
_LINKS = hashlib.sha256(b"patient links").digest()


def account_hash(email: str) -> bytes:
    """What stands for the typed account."""
    return hmac.digest(passing_key("sign-in failures"), email.strip().lower().encode(), "sha256")


def is_throttled(account: bytes, address: str) -> bool:
    """Whether this address has failed too often lately to be answered."""
    here, everywhere = fetch_one(
        "SELECT count(*) FILTER (WHERE account_hash = %s), count(*) FROM sign_in_failures"
        " WHERE address = %s AND at > now() - %s * interval '1 minute'",
        (account, address, WINDOW_MINUTES),
    )
    return bool(here >= MOST_PER_ACCOUNT_AND_ADDRESS or everywhere >= MOST_PER_ADDRESS)


def note_failure(account: bytes, address: str) -> None:
    """Count one refused sign-in, and forget those that no longer count."""
    execute("INSERT INTO sign_in_failures (account_hash, address) VALUES (%s, %s)", (account, address))
    execute("DELETE FROM sign_in_failures WHERE at < now() - %s * interval '2 minutes'", (WINDOW_MINUTES,))


def forgive(account: bytes, address: str) -> None:
    """Forget the failures of an account from an address that has now signed in."""
    execute("DELETE FROM sign_in_failures WHERE account_hash = %s AND address = %s", (account, address))


def is_code_throttled(account: bytes, address: str) -> bool:
    """Whether too many codes were wrong lately, from this address or, by whatever addresses, for this account.

    Only who knows the account's password gets as far as a code, so nobody else can shut its person out by failing.
    """
    (for_account,) = fetch_one(
        "SELECT count(*) FROM sign_in_failures WHERE account_hash = %s AND at > now() - %s * interval '1 minute'",
        (account, WINDOW_MINUTES),
    )
    return for_account >= MOST_PER_ACCOUNT_AND_ADDRESS or is_throttled(account, address)


def are_links_throttled(address: str) -> bool:
    """Whether this address has asked for too many links lately that nobody has."""
    (asked,) = fetch_one(
        "SELECT count(*) FROM sign_in_failures WHERE account_hash = %s AND address = %s"
        " AND at > now() - %s * interval '1 minute'",
        (_LINKS, _of_links(address), WINDOW_MINUTES),
    )
    return bool(asked >= MOST_UNKNOWN_LINKS)


def note_unknown_link(address: str) -> None:
    """Count one, as long as it makes a difference."""
    if not are_links_throttled(address):
        note_failure(_LINKS, _of_links(address))


def _of_links(address: str) -> str:
    return f"link {address}"[:64]
