"""Yes and no of patients: append-only evidence, and the list of addresses where nothing may arrive. Owns both tables.

A stop holds for an address whoever has it. Whoever sends asks under a shared lock of the address and of the patient's row
(`gate`), and a no waits for what is just being handed over; so once a no is committed, nothing that it forbids leaves.
Locks are taken in one order: addresses, then patients by their ids, then messages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine import ledger
from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, fetch_one, require_transaction, transaction
from dispatchlog.systems.outreach import audit
from dispatchlog.systems.outreach.contacts import address_hash as hash_of
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.lane import comm_job_lane
from dispatchlog.systems.outreach.patients import lock_preferences, not_found, patients_at_hash
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, AuditAction, Channel, PurposeClass
from dispatchlog.systems.outreach.stops import is_stopped, lock_address

__all__ = [
    "cancel_channel",
    "cancel_marketing",
    "evidence_of",
    "is_stopped",
    "lock_address",
    "note_evidence",
    "note_marketing",
    "start",
    "stop",
]

# What a worker has marked it hands over at once; one that takes longer has died or stands still.
HANDING_OVER_SECONDS = 5.0
_LOOKS_AGAIN_AFTER_SECONDS = 0.01
_LONGEST_AGENT = 512

# Said again it is newer; what was said before it and is read after it moves nothing.
_STOP = """
INSERT INTO comm_stops AS s (channel, address_hash, source, stopped_at)
VALUES (%s, %s, %s, coalesce(%s, clock_timestamp()))
ON CONFLICT (channel, address_hash) DO UPDATE SET stopped_at = greatest(s.stopped_at, EXCLUDED.stopped_at)
"""


def stop(
    channel: Channel,
    address: str,
    *,
    source: str,
    asker: Asker,
    patient_id: UUID | None = None,
    evidence: Mapping[str, Any] | None = None,
    said_at: datetime | None = None,
) -> bool:
    """Nothing arrives at this normalised address by this channel any more: writes the stop, evidence and audit for whoever
    is reached there, takes their marketing opt-in back, and cancels what waits; False: it was stopped already,
    and what waits is left to the gate: the answer to the stop may be among it.

    `source`: "reply", "carrier", "unsubscribe", "preference_page", "staff", "spam_report". `said_at`: when, where that is
    not now. In the caller's transaction or one of its own.
    """
    address_hash = hash_of(channel, address)
    with transaction(asker.actor, f"nothing more by {CHANNEL_WORDS[channel]} to this address ({source})"):
        lock_address(channel, address_hash, shared=False)
        new = not is_stopped(channel, address_hash)
        execute(_STOP, (channel, address_hash, source, said_at))
        concerned = _concerned(channel, address_hash, patient_id)
        withdrawn = [each for each in concerned if each is not None and _take_marketing_back(each, channel)]
        ended = _end_what_waits(channel, address_hash) if new else {}
        for each in concerned:
            note_evidence(
                each,
                channel,
                PurposeClass.ALL,
                given=False,
                source=source,
                asker=asker,
                address_hash=address_hash,
                evidence={**(evidence or {}), "marketing_withdrawn": each in withdrawn},
            )
            audit.note(AuditAction.OPT_OUT, each, asker, {"channel": channel, "source": source, **ended})
    return new


def start(  # noqa: PLR0913  (what the law wants to know, all keyword-only)
    channel: Channel,
    address: str,
    *,
    source: str,
    asker: Asker,
    wording: str = "",
    wording_version: str = "",
    patient_id: UUID | None = None,
    evidence: Mapping[str, Any] | None = None,
    said_at: datetime | None = None,
) -> bool:
    """Lift a stop on the word of whoever has the address; marketing stays off. False: there was none, or one that was said
    after this word, which was said at `said_at` where that is not now."""
    address_hash = hash_of(channel, address)
    with transaction(asker.actor):
        lock_address(channel, address_hash, shared=False)
        lifted = execute(
            "DELETE FROM comm_stops WHERE channel = %(channel)s AND address_hash = %(hash)s"
            " AND (%(said_at)s::timestamptz IS NULL OR stopped_at <= %(said_at)s)",
            {"channel": channel, "hash": address_hash, "said_at": said_at},
        )
        if not lifted.rowcount:
            return False
        for each in _concerned(channel, address_hash, patient_id):
            note_evidence(
                each,
                channel,
                PurposeClass.ALL,
                given=True,
                source=source,
                asker=asker,
                address_hash=address_hash,
                wording=wording,
                wording_version=wording_version,
                evidence=evidence,
            )
            audit.note(AuditAction.OPT_IN, each, asker, {"channel": channel, "source": source})
    return True


def note_marketing(  # noqa: PLR0913  (as much as evidence of a yes has)
    patient_id: UUID,
    channel: Channel,
    *,
    given: bool,
    source: str,
    asker: Asker,
    wording: str = "",
    wording_version: str = "",
    language: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """A patient's yes or no to marketing by a channel: preference, evidence and audit in one transaction; a no cancels the
    marketing that waits. The same answer to the same words again writes nothing.

    Raises:
        OutreachError: PATIENT_NOT_FOUND, WORDING_REQUIRED where a yes comes without what it was said to.
    """
    if given and not wording:
        raise OutreachError("a yes needs the words that it was said to", code="WORDING_REQUIRED", field="wording")
    column = f"marketing_opt_in_{channel}"
    with transaction(asker.actor, f"no marketing by {CHANNEL_WORDS[channel]} ({source})"):
        lock_preferences(patient_id, "FOR UPDATE")
        rows = fetch_all(f"SELECT {column} FROM patient_comm_prefs WHERE patient_id = %s", (patient_id,))
        if not rows:
            raise not_found(patient_id)
        if rows[0][0] is given and _last_word(patient_id, channel) == (given, wording_version):
            return
        execute(
            f"UPDATE patient_comm_prefs SET {column} = %s, version = version + 1, updated_at = clock_timestamp()"
            " WHERE patient_id = %s",
            (given, patient_id),
        )
        details: dict[str, Any] = {"channel": channel, "marketing": True, "source": source}
        if not given:
            details |= cancel_marketing(patient_id, channel)
        note_evidence(
            patient_id,
            channel,
            PurposeClass.MARKETING,
            given=given,
            source=source,
            asker=asker,
            wording=wording,
            wording_version=wording_version,
            language=language,
            evidence=evidence,
        )
        audit.note(AuditAction.OPT_IN if given else AuditAction.OPT_OUT, patient_id, asker, details)


def cancel_marketing(patient_id: UUID, channel: Channel) -> dict[str, int]:
    """Cancel a patient's marketing that waits by this channel, and wait for what is being handed over; how many each.

    Under the lock of the patient's row.
    """
    cancelled = _cancel("NO_MARKETING_CONSENT", patient_id=patient_id, channel=str(channel), is_marketing=True)
    on_their_way = _wait_for("patient_id = %s AND channel = %s AND is_marketing", (patient_id, channel))
    return {"cancelled": cancelled, "on_their_way": on_their_way}


def cancel_channel(patient_id: UUID, channel: Channel) -> dict[str, int]:
    """The same for all that waits for a patient by this channel."""
    cancelled = _cancel("CHANNEL_OFF", patient_id=patient_id, channel=str(channel))
    on_their_way = _wait_for("patient_id = %s AND channel = %s", (patient_id, channel))
    return {"cancelled": cancelled, "on_their_way": on_their_way}


def note_evidence(  # noqa: PLR0913  (what the law wants to know, all keyword-only)
    patient_id: UUID | None,
    channel: Channel,
    purpose_class: PurposeClass,
    *,
    given: bool,
    source: str,
    asker: Asker,
    address_hash: bytes | None = None,
    wording: str = "",
    wording_version: str = "",
    language: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Keep one yes or no as it was said; it can never be changed. In the caller's transaction.

    Raises:
        NotInTransaction: outside a transaction.
    """
    require_transaction()
    values = {
        "patient_id": patient_id,
        "channel": channel,
        "purpose_class": purpose_class,
        "given": given,
        "address_hash": address_hash,
        "wording": wording,
        "wording_version": wording_version,
        "language": language,
        "source": source,
        "actor": asker.actor,
        "evidence": json.dumps(dict(evidence or {}), default=str),
        "ip_address": asker.ip_address,
        "user_agent": asker.user_agent[:_LONGEST_AGENT] if asker.user_agent else None,
    }
    execute(
        f"INSERT INTO comm_consents ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
        tuple(values.values()),
    )


# What somebody else said at a shared address counts for the patient too, but who that was is not shown.
_EVIDENCE = """
SELECT c.id, CASE WHEN c.patient_id = %(patient)s THEN c.patient_id END AS patient_id, c.channel, c.purpose_class, c.given,
    c.wording, c.wording_version, c.language, c.source, c.actor, c.at,
    c.patient_id IS DISTINCT FROM %(patient)s AS about_address,
    CASE WHEN c.patient_id = %(patient)s THEN c.evidence ELSE '{}' END AS evidence,
    CASE WHEN c.patient_id = %(patient)s THEN c.ip_address END AS ip_address,
    CASE WHEN c.patient_id = %(patient)s THEN c.user_agent END AS user_agent
FROM (
    SELECT * FROM comm_consents WHERE patient_id = %(patient)s
    UNION
    SELECT e.* FROM comm_addresses a
    JOIN comm_consents e ON e.channel = a.channel AND e.address_hash = a.address_hash
    WHERE a.patient_id = %(patient)s
) c ORDER BY c.id DESC
"""


def evidence_of(patient_id: UUID) -> Sequence[Mapping[str, Any]]:
    """All evidence about the patient and the addresses where they are reached now, newest first.

    `about_address`: it was said at the address and not by this patient, whose id, device and proof it does not show.
    """
    return fetch_dicts(_EVIDENCE, {"patient": patient_id})


def _concerned(channel: Channel, address_hash: bytes, patient_id: UUID | None) -> list[UUID | None]:
    """Whom a word about the address is kept for; [None] where nobody is reached there."""
    found = {*patients_at_hash(channel, address_hash), *([patient_id] if patient_id else [])}
    return [*sorted(found)] or [None]


def _take_marketing_back(patient_id: UUID, channel: Channel) -> bool:
    column = f"marketing_opt_in_{channel}"
    taken = execute(
        f"UPDATE patient_comm_prefs SET {column} = false, version = version + 1, updated_at = clock_timestamp()"
        f" WHERE patient_id = %s AND {column}",
        (patient_id,),
    )
    return bool(taken.rowcount)


def _end_what_waits(channel: Channel, address_hash: bytes) -> dict[str, int]:
    cancelled = _cancel("STOPPED", channel=str(channel), recipient_hash=address_hash)
    on_their_way = _wait_for("channel = %s AND recipient_hash = %s", (channel, address_hash))
    return {"cancelled": cancelled, "on_their_way": on_their_way}


def _last_word(patient_id: UUID, channel: Channel) -> tuple[bool, str] | None:
    rows = fetch_all(
        "SELECT given, wording_version FROM comm_consents WHERE patient_id = %s AND channel = %s"
        " AND purpose_class = 'marketing' ORDER BY id DESC LIMIT 1",
        (patient_id, channel),
    )
    return (rows[0][0], rows[0][1]) if rows else None


_WHY = {
    "STOPPED": "whoever has this address wants nothing more there",
    "NO_MARKETING_CONSENT": "the patient does not agree to marketing any more",
    "CHANNEL_OFF": "the channel was turned off",
}


def _cancel(code: str, **subject: Any) -> int:
    """Cancel what waits, with the code that the gate would have; a row that may have left is left to it."""
    where = " AND ".join(f"{column} = %s" for column in subject)
    execute(
        f"UPDATE comm_jobs SET last_error_code = %s, last_error = %s, updated_at = clock_timestamp()"
        f" WHERE {where} AND status = 'PENDING' AND first_claimed_at IS NULL",
        (code, _WHY[code], *subject.values()),
    )
    return ledger.cancel_waiting(comm_job_lane(), **subject)


def _wait_for(where: str, values: tuple[Any, ...]) -> int:
    """Until nothing of these is being handed to a provider; how many still were after a while, which no one can call back.

    They were marked before this transaction took its locks, and no others can be.
    """
    ends = time.monotonic() + HANDING_OVER_SECONDS
    sql = f"SELECT count(*) FROM comm_jobs WHERE {where} AND status = 'QUEUED' AND sending_at IS NOT NULL"
    while (count := int(fetch_one(sql, values)[0])) and time.monotonic() < ends:
        time.sleep(_LOOKS_AGAIN_AFTER_SECONDS)
    return count
