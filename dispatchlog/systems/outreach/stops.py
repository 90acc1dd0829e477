"""Whether an address is stopped, and the lock under which that is asked and changed. Writes nothing; `consents` does."""

from __future__ import annotations

from dispatchlog.engine.database import execute, fetch_one, require_transaction
from dispatchlog.systems.outreach.states import Channel


def lock_address(channel: Channel, address_hash: bytes, *, shared: bool) -> None:
    """Hold the address's lock until the transaction ends.

    Raises:
        NotInTransaction: outside a transaction.
    """
    require_transaction()
    how = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    execute(f"SELECT {how}(hashtextextended(%s, 7240125))", (f"{channel}:{address_hash.hex()}",))


def is_stopped(channel: Channel, address_hash: bytes) -> bool:
    """Whether there is a stop."""
    return bool(
        fetch_one(
            "SELECT EXISTS (SELECT FROM comm_stops WHERE channel = %s AND address_hash = %s)", (channel, address_hash)
        )[0]
    )
