"""What patients write back: stored once, understood, acted on, or given to a person. Owns `comm_inbound`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog

from dispatchlog.engine.database import (
    DATABASE_AWAY,
    after_commit,
    connected,
    execute,
    fetch_all,
    fetch_dicts,
    transaction,
)
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.tables import new_id
from dispatchlog.row_content import COMM_INBOUND, as_stored
from dispatchlog.systems.outreach import audit, checks, consents, inbound_actions, waking
from dispatchlog.systems.outreach.contacts import address_hash, normalise
from dispatchlog.systems.outreach.inbound_context import Context, coming, context_of, reading_of
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.reply_parser import SURE, Reading
from dispatchlog.systems.outreach.states import AuditAction, Channel, Intent

log = structlog.get_logger(__name__)

# Id, channel, from, to, body, intent, provider, its message id, event key, source, when it was sent, the trace id, and what
# is sealed.
InboundRow = tuple[Any, ...]

LONGEST_BODY = 8_000
_OPT_OUT_WORDS = MappingProxyType({"STOP": str(Intent.STOP), "START": str(Intent.START), "HELP": str(Intent.HELP)})

# One statement in autocommit: what is answered with yes is on the disk. The same message twice in one webhook counts once.
# Rows are written in the order of their keys, and keep the order in which they came in their instants.
_COLUMNS = """
    id, channel, from_address, to_address, body, intent, provider, provider_message_id, event_key, source, sent_at,
    trace_id, sealed
""".strip()
_STORE = f"""
INSERT INTO comm_inbound ({_COLUMNS}, created_at)
SELECT {_COLUMNS}, statement_timestamp() + place * interval '1 microsecond'
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::bytea[], %s::int[]) AS said ({_COLUMNS}, place)
ON CONFLICT (provider, event_key) DO NOTHING RETURNING event_key
"""

_OPEN = """
SELECT id, created_at FROM comm_inbound
WHERE parsed_at IS NULL AND (intent = 'stop' OR NOT %s) AND (created_at, id) > (%s, %s) ORDER BY created_at, id LIMIT %s
"""
_OLDER = """
SELECT id FROM comm_inbound WHERE channel = %(channel)s AND from_address = ANY (%(from)s) AND parsed_at IS NULL
    AND (created_at, id) < (%(created_at)s, %(id)s) ORDER BY created_at, id
"""
_TAKE = "SELECT * FROM comm_inbound WHERE id = %s AND parsed_at IS NULL FOR UPDATE SKIP LOCKED"
_READ = """
UPDATE comm_inbound SET patient_id = %(patient)s, intent = %(intent)s, confidence = %(confidence)s, language = %(language)s,
    related_job_id = %(job)s, parsed_at = now(), action = %(action)s, waits_for_person = %(waits)s,
    processed = NOT %(waits)s, processed_at = CASE WHEN NOT %(waits)s THEN now() END, processed_by = %(by)s
WHERE id = %(id)s
"""
_SETTLE = """
UPDATE comm_inbound SET intent = %s, action = %s, processed = true, processed_at = now(), processed_by = %s, note = %s
WHERE id = %s
"""
_WAITING = """
SELECT * FROM comm_inbound WHERE waits_for_person AND NOT processed
    AND (%(after)s IS NULL OR (created_at, id) > (SELECT created_at, id FROM comm_inbound WHERE id = %(after)s::uuid))
ORDER BY created_at, id LIMIT %(limit)s
"""
WORKER = Asker("worker")
# Whoever ended messages says themselves that they want them again: nobody else can say it for them.
_SETTLED_AS = frozenset(map(str, Intent)) - {str(Intent.OTHER), str(Intent.START)}


@dataclass(frozen=True, slots=True)
class Message:
    """One message from somebody. Addresses as the provider wrote them; `opt_out` is the provider's own word for it, as
    Twilio's OptOutType (STOP, START, HELP) or ""."""

    provider: str
    event_key: str
    channel: Channel
    from_address: str
    to_address: str
    body: str
    provider_message_id: str = ""
    sent_at: datetime | None = None
    opt_out: str = ""


def store_messages(
    messages: Sequence[Message],
    *,
    source: str,
    trace_id: str,
    write: Callable[[Sequence[InboundRow]], int] | None = None,
) -> int:
    """Store, committed when it returns; how many were new. The provider's own word of an opt-out, opt-in or call for help
    is kept as the intent. `write` stores rows and commits on a connection of its own; without it, this thread's is used.
    """
    if not messages:
        return 0
    rows = [_row(message, source, trace_id) for message in messages]
    new = write(rows) if write is not None else _write_here(rows)
    if new:
        after_commit("wake:outreach-inbound", lambda: waking.wake(waking.INBOUND))
    return new


def insertion(rows: Sequence[InboundRow]) -> tuple[str, Sequence[Any]]:
    """The statement that stores these, with its parameters; the keys of those that are new come back from it.

    In one order for all, so that two that store the same messages never wait for each other.
    """
    in_order = sorted(enumerate(rows), key=lambda placed: _key_of(placed[1]))
    return _STORE, [list(column) for column in zip(*((*row, place) for place, row in in_order), strict=True)]


def _key_of(row: InboundRow) -> tuple[str, str]:
    """By what a message is known: provider and event key."""
    return row[6], row[8]


def _write_here(rows: Sequence[InboundRow]) -> int:
    with connected():
        return len(fetch_all(*insertion(rows)))


def _row(message: Message, source: str, trace_id: str) -> InboundRow:
    said = {
        "id": new_id(),
        "from_address": _address(message.channel, message.from_address),
        "body": _text(message.body)[:LONGEST_BODY],
    }
    written = COMM_INBOUND.sealing(said)
    return (
        written["id"],
        str(message.channel),
        written["from_address"],
        _address(message.channel, message.to_address),
        written["body"],
        _OPT_OUT_WORDS.get(message.opt_out.strip().upper()),
        _text(message.provider)[:16],
        _text(message.provider_message_id)[:255],
        _event_key(message.event_key),
        source,
        message.sent_at,
        _text(trace_id)[:64],
        written.get("sealed"),
    )


def _address(channel: Channel, given: str) -> str:
    """As patients' addresses are stored, where it is one; a number may come as `whatsapp:+1...` or without its plus."""
    text = _text(given).strip().removeprefix("whatsapp:")
    try:
        return normalise(channel, f"+{text}" if text.isascii() and text.isdigit() else text)
    except OutreachError:
        return text[:255]


def _event_key(given: str) -> str:
    """A longer one than fits is known by its hash: cut off, two could be the same."""
    text = _text(given)
    return text if len(text) <= 128 else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _text(value: str) -> str:
    """Without what PostgreSQL takes in no text: NUL and halves of characters."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def process_all(*, limit: int = 200) -> int:
    """Understand and act on what is stored, each in a transaction of its own; how many.

    What the provider calls a stop goes before all else. Whatever another worker has in hand is passed over, and what came
    later from its address too, unless it is a stop. What cannot be processed is logged as REPLY_NOT_PROCESSED, stays as it
    is for the next time, and holds up nothing else.
    """
    waking.taken_up(waking.INBOUND)
    return _process_open(stops_only=True, limit=limit) + _process_open(stops_only=False, limit=limit)


def _process_open(*, stops_only: bool, limit: int) -> int:
    done, after = 0, (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    while True:
        with connected():
            ids = fetch_all(_OPEN, (stops_only, *after, limit))
        for inbound_id, created_at in ids:
            after = (created_at, inbound_id)
            done += _process_safely(inbound_id)
        if len(ids) < limit:
            return done


def settle(
    inbound_id: UUID, *, intent: str | None, note: str, asker: Asker, appointment_id: UUID | None = None
) -> Mapping[str, Any]:
    """A person says what a message means (its action is done) or that nothing follows (`intent` None); the row comes back.

    HELP means that the person has answered: nothing is sent. `appointment_id` says which of several that were asked about,
    or which of the appointments ahead of whoever is reached there, where the patient wrote unasked.

    Raises:
        OutreachError: INBOUND_NOT_FOUND, ALREADY_PROCESSED, NO_APPOINTMENT (none was asked about or named, it is
            over, or there are several and none is named), UNKNOWN_INTENT, INVALID_TEXT (the note).
    """
    words = checks.text(note, field="note", most=500, needed=False)
    if intent is not None and intent not in _SETTLED_AS:
        raise OutreachError("this is not what a message can be settled as", code="UNKNOWN_INTENT", field="intent")
    with transaction(asker.actor, words or None):
        row = _waiting_row(inbound_id)
        channel = Channel(row["channel"])
        _take_turns(channel, row["from_address"])
        context = context_of(channel, row["from_address"])
        action = _settled(row, intent, context, appointment_id, asker)
        execute(_SETTLE, (intent or str(Intent.OTHER), action, asker.actor[:128], words, inbound_id))
        _audit(row["patient_id"] or context.patient_id, asker, inbound_id, intent or "nothing", action)
        return COMM_INBOUND.opened(fetch_dicts("SELECT * FROM comm_inbound WHERE id = %s", (inbound_id,))[0])


def waiting(*, limit: int = 100, after: UUID | None = None) -> Sequence[Mapping[str, Any]]:
    """What waits for a person, oldest first; `after` is the last of the page before."""
    with connected():
        return [COMM_INBOUND.opened(row) for row in fetch_dicts(_WAITING, {"after": after, "limit": limit})]


def of_patient(patient_id: UUID, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
    """A patient's messages, newest first."""
    with connected():
        found = fetch_dicts(
            "SELECT * FROM comm_inbound WHERE patient_id = %s ORDER BY created_at DESC, id DESC LIMIT %s",
            (patient_id, limit),
        )
        return [COMM_INBOUND.opened(row) for row in found]


def _process_safely(inbound_id: UUID) -> int:
    try:
        return int(_process(inbound_id))
    except DATABASE_AWAY:
        raise
    except Exception as error:  # noqa: BLE001  (whatever a message does, the next one has its turn)
        code = error.code if isinstance(error, DispatchlogError) else type(error).__name__
        log.error("REPLY_NOT_PROCESSED", inbound_id=str(inbound_id), error=code)
        return 0


def _process(inbound_id: UUID) -> bool:
    with transaction(WORKER.actor):
        rows = fetch_dicts(_TAKE, (inbound_id,))
        if not rows:
            return False
        row = COMM_INBOUND.opened(rows[0])
        channel = Channel(row["channel"])
        # The provider's own word was kept as the intent; ours is not known yet.
        law = (row["intent"] or "").upper()
        # Two messages from one address are read one after the other: the second sees what came of the first.
        _take_turns(channel, row["from_address"])
        context = context_of(channel, row["from_address"])
        reading = reading_of(row, context, provider_opt_out=law)
        message = inbound_actions.received(row, provider_opt_out=law)
        certain = reading.intent if reading.confidence >= SURE else Intent.OTHER
        if certain is not Intent.STOP and _is_older_in_hand(row):
            return False
        asker = replace(WORKER, actor="patient")
        action = inbound_actions.act(certain, message, context, language=reading.language, asker=asker)
        _write(inbound_id, reading, context, action)
        _audit(context.patient_id, asker, inbound_id, reading.intent, action)
        return True


def _take_turns(channel: Channel, address: str) -> None:
    consents.lock_address(channel, address_hash(channel, address), shared=False)


def _is_older_in_hand(row: Mapping[str, Any]) -> bool:
    """Whether another worker has an older message of this address in hand; one that failed, nobody has."""
    names = {name: row[name] for name in ("channel", "created_at", "id")} | {"from": as_stored(row["from_address"])}
    older = len(fetch_all(_OLDER, names))
    return older > 0 and len(fetch_all(f"{_OLDER} FOR UPDATE SKIP LOCKED", names)) < older


def _write(inbound_id: UUID, reading: Reading, context: Context, action: str) -> None:
    waits = action in inbound_actions.WAITS
    names = {
        "id": inbound_id,
        "patient": context.patient_id,
        "intent": str(reading.intent),
        "confidence": reading.confidence,
        "language": reading.language or None,
        "job": context.related_job_id,
        "action": action,
        "waits": waits,
        "by": None if waits else WORKER.actor,
    }
    execute(_READ, names)
    if context.related_job_id is not None:
        execute(
            "UPDATE comm_jobs SET replied_at = now() WHERE id = %s AND replied_at IS NULL", (context.related_job_id,)
        )


def _waiting_row(inbound_id: UUID) -> Mapping[str, Any]:
    rows = fetch_dicts("SELECT * FROM comm_inbound WHERE id = %s FOR UPDATE", (inbound_id,))
    if not rows:
        raise OutreachError(f"there is no message {inbound_id}", code="INBOUND_NOT_FOUND", field="inbound_id")
    if rows[0]["processed"] or rows[0]["parsed_at"] is None:
        raise OutreachError("this message is settled, or still to be read", code="ALREADY_PROCESSED")
    return COMM_INBOUND.opened(rows[0])


def _settled(
    row: Mapping[str, Any], intent: str | None, context: Context, appointment_id: UUID | None, asker: Asker
) -> str:
    if intent is None:
        return "nothing_follows"
    meant = Intent(intent)
    if meant is Intent.HELP:
        return "helped_by_person"
    if meant is Intent.STOP:
        message = inbound_actions.received(row, provider_opt_out="")
        return inbound_actions.act(meant, message, context, language=row["language"] or "", asker=asker)
    asked = [job for job in context.asking if appointment_id in (None, job["appointment_id"])]
    if not asked and appointment_id is not None:
        named = [one for one in coming(context) if one["appointment_id"] == appointment_id]
        asked = [{**one, "channel": row["channel"]} for one in named]
    done = inbound_actions.about_appointment(meant, row["id"], asked[0], asker=asker) if len(asked) == 1 else ""
    if not done or done in inbound_actions.WAITS:
        raise OutreachError(
            "no appointment that is still ahead was asked about at this address"
            if not asked
            else "it is not certain which appointment this is about",
            code="NO_APPOINTMENT",
            field="appointment_id",
        )
    return done


def _audit(patient_id: UUID | None, asker: Asker, inbound_id: UUID, intent: str, action: str) -> None:
    audit.note(AuditAction.RECEIVE, patient_id, asker, {"inbound": inbound_id, "intent": intent, "action": action})
