"""What a dispatch's page shows of its content, and what it says before a retry."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest

from dashboard.content import content_of, mask_content
from dashboard.dispatch_page import FRAME_POLICY
from dashboard.masking import names_masker
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.lanes import Letter, Row
from dispatchlog.engine.persons import Persons, persons_in_fields
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard, action, page_of
from tests.dashboard.samples import form_in, form_without_recipient, make_due, place_order, send_due, the_row
from tests.engine.lane import enqueue, install, parcel_lane
from tests.outreach import builders

EMAIL = "ada.lovelace@example.org"


def content_card(text: str) -> str:
    """Without the tokens, marks and addresses of its forms: chance may write any name or number into them."""
    text = re.sub(r'((?:name="(?:csrf_token|shown)"[^>]* value| action)=)"[^"]*"', r"\1", text)
    return text[text.index('id="content"') : text.index('id="story"')]


def test_what_was_sent_is_shown_masked(dash: Dashboard) -> None:
    row = form_in("SENT", email=EMAIL)
    support = dash.as_("support")
    card = content_card(support.get(page_of(row)).text)
    assert "What was sent" in card
    assert "<dt>Subject</dt>" in card
    assert "a•••@example.org" in card
    assert "/•••" in card
    frame = support.get(f"{page_of(row)}/content")
    assert frame.headers["Content-Security-Policy"] == FRAME_POLICY
    assert "<html" in frame.text
    for text in (card, frame.text):
        assert EMAIL not in text
        assert "/form/" not in text


def test_the_content_is_shown_unmasked_for_a_reason_and_that_is_kept(dash: Dashboard) -> None:
    row = form_in("SENT", email=EMAIL)
    support = dash.as_("support")
    support.get(page_of(row))
    text = support.post(action(row, "reveal-content"), follow=True, reason="the patient asks").text
    assert EMAIL in content_card(text)
    assert "/form/" in support.get(f"{page_of(row)}/content").text
    assert EMAIL not in dash.as_("pharmacist").get(page_of(row)).text
    with connected():
        (kept,) = fetch_dicts("SELECT actor, reason FROM operator_actions WHERE action = 'reveal_content'")
    assert kept == {"actor": "support@example.org", "reason": "the patient asks"}


def test_without_a_reason_the_content_stays_masked(dash: Dashboard) -> None:
    row = form_in("SENT", email=EMAIL)
    support = dash.as_("support")
    text = support.post(action(row, "reveal-content"), follow=True).text
    assert "Say why you need to see it" in text
    assert EMAIL not in text
    with connected():
        assert fetch_dicts("SELECT 1 FROM operator_actions WHERE action = 'reveal_content'") == []


def test_it_is_masked_again_after_a_minute_and_for_every_other_dispatch(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (form_in("SENT", number=number, email=EMAIL) for number in ("VO-1", "VO-2"))
    support = dash.as_("support")
    support.post(action(first, "reveal-content"), reason="x")
    assert EMAIL not in support.get(page_of(second)).text
    monkeypatch.setattr("dashboard.dispatch_page.REVEALED_SECONDS", -1)
    support.post(action(first, "reveal-content"), reason="x")
    assert EMAIL not in support.get(page_of(first)).text


def test_what_is_not_written_yet_is_shown_as_it_would_be_written_and_stored_nowhere(dash: Dashboard) -> None:
    row = form_in("PENDING", email=EMAIL)
    admin = dash.as_("admin")
    card = content_card(admin.get(page_of(row)).text)
    assert "What will be sent" in card
    assert "A preview: it is written when it is sent" in card
    assert "<dt>Subject</dt>" in card
    frame = admin.get(f"{page_of(row)}/content").text
    admin.post(action(row, "reveal-content"), reason="its links would work")
    for text in (card, frame, admin.get(page_of(row)).text, admin.get(f"{page_of(row)}/content").text):
        assert EMAIL not in text
        assert "/form/" not in text
    with connected():
        assert fetch_dicts("SELECT FROM dispatch_payloads WHERE dispatch_id = %s", (row["id"],)) == []


def test_what_cannot_be_written_has_no_preview(dash: Dashboard) -> None:
    row = form_without_recipient()
    viewer = dash.as_("viewer")
    assert "It is written when it is sent" in content_card(viewer.get(page_of(row)).text)
    assert viewer.get(f"{page_of(row)}/content").status_code == 404


def test_json_is_shown_as_text(dash: Dashboard) -> None:
    form_in("SENT")
    row = the_row("kit_registration")
    card = content_card(dash.as_("viewer").get(page_of(row, "kit_registration")).text)
    assert "&#34;kitId&#34;: &#34;KIT-VO-20418&#34;" in card
    assert "iframe" not in card


def test_a_lane_that_keeps_its_content_on_the_row_is_shown_from_there(dash: Dashboard, settings_env: Settings) -> None:
    install(settings_env.database_url)
    lane = parcel_lane(FakeGateway(name="post"), body_on_row=True)
    registry.register(lane)
    try:
        (dispatch_id,) = enqueue(lane)
        text = dash.as_("viewer").get(f"/dispatches/parcel/{dispatch_id}").text
    finally:
        registry.unregister(lane)
    assert ">parcel 0</pre>" in text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("open https://a.example/form/abc.def?x=1 now", "open https://a.example/••• now"),
        ('<a href="https://a.example/form/abc">', '<a href="https://a.example/•••">'),
        ("https://a.example", "https://a.example"),
        ("write to ada@example.org or +44 20 7946 0000", "write to a•••@example.org or •••00"),
    ],
)
def test_addresses_numbers_and_links_are_masked(text: str, masked: str) -> None:
    assert mask_content(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"Read it: https://a.example/p/{'x' * 43}.", "Read it: https://a.example/p/•••."),
        (
            f'<a href="https://a.example/p/prefs/{"y-_" * 14}z/one-click">',
            '<a href="https://a.example/p/prefs/•••/one-click">',
        ),
        (
            "https://a.example/p/prefs and https://a.example/form/abc",
            "https://a.example/p/prefs and https://a.example/form/abc",
        ),
    ],
)
def test_what_is_revealed_opens_no_patients_page(text: str, masked: str) -> None:
    shown = content_of(
        parcel_lane(
            FakeGateway(name="post"), body_on_row=True, compose=lambda _: Letter("post", text.encode(), "text/plain")
        ),
        {},
        revealed=True,
    )
    assert shown is not None
    assert shown.text == masked


def test_before_a_retry_the_page_says_what_follows(dash: Dashboard) -> None:
    row = form_in("FAILED", email=EMAIL)
    text = dash.as_("support").get(page_of(row)).text
    said = re.findall(r"<li>([^<]+)</li>", text[text.index('class="consequences"') :].partition("</ul>")[0])
    assert said[0] == "It is sent once to a•••@example.org."
    assert said[1] == "It is written afresh, with what is known now."
    assert "550 5.1.1" in said[2]
    assert EMAIL not in " ".join(said)


def test_others_of_the_same_subject_are_told_before_a_retry(dash: Dashboard) -> None:
    order_id = place_order("VO-1", kits=("KIT-1", "KIT-2"))
    with transaction("test"):
        execute("UPDATE kit_registrations SET due_at = now() + interval '1 hour'")
    text = dash.as_("support").get(page_of(the_row("kit_registration"), "kit_registration")).text
    assert "Others of the same kind for the same subject: 1 pending." in text
    assert "It becomes due at once" in text
    assert order_id


def test_a_stored_script_does_not_leave_the_frame(dash: Dashboard) -> None:
    row: Any = form_in("SENT")
    with connected():
        assert "script" not in FRAME_POLICY
    frame = dash.as_("viewer").get(f"{page_of(row)}/content")
    assert frame.headers["Content-Security-Policy"].startswith("sandbox;")


def test_a_cancelled_order_speaks_against_a_retry(dash: Dashboard) -> None:
    failed, doubtful = form_in("FAILED", number="VO-1"), form_in("IN_DOUBT", number="VO-2")
    support = dash.as_("support")
    assert "Its order was cancelled." not in support.get(page_of(failed)).text
    with transaction("test"):
        execute("UPDATE orders SET status = 'cancelled'")
    assert "<li>Its order was cancelled.</li>" in support.get(page_of(failed)).text
    desk = support.get("/in-doubt").text
    assert "<strong>Its order was cancelled.</strong>" in desk
    assert str(doubtful["id"]) in desk


RECORD = {
    "kind": "visit",
    "patient": {"name": {"family": "O'Neill", "given": ["Zoë", "Ann"]}, "born": "2012-05-04", "phone": None},
    "note": "ZOË was seen; Zoë's mother, Mrs O'Neill, asked for a letter.",
}


def hl7_persons(_: Row, body: bytes) -> list[str]:
    """As a lane of another format declares them: every component of the segments about a person."""
    segments = [line.split("|") for line in body.decode().split("\r")]
    return [part for fields in segments if fields[0] in ("PID", "NK1") for field in fields for part in field.split("^")]


# Random letters, which may be those of a name.
_CSRF = re.compile(r'name="csrf_token"[^>]*')


def card_of(dash: Dashboard, body: bytes, content_type: str, persons: Persons, *, reveal: bool = False) -> str:
    lane = parcel_lane(
        FakeGateway(name="post"),
        body_on_row=True,
        compose=lambda _: Letter("post", body, content_type),
        persons=persons,
    )
    registry.register(lane)
    try:
        (dispatch_id,) = enqueue(lane)
        support, page = dash.as_("support"), f"/dispatches/parcel/{dispatch_id}"
        support.get(page)
        if reveal:
            support.post(f"{page}/reveal-content", reason="the patient asks")
        return _CSRF.sub("", content_card(support.get(page).text))
    finally:
        registry.unregister(lane)


def test_the_persons_that_a_lane_declares_are_masked_until_they_are_revealed(
    dash: Dashboard, settings_env: Settings
) -> None:
    install(settings_env.database_url)
    body = json.dumps(RECORD).encode()
    card = card_of(dash, body, "application/json", persons_in_fields("patient"))
    assert "visit" in card
    assert "was seen" in card
    for secret in ("Neill", "Zo", "ZO", "Ann", "2012"):
        assert secret not in card, secret
    card = card_of(dash, body, "application/json", persons_in_fields("patient"), reveal=True)
    assert "Zoë" in card
    with connected():
        assert fetch_dicts("SELECT reason FROM operator_actions WHERE action = 'reveal_content'") == [
            {"reason": "the patient asks"}
        ]


def test_a_lane_of_another_format_declares_its_persons_itself(dash: Dashboard, settings_env: Settings) -> None:
    install(settings_env.database_url)
    body = "\r".join(
        (
            "MSH|^~\\&|LAB|SCH-01",
            "PID|1||S-4471||Lovelace^Ada^King||20120504|F",
            "NTE|1||Seen with ADA LOVELACE, 20120504",
        )
    ).encode()
    card = card_of(dash, body, "text/plain", hl7_persons)
    assert "SCH-01" in card
    assert "Seen with" in card
    for secret in ("Lovelace", "LOVELACE", "Ada", "ADA", "King", "4471", "20120504"):
        assert secret not in card, secret


def test_what_cannot_be_read_for_its_persons_is_not_shown_masked(dash: Dashboard, settings_env: Settings) -> None:
    install(settings_env.database_url)
    card = card_of(dash, b'{"patient": "Ada', "application/json", persons_in_fields("patient"))
    assert "Ada" not in card
    assert "It cannot be read well enough to mask who it names" in card
    assert "Ada" in card_of(dash, b'{"patient": "Ada', "application/json", persons_in_fields("patient"), reveal=True)


def test_the_practitioner_is_masked_in_a_form_and_its_html(dash: Dashboard) -> None:
    place_order("VO-1", clinic=("Dr. Maren O'Hara & Sons", "solberg.example.com"))
    send_due("kit_registration")
    make_due("health_information")
    send_due("health_information")
    row = the_row("health_information")
    support = dash.as_("support")
    shown = content_card(support.get(page_of(row)).text) + support.get(f"{page_of(row)}/content").text
    assert "health information form" in shown
    for secret in ("Maren", "Hara"):
        assert secret not in shown, secret
    support.post(action(row, "reveal-content"), reason="x")
    assert "Maren" in support.get(f"{page_of(row)}/content").text


@pytest.mark.parametrize(
    ("names", "text", "masked"),
    [
        (["Ada Lovelace"], "Dear ada lovelace, LOVELACE^ADA, Ada", "Dear •••, •••^•••, •••"),
        (["Ada Lovelace"], "Ada\nLovelace came; adamant", "••• came; adamant"),
        (["Linden Health"], "a health form of Linden  Health", "a health form of •••"),
        (["O'Brien"], "O'Brien, O&#39;Brien and O&#x27;Brien", "•••, ••• and •••"),
        (["Zoe\u0308"], "Zo\u00eb, Zo\\u00eb", "•••, •••"),
        (["", "  ", ".*"], "nothing", "nothing"),
        (["Anne-Marie Li"], "Anne and Li", "••• and •••"),
    ],
)
def test_a_name_is_found_however_it_is_written(names: list[str], text: str, masked: str) -> None:
    assert names_masker(names)(text) == masked


@pytest.mark.parametrize("status", ["PENDING", "SENT", "FAILED", "CANCELLED"])
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.EMAIL])
def test_a_message_to_a_patient_is_read_from_its_row_in_every_state(
    dash: Dashboard, status: str, channel: Channel
) -> None:
    patient_id, text = builders.patient(), "We look forward to seeing you."
    make = patient_rows.planned if status == "PENDING" else partial(patient_rows.moved, status=status)
    job_id = make(patient_id, channel=channel)
    page = f"/dispatches/comm_job/{job_id}"
    support = dash.as_("support")
    masked = content_card(support.get(page).text)
    assert "Show the content" in masked
    assert text not in masked
    card = content_card(support.post(f"{page}/reveal-content", follow=True, reason="the patient asks").text)
    assert text in card
    assert ("Your appointment" in card) is (channel is Channel.EMAIL)
