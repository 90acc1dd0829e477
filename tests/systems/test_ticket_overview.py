"""Staff see who, when and how far; what was written only for a while, for a reason that everybody concerned can read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from dispatchlog import people
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.inputs import MessageInput
from dispatchlog.systems.tickets.messages import send_message
from dispatchlog.systems.tickets.overview import (
    Overseer,
    OverviewQuery,
    emergency_content,
    open_emergency_access,
    overview_page,
    ticket_overview,
)
from dispatchlog.systems.tickets.reading import ticket_timeline
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from tests.engine.lane import owner
from tests.systems.ticket_samples import Care, care_database
from tests.systems.ticket_steps import MEDICINES, refused, stored, ticket_at

REASON = "The patient is unconscious in our emergency room"


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def staff(role: str) -> Overseer:
    user_id, _ = people.create_user(f"{role}@example.org", roles=[role])
    return Overseer(user_id, f"{role}@example.org")


def test_staff_find_tickets_by_number_and_ids(care: Care) -> None:
    first, second = ticket_at(care, TicketStatus.CREATED), ticket_at(care, TicketStatus.SENT)
    viewer = staff("viewer")

    def found(**query: object) -> list[object]:
        return [row["id"] for row in overview_page(viewer, OverviewQuery(**query))[0]]  # type: ignore[arg-type]

    assert found() == [second["id"], first["id"]]
    assert found(statuses=[TicketStatus.CREATED]) == [first["id"]]
    assert found(ticket_type=TicketType.REFERRAL) == []
    for ticket in (first, second):
        assert found(text=ticket["ticket_number"]) == found(text=str(ticket["id"])) == [ticket["id"]]
        assert found(text=str(ticket["appointment_id"])) == [ticket["id"]]
    for party in (care.doctor, care.pharmacy, care.patient):
        assert found(text=str(party.party_id)) == [second["id"], first["id"]]
    for text in (str(uuid4()), "Sample Patient", "TKT-1999", "'"):
        assert found(text=text) == []
    page, following = overview_page(viewer, OverviewQuery(limit=1))
    assert following is not None
    rest, end = overview_page(viewer, OverviewQuery(limit=1, after=following))
    assert [page[0]["id"], rest[0]["id"], end] == [second["id"], first["id"], None]


def test_staff_see_how_far_a_ticket_is_and_never_what_was_written(care: Care) -> None:
    ticket = ticket_at(care, TicketStatus.CANCELLED)
    other = ticket_at(care, TicketStatus.RECEIVED)
    send_message(care.doctor, other["thread_id"], MessageInput(uuid4(), "Sample text"))
    viewer = staff("viewer")
    shown = ticket_overview(viewer, other["id"])
    assert [entry["kind"] for entry in shown.timeline] == ["created", "prescription_saved", "status", "status"]
    messages = [(row["number"], row["sender_kind"], row["characters"]) for row in shown.messages]
    assert messages == [(1, "doctor", 11)]
    assert {row["kind"]: row["has_unread"] for row in shown.reading} == {
        "doctor": False,
        "patient": True,
        "pharmacy": True,
    }
    for word in ("Sample text", "Sample medicine", "allergies"):
        assert word not in str(shown)
    assert "written by mistake" not in str(ticket_overview(viewer, ticket["id"]))


def test_whoever_may_not_oversee_finds_nothing(care: Care) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    for who in (staff("pharmacist"), staff("doctor"), Overseer(999_999, "nobody@example.org")):
        assert overview_page(who, OverviewQuery()) == ([], None)
        assert refused(ticket_overview, who, ticket["id"]) == ("TICKET_NOT_FOUND", "")
        assert refused(open_emergency_access, who, ticket["id"], reason=REASON) == ("TICKET_NOT_FOUND", "")
        assert refused(emergency_content, who, ticket["id"]) == ("EMERGENCY_ACCESS_OVER", "")


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_overseeing_alone_opens_nothing(care: Care, settings_env: Settings, role: str) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    assert refused(open_emergency_access, staff(role), ticket["id"], reason=REASON) == ("NOT_ALLOWED", "")
    assert stored(settings_env, "SELECT count(*) FROM emergency_accesses") == [(0,)]


@pytest.mark.parametrize("reason", ["", "   ", "too short"])
def test_an_access_needs_a_reason(care: Care, settings_env: Settings, reason: str) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    assert refused(open_emergency_access, staff("support"), ticket["id"], reason=reason) == (
        "REASON_REQUIRED",
        "reason",
    )
    assert stored(settings_env, "SELECT count(*) FROM emergency_accesses") == [(0,)]


def test_an_access_shows_what_was_written_and_everybody_that_it_was_read(care: Care, settings_env: Settings) -> None:
    ticket, other = ticket_at(care, TicketStatus.RECEIVED), ticket_at(care, TicketStatus.RECEIVED)
    for body in ("First text", "Second text"):
        send_message(care.doctor, ticket["thread_id"], MessageInput(uuid4(), body))
    support, colleague = staff("support"), staff("admin")
    assert refused(emergency_content, support, ticket["id"]) == ("EMERGENCY_ACCESS_OVER", "")
    until = open_emergency_access(support, ticket["id"], reason=REASON)
    assert timedelta(minutes=14) < until - datetime.now(UTC) < timedelta(minutes=16)
    prescription, items, messages = emergency_content(support, ticket["id"])
    assert prescription is not None
    assert prescription["notes"] == MEDICINES.notes
    assert [row["name"] for row in items] == [item.name for item in MEDICINES.items]
    assert [(row["body"], row["party_name"]) for row in messages] == [
        ("First text", "Dr Sample North"),
        ("Second text", "Dr Sample North"),
    ]
    assert [row["number"] for row in emergency_content(support, ticket["id"], before=2)[2]] == [1]
    for who, what in ((support, other), (colleague, ticket)):
        assert refused(emergency_content, who, what["id"]) == ("EMERGENCY_ACCESS_OVER", "")
    for party in (care.doctor, care.pharmacy, care.patient):
        entry = ticket_timeline(party, ticket["id"])[-1]
        assert (entry["kind"], entry["reason"], entry["actor"]) == ("emergency_access", REASON, support.actor)
    actions = stored(
        settings_env,
        "SELECT action, reason, detail ->> 'ticket' FROM operator_actions WHERE actor = %s ORDER BY id",
        support.actor,
    )
    read = ("emergency_read", None, str(ticket["id"]))
    assert actions == [("emergency_access", REASON, str(ticket["id"])), read, read]


def test_an_access_ends(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    support = staff("support")
    open_emergency_access(support, ticket["id"], reason=REASON)
    with owner(settings_env.database_url) as cursor:
        cursor.execute("ALTER TABLE emergency_accesses DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE emergency_accesses SET opened_at = opened_at - interval '1 h', expires_at = expires_at - interval '1 h'"
        )
    assert refused(emergency_content, support, ticket["id"]) == ("EMERGENCY_ACCESS_OVER", "")


def test_an_access_ends_with_the_permission(care: Care, settings_env: Settings) -> None:
    ticket = ticket_at(care, TicketStatus.SENT)
    support = staff("support")
    open_emergency_access(support, ticket["id"], reason=REASON)
    with owner(settings_env.database_url) as cursor:
        cursor.execute("UPDATE staff_users SET active = false WHERE id = %s", (support.user_id,))
    assert refused(emergency_content, support, ticket["id"]) == ("EMERGENCY_ACCESS_OVER", "")
