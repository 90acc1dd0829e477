"""What is kept back for a dispute, an inspection or a court, from its age and from erasure. Owns `legal_holds`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dispatchlog.engine.database import connected, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action, require_reason
from dispatchlog.row_content import digits_of, hashed
from dispatchlog.systems.outreach import contacts
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel


class Scope(StrEnum):
    """What a hold is about."""

    PATIENT = "patient"
    SUBJECT = "subject"
    ORDER = "order"
    DISPATCH = "dispatch"
    ORGANISATION = "organisation"


class NoSuchHold(DispatchlogError):
    """It is not held, or was let go already."""

    code = "NO_SUCH_HOLD"


@dataclass(frozen=True, slots=True)
class LegalHold:
    """One hold: `also` is how sealed rows have a patient's address, hashed."""

    id: int
    scope: str
    value: str
    also: list[str]
    reason: str
    held_by: str
    held_at: datetime
    released_by: str | None
    released_at: datetime | None
    release_reason: str | None


def _plain(value: str) -> str:
    return value.strip().lower()


def _as_sealed_rows_have_it(address: str) -> set[str]:
    """The hashes of an address, as the columns in which they are found show them; nothing of an id."""
    if "@" not in address and not address.startswith("+"):
        return set()
    channel = Channel.EMAIL if "@" in address else Channel.SMS
    found = {hashed(address), hashed(digits_of(address))}
    with suppress(OutreachError):  # a number that no country has, as an order may hold
        found.add("\\x" + contacts.address_hash(channel, contacts.normalise(channel, address)).hex())
    return found


def keep(scope: Scope, value: str, *, actor: str, reason: str) -> LegalHold:
    """Keep it back; where it is kept back already, that hold comes back as it is.

    Raises:
        ReasonRequired: without a reason.
        DispatchlogError: BAD_HOLD, where nothing is named.
    """
    require_reason(reason, stays_with="the hold")
    if not _plain(value) or len(value) > 320:
        raise DispatchlogError("say what is to be kept back", code="BAD_HOLD")
    with transaction(actor, reason):
        also = _as_sealed_rows_have_it(_plain(value)) if scope is Scope.PATIENT else set()
        made = fetch_dicts(
            "INSERT INTO legal_holds (scope, value, also, reason, held_by) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (scope, value) WHERE released_at IS NULL DO NOTHING RETURNING *",
            (scope, _plain(value), sorted(also), reason, actor),
        )
        if made:
            log_action(actor, "legal_hold", reason=reason, detail={"hold": made[0]["id"], "scope": scope})
            return LegalHold(**made[0])
        return LegalHold(
            **fetch_dicts(
                "SELECT * FROM legal_holds WHERE scope = %s AND value = %s AND released_at IS NULL",
                (scope, _plain(value)),
            )[0]
        )


def let_go(hold_id: int, *, actor: str, reason: str) -> LegalHold:
    """End a hold; what is old enough leaves with the next run.

    Raises:
        ReasonRequired: without a reason.
        NoSuchHold: there is none, or it has ended.
    """
    require_reason(reason, stays_with="the hold")
    with transaction(actor, reason):
        ended = fetch_dicts(
            "UPDATE legal_holds SET released_by = %s, released_at = clock_timestamp(), release_reason = %s"
            " WHERE id = %s AND released_at IS NULL RETURNING *",
            (actor, reason, hold_id),
        )
        if not ended:
            raise NoSuchHold(f"hold {hold_id} is not in force")
        log_action(actor, "legal_hold_end", reason=reason, detail={"hold": hold_id, "scope": ended[0]["scope"]})
    return LegalHold(**ended[0])


def holds(*, ended: bool = False) -> list[LegalHold]:
    """Those in force, oldest first; with `ended` also the others."""
    where = "" if ended else " WHERE released_at IS NULL"
    with connected():
        return [LegalHold(**each) for each in fetch_dicts(f"SELECT * FROM legal_holds{where} ORDER BY id")]
