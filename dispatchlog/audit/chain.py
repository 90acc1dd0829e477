"""What a seal is and how it is keyed. Owns the rule of the chain; reads and writes nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.keys.ring import EarlierRing, rings
from dispatchlog.sealing import find_key
from dispatchlog.settings import get_settings

# What is sealed: a table, and the column by which its rows are numbered.
SOURCES: Final = {
    "dispatch_transitions": "id",
    "operator_actions": "id",
    "comm_audit_log": "id",
    "order_changes": "id",
    "ticket_changes": "id",
    "ticket_timeline": "id",
    "emergency_accesses": "number",
    "patient_reads": "id",
    "audit_prunings": "id",
}
# What retention may take away; whatever a row of `audit_prunings` says, of nothing else.
PRUNABLE: Final = frozenset(
    {
        "dispatch_transitions",
        "operator_actions",
        "comm_audit_log",
        "order_changes",
        "ticket_changes",
        "patient_reads",
    }
)
# Whether retention says that it took away the rows of the seal of this number and source.
IS_PRUNED: Final = "SELECT EXISTS (SELECT FROM audit_prunings WHERE through >= %s AND %s = ANY (sources))"
# Which columns, and how they are written: that of migration 0029.
ENCODING: Final = 1
# Before the first seal, and before a source's first row.
NOTHING: Final = bytes(32)
FIRST_ID: Final = -(2**63)
_PURPOSE: Final = "audit chain"


@dataclass(frozen=True, slots=True)
class Seal:
    """A batch of `source`: the `row_count` rows with a number over `after_id`, up to `last_id`."""

    number: int
    source: str
    after_id: int
    last_id: int
    row_count: int
    encoding: int
    salt: bytes
    digest: bytes
    previous: bytes
    sealed_at: datetime
    chained: bytes = b""


COLUMNS: Final = "number, source, after_id, last_id, row_count, encoding, salt, digest, previous, sealed_at, chained"


def seal_of(row: tuple[Any, ...]) -> Seal:
    """The seal of a row of `COLUMNS`."""
    plain: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    return Seal(*plain)


class NoChainKeyError(DispatchlogError):
    """There is no secret key that guards the chain's; under none anybody could make seals."""

    code = "NO_SECRET_KEY"


def chain_key() -> bytes:
    """The key of every seal. It follows from the data key for hashes, so no rotation changes it.

    Raises:
        NoChainKeyError: DISPATCHLOG_SECRET_KEY is not set.
        CannotUnsealError: the data key was wrapped under another secret key than this process has.
    """
    if not get_settings().secret_key.get_secret_value():
        raise NoChainKeyError("the audit chain needs DISPATCHLOG_SECRET_KEY, the same that the dashboard has")
    return find_key(_PURPOSE)


def key_since() -> datetime | None:
    """When the data key behind `chain_key` was made; None while there is none, and an earlier release's way holds."""
    ring = rings.current()
    return None if isinstance(ring, EarlierRing) else ring.finding.created_at


def moment(at: datetime) -> str:
    """An instant as the chain has it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def said(seal: Seal) -> bytes:
    """What of a seal is keyed, as bytes."""
    parts = [
        seal.number,
        seal.source,
        seal.after_id,
        seal.last_id,
        seal.row_count,
        seal.encoding,
        seal.salt.hex(),
        seal.digest.hex(),
        seal.previous.hex(),
        moment(seal.sealed_at),
    ]
    return json.dumps(parts, separators=(",", ":")).encode()


def chain(seal: Seal, key: bytes) -> bytes:
    """The keyed digest of a seal, which the next one holds as `previous`."""
    return hmac.digest(key, said(seal), hashlib.sha256)


def holds(seal: Seal) -> bool:
    """Whether our key made it as it is."""
    return hmac.compare_digest(chain(seal, chain_key()), seal.chained)
