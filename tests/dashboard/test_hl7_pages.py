"""The HL7 pages: what the list shows and lets through, asking again, one message masked and unmasked, editing it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.endpoints import routes
from dispatchlog.systems.hl7.retrying import retry_all
from tests.dashboard.browsing import Dashboard, Visitor, page_of
from tests.dashboard.hl7_samples import SECRETS, add_school, found, message
from tests.dashboard.test_plans import statements
from tests.systems.hl7.visits import VISIT

LIST = "/admin/hl7"


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    """An admin, and two schools whose endpoints are switched off."""
    routes.forget()
    add_school("SCH-01", "Palm Grove School")
    add_school("SCH-02", "Harbour School")
    return dash.as_("admin")


def control_ids(text: str) -> list[str]:
    return re.findall(r">Select ([0-9A-Z]{20})<", text)


def of(row: Row, name: str = "") -> str:
    return f"{LIST}/{row['id']}" + (f"/{name}" if name else "")


def logged(action: str) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM operator_actions WHERE action = %s ORDER BY id", (action,))


def another(name: str) -> Any:
    return replace(VISIT, student=replace(VISIT.student, id=name))


def test_only_an_admin_has_the_entry_in_the_menu(dash: Dashboard) -> None:
    assert f'href="{LIST}"' in dash.as_("admin").get("/").text
    for role in ("viewer", "support", "pharmacist", "auditor"):
        assert f'href="{LIST}"' not in dash.as_(role).get("/").text


def test_the_list_says_what_each_message_is_and_names_nobody(admin: Visitor) -> None:
    failed, sent = message("FAILED"), message("SENT")
    text = admin.get(LIST).text
    for words in ("Assessment", "ORU^R01", str(failed["id"])[:12], "S-10042", "A••• M••• M•••", "SCH-01"):
        assert words in text
    assert "The receiver refused it as faulty: a code is not known there" in text
    assert "ACK_AE_103" in text
    assert control_ids(text) == [sent["control_id"], failed["control_id"]]
    assert not [secret for secret in SECRETS if secret in text]


def test_the_filters_stand_in_the_address_and_let_through_what_they_say(admin: Visitor) -> None:
    failed, elsewhere, sent = message("FAILED"), message("FAILED", school="SCH-02"), message("SENT")
    old = message()
    for query, expected in (
        ("status=FAILED", {failed["control_id"], elsewhere["control_id"]}),
        ("status=FAILED&school=SCH-02", {elsewhere["control_id"]}),
        ("school=SCH-01", {failed["control_id"], sent["control_id"], old["control_id"]}),
        (f"from={datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}", set()),
        (
            f"from={datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}&to={datetime.now(UTC):%Y-%m-%d}&status=SENT",
            {sent["control_id"]},
        ),
        (f"to={datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}", set()),
    ):
        assert set(control_ids(admin.get(f"{LIST}?{query}").text)) == expected, query


def test_what_cannot_be_read_of_a_filter_is_named_and_the_rest_shown(admin: Visitor) -> None:
    failed = message("FAILED")
    message("SENT")
    text = admin.get(f"{LIST}?status=FAILED&school=NOWHERE&from=yesterday&at=nonsense").text
    for problem in ("School “NOWHERE” is not known", "From “yesterday” is not a date", "The place in the list"):
        assert problem in text
    assert control_ids(text) == [failed["control_id"]]


def test_pages_follow_each_other_without_a_gap(admin: Visitor) -> None:
    made = [message(visit=another(f"S-{number}"))["control_id"] for number in range(53)]
    first = admin.get(LIST).text
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older
    second = admin.get(older[1].replace("&amp;", "&")).text
    assert control_ids(first) + control_ids(second) == made[::-1]
    newer = re.search(r'href="([^"]+)" rel="prev"', second)
    assert newer
    assert control_ids(admin.get(newer[1].replace("&amp;", "&")).text) == control_ids(first)


def test_all_failed_of_the_school_shown_are_retried(admin: Visitor) -> None:
    failed, elsewhere = message("FAILED"), message("FAILED", school="SCH-02")
    admin.get(LIST)
    text = admin.post(f"{LIST}/retry-all", status="FAILED", school="SCH-01", follow=True).text
    assert "1 failed message is due now." in text
    assert (found(failed["id"])["status"], found(elsewhere["id"])["status"]) == ("PENDING", "FAILED")
    assert "Last retry by hand" in text
    assert "admin@example.org" in text


def test_all_pending_are_due_now_with_their_count_at_nought(admin: Visitor) -> None:
    row = message("RETRYING")
    assert row["due_at"] > datetime.now(UTC)
    admin.get(LIST)
    assert "1 waiting message is due now." in admin.post(f"{LIST}/retry-all", status="PENDING", follow=True).text
    now = found(row["id"])
    assert (now["due_at"] <= datetime.now(UTC), now["attempts"] - now["attempts_forgiven"]) == (True, 0)


def test_above_a_hundred_the_number_has_to_be_typed(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.hl7_messages.CONFIRM_ABOVE", 1)
    rows = [message("FAILED", visit=another(f"S-{number}")) for number in range(2)]
    admin.get(LIST)
    asked = admin.post(f"{LIST}/retry-all", status="FAILED", follow=True)
    assert "Type how many, to confirm" in asked.text
    wrong = admin.post(f"{LIST}/retry-all", status="FAILED", shown="2", number="3")
    assert (wrong.status_code, "Type 2 to confirm." in wrong.text) == (400, True)
    assert {found(row["id"])["status"] for row in rows} == {"FAILED"}
    admin.post(f"{LIST}/retry-all", status="FAILED", shown="2", number="2", reason="the exchange is back")
    assert {found(row["id"])["status"] for row in rows} == {"PENDING"}
    assert {row["reason"] for row in logged("retry")} == {"the exchange is back"}


def test_more_than_one_call_takes_are_gone_on_with(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_at_a_time(*args: Any, **named: Any) -> Any:
        return retry_all(*args, **named, most=1)

    monkeypatch.setattr("dashboard.hl7_messages.retry_all", one_at_a_time)
    rows = [message("RETRYING", visit=another(f"S-{number}")) for number in range(2)]
    admin.get(LIST)
    text = admin.post(f"{LIST}/retry-all", status="PENDING", follow=True).text
    after = re.search(r'name="after" value="(\d+)"', text)
    assert after
    admin.post(f"{LIST}/retry-all", status="PENDING", after=after[1])
    assert all(found(row["id"])["due_at"] <= datetime.now(UTC) for row in rows)


def test_the_ticked_ones_and_one_alone_are_retried(admin: Visitor) -> None:
    one, two, three = (message("FAILED", visit=another(f"S-{number}")) for number in range(3))
    admin.get(LIST)
    picked = [str(one["id"]), str(two["id"]), "nonsense", str(uuid4())]
    text = admin.post(f"{LIST}/retry", pick=picked, follow=True).text
    assert "2 selected messages are due now. 1 stayed as they were." in text
    assert found(three["id"])["status"] == "FAILED"
    assert "Its retry count is 0 again." in admin.post(of(three, "retry"), follow=True).text
    assert found(three["id"])["status"] == "PENDING"


@pytest.mark.parametrize(
    ("place", "fields", "words"),
    [
        ("retry-all", {"status": "SENT"}, "Nothing was retried"),
        ("retry-all", {"status": "FAILED", "school": "NOWHERE"}, "Nothing was retried"),
        ("retry", {"pick": "nonsense"}, "Nothing is selected"),
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(
    admin: Visitor, place: str, fields: dict[str, str], words: str
) -> None:
    row = message("FAILED")
    admin.get(LIST)
    assert words in admin.post(f"{LIST}/{place}", follow=True, **fields).text
    assert found(row["id"]) == row


def test_a_message_is_laid_out_masked_with_its_acknowledgement(admin: Visitor) -> None:
    row = message("FAILED")
    text = admin.get(of(row)).text
    for words in ("Patient name", "PID-5", "Body temperature: 36.8 Cel", "MSA", "Table value not found", "PID|1||•••"):
        assert words in text
    assert "A••• M••• M•••" in text
    assert not [secret for secret in SECRETS if secret in text]
    assert f'href="{page_of(row, "hl7")}"' in text
    assert f'href="{of(row)}"' in admin.get(page_of(row, "hl7")).text


def test_it_is_shown_unmasked_for_a_reason_and_that_is_kept(admin: Visitor) -> None:
    row = message("FAILED")
    admin.get(of(row))
    assert "Say why you need to see it" in admin.post(of(row, "reveal"), follow=True).text
    assert logged("reveal_content") == []
    text = admin.post(of(row, "reveal"), reason="the school asks", follow=True).text
    assert not [secret for secret in SECRETS if secret not in text]
    assert "Maryam Al Mansoori: sex is not known" in text
    (kept,) = logged("reveal_content")
    assert (kept["actor"], kept["reason"], kept["dispatch_id"]) == ("admin@example.org", "the school asks", row["id"])
    assert "Maryam" not in admin.get(of(message())).text


def test_the_generic_page_shows_the_content_masked_to_everybody(dash: Dashboard, admin: Visitor) -> None:
    row = message("FAILED")
    text = dash.as_("viewer").get(page_of(row, "hl7")).text
    assert "OBX|1|NM|8310-5^Body temperature^LN||36.8|" in text
    assert "Table value not found" in text
    assert not [secret for secret in SECRETS if secret in text]
    assert LIST not in text


def test_it_says_what_holds_a_message(admin: Visitor) -> None:
    failed, waiting = message("FAILED"), message()
    text = admin.get(of(waiting)).text
    assert "The school&#39;s endpoint is switched off." in text
    assert "It waits behind an earlier one of the same student, which failed." in text
    assert f'href="{of(failed)}">Show message {failed["control_id"]}</a>' in text
    schools.change_endpoint("SCH-02", {"enabled": True, "host": "127.0.0.1", "tls": False}, actor="test")
    again = admin.get(of(message("RETRYING", school="SCH-02"))).text
    assert "The last try did not get through. It is tried again" in again
    assert "switched off" not in again


def test_a_message_that_does_not_exist_is_not_found(admin: Visitor) -> None:
    assert admin.get(f"{LIST}/{uuid4()}").status_code == 404
    assert admin.get(f"{LIST}/nonsense").status_code == 404


def test_a_message_is_cancelled_with_a_reason(admin: Visitor) -> None:
    row = message("FAILED")
    page = admin.get(of(row)).text
    cancel = re.search(r'action="(/dispatches/hl7/[^"]+/cancel)"', page)
    assert cancel
    text = admin.post(cancel[1], reason="ordered twice", back=of(row), **{"return": "back"}, follow=True).text
    assert "Cancelled. It will not be sent." in text
    assert found(row["id"])["status"] == "CANCELLED"


def open_form(admin: Visitor, row: Row) -> str:
    admin.get(of(row))
    return admin.post(of(row, "edit"), reason="the name is misspelt", follow=True).text


def newest() -> Row:
    with connected():
        return found(fetch_one("SELECT id FROM hl7_messages ORDER BY created_at DESC LIMIT 1")[0])


def test_editing_sends_a_new_message_in_place_of_the_failed_one(admin: Visitor) -> None:
    row = message("FAILED")
    form = open_form(admin, row)
    assert 'value="Maryam"' in form
    assert len(logged("reveal_content")) == 1
    fields = fields_of(form)
    fields |= {"student.given_name": "Mariam", "vitals.temperature_c": "37.2", "diagnoses.0.code": ""}
    text = admin.post(of(row, "rewrite"), follow=True, **fields).text
    assert "A new message is queued to be sent. The old one is cancelled." in text
    new = newest()
    assert f'wrote it in place of <a href="{of(row)}">message {row["control_id"]}</a>' in text
    assert f"message {new['control_id']}</a> in its place" in admin.get(of(row)).text
    body = bytes(new["body"]).decode()
    assert "Mariam" in body
    assert "|37.2|" in body
    assert "J06.9" not in body
    assert [row["reason"] for row in logged("rewrite")] == ["the name is misspelt"] * 2


def fields_of(form: str) -> dict[str, Any]:
    """The form's fields as a browser sends them."""
    from html import unescape

    inside = form[form.index("/rewrite") :]
    found_fields = {
        name: unescape(value)
        for name, value in re.findall(r'<input id="[^"]+" name="([^"]+)"[^>]*? value="([^"]*)"', inside)
    }
    for name, options in re.findall(r'<select id="[^"]+" name="([^"]+)"[^>]*>(.*?)</select>', inside, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found_fields[name] = chosen[1] if chosen else ""
    for name, value in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>\n(.*?)</textarea>', inside, re.DOTALL):
        found_fields[name] = unescape(value)
    return found_fields


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("student.birth_date", "2031-01-01", "is after the visit"),
        ("student.birth_date", "", "Date of birth is missing or cannot be read"),
        ("vitals.temperature_c", "warm", "cannot be read"),
        ("vitals.temperature_c", "99", "is not between 25 and 45"),
        ("student.family_name", "A\x07B", "holds the control character U+0007"),
        ("diagnoses.0.code", "nonsense", "is not an ICD-10 code"),
    ],
)
def test_what_cannot_be_sent_is_said_at_its_field_and_nothing_changes(
    admin: Visitor, name: str, value: str, words: str
) -> None:
    row = message("FAILED")
    fields = fields_of(open_form(admin, row)) | {name: value, "student.given_name": "Mariam"}
    answer = admin.post(of(row, "rewrite"), **fields)
    assert answer.status_code == 400
    fault = re.search(rf'id="f-{name.replace(".", "-")}-fault">([^<]*)<', answer.text)
    assert fault
    assert words.lower() in fault[1].lower()
    assert 'value="Mariam"' in answer.text
    assert found(row["id"]) == row
    assert newest()["id"] == row["id"]


def test_a_message_that_was_sent_is_sent_again_only_when_somebody_says_so(admin: Visitor) -> None:
    row = message("SENT")
    form = open_form(admin, row)
    assert "the receiver gets a second message with a new control id" in form
    fields = fields_of(form) | {"student.given_name": "Mariam", "second": ""}
    assert admin.post(of(row, "rewrite"), **fields).status_code == 400
    assert newest()["id"] == row["id"]
    assert (
        "The old one stays as it is." in admin.post(of(row, "rewrite"), follow=True, **fields | {"second": "yes"}).text
    )
    assert newest()["replaces_id"] == row["id"]


def test_the_form_opens_only_after_somebody_said_why(admin: Visitor) -> None:
    row = message("FAILED")
    text = admin.get(of(row, "edit"), follow_redirects=True).text
    assert "Say first why it has to be edited." in text
    assert "Maryam" not in text
    admin.post(of(row, "rewrite"), **{"student.given_name": "Mariam", "reason": "why"})
    assert newest()["id"] == row["id"]


def test_what_may_have_left_is_not_offered_for_editing(admin: Visitor) -> None:
    row = message(first_claimed_at=datetime.now(UTC))
    text = admin.get(of(row)).text
    assert "It cannot be edited now: an earlier try of it may have arrived" in text
    assert "Open the form" not in text


def test_no_page_of_messages_reads_all_of_them(admin: Visitor) -> None:
    row = message("FAILED")
    _crowd(row["id"])
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    addresses = [
        LIST,
        f"{LIST}?status=FAILED",
        f"{LIST}?school=SCH-01",
        f"{LIST}?status=SENT&school=SCH-02&from={day}&to={day}",
        f"{LIST}?at=older.1767225600000000.00000000000000000000000000000000&status=PENDING",
        f"{LIST}/retry-all?status=FAILED&school=SCH-01",
        of(row),
    ]
    bad = []
    for address in addresses:
        with statements() as asked:
            assert admin.get(address).status_code == 200, address
        bad += [(address, sql) for sql, parameters in asked for sql in unindexed(sql, parameters)]
    assert bad == []


def unindexed(sql: str, parameters: Any) -> list[str]:
    """The statement, where PostgreSQL has no index to walk for it and sorts or reads whole tables."""
    from dispatchlog.engine.database import fetch_all
    from tests.dashboard.test_plans import nodes

    with connected():
        execute("SET enable_seqscan = off")
        execute("SET enable_bitmapscan = off")
        plan = fetch_all(f"EXPLAIN (FORMAT JSON) {sql}", parameters)[0][0]
        execute("RESET enable_seqscan")
        execute("RESET enable_bitmapscan")
    big = ("hl7_messages", "visits", "operator_actions", "dispatch_attempts")
    read = [node for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan" and node["Relation Name"] in big]
    sorted_ = "FROM hl7_messages m" in sql and any(node["Node Type"] == "Sort" for node in nodes(plan[0]["Plan"]))
    return [sql] if read or sorted_ else []


def _crowd(like: UUID) -> None:
    """Many messages like this one, at other times and in two states."""
    columns = (
        "route, ordering_key, visit_id, school_id, message_type, body, student_number, student_name, subject_id,"
        " search_keys"
    )
    with transaction("test"):
        execute(
            f"INSERT INTO hl7_messages (id, control_id, created_at, {columns}) SELECT gen_random_uuid(), 'C' || n,"
            f" now() - n * interval '1 min', {columns} FROM hl7_messages, generate_series(1, 3000) n WHERE id = %s",
            (like,),
        )
        execute("UPDATE hl7_messages SET status = 'CANCELLED' WHERE control_id LIKE 'C%%7'")
    with connected():
        execute("ANALYZE hl7_messages")
