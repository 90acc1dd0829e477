"""Lists of tickets: filters, search, pages without gap or double, and plans that walk an index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from dispatchlog import people
from dispatchlog.engine.database import fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import ItemInput, MessageInput, PrescriptionInput, TicketInput
from dispatchlog.systems.tickets.messages import mark_read, send_message
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.overview import Overseer, OverviewQuery, overview_page
from dispatchlog.systems.tickets.prescribing import save_prescription
from dispatchlog.systems.tickets.reading import TicketQuery, ticket_counts, ticket_page
from dispatchlog.systems.tickets.states import Side, TicketStatus, TicketType
from tests.engine.lane import owner
from tests.systems.ticket_samples import Care, care_database
from tests.systems.ticket_steps import ticket_at

CREATED, SENT, RECEIVED, READY, COMPLETED, CANCELLED = TicketStatus
# Of many tickets groups have one instant; a list must neither lose nor repeat any of them.
MANY = """
ALTER TABLE healthcare_tickets DISABLE TRIGGER USER;
INSERT INTO healthcare_tickets (id, ticket_number, ticket_type, status, prescription_id, appointment_id, patient_id,
    primary_provider_id, secondary_provider_id, sent_at, created_at)
SELECT gen_random_uuid(), 'TKT-20260129-' || lpad(i::text, 5, '0'), 'prescription',
    CASE WHEN i %% 7 = 0 THEN 'sent' ELSE 'received' END, gen_random_uuid(), gen_random_uuid(), %(patient)s, %(doctor)s,
    %(pharmacy)s, at, at
FROM generate_series(1, %(many)s) i, LATERAL (SELECT timestamptz '2026-01-29' + (i / 10) * interval '1 s' AS at) instants;
ANALYZE healthcare_tickets;
"""


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def make_many(settings: Settings, care: Care, many: int) -> None:
    parties = {"patient": care.patient, "doctor": care.doctor, "pharmacy": care.pharmacy}
    values = {name: str(who.party_id) for name, who in parties.items()}
    with owner(settings.database_url) as cursor:
        cursor.execute(MANY, {**values, "many": many})


def listed(who: Identity, **query: object) -> list[UUID]:
    return [row["id"] for row in ticket_page(who, TicketQuery(**query)).tickets]  # type: ignore[arg-type]


def walked(who: Identity, **query: object) -> list[UUID]:
    """All pages, one after another."""
    found: list[UUID] = []
    after = None
    while True:
        page = ticket_page(who, TicketQuery(**query, after=after))  # type: ignore[arg-type]
        found += [row["id"] for row in page.tickets]
        after = page.next
        if after is None:
            return found


def test_each_party_lists_its_own_from_when_it_may_see_them(care: Care) -> None:
    begun, sent = ticket_at(care, CREATED)["id"], ticket_at(care, SENT)["id"]
    assert listed(care.doctor) == listed(care.patient) == [sent, begun]
    assert listed(care.pharmacy) == listed(care.colleague) == [sent]
    for stranger in (care.doctor2, care.pharmacy2, care.patient2, care.laboratory):
        assert listed(stranger) == []


def test_a_row_says_what_a_list_shows(care: Care) -> None:
    ticket = ticket_at(care, RECEIVED)
    for _ in range(2):
        send_message(care.doctor, ticket["thread_id"], MessageInput(uuid4(), "Sample text"))
    row = ticket_page(care.pharmacy, TicketQuery()).tickets[0]
    names = (row["patient_name"], row["doctor_name"], row["receiver_name"])
    assert names == ("Sample Patient", "Dr Sample North", "Linden Pharmacy")
    assert (row["side"], row["unread"], row["last_number"]) == (Side.SECONDARY, 2, 2)
    assert (row["thread_id"], row["waits_since"]) == (ticket["thread_id"], ticket["received_at"])
    assert [row["unread"] for row in ticket_page(care.doctor, TicketQuery()).tickets] == [0]
    mark_read(care.pharmacy, ticket["thread_id"], 2)
    assert [row["unread"] for row in ticket_page(care.colleague, TicketQuery()).tickets] == [0]


def test_filters_keep_what_they_name(care: Care) -> None:
    ids = {status: ticket_at(care, status)["id"] for status in TicketStatus}
    for status in TicketStatus:
        assert listed(care.doctor, statuses=[status]) == [ids[status]]
        assert listed(care.pharmacy, statuses=[status]) == ([] if status is CREATED else [ids[status]])
    assert listed(care.pharmacy, statuses=[READY, SENT, READY]) == [ids[READY], ids[SENT]]
    assert listed(care.doctor, statuses=[SENT, READY], oldest_first=True) == [ids[SENT], ids[READY]]
    received = ticket_page(care.pharmacy, TicketQuery(statuses=[RECEIVED])).tickets[0]["listed_at"]
    assert listed(care.pharmacy, since=received) == [ids[CANCELLED], ids[COMPLETED], ids[READY], ids[RECEIVED]]
    assert listed(care.pharmacy, until=received) == [ids[SENT]]
    assert listed(care.pharmacy, until=received - timedelta(days=1)) == []


def test_a_type_is_listed_by_whoever_may_have_it(care: Care) -> None:
    given = TicketInput(TicketType.REFERRAL, uuid4(), care.patient.party_id, care.doctor2.party_id)
    referral = choose_receiver(care.doctor, given)[0]["id"]
    prescription = ticket_at(care, SENT)["id"]
    assert listed(care.doctor2) == []
    save_prescription(care.doctor, referral, PrescriptionInput([ItemInput("Second opinion")]))
    assert listed(care.doctor2) == listed(care.doctor2, ticket_type=TicketType.REFERRAL) == [referral]
    assert listed(care.doctor2, ticket_type=TicketType.PRESCRIPTION) == []
    assert listed(care.doctor, ticket_type=TicketType.PRESCRIPTION) == [prescription]
    assert listed(care.pharmacy, ticket_type=TicketType.REFERRAL) == []
    assert [row["side"] for row in ticket_page(care.doctor2, TicketQuery()).tickets] == [Side.SECONDARY]


def test_unread_alone_lists_what_has_something_new(care: Care) -> None:
    tickets = [ticket_at(care, RECEIVED) for _ in range(3)]
    send_message(care.doctor, tickets[1]["thread_id"], MessageInput(uuid4(), "Sample text"))
    begun = ticket_at(care, CREATED)
    send_message(care.doctor, begun["thread_id"], MessageInput(uuid4(), "Sample text"))
    assert listed(care.pharmacy, unread=True) == [tickets[1]["id"]]
    assert listed(care.patient, unread=True) == [begun["id"], tickets[1]["id"]]
    assert listed(care.doctor, unread=True) == []
    assert (ticket_counts(care.pharmacy)["unread"], ticket_counts(care.patient)["unread"]) == (1, 2)


def test_a_search_finds_numbers_and_names_that_are_the_askers_to_see(care: Care) -> None:
    ticket = ticket_at(care, SENT)
    number = ticket["ticket_number"]
    for text in (
        number,
        number.lower(),
        number[:12],
        number[4:14],
        number[4:],
        "sam",
        "PATIENT sample",
        " Sample  pat",
    ):
        assert listed(care.pharmacy, text=text) == listed(care.doctor, text=text) == [ticket["id"]], text
        assert listed(care.pharmacy2, text=text) == listed(care.patient2, text=text) == [], text
    for text in ("other", "ample", "TKT-19990101", "'", "%", "\\", "!!", "sample & other", "a' | 'b", "\x00x"):
        assert listed(care.pharmacy, text=text) == [], text
    begun = ticket_at(care, CREATED)
    assert listed(care.pharmacy, text=begun["ticket_number"]) == []
    assert listed(care.doctor, text="sample", statuses=[CREATED]) == [begun["id"]]


@pytest.mark.parametrize(
    "query", [{}, {"oldest_first": True}, {"statuses": (SENT, RECEIVED)}, {"text": "sample"}], ids=str
)
def test_pages_have_neither_gap_nor_double(care: Care, settings_env: Settings, query: dict[str, object]) -> None:
    make_many(settings_env, care, 137)
    for who in (care.pharmacy, care.doctor, care.patient):
        found = walked(who, limit=13, **query)
        assert len(found) == len(set(found)) == 137
        assert found == listed(who, limit=200, **query)


def test_counts_are_of_what_each_party_sees(care: Care) -> None:
    for status in TicketStatus:
        ticket_at(care, status)
    seen_by_pharmacy = {"created": 0, "sent": 1, "received": 1, "ready": 1, "unread": 0}
    assert ticket_counts(care.pharmacy) == seen_by_pharmacy
    assert ticket_counts(care.doctor) == ticket_counts(care.patient) == {**seen_by_pharmacy, "created": 1}
    assert set(ticket_counts(care.doctor2).values()) == {0}


def test_a_waiting_ticket_waits_since_its_status(care: Care) -> None:
    ticket = ticket_at(care, SENT)
    instants = [ticket["sent_at"], open_ticket(care.pharmacy, ticket["id"])[0]["received_at"]]
    instants.append(move_ticket(care.pharmacy, ticket["id"], READY)[0]["ready_at"])
    row = ticket_page(care.patient, TicketQuery()).tickets[0]
    assert row["waits_since"] == instants[-1]
    assert instants == sorted(instants)


def plan(who: Identity, sql: str, *values: object) -> str:
    with acting_as(who):
        return "\n".join(str(row[0]) for row in fetch_all(f"EXPLAIN {sql}", values))


def test_an_inbox_walks_its_index(care: Care, settings_env: Settings) -> None:
    make_many(settings_env, care, 20_000)
    mine = "SELECT id FROM healthcare_tickets k WHERE k.secondary_provider_id = %s AND k.sent_at IS NOT NULL"
    newest = "ORDER BY k.sent_at DESC, k.id DESC LIMIT 51"
    for more in ("", "AND k.status = 'sent'", "AND (k.sent_at, k.id) < ('2026-01-29 00:10Z', gen_random_uuid())"):
        walk = plan(care.pharmacy, f"{mine} {more} {newest}", care.pharmacy.party_id)
        assert "Index Scan Backward using healthcare_tickets_secondary_provider_id" in walk, walk
        assert "Sort" not in walk, walk
    written = plan(
        care.doctor,
        "SELECT id FROM healthcare_tickets k WHERE k.primary_provider_id = %s"
        " ORDER BY k.created_at DESC, k.id DESC LIMIT 51",
        care.doctor.party_id,
    )
    assert "Index Scan Backward using healthcare_tickets_" in written, written
    assert "Sort" not in written, written


def test_the_overview_walks_its_index(care: Care, settings_env: Settings, overseer: Overseer) -> None:
    make_many(settings_env, care, 20_000)
    page, following = overview_page(overseer, OverviewQuery(limit=50))
    assert len(page) == 50
    assert following is not None
    with acting_as(care.doctor):
        rows = fetch_all("EXPLAIN SELECT * FROM ticket_overview k ORDER BY k.created_at DESC, k.id DESC LIMIT 51")
    walk = "\n".join(str(row[0]) for row in rows)
    assert "Index Scan Backward using healthcare_tickets_created_at_id_idx" in walk, walk


@pytest.fixture
def overseer(care: Care) -> Overseer:
    user_id, _ = people.create_user("support@example.org", roles=["support"])
    return Overseer(user_id, "support@example.org")
