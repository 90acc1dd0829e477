"""Acting on many dispatches from the list to the report, without JavaScript: what is shown before, and what is refused."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest

from dashboard import bulk as bulk_pages
from dashboard import bulk_queries
from dispatchlog import bulk
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.gateway import Receipt
from dispatchlog.systems import registry
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.crowds import crowd, fail_all, failed_forms, how_many, ids, set_all
from tests.dashboard.samples import (
    fail_for_now,
    form_in,
    form_without_recipient,
    make_due,
    place_order,
    refuse,
    registration_in_doubt,
    send_due,
    the_row,
)

FORMS = "health_information"


def preview(visitor: Visitor, query: str = "", *, action: str = "retry", back: str = "") -> str:
    """The address of the preview of all that the filter lets through."""
    visitor.get("/dispatches")
    answer = visitor.post(f"/bulk?{query}", action=action, scope="matching", back=back)
    assert answer.status_code == 303
    assert answer.location.startswith("/bulk/"), answer.location
    visitor.get(answer.location)
    return str(answer.location)


def begin(visitor: Visitor, address: str, **fields: object) -> str:
    """Begin a previewed run and carry it out as a worker would; its page."""
    path = address.partition("?")[0]
    answer = visitor.post(f"{path}/begin", **{"reason": "mended", **fields})
    assert answer.status_code == 303, answer.text
    bulk.go_on()
    return visitor.get(answer.location).text


def groups(text: str) -> dict[str, dict[str, int]]:
    """The preview's groups by section: how many dispatches each reason has."""
    found = {}
    for key in ("safe", "review", "blocked"):
        section = re.search(rf'<section [^>]*aria-labelledby="{key}">(.*?)</section>', text, re.S)
        lines = re.findall(r'group-title"><strong>([\d,]+)</strong> ([^<]+)<', section.group(1)) if section else []
        found[key] = {unescape(title): int(number.replace(",", "")) for number, title in lines}
    return found


def test_ticked_dispatches_are_retried_after_a_preview(dash: Dashboard) -> None:
    failed_forms(3)
    support = dash.as_("support")
    text = support.get("/dispatches?status=FAILED").text
    picks = re.findall(r'name="pick" value="([^"]+)"', text)
    assert len(picks) == 3
    answer = support.post("/bulk?status=FAILED", action="retry", scope="ticked", pick=picks[:2])
    assert how_many("health_information_dispatch_logs", "status = 'FAILED'") == 3  # a preview changes nothing
    shown = support.get(answer.location).text
    assert groups(shown) == {"safe": {"Failed with a definite no": 2}, "review": {}, "blocked": {}}
    assert "someone" not in shown
    assert "s•••@example.org" in shown
    text = begin(support, answer.location)
    assert "2 of 2 retried" in text
    assert how_many("health_information_dispatch_logs", "status = 'PENDING'") == 2


def test_all_that_match_are_cancelled_with_a_reason(dash: Dashboard) -> None:
    failed_forms(60)
    failed_forms(5, code="OTHER", first=61)
    support = dash.as_("support")
    assert "Act on all 60 matching…" in support.get("/dispatches?cause=SMTP_550").text
    address = preview(support, "cause=SMTP_550", action="cancel")
    assert "Cause: SMTP_550" in support.get(address).text
    refused = support.post(f"{address}/begin", reason="  ")
    assert refused.status_code == 400
    assert "Say why: the reason stays with every dispatch." in refused.text
    text = begin(support, address, reason="ordered twice")
    assert "60 of 60 cancelled" in text
    assert how_many("health_information_dispatch_logs", "status = 'CANCELLED'") == 60
    with connected():
        signed = fetch_all("SELECT DISTINCT actor, reason FROM operator_actions WHERE action = 'cancel'")
    assert signed == [("support@example.org", "ordered twice")]


def test_a_retry_tells_apart_what_is_safe_to_be_looked_at_and_not_possible(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    form_in("SENT", number="VO-2")
    form_in("IN_DOUBT", number="VO-3")
    form_in("CANCELLED", number="VO-4")
    form_in("QUEUED", number="VO-5")
    form_without_recipient()
    failed_forms(2, code="SMTP_551")
    set_all(FORMS, "expires_at = now() + interval '30 min'", "order_number = 'VO-1' AND last_error_code = 'SMTP_551'")
    set_all(FORMS, "expires_at = now() - interval '30 min'", "order_number = 'VO-2' AND last_error_code = 'SMTP_551'")
    form_in("PENDING", number="VO-6")
    text = dash.as_("support").get(preview(dash.as_("support"), f"lane={FORMS}")).text
    assert groups(text) == {
        "safe": {"Failed with a definite no": 1},
        "review": {"Of use for less than an hour": 1, "Waiting for their time": 1},
        "blocked": {
            "In doubt": 1,
            "Past their deadline": 1,
            "Without a usable recipient": 1,
            "With a worker right now": 1,
            "Already sent": 1,
            "Cancelled": 1,
        },
    }


def test_a_doubt_that_the_provider_recognises_is_safe_to_retry(dash: Dashboard) -> None:
    registration_in_doubt()
    support = dash.as_("support")
    text = support.get(preview(support, "status=IN_DOUBT")).text
    assert groups(text)["safe"] == {"In doubt, but the provider recognises the earlier try": 1}


def test_what_was_retried_and_failed_alike_is_to_be_looked_at(dash: Dashboard) -> None:
    first = form_in("FAILED", number="VO-1")
    lane = registry.lane(FORMS)
    operator.retry(lane, [first["id"]], actor="ann")
    send_due(FORMS, refuse)
    form_in("FAILED", number="VO-2")
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    assert groups(support.get(address).text) == {
        "safe": {"Failed with a definite no": 1},
        "review": {"Retried before, and failed again with the same cause": 1},
        "blocked": {},
    }
    text = begin(support, address)
    assert "1 of 1 retried" in text
    assert how_many("health_information_dispatch_logs", "status = 'FAILED' AND order_number = 'VO-1'") == 1


def test_what_failed_again_with_another_cause_is_safe(dash: Dashboard) -> None:
    row = form_in("FAILED", number="VO-1")
    operator.retry(registry.lane(FORMS), [row["id"]], actor="ann")
    send_due(FORMS, refuse)
    set_all(FORMS, "last_error_code = 'SMTP_552'")
    support = dash.as_("support")
    assert groups(support.get(preview(support, "status=FAILED")).text)["review"] == {}


def test_what_is_to_be_looked_at_goes_along_when_ticked(dash: Dashboard) -> None:
    failed_forms(2)
    set_all(FORMS, "expires_at = now() + interval '30 min'", "order_number = 'VO-1'")
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    assert "Retry the 1 safe and what is ticked" in support.get(address).text
    assert "2 of 2 retried" in begin(support, address, include="EXPIRES_SOON")


def test_a_row_that_waits_for_its_next_try_is_tried_sooner(dash: Dashboard) -> None:
    place_order("VO-1", kits=("KIT-1",))
    send_due("kit_registration", fail_for_now)
    support = dash.as_("support")
    address = preview(support, "lane=kit_registration")
    assert groups(support.get(address).text)["safe"] == {"Waiting for their next try": 1}
    begin(support, address)
    assert send_due("kit_registration", lambda _: Receipt("r"))


def test_cancelling_asks_twice_about_what_would_leave_by_itself(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    form_in("IN_DOUBT", number="VO-2")
    form_in("SENT", number="VO-3")
    form_in("PENDING", number="VO-4")
    support = dash.as_("support")
    address = preview(support, f"lane={FORMS}", action="cancel")
    assert groups(support.get(address).text) == {
        "safe": {"Failed, and certainly not sent": 1},
        "review": {"Waiting to be sent": 1},
        "blocked": {"In doubt": 1, "Already sent": 1},
    }
    begin(support, address, reason="why")
    assert the_row(FORMS)["status"] == "PENDING"


def test_above_a_hundred_the_number_is_typed(dash: Dashboard) -> None:
    failed_forms(120)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    assert "Type how many, to confirm" in support.get(address).text
    for number in ("", "119", "all", "-120", "1e2"):
        refused = support.post(f"{address}/begin", number=number, reason="mended")
        assert refused.status_code == 400
        assert "Type 120 to confirm" in refused.text
    assert how_many("health_information_dispatch_logs", "status = 'FAILED'") == 120
    assert "120 of 120 retried" in begin(support, address, number=" 120 ")


def test_up_to_a_hundred_nothing_is_typed(dash: Dashboard) -> None:
    failed_forms(100)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    assert "Type how many" not in support.get(address).text
    assert "100 of 100 retried" in begin(support, address)


def test_what_moves_after_the_preview_is_reported_and_left(dash: Dashboard) -> None:
    failed_forms(2)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    operator.cancel(registry.lane(FORMS), ids(FORMS)[:1], actor="zoe", reason="meanwhile")
    text = begin(support, address)
    assert "1 of 2 retried; 1 left as it is, each with its reason below" in text
    assert "It changed after the preview and is CANCELLED now, so it was left as it is." in text


def test_pressing_twice_begins_once(dash: Dashboard) -> None:
    failed_forms(1)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    begin(support, address)
    text = support.post(f"{address}/begin", follow=True, reason="mended").text
    assert "It had already begun; nothing was begun twice." in text
    assert how_many("operator_actions", "action = 'bulk_retry'") == 1


def test_more_than_the_limit_is_said_and_the_rest_left(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_pages, "MATCH_LIMIT", 5)
    failed_forms(7)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    assert "More than 5 match" in support.get(address).text
    begin(support, address)
    assert how_many("health_information_dispatch_logs", "status = 'FAILED'") == 2


@pytest.mark.parametrize(
    ("query", "fields", "sentence"),
    [
        ("", {"action": "retry", "scope": "ticked"}, "Nothing is selected."),
        ("", {"action": "retry", "scope": "ticked", "pick": ["rubbish", "pigeons:1", FORMS]}, "Nothing is selected."),
        ("", {"action": "burn", "scope": "matching"}, "Choose what to do: retry or cancel."),
        ("", {}, "Choose what to do"),
        ("status=LOST", {"action": "retry", "scope": "matching"}, "Status “LOST” is not known"),
        ("found=gone", {"action": "cancel", "scope": "matching"}, "That search has ended"),
        ("q=nothing-like-it", {"action": "retry", "scope": "matching"}, "Nothing is selected."),
    ],
)
def test_a_selection_that_means_nothing_is_refused(
    dash: Dashboard, query: str, fields: dict[str, object], sentence: str
) -> None:
    failed_forms(1)
    support = dash.as_("support")
    support.get("/dispatches")
    answer = support.post(f"/bulk?{query}", back="/dispatches?status=FAILED", **fields)
    assert answer.location == "/dispatches?status=FAILED"
    assert sentence in support.get(answer.location).text
    assert how_many("bulk_runs") == 0


def test_where_nothing_is_possible_there_is_no_button(dash: Dashboard) -> None:
    form_in("SENT")
    support = dash.as_("support")
    address = preview(support, "status=SENT")
    text = support.get(address).text
    assert "Nothing here can be retried" in text
    assert "data-begin" not in text
    assert support.post(f"{address}/begin", reason="mended").status_code == 400


def test_the_way_back_keeps_the_lists_filter(dash: Dashboard) -> None:
    failed_forms(1)
    support = dash.as_("support")
    here = "/dispatches?status=FAILED&cause=SMTP_550"
    text = support.get(here).text
    assert f'name="back" value="{here.replace("&", "&amp;")}"' in text
    address = preview(support, "status=FAILED", back=here)
    shown = support.get(address).text
    assert f'<a href="{here.replace("&", "&amp;")}">' in shown
    sample = unescape(re.search(r'class="group-sample".*?href="([^"]+)"', shown, re.S).group(1))  # type: ignore[union-attr]
    assert address in unescape(support.get(sample).text)
    answer = support.post(f"{address.partition('?')[0]}/begin", back=here, reason="mended")
    assert "back=" in answer.location
    assert f'<a href="{here.replace("&", "&amp;")}">' in support.get(answer.location).text
    elsewhere = support.get(f"{address.partition('?')[0]}?back=//evil.example/").text
    assert "evil.example" not in elsewhere


def test_the_report_is_filtered_paged_and_downloaded(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_queries, "REPORT_ROWS", 3)
    monkeypatch.setattr(bulk_queries, "_FILE_ROWS", 2)
    failed_forms(7)
    crowd(FORMS, 1, first=8)
    set_all(FORMS, "due_at = now() + interval '1 day'", "order_number = 'VO-8'")
    support = dash.as_("support")
    address = preview(support, f"lane={FORMS}")
    set_all(FORMS, "updated_at = now()", "order_number = 'VO-1'")
    text = begin(support, address, reason="up again")
    seen: list[str] = []
    path = address
    while path:
        text = support.get(path).text
        seen += re.findall(r'class="row-link"[^>]*>([^<]+)</a>', text)
        found = re.search(r'href="([^"]+)" rel="next"', text)
        path = unescape(found.group(1)) if found else ""
    assert sorted(seen) == [f"VO-{number}" for number in range(1, 8)]
    moved = support.get(f"{address}?result=MOVED").text
    assert re.findall(r'class="row-link"[^>]*>([^<]+)</a>', moved) == ["VO-1"]
    left_out = support.get(f"{address}?result=LEFT_OUT").text
    assert "Waiting for their time" in left_out
    assert "Result “LOST” is not known" in support.get(f"{address}?result=LOST").text
    answer = support.post(f"{address}/report")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert len(rows) == 8
    assert {row["result"] for row in rows} == {"DONE", "MOVED", "LEFT_OUT"}
    assert next(row for row in rows if row["result"] == "MOVED")["keys"] == "VO-1 KIT-1"
    assert "@example.org" not in answer.text
    assert how_many("operator_actions", "action = 'export'") == 1


def test_a_viewer_may_look_at_runs_and_begin_none(dash: Dashboard) -> None:
    failed_forms(1)
    support, viewer = dash.as_("support"), dash.as_("viewer")
    address = preview(support, "status=FAILED")
    text = viewer.get(address).text
    assert "Your role can look at it only." in text
    assert "data-begin" not in text
    assert viewer.post(f"{address}/begin", reason="mended").status_code == 403
    assert 'name="pick"' not in viewer.get("/dispatches").text
    begin(support, address)
    assert "1 of 1 retried" in viewer.get(address).text


def test_runs_are_listed_newest_first(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = dash.as_("viewer")
    assert "No bulk actions yet" in viewer.get("/bulk").text
    monkeypatch.setattr(bulk_queries, "RUN_ROWS", 2)
    failed_forms(3)
    support = dash.as_("support")
    for number in ("VO-1", "VO-2", "VO-3"):
        begin(support, preview(support, f"status=FAILED&q={number}"), reason=f"for {number}")
    text = viewer.get("/bulk").text
    assert re.findall(r"for VO-\d", text) == ["for VO-3", "for VO-2"]
    assert "support@example.org" in text
    older = unescape(re.search(r'href="([^"]+)" rel="next"', text).group(1))  # type: ignore[union-attr]
    assert re.findall(r"for VO-\d", viewer.get(older).text) == ["for VO-1"]
    assert viewer.get("/bulk?at=rubbish").status_code == 200


def test_without_a_worker_a_run_says_that_it_does_not_go_on(dash: Dashboard) -> None:
    failed_forms(1)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    text = support.post(f"{address}/begin", follow=True, reason="mended").text
    assert "No worker is running, so it does not go on." in text
    assert 'data-refresh="2"' in text


def test_a_run_that_does_not_exist_is_not_found(dash: Dashboard) -> None:
    address = "/bulk/00000000-0000-7000-8000-000000000000"
    admin = dash.as_("admin")
    assert admin.get(address).status_code == 404
    assert admin.post(f"{address}/begin", reason="mended").status_code == 404
    assert admin.post(f"{address}/report").status_code == 404


def test_a_paused_provider_is_named_before_a_retry(dash: Dashboard) -> None:
    from dashboard.context import breaker
    from dashboard.health import broker_health

    failed_forms(1)
    support = dash.as_("support")
    address = preview(support, "status=FAILED")
    assert "are paused" not in support.get(address).text
    gateway = registry.lane(FORMS).gateway.name
    with dash.app.test_request_context():
        breaker().report(gateway, good=0, bad=100)
        assert broker_health().circuit(registry.lane(FORMS)).state == "open"
    assert f"Calls to {gateway} are paused" in support.get(address).text


def test_a_form_sent_again_in_bulk_wakes_its_lane(dash: Dashboard) -> None:
    import redis

    from dispatchlog.broker import get_broker, get_waker

    get_broker.cache_clear()
    get_waker.cache_clear()
    try:
        failed_forms(1)
        support = dash.as_("support")
        address = preview(support, "status=FAILED")
        support.post(f"{address}/begin", reason="mended")
        with redis.Redis.from_url(dash.app.config["DISPATCHLOG_SETTINGS"].effective_redis_url) as client:
            assert client.llen(f"dramatiq:{bulk.QUEUE}") == 1
            bulk.go_on()
            assert client.llen(f"dramatiq:{registry.lane(FORMS).queue}") == 1
    finally:
        get_broker.cache_clear()
        get_waker.cache_clear()


def test_a_selection_of_several_lanes_is_one_run(dash: Dashboard) -> None:
    failed_forms(1)
    crowd("kit_registration", 1)
    fail_all("kit_registration", code="HTTP_400")
    support = dash.as_("support")
    assert "2 of 2 retried" in begin(support, preview(support, "status=FAILED"))
    make_due(FORMS)
    assert len(send_due(FORMS)) == 1
