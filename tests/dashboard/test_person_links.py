"""For whom an account acts in tickets: linked and unlinked by administrators, and what its person then sees."""

from __future__ import annotations

from html import unescape
from uuid import uuid4

import pytest
from flask import jsonify

from dashboard.access import TICKETS, needs
from dashboard.acting import acting_identity, overseer
from dispatchlog import account_links, people
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.people import PersonError
from dispatchlog.systems.courier.pharmacies import put_pharmacy
from dispatchlog.systems.tickets.identity import identity_of_account
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.states import PartyKind
from tests.dashboard.browsing import PASSWORD, Dashboard, Visitor
from tests.systems.courier_samples import PHARMACY
from tests.systems.ticket_samples import new_party

DOCTOR = "doctor@example.org"


def id_of(email: str) -> int:
    with connected():
        return int(fetch_one("SELECT id FROM staff_users WHERE email = %s", (email,))[0])


def link(admin: Visitor, email: str = DOCTOR, **fields: str) -> str:
    """Link the account on its page; what the page says of it."""
    known = {"whom": "new:doctor", "name": "Dr Sample North", "reason": "she is at the desk", **fields}
    return after(admin, "link", email, **known)


def after(admin: Visitor, action: str, email: str, **fields: str) -> str:
    page = f"/people/{id_of(email)}"
    admin.get(page)
    assert admin.post(f"{page}/{action}", **fields).status_code == 303
    return unescape(admin.get(page).text)


def last_action() -> tuple[str, str, str, int]:
    with connected():
        rows = fetch_all(
            "SELECT actor, action, reason, (detail ->> 'user_id')::int FROM operator_actions"
            " WHERE action <> 'sign_in' ORDER BY id DESC LIMIT 1"
        )
    return rows[0]  # type: ignore[no-any-return]


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    """An administrator, and a page that says whom its visitor acts for."""
    dash.app.add_url_rule("/acts-for", "acts_for", needs(TICKETS)(_acts_for))
    return dash.as_("admin")


def _acts_for() -> object:
    who = acting_identity()
    assert acting_identity() is who
    return jsonify(party=who.party_name, kind=who.kind, actor=who.actor, staff=overseer().actor)


def test_an_account_is_linked_to_a_new_party_with_a_reason_that_is_kept(dash: Dashboard, admin: Visitor) -> None:
    assert "acts for Dr Sample North now" in link(admin)
    assert last_action() == ("admin@example.org", "link_account", "she is at the desk", id_of(DOCTOR))
    shown = dash.as_("doctor").get("/acts-for").json
    assert shown == {"party": "Dr Sample North", "kind": "doctor", "actor": DOCTOR, "staff": DOCTOR}
    with connected():
        assert fetch_all("SELECT email FROM care_identity(NULL, %s)", (id_of(DOCTOR),)) == [(DOCTOR,)]
    assert "Linked an account to whom it acts for" in admin.get("/audit").text


def test_a_patient_is_linked_and_listed_to_nobody_else(admin: Visitor) -> None:
    assert "(patient)" in link(admin, "patient@example.org", whom="new:patient", name="Sample Patient")
    assert "Sample Patient" not in admin.get(f"/people/{id_of(DOCTOR)}").text


def test_an_account_is_linked_to_a_pharmacy_of_the_list_or_by_its_code(admin: Visitor) -> None:
    with connected():
        pharmacy = put_pharmacy(PHARMACY, source="test")
    page = admin.get(f"/people/{id_of('pharmacist@example.org')}").text
    assert f'<option value="{pharmacy["id"]}">{pharmacy["name"]}</option>' in page
    for fields in ({"whom": str(pharmacy["id"])}, {"party": pharmacy["code"]}, {"party": str(pharmacy["id"])}):
        said = link(admin, "pharmacist@example.org", **{"whom": "", **fields})
        assert f"acts for {pharmacy['name']} now" in said
        after(admin, "unlink", "pharmacist@example.org", reason="once more")


def test_an_unlinked_account_sees_nothing_at_once_and_can_act_for_somebody_else(
    dash: Dashboard, admin: Visitor
) -> None:
    link(admin)
    doctor = dash.as_("doctor")
    assert doctor.get("/acts-for").status_code == 200
    assert "acts for nobody any more" in after(admin, "unlink", DOCTOR, reason="she has left")
    assert last_action() == ("admin@example.org", "person_unlinked", "she has left", id_of(DOCTOR))
    assert doctor.get("/acts-for").status_code == 403
    assert "acted for nobody already" in after(admin, "unlink", DOCTOR, reason="she has left")
    assert "acts for Dr Sample South now" in link(admin, name="Dr Sample South")
    assert doctor.get("/acts-for").json["party"] == "Dr Sample South"


def test_whoever_acts_for_nobody_is_told_what_to_do(dash: Dashboard, admin: Visitor) -> None:
    doctor = dash.as_("doctor")
    answer = doctor.get("/acts-for")
    assert answer.status_code == 403
    assert "Your account acts for nobody yet" in answer.text
    assert "Ask an administrator" in answer.text
    assert 'href="/account"' in answer.text
    assert doctor.get("/acts-for", headers={"Accept": "application/json"}).json["code"] == "PERSON_UNKNOWN"
    link(admin)
    with transaction("test"):
        party = identity_of_account(id_of(DOCTOR)).party_id
        execute("SELECT care_put_party(%s, 'doctor', 'Dr Sample North', NULL, false)", (party,))
    answer = doctor.get("/acts-for")
    assert (answer.status_code, "You do not act for anybody any more" in answer.text) == (403, True)
    assert "Not active" in admin.get(f"/people/{id_of(DOCTOR)}").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": ""}, "Say why"),
        ({"whom": ""}, "choose for whom the account acts"),
        ({"whom": "new:pharmacy"}, "neither the id of a party nor the code of a pharmacy"),
        ({"whom": "nonsense\x00"}, "neither the id of a party nor the code of a pharmacy"),
        ({"party": str(uuid4())}, "there is no such party"),
        ({"name": ""}, "Nothing was changed"),
    ],
)
def test_what_cannot_be_linked_is_said_and_changes_nothing(admin: Visitor, fields: dict[str, str], said: str) -> None:
    assert said in link(admin, **fields)
    with connected(), pytest.raises(TicketError, match="nobody has said"):
        identity_of_account(id_of(DOCTOR))
    with connected():
        assert fetch_one("SELECT count(*) FROM operator_actions WHERE action = 'link_account'")[0] == 0


def test_an_account_acts_for_one_party(admin: Visitor) -> None:
    link(admin)
    assert "acts for somebody else already" in link(admin, name="Dr Sample South")
    with connected():
        assert identity_of_account(id_of(DOCTOR)).party_name == "Dr Sample North"


def test_nobody_links_or_unlinks_their_own_account(dash: Dashboard, admin: Visitor) -> None:
    own = "admin@example.org"
    page = admin.get(f"/people/{id_of(own)}").text
    assert "/link" not in page
    assert "this is your own account" in link(admin, own)
    account_links.link_account(own, name="Sample", kind=PartyKind.DOCTOR, actor="cli")
    assert "this is your own account" in after(admin, "unlink", own, reason="why not")
    with connected():
        assert identity_of_account(id_of(own)).party_name == "Sample"


def test_a_party_of_another_kind_than_asked_for_is_refused(dash: Dashboard) -> None:
    with connected():
        doctor = new_party("doctor", "Dr Sample North")
    with pytest.raises(TicketError) as refused:
        account_links.link_account(DOCTOR, name="Sample", kind=PartyKind.PHARMACY, party_id=doctor, actor="cli")
    assert refused.value.code == "PARTY_OF_OTHER_KIND"
    with pytest.raises(TicketError) as refused:
        account_links.link_account(DOCTOR, name="Sample", kind=PartyKind.PHARMACY, actor="cli")
    assert refused.value.code == "NOT_NEW"
    with pytest.raises(PersonError):
        account_links.link_account("nobody@example.org", name="Sample", kind=PartyKind.DOCTOR, actor="cli")
    with connected(), pytest.raises(TicketError, match="nobody has said"):
        identity_of_account(id_of(DOCTOR))


def test_the_page_says_where_a_link_is_of_no_use_without_a_role(admin: Visitor) -> None:
    people.create_user("desk@example.org", roles=["viewer"], password=PASSWORD)
    assert "None of their roles takes part in tickets" in link(admin, "desk@example.org")
    people.set_roles("desk@example.org", ["viewer", "doctor"])
    assert "None of their roles" not in admin.get(f"/people/{id_of('desk@example.org')}").text
