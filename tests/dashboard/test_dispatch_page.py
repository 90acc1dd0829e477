"""One dispatch: what its page says, and what people do to it there, on real rows."""

from __future__ import annotations

import re
import time

import pytest

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.errors import FenceLost
from dispatchlog.engine.gateway import Receipt
from dispatchlog.engine.ledger import expire_due
from dispatchlog.engine.wakeup import flag, redis_client
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.states import Purpose
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard, action, page_of
from tests.dashboard.samples import (
    fail_for_now,
    form_in,
    form_without_recipient,
    lose_answer,
    make_due,
    place_order,
    refuse,
    registration_in_doubt,
    send_due,
    the_row,
    worker_alive,
)
from tests.outreach import builders


def shown(text: str) -> dict[str, str]:
    """What the page's forms post of the try they show."""
    return {"claim_token": re.search(r'name="claim_token" value="([^"]+)"', text).group(1)}  # type: ignore[union-attr]


def titles(text: str) -> list[str]:
    """The titles of the story, in their order."""
    return re.findall(r"<p><strong>([^<]+)</strong>", text[text.index('id="story"') :])


@pytest.mark.parametrize(
    ("state", "label", "sentence"),
    [
        ("PENDING", "Waiting", "It is not due before"),
        ("QUEUED", "Sending", "took it and is sending it"),
        ("FAILED", "Failed", "Recipient address rejected"),
        ("IN_DOUBT", "In doubt", "We may or may not have sent this"),
        ("SENT", "Sent", "It leaves only once"),
        ("CANCELLED", "Cancelled", "It will never be sent"),
    ],
)
def test_every_state_is_explained_in_plain_words(dash: Dashboard, state: str, label: str, sentence: str) -> None:
    text = dash.as_("viewer").get(page_of(form_in(state))).text
    assert f"</svg>{label}</span>" in text
    assert sentence in text


def test_a_waiting_dispatch_names_every_rule_that_holds_it(dash: Dashboard) -> None:
    text = dash.as_("viewer").get(page_of(form_in("PENDING"))).text
    assert "It leaves with the first sweep after that." in text
    assert "No worker is running" in text
    worker_alive()
    assert "No worker is running" not in dash.as_("viewer").get(page_of(the_row("health_information"))).text


def test_an_open_breaker_is_a_reason(dash: Dashboard, settings_env: Settings) -> None:
    place_order()
    row = the_row("kit_registration")
    gateway = registry.lane("kit_registration").gateway.name
    redis_client(settings_env.redis_url).hset(
        f"dispatchlog:breaker:{gateway}", mapping={"stage": 1, "until": time.time() + 30, "left": 1}
    )
    assert "are paused" in dash.as_("viewer").get(page_of(row, "kit_registration")).text


def test_the_timeline_tells_moves_and_attempts_in_order(dash: Dashboard) -> None:
    text = dash.as_("viewer").get(page_of(form_in("FAILED"))).text
    story = text[text.index('id="story"') :]
    places = [story.index(word) for word in ("Created", "Sending</strong>", "Try 1: refused", "Failed</strong>")]
    assert places == sorted(places)
    assert "SMTP_550" in story


def test_evidence_is_masked(dash: Dashboard) -> None:
    text = dash.as_("admin").get(page_of(form_in("FAILED", email="ada.lovelace@example.org"))).text
    assert "User unknown" in text
    assert "ada.lovelace@" not in text


def test_retry_puts_the_row_back_and_wakes_the_lane(dash: Dashboard, settings_env: Settings) -> None:
    row = form_in("FAILED")
    support = dash.as_("support")
    answer = support.post(action(row, "retry"), follow=True, reason="mended")
    assert "Queued to be sent now." in answer.text
    assert the_row("health_information")["status"] == "PENDING"
    assert redis_client(settings_env.redis_url).exists(flag("health_information"))
    with connected():
        signed = fetch_one(
            "SELECT actor FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id DESC LIMIT 1", (row["id"],)
        )
    assert signed[0] == "support@example.org"


def test_a_retry_needs_a_reason_and_keeps_it(dash: Dashboard) -> None:
    row = form_in("FAILED")
    support = dash.as_("support")
    assert "Say why it is tried again" in support.post(action(row, "retry"), reason=" ", follow=True).text
    assert the_row("health_information")["status"] == "FAILED"
    text = support.post(action(row, "retry"), usual_reason="The cause is mended", reason="", follow=True).text
    assert the_row("health_information")["status"] == "PENDING"
    assert "The cause is mended" in text


def test_making_a_waiting_form_due_now_leaves_it_to_the_sweep(dash: Dashboard) -> None:
    row = form_in("PENDING")
    support = dash.as_("support")
    assert "leaves with the next sweep" in support.post(action(row, "retry"), follow=True, reason="mended").text
    assert the_row("health_information")["due_at"] < row["due_at"]
    assert "Nothing changed" in support.post(action(row, "retry"), follow=True, reason="mended").text


def test_cancel_needs_a_reason_and_keeps_it(dash: Dashboard) -> None:
    row = form_in("FAILED")
    support = dash.as_("support")
    assert "Say why it is cancelled" in support.post(action(row, "cancel"), reason=" ", follow=True).text
    assert the_row("health_information")["status"] == "FAILED"
    text = support.post(action(row, "cancel"), reason="ordered twice", follow=True).text
    assert the_row("health_information")["status"] == "CANCELLED"
    assert "ordered twice" in text


def test_a_sent_dispatch_can_neither_be_retried_nor_cancelled(dash: Dashboard) -> None:
    row = form_in("SENT")
    support = dash.as_("support")
    for name in ("retry", "cancel", "confirm-sent", "confirm-not-sent"):
        assert "Nothing changed" in support.post(action(row, name), reason="because", follow=True).text
    assert the_row("health_information")["status"] == "SENT"


def test_what_a_person_confirmed_is_told_as_their_word(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    page = support.get(page_of(row)).text
    assert "Say how you know" in support.post(action(row, "confirm-sent"), **shown(page), follow=True).text
    support.post(action(row, "confirm-sent"), **shown(page), reason="the patient has answered the form")
    assert the_row("health_information")["status"] == "SENT"
    text = support.get(page_of(row)).text
    assert "support@example.org confirmed that it was sent: “the patient has answered the form”" in text
    assert "Accepted by" not in text
    story = titles(text)
    assert story == ["Created", "Sending", "Try 1: no answer known", "In doubt", "Confirmed: it was sent"]


def test_a_row_in_doubt_is_settled_as_not_sent_and_goes_again(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    page = support.get(page_of(row)).text
    answer = support.post(
        action(row, "confirm-not-sent"), **shown(page), reason="not in the mail server's log", follow=True
    )
    settled = the_row("health_information")
    assert (settled["status"], settled["in_doubt"]) == ("PENDING", False)
    assert settled["idempotency_key"] != row["idempotency_key"]
    assert titles(answer.text)[-1] == "Confirmed: it was not sent"


@pytest.mark.parametrize("name", ["confirm-sent", "confirm-not-sent"])
def test_an_answer_to_an_earlier_try_does_not_count_for_a_later_one(dash: Dashboard, name: str) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    earlier = support.get(page_of(row)).text
    support.post(action(row, "confirm-not-sent"), **shown(earlier), reason="not in its log")
    make_due("health_information")
    send_due("health_information", lose_answer)
    answer = support.post(action(row, name), **shown(earlier), reason="not in its log either", follow=True)
    assert "tried again since this was shown" in answer.text
    assert the_row("health_information")["in_doubt"]


def test_neither_answer_to_a_doubt_is_favoured(dash: Dashboard) -> None:
    text = dash.as_("support").get(page_of(form_in("IN_DOUBT"))).text
    assert "It was not sent, send again" in text
    assert "button primary" not in text[: text.index("</main>")]


def test_a_viewer_is_not_told_to_do_what_only_others_can(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    text = dash.as_("viewer").get(page_of(row)).text
    assert "say so here" not in text
    assert "Somebody with the role support or admin can act." in text
    assert "say so here" in dash.as_("support").get(page_of(row)).text


def test_every_try_shows_the_message_id_it_went_under(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    first = support.get(page_of(row)).text
    assert f"{row['id']}-1@dispatchlog.localhost" in first
    support.post(action(row, "confirm-not-sent"), **shown(first), reason="not in its log")
    make_due("health_information")
    send_due("health_information", lambda row: Receipt(f"{row['idempotency_key']}@dispatchlog.localhost"))
    text = support.get(page_of(row)).text
    story = text[text.index('id="story"') : text.index("</ol>", text.index('id="story"'))]
    assert re.findall(r'Message-ID <span class="[^"]+">([^<]+)<', story) == [
        f"{row['id']}-1@dispatchlog.localhost",
        f"{row['id']}-2@dispatchlog.localhost",
    ]


def test_without_a_recipient_a_retry_is_not_offered_but_a_correction_is(dash: Dashboard) -> None:
    row = form_without_recipient()
    support = dash.as_("support")
    text = support.get(page_of(row)).text
    assert action(row, "retry") not in text
    assert re.search(r'<summary class="button primary">.*Correct the recipient', text)
    assert f"{page_of(row)}?back=" in support.get("/dispatches").text
    assert action(row, "retry") not in support.get("/dispatches").text
    support.post(action(row, "recipient"), recipient="ada.new@example.org", reason="a typing error")
    assert the_row("health_information")["status"] == "PENDING"


def test_a_retry_that_would_come_too_late_is_not_offered(dash: Dashboard) -> None:
    row = registration_in_doubt()
    support = dash.as_("support")
    text = support.get(page_of(row, "kit_registration")).text
    assert "A retry settles it" in text
    assert action(row, "retry", "kit_registration") in text
    with transaction("sample"):
        execute("UPDATE kit_registrations SET expires_at = now() - interval '1 hour'")
    text = support.get(page_of(row, "kit_registration")).text
    assert action(row, "retry", "kit_registration") not in text
    assert "It would not be registered any more: it was of use until" in text
    assert "<span>It was not registered</span>" in text
    answer = support.post(
        action(row, "confirm-not-sent", "kit_registration"), **shown(text), reason="not in its log", follow=True
    )
    assert "It is of no use any more, so it is closed." in answer.text
    with transaction("worker:1"):
        expire_due(registry.lane("kit_registration"))
    assert "It was not registered in time: it was of use until" in support.get(page_of(row, "kit_registration")).text


def test_tries_are_numbered_as_people_count_them(dash: Dashboard) -> None:
    row = form_in("PENDING")
    for answer in (fail_for_now, lambda _: FenceLost("held up"), fail_for_now, refuse):
        make_due("health_information")
        send_due("health_information", answer)
    assert [
        title for title in titles(dash.as_("viewer").get(page_of(row)).text) if "ry" in title or "Stop" in title
    ] == [
        "Try 1: not accepted; may pass later",
        "Stopped before anything left",
        "Try 2: not accepted; may pass later",
        "Try 3: refused for good",
    ]


def test_tries_since_the_last_retry_are_told_apart_from_all(dash: Dashboard) -> None:
    row = form_in("FAILED")
    support = dash.as_("support")
    assert "1 of 5</dd>" in support.get(page_of(row)).text
    support.post(action(row, "retry"), reason="mended")
    send_due("health_information", refuse)
    text = support.get(page_of(row)).text
    assert '1 of 5 since the last retry<span class="sub">2 in all</span>' in text
    assert "Asked to try again" in titles(text)


def test_the_story_tells_seconds(dash: Dashboard) -> None:
    text = dash.as_("viewer").get(page_of(form_in("SENT"))).text
    assert re.search(r">\d+ \w+ \d{4}, \d\d:\d\d:\d\d UTC</time>", text[text.index('id="story"') :])


def test_a_registration_is_registered_not_sent(dash: Dashboard) -> None:
    form_in("PENDING")
    row = the_row("kit_registration")
    viewer = dash.as_("viewer")
    text = viewer.get(page_of(row, "kit_registration")).text
    assert "</svg>Registered</span>" in text
    assert titles(text) == ["Created", "Registering", "Try 1: accepted by the provider", "Registered"]
    for path in ("/", "/dispatches", "/lanes/kit_registration"):
        assert "</svg>Registered" in viewer.get(path).text


def test_a_row_in_doubt_offers_neither_retry_nor_cancel(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    text = dash.as_("support").get(page_of(row)).text
    assert action(row, "retry") not in text
    assert action(row, "cancel") not in text
    assert action(row, "confirm-sent") in text


def test_a_provider_that_cannot_be_asked_is_not_asked(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    assert "nothing to ask the provider" in dash.as_("support").post(action(row, "look-up"), follow=True).text


def test_correcting_the_recipient_of_a_failed_row_retries_it(dash: Dashboard) -> None:
    row = form_in("FAILED")
    support = dash.as_("support")
    support.post(action(row, "recipient"), recipient="ada.new@example.org", reason="a typing error")
    corrected = the_row("health_information")
    assert (corrected["status"], corrected["recipient_email"]) == ("PENDING", "ada.new@example.org")


@pytest.mark.parametrize("late", ["cancel", "recipient"])
@pytest.mark.parametrize("state", ["FAILED", "PENDING"])
def test_who_decides_on_a_page_that_shows_it_no_more_overrules_nobody(dash: Dashboard, state: str, late: str) -> None:
    row = form_in(state)
    first, second = dash.as_("support"), dash.as_("admin")
    pages = [visitor.get(page_of(row)).text for visitor in (first, second)]
    one, other = (re.search(r'name="shown" value="([^"]+)"', text).group(1) for text in pages)  # type: ignore[union-attr]
    first.post(action(row, "recipient"), recipient="ada.new@example.org", reason="asked", shown=one)
    fields = {"reason": "no address", "recipient": "ada.other@example.org"}
    answer = second.post(action(row, late), follow=True, shown=other, **fields)
    assert "It was changed after this page was opened" in answer.text
    now = the_row("health_information")
    assert (now["status"], now["recipient_email"]) == ("PENDING", "ada.new@example.org")
    shown_now = re.search(r'name="shown" value="([^"]+)"', answer.text).group(1)  # type: ignore[union-attr]
    second.post(action(row, "cancel"), reason="withdrawn", shown=shown_now)
    assert the_row("health_information")["status"] == "CANCELLED"


def test_correcting_the_recipient_of_a_waiting_row_keeps_its_time(dash: Dashboard) -> None:
    row = form_in("PENDING")
    dash.as_("support").post(action(row, "recipient"), recipient="ada.new@example.org", reason="a typing error")
    corrected = the_row("health_information")
    assert corrected["recipient_email"] == "ada.new@example.org"
    assert corrected["due_at"] == row["due_at"]


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "ada@example.org\r\nBcc: eve@example.org"])
def test_an_address_that_is_none_is_refused(dash: Dashboard, address: str) -> None:
    row = form_in("FAILED")
    dash.as_("support").post(action(row, "recipient"), recipient=address, reason="a typing error")
    assert the_row("health_information")["recipient_email"] == row["recipient_email"]


@pytest.mark.parametrize("reason", [{}, {"reason": "  "}])
def test_a_recipient_is_not_corrected_without_a_reason(dash: Dashboard, reason: dict[str, str]) -> None:
    row = form_in("FAILED")
    text = dash.as_("support").post(action(row, "recipient"), follow=True, recipient="eve@example.org", **reason).text
    assert "Say why the recipient is corrected" in text
    assert the_row("health_information") == row


def test_a_failure_is_said_in_plain_words_before_the_providers(dash: Dashboard) -> None:
    row = form_in("FAILED")
    viewer = dash.as_("viewer")
    assert '<p class="lead">The mail server refused it for good.</p>' in viewer.get(page_of(row)).text
    listed = viewer.get("/dispatches").text
    assert '<span class="clip">The mail server refused it for good</span>' in listed
    assert "User unknown" not in listed


def test_a_reveal_shows_the_recipient_once_and_is_kept(dash: Dashboard) -> None:
    row = form_in("SENT", email="ada.lovelace@example.org")
    support = dash.as_("support")
    assert "ada.lovelace@" not in support.get(page_of(row)).text
    assert "ada.lovelace@example.org" in support.post(action(row, "reveal"), follow=True).text
    assert "ada.lovelace@" not in support.get(page_of(row)).text
    with connected():
        kept = fetch_all("SELECT actor, dispatch_id FROM operator_actions WHERE action = 'reveal'")
    assert kept == [("support@example.org", row["id"])]
    assert "Looked at the recipient" in support.get(page_of(row)).text


def test_an_action_returns_to_the_list_it_came_from(dash: Dashboard) -> None:
    row = form_in("FAILED")
    answer = dash.as_("support").post(
        action(row, "retry"), reason="mended", back="/lanes/health_information?status=FAILED", **{"return": "back"}
    )
    assert answer.location == "/lanes/health_information?status=FAILED"


def test_back_leads_nowhere_else(dash: Dashboard) -> None:
    row = form_in("FAILED")
    answer = dash.as_("support").post(
        action(row, "retry"), reason="mended", back="//evil.example/", **{"return": "back"}
    )
    assert answer.location == page_of(row)


@pytest.mark.parametrize(
    "path",
    [
        "/dispatches/health_information/00000000-0000-7000-8000-000000000000",
        "/dispatches/parcels/00000000-0000-7000-8000-000000000000",
        "/dispatches/health_information/1",
        "/kit-orders/00000000-0000-7000-8000-000000000000",
        "/mailbox/../../etc/passwd",
        "/mailbox/1.M1P1Q1.host",
        "/nope",
    ],
)
def test_what_is_not_there_is_not_found(dash: Dashboard, path: str) -> None:
    answer = dash.as_("admin").get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_a_dispatch_of_another_lane_is_not_found_under_this_one(dash: Dashboard) -> None:
    row = form_in("SENT")
    assert dash.as_("viewer").get(page_of(row, "kit_registration")).status_code == 404


def test_markup_in_an_order_number_stays_text(dash: Dashboard) -> None:
    evil = '"><script>alert(1)</script>'
    order_id = place_order(evil, kits=("KIT-1",))
    viewer = dash.as_("admin")
    for path in (
        "/",
        "/dispatches",
        "/kit-orders",
        f"/kit-orders/{order_id}",
        page_of(the_row("kit_registration"), "kit_registration"),
    ):
        text = viewer.get(path).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_an_order_is_traced_from_kit_to_form(dash: Dashboard) -> None:
    row = form_in("FAILED")
    text = dash.as_("support").get(f"/kit-orders/{row['order_id']}").text
    assert "KIT-VO-20418" in text
    assert action(row, "retry") in text
    assert "Registered" in text


def test_an_order_that_is_not_registered_says_why(dash: Dashboard) -> None:
    order_id = place_order("VO-9", practitioner=None)
    text = dash.as_("viewer").get(f"/kit-orders/{order_id}").text
    assert "NOT_PRACTITIONER_ORDER" in text
    assert "The order belongs to no practitioner." in text


def test_an_order_that_has_not_left_says_so(dash: Dashboard) -> None:
    order_id = place_order("VO-9", status="paid")
    text = dash.as_("viewer").get(f"/kit-orders/{order_id}").text
    assert "registered once it is reported as shipped." in text


def test_a_cancelled_message_says_first_why_it_was_not_sent(dash: Dashboard) -> None:
    why = "whoever has this address wants nothing more by SMS"
    job_id = patient_rows.moved(builders.patient(), "CANCELLED", last_error_code="STOPPED", last_error=why)
    card = dash.as_("viewer").get(f"/dispatches/comm_job/{job_id}").text.partition('class="card verdict')[2]
    assert '<p class="lead">Whoever has this address wants nothing more by SMS.' in card


def test_a_cancelled_dispatch_says_first_who_cancelled_it_and_why(dash: Dashboard) -> None:
    row = form_in("PENDING")
    support = dash.as_("support")
    support.get(page_of(row))
    support.post(action(row, "cancel"), reason="asked for by telephone")
    lead = support.get(page_of(row)).text.partition('<p class="lead">')[2].partition("</p>")[0]
    assert "cancelled it: “asked for by telephone”" in lead


def test_an_answer_to_stop_is_called_so_and_says_why_it_is_sent(dash: Dashboard) -> None:
    marks = {"answers": "stop", "reply_to": "1", "reply_to_stop": "1"}
    job_id = patient_rows.planned(builders.patient(), purpose=Purpose.APPT_CONFIRM, decision=marks)
    viewer = dash.as_("viewer")
    for path in (f"/dispatches/comm_job/{job_id}", "/lanes/comm_job"):
        text = viewer.get(path).text
        assert "Answer to STOP by SMS" in text, path
        assert "Appointment confirmation" not in text, path
    assert "The patient wrote STOP." in viewer.get(f"/dispatches/comm_job/{job_id}").text
