"""Messages of a ticket: each is stored once and in order, and what is unread is known to be."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import MessageInput, TicketError
from dispatchlog.systems.tickets.messages import mark_read, message_page, send_message
from tests.systems.ticket_rows import created_ticket, sent_ticket
from tests.systems.ticket_samples import Care, care_database


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def write(who: Identity, thread_id: UUID, body: str = "Good morning", **more: object) -> MessageInput:
    given = MessageInput(uuid4(), body, **more)  # type: ignore[arg-type]
    send_message(who, thread_id, given)
    return given


def test_a_message_sent_again_after_a_lost_reply_is_the_same_message(care: Care) -> None:
    thread = sent_ticket(care).thread_id
    given = MessageInput(uuid4(), "Twice a day?")
    first, sent = send_message(care.doctor, thread, given)
    again, sent_again = send_message(care.doctor, thread, given)
    assert (sent, sent_again) == (True, False)
    assert again == first
    assert first["number"] == 1
    write(care.pharmacy, thread)
    page = message_page(care.patient, thread)
    assert [(m["number"], m["own"], m["sender_name"], m["party_name"]) for m in page.messages] == [
        (1, False, "Dr Sample North", "Dr Sample North"),
        (2, False, "Pharmacist One", "Linden Pharmacy"),
    ]
    row = mark_read(care.patient, thread, 1)
    assert (row["read_number"], row["has_unread"]) == (1, True)
    row = mark_read(care.patient, thread, 2)
    assert (row["read_number"], row["has_unread"], row["unread_since"]) == (2, False, None)


def test_a_pharmacy_has_no_thread_before_the_ticket_is_sent(care: Care) -> None:
    thread = created_ticket(care).thread_id
    write(care.doctor, thread)
    for ask in (
        lambda: message_page(care.pharmacy, thread),
        lambda: mark_read(care.pharmacy, thread, 1),
        lambda: write(care.pharmacy, thread),
    ):
        with pytest.raises(TicketError) as caught:
            ask()
        assert caught.value.code == "THREAD_NOT_FOUND"
