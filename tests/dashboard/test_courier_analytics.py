"""Couriers in figures: what is counted and timed, how it is drawn, and the file of it."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from dashboard import courier_figures
from dashboard.courier_charts import day_chart, leg_chart, percent, span
from dashboard.courier_figures import Day, Leg, figures
from dispatchlog.engine.database import connected, fetch_dicts
from tests.dashboard.browsing import Dashboard
from tests.dashboard.order_samples import attempt, order
from tests.dashboard.test_order_list import crowd_of_orders, plan_scans

PAGE = "/orders/analytics"
TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def delivered(minutes: int, *, day: datetime = TODAY, promised: int | None = None, **dispatch: Any) -> dict[str, Any]:
    """An order whose courier took so many minutes from being asked, a quarter of it for each leg."""
    begin = day - timedelta(hours=2)
    quarter = timedelta(minutes=minutes) / 4
    instants = {
        "requested_at": begin,
        "booked_at": begin,
        "assigned_at": begin + quarter,
        "picked_up_at": begin + 2 * quarter,
        "in_transit_at": begin + 3 * quarter,
        "ended_at": begin + 4 * quarter,
    }
    until = begin + timedelta(minutes=promised) if promised else None
    return order("DELIVERED", at=begin, deliver_by=until, dispatch={**instants, **dispatch})


def found(courier: str = "", *, since: date | None = None) -> courier_figures.Figures:
    with connected():
        return figures(since or TODAY.date() - timedelta(days=6), TODAY.date(), courier=courier)


def test_times_rates_and_who_confirmed_are_counted_per_courier(dash: Dashboard) -> None:
    for minutes in (20, 40, 60):
        delivered(minutes, promised=50)
    delivered(400, courier="generic", confirmed_by="courier")
    failed = order("FAILED", at=TODAY - timedelta(hours=1), dispatch={"failure_code": "NO_ANSWER", "ended_at": TODAY})
    attempt(failed["id"], "CANCELED", number=2, at=TODAY, ended_at=TODAY)
    figures_of = found()
    kwik = next(each for each in figures_of.couriers if each.courier == "kwik")
    assert (kwik.ended, kwik.delivered, kwik.failed, kwik.canceled, kwik.repeated) == (5, 3, 1, 1, 1)
    assert (kwik.promised, kwik.in_time) == (3, 2)
    assert kwik.on_time_rate == pytest.approx(2 / 3)
    assert (kwik.failure_rate, kwik.repeat_rate) == (0.25, 0.2)
    assert kwik.confirmed == {"otp": 3, "courier": 0, "staff": 0}
    whole = next(leg for leg in kwik.legs if leg.key == "whole")
    assert (whole.number, whole.median) == (3, 40 * 60)
    assert whole.most == pytest.approx(56 * 60)
    assert next(leg for leg in kwik.legs if leg.key == "bringing").median == 10 * 60
    assert (figures_of.total.ended, figures_of.total.confirmed["courier"]) == (6, 1)
    assert figures_of.causes == [("kwik", "NO_ANSWER", 1)]
    assert [each.courier for each in found("generic").couriers] == ["generic"]
    assert found("generic").total.ended == 1


def test_each_day_has_its_number_also_where_nothing_ended(dash: Dashboard) -> None:
    delivered(20)
    delivered(20, day=TODAY - timedelta(days=2))
    delivered(20, day=TODAY - timedelta(days=2))
    delivered(20, day=TODAY - timedelta(days=9))
    assert [day.delivered for day in found().days] == [0, 0, 0, 0, 2, 0, 1]


def test_of_too_many_the_newest_count_and_it_is_said(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_figures, "MOST_DISPATCHES", 2)
    for days in range(3):
        delivered(20, day=TODAY - timedelta(days=days))
    figures_of = found()
    assert figures_of.total.ended == 2
    assert figures_of.counted_from is not None
    assert figures_of.counted_from.date() == TODAY.date() - timedelta(days=1)
    assert "The figures are of the newest" in dash.as_("viewer").get(PAGE).text


def test_nothing_is_divided_by_nothing(dash: Dashboard) -> None:
    text = dash.as_("viewer").get(PAGE).text
    assert "No dispatch ended in this range" in text
    order("CANCELED", at=datetime.now(UTC) - timedelta(hours=2))
    text = dash.as_("viewer").get(PAGE).text
    assert "\N{EN DASH}</strong>" in text


def test_the_page_draws_its_charts_with_words_for_who_does_not_see_them(dash: Dashboard) -> None:
    delivered(40, promised=60)
    order("FAILED", at=TODAY - timedelta(hours=3), dispatch={"failure_code": "NO_ANSWER"})
    text = dash.as_("viewer").get(PAGE).text
    charts = re.findall(r'<svg class="chart".*?</svg>', text, re.S)
    assert len(charts) == 3
    for chart in charts:
        title, said = re.search(r'aria-labelledby="(\S+) (\S+)"', chart).groups()  # type: ignore[union-attr]
        assert re.search(rf'<title id="{title}">[^<]+</title><desc id="{said}">[^<]+</desc>', chart)
        assert "<rect" in chart
    assert "All of it: half within 40 min" in text
    assert text.count("<caption") == 3
    assert "style=" not in "".join(charts)


def test_a_range_that_cannot_be_read_is_named(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    for query, words in (
        ("from=2026-03-02&to=2026-03-01", "The first day is after the last one"),
        ("from=2020-01-01&to=2026-03-01", "92 days at the most"),
        ("courier=nobody", "Courier “nobody” is not known"),
        ("from=soon", "From “soon” is not a date"),
    ):
        assert words in visitor.get(f"{PAGE}?{query}").text


def test_the_figures_as_a_file_are_what_the_page_shows_and_are_logged(dash: Dashboard) -> None:
    delivered(40, promised=60)
    visitor = dash.as_("auditor")
    visitor.get(PAGE)
    answer = visitor.post(f"{PAGE}/export?courier=kwik")
    lines = [*csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))]
    known = {(line["courier"], line["figure"], line["about"]): line["value"] for line in lines}
    assert known["Kwik", "delivered", ""] == "1"
    assert known["Kwik", "on_time_rate", ""] == "1.0"
    assert known["Kwik", "time_median", "whole"] == "2400"
    assert known["Kwik", "confirmed_by", "otp"] == "1"
    with connected():
        logged = fetch_dicts("SELECT detail FROM operator_actions WHERE action = 'export'")
    assert [entry["detail"]["list"] for entry in logged] == ["courier figures"]
    assert visitor.post(f"{PAGE}/export?from=soon").status_code == 400


def test_its_query_walks_the_index(dash: Dashboard, database_url: str) -> None:
    from contextlib import closing

    import psycopg2

    crowd_of_orders(database_url, 20_000)
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
    sql, params = courier_figures.figures_query(TODAY.date(), TODAY.date())
    assert plan_scans(sql, params) == []


# --- drawing


def test_a_bar_per_day_stands_on_the_ground_and_is_as_high_as_its_number() -> None:
    chart = day_chart([Day(date(2026, 3, 1), 4, 1, 0), Day(date(2026, 3, 2), 10, 0, 0)])
    first, failed, second = chart.bars
    assert (first.height, second.height) == (60, 150)
    assert failed.y + failed.height == first.y
    assert first.y + first.height == second.y + second.height == 176
    assert first.x + first.width < second.x
    assert chart.said == "2 days: 14 delivered, 1 failed; 10 on the busiest day."


def test_the_longest_leg_is_as_wide_as_the_chart_and_legs_unseen_are_left_out() -> None:
    legs = [Leg("a", "A", 2, 60.0, 120.0), Leg("b", "B", 0, None, None), Leg("c", "C", 1, 30.0, 30.0)]
    chart = leg_chart(legs)
    assert [(bar.kind, bar.width) for bar in chart.bars] == [("wide", 100), ("dark", 50), ("wide", 25), ("dark", 25)]


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "\N{EN DASH}"), (0.4, "0 s"), (59, "59 s"), (90, "2 min"), (3_900, "1 h 5 min")]
)
def test_spans_in_words(seconds: float | None, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("share", "words"), [(None, "\N{EN DASH}"), (0.0, "0 %"), (0.053, "5.3 %"), (0.5, "50 %"), (0.994, "99.4 %")]
)
def test_shares_in_words(share: float | None, words: str) -> None:
    assert percent(share) == words
