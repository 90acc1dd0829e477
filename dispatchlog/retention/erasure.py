"""Erasing one patient: names, addresses and what was said are gone for good; rows, numbers and figures stay, naming nobody.

Owns no table. Run by the tables' owner, in one transaction: all of it happens, or nothing. What was erased cannot come back
but from a backup; docs/data-life.md says how to erase again after a restore.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatchlog.engine import operator
from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import log_action, require_reason
from dispatchlog.retention.belongings import Belonging, lanes, of_dispatches, others
from dispatchlog.retention.person import Person, find_person
from dispatchlog.row_content import ERASED
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import consents, contacts
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.states import Channel

_SOURCE = "erasure"
_LOCK_SECONDS = 10


class ErasureRefused(DispatchlogError):
    """The patient cannot be erased now; the message says what stands against it."""

    code = "ERASURE_REFUSED"


@dataclass(slots=True)
class Erasure:
    """What was erased: rows by table, how many open messages were cancelled, addresses that are never written to again.

    `left_record`: the medical record was left, because the law wants it kept for longer.
    """

    rows: dict[str, int] = field(default_factory=dict)
    cancelled: int = 0
    stopped: int = 0
    shared_addresses: int = 0
    left_record: bool = False


def erase(
    given: str,
    known_lanes: Sequence[Lane],
    *,
    actor: str,
    reason: str,
    leave_record: bool = False,
    dry_run: bool = False,
) -> Erasure:
    """Erase the patient of this id, address or `student:SCHOOL:NUMBER`; what became of it comes back.

    Doing it again changes nothing more. With `dry_run` nothing changes at all.

    Raises:
        PatientNotFound: no system knows such a patient.
        ErasureRefused: LEGAL_HOLD, MEDICAL_RECORD (unless it is left), STILL_OPEN; nothing was changed.
        ReasonRequired: without a reason.
    """
    require_reason(reason, stays_with="the erasure")
    done = Erasure(left_record=leave_record)
    try:
        with transaction(actor, reason):
            execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
            person = find_person(given)
            done.shared_addresses = len(person.shared)
            _refuse_held(person)
            if not leave_record:
                _refuse_young_record(person)
            _erase(person, known_lanes, done, actor=actor, reason=reason)
            # The audit says that somebody was erased and how much, not who; an id that names nobody any more may stay.
            log_action(actor, "erase_patient", reason=reason, detail={"ids": sorted(person.ids), "rows": done.rows})
            if dry_run:
                raise _DryRunOver
    except _DryRunOver:
        pass
    return done


class _DryRunOver(Exception):
    """Roll back."""


def _refuse_held(person: Person) -> None:
    held = {
        row[0]
        for row in fetch_all(
            "SELECT id FROM legal_holds WHERE released_at IS NULL AND scope = 'patient'"
            " AND (value = ANY (%(names)s) OR also && %(names)s)",
            {"names": _names(person)},
        )
    }
    for each in (*lanes(), *others()):
        found = fetch_all(
            f"SELECT 1 FROM {each.table} t WHERE ({each.where}) AND dispatchlog_is_held(to_jsonb(t)) LIMIT 1",
            person.parameters(),
        )
        if found:
            held.add(each.table)
    if held:
        said = ", ".join(str(each) if isinstance(each, str) else f"hold {each}" for each in sorted(held, key=str))
        raise ErasureRefused(f"kept back by a legal hold ({said}); let it go first", code="LEGAL_HOLD")


def _refuse_young_record(person: Person) -> None:
    years = get_settings().medical_record_years
    for each in others():
        created = {"visits": "visited_at", "prescriptions": "created_at", "pharmacy_orders": "created_at"}.get(
            each.table
        )
        if created is None:
            continue
        newest = fetch_one(
            f"SELECT max({created}) FROM {each.table} t WHERE ({each.where})"
            f" AND {created} > now() - interval '1 year' * {years}",
            person.parameters(),
        )[0]
        if newest is not None:
            raise ErasureRefused(
                f"{each.table} has a record of {newest:%Y-%m-%d}, which the law wants kept for {years} years; erase the"
                " rest with --leave-record",
                code="MEDICAL_RECORD",
            )


def _erase(person: Person, known_lanes: Sequence[Lane], done: Erasure, *, actor: str, reason: str) -> None:
    values = person.parameters()
    mine = [each for each in lanes() if not (each.record and done.left_record)]
    # What is put in from here on comes after the erasure and stays whole: emptied while it waits, it would leave empty.
    execute(f"LOCK TABLE {', '.join(each.table for each in mine)} IN SHARE ROW EXCLUSIVE MODE")
    dispatches: list[UUID] = []
    for each in mine:
        ids = [row[0] for row in fetch_all(f"SELECT t.id FROM {each.table} t WHERE {each.where} FOR UPDATE", values)]
        done.cancelled += _end_open(each, ids, known_lanes, actor=actor, reason=reason)
        dispatches += ids
    _never_write_again(person, done, actor=actor)
    values["dispatches"] = dispatches
    rest = [each for each in others() if not (each.record and done.left_record)]
    every = [*mine, *of_dispatches(), *rest]
    with _triggers_off({each.table for each in every if each.erased or each.deleted}):
        for each in every:
            count = _erase_rows(each, values)
            if count:
                done.rows[each.table] = done.rows.get(each.table, 0) + count
        _seal_names(person)
    execute(
        "UPDATE legal_holds SET value = %s, also = '{}' WHERE released_at IS NOT NULL AND scope = 'patient'"
        " AND (value = ANY (%s) OR also && %s)",
        (ERASED, _names(person), _names(person)),
    )


def _names(person: Person) -> list[str]:
    """By whatever a hold may name the patient."""
    return sorted({each.lower() for each in (*person.ids, *person.addresses, person.given)})


def _end_open(each: Belonging, ids: list[UUID], known_lanes: Sequence[Lane], *, actor: str, reason: str) -> int:
    lane = next(lane for lane in known_lanes if lane.name == each.lane)
    open_ones = [
        row[0]
        for row in fetch_all(
            f"SELECT id FROM {each.table} WHERE id = ANY (%s::uuid[]) AND status NOT IN ('SENT', 'CANCELLED')", (ids,)
        )
    ]
    for result in operator.cancel(lane, open_ones, actor=actor, reason=reason) if open_ones else ():
        if not result.changed:
            raise ErasureRefused(
                f"dispatch {result.dispatch_id} of {lane.title.lower()} is still open: {result.message}",
                code="STILL_OPEN",
            )
    return len(open_ones)


def _never_write_again(person: Person, done: Erasure, *, actor: str) -> None:
    """On the stop list stands a hash alone."""
    reached = [(Channel.EMAIL, each) for each in person.emails]
    reached += [(channel, each) for each in person.phones for channel in (Channel.SMS, Channel.WHATSAPP)]
    for channel, address in reached:
        try:
            normal = contacts.normalise(channel, address)
        except OutreachError:
            continue  # nothing could be sent there anyway
        done.stopped += consents.stop(channel, normal, source=_SOURCE, asker=Asker(actor))


def _erase_rows(each: Belonging, values: dict[str, Any]) -> int:
    if each.deleted:
        return int(execute(f"DELETE FROM {each.table} t WHERE {each.where}", values).rowcount)
    if not each.erased:
        return 0
    settings = ", ".join(f"{column} = {value}" for column, value in each.erased.items())
    compared = [(column, value) for column, value in each.erased.items() if value != "DEFAULT"]
    differs = " OR ".join(f"t.{column} IS DISTINCT FROM {value}" for column, value in compared)
    return int(execute(f"UPDATE {each.table} t SET {settings} WHERE ({each.where}) AND ({differs})", values).rowcount)


def _seal_names(person: Person) -> None:
    for row in fetch_dicts("SELECT id, name_sealed FROM patients WHERE id = ANY (%s::uuid[])", (person.uuids,)):
        if contacts.open_text(row["name_sealed"], row["id"]) != ERASED:
            execute(
                "UPDATE patients SET name_sealed = %s, version = version + 1 WHERE id = %s",
                (contacts.seal_text(ERASED, row["id"]), row["id"]),
            )


_TRIGGERS = """
SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger
WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid = ANY (%s::regclass[]) ORDER BY 1, 2
"""
_AGAIN = {"A": "ENABLE ALWAYS", "O": "ENABLE", "R": "ENABLE REPLICA"}


@contextmanager
def _triggers_off(tables: set[str]) -> Iterator[None]:
    """What guards the log stands aside for this transaction, in which nobody else can write to these tables."""
    found = fetch_all(_TRIGGERS, (sorted(tables),))
    for table, trigger, _ in found:
        execute(f'ALTER TABLE {table} DISABLE TRIGGER "{trigger}"')
    yield
    for table, trigger, enabled in found:
        execute(f'ALTER TABLE {table} {_AGAIN[enabled]} TRIGGER "{trigger}"')
