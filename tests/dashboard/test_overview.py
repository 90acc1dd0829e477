"""The overview's numbers, the hours of a day, and what leaves next."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest

from dashboard import hours, upcoming_queries
from dashboard.hours import HOURS, Hours, hours_of
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.lanes import gateway_names
from dispatchlog.engine.wakeup import redis_client
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import form_in, make_due, place_order, send_due
from tests.engine.lane import owner

FORMS = "health_information"


def made(sent: dict[int, int], failed: dict[int, int]) -> Hours:
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    return Hours(
        tuple(begin + timedelta(hours=place) for place in range(HOURS)),
        tuple(sent.get(place, 0) for place in range(HOURS)),
        tuple(failed.get(place, 0) for place in range(HOURS)),
    )


@pytest.mark.parametrize(
    ("sent", "failed", "success"),
    [({}, {}, ""), ({1: 5}, {}, "100 %"), ({1: 1999}, {2: 1}, "99.9 %"), ({}, {3: 2}, "0 %"), ({1: 3}, {1: 1}, "75 %")],
)
def test_the_success_rate_never_rounds_a_failure_away(
    sent: dict[int, int], failed: dict[int, int], success: str
) -> None:
    assert made(sent, failed).success == success


def test_the_drawing_has_words() -> None:
    assert made({}, {}).words == "Nothing was sent and nothing failed in the last 24 hours."
    words = made({3: 10, 14: 1200}, {5: 2}).words
    assert "1,210 sent, 2 failed or in doubt" in words
    assert "in the hour from 14:00 UTC (1,200)" in words
    assert "Most failed in the hour from 05:00 UTC (2)" in words


def test_every_hour_with_something_has_a_bar_that_can_be_seen() -> None:
    bars = made({0: 1, 23: 10_000}, {7: 3}).bars
    assert [(bar.kind, bar.x) for bar in bars] == [("sent", 0), ("failed", 70), ("sent", 230)]
    assert all(bar.height >= 1.5 for bar in bars)


def test_moves_are_counted_in_their_hours_and_kept(dash: Dashboard, settings_env: Settings) -> None:
    form_in("SENT", number="VO-1")
    form_in("FAILED", number="VO-2")
    form_in("IN_DOUBT", number="VO-3")
    lane = registry.lane(FORMS)
    with connected():
        found = hours_of(lane)
    assert (found.sent[-1] + found.sent[-2], found.failed[-1] + found.failed[-2]) == (1, 2)
    with owner(settings_env.database_url) as cursor:
        cursor.execute("ALTER TABLE dispatch_transitions DISABLE TRIGGER keep_rows")
        cursor.execute("UPDATE dispatch_transitions SET at = at - interval '3 hours'")
    hours._known.clear()
    with connected():
        now = datetime.now(UTC)
        found = hours_of(lane, now)
        assert (sum(found.sent[-5:-2]), sum(found.failed[-5:-2])) == (1, 2)
    with owner(settings_env.database_url) as cursor:
        cursor.execute("TRUNCATE dispatch_transitions")  # an hour that is over is not counted again
    with connected():
        assert hours_of(lane, now) == found


def test_settling_a_doubt_is_no_second_failure(dash: Dashboard, settings_env: Settings) -> None:
    form_in("IN_DOUBT")
    with transaction("test"):
        execute(f"UPDATE {registry.lane(FORMS).table} SET in_doubt = false")
    with connected():
        assert hours_of(registry.lane(FORMS)).all_failed == 1


def test_the_overview_shows_the_rate_and_the_day(dash: Dashboard) -> None:
    form_in("SENT", number="VO-1")
    form_in("FAILED", number="VO-2")
    text = dash.as_("viewer").get("/").text
    assert ">50 %</a>" in text
    assert 'aria-label="Last 24 hours: 1 sent, 1 failed or in doubt.' in text
    assert "1 sent</a> (up)" in text
    assert "1 failed or in doubt</a> (down)" in text


def test_every_number_of_a_lane_leads_to_its_rows(dash: Dashboard, settings_env: Settings) -> None:
    old = form_in("FAILED", number="VO-9")
    for number, state in enumerate(("FAILED", "IN_DOUBT", "SENT", "SENT", "PENDING"), 1):
        form_in(state, number=f"VO-{number}")
    with owner(settings_env.database_url) as cursor:
        cursor.execute("ALTER TABLE health_information_dispatch_logs DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE health_information_dispatch_logs SET updated_at = now() - interval '25 hours' WHERE id = %s",
            (str(old["id"]),),
        )
    viewer = dash.as_("viewer")
    card = viewer.get("/").text.partition('id="lane-health_information"')[2].partition("</section>")[0]
    links = {
        html.unescape(name or words): html.unescape(address)
        for address, name, words in re.findall(r'<a [^>]*?href="([^"]+)"(?: aria-label="([^"]+)")?[^>]*>([^<]*)', card)
    }

    def shown(name: str) -> list[str]:
        [address] = [address for words, address in links.items() if re.match(name, words)]
        return sorted(re.findall(r'class="row-link"[^>]*>(VO-\d)', viewer.get(address).text))

    assert shown("[0-9.]+ % success in the last 24 hours") == ["VO-1", "VO-2", "VO-3", "VO-4"]
    assert shown("Last 24 hours: 2 sent") == ["VO-1", "VO-2", "VO-3", "VO-4", "VO-5"]
    assert shown("2 sent") == ["VO-3", "VO-4"]
    assert shown("3 failed or in doubt") == ["VO-1", "VO-2"]
    for number in re.findall(r"<strong>([^<]+)</strong>", card):
        assert re.search(rf"<a [^>]+>(?:(?!</a>).)*<strong>{number}</strong>", card, re.DOTALL), number


def alert(kind: str, subject: str, summary: str) -> None:
    with transaction("test"):
        execute("INSERT INTO dispatch_alerts (kind, subject, summary) VALUES (%s, %s, %s)", (kind, subject, summary))


@pytest.mark.parametrize(
    ("kind", "subject", "address"),
    [
        ("in_doubt", FORMS, f"/in-doubt?lane={FORMS}"),
        ("failure_rate", FORMS, f"/lanes/{FORMS}?status=FAILED&status=IN_DOUBT"),
        ("queue_age", FORMS, f"/lanes/{FORMS}?status=PENDING&sort=waiting"),
        ("breaker_open", "smtp", "/dispatches?gateway=smtp&status=PENDING&sort=waiting"),
        ("no_worker", "", "/dispatches?status=PENDING&sort=waiting"),
        ("no_worker", FORMS, f"/lanes/{FORMS}?status=PENDING&sort=waiting"),
        ("something_new", "a_lane_that_is_gone", "/alerts"),
    ],
)
def test_a_standing_alert_is_at_the_top_with_since_when_and_a_way_to_it(
    dash: Dashboard, kind: str, subject: str, address: str
) -> None:
    alert(kind, subject, "Write to ada@example.org <b>now</b>.")
    viewer = dash.as_("viewer")
    banner = viewer.get("/").text.partition('aria-label="Alerts"')[2].partition("</section>")[0]
    assert "a•••@example.org &lt;b&gt;now" in banner
    assert 'Since <time datetime="' in banner
    [link] = re.findall(r'<a href="([^"]+)"', banner)
    assert html.unescape(link) == address
    assert viewer.get(address).status_code == 200


def test_without_a_standing_alert_there_is_no_banner_and_of_many_the_newest_are_shown(dash: Dashboard) -> None:
    viewer = dash.as_("viewer")
    assert 'aria-label="Alerts"' not in viewer.get("/").text
    for number in range(7):
        alert("in_doubt", f"lane {number}", f"alert number {number}.")
    text = viewer.get("/").text
    assert [number for number in range(7) if f"<span>alert number {number}.</span>" in text] == [2, 3, 4, 5, 6]
    assert "Show every alert" in text
    with transaction("test"):
        execute("UPDATE dispatch_alerts SET over_at = now()")
    assert 'aria-label="Alerts"' not in viewer.get("/").text


def test_incidents_and_providers_stand_on_the_overview(dash: Dashboard, settings_env: Settings) -> None:
    form_in("FAILED")
    viewer = dash.as_("viewer")
    text = viewer.get("/").text
    assert "SMTP_550" in text
    # The endpoints of a lane with routes stand in one line while they work.
    routed = [lane for lane in registry.lanes() if lane.is_routed]
    plain = gateway_names([lane for lane in registry.lanes() if not lane.is_routed])
    assert text.count("Works</span>") == len(plain) + sum(bool(lane.gateways()) for lane in routed)
    gateway = registry.lane(FORMS).gateway.name
    future = datetime.now(UTC).timestamp() + 30
    redis_client(settings_env.redis_url).hset(
        f"dispatchlog:breaker:{gateway}", mapping={"stage": 1, "until": future, "left": 1}
    )
    assert "Paused, tried again in" in viewer.get("/").text


def test_next_numbers_lead_to_exactly_those_rows(dash: Dashboard) -> None:
    form_in("PENDING", number="VO-1")
    form_in("PENDING", number="VO-2")
    lane = registry.lane(FORMS)
    with transaction("test"):
        execute(f"UPDATE {lane.table} SET due_at = now() + interval '20 minutes' WHERE order_number = 'VO-1'")
        execute(f"UPDATE {lane.table} SET due_at = now() + interval '5 hours' WHERE order_number = 'VO-2'")
    viewer = dash.as_("viewer")
    text = viewer.get("/").text
    links = [
        (html.unescape(address), number)
        for address, number in re.findall(r'<a href="(/upcoming[^"]+lane=health_information[^"]*)">(\d+) within', text)
    ]
    assert [number for _, number in links] == ["1", "2"]
    assert [viewer.get(address).text.count('class="row-link"') for address, _ in links] == [1, 2]


def test_the_preview_masks_and_tells_the_sweep(dash: Dashboard) -> None:
    form_in("PENDING", email="ada.lovelace@example.org")
    make_due(FORMS, where="false")
    lane = registry.lane(FORMS)
    with transaction("test"):
        execute(f"UPDATE {lane.table} SET due_at = now() + interval '20 minutes'")
    text = dash.as_("viewer").get("/upcoming").text
    assert "a•••@example.org" in text
    assert "ada.lovelace@" not in text
    assert "with the sweep" in text


def test_the_preview_has_pages_by_time(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    place_order("VO-1", kits=[f"KIT-{number}" for number in range(5)])
    with transaction("test"):
        execute("UPDATE kit_registrations SET due_at = now() + right(kit_id, 1)::int * interval '1 minute'")
    monkeypatch.setattr(upcoming_queries, "PAGE_ROWS", 2)
    viewer = dash.as_("viewer")
    address, seen = "/upcoming?lane=kit_registration", []
    while address:
        text = viewer.get(address).text
        seen += re.findall(r"(KIT-\d)", text)
        following = re.search(r'href="([^"]+)" rel="next"', text)
        address = html.unescape(following.group(1)) if following else ""
    assert seen == [f"KIT-{number}" for number in range(5)]


def test_an_empty_preview_teaches_and_bad_input_is_named(dash: Dashboard) -> None:
    viewer = dash.as_("viewer")
    assert "Nothing leaves within the hour" in viewer.get("/upcoming").text
    text = viewer.get("/upcoming?lane=nope&within=never&at=x").text
    assert "Lane “nope” is not known" in text
    assert "The place in the list could not be read" in text


def test_the_hours_are_counted_by_their_index(dash: Dashboard) -> None:
    send_due(FORMS)
    with connected():
        execute("SET enable_seqscan = off")
        plan = "\n".join(
            row["QUERY PLAN"]
            for row in fetch_dicts("EXPLAIN " + hours._BY_HOUR, (FORMS, datetime.now(UTC), FORMS, datetime.now(UTC)))
        )
        execute("RESET enable_seqscan")
    assert plan.count("dispatch_transitions_hours") == 2
