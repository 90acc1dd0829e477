"""Everybody and every page: what is in a ticket is its parties' alone; a stranger cannot even tell that there is one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.routing import Rule

from dispatchlog.engine.database import connected, fetch_dicts, fetch_one
from dispatchlog.people import create_user
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import ItemInput
from dispatchlog.systems.tickets.prescribing import keep_draft
from dispatchlog.systems.tickets.states import TicketStatus
from tests.dashboard.browsing import PASSWORD, Dashboard, Visitor
from tests.dashboard.ticket_accounts import link, link_accounts, new_patient, say, ticket
from tests.systems.ticket_samples import Care

CONTENT = "CANARY-CONTENT-5501"
NAME = "Canaryname Patientson"
# Parts of these, for a page repeats what was searched for.
SEARCHES = ("5501", "Patientson")
# Paths that stream, or that are no page of anybody's.
_NOT_ASKED = re.compile(r"^/(live|static|api|metrics|webhooks)")
_CHANGING = re.compile(
    r'(csrf_token"[^>]*value=|name="message_id"[^>]*value=|name="shown"[^>]*value=|nonce=|datetime=)"[^"]*"'
    r"|\d+ (s|min|h) ago|just now|in \d+ (s|min|h)|\d\d:\d\d(:\d\d)?|place=\d+|[0-9a-f]{32}"
)


@dataclass
class Planted:
    """One ticket with canaries in it, and everything that names it."""

    care: Care
    number: str
    values: dict[str, str]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.values.values())


def plant(status: TicketStatus) -> Planted:
    """A ticket of the accounts doctor@, pharmacist@ and patient@, with canaries in all that somebody wrote."""
    care = link_accounts()
    patient = new_patient(NAME)
    row = ticket(care, TicketStatus.CREATED, patient=patient)
    say(care.doctor, row, f"{CONTENT} in a message")
    keep_draft(care.doctor, row["id"], {"notes": f"{CONTENT} in a draft", "items": []})
    if status is not TicketStatus.CREATED:
        item = ItemInput(name=f"{CONTENT} tablets", dosage="one")
        row = ticket(care, status, patient=patient, appointment_id=row["appointment_id"], item=item)
    values = {"ticket_id": str(row["id"]), "thread_id": str(row.get("thread_id") or uuid4())}
    with connected():
        told = fetch_dicts("SELECT id FROM ticket_notifications WHERE ticket_id = %s", (row["id"],))
    values |= {"dispatch_id": str(told[0]["id"]) if told else str(uuid4()), "lane_name": "ticket_notification"}
    values |= {
        "subject": f"ticket:{row['id']}",
        "party_id": str(patient.party_id),
        "order_id": str(row["appointment_id"]),
    }
    values["number"] = row["ticket_number"]
    return Planted(care, row["ticket_number"], values)


def as_stranger(dash: Dashboard, role: str, who: Identity) -> Visitor:
    """Somebody with the role, who acts for another party."""
    email = f"stranger-{role}@example.org"
    create_user(email, roles=[role], password=PASSWORD)
    link(email, who)
    visitor = dash.visitor()
    assert visitor.sign_in(email).status_code == 302
    return visitor


def pages(dash: Dashboard, values: dict[str, str]) -> list[str]:
    """Every address that can be looked at, with the ticket's own ids wherever an id belongs."""
    found = []
    for rule in dash.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or _NOT_ASKED.match(rule.rule):
            continue
        found.append(_filled(rule, values))
    searched = ("/tickets?status=sent", "/tickets?unread=1", "/tickets?type=prescription", "/dispatches?status=PENDING")
    named = [f"{path}?{name}={value}" for path in ("/dispatches", "/stories", "/ticket-overview") for name in ("q",)
             for value in (values["number"], values["ticket_id"], *SEARCHES)]  # fmt: skip
    return [*found, *searched, *named, f"/stories/story?subject={values['subject']}"]


def _filled(rule: Rule, values: dict[str, str]) -> str:
    path = rule.rule
    for name in rule.arguments:
        path = re.sub(rf"<(?:\w+(?:\([^)]*\))?:)?{name}>", values.get(name, "1"), path)
    return path


def shown(visitor: Visitor, paths: list[str], ids: tuple[str, ...] = ()) -> dict[str, tuple[int, str]]:
    """What each page answers, without what differs between any two looks."""
    seen = {}
    for path in paths:
        answer = visitor.client.get(path)
        text = answer.text
        place = path
        for value in ids:
            place, text = place.replace(value, "ID"), text.replace(value, "ID")
        seen[place] = (answer.status_code, _CHANGING.sub("", text))
    return seen


def search(visitor: Visitor, text: str) -> str:
    """What every search of the pages finds for it, after being led where it leads."""
    found = []
    for path, field in (("/tickets/search", "q"), ("/stories", "q"), ("/dispatches/search", "q")):
        visitor.get("/help")
        found.append(visitor.post(path, follow=True, **{field: text}).text)
    return "".join(found).replace(text, "").replace(text.lower(), "")


@pytest.mark.parametrize("status", [TicketStatus.CREATED, TicketStatus.SENT, TicketStatus.READY], ids=str)
def test_a_stranger_cannot_tell_from_any_page_that_there_is_a_ticket(dash: Dashboard, status: TicketStatus) -> None:
    """Doctor, pharmacist and patient of other parties: each page is the same as for a ticket that does not exist."""
    planted = plant(status)
    care = planted.care
    nothing = {name: str(uuid4()) if "-" in value else value for name, value in planted.values.items()}
    nothing["number"] = "TKT-20200101-ZZZZZ"
    nothing["subject"] = f"ticket:{nothing['ticket_id']}"
    strangers: list[tuple[str, Visitor]] = [
        ("doctor", as_stranger(dash, "doctor", care.doctor2)),
        ("pharmacist", as_stranger(dash, "pharmacist", care.pharmacy2)),
        ("patient", as_stranger(dash, "patient", care.patient2)),
    ]
    if status is TicketStatus.CREATED:
        strangers.append(("its own pharmacist, too early", dash.as_("pharmacist")))
    for name, visitor in strangers:
        about = shown(visitor, pages(dash, planted.values), planted.ids)
        absent = shown(visitor, pages(dash, nothing), (*nothing.values(),))
        different = {path for path in about if about[path] != absent.get(path)}
        assert different == set(), name
        text = str([*about.values()]) + search(visitor, planted.number) + "".join(search(visitor, t) for t in SEARCHES)
        for secret in (CONTENT, planted.number, "Canaryname"):
            assert secret not in text, (name, secret)


def test_staff_see_that_there_is_a_ticket_and_nothing_of_what_is_in_it(dash: Dashboard) -> None:
    planted = plant(TicketStatus.READY)
    for role in ("viewer", "support", "auditor", "admin"):
        visitor = dash.as_(role)
        about = shown(visitor, pages(dash, planted.values))
        text = str([*about.values()])
        assert planted.number in about["/ticket-overview"][1], role
        assert CONTENT not in text, role
        assert "Canaryname" not in text, role
        assert about[f"/tickets/{planted.values['ticket_id']}"][0] == 403


def test_nobody_who_is_not_signed_in_sees_anything(dash: Dashboard) -> None:
    planted = plant(TicketStatus.SENT)
    text = str(shown(dash.visitor(), pages(dash, planted.values), planted.ids))
    for secret in (CONTENT, planted.number, "Canaryname"):
        assert secret not in text


def test_its_parties_see_it_on_their_pages(dash: Dashboard) -> None:
    """So that the other tests would notice."""
    planted = plant(TicketStatus.SENT)
    for role in ("doctor", "pharmacist"):
        page: Any = dash.as_(role).get(f"/tickets/{planted.values['ticket_id']}").text
        assert (planted.number in page, CONTENT in page, "Canaryname" in page) == (True, True, True)
        listed = dash.as_(role).get("/tickets").text
        assert (planted.number in listed, CONTENT in listed) == (True, False)
    with connected():
        assert fetch_one("SELECT count(*) FROM healthcare_tickets")[0] == 0, "asked by nobody"
