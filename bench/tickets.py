"""How long a page of a long thread takes: `python -m bench.tickets [--messages N] [--times N]`.

One thread of 100,000 messages among 20,000 others, read by the product's own functions as the parties and as staff with an
emergency access, and by the same functions without row-level security, as the tables' owner. Prints a table and, as its
last line, one JSON object, in milliseconds; the exit code is 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from uuid import UUID, uuid4

from bench.processes import worker_environment
from bench.servers import Servers, query, started_servers
from dispatchlog.engine.database import configure, database
from dispatchlog.people import create_user
from dispatchlog.settings import get_settings
from dispatchlog.systems.tickets.identity import Identity, identity_of_person
from dispatchlog.systems.tickets.inputs import MessageInput
from dispatchlog.systems.tickets.messages import mark_read, message_page, send_message
from dispatchlog.systems.tickets.overview import Overseer, emergency_content, open_emergency_access
from dispatchlog.systems.tickets.reading import ticket_state
from dispatchlog.systems.tickets.states import PartyKind

GOAL_MS = 50.0
TICKETS = 20_000
MESSAGES_ELSEWHERE = 10
TABLES = ("healthcare_tickets", "chat_messages")

# Two doctors, two pharmacies, and 1,000 patients share all tickets; the long thread is one of the first of each.
_FILL = (
    *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in TABLES),
    """
    INSERT INTO care_parties (id, kind, name, email)
    SELECT uuidv7(), kind, kind || ' ' || n, kind || n || '@example.org'
    FROM (VALUES ('doctor', 2), ('pharmacy', 2), ('patient', 1000)) AS kinds (kind, most), generate_series(1, most) n
    """,
    "INSERT INTO care_people (id, party_id, name) SELECT uuidv7(), id, name FROM care_parties",
    f"""
    INSERT INTO healthcare_tickets (id, ticket_number, ticket_type, status, prescription_id, appointment_id, patient_id,
        primary_provider_id, secondary_provider_id, sent_at, received_at)
    SELECT uuidv7(), 'TKT-20260129-' || lpad(n::text, 5, '0'), 'prescription', 'received', uuidv7(), uuidv7(), patient.id,
        doctor.id, pharmacy.id, now(), now()
    FROM generate_series(0, {TICKETS}) n JOIN care_parties patient ON patient.name = 'patient ' || (1 + n % 1000)
        JOIN care_parties doctor ON doctor.name = 'doctor ' || (1 + n % 2)
        JOIN care_parties pharmacy ON pharmacy.name = 'pharmacy ' || (1 + n % 2)
    """,
    """
    INSERT INTO chat_threads (id, ticket_id, order_id) SELECT uuidv7(), id, appointment_id FROM healthcare_tickets
    """,
    """
    INSERT INTO chat_thread_members (thread_id, party_id)
    SELECT t.id, party FROM chat_threads t JOIN healthcare_tickets k ON k.id = t.ticket_id,
        unnest(ARRAY[k.primary_provider_id, k.secondary_provider_id, k.patient_id]) AS party
    """,
    """
    INSERT INTO chat_messages (id, thread_id, number, sender_id, sender_party_id, client_message_id, body)
    SELECT uuidv7(), t.id, n, p.id, p.party_id, uuidv7(), repeat('A sentence of some length. ', 5)
    FROM chat_threads t JOIN healthcare_tickets k ON k.id = t.ticket_id,
        generate_series(1, CASE WHEN k.ticket_number LIKE '%00000' THEN {messages} ELSE {elsewhere} END) n
        JOIN LATERAL (SELECT (ARRAY[k.primary_provider_id, k.secondary_provider_id, k.patient_id])[1 + n % 3] AS party) s
        ON true JOIN care_people p ON p.party_id = s.party
    """,
    """
    UPDATE chat_threads t SET last_number = m.last, last_message_at = now()
    FROM (SELECT thread_id, max(number) AS last FROM chat_messages GROUP BY thread_id) m WHERE m.thread_id = t.id
    """,
    "UPDATE chat_thread_members SET has_unread = true, unread_since = now()",
    *(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in TABLES),
    "ALTER TABLE healthcare_tickets ENABLE ALWAYS TRIGGER check_change, ENABLE ALWAYS TRIGGER note_change",
    "ALTER TABLE chat_messages ENABLE ALWAYS TRIGGER number_message, ENABLE ALWAYS TRIGGER note_message",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, how long it took, and how long without row-level security; `ratio` is of the medians."""

    name: str
    p50_ms: float
    p95_ms: float
    longest_ms: float
    without_p50_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Thread:
    """The long thread and who reads it."""

    ticket_id: UUID
    thread_id: UUID
    messages: int
    doctor: Identity
    pharmacy: Identity
    patient: Identity
    staff: Overseer


@contextmanager
def connected_as(url: str, role: str) -> Iterator[None]:
    """The process's pool as this role; the owner's is ""."""
    configure(url, role=role, name="bench")
    try:
        yield
    finally:
        database.close_all()


def found_thread(url: str, messages: int) -> Thread:
    """The long thread, with a member of staff who may look at it for a quarter of an hour."""
    rows = query(
        url,
        "SELECT k.id::text, t.id::text, p.id::text FROM healthcare_tickets k JOIN chat_threads t ON t.ticket_id = k.id,"
        " unnest(ARRAY[k.primary_provider_id, k.secondary_provider_id, k.patient_id]) AS party"
        " JOIN care_people p ON p.party_id = party WHERE k.ticket_number LIKE '%00000'",
    )
    people = {who.kind: who for who in (identity_of_person(UUID(row[2])) for row in rows)}
    user_id, _ = create_user("support@example.org", roles=["support"])
    staff = Overseer(user_id, "support@example.org")
    ticket_id = UUID(rows[0][0])
    open_emergency_access(staff, ticket_id, reason="measuring how long it takes")
    doctor, pharmacy, patient = (people[kind] for kind in (PartyKind.DOCTOR, PartyKind.PHARMACY, PartyKind.PATIENT))
    return Thread(ticket_id, UUID(rows[0][1]), messages, doctor, pharmacy, patient, staff)


def questions(thread: Thread) -> Mapping[str, Callable[[], object]]:
    """What is asked of the long thread, in the order of the table."""
    ends = {"newest page": None, "middle page": thread.messages // 2, "oldest page": 51}
    asked: dict[str, Callable[[], object]] = {}
    for who in (thread.doctor, thread.pharmacy, thread.patient):
        for name, before in ends.items():
            asked[f"{who.kind}: {name}"] = partial(message_page, who, thread.thread_id, before=before)
    asked["doctor: the next after a number"] = partial(
        message_page, thread.doctor, thread.thread_id, after=thread.messages // 2
    )
    for name, before in ends.items():
        asked[f"emergency: {name}"] = partial(emergency_content, thread.staff, thread.ticket_id, before=before)
    asked["doctor: the ticket, 100 unread counted"] = partial(ticket_state, thread.doctor, thread.ticket_id)
    return asked


def changes(thread: Thread) -> Mapping[str, Callable[[], object]]:
    """What is written to it; each run does it anew."""
    read = iter(range(1, thread.messages))
    return {
        "patient: a message sent": lambda: send_message(
            thread.patient, thread.thread_id, MessageInput(uuid4(), "A sentence of some length.")
        ),
        "pharmacy: read one further": lambda: mark_read(thread.pharmacy, thread.thread_id, next(read)),
    }


def milliseconds(ask: Callable[[], object], times: int) -> list[float]:
    """Sorted, after five that nobody counts."""
    taken = []
    for number in range(times + 5):
        began = time.perf_counter()
        ask()
        if number >= 5:
            taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def measure(url: str, messages: int, times: int) -> list[Asked]:
    """Each question as the application asks it, then as the owner, whom row-level security lets pass."""
    role = get_settings().application_role
    with connected_as(url, role):
        thread = found_thread(url, messages)
        guarded = {name: milliseconds(ask, times) for name, ask in questions(thread).items()}
        guarded |= {name: milliseconds(ask, times) for name, ask in changes(thread).items()}
    with connected_as(url, ""):
        free = {name: milliseconds(ask, times) for name, ask in questions(thread).items()}
        free |= {name: milliseconds(ask, times) for name, ask in changes(thread).items()}
    return [_figures(name, taken, free[name]) for name, taken in guarded.items()]


def _figures(name: str, taken: Sequence[float], free: Sequence[float]) -> Asked:
    p50, without = statistics.median(taken), statistics.median(free)
    return Asked(name, p50, taken[math.ceil(0.95 * len(taken)) - 1], taken[-1], without, p50 / without)


def report(found: Sequence[Asked], messages: int) -> int:
    """Print the table and the JSON; 0 where every question met the goal at its 95th percentile."""
    print(f"{'':<42}{'p50 ms':>8}{'p95 ms':>8}{'longest':>9}{'without':>9}{'ratio':>7}")
    for each in found:
        figures = f"{each.p50_ms:>8.1f}{each.p95_ms:>8.1f}{each.longest_ms:>9.1f}{each.without_p50_ms:>9.1f}"
        print(f"{each.name:<42}{figures}{each.ratio:>7.1f}")
    met = all(each.p95_ms < GOAL_MS for each in found)
    facts = {"goal_p95_ms": GOAL_MS, "met": met, "messages": messages, "load": os.getloadavg()[0]}
    print(json.dumps({**facts, "figures": [asdict(each) for each in found]}))
    return 0 if met else 1


def _run(servers: Servers, messages: int, times: int) -> int:
    fill = [statement.replace("{messages}", str(messages)) for statement in _FILL]
    fill = [statement.replace("{elsewhere}", str(MESSAGES_ELSEWHERE)) for statement in fill]
    with servers.filled_database(*fill) as url:
        os.environ |= worker_environment(servers, url)
        get_settings.cache_clear()
        return report(measure(url, messages, times), messages)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tickets", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of the long thread")
    parser.add_argument("--times", type=int, default=200, help="how often each is asked")
    options = parser.parse_args()
    with started_servers() as servers:
        return _run(servers, options.messages, options.times)


if __name__ == "__main__":
    sys.exit(main())
