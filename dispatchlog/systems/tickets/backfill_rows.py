"""What the backfill reads and writes, a batch of orders at a time. Owns its SQL; decides nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID, uuid4

from psycopg2.extras import execute_values

from dispatchlog.systems.tickets.backfill_plan import (
    Directory,
    Finding,
    Left,
    OldOrder,
    OldPrescription,
    OldThread,
    PlannedTicket,
)
from dispatchlog.systems.tickets.opening import new_ticket_number
from dispatchlog.systems.tickets.states import PartyKind

# Any fixed number: batches of several processes take turns, so that none decides on what another one is changing.
_TURN = 7_240_118

_ORDERS = """
SELECT order_id FROM (
    (SELECT DISTINCT appointment_id AS order_id FROM prescriptions
        WHERE is_legacy AND (%(after)s::uuid IS NULL OR appointment_id > %(after)s::uuid)
        ORDER BY appointment_id LIMIT %(most)s)
    UNION
    (SELECT DISTINCT order_id FROM chat_threads
        WHERE is_legacy AND (%(after)s::uuid IS NULL OR order_id > %(after)s::uuid) ORDER BY order_id LIMIT %(most)s)
) o WHERE order_id IS NOT NULL ORDER BY order_id LIMIT %(most)s
"""
_PRESCRIPTIONS = """
SELECT appointment_id, id, doctor_id, pharmacy_id, patient_id, created_at FROM prescriptions
WHERE is_legacy AND appointment_id = ANY(%s) ORDER BY id
"""
_THREADS = """
SELECT order_id, id, order_type, last_number, created_at FROM chat_threads
WHERE is_legacy AND order_id = ANY(%s) ORDER BY id
"""
_MEMBERS = "SELECT thread_id, party_id FROM chat_thread_members WHERE thread_id = ANY(%s) ORDER BY party_id"
_SENDERS = "SELECT DISTINCT thread_id, sender_id FROM chat_messages WHERE thread_id = ANY(%s)"
# Also cancelled ones: what was taken back must not come back in the shape of an older prescription.
_TICKETED = "SELECT appointment_id, ticket_type FROM healthcare_tickets WHERE appointment_id = ANY(%s)"
_NUMBERS = "SELECT ticket_number FROM healthcare_tickets WHERE ticket_number = ANY(%s)"

_NEW_TICKETS = """
INSERT INTO healthcare_tickets (id, ticket_number, ticket_type, status, prescription_id, appointment_id, patient_id,
    primary_provider_id, secondary_provider_id, sent_at, created_at) VALUES %s
"""
_LINK_PRESCRIPTIONS = """
UPDATE prescriptions p SET ticket_id = v.ticket, is_legacy = false
FROM (VALUES %s) v (id, ticket) WHERE p.id = v.id
"""
_LINK_THREADS = """
UPDATE chat_threads t SET ticket_id = v.ticket, is_legacy = false FROM (VALUES %s) v (id, ticket) WHERE t.id = v.id
"""
_NEW_THREADS = "INSERT INTO chat_threads (id, ticket_id, order_id, order_type) VALUES %s"
_SENT_FOR = """
UPDATE chat_messages m SET sender_party_id = v.party FROM (VALUES %s) v (thread, sender, party)
WHERE m.thread_id = v.thread AND m.sender_id = v.sender AND m.sender_party_id IS NULL
"""
# Colleagues who were members one by one become their party, which has read what any of them has.
_MEMBERS_TO_PARTIES = """
WITH v (thread, member, party, kept) AS (VALUES %s),
merged AS (
    SELECT v.thread, v.party, max(m.read_number) AS read_number, max(m.read_at) AS read_at,
        min(m.unread_since) AS unread_since, min(m.joined_at) AS joined_at
    FROM v JOIN chat_thread_members m ON m.thread_id = v.thread AND m.party_id = v.member GROUP BY v.thread, v.party
), gone AS (
    DELETE FROM chat_thread_members m USING v WHERE m.thread_id = v.thread AND m.party_id = v.member AND NOT v.kept
)
UPDATE chat_thread_members m SET party_id = v.party, read_number = g.read_number, read_at = g.read_at,
    unread_since = g.unread_since, joined_at = g.joined_at
FROM v JOIN merged g ON g.thread = v.thread AND g.party = v.party
WHERE m.thread_id = v.thread AND m.party_id = v.member AND v.kept
"""
# As for the members of adopted tables, nobody knows what a party has read that joins a thread late.
_MISSING_MEMBERS = """
INSERT INTO chat_thread_members (thread_id, party_id, read_number)
SELECT v.thread, v.party, coalesce((SELECT max(s.number) FROM chat_messages s
    WHERE s.thread_id = v.thread AND s.created_at < now() - interval '30 days'), 0)
FROM (VALUES %s) v (thread, party) ON CONFLICT DO NOTHING
"""
_READING = """
WITH state AS (
    SELECT m.thread_id, m.party_id, greatest(m.read_number, (SELECT max(s.number) FROM chat_messages s
        WHERE s.thread_id = m.thread_id AND s.sender_party_id = m.party_id)) AS read_number
    FROM chat_thread_members m WHERE m.thread_id = ANY(%s)
), reading AS (
    SELECT *, EXISTS (SELECT FROM chat_messages s WHERE s.thread_id = state.thread_id
        AND s.number > state.read_number AND s.sender_party_id IS DISTINCT FROM state.party_id) AS has_unread
    FROM state
)
UPDATE chat_thread_members m SET read_number = r.read_number, has_unread = r.has_unread,
    unread_since = CASE WHEN r.has_unread THEN m.unread_since END
FROM reading r WHERE m.thread_id = r.thread_id AND m.party_id = r.party_id
"""
_FINDINGS = """
INSERT INTO ticket_backfill_findings AS f (kind, id, code) VALUES %s
ON CONFLICT (kind, id) DO UPDATE SET code = excluded.code, found_at = excluded.found_at WHERE f.code <> excluded.code
"""
_SETTLED = "DELETE FROM ticket_backfill_findings f USING (VALUES %s) v (kind, id) WHERE f.kind = v.kind AND f.id = v.id"
_WITHOUT_ORDER = (
    ("thread", Finding.NO_PRESCRIPTION, "SELECT id FROM chat_threads WHERE is_legacy AND order_id IS NULL"),
    ("prescription", Finding.NO_APPOINTMENT, "SELECT id FROM prescriptions WHERE is_legacy AND appointment_id IS NULL"),
)


def take_turn(cursor: Any) -> None:
    """Until this transaction ends no other process links anything, and the triggers know what goes on."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_TURN,))
    cursor.execute(
        "SELECT set_config('dispatchlog.actor', 'backfill', true), set_config('dispatchlog.backfill', 'on', true)"
    )


def next_orders(cursor: Any, *, after: UUID | None, most: int) -> list[UUID]:
    """The next orders with something old, by id."""
    cursor.execute(_ORDERS, {"after": after, "most": most})
    return [row[0] for row in cursor.fetchall()]


def read_orders(cursor: Any, order_ids: Sequence[UUID], *, hold: bool) -> tuple[list[OldOrder], Directory]:
    """Everything old of these orders, and who is in it; with `hold` nobody writes in the threads meanwhile."""
    ids = list(order_ids)
    lock = " FOR UPDATE" if hold else ""
    prescriptions: dict[UUID, list[OldPrescription]] = defaultdict(list)
    for order_id, *values in _rows(cursor, _PRESCRIPTIONS + lock, ids):
        prescriptions[order_id].append(OldPrescription(*values))
    found = _rows(cursor, _THREADS + lock, ids)
    thread_ids = [row[1] for row in found]
    members = _grouped(_rows(cursor, _MEMBERS, thread_ids))
    senders = _grouped(_rows(cursor, _SENDERS, thread_ids))
    threads: dict[UUID, list[OldThread]] = defaultdict(list)
    for order_id, thread_id, order_type, messages, created_at in found:
        threads[order_id].append(
            OldThread(thread_id, order_type, messages, created_at, members[thread_id], senders[thread_id])
        )
    ticketed = _grouped(_rows(cursor, _TICKETED, ids))
    orders = [OldOrder(each, prescriptions[each], threads[each], frozenset(ticketed[each])) for each in ids]
    return orders, _directory(cursor, orders)


def write_tickets(cursor: Any, tickets: Sequence[PlannedTicket]) -> None:
    """Make the tickets, and link prescriptions and threads, with parties in the place of people."""
    if not tickets:
        return
    ids = {ticket.prescription.prescription_id: uuid4() for ticket in tickets}
    numbered = zip(tickets, _free_numbers(cursor, tickets), strict=True)
    _write(cursor, _NEW_TICKETS, [_ticket_row(each, number, ids) for each, number in numbered])
    _write(cursor, _LINK_PRESCRIPTIONS, list(ids.items()))
    new = {ticket.prescription.prescription_id: uuid4() for ticket in tickets if not ticket.thread}
    old = {ticket.prescription.prescription_id: ticket.thread.thread_id for ticket in tickets if ticket.thread}
    _write(cursor, _NEW_THREADS, [_thread_row(each, new, ids) for each in tickets if not each.thread])
    _bring_parties(cursor, tickets, threads=new | old)
    cursor.execute(_READING, (list(old.values()),))
    _write(cursor, _LINK_THREADS, [(thread_id, ids[key]) for key, thread_id in old.items()])
    settled = [("prescription", each) for each in ids] + [("thread", each) for each in old.values()]
    _write(cursor, _SETTLED, settled)


def _bring_parties(cursor: Any, tickets: Sequence[PlannedTicket], *, threads: Mapping[UUID, UUID]) -> None:
    """Before the threads are linked: what changes of members then is news to nobody."""
    old = [(ticket.thread, ticket.parties) for ticket in tickets if ticket.thread]
    _write(cursor, _SENT_FOR, [(t.thread_id, each, parties[each]) for t, parties in old for each in t.senders])
    _write(cursor, _MEMBERS_TO_PARTIES, [row for thread, parties in old for row in _member_rows(thread, parties)])
    missing = [(threads[t.prescription.prescription_id], party) for t in tickets for party in t.sides.parties]
    _write(cursor, _MISSING_MEMBERS, missing)


def write_findings(cursor: Any, left: Iterable[Left]) -> None:
    """Note what was left alone; what was noted before in the same words stays as it was."""
    _write(cursor, _FINDINGS, [(each.kind, each.left_id, each.code.value) for each in left])


def without_order(cursor: Any) -> list[Left]:
    """What names no order, and so can be linked to nothing."""
    return [Left(kind, row[0], code) for kind, code, sql in _WITHOUT_ORDER for row in _rows(cursor, sql)]


def _rows(cursor: Any, sql: str, *values: Any) -> list[Any]:
    cursor.execute(sql, values or None)
    return list(cursor.fetchall())


def _write(cursor: Any, sql: str, values: Sequence[tuple[Any, ...]]) -> None:
    """One statement for all the values, so that what it does to one row it does before the next statement sees any."""
    if values:
        execute_values(cursor, sql, values, page_size=len(values))


def _grouped(pairs: Iterable[tuple[UUID, Any]]) -> dict[UUID, list[Any]]:
    groups: dict[UUID, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def _directory(cursor: Any, orders: Sequence[OldOrder]) -> Directory:
    named = {each for order in orders for thread in order.threads for each in (*thread.members, *thread.senders)}
    for prescription in (each for order in orders for each in order.prescriptions):
        named.update(filter(None, (prescription.doctor_id, prescription.pharmacy_id, prescription.patient_id)))
    people = dict(_rows(cursor, "SELECT id, party_id FROM care_people WHERE id = ANY(%s)", list(named)))
    ids = [*named, *people.values()]
    parties = _rows(cursor, "SELECT id, kind FROM care_parties WHERE id = ANY(%s)", ids)
    return Directory({each: PartyKind(kind) for each, kind in parties}, people)


def _free_numbers(cursor: Any, tickets: Sequence[PlannedTicket]) -> list[str]:
    """A number of its day for each ticket; a day's numbers are few enough to meet twice in a large backfill."""
    days = [ticket.prescription.created_at.astimezone(UTC).date() for ticket in tickets]
    numbers: dict[int, str] = {}
    while len(numbers) < len(days):
        for place, day in enumerate(days):
            numbers.setdefault(place, new_ticket_number(day))
        taken = {row[0] for row in _rows(cursor, _NUMBERS, list(numbers.values()))}
        seen: set[str] = set()
        for place, number in list(numbers.items()):
            if number in taken or number in seen:
                del numbers[place]
            seen.add(number)
    return [numbers[place] for place in range(len(days))]


def _ticket_row(ticket: PlannedTicket, number: str, ids: Mapping[UUID, UUID]) -> tuple[Any, ...]:
    prescription, sides = ticket.prescription, ticket.sides
    written = prescription.created_at
    return (
        ids[prescription.prescription_id],
        number,
        sides.ticket_type.value,
        "sent",
        prescription.prescription_id,
        ticket.order_id,
        sides.patient,
        sides.primary,
        sides.secondary,
        written,
        written,
    )


def _thread_row(ticket: PlannedTicket, threads: Mapping[UUID, UUID], ids: Mapping[UUID, UUID]) -> tuple[Any, ...]:
    key = ticket.prescription.prescription_id
    return threads[key], ids[key], ticket.order_id, ticket.sides.ticket_type.value


def _member_rows(thread: OldThread, parties: Mapping[UUID, UUID]) -> list[tuple[Any, ...]]:
    """Each member with its party; of several with the same one the party's own row is kept, else the first."""
    kept: dict[UUID, UUID] = {}
    for each in sorted(thread.members, key=lambda member: member != parties[member]):
        kept.setdefault(parties[each], each)
    return [(thread.thread_id, each, parties[each], kept[parties[each]] == each) for each in thread.members]
