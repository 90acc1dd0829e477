"""A provider's own list beside a restored log: what it names and the log does not know was lost, what the log doubts is
proved. Owns `log_losses`; asks nobody.

A line is recognised by the idempotency key in it, wherever it stands: a dispatch's id, a hyphen and its generation, as in
the Message-ID of a mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import prove
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.restored import claim_for_proof
from dispatchlog.engine.states import Status

BATCH = 500
_KEY = re.compile(r"\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,9})\b", re.IGNORECASE)


class NeverRestored(DispatchlogError):
    """No backup was ever restored here, so nothing can be missing for that reason."""

    code = "NEVER_RESTORED"


@dataclass(slots=True)
class Comparison:
    """What a list said. `lost` are dispatches that left and are in no lane; `cancelled` are CANCELLED here although the
    provider has them; `without_key` counts lines in which no key was found.
    """

    agreed: int = 0
    proved: int = 0
    lost: list[UUID] = field(default_factory=list)
    cancelled: list[UUID] = field(default_factory=list)
    without_key: int = 0


def compare(lanes: Sequence[Lane], lines: Iterable[str], *, source: str, actor: str) -> Comparison:
    """Prove what the list names, and keep what only the list knows; saying it again changes nothing.

    Raises:
        NeverRestored: nothing was restored here.
    """
    found = Comparison()
    keys: dict[UUID, int] = {}
    with transaction(actor, f"compared with {source}"):
        restorations = fetch_all("SELECT max(id) FROM log_restorations")
    if restorations[0][0] is None:
        raise NeverRestored("no backup was restored here: dispatchlog restored take-over comes first")
    for line in lines:
        named = [(UUID(match[1]), int(match[2])) for match in _KEY.finditer(line)]
        keys.update(named)
        found.without_key += bool(line.strip()) and not named
        if len(keys) >= BATCH:
            _compare_batch(lanes, keys, found, restoration_id=restorations[0][0], source=source, actor=actor)
            keys = {}
    _compare_batch(lanes, keys, found, restoration_id=restorations[0][0], source=source, actor=actor)
    return found


def _compare_batch(
    lanes: Sequence[Lane], keys: dict[UUID, int], found: Comparison, *, restoration_id: int, source: str, actor: str
) -> None:
    unknown = set(keys)
    with transaction(actor, f"{source} has it"):
        for lane in lanes:
            rows = fetch_dicts(f"SELECT * FROM {lane.table} WHERE id = ANY (%s::uuid[])", ([*keys],))
            for row in rows:
                unknown.discard(row["id"])
                _compare_row(lane, row, found, source=source, actor=actor)
        for dispatch_id in sorted(unknown):
            execute(
                "INSERT INTO log_losses (dispatch_id, generation, restoration_id, source) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (dispatch_id, keys[dispatch_id], restoration_id, source[:255]),
            )
    found.lost += sorted(unknown)


def _compare_row(lane: Lane, row: Row, found: Comparison, *, source: str, actor: str) -> None:
    if row["status"] == Status.SENT:
        found.agreed += 1
        return
    if row["status"] == Status.CANCELLED:
        found.cancelled.append(row["id"])
        return
    lane = lane.of(row)
    if row["claim_token"] is None:
        row = claim_for_proof(lane, row)
    if prove(lane, row, provider_message_id=None, evidence={"listed_by": source}):
        log_action(actor, "compared", lane=lane.name, dispatch_id=row["id"], reason=f"{source} has it")
        found.proved += 1


def losses() -> list[tuple[UUID, int, str]]:
    """Every dispatch that a list named and no lane has: its id, its generation and the list; newest first."""
    return [
        (row[0], row[1], row[2])
        for row in fetch_all(
            "SELECT dispatch_id, generation, source FROM log_losses ORDER BY found_at DESC, dispatch_id"
        )
    ]
